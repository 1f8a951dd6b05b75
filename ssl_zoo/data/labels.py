"""Labels in a table: a CSV file with a line for each image, and its layout."""

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.layout import Layout
from ssl_zoo.data.names import IMAGES, PARTS, TEST, TRAIN, UNLABELED, VALIDATION, is_hidden, is_image, part_of, spelled
from ssl_zoo.errors import InputError

TABLES = (".csv", ".tsv")
# Names of columns, as people, pandas and Hugging Face's metadata.csv write them.
PATH = (
    *("path", "file_name", "filename", "file", "filepath", "file_path", "image", "image_path", "image_name"),
    *("id", "image_id"),
)
LABEL = ("label", "labels", "class", "category", "target", "label_name", "class_name")
SPLIT = ("split", "part", "subset", "set", "partition")
EXPECTED = "expected a header with the columns path and label and, optionally, split (train, test, validation, unlabeled)"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that a spreadsheet may run
SHOWN = 3
LOOKED_AT = 100_000  # files, to find one that a path may mean


class Line(NamedTuple):
    """One image of a table."""

    number: int  # of the line, from 1
    path: str
    label: str  # empty: without a label
    part: str  # one of PARTS


def read_table(table: Path) -> list[Line]:
    """Return the lines of a table of labels.

    Args:
        table: CSV, with commas, semicolons or tabs, in UTF-8.

    Raises:
        InputError: It cannot be read, or a line of it is wrong; the message names the line.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"labels '{table}' cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"labels '{table}' are not in UTF-8 ({error}); save the table as CSV in UTF-8") from error
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"sep=(.)\r?", first)  # as Excel writes it, before the header
    mark = said[1] if said else max(",;\t", key=first.count)
    records = _Records(rest if said else text, mark, 2 if said else 1)
    try:
        number, header = next(records, (1, []))
        return list(_lines(table, records, _columns(table, number, header)))
    except csv.Error as error:
        raise InputError(f"labels '{table}', line {records.number}: {error}; save the table as CSV again") from error


class _Records(Iterator[tuple[int, list[str]]]):
    """The number of the first line of each record, and its fields: a quoted text may have several lines."""

    def __init__(self, text: str, mark: str, first: int):
        self.reader, self.first, self.number = csv.reader(io.StringIO(text, newline=""), delimiter=mark), first, first

    def __next__(self) -> tuple[int, list[str]]:
        self.number = self.first + self.reader.line_num
        return self.number, next(self.reader)


def _columns(table: Path, number: int, header: list[str]) -> dict[str, int]:
    """Where the path, the label and the part stand."""
    names = [name.strip().casefold().replace(" ", "_") for name in header]
    found = {}
    for kind, known in (("path", PATH), ("label", LABEL), ("split", SPLIT)):
        here = [place for place, name in enumerate(names) if name in known]
        if len(here) > 1:
            both = f"{header[here[0]]} and {header[here[1]]}"
            raise InputError(f"labels '{table}', line {number}: {both} both are a {kind}; keep one")
        if here:
            found[kind] = here[0]
    for kind in ("path", "label"):
        if kind not in found:
            raise InputError(
                f"labels '{table}', line {number}: no column {kind} in {', '.join(header)[:200] or 'an empty line'}; {EXPECTED}"
            )
    return {"width": len(header), **found}


def _lines(table: Path, records: Iterator[tuple[int, list[str]]], columns: dict[str, int]) -> Iterator[Line]:
    for number, fields in records:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != columns["width"]:
            quote = "; quote a text that has the separator in it" if len(fields) > columns["width"] else ""
            if any("\n" in field for field in fields):
                quote = "; a quote that is opened there is not closed in that line"
            raise InputError(
                f"labels '{table}', line {number}: {len(fields)} fields where the header has {columns['width']}{quote}"
            )
        path, label = fields[columns["path"]].strip(), read_label(fields[columns["label"]])
        said = fields[columns["split"]].strip() if "split" in columns else ""
        part = part_of(said) if said else TRAIN
        if "\n" in f"{path}{label}{said}":
            raise InputError(f"labels '{table}', line {number}: a quote that is opened there is not closed in that line")
        if not path:
            raise InputError(f"labels '{table}', line {number}: no path")
        if part is None:
            raise InputError(f"labels '{table}', line {number}: split '{said}' is none of {', '.join(PARTS)}")
        if part in (TEST, VALIDATION) and not label.strip():
            raise InputError(f"labels '{table}', line {number}: an image to score has no label; give one, or take split train")
        if part == UNLABELED and label.strip():
            raise InputError(f"labels '{table}', line {number}: split unlabeled, but a label '{label}'; remove one of them")
        yield Line(number, path, label, UNLABELED if not label.strip() else part)


def read_label(cell: str) -> str:
    """Return the class that a cell names; "" where it names none."""
    return "" if cell.strip().casefold() == "nan" else unguarded(cell)  # as pandas writes what is not there


def guarded(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def unguarded(text: str) -> str:
    """Return what was guarded."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text


