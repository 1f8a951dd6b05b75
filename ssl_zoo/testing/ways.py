"""The ways in which a check is run: with gates as they are and open, with neutral draws."""

import functools
from collections.abc import Callable
from typing import Any

from ssl_zoo.testing.draws import neutral_draws
from ssl_zoo.testing.subject import CheckFailed, Subject

Check = Callable[..., Any]


def openings(subject: Subject, *, momenta: bool = False) -> list[Subject]:
    """Return the method as it is, and with its gates open: what a half-open gate hides an open one shows.

    Args:
        subject: What the caller sets stays as it is.
        momenta: In between, with options with "momentum" in their name at .5, so that a statistic of a batch shows.
    """
    free = {name: p.default for name, p in subject.entry.options.items() if name not in subject.options}
    gates = {name: value for name, value in subject.make().gates.items() if name in free and free[name] != value}
    slow = {name: 0.5 for name, now in free.items() if momenta and "momentum" in name and isinstance(now, float)}
    ways = [{}, slow, {**slow, **gates}]
    return [subject._replace(options={**subject.options, **way}) for k, way in enumerate(ways) if way not in ways[:k]]


def each_opening(check: Check | None = None, *, momenta: bool = False) -> Any:
    """Decorator: run a check for each of the `openings`; a failure says what was opened."""
    if check is None:
        return functools.partial(each_opening, momenta=momenta)

    @functools.wraps(check)
    def run(subject: Subject, *more: Any) -> None:
        for one in openings(subject, momenta=momenta):
            way = {name: value for name, value in one.options.items() if name not in subject.options}
            try:
                check(one, *more)
            except CheckFailed as failure:
                said = f" (with {', '.join(f'{name} = {value}' for name, value in way.items())})" if way else ""
                raise CheckFailed(f"{failure}{said}") from failure.__cause__

    return run


def up_to_rounding(check: Check) -> Check:
    """Decorator: what fails in float32 is asked again in float64, where rounding is no excuse."""

    @functools.wraps(check)
    def run(subject: Subject) -> None:
        try:
            check(subject)
        except CheckFailed as failure:
            try:
                check(subject._replace(double=True))
            except Exception:  # it fails there too, or does not run in float64
                raise failure from failure.__cause__

    return run


def neutrally(check: Check) -> Check:
    """Decorator: run a check with neutral draws. It returns what was drawn, by the names of torch's operations."""

    @functools.wraps(check)
    def run(subject: Subject) -> set[str]:
        with neutral_draws() as replaced:
            check(subject)
        return replaced

    return run
