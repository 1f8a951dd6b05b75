"""Where arrays of images have room: in memory or, if they are large, on disk."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np

LARGE = 1 << 30  # bytes of images, above which they are kept on disk
CHUNK = 4096  # images copied at a time


def room(file: Path, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """An array of bytes to decode images into.

    In memory, or, if it is large, in a file without a name beside the cache's.

    Raises:
        MemoryError: There is no room.
    """
    size = math.prod(shape)
    if size <= LARGE:
        return np.zeros(shape, dtype)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent) as nameless:
            os.posix_fallocate(nameless.fileno(), 0, size)  # a full disk is an error here, and would be the process's death later
            return np.memmap(nameless, dtype, "r+", shape=shape)
    except (OSError, AttributeError):  # a full disk; another system
        return np.zeros(shape, dtype)


def taken(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a copy of some images; beside their file, if they are mapped from one and large.

    Args:
        images: (N, H, W, C).
        rows: Of them.
    """
    shape = (len(rows), *images.shape[1:])
    if math.prod(shape) <= LARGE or not isinstance(images, np.memmap) or images.filename is None:
        return images[rows]
    copied = room(Path(images.filename), shape)
    for start in range(0, len(rows), CHUNK):
        copied[start : start + CHUNK] = images[rows[start : start + CHUNK]]
    return copied
