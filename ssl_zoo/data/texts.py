"""Many texts, such as the names of files, in one buffer: a Python string for each would take a hundred bytes a row."""

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from ssl_zoo.errors import InputError

CHUNK = 1 << 14  # texts at a time that are Python strings
BLOCK = 1 << 24  # bytes looked through at a time


class Texts(Sequence[str]):
    """A sequence of texts that cannot be changed. It costs their bytes in UTF-8 and nine more for each.

    It is equal to any sequence of the same texts. What a slice, an array of places or a mask takes of it is `Texts`
    too. Where a list of strings is needed, as for JSON, give `list(texts)`.

    Args:
        characters: (bytes,) uint8, UTF-8, each text ended by NUL, which no file's name contains. May be mapped from a
            file.
        starts: (n + 1,) int64, where each text begins, and the next would; found in the characters, unless given.
    """

    def __init__(self, characters: np.ndarray, starts: np.ndarray | None = None):
        self.characters = characters.view(np.ndarray)  # of a mapped file too: what is pickled is then an array
        self._starts = _starts_in(self.characters) if starts is None else starts

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return the texts of an iterable. They need not be in memory at once.

        Raises:
            InputError: One of them contains NUL.
        """
        if isinstance(texts, Texts):
            return texts
        buffer, left = bytearray(), iter(texts)
        while chunk := list(itertools.islice(left, CHUNK)):
            joined = "".join(f"{text}\0" for text in chunk)
            if joined.count("\0") > len(chunk):
                raise InputError(f"the name {next(text for text in chunk if chr(0) in text)!r} contains NUL; rename the file")
            buffer += joined.encode(errors="surrogateescape")
        return cls(np.frombuffer(buffer, np.uint8))

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice | np.ndarray) -> "Texts": ...

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            first, last, step = place.indices(len(self))
            return self._run(first, max(first, last)) if step == 1 else self.take(np.arange(first, last, step))
        if isinstance(place, np.ndarray) and place.ndim:
            return self.take(np.arange(len(self))[place])  # negative places, masks and errors are as of an array
        row = operator.index(place)
        row += len(self) if row < 0 else 0
        if not 0 <= row < len(self):
            raise IndexError(f"there is no text {place} of {len(self):,}")
        return _decoded(self.characters[self._starts[row] : self._starts[row + 1] - 1])

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), CHUNK):
            yield from _decoded(self._run(first, min(first + CHUNK, len(self))).characters).split("\0")[:-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list: it is for looking up, not to be looked up by

    def __repr__(self) -> str:
        first = ", ".join(map(repr, self[:3]))
        return f"<{len(self):,} texts: {first}{', ...' if len(self) > 3 else ''}>"

    def take(self, rows: np.ndarray) -> "Texts":
        """Return the texts of some rows, (n,) int64, in their order."""
        rows = np.asarray(rows, np.int64)
        lengths = self._starts[rows + 1] - self._starts[rows]
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        characters = np.empty(int(starts[-1]), np.uint8)
        for first in range(0, len(rows), CHUNK):
            part = slice(first, first + CHUNK)
            to, count = starts[first : first + CHUNK + 1], lengths[part]
            shift = np.repeat(self._starts[rows[part]] - to[:-1], count)  # from a character's place to where it was
            characters[to[0] : to[-1]] = self.characters[np.arange(to[0], to[-1]) + shift]
        return Texts(characters, starts)

    def _run(self, first: int, last: int) -> "Texts":
        """Those from one row to before another, in the same memory."""
        starts = self._starts[first : last + 1]
        return Texts(self.characters[starts[0] : starts[-1]], starts - starts[0])


def take_texts(texts: Sequence[str], rows: np.ndarray) -> Sequence[str]:
    """Return the texts of some rows: of `Texts` as such, of another sequence as a tuple. Of no texts, none."""
    if not texts:
        return ()
    return texts.take(rows) if isinstance(texts, Texts) else tuple(texts[row] for row in rows)


def _decoded(characters: np.ndarray) -> str:
    return characters.tobytes().decode(errors="surrogateescape")


def _starts_in(characters: np.ndarray) -> np.ndarray:
    """(n + 1,) int64: 0, and the places behind each NUL."""
    found = [np.zeros(1, np.int64)]
    for first in range(0, len(characters), BLOCK):
        found.append(np.flatnonzero(characters[first : first + BLOCK] == 0) + (first + 1))
    return np.concatenate(found)
