"""Images decoded so far, in a file beside the cache's: what is left when decoding ends early, for the next time."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from ssl_zoo.data.image import Decoded

MARK = 16  # bytes that tell one state of one image file from any other: 8 of its path, 8 of its state
# of a decoded image, beside its pixels
RECORD = [("mark", f"V{MARK}"), ("largest", "<u2"), ("shaped", "?"), ("scale", "<f4")]
ENDING = ".pieces"


def mark_of(path: str, state: str) -> bytes:
    """Return what tells a state of an image file from any other."""
    parts = (text.encode(errors="surrogateescape") for text in (path, state))
    return b"".join(hashlib.blake2b(part, digest_size=MARK // 2).digest() for part in parts)


def record_of(mark: bytes | None, image: Decoded | None) -> tuple[bytes, int, bool, float]:
    """Return the RECORD of an image; None: it has no mark, or cannot be read."""
    if mark is None or image is None:
        return bytes(MARK), 0, False, 1.0
    return mark, image.largest, image.shaped, image.scale


class Earlier(NamedTuple):
    """Images that a cache's file holds, of a source that has changed since."""

    images: np.ndarray  # (N, H, W, C) uint8, those of the training set
    test_images: np.ndarray  # (T, H, W, C) uint8
    records: np.ndarray  # (N + T,) RECORD
    depth: int  # bits of 16-bit grey images that were used

    def changes(self, records: np.ndarray) -> str:
        """Say how the images are now others, by their records; nothing where they are the same."""
        before, now = (np.ascontiguousarray(part["mark"]).view("<u8").reshape(-1, 2) for part in (self.records, records))
        _, old, new = np.intersect1d(before[:, 0], now[:, 0], return_indices=True)
        changed = int((before[old, 1] != now[new, 1]).sum())
        counts = {"new": len(now) - len(new), "changed": changed, "gone": len(before) - len(old)}
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


class Pieces:
    """A file of records, each with a mark and an image's pixels. It is appended to, so that a kill leaves whole ones.

    Where another process is at work on the same file, or it cannot be written, nothing is kept.

    Args:
        file: Of the cache; this one lies beside it. None: keep nothing.
        earlier: What the cache holds of the source as it was.
    """

    def __init__(self, file: Path | None, earlier: Earlier | None = None):
        self._path = None if file is None else file.with_name(f"{file.name}{ENDING}")
        self._lock: FileLock | None = None
        self._stream: Any = None
        self._places: dict[bytes, int] = {}  # of each mark
        self._records: np.ndarray | None = None
        self._earlier = earlier
        self._rows: dict[bytes, int] = {}  # of each mark, in what the cache holds

    def open(self, shape: tuple[int, ...]) -> None:
        """Take the file, and find what an earlier process has left there of images of this shape."""
        if self._path is None:
            return
        if self._earlier is not None and self._earlier.images.shape[1:] == shape:
            same = (self._earlier.records["largest"] == 0) | (self._earlier.depth == 16)  # the others' pixels are of their set
            marks = self._earlier.records["mark"]
            self._rows = {marks[row].tobytes(): row for row in np.flatnonzero(same).tolist()}
        self._type = np.dtype([*RECORD, ("pixels", "u1", shape)])
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
        row = self._rows.get(mark) if mark is not None else None
        if row is not None and self._earlier is not None:
            _, largest, shaped, scale = self._earlier.records[row]
            train, test = self._earlier.images, self._earlier.test_images
            pixels = train[row] if row < len(train) else test[row - len(train)]
            return Decoded(np.array(pixels), int(largest), bool(shaped), float(scale))
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

    def left(self, done: int, count: int) -> str:
        """Say what is left when a key ends decoding after so many images of all."""
        kept = "none is kept" if self._stream is None else f"{done:,} of {count:,} are kept, and the same call goes on"
        return f"interrupted while images were decoded; {kept}"

    def release(self) -> None:
        """Let go of what the cache holds: some systems replace no file that is in use."""
        self._earlier, self._rows = None, {}

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
