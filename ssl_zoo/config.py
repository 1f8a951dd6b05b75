"""Settings of a run from a YAML recipe and then the command line. A wrong key, type or value is an error before anything runs."""

import dataclasses
import inspect
import json
import os
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_zoo.cli.parser import Parser  # noqa: F401 - until every command line is in ssl_zoo.cli
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, Registry, near_miss, summary
from ssl_zoo.settings import RunSettings

BUDGETS = "budgets"  # of a recipe: settings by name of a budget, laid on top of the recipe where that budget is asked for
LADDER = "ladder"  # beside the recipes, a file that holds many: benchmarks/ladder.py reads it
PARTS = 100_000  # values in a recipe, with what its aliases stand for
SHORT = "short"  # the budget of a recipe as it stands
SECTIONS = {"datasets": DATASETS, "nets": NETS, "algorithms": ALGORITHMS}  # options by registered name


class _Loader(yaml.SafeLoader):
    """Safe YAML, in which 5e-4 is a number (YAML 1.2; in 1.1 it is a word) and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = "<<" if key.tag == "tag:yaml.org,2002:merge" else self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{name}' stands twice", node.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """What `_Loader` reads as it was: the word '1e3' in quotes."""


for side in (_Loader, _Dumper):
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
    side.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))


def parse_yaml(text: str, where: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        InputError: Not YAML; the message says where, in one line.
    """
    try:
        value = yaml.load(text, _Loader)
        _count(value, where)
        return _apart(value)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    except InputError:
        raise
    except Exception as error:  # a mapping as a key, a date that does not exist; under a tag, a text may fail as anything
        raise InputError(f"{where} is not usable YAML: {error}") from error


def _count(value: Any, where: str) -> None:
    """Refuse what a few aliases can make of a small file: a value without end, or of more parts than memory holds."""
    seen: dict[int, int] = {}  # of mappings and sequences, by identity, the parts with all that is in them; 0: not known yet

    def parts(part: Any) -> int:
        if not isinstance(part, dict | list):
            return 1
        if seen.get(id(part)) == 0:
            raise InputError(f"{where} holds a value that contains itself")
        if id(part) not in seen:
            seen[id(part)] = 0
            seen[id(part)] = 1 + sum(map(parts, part.values() if isinstance(part, dict) else part))
        return seen[id(part)]

    if parts(value) > PARTS:
        raise InputError(f"{where} holds more than {PARTS:,} values, which no recipe needs")


def _apart(value: Any) -> Any:
    """The value with no part in two places, as an alias puts it: what is set in one of them must not change the other."""
    if isinstance(value, dict):
        return {name: _apart(part) for name, part in value.items()}
    return [_apart(part) for part in value] if isinstance(value, list) else value


def read_recipe(name: str, folder: Path) -> dict[str, Any]:
    """The mapping in a recipe: a file, or NAME for `folder`/NAME.yaml.

    Raises:
        InputError: No such recipe, not YAML, or not a mapping.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.stem != LADDER}
    path = known.get(name, Path(name))
    if not os.path.isfile(path):  # not of pathlib, for which a name can be too long to be no file
        raise InputError(
            f"no recipe is called '{name}' and no such file exists; {near_miss(name, list(known))}known: {', '.join(known)}"
        )
    return as_recipe(read_mapping(path, "a recipe", "settings, such as `labels: 20`"), str(path))


def read_mapping(path: Path, what: str, of: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Args:
        path: The file.
        what: What it should be, for messages: a recipe.
        of: What that is a mapping of.

    Raises:
        InputError: It cannot be read, is not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    found = parse_yaml(text, str(path))
    if found is None:
        raise InputError(f"{path} is empty; {what} is a mapping of {of}")
    if not isinstance(found, dict):
        raise InputError(f"{path} is not {what}: it must be a mapping of {of}, not a {type(found).__name__}")
    return found


def as_recipe(recipe: dict[str, Any], where: str) -> dict[str, Any]:
    """A recipe with the canonical names in its sections, so that --set and other recipes meet them, whatever their spelling.

    Args:
        recipe: A mapping of settings, which is changed in place.
        where: Its place, for messages.

    Raises:
        InputError: An unknown name, or budgets that are no mappings.
    """
    budgets = recipe.get(BUDGETS, {})
    if not isinstance(budgets, dict) or not all(isinstance(budget, dict) for budget in budgets.values()):
        raise InputError(f"{where}: {BUDGETS} must be a mapping from names to settings, such as `full: {{steps: 1000000}}`")
    for part in (recipe, *budgets.values()):
        for section, registry in SECTIONS.items():
            if section in part:
                part[section] = _canonical(section, registry, part[section])
    return recipe


def read_recipes(
    names: Sequence[str], folder: Path, budget: str = SHORT, on_top: Sequence[tuple[str, dict[str, Any]]] = ()
) -> dict[str, Any]:
    """Recipes, each on top of those before: of each its own settings, and on top of these its budget of that name.

    Args:
        names: Of recipes, or files.
        folder: Where the recipes are that are named.
        budget: Its name.
        on_top: Further recipes, on top of all these, each after what it is called in messages.

    Raises:
        InputError: As `read_recipe`; or none of them has that budget.
    """
    given: dict[str, Any] = {}
    known = {SHORT: None}
    for recipe in [*(read_recipe(name, folder) for name in names), *(recipe for _, recipe in on_top)]:
        budgets = recipe.get(BUDGETS, {})
        known |= dict.fromkeys(map(str, budgets))
        put_recipe(given, {name: value for name, value in recipe.items() if name != BUDGETS})
        put_recipe(given, budgets.get(budget, {}))
    if budget not in known:
        near = near_miss(budget, list(known))
        called = " + ".join([*names, *(name for name, _ in on_top)])
        raise InputError(f"the recipe {called} has no budget '{budget}'; {near}it has: {', '.join(known)}")
    return given


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested mappings, such as `optimizer.lr`. A mapping as the value replaces what stands there.

    Raises:
        InputError: Something on the way is not a mapping.
    """
    *way, last = key.split(".")
    place = settings
    for depth, part in enumerate(way):
        if place.get(part) is None:  # also what an empty section of a recipe is
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise InputError(f"cannot set {key}: {'.'.join(way[: depth + 1])} is {place!r}, not a mapping")
    place[last] = value


