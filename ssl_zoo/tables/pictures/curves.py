"""Test accuracy against step, a panel for each number of labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_zoo.errors import InputError
from ssl_zoo.tables.pictures.figure import open_panels, plain
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.table import make_table


def picture_curves(rows: Sequence[Row]) -> Any:
    """Return a figure with a panel for each number of labels."""
    count = len({row["labels"] for row in rows})
    figure, panels = open_panels(1, count, 7 if count == 1 else 4.2 * count, 4, share_y=True)
    draw_curves(rows, panels[0])
    return figure


def draw_curves(rows: Sequence[Row], panels: Sequence[Any]) -> None:
    """Draw the mean over seeds with a band of one standard deviation.

    Raises:
        InputError: Runs of a method were never evaluated at the same step.
    """
    table = make_table(rows, [], [])
    colors = {method: f"C{place}" for place, method in enumerate(table.cells)}
    for axes, labels in zip(panels, table.labels, strict=True):
        for method, cells in table.cells.items():
            if labels not in cells:
                continue
            if not cells[labels].curve:
                raise InputError(f"the runs of {method} with {labels} labels have no evaluation at the same step")
            steps, means, deviations = (np.array(part) for part in zip(*cells[labels].curve, strict=True))
            style = {"color": colors[method], "marker": "o" if len(steps) < 10 else None, "markersize": 3}
            axes.plot(steps, means, label=f"{plain(method)} (n = {cells[labels].n})", **style)
            axes.fill_between(steps, means - deviations, means + deviations, color=colors[method], alpha=0.15, linewidth=0)
        axes.set(xlabel="step", title=f"{labels} labels", xlim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right", fontsize="small")
    panels[0].set(ylabel="test accuracy, %")
    panels[0].figure.suptitle(f"{plain(table.title)}: mean and standard deviation over seeds", fontsize="medium")
