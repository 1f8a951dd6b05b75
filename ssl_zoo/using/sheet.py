"""A file of predictions, a row for each image: written as it goes on, and gone on with where it was stopped."""

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo import files
from ssl_zoo.data.labels import FORMULA, guarded, unguarded
from ssl_zoo.errors import InputError
from ssl_zoo.using.parquet import from_parquet, to_parquet

FORMATS = (".csv", ".jsonl", ".parquet")
Row = Mapping[str, Any]  # by column; what is not known is None


class Known(NamedTuple):
    """What stands in a file that was begun."""

    paths: np.ndarray  # (n,) uint64, sorted: of each path, as eight bytes are less than a path
    pairs: dict[tuple[str, str], int]  # how often each label was given each class
    rows: int
    unsure: int = 0


class Sheet:
    """A file of predictions.

    Beside it lies NAME.about.json, which says of which net it is: a file is gone on with by the same net alone.
    A Parquet file is written as JSON lines beside it, and made of these at the end.

    Args:
        path: Of the file; its ending says the format.
        columns: Of each row; the first is path, the last error.
        about: What the predictions depend on.

    Raises:
        InputError: The ending is not known, or the path is a folder or lies in none; or the file is of another net, or
            has other columns.
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
        if fresh:
            for old in (self.work, self.path, self.beside):
                old.unlink(missing_ok=True)
        elif self.work.exists() or self.path.exists():
            self._refuse_other()

    def _refuse_other(self) -> None:
        try:
            there = json.loads(self.beside.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"'{self.path}' is no file of predictions; give another name, or `fresh=True`") from error
        odd = next((name for name, value in self.about.items() if there.get(name) != value), None)
        if odd is not None:
            what = {"columns": "has other columns", "model": "is of another net"}.get(odd, f"has another {odd}")
            raise InputError(f"'{self.path}' {what}; give another name, or `fresh=True`, which writes it anew")

    def begin(self) -> Known:
        """Return what is in the file already. Rows with an error are taken out: they are tried again."""
        files.replace_text(self.beside, json.dumps(self.about, indent=1))
        if self.work != self.path and self.path.exists() and not self.work.exists():
            files.replace(self.work, lambda file: self._copy(file, from_parquet(self.path)))
        hashes, pairs, whole, unsure = [], dict[tuple[str, str], int](), True, 0
        if self.work.exists():
            for row in self._rows():
                if row is None or row["error"]:
                    whole = False
                    continue
                hashes.append(key_of(row["path"]))
                unsure += row.get("unsure") in (True, "True")
                if row["label"] is not None:
                    pair = (row["label"], row["class"])
                    pairs[pair] = pairs.get(pair, 0) + 1
            if not whole:
                files.replace(self.work, lambda file: self._copy(file, self._rows()))
        if not self.work.exists():
            files.replace(self.work, lambda file: file.write(self.lines.head()))
        return Known(np.sort(np.array(hashes, dtype=np.uint64)), pairs, len(hashes), unsure)

    def _rows(self) -> Iterator[Row | None]:
        """Rows of the file; None where one is torn."""
        with self.work.open("r", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield from self.lines.read(file)

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


def key_of(path: str) -> int:
    """Return eight bytes of a path's digest: of a million paths two are the same with a chance of 1 in 40 million."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "little")


def has(known: Known, path: str) -> bool:
    """Return whether a path stands in the file."""
    key = np.uint64(key_of(path))
    place = np.searchsorted(known.paths, key)
    return place < len(known.paths) and known.paths[place] == key


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
                yield row if line.endswith("\n") and isinstance(row, dict) and {*row} == {*self.columns} else None


class CsvLines:
    """CSV with a header. What a spreadsheet might run as a formula is made text: ./ before a path, ' before a name."""

    def __init__(self, columns: Sequence[str]):
        self.columns = columns

    def head(self) -> bytes:
        return self._lines([[guarded(name) for name in self.columns]])

    def written(self, rows: Sequence[Row]) -> bytes:
        return self._lines([[self._cell(name, row[name]) for name in self.columns] for row in rows])

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode("utf-8", errors="surrogateescape")

    def _cell(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if name == "path":
            return f"./{value}" if value.startswith(FORMULA) else value
        return guarded(value) if isinstance(value, str) else f"{value}"

    def read(self, file: io.TextIOWrapper) -> Iterator[Row | None]:
        reader = csv.reader(file, strict=True)
        with contextlib.suppress(csv.Error):  # the last is torn within a quote
            next(reader, None)
            for fields in reader:
                if len(fields) != len(self.columns):
                    yield None
                    continue
                row: dict[str, Any] = dict(zip(self.columns, fields, strict=True))
                row["path"] = row["path"].removeprefix("./") if row["path"][2:].startswith(FORMULA) else row["path"]
                for name in ("label", "class"):
                    row[name] = unguarded(row[name]) if row[name] else None
                yield row
            return
        yield None
