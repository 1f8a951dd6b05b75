"""Classes whose images are only unlabelled: never labelled, never scored, and none of those that a net knows."""

from collections.abc import Sequence

import numpy as np

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.room import taken
from ssl_zoo.data.texts import take_texts
from ssl_zoo.errors import InputError
from ssl_zoo.registry import near_miss

OUTSIDE = -2  # the class of an image that is of none of the classes, where -1 is: unknown


def with_open_set(data: Dataset, outside: Sequence[str | int]) -> Dataset:
    """Return the data with some classes as unlabelled images alone (Oliver et al. 2018, arXiv:1804.09170, sec. 4.4).

    The classes that stay are numbered anew, in their order. Training images of the others have the class OUTSIDE. Their
    test images, and those that are only to validate by, are left out.

    Args:
        data: As it was read.
        outside: Names of classes, or their numbers from 0.

    Raises:
        InputError: There is no such class, it is named twice, or fewer than two are left.
    """
    if not outside:
        return data
    chosen = [_number(one, data.classes) for one in outside]
    if len({*chosen}) < len(chosen):
        raise InputError(f"unlabeled_classes names a class twice: {', '.join(map(str, outside))}; name each once")
    stay = [k for k in range(len(data.classes)) if k not in chosen]
    if len(stay) < 2:
        raise InputError(f"unlabeled_classes leaves {len(stay)} of {len(data.classes)} classes to be told apart; name fewer")
    new = np.full(len(data.classes), OUTSIDE, np.int64)
    new[stay] = np.arange(len(stay))
    labels = np.where(data.labels >= 0, new[data.labels], data.labels)
    first, last = data.validation
    keep = np.ones(len(labels), bool)
    keep[first:last] = labels[first:last] != OUTSIDE
    train, test = np.flatnonzero(keep), np.flatnonzero(new[data.test_labels] != OUTSIDE)
    total, without = len(labels), len(data.test_labels) - len(test)
    if len(data.test_labels) and not len(test):
        raise InputError("unlabeled_classes leaves no test image; name other classes")
    return data._replace(
        images=data.images if keep.all() else taken(data.images, train),
        labels=labels[train],
        test_images=taken(data.test_images, test),
        test_labels=new[data.test_labels[test]],
        classes=tuple(data.classes[k] for k in stay),
        names=take_texts(data.names, np.concatenate((train, total + test))),
        digests=None,
        notes=(*data.notes, _said([data.classes[k] for k in sorted(chosen)], int((labels[train] == OUTSIDE).sum()), without)),
        validation=(first, first + int(keep[first:last].sum())),
    )


def hidden(labels: np.ndarray) -> np.ndarray:
    """Return classes with -1 in place of OUTSIDE, for what asks only which images may have a label."""
    return np.where(labels == OUTSIDE, -1, labels)


def _number(one: str | int, classes: Sequence[str]) -> int:
    """The number of a class, given by its name or its number: `7` is also the name '7', where it means the same."""
    named, there = str(one), len(classes)
    if named in classes:
        k = classes.index(named)
        if isinstance(one, int) and one != k and one < there:
            raise InputError(
                f"unlabeled_classes has {one}, which is the number of '{classes[one]}' and the name of number {k}; give the "
                f"number {k} for the one, the name '{classes[one]}' for the other"
            )
        return k
    if isinstance(one, int) and 0 <= one < there:
        return one
    if isinstance(one, int):
        raise InputError(f"unlabeled_classes has {one}, and the classes are numbered from 0 to {there - 1}")
    raise InputError(f"unlabeled_classes has '{one}'; {near_miss(named, classes)}the classes are: {', '.join(classes[:20])}")


def _said(names: Sequence[str], images: int, without: int) -> str:
    shown = f"{', '.join(names[:8])}{' and more' if len(names) > 8 else ''}"
    of = "1 class" if len(names) == 1 else f"{len(names)} classes"
    left_out = f"; {without:,} test images of theirs are left out" if without else ""
    return (
        f"only in the unlabelled stream: {images:,} training images of {of} ({shown}), of which no label and no score "
        f"is{left_out}"
    )
