"""Typed settings of a run, from recipes and what is laid on top.

A wrong key, type or value is an error before anything runs.
"""

import copy
import dataclasses
import functools
import inspect
import json
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ssl_zoo import near, presets, recipes
from ssl_zoo.errors import InputError, between
from ssl_zoo.options import resolve_options, shown
from ssl_zoo.recipes import SECTIONS
from ssl_zoo.registry import AUGMENTATIONS, DATASETS, NETS, Entry, Registry, near_miss, summary
from ssl_zoo.settings import MOST_STEPS, OWN, OWN_BATCH, OWN_STEPS, BatchSettings, RunSettings

RESIZING = ("bilinear", "bicubic")  # ways of resizing that images have here
LENGTHS = ("steps", "epochs", "minutes")  # of a run, each in place of those before


def _by_name(section: str, registry: Registry, given: Any) -> dict[str, dict[str, Any]]:
    """Check a section of options by registered name; every name in it, not only the one that a run uses."""
    entries = {name: (registry.resolve(name), options) for name, options in recipes.canonical(section, registry, given).items()}
    resolved = {}
    for name, (entry, options) in entries.items():
        own = _own(f"{section}.{name}", entry, options) if section == "algorithms" else {}
        rest = {key: value for key, value in options.items() if key not in own} if own else options
        where = f"{section}.{name}"
        resolved[name] = resolve_options(where, entry.target, {} if rest is None else rest, frozenset(entry.fixed)) | own
    return resolved


def _own(where: str, entry: Entry, options: Any) -> dict[str, Any]:
    """What a method's section has for itself of what all methods share, checked."""
    taken = _called_as_ours(entry.target)
    if taken:
        raise InputError(f"{where}.{taken[0]} is an option of the method and a setting of runs; give the option another name")
    if not isinstance(options, Mapping):
        return {}
    own = _own_batch(where, options[OWN_BATCH]) if OWN_BATCH in options else {}
    if OWN_STEPS in options:
        own[OWN_STEPS] = steps = options[OWN_STEPS]
        if not isinstance(steps, int) or isinstance(steps, bool):
            raise InputError(f"{where}.{OWN_STEPS} must be a whole number, not {steps!r}")
        between(f"{where}.{OWN_STEPS}", steps, 1, MOST_STEPS)
    return own


@functools.lru_cache(maxsize=256)  # a sweep asks it of every method for each of its cells
def _called_as_ours(target: Callable[..., Any]) -> list[str]:
    """Options of a method that have the name of what its section may have for itself."""
    return [name for name in OWN if name in inspect.signature(target).parameters]


def _own_batch(where: str, own: Any) -> dict[str, Any]:
    """How many images of a step, checked."""
    if not isinstance(own, Mapping) or {*own} != {"unlabeled"}:
        raise InputError(f"{where}.{OWN_BATCH} is {own!r}; a method's own section may set unlabeled alone, as {{unlabeled: 448}}")
    given = resolve_options(f"{where}.{OWN_BATCH}", BatchSettings, own)
    return {OWN_BATCH: {"unlabeled": BatchSettings(**given).unlabeled}}


def _views(given: Any) -> dict[str, dict[str, dict[str, Any]]]:
    if not isinstance(given, Mapping):
        raise InputError(f"views must be a mapping from names to augmentations, not {given!r}")
    for view, steps in given.items():
        if steps is None:
            raise InputError(f"views.{view} is null; write {{}} for a view without augmentation")
    if len({str(view) for view in given}) < len(given):
        raise InputError(f"views names a view twice, as a number and as a text: {', '.join(map(str, given))}; keep one")
    resolved = {str(view): _by_name(f"views.{view}", AUGMENTATIONS, steps) for view, steps in given.items()}
    for steps in resolved.values():
        for name, options in steps.items():
            AUGMENTATIONS.create(name, **options)  # their values are checked there
    return resolved


_NESTED = {f.name: f.type for f in dataclasses.fields(RunSettings) if dataclasses.is_dataclass(f.type)}


