"""Many images -> a file of predictions and a summary; where labels are at hand, a score."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo.data.names import TEST, part_of
from ssl_zoo.errors import InputError, between
from ssl_zoo.runs.confusion import Pairs, of_places
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.images import Images, Item
from ssl_zoo.using.predictions import Prediction, predictions
from ssl_zoo.using.sheet import Known, Row, Sheet, has

WRITTEN = 1000  # rows that are written at once, at most: what a killed process loses


class Columns(NamedTuple):
    """What is written of each image, beside its path, class, confidence and margin."""

    top: int = 1  # how many of the most probable classes
    every: bool = False  # the probabilities of all classes
    unsure_below: float | None = None  # the confidence under which a prediction is marked as unsure

    def names(self, classes: Sequence[str]) -> list[str]:
        """Return the names of all columns."""
        more = [name for k in range(2, self.top + 1) for name in (f"class_{k}", f"probability_{k}")]
        each = [f"p_{name}" for name in classes] if self.every else []
        unsure = [] if self.unsure_below is None else ["unsure"]
        return ["path", "class", "confidence", "margin", *unsure, *more, *each, "label", "error"]

    def check(self, classes: Sequence[str]) -> None:
        """Raise InputError where they cannot be had."""
        between("top", self.top, 1, len(classes))
        if self.unsure_below is not None:
            between("unsure_below", self.unsure_below, 0.0, 1.0)
        if self.every and self.top > 1:
            raise InputError(f"`top={self.top}` and all probabilities say the same; give one of them")

    def row(self, found: Prediction, classes: Sequence[str]) -> Row:
        """Return what is written of one image."""
        row: dict[str, Any] = dict.fromkeys(self.names(classes))
        row |= {"path": found.path, "error": found.error, "label": None if found.label is None else classes[found.label]}
        p = found.probabilities
        if p is None:
            return row
        first = np.argsort(-p, kind="stable")[: max(2, self.top)]
        row |= {"class": classes[first[0]], "confidence": _short(p[first[0]]), "margin": _short(p[first[0]] - p[first[1]])}
        if self.unsure_below is not None:
            row["unsure"] = bool(p[first[0]] < self.unsure_below)
        for k in range(2, self.top + 1):
            row |= {f"class_{k}": classes[first[k - 1]], f"probability_{k}": _short(p[first[k - 1]])}
        if self.every:
            row |= {f"p_{name}": _short(value) for name, value in zip(classes, p, strict=True)}
        return row


PLAIN = Columns()


class Summary(NamedTuple):
    """What was found in all images."""

    images: int
    before: int  # of them in the file before
    errors: int  # that could not be read, and are rows with an error
    first_error: str
    unsure: int
    confusion: Pairs | None  # of those whose label is known
    unknown: tuple[str, ...]  # folders that are no class of the net


def predict_into(
    trained: Trained,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
    *,
    columns: Columns = PLAIN,
    fresh: bool = False,
    show: Callable[[Sequence[Row]], object] = lambda rows: None,
    seen: Callable[[Iterable[Item], int], Iterable[Item]] = lambda items, count: items,
) -> Summary:
    """Predict images, and write a row for each. Memory does not grow with their number.

    Args:
        trained: The net.
        paths: Of image files, folders, archives, and tables of labels.
        out: File, .csv, .jsonl or .parquet, that is gone on with: what is in it is not done again, but images that
            could not be read are tried again. None: it is written nowhere.
        columns: What is written.
        fresh: Write the file anew.
        show: Is given rows as they come.
        seen: Wraps the images, as a bar does; is told how many there are.

    Raises:
        InputError: Something given cannot be used; or the file holds predictions of another net.
    """
    columns.check(trained.classes)
    trained.check_takes_files()
    images = Images(paths, trained.classes)
    sheet, known = None, Known(np.empty(0, np.uint64), {}, 0)
    if out is not None:
        about = {"model": trained.about.get("digest", ""), "classes": list(trained.classes), "unsure_below": columns.unsure_below}
        sheet = Sheet(Path(os.path.expanduser(out)), columns.names(trained.classes), about, fresh)
        known = sheet.begin()
    tally = _Tally(trained.classes, known)
    todo = seen(_todo(images, known), sum(1 for _ in _todo(images, known)))
    for chunk in _chunks(predictions(trained, todo), trained.about["batch"]):
        rows = [columns.row(found, trained.classes) for found in chunk]
        tally.add(chunk, rows)
        if sheet is not None:
            sheet.add(rows)
        show(rows)
    summary = tally.summary(images)
    if sheet is not None:
        sheet.end({"images": summary.images, "errors": summary.errors, "confusion": summary.confusion})
    return summary


class _Tally:
    """Counts of what is predicted, on top of what was in the file."""

    def __init__(self, classes: Sequence[str], known: Known):
        number = {name: k for k, name in enumerate(classes)}
        self.classes, self.known = len(classes), known
        self.places = Counter({(number[a], number[b]): count for (a, b), count in known.pairs.items()})
        self.count, self.errors, self.unsure, self.first_error = known.rows, 0, known.unsure, ""

    def add(self, chunk: Sequence[Prediction], rows: Sequence[Row]) -> None:
        for found in chunk:
            if found.best is None:
                self.errors, self.first_error = self.errors + 1, self.first_error or f"'{found.path}': {found.error}"
            elif found.label is not None:
                self.places[found.label, found.best] += 1
        self.unsure += sum(bool(row.get("unsure")) for row in rows)
        self.count += len(rows)

    def summary(self, images: Images) -> Summary:
        confusion = of_places(self.classes, self.places) if self.places else None
        unknown = tuple(sorted(images.unknown))
        return Summary(self.count, self.known.rows, self.errors, self.first_error, self.unsure, confusion, unknown)


def trained_on(paths: Sequence[str | os.PathLike], row: Mapping[str, Any]) -> bool:
    """Return whether some of these images are of the place that the net was trained on, other than its test part."""
    if row["dataset"] != "folder":
        return False
    root = os.path.realpath(os.path.expanduser(row["config"]["data_root"]))
    for path in paths:
        place = os.path.realpath(os.path.expanduser(path))
        inside = os.path.relpath(place, root).split(os.sep)
        if place == root or (inside[0] != os.pardir and not any(part_of(piece) == TEST for piece in inside)):
            return True
    return False


def _todo(images: Images, known: Known) -> Iterator[Item]:
    return (item for item in images if not has(known, item.path))


def _chunks(found: Iterable[Prediction], size: int) -> Iterator[list[Prediction]]:
    chunk: list[Prediction] = []
    for one in found:
        chunk.append(one)
        if len(chunk) == min(size, WRITTEN):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _short(value: Any) -> float:
    """Six digits, which is all that a float32 probability has to say."""
    return float(f"{value:.6g}")
