"""Runs side by side on one device: how fast they are, how many steps fit, and their rows as each ends."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ssl_zoo.cli import grids
from ssl_zoo.errors import RunError
from ssl_zoo.sweeps import share
from ssl_zoo.sweeps.cells import Cell

from . import children
from .session import Session

THREADS = 4  # of each
USED = 0.88  # of the time that is left, for steps: evaluations and measurements take the rest
START = 75.0  # seconds of a start, compiled: what the measurement compiled is found again
MEASURED = 6.0  # seconds of steps, to know the rate
LIMIT = 240.0  # of a measurement with its start
SMALL_START = 8.0


def _measured(session: Session, cells: Sequence[Cell], device: str) -> dict[str, float]:
    """Return steps a second of each cell beside the others.

    Raises:
        RunError: One of them makes none.
        TimeoutError: They are not ready in time.
    """
    seconds, patience = 0.5 if session.small else MEASURED, min(LIMIT, 0.5 * session.left)
    copies: dict[str, share.Process] = {}
    over = threading.Event()

    def end() -> None:
        over.set()
        for copy in [*copies.values()]:
            copy.close()

    with contextlib.ExitStack() as stack:
        limit = threading.Timer(patience, end)
        stack.callback(limit.cancel)
        limit.start()
        try:
            for cell in cells:
                copies[cell.name] = share.Process(cell.settings, cell.plugins, device)
                stack.callback(copies[cell.name].close)
            for copy in copies.values():
                copy.prepare(1 if session.small else THREADS)
            for copy in copies.values():
                copy.ready()
            for copy in copies.values():
                copy.go(seconds)
            return {name: copy.rate() for name, copy in copies.items()}
        except RunError as error:
            if over.is_set():
                raise TimeoutError(f"its rate was not measured in {patience:.0f} s, which ended it") from error
            raise


def rates(session: Session, what: str, cells: Sequence[Cell]) -> dict[str, float]:
    """Return steps a second of cells beside each other; empty where they make none, which is said."""
    try:
        found = _measured(session, cells, "0" if session.kind == "cuda" else "")
    except TimeoutError as error:
        session.wait(what, str(error))
        return {}
    except RunError as error:
        session.failed(what, f"no steps were made to measure their rate: {error}")
        return {}
    shown = ", ".join(f"{name} {rate:.1f}" for name, rate in found.items())
    session.say(f"{what}: steps a second, side by side: {shown}; {session.left:.0f} s are left")
    return found


def fit(session: Session, rate: float, whole: int, earlier: int | None) -> int:
    """Return how many steps a run has: as many as earlier ones, if these fit, else all that fit, at most the whole."""
    seconds = session.left - (SMALL_START if session.small else START)
    most = max(1, min(whole, int(USED * max(seconds, 0) * rate)))
    most = min(most, 8) if session.small else most
    return earlier if earlier is not None and earlier <= most else most


def run(session: Session, what: str, cells: Sequence[Cell], keep: Callable[[], Any]) -> None:
    """Run cells side by side to their ends, or to that of the time; `keep`, called as each ends, keeps its row."""
    by_name = {f"{what} {cell.name}": cell for cell in cells}

    def task(cell: Cell) -> children.Task:
        environment = {"CUDA_VISIBLE_DEVICES": "0" if session.kind == "cuda" else ""}

        def start(seconds: float) -> children.Child:
            log = session.logs / f"{cell.path.parent.name}-{cell.name}.txt"
            threads = 1 if session.small else THREADS
            return children.call(f"{what} {cell.name}", grids.make, (cell, threads), log, seconds, **environment)

        return children.Task(f"{what} {cell.name}", session.left, start)

    for child in children.together(session, [task(cell) for cell in cells], len(cells), 1.0):
        if child.late:
            session.wait(child.name, f"ended after {child.took:.0f} s, before it was through")
        elif child.status == 0:
            keep()
            row = by_name[child.name].row or {"accuracy": math.nan, "steps": 0, "seconds": child.took}  # it diverged
            said = f"{100 * row['accuracy']:.1f} %, {row['steps']} steps in {row['seconds']:.0f} s"
            session.made(child.name, said)
        else:
            session.failed(child.name, child.says())
    session.keep_logs()


def in_parts(names: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """Names, so many at a time."""
    for start in range(0, len(names), count):
        yield names[start : start + count]
