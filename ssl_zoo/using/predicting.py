"""Many images -> a file of predictions and a summary; where labels are at hand, a score."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo.errors import InputError, between
from ssl_zoo.runs.confusion import Pairs, of_places
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.images import Images, Item
from ssl_zoo.using.predictions import Prediction, chunks, predictions
from ssl_zoo.using.sheet import Known, Row, Sheet, key_of, nothing, place_of

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
        return ["path", "class", "confidence", "margin", *unsure, *more, *each, "label", "trained_on", "error"]

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
        row["trained_on"] = found.learnt
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
    learnt: int | None = 0  # of those whose label is known, images that the net was trained on; None: the model does not say
    unseen: Pairs | None = None  # of the others
    relabelled: int = 0  # images in the file before whose label is another now, and is not in the file


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
        InputError: Something given cannot be used; or the file holds predictions of another net, or something else.
        BusyError: Another process writes the file.
    """
    columns.check(trained.classes)
    trained.check_takes_files()
    images = Images(paths, trained.classes)
    with contextlib.ExitStack() as stack:
        sheet, known = None, nothing()
        if out is not None:
            sheet = _sheet(Path(os.path.expanduser(out)), paths, trained, columns, fresh)
            stack.enter_context(sheet.taken())
            known = sheet.begin()
        tally = _Tally(trained, known)
        todo = seen(_todo(images, known), sum(1 for _ in _todo(images, known)))
        for chunk in chunks(predictions(trained, todo), min(trained.about["batch"], WRITTEN)):
            rows = [columns.row(found, trained.classes) for found in chunk]
            tally.add(chunk, rows)
            if sheet is not None:
                sheet.add(rows)
            show(rows)
        summary = tally.summary(images, _relabelled(images, known))
        if sheet is not None:
            sheet.end({"images": summary.images, "errors": summary.errors, "confusion": summary.confusion})
    return summary


def _sheet(place: Path, paths: Sequence[str | os.PathLike], trained: Trained, columns: Columns, fresh: bool) -> Sheet:
    """The file of predictions, which may be none of those that are read."""
    if place.is_file() and any(os.path.realpath(os.path.expanduser(path)) == os.path.realpath(place) for path in paths):
        raise InputError(f"'{place}' is what is to be predicted; give another name for the predictions")
    about: dict[str, Any] = {"model": trained.hash, "temperature": trained.temperature, "precision": trained.precision}
    about |= {"classes": list(trained.classes), "unsure_below": columns.unsure_below}
    return Sheet(place, columns.names(trained.classes), about, fresh)


class _Tally:
    """Counts of what is predicted, on top of what was in the file."""

    def __init__(self, trained: Trained, known: Known):
        number = {name: k for k, name in enumerate(trained.classes)}
        self.classes, self.known = len(trained.classes), known
        self.learnt = known.learnt if trained.knows_what_it_learnt else None
        odd = next((name for pair in known.pairs for name in pair if name not in number), None)
        if odd is not None:  # somebody has written into it
            raise InputError(f"the file has the class '{odd}', which the net has not; `fresh=True` writes it anew")
        self.places, self.unseen = (
            Counter({(number[a], number[b]): count for (a, b), count in pairs.items()}) for pairs in (known.pairs, known.unseen)
        )
        self.count, self.errors, self.unsure, self.first_error = known.rows, 0, known.unsure, ""

    def add(self, chunk: Sequence[Prediction], rows: Sequence[Row]) -> None:
        for found in chunk:
            if found.best is None:
                self.errors, self.first_error = self.errors + 1, self.first_error or f"'{found.path}': {found.error}"
            elif found.label is not None:
                self.places[found.label, found.best] += 1
                self.unseen[found.label, found.best] += found.learnt is False
                self.learnt = None if self.learnt is None else self.learnt + bool(found.learnt)
        self.unsure += sum(bool(row.get("unsure")) for row in rows)
        self.count += len(rows)

    def summary(self, images: Images, relabelled: int) -> Summary:
        confusion = of_places(self.classes, self.places) if self.places else None
        unknown = tuple(sorted(images.unknown))
        of = (self.count, self.known.rows, self.errors, self.first_error, self.unsure, confusion, unknown)
        unseen = of_places(self.classes, +self.unseen) if +self.unseen else None
        return Summary(*of, self.learnt if confusion is not None else 0, unseen, relabelled)


def _todo(images: Images, known: Known) -> Iterator[Item]:
    return (item for item in images if place_of(known, item.path) is None)


def _relabelled(images: Images, known: Known) -> int:
    """How many images in the file have a label now, and another one or none there."""
    if not known.rows:
        return 0
    keys = [np.uint64(key_of(name)) for name in images.classes]
    places = ((place_of(known, item.path), item.label) for item in images if item.label is not None)
    return sum(place is not None and known.labels[place] != keys[label] for place, label in places)


def _short(value: Any) -> float:
    """Six digits, which is all that a float32 probability has to say."""
    return float(f"{value:.6g}")
