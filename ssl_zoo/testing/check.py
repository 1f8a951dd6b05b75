"""The list of checks, and how to run them."""

import inspect
import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, Entry, near_miss
from ssl_zoo.testing import declarations, dependence, execution, guess, learning, loss, memory, state
from ssl_zoo.testing.subject import CheckFailed, Subject

CHECKS: dict[str, Callable[[Subject], Any]] = {
    function.__name__: function
    for function in (
        state.seed,
        declarations.declarations,
        declarations.options,
        declarations.misspelt_option,
        declarations.options_read,
        loss.terms,
        loss.total,
        loss.views_used,
        loss.term_gradients,
        loss.teacher_gradients,
        guess.guess,
        learning.learns_guess,
        dependence.weight_zero_ignores_unlabeled,
        dependence.weight_zero_is_supervised,
        dependence.class_weights,
        dependence.hidden_labels,
        dependence.batch_untouched,
        dependence.order,
        dependence.mean_over_rows,
        state.loss_writes_nothing,
        state.teacher,
        memory.memory,
        state.state_dict,
        execution.graph,
        execution.no_synchronisation,
        execution.bf16,
        execution.ranks,
        execution.eval_net,
    )
}


class Check(NamedTuple):
    """One named check of one method. Calling it runs it."""

    name: str
    subject: Subject
    exempt: str | None  # the method's reason why this check cannot hold for it

    def __call__(self) -> bool:
        """Run the check.

        Returns:
            Whether the method draws at random, and was checked with neutral draws instead.

        Raises:
            CheckFailed: The method does not satisfy it.
            unittest.SkipTest: The method is exempt; pytest reports the reason as that of a skipped test.
        """
        if self.exempt is not None:
            raise unittest.SkipTest(f"{self.subject.entry.name} is exempt from '{self.name}': {self.exempt}")
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            with torch.random.fork_rng():
                return bool(CHECKS[self.name](self.subject))
        except CheckFailed as failure:
            place = _place(self.subject.entry.target, failure)
            raise CheckFailed(f"{self.subject.entry.name}, check '{self.name}': {failure}{place}") from failure.__cause__
        except Exception as error:  # the method's own, which the failure keeps as its cause
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = _place(self.subject.entry.target, error) or f" ({frame.filename}, line {frame.lineno})"
            raise CheckFailed(
                f"{self.subject.entry.name}, check '{self.name}': the method raised {type(error).__name__}: {error}{place}"
            ) from error
        finally:
            torch.set_default_dtype(default)

    def __str__(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """What it asks, in a line."""
        return (inspect.getdoc(CHECKS[self.name]) or "").partition("\n")[0]


class Report(NamedTuple):
    """What the checks of one method gave."""

    name: str
    passed: tuple[str, ...]
    exempt: dict[str, str]  # check -> reason
    neutral: tuple[str, ...] = ()  # of the passed, those that drew neutrally what the method draws at random

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.passed)} checks passed"]
        if self.neutral:
            lines.append(f"  with neutral draws: {', '.join(self.neutral)}")
        return "\n".join([*lines, *(f"  exempt from {check}: {reason}" for check, reason in self.exempt.items())])


def iter_checks(algorithm: type[AlgorithmBase] | str, **options: Any) -> Iterator[Check]:
    """Every check of a method, to be called one by one. They leave torch's random state and default type as they were.

    Args:
        algorithm: A class, or a registered name.
        options: Of the method, in every check. Gates are opened by the checks, as the method's `gates` say; one that is
            not declared is opened here, such as `threshold=0`.

    Raises:
        InputError: Not a method, no such option, or its `exempt` names no check.
    """
    entry = ALGORITHMS.resolve(algorithm) if isinstance(algorithm, str) else Entry(_name(algorithm), algorithm, {})
    if not (inspect.isclass(entry.target) and issubclass(entry.target, AlgorithmBase)):
        raise InputError(f"{entry.name} is not a subclass of ssl_zoo.AlgorithmBase, so there is nothing to check")
    if issubclass(entry.target, Baseline):
        raise InputError(f"{entry.name} is fitted at once and has no loss to check; compare it with what it fits")
    for option in options:
        if option not in entry.options:
            known = list(entry.options)
            raise InputError(f"{entry.name} has no option '{option}'; {near_miss(option, known)}options: {', '.join(known)}")
    subject, exempt = _made(entry, options)
    return iter([Check(name, subject, exempt_of(entry, list(CHECKS), exempt).get(name)) for name in CHECKS])


