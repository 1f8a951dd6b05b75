"""Whether what a source returns is a `Dataset` as the rest of the house relies on it. Quick: no image is looked at."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ssl_zoo.data.dataset import Dataset, Digests
from ssl_zoo.data.texts import Texts

PARTS = {"training": ("images", "labels"), "test": ("test_images", "test_labels")}


def returns(made: Any) -> str | None:
    """It is a Dataset with a name."""
    if not isinstance(made, Dataset):
        return f"it returns a {type(made).__name__}; it returns an ssl_zoo.Dataset, whose fields have names"
    if not isinstance(made.name, str) or not made.name:
        return f"`name` is {made.name!r}; it is the name of the data set, which splits are drawn by"
    return None


def images(data: Dataset) -> str | None:
    """Images are uint8 arrays (N, H, W, C) of one shape, some in either part."""
    for part, (name, _) in PARTS.items():
        array = getattr(data, name)
        if not isinstance(array, np.ndarray):
            return f"`{name}` is a {type(array).__name__}; images are a numpy array"
        if array.dtype != np.uint8:
            return f"`{name}` is {array.dtype}; images are uint8, from 0 to 255, and a run scales them"
        if array.ndim != 4:
            grey = "; grey images have C = 1: images[..., None]" if array.ndim == 3 else ""
            return f"`{name}` has the shape {array.shape}; images are (N, H, W, C){grey}"
        if array.shape[1] in (1, 3) and array.shape[3] > 4 and array.shape[2] > 4:
            return f"`{name}` has the shape {array.shape}; channels come last, (N, H, W, C): images.transpose(0, 2, 3, 1)"
        if 0 in array.shape[1:] or (part == "training" and not len(array)):
            return f"`{name}` is empty, so there is nothing to {'train on' if part == 'training' else 'score'}"
        if any(stride < 0 for stride in array.strides):
            return f"`{name}` runs backwards in memory, which torch cannot read; wrap it in np.ascontiguousarray"
    if data.images.shape[1:] != data.test_images.shape[1:]:
        return f"training images are {data.images.shape[1:]} and test images {data.test_images.shape[1:]}; they have one shape"
    return None


def classes(data: Dataset) -> str | None:
    """There are at least two classes, each with a name of its own."""
    if not isinstance(data.classes, tuple) or not all(isinstance(name, str) for name in data.classes):
        return f"`classes` is {data.classes!r:.100}; it is a tuple of names, such as tuple(map(str, names))"
    if len(data.classes) < 2:
        return f"there are {len(data.classes)} classes; a classifier needs two"
    twice = sorted({name for name in data.classes if data.classes.count(name) > 1})
    return f"two classes are called {twice[0]!r}" if twice else None


def labels(data: Dataset) -> str | None:
    """Labels are int64 arrays (N,) of classes 0 to K - 1, one an image; -1, unknown, only in training."""
    last = len(data.classes) - 1
    for part, (of, name) in PARTS.items():
        array = getattr(data, name)
        if not isinstance(array, np.ndarray) or array.dtype != np.int64:
            shown = array.dtype if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            return f"`{name}` is {shown}; labels are a numpy array of int64: np.array(labels, dtype=np.int64)"
        if array.shape != (len(getattr(data, of)),):
            return f"`{name}` has the shape {array.shape} for {len(getattr(data, of))} {part} images; there is one label an image"
        if any(stride < 0 for stride in array.strides):
            return f"`{name}` runs backwards in memory, which torch cannot read; wrap it in np.ascontiguousarray"
        if not len(array):  # no test set: a run holds some images out
            continue
        low, high = int(array.min()), int(array.max())
        if part == "test" and low == -1:
            return "a test image has the class -1, unknown; leave out what cannot be scored"
        if low < (-1 if part == "training" else 0) or high > last:
            one = "; do they begin at 1?" if low == 1 and high == last + 1 else ""
            return f"`{name}` go from {low} to {high}; with {last + 1} classes they go from 0 to {last}{one}"
    return None


def names(data: Dataset) -> str | None:
    """`names` is empty, or has a name for every training and then every test image; `skipped` is a tuple of texts."""
    for field in ("names", "skipped"):
        value = getattr(data, field)
        texts = isinstance(value, Texts) and field == "names"
        if not texts and not (isinstance(value, tuple) and all(isinstance(name, str) for name in value)):
            return f"`{field}` is not a tuple of texts; give tuple(map(str, {field}))"
    wanted = len(data.images) + len(data.test_images)
    if len(data.names) not in (0, wanted):
        return f"`names` has {len(data.names)} entries for {wanted} images; it names all, of training and then of test, or none"
    return None


def others(data: Dataset) -> str | None:
    """The other fields are as a `Dataset` has them by itself, or likewise."""
    rows, span = len(data.images), data.validation
    if not isinstance(data.notes, tuple) or not all(isinstance(note, str) for note in data.notes):
        return "`notes` is not a tuple of texts; give tuple(map(str, notes))"
    whole = isinstance(span, tuple) and len(span) == 2 and all(isinstance(row, int | np.integer) for row in span)
    if not whole or not 0 <= span[0] <= span[1] <= rows:
        return f"`validation` is {span!r:.100}; it is the first and the last + 1 of the {rows} rows that are only to validate by"
    if not isinstance(data.depth, int | np.integer) or not 8 <= data.depth <= 16:
        return f"`depth` is {data.depth!r:.100}; it is how many bits grey images of 16 bits use, from 8 to 16"
    for name in ("held_out", "fitted"):
        if not isinstance(getattr(data, name), bool):
            return f"`{name}` is {getattr(data, name)!r:.100}; it is True or False"
    if not isinstance(data.digests, Digests | None):
        return f"`digests` is a {type(data.digests).__name__}; leave it out, as it is what a cache keeps"
    return None


FORM: tuple[Callable[[Any], str | None], ...] = (returns, images, classes, labels, names, others)  # each relies on those before


def complaint(made: Any) -> str | None:
    """What is wrong with it, in a line; None: nothing."""
    return next(filter(None, (ask(made) for ask in FORM)), None)
