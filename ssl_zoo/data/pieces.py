"""Images decoded so far, in a file beside the cache's: what is left when decoding ends early, for the next time."""

from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ssl_zoo.data.image import Decoded

MARK = 16  # bytes that tell one state of one image file from any other
ENDING = ".pieces"


class Pieces:
    """A file of records, each with a mark and an image's pixels. It is appended to, so that a kill leaves whole ones.

    Where another process is at work on the same file, or it cannot be written, nothing is kept.

    Args:
        file: Of the cache; this one lies beside it. None: keep nothing.
    """

    def __init__(self, file: Path | None):
        self._path = None if file is None else file.with_name(f"{file.name}{ENDING}")
        self._lock: FileLock | None = None
        self._stream: Any = None
        self._places: dict[bytes, int] = {}  # of each mark
        self._records: np.ndarray | None = None

    def open(self, shape: tuple[int, ...]) -> None:
        """Take the file, and find what an earlier process has left there of images of this shape."""
        if self._path is None:
            return
        seen = [("largest", "<u2"), ("shaped", "?"), ("scale", "<f4")]
        self._type = np.dtype([("mark", f"V{MARK}"), *seen, ("pixels", "u1", shape)])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{self._path}.busy")
            self._lock.acquire(blocking=False)
            size = self._path.stat().st_size if self._path.exists() else 0
            header = repr(self._type.descr).encode() + b"\n"
            start = len(header)
            with self._path.open("r+b" if size else "w+b", buffering=0) as file:
                whole = (size - start) // self._type.itemsize if file.read(start) == header else -1
                file.truncate(max(start + whole * self._type.itemsize if whole >= 0 else 0, 0))
                if whole < 0:
                    file.seek(0)
                    file.write(header)
            if whole > 0:
                self._records = np.memmap(self._path, self._type, "r", start, (whole,))
                self._places = {mark.tobytes(): place for place, mark in enumerate(self._records["mark"])}
            self._stream = self._path.open("ab", buffering=0)
        except (OSError, Timeout, NotImplementedError):  # it is a convenience
            self._stream, self._places = None, {}

    def get(self, mark: bytes | None) -> Decoded | None:
        """Return the image of a mark, if it is there."""
        place = self._places.get(mark) if mark is not None else None
        if place is None or self._records is None:
            return None
        record = self._records[place]
        return Decoded(np.array(record["pixels"]), int(record["largest"]), bool(record["shaped"]), float(record["scale"]))

    def add(self, marked: list[tuple[bytes, Decoded]]) -> None:
        """Append images."""
        if self._stream is None or not marked:
            return
        records = np.empty(len(marked), self._type)
        records["mark"] = np.frombuffer(b"".join(mark for mark, _ in marked), f"V{MARK}")
        records["largest"] = [image.largest for _, image in marked]
        records["shaped"] = [image.shaped for _, image in marked]
        records["scale"] = [image.scale for _, image in marked]
        records["pixels"] = [image.pixels for _, image in marked]
        try:
            self._stream.write(records.tobytes())
        except OSError:  # a full disk
            self._stream = None

    def close(self, done: bool) -> None:
        """Give the file back; remove it where nobody needs it any more.

        Args:
            done: Whether the cache has all of it now.
        """
        if self._stream is not None:
            self._stream.close()
        self._records, self._stream = None, None
        if self._lock is not None and self._lock.is_locked and self._path is not None:
            if done:
                self._path.unlink(missing_ok=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()
