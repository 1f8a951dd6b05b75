"""Error rate against the number of labels, with the bound of all of them, a panel for each data set and net."""

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_zoo.errors import InputError
from ssl_zoo.tables.pictures.figure import add_legend, open_panels, plain, room_below
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.styles import LINES, Style
from ssl_zoo.tables.table import Table, make_table, styles_in

MOST_ACROSS = 3  # panels beside each other
FILLS = dict(zip(LINES, ("full", "none", "left", "right"), strict=True))  # of a marker that has no line to tell its variant


def picture_labels(groups: Sequence[Sequence[Row]]) -> Any:
    """Return a figure with a panel for each data set and net.

    Args:
        groups: Rows that belong together, of each data set and net.
    """
    tables = [make_table(rows, [], []) for rows in groups]
    across = min(len(tables), MOST_ACROSS)
    down = -(-len(tables) // across)
    height = 4 + room_below(max(len(table.cells) + sum("all" in cells for cells in table.cells.values()) for table in tables))
    figure, panels = open_panels(down, across, 7 if across == 1 else 5 * across, height * down)
    styles = styles_in(tables)
    for table, axes in zip(tables, panels.flat, strict=False):
        draw_labels(table, axes, styles)
    for axes in panels.flat[len(tables) :]:
        axes.remove()
    return figure


def draw_labels(table: Table, axes: Any, styles: Mapping[str, Style]) -> None:
    """Draw mean and standard deviation over seeds; without markers: every label known.

    Raises:
        InputError: No run has a number of labels.
    """
    counts = [int(labels) for labels in table.labels if labels != "all"]
    if not counts:
        raise InputError("all runs have all labels; --kind labels wants runs of several numbers of labels")
    bounds = iter(("--", ":", "-.") * len(table.cells))
    for place, (method, cells) in enumerate(table.cells.items()):
        color, marker, line = styles[method]
        found = [(count, cells[str(count)].error) for count in counts if str(count) in cells]
        if found:
            numbers, errors = zip(*found, strict=True)
            spread = [error.std or 0.0 for error in errors]
            aside = 1 + 0.02 * (place - (len(table.cells) - 1) / 2)  # so that no bar hides another
            style = {"color": color, "marker": marker, "linestyle": line, "capsize": 3, "label": plain(method)}
            style |= {"fillstyle": FILLS[line], "markersize": 9, "linestyle": "none"} if len(found) == 1 else {}
            axes.errorbar([n * aside for n in numbers], [error.mean for error in errors], spread, **style)
        if "all" in cells:
            label = f"{plain(method)}, all labels"
            axes.axhline(cells["all"].error.mean, linestyle=next(bounds), color=color, linewidth=1, label=label)
    axes.set(xscale="log", xlabel="labelled images", ylabel="test error rate, %", title=plain(table.title))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    add_legend(axes, "best")