def lay_out_table(table: Path, lines: list[Line], folders: list[Path]) -> tuple[Layout, list[str]]:
    """Return the layout of a table's images, and for each of its paths that of the file.

    Args:
        table: For messages.
        lines: Of it.
        folders: That paths may be relative to; the first one that has the file counts.

    Raises:
        InputError: A file that is not there, a path given twice, classes that differ by case or spaces, one class, or a
            class without labelled images.
    """
    places = _places(table, lines, folders)
    classes = _classes(table, lines)
    number = {name: k for k, name in enumerate(classes)}
    order = {part: k for k, part in enumerate((TRAIN, VALIDATION, UNLABELED, TEST))}
    if not any(line.part == TEST for line in lines) and any(line.part == VALIDATION for line in lines):
        lines = [line._replace(part=TEST) if line.part == VALIDATION else line for line in lines]
    lines = sorted(lines, key=lambda line: (order[line.part], line.path))
    known = {line.label for line in lines if line.part == TRAIN}
    unknown = next((line for line in lines if line.label.strip() and line.label not in known), None)
    if unknown:
        raise InputError(
            f"labels '{table}', line {unknown.number}: no image of the class '{unknown.label}' is to be trained on; "
            "give some the split train, or remove the line"
        )
    counts = {part: sum(line.part == part for line in lines) for part in order}
    labels = [-1 if line.part == UNLABELED else number[spelled(line.label)] for line in lines]
    first = counts[TRAIN]
    beside = _beside(places)
    layout = Layout(
        classes,
        [line.path for line in lines],
        np.array(labels, dtype=np.int64),
        len(lines) - counts[TEST],
        (first, first + counts[VALIDATION]),
        [],
        [*_notes(classes, lines), *([beside] if beside else [])],
    )
    return layout, [places[line.path] for line in lines]


