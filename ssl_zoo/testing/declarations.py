"""Checks of what a method declares: its views, its terms, its options."""

import functools
import inspect
import typing
from collections.abc import Iterator
from typing import Any, Literal

import torch
from docstring_parser import parse

from ssl_zoo.registry import Registry
from ssl_zoo.testing.subject import Subject, TinyNet, differing, fail, make_batch, make_facts, snapshot, update


def declarations(subject: Subject) -> None:
    """Views, targets and weights are declared as the contract says, and the class says in a line what it is."""
    method = subject.make()  # the base class refuses the class's views, if they break the rule
    method.check_views()  # and those that the constructor chose
    for k in method.target_views():
        if k not in range(len(method.views)):
            fail(f"`targets` holds {k}, but `views` has the places 0 to {len(method.views) - 1}")
    taught = [k for k, view in enumerate(method.views) if k not in method.target_views()]
    for k in method.target_views():
        if method.views[k] == "strong" and any(method.views[other] == "weak" for other in taught):
            fail(
                f"`targets` holds {k}, a strong view, and a weak one learns from it; the weak view is the target, the strong one "
                "learns. Are the two exchanged?"
            )
    for term, option in subject.weights.items():
        if option not in subject.entry.options:
            fail(f"`weights` says that '{option}' weighs the term '{term}', but no option is called so")
    for option in method.gates:
        if option not in subject.entry.options:
            fail(f"`gates` says that '{option}' closes a gate, but no option is called so")
        try:
            subject.make({option: method.gates[option]})
        except (ValueError, TypeError) as error:
            fail(f"`gates` says that {option} = {method.gates[option]} opens a gate, but the method refuses it: {error}")
    if not subject.entry.summary or subject.entry.target.__doc__ is None:
        fail("the class has no docstring; its first line is shown by --list")


RESERVED = ("batch", "steps")  # what a recipe may set in a method's section; a test holds it to `settings.OWN`


def options(subject: Subject) -> None:
    """Every option is keyword-only, has a default and a type, and is documented under `Args:`."""
    target = subject.entry.target
    parameters = list(inspect.signature(target).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if positional != ["net", "facts"]:
        fail(f"the constructor takes {', '.join(positional)} by position; it takes `net, facts, *`, then options by keyword only")
    hints = typing.get_type_hints(target.__init__)
    documented = {p.arg_name for p in parse(inspect.getdoc(target) or "").params if p.description}
    for name, parameter in subject.entry.options.items():
        if parameter.default is parameter.empty:
            fail(f"the option '{name}' has no default")
        if name not in hints:
            fail(f"the option '{name}' has no type, so a recipe cannot be checked against it; write `{name}: float = ...`")
        if name in RESERVED:
            fail(f"the option '{name}' has the name of a setting of runs, which a recipe may give a method; call it otherwise")
        if name not in documented:
            fail(f"the option '{name}' is not documented; add `{name}: ...` under `Args:` in the class's docstring")
    for name in documented - set(subject.entry.options) - set(subject.entry.fixed) - {"net", "facts"}:
        fail(f"`Args:` documents an option '{name}' that the constructor does not have")


def misspelt_option(subject: Subject) -> None:
    """A misspelt option raises a TypeError that names it; by the registered name, also the near miss."""
    target, known = subject.entry.target, list(subject.entry.options)
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values()):
        fail("the constructor takes **options, so that a misspelt one is swallowed; name each option")
    registry = Registry("algorithm")
    registry.register("method")(target)
    for name in known or ["option"]:
        wrong = f"{name}_{name[-1]}"
        for make in (target, functools.partial(registry.create, "method")):
            try:
                make(TinyNet(False), make_facts(), **subject.entry.fixed, **{wrong: 1})
            except TypeError as error:
                near = make is target or len(name) < 3 or not known or f"'{name}'" in str(error)
                if wrong in str(error) and near:
                    continue
                fail(f"the misspelt option '{wrong}' gives '{error}'; the message must name it, and its near miss")
            fail(f"the misspelt option '{wrong}' is accepted")


def options_read(subject: Subject) -> None:
    """Each option, when changed, changes the state or a term within some steps; what nothing reads is no option."""
    baseline: dict[str, Any] = {}
    for option in subject.entry.options:
        if not list(_others(subject, option)):  # a type with no other values that could be guessed, such as a word
            continue
        for context in _contexts(subject, option):
            key = repr(context)
            if key not in baseline:
                baseline[key] = _trajectory(subject, context)
            if baseline[key] is not None and _changes(subject, option, context, baseline[key]):
                break
        else:
            fail(
                f"no value of the option '{option}' that was tried changes anything in five steps; nothing reads it. "
                "(Tried: other words of a Literal, the other bool, other numbers, also beside each other option changed)"
            )


Trajectory = tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]


def _others(subject: Subject, option: str) -> Iterator[Any]:
    """Values of an option that differ from the one in force."""
    hint = typing.get_type_hints(subject.entry.target.__init__).get(option)
    now = subject.options.get(option, subject.entry.options[option].default)
    for kind in (hint, *typing.get_args(hint)):
        if typing.get_origin(kind) is Literal:
            yield from (word for word in typing.get_args(kind) if word != now)
        elif kind is bool:
            yield not now
        elif kind in (int, float) and isinstance(now, int | float | None):
            given = now or 0
            yield from (kind(v) for v in (2 * given, given / 2, given + 1, 0.3, 0.9, 3, 0) if kind(v) != now)
        elif isinstance(now, tuple) and now and all(isinstance(part, int | float) for part in now):
            yield from (
                tuple(type(part)(how(part)) for part in now) for how in (lambda v: v / 2, lambda v: 2 * v, lambda v: v + 1)
            )
            break


def _contexts(subject: Subject, option: str) -> Iterator[dict[str, Any]]:
    """Yield values of the other options: as they are, all gates open, then each changed, since one may hide another."""
    yield {}
    gates = {name: value for name, value in subject.make().gates.items() if name != option and name in subject.entry.options}
    if gates:
        yield gates
    for other in subject.entry.options:
        if other != option:
            for value in list(_others(subject, other))[:3]:
                yield {other: value}


def _changes(subject: Subject, option: str, context: dict[str, Any], plain: Trajectory) -> bool:
    for value in _others(subject, option):
        changed = _trajectory(subject, {**context, option: value})
        if changed is None:  # not a value that the option can have
            continue
        if differing(plain[0], changed[0]) or any(differing(a, b) for a, b in zip(plain[1], changed[1], strict=True)):
            return True
    return False


def _trajectory(subject: Subject, options: dict[str, Any]) -> Trajectory | None:
    """Return the state after some steps at several moments of a run, and all terms; None if the values will not do."""
    try:
        method = subject.make(options, norm=True)
    except (ValueError, TypeError, AssertionError):  # refused by the method
        return None
    logged = []
    for step, progress in enumerate((0.02, 0.1, 0.25, 0.6, 1.0)):
        out = update(method, make_batch(method, step), progress)
        logged.append({"total": out.total.detach(), **{name: value.detach() for name, value in out.terms.items()}})
    numbers = [tensor for values in (method.state_dict(), *logged) for tensor in values.values()]
    return (snapshot(method), logged) if all(tensor.isfinite().all() for tensor in numbers) else None  # NaN differs from itself
