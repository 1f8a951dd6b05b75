"""Options of a class or function, checked against its signature: names, types, defaults."""

import copy
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ssl_zoo import near
from ssl_zoo.errors import InputError
from ssl_zoo.registry import near_miss


def shown(annotation: Any) -> str:
    """Return a type in words: int or 'all'."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(map(shown, parts))
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(repr, parts))
    if annotation is type(None):
        return "null"
    return re.sub(r"typing\.", "", inspect.formatannotation(annotation))


def _words(annotation: Any) -> list[str]:
    """The words that a type allows, as literals."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [part for part in parts if isinstance(part, str)]
    return [word for part in parts for word in _words(part)]


MOST_KEPT = 4096  # sections
_RESOLVED: dict[tuple[Callable[..., Any], frozenset[str], str], dict[str, Any]] = {}  # what was found to be right before


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
    at = f"{where}." if where else ""
    if not isinstance(given, Mapping):
        raise InputError(f"{where} must be a mapping of options, not {given!r}")
    parser, hints = _parser(target, skip)
    for name, value in given.items():
        if name not in hints:
            takes = f"options: {', '.join(hints)}" if hints else "it has no options"
            meant = near_miss(str(name), hints) or near.setting(str(name), value)
            raise InputError(f"{where or 'the settings'} has no option '{name}'; {meant}{takes}")
    key = target, skip, repr(given)  # a sweep reads the same sections once for each of its cells
    resolved = _RESOLVED[key] if key in _RESOLVED else _parsed(parser, hints, given)
    if resolved is not None:
        if len(_RESOLVED) >= MOST_KEPT:
            _RESOLVED.clear()
        _RESOLVED[key] = resolved
        return copy.deepcopy(resolved)
    name = next(name for name, value in given.items() if _parsed(parser, hints, {name: value}) is None)
    value = given[name]
    words = [word for word in _words(hints[name]) if isinstance(value, str)]
    meant = near_miss(value, words).strip() if words else ""
    if typing.get_origin(hints[name]) in (list, tuple) and not isinstance(value, list | tuple | Mapping):
        meant = f"write a list, `{at}{name}=[{value}]`"
    raise InputError(f"{at}{name} = {value!r} is not of the type {shown(hints[name])}{f'; {meant}' if meant else ''}")


@functools.lru_cache(maxsize=256)  # of one recipe every method's and augmentation's options are checked, whichever runs
def _parser(target: Callable[..., Any], skip: frozenset[str]) -> tuple[Any, dict[str, Any]]:
    """A parser of a target's options, and their types by name."""
    from jsonargparse import ArgumentParser  # types and defaults from signatures; a fifth of a second to import

    parameters = inspect.signature(target).parameters
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    options = {name: hints.get(name, Any) for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name not in skip}
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    add(target, skip={name for name in parameters if name not in options})
    return parser, options


def _parsed(parser: Any, hints: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options with their defaults, or None where a value is not of its type."""
    from jsonargparse import ArgumentError

    if any(
        value is None and not {Any, type(None)} & {hints[name], *typing.get_args(hints[name])} for name, value in given.items()
    ):
        return None  # which the parser lets through
    try:
        return parser.parse_object(dict(given)).as_dict()
    except (ArgumentError, OverflowError):  # a whole number beyond what a float holds
        return None
