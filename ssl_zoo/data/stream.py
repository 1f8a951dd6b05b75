"""Which images without a label the unlabelled stream keeps: all, or as many of each class as is asked for."""

import bisect
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ssl_zoo.data.longtail import longest, longtail
from ssl_zoo.data.open_set import OUTSIDE
from ssl_zoo.data.splits import called, hashed
from ssl_zoo.errors import InputError


class Wanted(NamedTuple):
    """What is asked of the stream; each may be None: as it comes."""

    images: int | None = None  # altogether
    imbalance: float | None = None  # gamma, of the labelled classes
    order: Literal["same", "reversed"] = "same"  # reversed: the last class has the most
    mismatch: float | None = None  # share of the images that are of classes outside


def cut_stream(
    dataset: str,
    labels: np.ndarray,
    rows: np.ndarray,
    num_classes: int,
    seed: int,
    wanted: Wanted,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Choose which images without a label stay in the unlabelled stream: of each kind those that a hash ranks first.

    Nothing is asked: all stay. A number of images alone: so many of all. An imbalance: as many of each class as
    `longtail` gives. A mismatch (Oliver et al. 2018, arXiv:1804.09170, sec. 4.4): so many of the classes that are only
    unlabelled. With either of these, images of which nobody knows the class are left out, as they cannot be counted.
    Without a number of images, it is the largest that there is.

    Args:
        dataset: Name of the data set, part of the draw.
        labels: (N,) classes, hidden from the run, -1 where unknown, OUTSIDE where of a class that is only unlabelled.
        rows: Those without a label.
        num_classes: K.
        seed: The split seed.
        wanted: What is asked.
        class_names: K names, for messages.

    Returns:
        Rows that stay, ascending.

    Raises:
        InputError: There are too few images of a kind.
    """
    if wanted.images is None and wanted.imbalance is None and wanted.mismatch is None:
        return rows
    rows = rows[np.argsort(hashed(f"{dataset}/{seed}/unlabeled", len(labels))[rows])]
    if wanted.imbalance is None and wanted.mismatch is None:
        pools, sizes = [rows], _sizes(wanted, np.array([len(rows)]), 0, class_names)
    else:
        _check(wanted, bool((labels[rows] == OUTSIDE).any()))
        pools = [rows[labels[rows] == k] for k in (*range(num_classes), OUTSIDE)]
        if wanted.imbalance is None:  # of the labelled classes together
            pools = [rows[labels[rows] >= 0], pools[-1]]
        sizes = _sizes(wanted, np.array([len(some) for some in pools[:-1]]), len(pools[-1]), class_names)
    return np.sort(np.concatenate([some[:size] for some, size in zip(pools, sizes, strict=True)]))


def _check(wanted: Wanted, open_set: bool) -> None:
    if wanted.mismatch is not None and not open_set:
        raise InputError(
            "stream.mismatch is the share of images of unlabeled_classes, and there are none without a label; name such classes, "
            "or set `stream.mismatch=null`"
        )
    if wanted.mismatch is None and open_set:
        raise InputError(
            "stream.imbalance is of the labelled classes, and with unlabeled_classes there are others; say which share of the "
            "stream these are, such as `stream.mismatch=0.5`"
        )


def _sizes(wanted: Wanted, count: np.ndarray, outside: int, class_names: Sequence[str] | None) -> list[int]:
    """How many images of each pool, of which there are `count`, and then of the classes outside."""
    turned = count[::-1] if wanted.order == "reversed" else count
    inside = int(count.sum()) if wanted.imbalance is None else longest(wanted.imbalance, turned)
    kept, others = _parts(wanted, inside, outside)
    least = 1 if wanted.imbalance is None else len(count)
    if wanted.mismatch != 1 and kept < least:
        raise InputError(_too_few(wanted, kept, count, class_names))
    if wanted.imbalance is None or kept == 0:
        sizes = [kept] + [0] * (len(count) - 1)
    else:
        sizes = longtail(kept, wanted.imbalance, len(count)).tolist()[:: -1 if wanted.order == "reversed" else 1]
    return sizes if wanted.imbalance is None and wanted.mismatch is None else [*sizes, others]


def _parts(wanted: Wanted, inside: int, outside: int) -> tuple[int, int]:
    """How many images of the labelled classes and of others, of which so many can be had."""
    share = wanted.mismatch or 0.0

    def parts(total: int) -> tuple[int, int]:
        return total - round(share * total), round(share * total)

    def is_short(total: int) -> bool:
        return parts(total)[0] > inside or parts(total)[1] > outside

    most = bisect.bisect_left(range(1, inside + outside + 1), True, key=is_short)
    total = most if wanted.images is None else wanted.images
    if total > most:
        shown = {"imbalance": wanted.imbalance, "mismatch": wanted.mismatch}
        given = " and ".join(f"stream.{name} = {value:g}" for name, value in shown.items() if value is not None)
        raise InputError(
            f"stream.images = {total} are more than there are without a label{f' with {given}' if given else ''}; "
            f"{f'`stream.images={most}` is the most' if most else 'set `stream.images=null`'}"
        )
    return parts(total)


def _too_few(wanted: Wanted, kept: int, count: np.ndarray, class_names: Sequence[str] | None) -> str:
    """Why the stream cannot have what is asked, and what can be done."""
    if wanted.imbalance is not None and count.min() == 0:
        return (
            f"{called(int(count.argmin()), class_names)} has no image without a label whose class is known, and stream.imbalance "
            "takes one of each at least; ask for fewer labels, or set `stream.imbalance=null`"
        )
    if wanted.imbalance is not None and wanted.images is not None:
        return (
            f"stream.images = {wanted.images} leaves {kept} images of the {len(count)} labelled classes, and stream.imbalance "
            "takes one of each at least; ask for more images, or set `stream.imbalance=null`"
        )
    least = len(count) if wanted.imbalance is not None else 1
    return (
        f"stream.mismatch = {wanted.mismatch:g} leaves {kept} images of the labelled classes, and it takes {least} at least; "
        "lower it, label fewer (`labels=N`), or leave these classes out: `stream.mismatch=1`"
    )
