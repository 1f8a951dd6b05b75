"""Paths -> tables, each with where its rows stand. What holds no rows of runs is passed over, and that is said."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.row import LOST, RESULT, Found, read_sound_rows
from ssl_zoo.tables.table import Table, make_tables

MOST = 120  # letters of a reason


class Source(NamedTuple):
    """A file of rows, a folder of runs, or runs' folders beside each other."""

    name: str
    found: Found
    tables: list[Table]
    said: list[str]  # what is not in the tables, and what is odd


def read_sources(paths: Sequence[Path], published: bool) -> tuple[list[Source], list[str]]:
    """Return what holds rows of runs, in the order of the paths, and a line for each path that does not.

    Args:
        paths: Of run folders, folders of them, and files of rows. Run folders beside each other are read as one, so
            that a table has them all; anything else is alone.
        published: Whether to set numbers of papers beside ours.

    Raises:
        InputError: None of them holds any.
    """
    sources, passed = [], []
    for name, group in _groups(paths).items():
        try:
            found = read_sound_rows(group)
        except InputError as error:
            passed.append(f"{name} is passed over: {_why(name, error)}")
            continue
        if any("rung" in row for row in found.rows):
            passed.append(
                f"{name} is passed over: its rows are of a ladder, whose rungs are no methods; `ssl-zoo ladder --read` shows it"
            )
            continue
        tables, said = make_tables(found.rows, found.problems, published, found.lost)
        if not tables:
            passed.append(f"{name} is passed over: {_why(name, InputError(said[-1]))}")
            continue
        sources.append(Source(name, found, tables, [*said, *found.remarks]))
    if not sources:
        raise InputError(f"no path holds rows of runs: {'; '.join(passed)}")
    return sources, passed


def _why(name: str, error: InputError) -> str:
    """What is wrong with a path whose name has been said, cut where it is long."""
    text = one_line(error)
    for start, shown in ((f"{name}:", "line "), (f"{name} ", "it ")):
        if text.startswith(start):
            text = shown + text.removeprefix(start)
            break
    return text if len(text) <= MOST else f"{text[:MOST]} ..."


def _groups(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Paths by the name under which they are shown; each is there once."""
    groups: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        a_run = path.is_dir() and any((path / name).exists() for name in (RESULT, LOST))
        groups.setdefault((path.parent if a_run else path).as_posix(), []).append(path)
    return groups
