"""Data on which a score says nothing: test images that are also trained on, and one image under two classes."""

from collections.abc import Iterable, Sequence

import numpy as np

from ssl_zoo.data.dataset import contents

VALUES = 16  # of which an image must have more, or two of them are equal by chance


def hashes(images: np.ndarray) -> Sequence[bytes]:
    """Return a hash of the pixels of each image, where they say that two images are one.

    A fifth of a second for 60,000 images of 32x32.

    Args:
        images: (n, H, W, C) uint8.

    Returns:
        (n,), or none at all of images with at most 16 values, which may be equal by chance.
    """
    return contents(images) if images[0].size > VALUES else []


def leaks(trained: Sequence[bytes], scored: Sequence[bytes], rows: Iterable[int] | None = None) -> list[tuple[int, int]]:
    """The scored images whose pixels are, all of them, those of an image that is trained on.

    Labelled, unlabelled, or of another class. Images that were scaled, cropped or compressed anew are not found.

    Args:
        trained: (N,) hashes of the training set.
        scored: (T,) hashes of what is scored.
        rows: Of the training set, those that are trained on; all, unless said otherwise.

    Returns:
        (row of the scored images, first row of those that are trained on), for each such image.
    """
    first: dict[bytes, int] = {}
    for row in range(len(trained)) if rows is None or not trained else rows:
        first.setdefault(trained[row], int(row))
    found = ((row, first.get(image)) for row, image in enumerate(scored))
    return [(row, of) for row, of in found if of is not None]


def contradictions(images: Sequence[bytes], labels: np.ndarray) -> list[tuple[int, int]]:
    """The images whose pixels are, all of them, those of an image of another class. Within one class nothing is found.

    Args:
        images: (n,) hashes, or none at all.
        labels: (n,) classes, -1 where unknown.

    Returns:
        (row of the image, first row of another class), for each such image.
    """
    known = np.flatnonzero(labels >= 0) if len(images) else np.empty(0, np.int64)
    _, group = np.unique(np.array([images[row] for row in known], dtype="S16"), return_inverse=True)
    least, most = np.full(len(known), labels.max(initial=0)), np.full(len(known), -1)
    np.minimum.at(least, group, labels[known])
    np.maximum.at(most, group, labels[known])
    found = known[(least < most)[group]].tolist()
    firsts: dict[bytes, dict[int, int]] = {}  # of each image of several classes, the first row of each
    for row in found:
        firsts.setdefault(images[row], {}).setdefault(int(labels[row]), row)
    return [(row, next(first for k, first in firsts[images[row]].items() if k != labels[row])) for row in found]
