"""What `X` may be, and how it becomes images: arrays as they are, files as training reads them, features as pixels."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from ssl_zoo.data.arrays import as_pixels
from ssl_zoo.data.decode import read_image
from ssl_zoo.device import cores
from ssl_zoo.errors import InputError, between

Kind = Literal["features", "images", "files"]
MODE = "RGB"  # of files
FENCE = 6.0  # interquartile ranges beyond the quartiles: what lies farther out is an outlier; 3, tried, cut what told
MARGIN = 0.1  # of the range, on either side, for rows that come later
MOST = 4096  # features: what the file of a net holds of channels


def kind_of(X: Any) -> Kind:
    """Return what rows are: features, images of an array, or files and PIL images.

    Raises:
        InputError: An array has more than four axes.
    """
    if holds_files(X):
        return "files"
    try:
        axes = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim  # a sparse matrix has one too
    except ValueError as error:  # of numpy, of lists of unequal length
        raise InputError(f"X is not one array ({error}); give images of one size, or paths, or PIL images") from error
    if axes > 4:
        raise InputError(f"X has {axes} axes; give images (n, height, width, channels), or features (n, number)")
    return "images" if axes > 2 else "features"


def holds_files(X: Any) -> bool:
    """Return whether it is a sequence of paths or of PIL images."""
    listed = isinstance(X, Sequence | np.ndarray) or hasattr(X, "to_numpy")  # as a column of pandas has
    if not listed or isinstance(X, str) or getattr(X, "ndim", 1) != 1:
        return False
    first = next(iter(X), None)
    return isinstance(first, str | os.PathLike) or hasattr(first, "convert")


def image_size(size: Any) -> tuple[int, int] | None:
    """Return height and width, of a side, of both, or of None.

    Raises:
        InputError: It is neither.
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, list | tuple | np.ndarray) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides):
        raise InputError(f"image_size = {size!r} is no size; give a side, or (height, width), in pixels")
    height, width = (int(between("image_size", side, 1, 4096)) for side in sides)
    return height, width


def read_pixels(X: Any, kind: Kind, size: tuple[int, int] | None) -> np.ndarray:
    """Return images as (n, H, W, C) uint8.

    Args:
        X: Of a kind that is not features.
        kind: Which.
        size: To which files are resized, as in training on folders; None: they have one size.

    Raises:
        InputError: They cannot be read, or are of several sizes.
    """
    if kind == "images":
        if size is not None:
            raise InputError("`image_size` is for paths and PIL images, and X is an array of images; leave it out")
        return as_pixels(X, "X")
    with ThreadPoolExecutor(cores()) as pool:
        images = list(pool.map(lambda image: read_image(image, size, MODE), X))
    odd = next((place for place, image in enumerate(images) if image.shape != images[0].shape), None)
    if odd is not None:
        one, other = (f"{height} x {width}" for height, width, _ in (images[0].shape, images[odd].shape))
        raise InputError(f"images differ in size: the first is {one} and number {odd} is {other}; give `image_size`")
    return np.stack(images)


class Levels(NamedTuple):
    """How a feature becomes a pixel: 256 levels from the lowest to the highest, and what is beyond at the ends.

    The run then brings each feature to mean 0 and deviation 1, as it does any channel.
    """

    low: np.ndarray  # (D,)
    high: np.ndarray  # (D,)

    @classmethod
    def fit(cls, X: np.ndarray) -> Self:
        """Return the range of each feature of (n, D), with a margin, but without outliers, which would take all levels.

        Raises:
            InputError: There are too many features, or they are larger than a range can be.
        """
        if X.shape[1] > MOST:
            raise InputError(f"X has {X.shape[1]:,} features, and {MOST:,} are the most; reduce them first, as with PCA")
        with np.errstate(over="ignore", invalid="ignore"):
            first, third = np.percentile(X, (25, 75), axis=0)
            fence = FENCE * (third - first)
            fence = np.where(fence > 0, fence, np.inf)  # most rows have one value: the others are no outliers
            low, high = np.maximum(X.min(axis=0), first - fence), np.minimum(X.max(axis=0), third + fence)
            margin = MARGIN * (high - low)
        if not np.isfinite(margin).all():
            raise InputError("X has features whose range is beyond what a float holds; scale them first")
        return cls(low - margin, high + margin)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """(n, D) -> images (n, 1, 1, D) uint8. A feature that was constant is constant."""
        width = self.high - self.low
        share = (X - self.low) / np.where(width > 0, width, np.inf)
        return np.rint(255 * share.clip(0, 1)).astype(np.uint8)[:, None, None, :]
