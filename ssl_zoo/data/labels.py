"""Labels in a table: a CSV file with a line for each image, and its layout."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.layout import Layout
from ssl_zoo.data.names import PARTS, TEST, TRAIN, UNLABELED, VALIDATION, is_hidden, is_image, part_of, spelled
from ssl_zoo.errors import InputError

TABLES = (".csv", ".tsv")
# Names of columns, as people, pandas and Hugging Face's metadata.csv write them.
PATH = ("path", "file_name", "filename", "file", "filepath", "file_path", "image", "image_path", "image_name")
LABEL = ("label", "class", "category", "target", "label_name", "class_name")
SPLIT = ("split", "part", "subset", "set", "partition")
EXPECTED = "expected a header with the columns path and label and, optionally, split (train, test, validation, unlabeled)"
SHOWN = 3


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
    first = text.partition("\n")[0].rstrip("\r")
    mark = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        columns = _columns(table, next(reader, []))
        return list(_lines(table, reader, columns))
    except csv.Error as error:
        raise InputError(f"labels '{table}', line {reader.line_num}: {error}; save the table as CSV again") from error


def _columns(table: Path, header: list[str]) -> dict[str, int]:
    """Where the path, the label and the part stand."""
    names = [name.strip().casefold().replace(" ", "_") for name in header]
    found = {}
    for kind, known in (("path", PATH), ("label", LABEL), ("split", SPLIT)):
        here = [place for place, name in enumerate(names) if name in known]
        if len(here) > 1:
            raise InputError(f"labels '{table}', line 1: {header[here[0]]} and {header[here[1]]} both are a {kind}; keep one")
        if here:
            found[kind] = here[0]
    for kind in ("path", "label"):
        if kind not in found:
            raise InputError(
                f"labels '{table}', line 1: no column {kind} in {', '.join(header)[:200] or 'an empty line'}; {EXPECTED}"
            )
    return {"width": len(header), **found}


def _lines(table: Path, reader: Iterator[list[str]], columns: dict[str, int]) -> Iterator[Line]:
    for fields in reader:
        number = reader.line_num  # type: ignore[attr-defined]
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != columns["width"]:
            quote = "; quote a text that has the separator in it" if len(fields) > columns["width"] else ""
            raise InputError(
                f"labels '{table}', line {number}: {len(fields)} fields where the header has {columns['width']}{quote}"
            )
        path, label = fields[columns["path"]].strip(), fields[columns["label"]]
        label = "" if label.strip().casefold() == "nan" else label  # as pandas writes what is not there
        said = fields[columns["split"]].strip() if "split" in columns else ""
        part = part_of(said) if said else TRAIN
        if not path:
            raise InputError(f"labels '{table}', line {number}: no path")
        if part is None:
            raise InputError(f"labels '{table}', line {number}: split '{said}' is none of {', '.join(PARTS)}")
        if part in (TEST, VALIDATION) and not label.strip():
            raise InputError(f"labels '{table}', line {number}: an image to score has no label; give one, or take split train")
        if part == UNLABELED and label.strip():
            raise InputError(f"labels '{table}', line {number}: split unlabeled, but a label '{label}'; remove one of them")
        yield Line(number, path, label, UNLABELED if not label.strip() else part)


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
        spellings = dict.fromkeys((line.path, line.path.replace("\\", "/")))  # as Windows writes them
        tried = [os.path.join(folder, os.path.expanduser(path)) for path in spellings for folder in folders]
        place = next((os.path.normpath(path) for path in tried if os.path.isfile(path)), None)
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
        raise InputError(f"labels '{table}' name files that are not there: {shown}{more}; paths are relative to {where}")
    return found


def _classes(table: Path, lines: list[Line]) -> tuple[str, ...]:
    """All classes; numbers in their order, other names sorted."""
    alike: dict[str, tuple[str, int]] = {}
    for line in lines:
        if not line.label.strip():
            continue
        name, number = alike.setdefault(" ".join(spelled(line.label).casefold().split()), (spelled(line.label), line.number))
        if name != spelled(line.label) or name != name.strip():
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
        f"{len(others):,} images beside them are not in the table and not used, such as '{others[0]}'; a line with an empty "
        "label adds one to those without labels"
    )


def _notes(classes: tuple[str, ...], lines: list[Line]) -> list[str]:
    notes = []
    for part in (TEST, VALIDATION):
        here = {spelled(line.label) for line in lines if line.part == part}
        lacking = [name for name in classes if name not in here]
        if here and lacking:
            shown = f"{', '.join(lacking[:8])}{' and more' if len(lacking) > 8 else ''}"
            notes.append(f"the {part} part has no image of {shown}: scores are of the other {len(here)} classes")
    return notes