def put_recipe(settings: dict[str, Any], recipe: Mapping[str, Any], prefix: str = "") -> None:
    """Lay a recipe on top of settings: mappings are merged, and anything else, or a view, replaces what stands there."""
    for name, value in recipe.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), dict) and prefix != "views.":
            put_recipe(settings[name], value, f"{prefix}{name}.")
        else:
            settings[name] = value


def put_assignment(settings: dict[str, Any], assignment: str) -> None:
    """Apply one `--set KEY=VALUE`; the value is YAML.

    Raises:
        InputError: Not of that form.
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set wants KEY=VALUE, such as optimizer.lr=0.1, not '{assignment}'")
    put(settings, canonical_key(key.strip()), parse_yaml(value, f"the value of --set {key}"))


def canonical_key(key: str) -> str:
    """`algorithms.mean-teacher.weight` -> `algorithms.meanteacher.weight`, so that it meets the recipe's own spelling."""
    section, *rest = key.split(".")
    if section in SECTIONS and rest:
        rest[0] = SECTIONS[section].resolve(rest[0]).name
    return ".".join((section, *rest))


def _shown(annotation: Any) -> str:
    """A type in words: int or 'all'."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(map(_shown, parts))
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(repr, parts))
    if annotation is type(None):
        return "null"
    return re.sub(r"typing\.", "", inspect.formatannotation(annotation))


def resolve_options(where: str, target: Callable[..., Any], given: Any, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Check options against the keyword-only parameters of a class or function, and fill in its defaults.

    Args:
        where: Their place in the settings, for messages ("algorithms.meanteacher"); empty at the top.
        target: What they are options of.
        given: A mapping; may be empty.
        skip: Parameters that are not the user's to set.

    Returns:
        Every option with its value, of the type that its annotation says.

    Raises:
        InputError: Not a mapping, an unknown option (with the near miss), or a value of the wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser  # types and defaults from signatures; a fifth of a second to import

    at = f"{where}." if where else ""
    if not isinstance(given, Mapping):
        raise InputError(f"{where} must be a mapping of options, not {given!r}")
    parameters = inspect.signature(target).parameters
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    options = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name not in skip]
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    add(target, skip={name for name in parameters if name not in options})
    for name, value in given.items():
        if name not in options:
            takes = f"options: {', '.join(options)}" if options else "it has no options"
            raise InputError(f"{where or 'the settings'} has no option '{name}'; {near_miss(str(name), options)}{takes}")
        try:
            parser.parse_object({name: value})
            wrong = value is None and type(None) not in typing.get_args(hints[name])  # the parser lets null through
        except (ArgumentError, OverflowError):  # a whole number beyond what a float holds
            wrong = True
        if wrong:
            raise InputError(f"{at}{name} = {value!r} is not of the type {_shown(hints[name])}")
    return parser.parse_object(dict(given)).as_dict()


def _canonical(section: str, registry: Registry, given: Any) -> dict[str, Any]:
    """A section of options by registered name, with the canonical names."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"{section} must be a mapping from names to options, not {given!r}")
    named: dict[str, Any] = {}
    for name, options in given.items():
        canonical = registry.resolve(str(name)).name
        if canonical in named:
            raise InputError(f"{section} names '{canonical}' twice, the second time as '{name}'; keep one")
        named[canonical] = options
    return named


def _by_name(section: str, registry: Registry, given: Any) -> dict[str, dict[str, Any]]:
    """Check a section of options by registered name; every name in it, not only the one that a run uses."""
    entries = {name: (registry.resolve(name), options) for name, options in _canonical(section, registry, given).items()}
    return {
        n: resolve_options(f"{section}.{n}", e.target, {} if options is None else options, frozenset(e.fixed))
        for n, (e, options) in entries.items()
    }


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
            raise InputError(f"there is no setting '{name}'; {near_miss(str(name), fields)}settings: {', '.join(fields)}")
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
    return RunSettings(**values)


def plain(settings: RunSettings) -> dict[str, Any]:
    """The settings as mappings, lists and scalars, for YAML and JSON."""

    def lists(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: lists(part) for name, part in value.items()}
        return [lists(part) for part in value] if isinstance(value, list | tuple) else value

    return lists(dataclasses.asdict(settings))


def dump(settings: RunSettings) -> str:
    """The settings as YAML, which is itself a recipe."""
    return dump_mapping(plain(settings))


def dump_mapping(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML."""
    return yaml.dump(recipe, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return flat


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
            lines += ["", f"{section}.{name}: {summary(target)}", *_explain(f"{section}.{name}.", target, options)]
    return "\n".join(lines)


def _explain(prefix: str, target: Callable[..., Any], values: Mapping[str, Any]) -> Iterator[str]:
    from docstring_parser import parse

    documentation = {p.arg_name: " ".join((p.description or "").split()) for p in parse(inspect.getdoc(target) or "").params}
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name, value in values.items():
        yield f"  {prefix}{name} = {json.dumps(value)}  ({_shown(hints[name])})"
        yield from textwrap.wrap(documentation.get(name, ""), 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
