"""A file of predictions, a row for each image: written as it goes on, and gone on with where it was stopped."""

import contextlib
import csv
import hashlib
import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from ssl_zoo import files
from ssl_zoo.data.labels import FORMULA, guarded, unguarded
from ssl_zoo.errors import BusyError, InputError
from ssl_zoo.using.parquet import from_parquet, to_parquet

FORMATS = (".csv", ".jsonl", ".parquet")
END = object()
Row = Mapping[str, Any]  # by column; what is not known is None


class Known(NamedTuple):
    """What stands in a file that was begun."""

    paths: np.ndarray  # (n,) uint64, sorted: of each path, as eight bytes are less than a path
    labels: np.ndarray  # (n,) uint64, of each path's label, in the same order; that of "" where there is none
    pairs: dict[tuple[str, str], int]  # how often each label was given each class
    unseen: dict[tuple[str, str], int]  # the same, of images that the net was not trained on
    rows: int
    unsure: int = 0
    learnt: int = 0  # rows with a label that the net was trained on


def nothing() -> Known:
    """Return what stands in a file that is not there."""
    return Known(np.empty(0, np.uint64), np.empty(0, np.uint64), {}, {}, 0)


class Sheet:
    """A file of predictions.

    Beside it lies NAME.about.json, which says of which net it is: a file is gone on with by the same net alone.
    A Parquet file is written as JSON lines beside it, and made of these at the end.

    Args:
        path: Of the file; its ending says the format.
        columns: Of each row; the first is path, the last error.
        about: What the predictions depend on.
        fresh: Whether predictions that are there are written anew.

    Raises:
        InputError: The ending is not known, or the path is a folder or lies in none; or the file is of another net, has
            other columns, or holds no predictions.
    """

    def __init__(self, path: Path, columns: Sequence[str], about: Mapping[str, Any], fresh: bool = False):
        ending = path.suffix.lower()
        if path.is_dir() or not path.parent.is_dir():
            raise InputError(f"'{path}' {'is a folder' if path.is_dir() else 'lies in no folder'}; give a file's name")
        if ending not in FORMATS:
            raise InputError(f"'{path}' ends in none of {', '.join(FORMATS)}, which say how predictions are written")
        self.path, self.columns, self.about = path, tuple(columns), {**about, "columns": list(columns)}
        self.beside = path.with_name(f"{path.name}.about.json")
        self.work = path.with_name(f"{path.name}.partial.jsonl") if ending == ".parquet" else path
        self.lines = CsvLines(self.columns) if ending == ".csv" else JsonLines(self.columns)
        if ending == ".parquet":
            to_parquet(None, path, columns)  # whether it can be
        self.fresh = fresh
        if self.work.exists() or self.path.exists():
            self._refuse_other()

    def _refuse_other(self) -> None:
        try:
            there = json.loads(self.beside.read_text(encoding="utf-8"))
            ours = {"model", "columns"} <= {*there}
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise InputError(f"'{self.path}' is there, and is no file of predictions; give another name")
        odd = next((name for name, value in self.about.items() if there.get(name) != value), None)
        if odd is not None and not self.fresh:
            what = {"columns": "has other columns", "model": "is of another net"}.get(odd, f"has another {odd}")
            raise InputError(f"'{self.path}' {what}; give another name, or `fresh=True`, which writes it anew")

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Keep the file to this process.

        Raises:
            BusyError: Another process writes it.
            InputError: Nothing can be written there.
        """
        lock = FileLock(self.path.with_name(f".{self.path.name}.busy"))
        try:
            Path(lock.lock_file).touch()  # where it cannot be made, the lock would seem to be another's
            lock.acquire(blocking=False)
        except Timeout as error:
            raise BusyError(f"another process writes '{self.path}'; wait for it, or give another name") from error
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be written ({error.strerror or error}); give another name") from error
        except NotImplementedError:  # a file system without locks, on which nobody can be kept out
            yield
            return
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)  # while it is ours
            lock.release()

    def begin(self) -> Known:
        """Return what is in the file already. Rows with an error are taken out: they are tried again."""
        if self.fresh:
            for old in (self.work, self.path):
                old.unlink(missing_ok=True)
        files.replace_text(self.beside, json.dumps(self.about, indent=1))
        if self.work != self.path and self.path.exists() and not self.work.exists():
            files.replace(self.work, lambda file: self._copy(file, from_parquet(self.path)))
        paths, labels, whole, unsure, learnt = [], [], True, 0, 0
        pairs, unseen = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        if self.work.exists():
            for row in self._rows():
                if row is None or row["error"]:
                    whole = False
                    continue
                paths.append(key_of(row["path"]))
                labels.append(key_of(row["label"] or ""))
                unsure += row.get("unsure") in (True, "True")
                if row["label"] is not None:
                    learnt += row["trained_on"] in (True, "True")
                    unseen[row["label"], row["class"]] += row["trained_on"] in (False, "False")
                    pairs[row["label"], row["class"]] += 1
            if not whole:
                files.replace(self.work, lambda file: self._copy(file, self._rows()))
        if not self.work.exists():
            files.replace(self.work, lambda file: file.write(self.lines.head()))
        keys = np.array(paths, dtype=np.uint64)
        order = keys.argsort()
        return Known(keys[order], np.array(labels, dtype=np.uint64)[order], pairs, unseen, len(paths), unsure, learnt)

    def _rows(self) -> Iterator[Row | None]:
        """Rows of the file; None where one is torn, as the last is where no line ends."""
        with self.work.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            torn = file.read() not in (b"\n", b"")
        with self.work.open("r", encoding="utf-8", errors="surrogateescape", newline="") as file:
            try:
                rows = self.lines.read(file)
                for row, more in itertools.pairwise(itertools.chain(rows, [END])):
                    yield None if torn and more is END else row
            except LookupError as error:
                raise InputError(f"'{self.path}' {error.args[0]}; `fresh=True` writes it anew, or give another name") from error

    def _copy(self, file: Any, rows: Iterable[Row | None]) -> None:
        file.write(self.lines.head())
        for row in rows:
            if row is not None and not row["error"]:
                file.write(self.lines.written([row]))

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows to the end of the file, at once."""
        with self.work.open("ab") as file:
            file.write(self.lines.written(rows))

    def end(self, found: Mapping[str, Any]) -> None:
        """Write what was found, and the file itself where it is made at the end."""
        if self.work != self.path:
            to_parquet((row for row in self._rows() if row is not None), self.path, self.columns)
            self.work.unlink()
        files.replace_text(self.beside, json.dumps({**self.about, **found}, indent=1))


