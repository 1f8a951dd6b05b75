"""Data on which a score says nothing: test images that are also trained on, and one image under two classes."""

from collections.abc import Sequence

import numpy as np

from ssl_zoo.data.dataset import contents

VALUES = 16  # of which an image must have more, or two of them are equal by chance
CHUNK = 512  # images hashed or compared at a time, which the processor's cache should hold


def hashes(images: np.ndarray) -> Sequence[bytes]:
    """Return a hash of the pixels of each image, where they say that two images are one.

    For a few of them: of a whole data set `pictures` tells in a tenth of the time and of the room.

    Args:
        images: (n, H, W, C) uint8.

    Returns:
        (n,) of 16 bytes, or none at all of images with at most 16 values, which may be equal by chance.
    """
    return contents(images) if images[0].size > VALUES else []


def short_hashes(images: np.ndarray) -> np.ndarray:
    """Return a number for the pixels of each image, the same for equal images and hardly ever for others.

    It is the sum, modulo 2^64, of each 4 bytes times a factor of their own. Of all choices of the factors, fewer than
    one in 2^32 give two given images that differ the same number. So `pictures` looks whether they are equal.

    Args:
        images: (n, H, W, C) uint8.

    Returns:
        (n,) uint64.
    """
    size = int(np.prod(images.shape[1:]))
    factors = np.random.PCG64(0).random_raw(-(-size // 4))
    found, padded = np.empty(len(images), np.uint64), np.zeros((CHUNK, 4 * len(factors)), np.uint8)
    for first in range(0, len(images), CHUNK):
        part = images[first : first + CHUNK]
        padded[: len(part), :size] = part.reshape(len(part), -1)
        values = padded[: len(part)].view("<u4").astype(np.uint64)
        np.einsum("ij,j->i", values, factors, out=found[first : first + len(part)])
    return found


def pictures(*parts: np.ndarray, known: np.ndarray | None = None) -> list[np.ndarray]:
    """Return for each image the first one that has the same pixels, all of them.

    Images of equal hash are compared by their pixels, so that no hash decides.

    Args:
        parts: (n, H, W, C) uint8 each, of one shape of images; their rows are counted on from one to the next.
        known: (all rows,) uint64, their `short_hashes`, if they are there already.

    Returns:
        (n,) int64 for each part: the rows of these first images. Images with at most 16 values, which may be equal by
        chance, are all themselves.
    """
    ends = np.cumsum([len(part) for part in parts])
    found = np.arange(ends[-1])
    if np.prod(parts[0].shape[1:]) > VALUES:
        every = np.concatenate([short_hashes(part) for part in parts]) if known is None else known
        rows = _suspects(every)
        _join(parts, rows, every[rows], found)
    return np.split(found, ends[:-1])


def _suspects(every: np.ndarray) -> np.ndarray:
    """The rows whose hash another row has too, in their order."""
    ordered = np.sort(every)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(twice):
        return np.empty(0, np.int64)
    starts = range(0, len(every), 1 << 20)
    return np.concatenate([start + np.flatnonzero(_among(every[start : start + (1 << 20)], twice)) for start in starts])


def _among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Whether each value is among those of a sorted array."""
    return ordered[np.searchsorted(ordered, values).clip(max=len(ordered) - 1)] == values


def _join(parts: tuple[np.ndarray, ...], rows: np.ndarray, of: np.ndarray, found: np.ndarray) -> None:
    """Write into `found` the first row with the same pixels, for rows that have the same hash as others.

    Each round compares all with the first of their hash; what differs from it is left for the next, which hardly ever
    is.
    """
    while len(rows):
        _, first, group = np.unique(of, return_index=True, return_inverse=True)
        firsts = rows[first[group]]
        same = np.concatenate(
            [
                _equal(_images(parts, rows[start : start + CHUNK]), _images(parts, firsts[start : start + CHUNK]))
                for start in range(0, len(rows), CHUNK)
            ]
        )
        found[rows[same]] = firsts[same]
        rows, of = rows[~same], of[~same]


def _equal(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (some == others).reshape(len(some), -1).all(axis=1)


def _images(parts: tuple[np.ndarray, ...], rows: np.ndarray) -> np.ndarray:
    """The images of some rows, counted on from one part to the next."""
    found, start = np.empty((len(rows), *parts[0].shape[1:]), np.uint8), 0
    for part in parts:
        inside = (rows >= start) & (rows < start + len(part))
        found[inside] = part[rows[inside] - start]
        start += len(part)
    return found


def leaks(trained: np.ndarray, scored: np.ndarray, rows: np.ndarray | None = None) -> list[tuple[int, int]]:
    """The scored images whose pixels are, all of them, those of an image that is trained on.

    Labelled, unlabelled, or of another class. Images that were scaled, cropped or compressed anew are not found.

    Args:
        trained: (N,) `pictures` of the training set.
        scored: (T,) `pictures` of what is scored, from the same call.
        rows: (n,) of the training set, those that are trained on; all, unless said otherwise.

    Returns:
        (row of the scored images, first row of those that are trained on), for each such image.
    """
    wanted = np.zeros(1 + max(trained.max(initial=-1), scored.max(initial=-1)), bool)
    wanted[scored] = True
    used = np.arange(len(trained)) if rows is None else rows
    first: dict[int, int] = {}
    for row in used[wanted[trained[used]]].tolist():
        first.setdefault(int(trained[row]), row)
    found = ((row, first.get(image)) for row, image in enumerate(scored.tolist()))
    return [(row, of) for row, of in found if of is not None]


def contradictions(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """The images whose pixels are, all of them, those of an image of another class. Within one class nothing is found.

    Args:
        images: (n,) `pictures`.
        labels: (n,) classes, -1 where unknown.

    Returns:
        (row of the image, first row of another class), for each such image.
    """
    several = np.bincount(images) > 1
    known = np.flatnonzero(several[images] & (labels >= 0))
    _, group = np.unique(images[known], return_inverse=True)
    least, most = np.full(len(known), labels.max(initial=0)), np.full(len(known), -1)
    np.minimum.at(least, group, labels[known])
    np.maximum.at(most, group, labels[known])
    found = known[(least < most)[group]].tolist()
    firsts: dict[int, dict[int, int]] = {}  # of each image of several classes, the first row of each
    for row in found:
        firsts.setdefault(int(images[row]), {}).setdefault(int(labels[row]), row)
    return [(row, next(first for k, first in firsts[int(images[row])].items() if k != labels[row])) for row in found]