def resolve(given: Mapping[str, Any]) -> RunSettings:
    """Check all settings, fill in every default, and keep of the sections by name what this run uses.

    Raises:
        InputError: A wrong key, type or value, or an unknown name.
    """
    fields = [field.name for field in dataclasses.fields(RunSettings)]
    for name in given:
        if name not in fields:
            at_once = near.setting(str(name), given[name], given) or near_miss(str(name), fields)
            meant = at_once or near.misspelt(str(name), given[name], given)
            raise InputError(f"there is no setting '{name}'; {meant}settings: {', '.join(fields)}")
    special = frozenset({*_NESTED, *SECTIONS, "views"})
    values = resolve_options("", RunSettings, {k: v for k, v in given.items() if k not in special}, special)
    for name, settings in _NESTED.items():
        values[name] = settings(**resolve_options(name, settings, given.get(name, {})))
    values["views"] = _views(given.get("views", {"weak": {}}))
    for section, name in {"datasets": "dataset", "nets": "net", "algorithms": "alg"}.items():
        registry = SECTIONS[section]
        entry = registry.resolve(values[name])
        options = _by_name(section, registry, given.get(section))
        if entry.name not in options:
            options |= _by_name(section, registry, {values[name]: {}})
        values[name], values[section] = entry.name, {entry.name: options[entry.name]}
    if values["initial"] is not None:  # which takes the place of pretrained weights: none are fetched
        values["nets"] = {n: {k: False if k == "pretrained" else v for k, v in o.items()} for n, o in values["nets"].items()}
    values["input"], values["datasets"] = _input_of(values), _resized(values)
    return RunSettings(**values)


