"""What is taken for what: a confusion matrix for each method and number of labels, summed over its runs.

Each data set and net has panels of its own.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_zoo.errors import InputError
from ssl_zoo.runs.confusion import pairs_of
from ssl_zoo.tables.pictures.figure import open_panels, plain
from ssl_zoo.tables.rows import Row, by_cell, data_of

MOST_ACROSS = 4  # panels beside each other
MOST_NUMBERED = 20  # classes, in whose matrix a number can be read
MOST_CLASSES = 30  # whose names can be read
LONGEST_NAME = 24  # letters of a class
WIDEST = 44  # letters in a line above a panel


def picture_confusion(groups: Sequence[Sequence[Row]]) -> Any:
    """Return a figure with a panel for each data set, net, method and number of labels.

    Args:
        groups: Rows that belong together, of each data set and net.
    """
    counts = [len(by_cell(rows)) for rows in groups]
    across = min(max(counts), MOST_ACROSS)
    lines = [-(-count // across) for count in counts]
    most = max(map(_classes, groups))
    more = max(0, min(most, MOST_CLASSES) - 10)  # names on two sides, and the title
    figure, panels = open_panels(sum(lines), across, (4.2 + 0.1 * more) * across, (4.4 + 0.14 * more) * sum(lines))
    for place, (rows, count) in enumerate(zip(groups, counts, strict=True)):
        own = panels[sum(lines[:place]) : sum(lines[: place + 1])].flat
        draw_confusion(rows, own[:count], alone=len(groups) == 1)
        for axes in own[count:]:
            axes.remove()
    return figure


def draw_confusion(rows: Sequence[Row], panels: Sequence[Any], alone: bool) -> None:
    """Draw the share of each true class (row) that was given each class (column).

    Of many classes, those that are confused most: the same ones in every panel of a data set and net.

    Args:
        rows: Of one data set and net.
        panels: One for each method and number of labels.
        alone: Whether no other data set and net is in the picture, so that titles need not name them.

    Raises:
        InputError: The runs have different numbers of classes.
    """
    classes, shown = _classes(rows), most_confused(rows, MOST_CLASSES)
    names = rows[0].get("classes", ())
    labels_of = [plain(names[k] if len(names) == classes else str(k), LONGEST_NAME) for k in shown]
    said = f"the {len(shown)} of {classes:,} classes that are confused most" if len(shown) < classes else ""
    if said and alone:
        panels[0].figure.suptitle(said, fontsize="medium")
    above = "" if alone else f"{plain(data_of(rows[0]), 30)}, {plain(rows[0]['net'], 30)}{said and f': {said}'}\n"
    for axes, ((method, labels), cell) in zip(panels, sorted(by_cell(rows).items(), key=str), strict=True):
        matrix = shares(cell, shown)
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(matrix):
            if share >= 0.005 and len(matrix) <= MOST_NUMBERED:
                axes.text(
                    j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "black"
                )
        axes.set_xticks(range(len(shown)), labels_of, rotation=90, fontsize=7)
        axes.set_yticks(range(len(shown)), labels_of, fontsize=7)
        called = textwrap.fill(plain(method), WIDEST)
        axes.set_title(f"{above}{called},\n{labels} labels (n = {len(cell)})", fontsize="medium")
        axes.set(xlabel="given, % of the true class", ylabel="true")


def most_confused(rows: Sequence[Row], most: int) -> list[int]:
    """Return the classes with the most errors, images of theirs or images that were given to them, in order; or all."""
    classes = _classes(rows)
    errors = np.zeros(classes)
    for row in rows:
        true, predicted, count = _arrays(row)
        wrong = true != predicted
        for place in (true, predicted):
            errors += np.bincount(place[wrong], count[wrong], minlength=classes)
    return sorted(np.argsort(-errors, kind="stable")[:most].tolist())


def shares(cell: Sequence[Row], shown: Sequence[int]) -> np.ndarray:
    """Return, of the images of each shown class, the share that was given each of them; 0 where it has no images.

    Args:
        cell: Rows, which are summed.
        shown: Classes.
    """
    classes = _classes(cell)
    place = np.full(classes, -1)  # in the picture
    place[shown] = range(len(shown))
    matrix, images = np.zeros((len(shown), len(shown))), np.zeros(classes)
    for row in cell:
        true, predicted, count = _arrays(row)
        images += np.bincount(true, count, minlength=classes)
        seen = (place[true] >= 0) & (place[predicted] >= 0)
        np.add.at(matrix, (place[true[seen]], place[predicted[seen]]), count[seen])
    return matrix / images[shown].clip(min=1)[:, None]


def _classes(rows: Sequence[Row]) -> int:
    """How many there are."""
    counts = {pairs_of(row["confusion"])["classes"] for row in rows}
    if len(counts) > 1:
        raise InputError(f"the runs have different numbers of classes: {', '.join(map(str, sorted(counts)))}; draw them apart")
    return counts.pop()


def _arrays(row: Row) -> tuple[np.ndarray, ...]:
    pairs = pairs_of(row["confusion"])
    return tuple(np.array(pairs[name], dtype=np.int64) for name in ("true", "predicted", "count"))