def _places(table: Path, lines: list[Line], folders: list[Path]) -> dict[str, str]:
    """Of each path: the file. Paths are compared as files are, so that ./a.png and a.png are one."""
    first: dict[str, int] = {}
    found, missing = {}, []
    for line in lines:
        place = find_file(line.path, folders)
        if place is None:
            missing.append(line)
            continue
        if place in first:
            raise InputError(
                f"labels '{table}', line {line.number}: '{line.path}' stands in line {first[place]} already; keep one of them"
            )
        first[place] = line.number
        found[line.path] = place
    if missing:
        shown = ", ".join(f"'{line.path}' (line {line.number})" for line in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        where = " or ".join(f"'{folder}'" for folder in folders)
        raise InputError(
            f"labels '{table}' name files that are not there: {shown}{more}; paths are relative to {where}"
            f"{_elsewhere(missing[0].path, folders)}"
        )
    return found


def find_file(path: str, folders: list[Path]) -> str | None:
    """Return where the file of a path in a table is, in the first folder that has it; None where there is none.

    A path without an ending means the one image of that name.
    """
    spellings = dict.fromkeys((path, path.replace("\\", "/")))  # as Windows writes them
    tried = [os.path.join(folder, os.path.expanduser(spelling)) for spelling in spellings for folder in folders]
    exact = next((os.path.normpath(place) for place in tried if os.path.isfile(place)), None)
    if exact is not None or is_image(path):
        return exact
    ended = [f"{place}{ending}" for place in tried for ending in (*IMAGES, *map(str.upper, IMAGES))]
    found = {os.path.normpath(place) for place in ended if os.path.isfile(place)}
    return found.pop() if len(found) == 1 else None


def _elsewhere(path: str, folders: list[Path]) -> str:
    """Where the file may be that a path means: below a folder, or with an ending."""
    wanted = [piece for piece in path.replace("\\", "/").casefold().split("/") if piece]
    best, found = 0, list[str]()
    for folder in folders:
        files = ((top, name) for top, _, names in os.walk(folder) for name in names if is_image(name))
        for top, name in itertools.islice(files, LOOKED_AT):
            place = os.path.relpath(os.path.join(top, name), folder)
            score = _in_common(wanted, place.casefold().split(os.sep))
            if score > best:
                best, found = score, []
            if score == best > 0:
                found.append(place)
    if not found:
        return ". If they were moved, move them back, or write the paths anew"
    shown = " or ".join(f"'{place}'" for place in sorted(found)[:2])
    return f". Does '{path}' mean {shown}{' or another' if len(found) > 2 else ''}? Write paths with folder and ending"


def _in_common(wanted: list[str], place: list[str]) -> int:
    """How many pieces of two paths agree, from the end; the last one's ending may be missing."""
    if wanted[-1:] not in (place[-1:], [os.path.splitext(place[-1])[0]]):
        return 0
    pairs = zip(wanted[-2::-1], place[-2::-1], strict=False)
    return 1 + len([*itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)])


def _classes(table: Path, lines: list[Line]) -> tuple[str, ...]:
    """All classes; numbers in their order, other names sorted."""
    alike: dict[str, tuple[str, int]] = {}
    for line in lines:
        if not line.label.strip():
            continue
        name, number = alike.setdefault(" ".join(spelled(line.label).casefold().split()), (spelled(line.label), line.number))
        if name != name.strip() and name == spelled(line.label):
            others = sum(one.label.strip() != one.label and one is not line for one in lines)
            more = f", and so ha{'ve' if others > 1 else 's'} {others:,} more" if others else ""
            raise InputError(f"labels '{table}', line {line.number}: the label '{name}' has spaces around it{more}; remove them")
        if name != spelled(line.label):
            raise InputError(
                f"labels '{table}', line {line.number}: the class '{line.label}' differs by case or spaces alone from "
                f"'{name.strip()}' (line {number}); write them alike"
            )
    names = [name for name, _ in alike.values()]
    if len(names) < 2:
        what = f"one class only, '{names[0]}'" if names else "no label"
        raise InputError(f"labels '{table}' have {what}; a classifier needs two or more")
    return tuple(sorted(names, key=lambda name: (int(name), name)) if all(map(str.isdecimal, names)) else sorted(names))


def _beside(places: Mapping[str, str]) -> str:
    """A line about images that lie beside those of the table and are not in it."""
    folders = {os.path.dirname(place) for place in places.values()}
    there = (entry for folder in sorted(folders) for entry in os.scandir(folder) if is_image(entry.name) and entry.is_file())
    known = {*places.values()}
    others = sorted(entry.path for entry in there if not is_hidden(entry.name) and os.path.normpath(entry.path) not in known)
    if not others:
        return ""
    return (
        f"{len(others):,} images beside those of the table are not in it and not used, such as '{others[0]}'; a line with an "
        "empty label adds one to those without labels"
    )


def _notes(classes: tuple[str, ...], lines: list[Line]) -> list[str]:
    notes = []
    for part in (TEST, VALIDATION):
        here = {spelled(line.label) for line in lines if line.part == part}
        lacking = [name for name in classes if name not in here]
        if here and lacking:
            shown = f"{', '.join(lacking[:8])}{' and more' if len(lacking) > 8 else ''}"
            notes.append(f"the {part} part has no image of {shown}: scores are of the others")
    return notes