def _made(entry: Entry, options: dict[str, Any]) -> tuple[Subject, Mapping[str, str]]:
    """Return the subject, with a weight that is 0 by default at 1, and what it is exempt from with its options."""
    subject = Subject(entry, options)
    try:
        with torch.random.fork_rng():
            subject = subject._replace(options={**_terms_on(subject), **options})
            return subject, subject.make().exempt
    except Exception:  # the method's own, which each check says in its words
        return subject, entry.target.exempt


def _terms_on(subject: Subject) -> dict[str, float]:
    """Return 1 for each weight that is 0 by default; a method may declare a weight only where it is not."""
    zero = [name for name, p in subject.entry.options.items() if isinstance(p.default, int | float) and p.default == 0]
    declared = set(subject.weights.values())
    for name in zero:
        try:
            declared |= set(subject.make({name: 1.0}).weights.values()) & {name}
        except Exception:  # not a value that the option can have
            continue
    return {name: 1.0 for name in zero if name in declared and name not in subject.options}


def check_algorithm(algorithm: type[AlgorithmBase] | str, **options: Any) -> Report:
    """Run every check of a method.

    Args:
        algorithm: A class, or a registered name.
        options: Of the method, in every check. Gates are opened by the checks, as the method's `gates` say; one that is
            not declared is opened here, such as `threshold=0`.

    Returns:
        What passed, and what the method is exempt from and why.

    Raises:
        CheckFailed: Some did not pass; the message holds those of all.
        InputError: Not a method, or its `exempt` names no check.
    """
    return run_all(list(iter_checks(algorithm, **options)), last="seed")  # or most others would fail for that reason alone


def run_all(checks: Sequence[Any], last: str = "") -> Report:
    """Run checks one after the other.

    Args:
        checks: With a name, a subject and, where it need not hold, a reason. Failures are reported in this order, but
            that of an option that nothing reads last: most often it is a sign of the fault that another check names.
        last: The name of the one after whose failure there is nothing to run the others on; the first, unless said.

    Raises:
        CheckFailed: Some did not pass; the message holds those of all.
    """
    passed, neutral, exempt, failures = [], [], {}, []
    for check in checks:
        if check.exempt is not None:
            exempt[check.name] = check.exempt
            continue
        try:
            drew = check()
        except CheckFailed as failure:
            failures.append(failure)
            if check.name == (last or checks[0].name):
                break
        else:
            passed.append(check.name)
            neutral += [check.name] * bool(drew)
    failures.sort(key=lambda failure: "check 'options_read'" in str(failure))
    if failures:
        many = f"{len(failures)} of {len(checks)} checks failed\n"
        raise CheckFailed("\n".join([many, *map(str, failures)]) if len(failures) > 1 else str(failures[0])) from failures[0]
    return Report(checks[0].subject.entry.name, tuple(passed), exempt, tuple(neutral))


def exempt_of(entry: Entry, known: Sequence[str], declared: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the checks that a registered thing is exempt from, each with the reason.

    Args:
        entry: The thing.
        known: Names of the checks.
        declared: Of an instance; None: the class's.

    Raises:
        InputError: There is no such check, or no reason.
    """
    exempt = dict(getattr(entry.target, "exempt", {}) if declared is None else declared)
    for name, reason in exempt.items():
        if name not in known:
            near = near_miss(name, list(known))
            raise InputError(f"{entry.name}.exempt names a check '{name}'; {near}checks: {', '.join(known)}")
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"{entry.name}.exempt gives no reason for '{name}'; say why it cannot hold")
    return exempt


def _place(target: type, error: BaseException | None) -> str:
    """Return ` (file, line n)`: the last line of the method's own file that an error went through; else nothing."""
    try:
        file = inspect.getfile(target)
    except (TypeError, OSError):  # made where there is no file
        return ""
    lines = []
    while error is not None:
        frames = [*traceback.extract_tb(error.__traceback__), *(getattr(error, "real_stack", None) or ())]  # the tracer's own
        lines += [frame.lineno for frame in frames if frame.filename == file]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f" ({file}, line {lines[-1]})" if lines else ""


def _name(target: Any) -> str:
    return getattr(target, "__name__", repr(target))
