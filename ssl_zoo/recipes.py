"""Recipes: mappings of settings in YAML files, each laid on top of those before it."""

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, DATASETS, NETS, Registry, near_miss

_INSIDE, _BESIDE = Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs"
FOLDER = _INSIDE if _INSIDE.is_dir() else _BESIDE  # in an installed package, in a checkout
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
    """The value with no part in two places, as an alias puts it.

    What is set in one of them must not change the other.
    """
    if isinstance(value, dict):
        return {name: _apart(part) for name, part in value.items()}
    return [_apart(part) for part in value] if isinstance(value, list) else value


def read_recipe(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The mapping in a recipe: a file (`~` is the home folder), or NAME for `folder`/NAME.yaml.

    Raises:
        InputError: No such recipe, not YAML, or not a mapping.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.stem != LADDER}
    path = known.get(name, Path(os.path.expanduser(name)))
    if not os.path.isfile(path):  # not of pathlib, for which a name can be too long to be no file
        raise InputError(
            f"no recipe is called '{name}' and no such file exists; {near_miss(Path(name).stem, list(known))}"
            f"known: {', '.join(known)}"
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
    """A recipe with the canonical names in its sections, so that all recipes meet them.

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
                part[section] = canonical(section, registry, part[section])
    return recipe


def read_recipes(
    names: Sequence[str],
    folder: Path = FOLDER,
    budget: str = SHORT,
    on_top: Sequence[tuple[str, dict[str, Any]]] = (),
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
    *way, last = parts_of_key(key) or key.split(".")
    place = settings
    for depth, part in enumerate(way):
        if place.get(part) is None:  # also what an empty section of a recipe is
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            raise InputError(f"cannot set {key}: {'.'.join(way[: depth + 1])} is {place!r}, not a mapping")
    place[last] = value


def put_recipe(settings: dict[str, Any], recipe: Mapping[str, Any], prefix: str = "") -> None:
    """Lay a recipe on top of settings.

    Mappings are merged, and anything else, or a view, replaces what stands there.
    """
    for name, value in recipe.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), dict) and prefix != "views.":
            put_recipe(settings[name], value, f"{prefix}{name}.")
        else:
            settings[name] = value


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """Return key and value of one `--set KEY=VALUE`; the value is YAML.

    Raises:
        InputError: Not of that form.
    """
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set wants KEY=VALUE, such as optimizer.lr=0.1, not '{assignment}'")
    return canonical_key(key.strip()), parse_yaml(value, f"the value of --set {key}")


def put_assignment(settings: dict[str, Any], assignment: str) -> None:
    """Apply one `--set KEY=VALUE`. Raises InputError as `parse_assignment`."""
    put(settings, *parse_assignment(assignment))


def canonical_key(key: str) -> str:
    """`algorithms.mean-teacher.weight` -> `algorithms.meanteacher.weight`, as recipes spell it."""
    section, *rest = key.split(".")
    if section in SECTIONS and rest and not parts_of_key(key):
        SECTIONS[section].resolve(rest[0])  # which says what may be meant
    return ".".join(parts_of_key(key))


def parts_of_key(key: str) -> list[str]:
    """Return a dotted key in its parts, with the canonical name of a method, net or data set.

    A name may have a dot, as `timm:resnet18.a1_in1k`: the longest one that is registered counts. Empty: none is.
    """
    section, *rest = key.split(".")
    if section not in SECTIONS or not rest:
        return [section, *rest]
    for count in range(max(1, len(rest) - 1), 0, -1):
        with contextlib.suppress(InputError):
            return [section, SECTIONS[section].resolve(".".join(rest[:count])).name, *rest[count:]]
    return []


def canonical(section: str, registry: Registry, given: Any) -> dict[str, Any]:
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


def dump_mapping(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML."""
    return yaml.dump(recipe, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def in_words(value: Any) -> str:
    """Return a setting's resolved value as names of cells and of variants have it: 10 and 10.0 of a float are one."""
    if isinstance(value, str):
        return value
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else json.dumps(value)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return flat
