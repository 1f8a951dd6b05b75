"""Predictions as Parquet, for what reads tables by columns. Needs pyarrow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import files
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.using.predictions import chunks

TEXTS, TRUTHS = ("path", "class", "label", "error"), ("unsure", "trained_on")
CHUNK = 10_000  # rows of a group


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError('Parquet needs pyarrow: pip install "ssl_zoo[parquet]"; .csv and .jsonl need nothing') from error
    return pyarrow


def to_parquet(rows: Iterable[Mapping[str, Any]] | None, path: Path, columns: Sequence[str]) -> None:
    """Write rows, as a whole or not at all.

    Args:
        rows: By column; None: only see whether it can be done.
        path: Of the file.
        columns: Names. Text are path, class, label, error and class_K; unsure and trained_on are truth values; all
            others are numbers.

    Raises:
        InputError: pyarrow is not there.
    """
    arrow = _pyarrow()
    if rows is None:
        return
    kinds = {name: _kind(arrow, name) for name in columns}
    schema = arrow.schema(list(kinds.items()))

    def write(file: Any) -> None:
        with arrow.parquet.ParquetWriter(file, schema) as writer:
            for chunk in chunks(rows, CHUNK):
                plain = [{name: _plain(row[name]) for name in columns} for row in chunk]
                writer.write_table(arrow.Table.from_pylist(plain, schema=schema))

    files.replace(path, write)


def from_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file.

    Raises:
        InputError: It cannot be read.
    """
    arrow = _pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            for chunk in file.iter_batches(CHUNK):
                yield from chunk.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"'{path}' is damaged ({one_line(error)}); `fresh=True` writes it anew") from error


def _kind(arrow: Any, name: str) -> Any:
    if name in TEXTS or name.startswith("class_"):
        return arrow.string()
    return arrow.bool_() if name in TRUTHS else arrow.float64()


def _plain(value: Any) -> Any:
    """A path of bytes that are no UTF-8, which Parquet does not hold, with these bytes written out."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
