"""Images that may be labelled next, with what the net says of them."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.decode import read_file
from ssl_zoo.data.names import ARCHIVES
from ssl_zoo.errors import InputError
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.images import Images, Item
from ssl_zoo.using.predictions import predictions
from ssl_zoo.using.to_label import Entry

TOP = 3  # classes of an image that are kept
CHUNK = 1000  # images that are asked about at once, at least


class Candidates(NamedTuple):
    """Images without a label."""

    paths: list[str]  # of their files, absolute
    classes: np.ndarray  # (n, 3) int64, the most probable first; fewer, if the net has fewer
    probabilities: np.ndarray  # (n, 3) float32, of these
    pixels: Callable[[Sequence[int]], np.ndarray]  # of some of them, (m, H, W, C) uint8, as the net takes them
    errors: tuple[str, ...] = ()  # images that cannot be read, with the reason
    labeled: int = 0  # images that have a label already, and so are none


def of_run(trained: Trained, inputs: Inputs, entries: Sequence[Entry]) -> Candidates:
    """Return the images of a run without a label: those whose class is not known, or, if there are none, was not used.

    Those of classes that are only unlabelled are none: their label would be none of the net's classes.

    Args:
        trained: Its net.
        inputs: Its data.
        entries: Its images.
    """
    without = [entry for entry in entries if not entry.label and not entry.outside]
    chosen = [entry for entry in without if not entry.hidden] or without
    rows = np.array([entry.row for entry in chosen], dtype=np.int64)
    images, size = inputs.data.images, max(CHUNK, trained.about["batch"])
    parts = [trained.predict_proba(images[rows[start : start + size]]) for start in range(0, len(rows), size)]
    return Candidates([entry.path for entry in chosen], *_top(parts, trained), lambda some: images[rows[list(some)]])


def of_files(
    trained: Trained,
    paths: Sequence[str | os.PathLike],
    known: Mapping[str, Entry],
    seen: Callable[[Iterable[Item], int], Iterable[Item]],
) -> Candidates:
    """Return the images at some paths that have no label.

    Args:
        trained: The net.
        paths: Of files, folders and tables of labels.
        known: The run's own images, by path.
        seen: Wraps the images; is told how many there are.

    Raises:
        InputError: There are no such images, or they lie in an archive.
    """
    packed = next((path for path in paths if str(path).lower().endswith(ARCHIVES) and os.path.isfile(path)), None)
    if packed is not None:
        raise InputError(f"a table of labels cannot name what is in the archive '{packed}'; unpack it")
    images = Images(paths, trained.classes)
    labeled: set[str] = set()
    found: dict[str, np.ndarray] = {}
    errors = []
    items = (item for item in images if _is_new(item, known, found, labeled))
    for one in predictions(trained, seen(items, sum(1 for _ in images))):
        if one.probabilities is None:
            errors.append(f"'{one.path}': {one.error}")
        else:
            found[os.path.abspath(one.path)] = one.probabilities[None]
    names = [*found]
    read = partial(_read, trained, names)
    return Candidates(names, *_top(list(found.values()), trained), read, tuple(errors), len(labeled))


def _is_new(item: Item, known: Mapping[str, Entry], found: Collection[str], labeled: set[str]) -> bool:
    path = os.path.abspath(item.path)
    if item.label is not None or (path in known and (known[path].label or known[path].outside)):
        labeled.add(path)
        return False
    return path not in found


def _read(trained: Trained, paths: Sequence[str], some: Sequence[int]) -> np.ndarray:
    """Pixels of some files, which could be read a moment ago."""
    try:
        return np.stack([trained.pixels_of(read_file(paths[place])) for place in some])
    except (OSError, ValueError) as error:
        raise InputError(f"an image cannot be read any more ({error})") from error


def _top(parts: Sequence[np.ndarray], trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """The most probable classes of each image, and their probabilities."""
    count = min(TOP, len(trained.classes))
    first = [np.argsort(-p, axis=1, kind="stable")[:, :count] for p in parts]
    values = [np.take_along_axis(p, k, axis=1) for p, k in zip(parts, first, strict=True)]
    empty = np.empty((0, count))
    return np.concatenate((*first, empty.astype(np.int64))), np.concatenate((*values, empty.astype(np.float32)))
