"""A run or a sweep -> one HTML page, which needs no other file, no network, and no script."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import files
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.pages.document import page
from ssl_zoo.pages.markup import Markup, element, joined, listed, name, percent, section
from ssl_zoo.runs.row import read_sound_rows
from ssl_zoo.tables.rows import data_of
from ssl_zoo.using.report.comparison import beside, labels_alone
from ssl_zoo.using.report.evidence import Run, Seen, folders_of, read_run
from ssl_zoo.using.report.gallery import errors_part, examples_part, labels_part
from ssl_zoo.using.report.parts import classes_part, confusion_part, curves_part, reliability_part
from ssl_zoo.using.report.summary import answer, differences, made_of
from ssl_zoo.using.report.sweep import sweep_parts

ENDINGS = (".html", ".htm")


class Written(NamedTuple):
    """A page that was written."""

    path: Path
    size: int  # bytes
    missing: tuple[str, ...]  # what is not in it, and why


def _all(items: Iterable[Any], count: int, what: str) -> Iterable[Any]:
    return items


def write_report(
    path: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    device: str = "auto",
    data_root: str | None = None,
    seen: Seen = _all,
) -> Written:
    """Write a page about a run, a run in folds, or a sweep.

    Args:
        path: Of its folder.
        out: File, .html; None: report.html in the folder. A file that is there is replaced.
        device: That predicts.
        data_root: Where the images are now; None: where they were when it was trained.
        seen: Wraps what is gone through, as a bar does: is given how many there are, and what they are.

    Raises:
        InputError: The run is not finished, or diverged; there is none; or the file cannot be written there.
    """
    place = Path(os.path.expanduser(path))
    folders = folders_of(place)
    file = place / "report.html" if out is None else Path(os.path.expanduser(out))
    check_file(file)
    if folders:
        run = read_run(folders, place, device, data_root, seen)
        title, body, missing = _title(run), _of_run(run), run.missing
    else:
        title, body, missing = f"sweep {one_line(place.resolve().name)}", _of_sweep(place), ()
    content = page(title, body).encode("utf-8")
    files.replace(file, lambda opened: opened.write(content))
    return Written(file, len(content), missing)


def _title(run: Run) -> str:
    return f"{run.row['algorithm']} on {data_of(run.row)}: {percent(run.row['accuracy'])}"


def _of_run(run: Run) -> Markup:
    row, other = run.row, labels_alone(run)
    return joined(
        element("h1", name(row["algorithm"]), " on ", name(data_of(row))),
        answer(run, other),
        section("With labels alone", beside(run, other)),
        section("What was trained", made_of(run), differences(row), classes_part(run), listed(run.missing)),
        section("What is taken for what", confusion_part(run.confusion, run.trained.classes)),
        section("Worst errors", errors_part(run)),
        section("Each class", examples_part(run)),
        section("Labels to look at", labels_part(run)),
        section("How sure it is", reliability_part(run)),
        section("How it learnt", curves_part(run)),
    )


def _of_sweep(place: Path) -> Markup:
    try:
        found = read_sound_rows([place])
    except InputError as error:
        raise InputError(f"{error}; a report is of a finished run, or of a sweep") from error
    return joined(element("h1", "Sweep ", name(place.resolve().name)), sweep_parts(place, found))


def check_file(file: Path) -> None:
    """Raise InputError where a page cannot be written."""
    if file.is_dir() or not file.parent.is_dir():
        raise InputError(f"'{file}' {'is a folder' if file.is_dir() else 'lies in no folder'}; give a file's name")
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f"'{file}' does not end in {ENDINGS[0]}, and a report is a page of HTML")