def key_of(text: str) -> int:
    """Return eight bytes of a digest: of a million paths two are the same with a chance of 1 in 40 million.

    Bytes of a path that are no UTF-8 count as they are written out, as in Parquet.
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "little")


def place_of(known: Known, path: str) -> int | None:
    """Return where a path stands in what is known; None: it is not in the file."""
    key = np.uint64(key_of(path))
    place = int(np.searchsorted(known.paths, key))
    return place if place < len(known.paths) and known.paths[place] == key else None


class JsonLines:
    """A JSON object a line."""

    def __init__(self, columns: Sequence[str]):
        self.columns = columns

    def head(self) -> bytes:
        return b""

    def written(self, rows: Sequence[Row]) -> bytes:
        return "".join(f"{json.dumps({name: row[name] for name in self.columns})}\n" for row in rows).encode()

    def read(self, file: io.TextIOWrapper) -> Iterator[Row | None]:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                yield None
            else:
                yield row if isinstance(row, dict) and {*row} == {*self.columns} else None


class CsvLines:
    """CSV with a header. What a spreadsheet might run as a formula is made text: ./ before a path, ' before a name."""

    def __init__(self, columns: Sequence[str]):
        self.columns = columns

    def head(self) -> bytes:
        return self._lines([[guarded(name) for name in self.columns]])

    def written(self, rows: Sequence[Row]) -> bytes:
        return self._lines([[self._cell(name, row[name]) for name in self.columns] for row in rows])

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        return "".join(f"{','.join(map(_quoted, cells))}\n" for cells in rows).encode("utf-8", errors="surrogateescape")

    def _cell(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if name == "path":
            return f"./{value}" if value.startswith(FORMULA) else value
        return guarded(value) if isinstance(value, str) else f"{value}"

    def read(self, file: io.TextIOWrapper) -> Iterator[Row | None]:
        reader = csv.reader(file, strict=True)
        with contextlib.suppress(csv.Error):  # the last is torn within a quote
            head = next(reader, [])
            for place, fields in enumerate(reader):
                if place == 0 and head != [guarded(name) for name in self.columns]:
                    raise LookupError("has another header than predictions")
                if len(fields) != len(self.columns):
                    yield None
                    continue
                row: dict[str, Any] = dict(zip(self.columns, fields, strict=True))
                row["path"] = row["path"].removeprefix("./") if row["path"][2:].startswith(FORMULA) else row["path"]
                for name in ("label", "class"):
                    row[name] = unguarded(row[name]) if row[name] else None
                yield row
            if head != [guarded(name) for name in self.columns]:
                yield None  # there is no whole header, and nothing below it
            return
        yield None


def _quoted(cell: str) -> str:
    """A cell as it stands in a line. Python's writer does not quote a lone carriage return."""
    return f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(c in cell for c in ',"\r\n') else cell
