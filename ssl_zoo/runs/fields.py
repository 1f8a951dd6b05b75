"""Whether a JSON value is of a type: numbers with bounds, lists, mappings, typed dictionaries."""

import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple


class Within(NamedTuple):
    """Bounds of a number, for `Annotated[float, Within(0, 1)]`. Neither a NaN nor an infinity lies within."""

    low: float = -math.inf
    high: float = math.inf


Share = Annotated[float, Within(0, 1)]
LARGEST = {int: 1 << 63, float: 1e300}  # no number of a result is beyond


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value read from JSON is of a type.

    Args:
        value: Of dicts, lists, texts, numbers, truth values and None.
        kind: Those types, `list[...]`, `dict[str, ...]`, a union, a `Literal`, `Annotated` with `Within`, or a
            TypedDict, of which keys that it does not declare are not looked at. A float may be a whole number; a truth
            value is no number.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return fits(value, arguments[0]) and arguments[1].low <= value <= arguments[1].high
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in arguments)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in arguments)
    if origin is list:
        return isinstance(value, list) and all(fits(part, arguments[0]) for part in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(part, arguments[1]) for part in value.values())
    if typing.is_typeddict(kind):
        return isinstance(value, dict) and next(wrong_fields(value, kind), None) is None
    if kind is float:
        return type(value) in (int, float) and abs(value) < LARGEST[float]
    if kind is int:
        return type(value) is int and abs(value) < LARGEST[int]
    return kind is Any or (value is None if kind in (None, types.NoneType) else isinstance(value, kind))


@functools.cache  # as a table may be of thousands of rows
def declared(kind: Any) -> Mapping[str, Any]:
    """Return the keys of a TypedDict, those of its bases included, with their types."""
    return {name: _bare(hint) for name, hint in typing.get_type_hints(kind, include_extras=True).items()}


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) in (typing.NotRequired, typing.Required) else hint


def missing_fields(value: Mapping[str, Any], kind: Any) -> list[str]:
    """Return the keys that a TypedDict needs and a mapping lacks."""
    return [name for name in declared(kind) if name in kind.__required_keys__ and name not in value]


def wrong_fields(value: Mapping[str, Any], kind: Any) -> typing.Iterator[str]:
    """Yield the keys of a mapping that it lacks, or whose values are not of the types that a TypedDict declares."""
    yield from missing_fields(value, kind)
    yield from (name for name, hint in declared(kind).items() if name in value and not fits(value[name], hint))
