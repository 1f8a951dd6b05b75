"""The axes of a grid: any setting, with the values that it takes."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ssl_zoo import config, recipes
from ssl_zoo.errors import InputError
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.runs.row import OF_STEPS
from ssl_zoo.settings import RunSettings

MISSING = object()
LONGEST_KEY, LONGEST = 48, 24  # characters of a setting and of a value in a folder's name, before a hash
SHAPE = "KEY=V1,V2,..., such as optimizer.lr=0.01,0.03"


class Axis(NamedTuple):
    """A setting and its values."""

    key: str  # dotted, as recipes spell it
    values: tuple[Any, ...]

    def assignments(self) -> tuple[str, ...]:
        """Return KEY=VALUE for each value, as `config.gather` takes it."""
        return tuple(f"{self.key}={json.dumps(value)}" for value in self.values)


def read_axis(text: str) -> Axis:
    """Return what `optimizer.lr=0.01,0.03` stands for. The values are those of a list in YAML, without its brackets.

    So a comma within brackets, braces or quotes parts nothing, and `betas=[0.9,0.99],[0.9,0.999]` has two values.

    Raises:
        InputError: Not of that form.
    """
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--grid wants {SHAPE}, not '{text}'")
    found = recipes.parse_yaml(f"[{values}]", f"what --grid {key} lists")
    if not isinstance(found, list) or not found:
        raise InputError(f"--grid {key} has no value; it wants {SHAPE}")
    try:
        distinct = {json.dumps(value): value for value in found}
    except TypeError as error:
        raise InputError(f"--grid {key} has a value that no setting takes: {error}") from error
    return Axis(recipes.canonical_key(key), tuple(distinct.values()))


def within(key: str, other: str) -> bool:
    """Return whether a dotted key is another one, or below it."""
    return f"{key}.".startswith(f"{other}.")


def check_apart(axes: Sequence[Axis]) -> None:
    """Refuse two axes of which one would undo the other.

    Raises:
        InputError: There are such.
    """
    for place, axis in enumerate(axes):
        for other in axes[:place]:
            if axis.key == other.key:
                raise InputError(f"--grid {axis.key} is given twice; give all its values in one")
            if within(axis.key, other.key) or within(other.key, axis.key):
                raise InputError(f"--grid {axis.key} and --grid {other.key} set the same; give the whole values in one of them")


def value_of(settings: RunSettings, key: str) -> Any:
    """Return what settings have at a dotted key; MISSING where they have no such place, as another method's option."""
    place: Any = config.plain(settings)
    for part in recipes.parts_of_key(key) or key.split("."):
        if not isinstance(place, Mapping) or part not in place:
            return MISSING
        place = place[part]
    return place


def idle(keys: Sequence[str], runs: Sequence[RunSettings]) -> Iterator[str]:
    """Yield a line for each axis that changes nothing in methods of runs, as they are fitted at once."""
    algs = [alg for alg in dict.fromkeys(run.alg for run in runs) if is_baseline(alg)]
    for key in keys:
        if algs and key.split(".")[0] in OF_STEPS:
            yield f"{key} changes nothing in {', '.join(algs)}, without steps: each value is the same run again"


def named_values(settings: RunSettings, keys: Sequence[str]) -> Iterator[str]:
    """Yield what a cell's folder is called by besides method, net, labels and seed: `weight=10`, `optimizer.lr=0.01`.

    Only what the settings have. The keys are in order, so that the flags' order is of no matter, and a name depends on
    no other value of its axis. Options of the method and the net stand without the name of these, which is there.
    """
    for key in sorted(keys):
        value = value_of(settings, key)
        if value is not MISSING:
            own = key.removeprefix(f"algorithms.{settings.alg}.")
            own = f"nets.{own.removeprefix(f'nets.{settings.net}.')}" if own.startswith("nets.") else own
            yield f"{_safe(own, LONGEST_KEY)}={_safe(recipes.in_words(value), LONGEST)}"


def _safe(text: str, most: int) -> str:
    """A text as a part of a file's name. What is cut or replaced leaves a hash."""
    kept = re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII)
    if kept == text and 0 < len(kept) <= most:
        return kept
    return f"{kept[:most].strip('_')}~{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
