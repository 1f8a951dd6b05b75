"""Run the cells of a grid until each has an outcome or has failed twice."""

import collections
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from ssl_zoo import recipes
from ssl_zoo.errors import BusyError, InputError, RunError
from ssl_zoo.sweeps.axes import value_of
from ssl_zoo.sweeps.cells import Cell, Sorted
from ssl_zoo.sweeps.clock import Clock, shown
from ssl_zoo.sweeps.engines import Ended, Engine

AGAIN = 2.0  # seconds until a cell is looked at again that another process is at work on


class Screen(Protocol):
    """Shows how it goes."""

    def show(self, done: int, total: int, running: Sequence[Cell], left: float) -> None: ...

    def say(self, text: str) -> None: ...


class Drive:
    """Cells on their way.

    Args:
        todo: Those without an outcome.
        engine: Runs them.
        clock: Knows how long they take.
        screen: Is told.
        done: How many have an outcome.
    """

    def __init__(self, todo: Sequence[Cell], engine: Engine, clock: Clock, screen: Screen, done: int):
        self.engine, self.clock, self.screen = engine, clock, screen
        self.done, self.total = done, done + len(todo)
        self.waiting = collections.deque(todo)
        self.active: dict[Any, Cell] = {}
        self.failures: collections.Counter[str] = collections.Counter()
        self.failed: dict[str, str] = {}
        self._again: dict[str, float] = {}  # when to look at a cell that another sweep is at work on

    def run(self) -> dict[str, str]:
        """Run them all. Returns those that failed, by name, with what they said."""
        while self.waiting or self.active:
            self._submit()
            if not self.active:
                time.sleep(0.5)
                continue
            for handle, ended in self.engine.ended(self.active, 0.5):
                self._take(self.active.pop(handle), ended)
            left = sum(self.clock.estimate(cell) for cell in (*self.waiting, *self.active.values())) / self.engine.slots
            self.screen.show(self.done, self.total, list(self.active.values()), left)
        return self.failed

    def _submit(self) -> None:
        """Give the engine as many cells as it has slots, but none that another process is at work on."""
        for _ in range(len(self.waiting)):
            cell = self.waiting.popleft()
            due = len(self.active) < self.engine.slots and self._again.get(cell.name, 0) <= time.monotonic()
            if due and cell.folder.is_locked():
                if cell.name not in self._again:
                    self.screen.say(f"{cell.name} is being run by another process; waiting for it")
                self._again[cell.name] = time.monotonic() + AGAIN
            elif due:
                self.active[self.engine.submit(cell)] = cell
                continue
            self.waiting.append(cell)

    def _take(self, cell: Cell, ended: Ended) -> None:
        """Take into account how a cell ended."""
        if ended.status == BusyError.status:
            self._again[cell.name] = time.monotonic() + AGAIN
            self.waiting.append(cell)
            return
        problem = _problem(cell, ended)
        if problem is None:
            self.done += 1
            self.clock.learn(cell)
            row = cell.row
            assert row is not None
            said = f"accuracy {100 * row['accuracy']:.2f} % in {shown(row['seconds'])}"
            self.screen.say(f"{self.done}/{self.total} {cell.name}: {said}")
        elif ended.status == RunError.status and cell.diverged is not None:
            self.done += 1
            self.screen.say(f"{self.done}/{self.total} {cell.name} diverged: {cell.diverged} (all of it: {cell.log})")
        else:
            self._fail(cell, problem, final=ended.status == InputError.status)

    def _fail(self, cell: Cell, problem: str, final: bool) -> None:
        self.failures[cell.name] += 1
        if final or self.failures[cell.name] > 1:
            self.failed[cell.name] = problem
            self.screen.say(f"failed: {cell.name}: {problem} (all of it: {cell.log})")
        else:
            self.screen.say(f"{cell.name} failed and is tried once more: {problem}")
            self.waiting.append(cell)


def _problem(cell: Cell, ended: Ended) -> str | None:
    if ended.status == 0:
        try:
            return None if cell.row is not None else "it ended without a result"
        except InputError as error:
            return str(error)
    died = f" (killed by signal {-ended.status})" if ended.status < 0 else ""
    return f"{ended.says}{died}"


WORDS = {
    "alg": ("method", "methods"),
    "net": ("net", "nets"),
    "labels": ("number of labels", "numbers of labels"),
    "seed": ("seed", "seeds"),
}


def plan(cells: Sequence[Cell], found: Sorted, clock: Clock, slots: int) -> Iterator[str]:
    """Yield what will be run, and how long it should take."""
    kinds = {name: len({getattr(cell.settings, name) for cell in cells}) for name in WORDS}
    many = "s" * (len(cells) != 1)
    yield f"{len(cells)} cell{many}: {' x '.join(f'{count} {WORDS[name][count != 1]}' for name, count in kinds.items())}"
    for key in sorted({key for cell in cells for key in cell.axes}):
        taken = dict.fromkeys(recipes.in_words(value_of(cell.settings, key)) for cell in cells if key in cell.axes)
        yield f"{key}: {', '.join(taken)}"
    begun = sum(cell.steps_done > 0 for cell in found.todo if cell not in found.aside)
    lost = [cell for cell in found.done if cell.diverged is not None]
    if found.aside:
        some, first = len(found.aside), found.aside[0]
        which = "a run that is" if some == 1 else f"{some} runs that are"
        yield (
            f"{which} of other settings or code will be moved aside, such as {first.path} to {first.folder.next_aside().name}, "
            "and stay on the disk until you remove them"
        )
    if lost:
        yield f"{len(lost)} diverged before, such as {lost[0].name}; to try one again, remove its folder"
    stale = [cell for cell in found.stale if cell.diverged is None]
    other = f", of these {len(stale)} with other code" if stale else ""
    done = len(found.done) - len(lost)
    yield f"{done} finished{other}, {len(found.todo)} to run ({begun} of them half-done), {slots} at a time"
    if found.todo:
        longest = max(map(clock.estimate, found.todo))
        yield f"estimated time: {shown(max(longest, sum(map(clock.estimate, found.todo)) / slots))}"
    for kind, reason in clock.unknown.items():
        yield f"no estimate for {kind}: {reason}"
    yield from (f"cannot be run: {line}" for line in by_reason(found.refused))


def by_reason(missing: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each reason, with the first cell that it is of, and how many more.

    Args:
        missing: Reasons by the names of cells.
    """
    groups: dict[str, list[str]] = {}
    for name, reason in missing.items():
        groups.setdefault(reason, []).append(name)
    for reason, (first, *others) in groups.items():
        yield f"{first}{f' and {len(others)} more' if others else ''}: {reason}"


def outcomes(cells: Sequence[Cell], missing: Mapping[str, str]) -> str:
    """Return how many cells finished, and how many diverged."""
    lost = sum(cell.name not in missing and cell.diverged is not None for cell in cells)
    more = f" and {lost} diverged" if lost else ""
    return f"{len(cells) - len(missing) - lost} of {len(cells)} cells are finished{more}"
