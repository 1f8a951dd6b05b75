"""How long cells take: as finished ones of their kind did, or as a few steps take now."""

from collections.abc import Sequence

import torch

from ssl_zoo.errors import one_line
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.runs.clock import of_epochs, seconds_per_step, shown
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.cells import Cell, inputs_of

START = 3  # seconds of the start of a run
__all__ = ["START", "Clock", "shown"]


class Clock:
    """What a cell costs.

    Args:
        done: Finished cells.
        threads: Of each run.
    """

    def __init__(self, done: Sequence[Cell], threads: int):
        self.threads = threads
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self.unknown: dict[str, str] = {}  # methods that did not get through the measurement, with what they said
        for cell in done:
            self.learn(cell)

    def learn(self, cell: Cell) -> None:
        """Take a finished cell into account."""
        row = cell.row
        if row is not None:
            self._seconds.setdefault((row["algorithm"], row["net"]), []).append(row["seconds"] / max(1, row["steps"]))

    def estimate(self, cell: Cell) -> float:
        """Return the seconds that a cell still takes."""
        key = (cell.settings.alg, cell.settings.net)
        if is_baseline(cell.settings.alg):  # fitted at once: as the last one, or in about the time of a start
            return max([0.0, *self._seconds.get(key, [])]) + START
        if key not in self._seconds:
            try:
                self._seconds[key] = [self._measure(cell.settings)]
            except (Exception, SystemExit) as error:  # a method's own, which its cell will report; the others are still planned
                self._seconds[key] = [0.0]
                self.unknown[f"{cell.settings.alg} with {cell.settings.net}"] = one_line(error)
        known = sorted(self._seconds[key])
        return known[len(known) // 2] * max(0, _steps(cell.settings) - cell.steps_done) + START

    def _measure(self, settings: RunSettings) -> float:
        """Seconds of a step, with its share of the evaluations."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return seconds_per_step(settings, inputs_of(settings), trainer_of)
        finally:
            torch.set_num_threads(before)


def _steps(settings: RunSettings) -> int:
    """How many steps a run will have."""
    return settings.length if settings.epochs is None else of_epochs(settings, inputs_of(settings)).steps