def _resized(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A data set's options, of which `interpolation=auto` is that of the weights that the net begins from."""
    ((name, options),) = values["datasets"].items()
    if options.get("interpolation") != "auto":
        return values["datasets"]
    net, entry = values["nets"][values["net"]], NETS.resolve(values["net"])
    wanted, tell = net.get("pretrained"), getattr(entry.target, "weights", None)
    found = tell({**net, "pretrained": True if wanted == "auto" else wanted}, **entry.fixed) if wanted and tell else None
    how = getattr(found, "interpolation", "bilinear")
    return {name: {**options, "interpolation": how if how in RESIZING else "bilinear"}}


def _input_of(values: Mapping[str, Any]) -> str:
    """What a net gets of an image; auto where only the beginning of a run can tell."""
    options, target = values["nets"][values["net"]], NETS.resolve(values["net"]).target
    if values["input"] != "auto" or values["initial"] is not None or options.get("pretrained") == "auto":
        return values["input"]
    return "weights" if options.get("pretrained") and hasattr(target, "weights") else "channel"


def gather(
    names: Sequence[str],
    *,
    preset: str | None = None,
    budget: str = recipes.SHORT,
    assignments: Sequence[str] = (),
    over: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the settings of recipes with a preset and assignments laid on top, not checked yet.

    Args:
        names: Of recipes, or files.
        preset: The name of one, or none.
        budget: Of the recipes.
        assignments: KEY=VALUE, as texts.
        over: What `settle` will lay on top of all. To a length there, as to an assigned one, own lengths of methods in
            the recipes give way; those that are assigned themselves do not.

    Raises:
        InputError: As `recipes.read_recipes`, `presets.read_preset` and `recipes.put_assignment`.
    """
    on_top = [] if preset is None else [(f"preset {preset}", presets.read_preset(preset))]
    given = recipes.read_recipes(names, budget=budget, on_top=on_top)
    parsed = [recipes.parse_assignment(assignment) for assignment in assignments]
    for key, value in [*parsed, *over.items()]:
        _for_all_methods(given, key, value)
    _let_hold(given, one_length(key for key, _ in parsed))
    for key, value in parsed:
        recipes.put(given, key, value)
    return given


def one_length(keys: Iterable[str]) -> str | None:
    """Return which of the settings that say how long a run is is among these.

    Raises:
        InputError: More than one is.
    """
    given = set(keys)
    found = [name for name in LENGTHS if name in given]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]} are both given, and each is the length of a run; keep one")
    return found[0] if found else None


def _let_hold(given: dict[str, Any], length: str | None) -> None:
    """Let a length that is given on top of a recipe hold, where the recipe has one of another kind."""
    for other in {"steps": ("epochs", "minutes"), "epochs": ("minutes",)}.get(length or "", ()):
        given.pop(other, None)


def _for_all_methods(given: Mapping[str, Any], key: str, value: Any) -> None:
    """Let a number of unlabelled images, or a length, given on top of a recipe hold for methods with their own too."""
    named = key == "batch.unlabeled" or (key == "batch" and isinstance(value, Mapping) and "unlabeled" in value)
    own = OWN_BATCH if named else OWN_STEPS if key in LENGTHS and value is not None else None
    if own is not None and isinstance(given.get("algorithms"), Mapping):
        for options in given["algorithms"].values():
            if isinstance(options, dict):
                options.pop(own, None)


def settle(given: dict[str, Any], values: Mapping[str, Any]) -> RunSettings:
    """Return settings with values laid on top, by dotted key such as `optimizer.lr`, all checked.

    A section that is given whole is merged, as one of a recipe is.

    Raises:
        InputError: As `resolve`.
    """
    _let_hold(given, one_length(values))
    for key, value in copy.deepcopy(dict(values)).items():
        if isinstance(value, Mapping) and "." not in key:
            recipes.put_recipe(given, recipes.as_recipe({key: value}, key))
        else:
            recipes.put(given, recipes.canonical_key(key), value)
    return resolve(given)


def recipe_of(dataset: str) -> str:
    """Return the name of a data set's own recipe.

    Raises:
        InputError: There is no such data set, or it has none, as a plug-in's.
    """
    name = DATASETS.resolve(dataset).name
    if not (recipes.FOLDER / f"{name}.yaml").is_file():
        raise InputError(f"the data set '{name}' has no recipe of its own; give one, such as --recipe folder, or a file")
    return name


def plain(settings: RunSettings) -> dict[str, Any]:
    """The settings as mappings, lists and scalars, for YAML and JSON."""

    def lists(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: lists(part) for name, part in value.items()}
        return [lists(part) for part in value] if isinstance(value, list | tuple) else value

    return lists(dataclasses.asdict(settings))


def dump(settings: RunSettings) -> str:
    """The settings as YAML, which is itself a recipe."""
    return recipes.dump_mapping(plain(settings))


def explain(settings: RunSettings) -> str:
    """Every setting of a run with its value, type and documentation, for `--help`."""
    values = plain(settings)
    lines = [*_explain("", RunSettings, {k: v for k, v in values.items() if not isinstance(v, dict)})]
    for name, cls in _NESTED.items():
        lines += ["", f"{name}: {summary(cls)}", *_explain(f"{name}.", cls, values[name])]
    for view, steps in values["views"].items():
        for name, options in steps.items():
            target = AUGMENTATIONS.resolve(name).target
            lines += ["", f"views.{view}.{name}: {summary(target)}", *_explain(f"views.{view}.{name}.", target, options)]
    for section, registry in SECTIONS.items():
        for name, options in values[section].items():
            target = registry.resolve(name).target
            rest = {key: value for key, value in options.items() if key not in OWN}
            lines += ["", f"{section}.{name}: {summary(target)}", *_explain(f"{section}.{name}.", target, rest)]
            lines += [f"  {section}.{name}.{key} = {json.dumps(options[key])}  (its own)" for key in OWN if key in options]
    return "\n".join(lines)


def _explain(prefix: str, target: Callable[..., Any], values: Mapping[str, Any]) -> Iterator[str]:
    from docstring_parser import parse

    documentation = {p.arg_name: " ".join((p.description or "").split()) for p in parse(inspect.getdoc(target) or "").params}
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in values.items():
        yield f"  {prefix}{name} = {json.dumps(value)}  ({shown(hints[name])})"
        yield from textwrap.wrap(documentation.get(name, ""), 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
