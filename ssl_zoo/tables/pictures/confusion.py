"""What is taken for what: a confusion matrix for each method and number of labels, summed over its runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_zoo.errors import InputError
from ssl_zoo.runs.confusion import pairs_of, pooled
from ssl_zoo.tables.pictures.figure import open_panels
from ssl_zoo.tables.rows import Row, by_cell

MOST_ACROSS = 4  # panels beside each other
MOST_NUMBERED = 20  # classes, in whose matrix a number can be read


def picture_confusion(rows: Sequence[Row]) -> Any:
    """Return a figure with a panel for each method and number of labels."""
    count = len(by_cell(rows))
    down, across = -(-count // MOST_ACROSS), min(count, MOST_ACROSS)
    figure, panels = open_panels(down, across, 4.2 * across, 4.4 * down)
    draw_confusion(rows, panels.flat[:count])
    for axes in panels.flat[count:]:
        axes.remove()
    return figure


def draw_confusion(rows: Sequence[Row], panels: Sequence[Any]) -> None:
    """Draw the share of each true class (row) that was given each class (column).

    Raises:
        InputError: Runs that are summed have different numbers of classes.
    """
    for axes, ((algorithm, labels), cell) in zip(panels, sorted(by_cell(rows).items(), key=str), strict=True):
        found = [pairs_of(row["confusion"]) for row in cell]
        if len({pairs["classes"] for pairs in found}) > 1:
            raise InputError(f"the runs of {algorithm} with {labels} labels have different numbers of classes")
        whole = pooled(cell)
        matrix = np.zeros((whole["classes"], whole["classes"]))
        matrix[whole["true"], whole["predicted"]] = whole["count"]
        matrix /= matrix.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(matrix):
            if share >= 0.005 and len(matrix) <= MOST_NUMBERED:
                axes.text(
                    j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "black"
                )
        names = cell[0].get("classes") or [str(k) for k in range(len(matrix))]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set(title=f"{algorithm}, {labels} labels (n = {len(cell)})", xlabel="given, % of the true class", ylabel="true")
