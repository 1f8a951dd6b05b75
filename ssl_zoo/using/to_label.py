"""The table of a run's images with a column to write labels into, which itself can be trained on."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.labels import FORMULA, Line, find_file, guarded, read_label, read_table
from ssl_zoo.data.names import TEST, TRAIN, VALIDATION, spelled
from ssl_zoo.data.open_set import OUTSIDE
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.inputs import Inputs

TABLE = "labels.csv"
COLUMNS = ("path", "label", "split", "guess", "confidence")


class Entry(NamedTuple):
    """One image of the table."""

    path: str  # of the file, absolute
    label: str = ""  # its class; empty: not known, or not used by the run
    part: str = ""  # train, validation or test; empty where there is no label
    row: int = -1  # of the run's training set, or -1
    hidden: bool = False  # whether its class is known in the data, but the run did not use it
    outside: bool = False  # whether it is known to be of none of the classes
    guess: str = ""  # of the net
    confidence: float | None = None


def entries_of(inputs: Inputs, paths: Sequence[str]) -> list[Entry]:
    """Return all images of a run, with the labels that it used and the parts that these were in.

    Args:
        inputs: Its data.
        paths: Of the files of the training set, then of the test set.
    """
    data, rows = inputs.data, len(inputs.data.images)
    parts = dict.fromkeys(inputs.split.rows.tolist(), TRAIN) | dict.fromkeys(inputs.held_out.tolist(), VALIDATION)
    found = []
    for row, (path, label) in enumerate(zip(paths, np.concatenate((data.labels, data.test_labels)).tolist(), strict=True)):
        part = TEST if row >= rows else parts.get(row, "")
        name, place = data.classes[label] if part else "", row if row < rows else -1
        found.append(Entry(path, name, part, place, not part and label >= 0, label == OUTSIDE))
    return found


def check_classes(classes: Sequence[str]) -> None:
    """Refuse names that a table of labels cannot hold.

    Raises:
        InputError: One would be read as another, or as none.
    """
    odd = next((name for name in classes if not _comes_back(name)), None)
    if odd is not None:
        raise InputError(one_line(f"a table of labels cannot name the class '{odd}'; train with another name for it"))


def _comes_back(name: str) -> bool:
    return read_label(guarded(name)) == name == spelled(name).strip() and not _unfit(name)


def _unfit(text: str) -> str:
    """Why a cell cannot hold a text and give it back; "" where it can."""
    if "\n" in text or "\r" in text:  # which a table is read with as one and the same
        return "has a line break in it"
    if text.encode(errors="replace").decode() != text:  # what is no UTF-8 is there as surrogates
        return "is not UTF-8"
    return "" if text.rstrip() == text else "ends with a space"


def table_of(entries: Sequence[Entry], table: Path) -> bytes:
    """Return the content of the table. Paths are relative to it where both lie in one tree.

    Args:
        entries: Of all images, in order.
        table: Where it is to be, an absolute path.

    Raises:
        InputError: A path cannot stand in it.
    """
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    near = table.parent if os.path.realpath(table.parent) == str(table.parent) else None  # from a link, .. leads elsewhere
    for entry in entries:
        if unfit := _unfit(entry.path):
            raise InputError(f"the name of {entry.path!a} {unfit}, which a table of labels cannot hold; rename the file")
        confidence = "" if entry.confidence is None else f"{entry.confidence:.4g}"
        lines.writerow([_cell(entry.path, near), guarded(entry.label), entry.part, guarded(entry.guess), confidence])
    return text.getvalue().encode()


def _cell(path: str, near: Path | None) -> str:
    """A path as it stands in the table."""
    if near is None or not path.startswith(f"{str(near.parent).rstrip('/')}/"):
        return path
    beside = os.path.relpath(path, near)
    return f"./{beside}" if beside.startswith((*FORMULA, "~")) or beside[0].isspace() else beside


def refuse_to_lose(table: Path, entries: Iterable[Entry], beside: Sequence[Path]) -> None:
    """Refuse to write over labels that somebody has written and no run was trained on.

    Args:
        table: What would be written over, if it is there.
        entries: What would be written.
        beside: Files that would be written with it.

    Raises:
        InputError: It is there, and is no such table, or has other labels; or what is beside it is there alone.
    """
    way_out = "choose another folder"
    if not table.exists():
        alone = next((place for place in beside if place.exists()), None)
        if alone is not None:
            raise InputError(f"'{alone}' is there, and no {table.name} with it; {way_out}")
        return
    first = table.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
    if first.replace(";", ",").replace("\t", ",").strip() != ",".join(COLUMNS):
        raise InputError(f"'{table}' is there, and is no table of images to label; {way_out}")
    known = {entry.path: entry for entry in entries}
    new = [line for line in read_table(table) if line.label.strip() and not _is_known(line, table, known)]
    if new:
        count = f"{len(new)} labels" if len(new) > 1 else "a label"
        raise InputError(
            f"'{table}' has {count} that the run does not know, such as '{new[0].label}' for '{new[0].path}'; train on it first, "
            f"with `data_root={table}`, or {way_out}"
        )


def _is_known(line: Line, table: Path, known: Mapping[str, Entry]) -> bool:
    place = find_file(line.path, [table.parent])
    entry = known.get(os.path.abspath(place)) if place is not None else None
    return entry is not None and (entry.label, entry.part) == (spelled(line.label), line.part)
