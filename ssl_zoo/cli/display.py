"""How a grid of runs goes, on the screen."""

import sys
from collections.abc import Sequence

from tqdm import tqdm

from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.clock import shown


class Display:
    """One line that is redrawn on a terminal; in a log file, a line as each cell ends.

    Args:
        cells: How many.
        done: How many of them have an outcome.
    """

    def __init__(self, cells: int, done: int):
        self.live = sys.stderr.isatty()
        self.bar = tqdm(total=cells, initial=done, unit="cell", dynamic_ncols=True, disable=not self.live, bar_format="{desc}")

    def show(self, done: int, total: int, running: Sequence[Cell], left: float) -> None:
        """Cells done, those running with their step and last accuracy, and the time left."""
        if not self.live:
            return
        parts = []
        for cell in running:
            step, accuracy = cell.folder.progress()
            score = "" if accuracy is None else f" {100 * accuracy:.1f} %"
            parts.append(f"{cell.name} {f'{step}/{cell.settings.length}' if step else 'starts'}{score}")
        text = f"{done}/{total} cells, {shown(left)} left{': ' * bool(parts)}{', '.join(parts)}"
        self.bar.set_description_str(text[: max(20, (self.bar.ncols or 120) - 1)])

    def say(self, text: str) -> None:
        """A line that stays."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the line."""
        self.bar.close()
