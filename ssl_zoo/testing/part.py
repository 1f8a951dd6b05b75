"""What the checks of nets, data sets and augmentations share: how one is run, and what a list of them reports."""

import functools
import inspect
import traceback
import typing
import unittest
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from docstring_parser import parse

from ssl_zoo.errors import InputError
from ssl_zoo.registry import Entry, Registry, near_miss
from ssl_zoo.testing.check import exempt_of
from ssl_zoo.testing.subject import CheckFailed, fail


class PartCheck(NamedTuple):
    """One named check of one net, data set or augmentation. Calling it runs it."""

    function: Callable[[Any], None]
    subject: Any  # what the function takes; knows its `entry`
    exempt: str | None  # the reason why this check cannot hold

    @property
    def name(self) -> str:
        """What it is called."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """What it asks, in a line."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run the check. It leaves torch's random state and default type as they were.

        Raises:
            CheckFailed: The check does not hold.
            unittest.SkipTest: It need not; pytest reports the reason as that of a skipped test.
        """
        entry = self.subject.entry
        if self.exempt is not None:
            raise unittest.SkipTest(f"{entry.name} is exempt from '{self.name}': {self.exempt}")
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            with torch.random.fork_rng():
                self.function(self.subject)
        except CheckFailed as failure:
            raise CheckFailed(f"{entry.name}, check '{self.name}': {failure}") from failure.__cause__
        except Exception as error:  # of what is checked; the failure keeps it as its cause
            raise CheckFailed(f"{entry.name}, check '{self.name}': it raised {described(error)}") from error
        finally:
            torch.set_default_dtype(default)


def described(error: BaseException) -> str:
    """Type, first line and place of an error."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    first = next(filter(None, (line.strip() for line in str(error).splitlines())), "")
    return f"{type(error).__name__}: {first} ({frame.filename}, line {frame.lineno})"


def entry_of(registry: Registry, part: Any, options: Iterable[str]) -> Entry:
    """The entry of a registered name, or of a class or function that is not registered.

    Raises:
        InputError: No such name, nothing that can be called, or no such option.
    """
    if not isinstance(part, str) and not callable(part):
        raise InputError(f"{part!r} is neither a registered {registry.kind} nor a class or function")
    entry = registry.resolve(part) if isinstance(part, str) else Entry(getattr(part, "__name__", repr(part)), part, {})
    try:
        known = list(inspect.signature(entry.target).parameters)
    except ValueError as error:  # a class of Python itself, such as dict
        raise InputError(f"{entry.name} is no {registry.kind} that could be checked ({error})") from error
    for option in options:
        if option not in known:
            listed = ", ".join(entry.options) or "none"
            raise InputError(f"{entry.name} has no option '{option}'; {near_miss(option, known)}options: {listed}")
    return entry


def checks_of(subject: Any, functions: Sequence[Callable[[Any], None]]) -> list[PartCheck]:
    """The checks of a subject, with what it is exempt from: the attribute `exempt` of its class or function.

    Raises:
        InputError: `exempt` names no check, or gives no reason.
    """
    exempt = exempt_of(subject.entry, [function.__name__ for function in functions])
    return [PartCheck(function, subject, exempt.get(function.__name__)) for function in functions]


def declared_options(entry: Entry, first: Sequence[str]) -> None:
    """Fail unless options are keyword-only, with a default, a type and a line under `Args:`.

    Args:
        entry: What has the options.
        first: Names of the parameters that come before them, by position.
    """
    parameters = list(inspect.signature(entry.target).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if positional != list(first):
        wanted = f"`{', '.join([*first, '*'])}`, then options by keyword only"
        fail(f"it takes {', '.join(positional) or 'nothing'} by position; it takes {wanted}")
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
        fail("it takes *arguments or **options, which no recipe can be checked against; name each option")
    if not entry.summary or entry.target.__doc__ is None:
        fail("it has no docstring; its first line is shown by --list")
    hints = typing.get_type_hints(entry.target.__init__ if inspect.isclass(entry.target) else entry.target)
    documented = {p.arg_name for p in parse(inspect.getdoc(entry.target) or "").params if p.description}
    for name, parameter in entry.options.items():
        if parameter.default is parameter.empty:
            fail(f"the option '{name}' has no default")
        if name not in hints:
            fail(f"the option '{name}' has no type, so a recipe cannot be checked against it; write `{name}: float = ...`")
        if name not in documented:
            fail(f"the option '{name}' is not documented; add `{name}: ...` under `Args:` in the docstring")
    for name in documented - set(entry.options) - set(entry.fixed) - set(first):
        fail(f"`Args:` documents an option '{name}' that there is not")


def refuses_misspelt(entry: Entry, arguments: Sequence[Any]) -> None:
    """Fail unless a misspelt option raises a TypeError that names it, and by the registered name also the near miss."""
    registry = Registry("part")
    registry.register("part")(entry.target)
    for name in list(entry.options) or ["option"]:
        wrong = f"{name}_{name[-1]}"
        for make in (entry.target, functools.partial(registry.create, "part")):
            try:
                make(*arguments, **entry.fixed, **{wrong: 1})
            except TypeError as error:
                near = make is entry.target or len(name) < 3 or not entry.options or f"'{name}'" in str(error)
                bare = make is entry.target and not entry.options  # a class without a constructor "takes no arguments"
                if bare or (wrong in str(error) and near):
                    continue
                fail(f"the misspelt option '{wrong}' gives '{error}'; the message must name it, and its near miss")
            fail(f"the misspelt option '{wrong}' is accepted")
