"""Images and labels that are there already, as arrays."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS

NAME = "arrays"


@DATASETS.register(NAME)
def arrays(root: Path, *, image_size: int | tuple[int, int] | None = None) -> Dataset:
    """Arrays that a program passes in place of a data set: ssl_zoo.run(settings, folder, data=(images, labels, ...)).

    Args:
        root: Not read.
        image_size: Side, or height and width, to which image files were resized before; a trained net does the same.

    Raises:
        InputError: Always: from a name alone there is nothing to load.
    """
    raise InputError(f"the data set '{NAME}' is what Python passes as data=; to train on files, use the data set folder")


arrays.passed = True  # type: ignore[attr-defined]  # by a program: a command cannot name it


def as_dataset(
    images: Any, labels: Any, test_images: Any = None, test_labels: Any = None, classes: Iterable[str] | None = None
) -> Dataset:
    """Return a data set of arrays.

    Args:
        images: (N, H, W, C) or (N, H, W), uint8 or floats in [0, 1], the training set.
        labels: (N,) whole numbers, classes from 0 to K - 1, and -1 where unknown.
        test_images: (T, H, W, C) or (T, H, W), likewise; None: there is no test set.
        test_labels: (T,) classes; None, likewise.
        classes: K names; their numbers, unless said otherwise.

    Raises:
        InputError: They are not that, or of unequal length; no row is labelled; or there are fewer than two classes.
    """
    pixels, known = as_pixels(images, "images"), _classes(labels, "labels", -1)
    if (test_images is None) != (test_labels is None):
        raise InputError("test_images and test_labels go together; give both, or None for both where there is no test set")
    if test_images is None:
        test_pixels, test_known = pixels[:0], known[:0]
    else:
        test_pixels, test_known = as_pixels(test_images, "test_images"), _classes(test_labels, "test_labels", 0)
    for name, array, of, other in (("labels", known, "images", pixels), ("test_labels", test_known, "test_images", test_pixels)):
        if len(array) != len(other):
            raise InputError(
                f"{name} has {len(array):,} rows and {of} {len(other):,}; give one label for each image, -1 for none"
            )
    if pixels.shape[1:] != test_pixels.shape[1:]:
        raise InputError(f"images are {pixels.shape[1:]} and test_images {test_pixels.shape[1:]}; make them of one shape")
    if not (known >= 0).any():
        raise InputError("no row of labels is labelled; give some images a class from 0 on")
    count = max(int(known.max()), int(test_known.max(initial=0))) + 1
    names = _names(classes, count)
    if len(names) < 2:
        raise InputError("labels have one class; a classifier needs two or more")
    if len({*names}) < len(names):
        raise InputError(f"classes names one twice: {', '.join(names)}; give each class a name of its own")
    return Dataset(NAME, pixels, known, test_pixels, test_known, names)


def _names(classes: Any, count: int) -> tuple[str, ...]:
    """The names of so many classes."""
    if classes is None:
        return tuple(map(str, range(count)))
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise InputError(f"classes are {classes!r:.100}; give a name for each class, such as ('cat', 'dog')")
    names = tuple(map(str, classes))
    if len(names) < count:
        raise InputError(f"classes are {len(names)} names, and labels go up to {count - 1}; give {count} names, from class 0 on")
    return names


def as_pixels(images: Any, name: str) -> np.ndarray:
    """Return images as (n, H, W, C) uint8.

    Args:
        images: (n, H, W, C) or, of grey images, (n, H, W), uint8 or floats in [0, 1].
        name: For messages.

    Raises:
        InputError: They are not that.
    """
    try:
        array = np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:  # of torch: on a GPU, or with a gradient
        raise InputError(f"{name} are not one array ({error}); give (n, height, width, channels)") from error
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise InputError(f"{name} has the shape {array.shape}; give (n, height, width, channels), or (n, height, width)")
    if array.shape[1] in (1, 3) and array.shape[3] > 4 and array.shape[2] > 4:
        raise InputError(f"{name} has the shape {array.shape}; channels come last, so give images.transpose(0, 2, 3, 1)")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} is of {array.dtype}; give uint8, or floats in [0, 1]")
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # a NaN fails too
        raise InputError(f"{name} has floats from {array.min():g} to {array.max():g}; give floats in [0, 1], or uint8")
    return np.round(array * 255).astype(np.uint8)


def _classes(labels: Any, name: str, least: int) -> np.ndarray:
    """(n,) int64."""
    array = np.asarray(labels)
    if array.dtype.kind in "UO":
        raise InputError(f"{name} are no numbers; give classes, {name} = np.unique(names, return_inverse=True)")
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise InputError(f"{name} has the shape {array.shape} and is of {array.dtype}; give (n,) whole numbers")
    if array.size and array.min() < least:
        unknown = ", or -1 where unknown" if least < 0 else ""
        raise InputError(f"{name} has a class {array.min()}; give classes from 0 on{unknown}")
    if not array.size:
        raise InputError(f"{name} is empty; give one label for each image")
    return array.astype(np.int64)
