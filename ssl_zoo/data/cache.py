"""Decoded images kept on disk, one file for each root and set of options, made anew when what it was made from has changed."""

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from ssl_zoo.data.dataset import Dataset

FORMAT = 2  # of the file; one of another is made anew


def digest(listing: list[tuple[str, int, int]]) -> str:
    """A hash of names, sizes and times, and of the decoder's version, whose pixels may differ from the next one's."""
    lines = "\n".join(f"{name}\0{size}\0{time}" for name, size, time in listing)
    return hashlib.blake2b(f"{FORMAT} {PIL.__version__}\n{lines}".encode(errors="surrogateescape"), digest_size=16).hexdigest()


def cache_file(root: Path, *options: Any) -> Path:
    """The file for a root and the options that its images are made with, below `$SSL_ZOO_CACHE` or the user's cache folder."""
    base = os.environ.get("SSL_ZOO_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ssl_zoo")
    key = hashlib.blake2b(json.dumps([str(root), *options]).encode(), digest_size=8).hexdigest()
    return Path(base).expanduser() / f"{root.name[:40]}-{key}.npz"  # the name is for people, the key tells them apart


def load(file: Path, stamp: str) -> Dataset | None:
    """What the cache holds, if it is of this listing."""
    try:
        with np.load(file) as kept:  # checks each array's CRC
            if str(kept["stamp"]) != stamp:
                return None
            arrays = (kept[name] for name in ("images", "labels", "test_images", "test_labels"))
            return Dataset("folder", *arrays, *(_unpacked(kept[name]) for name in ("classes", "names", "skipped")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # a damaged file can fail anywhere; it is only a copy, and it is written anew
        warnings.warn(f"cache file {file} cannot be used and is made anew ({error})", stacklevel=3)
        return None


def save(file: Path, stamp: str, dataset: Dataset) -> None:
    """Keep a data set in place of what the file held. Two processes may do so at once: each replaces the whole file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as temporary:
            written = os.path.join(temporary, file.name)
            packed = {name: _packed(getattr(dataset, name)) for name in ("classes", "names", "skipped")}
            np.savez(written, stamp=np.array(stamp), **{**dataset._asdict(), **packed})
            os.replace(written, file)
    except OSError as error:
        warnings.warn(f"decoded images cannot be kept ({error}); set $SSL_ZOO_CACHE to a writable folder", stacklevel=3)


def _packed(texts: tuple[str, ...]) -> np.ndarray:
    """As bytes, each ended by NUL, which no file's name contains: an array of texts has the length of the longest for each."""
    return np.frombuffer("".join(f"{text}\0" for text in texts).encode(errors="surrogateescape"), np.uint8)


def _unpacked(array: np.ndarray) -> tuple[str, ...]:
    return tuple(array.tobytes().decode(errors="surrogateescape").split("\0")[:-1])
