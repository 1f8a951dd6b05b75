"""Test accuracy against step, a panel for each data set, net and number of labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssl_zoo.errors import InputError
from ssl_zoo.tables.pictures.figure import add_legend, open_panels, plain, room_below
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.styles import Style
from ssl_zoo.tables.table import Table, make_table, styles_in

MARKS = 10  # of a curve, about


def picture_curves(groups: Sequence[Sequence[Row]]) -> Any:
    """Return a figure with a row of panels for each data set and net, and a panel for each number of labels.

    Args:
        groups: Rows that belong together, of each data set and net.
    """
    tables = [make_table(rows, [], []) for rows in groups]
    across = max(len(table.labels) for table in tables)
    height = 4 + room_below(max(len(table.cells) for table in tables))
    figure, panels = open_panels(len(tables), across, 7 if across == 1 else 4.2 * across, height * len(tables), share_y="row")
    styles = styles_in(tables)
    for table, row in zip(tables, panels, strict=True):
        draw_curves(table, row[: len(table.labels)], styles, alone=len(tables) == 1)
        for axes in row[len(table.labels) :]:
            axes.remove()
    which = f"{plain(tables[0].title)}: " if len(tables) == 1 else ""
    figure.suptitle(f"{which}mean and standard deviation over seeds", fontsize="medium")
    return figure


def draw_curves(table: Table, panels: Sequence[Any], styles: Mapping[str, Style], alone: bool) -> None:
    """Draw the mean over seeds with a band of one standard deviation; of a method without steps, a level dashed line.

    Args:
        table: Of one data set and net.
        panels: One for each number of labels.
        styles: Of methods.
        alone: Whether no other data set and net is in the picture, so that titles need not name them.

    Raises:
        InputError: Runs of a method were never evaluated at the same step.
    """
    for axes, labels in zip(panels, table.labels, strict=True):
        for method, cells in table.cells.items():
            if labels not in cells:
                continue
            if not cells[labels].curve:
                raise InputError(f"the runs of {method} with {labels} labels have no evaluation at the same step")
            color, marker, line = styles[method]
            label = f"{plain(method)} (n = {cells[labels].n})"
            if not cells[labels].steps:
                style = {"color": color, "marker": marker, "markersize": 4, "linestyle": styles[method].level.line}
                axes.axhline(cells[labels].curve[-1][1], markevery=[1], clip_on=False, label=label, **style)
                continue
            steps, means, deviations = (np.array(part) for part in zip(*cells[labels].curve, strict=True))
            style = {"marker": marker, "markersize": 4, "markevery": -(-len(steps) // MARKS), "color": color, "linestyle": line}
            axes.plot(steps, means, label=label, **style)
            axes.fill_between(steps, means - deviations, means + deviations, color=color, alpha=0.15, linewidth=0)
        title = f"{labels} labels" if alone else f"{plain(table.title, 50)}\n{labels} labels"
        axes.set(xlabel="step", title=title, xlim=(0, None))
        if not any(cells[labels].steps for cells in table.cells.values() if labels in cells):
            axes.set(xlabel="no steps", xticks=[])
        axes.grid(alpha=0.3)
        add_legend(axes, "lower right", fontsize="small")
    panels[0].set(ylabel="test accuracy, %")
