"""Error rate against the number of labels, with the bound of all of them."""

from collections.abc import Sequence
from typing import Any

from ssl_zoo.errors import InputError
from ssl_zoo.tables.pictures.figure import open_panels, plain
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.table import make_table


def picture_labels(rows: Sequence[Row]) -> Any:
    """Return a figure with one panel."""
    figure, panels = open_panels(1, 1, 7, 4)
    draw_labels(rows, panels[0][0])
    return figure


def draw_labels(rows: Sequence[Row], axes: Any) -> None:
    """Draw mean and standard deviation over seeds; dashed: every label known.

    Raises:
        InputError: No run has a number of labels.
    """
    table = make_table(rows, [], [])
    counts = [int(labels) for labels in table.labels if labels != "all"]
    if not counts:
        raise InputError("all runs have all labels; --kind labels wants runs of several numbers of labels")
    styles = iter(("--", ":", "-.") * len(table.cells))
    for place, (method, cells) in enumerate(table.cells.items()):
        found = [(count, cells[str(count)].error) for count in counts if str(count) in cells]
        if found:
            numbers, errors = zip(*found, strict=True)
            spread = [error.std or 0.0 for error in errors]
            aside = 1 + 0.02 * (place - (len(table.cells) - 1) / 2)  # so that no bar hides another
            axes.errorbar(
                [n * aside for n in numbers], [error.mean for error in errors], spread, marker="o", capsize=3, label=plain(method)
            )
        if "all" in cells:
            label = f"{plain(method)}, all labels"
            axes.axhline(cells["all"].error.mean, linestyle=next(styles), color="grey", label=label)
    axes.set(xscale="log", xlabel="labelled images", ylabel="test error rate, %", title=plain(table.title))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
