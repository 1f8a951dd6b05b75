"""Which rows of the training set are labelled.

A function of (data set, number of labels, how they are shared among classes, split seed) and of nothing else.

Rows are ranked by a hash of their own, written out below in integer arithmetic, so a split is the same under every
version of numpy, on every platform and whatever was drawn before it.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from ssl_zoo.data.longtail import longest, longtail, steepest
from ssl_zoo.errors import InputError, one_of

Draw = Literal["equal", "proportional", "longtail"]
DRAWS = get_args(Draw)
NONE = np.empty(0, np.int64)  # rows


class Split(NamedTuple):
    """The labelled rows of a training set."""

    dataset: str
    labels: int  # L
    seed: int
    rows: np.ndarray  # (L,) int64, rows of the training set, ascending
    classes: np.ndarray  # (L,) int64, their classes
    draw: str = "equal"  # how they were shared among the classes, or another of DRAWS

    @property
    def hash(self) -> str:
        """32 hex digits over the data set's name, the rows and their classes: equal splits have equal hashes."""
        content = json.dumps([self.dataset, self.rows.tolist(), self.classes.tolist()], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def draw_split(
    dataset: str,
    labels: np.ndarray,
    num_classes: int,
    count: int | Literal["all"],
    seed: int,
    class_names: Sequence[str] | None = None,
    draw: Draw = "equal",
    imbalance: float = 100.0,
) -> Split:
    """Draw labelled rows: the same number of each class, in proportion to the classes' sizes, or in a long tail.

    Equal numbers are the field's convention (Oliver et al. 2018); when `count` is not a multiple of K, the classes that
    a hash ranks first get one more. Proportional numbers are those of the largest remainder, and at least one a class.
    A long tail has those of `longtail`. Within a class all take the rows that a hash ranks first, so of classes of
    equal size the first two give the same split. Splits of different counts are independent draws.

    Args:
        dataset: Name of the data set, part of the draw.
        labels: (N,) integer classes of the training set, -1 where unknown.
        num_classes: K.
        count: Number of labelled rows, or "all": every row whose class is known.
        seed: The split seed; another seed is another draw (but "all" has only one).
        class_names: K names, for messages.
        draw: equal, proportional or longtail; "all" is neither of the first two, and refused with the last.
        imbalance: Of longtail: how many times as many labels class 0 has as class K - 1.

    Raises:
        InputError: There are not so many labels, or fewer than K; a class has too few; a label is not from -1 to K - 1.
    """
    labels = np.asarray(labels)
    _check(dataset, labels, num_classes, count, draw)
    available = np.bincount(labels[labels >= 0], minlength=num_classes)  # (K,)
    wanted = np.ones(num_classes, np.int64) if count == "all" else _per_class(dataset, count, seed, available, draw, imbalance)
    if (available < wanted).any():
        k = int((available < wanted).argmax())
        way_out = _way_out(count, wanted[k], available, imbalance if draw == "longtail" else None)
        raise InputError(f"{called(k, class_names)} of {dataset} has {available[k]} labelled images, {way_out}")
    if count == "all":
        rows = np.flatnonzero(labels >= 0)
    else:
        rank = hashed(f"{dataset}/{count}/{seed}", len(labels))
        members = (np.flatnonzero(labels == k) for k in range(num_classes))
        rows = np.sort(np.concatenate([m[np.argsort(rank[m])[:n]] for m, n in zip(members, wanted, strict=True)]))
    how = "equal" if count == "all" else draw
    return Split(dataset, len(rows), int(seed), rows.astype(np.int64), labels[rows].astype(np.int64), how)


def _check(dataset: str, labels: np.ndarray, num_classes: int, count: int | str, draw: str) -> None:
    if len(labels) and not -1 <= labels.min() <= labels.max() < num_classes:
        wrong = labels.min() if labels.min() < -1 else labels.max()
        raise InputError(f"{dataset} has a label {wrong}: labels must be from 0 to {num_classes - 1}, or -1 where unknown")
    if isinstance(count, str) and count != "all":
        raise InputError(f"labels = '{count}' is neither a number nor 'all'")
    if count == "all" and draw == "longtail":
        raise InputError("labels = all takes every label, and draw = longtail some; give a number of labels, or `draw=equal`")


def hold_out(split: Split, fraction: float, before: np.ndarray = NONE, class_names: Sequence[str] | None = None) -> np.ndarray:
    """Choose some of the labelled rows for validation: a function of the split and the fraction alone.

    Each class gives the same share, as near as whole images allow; what is left over, the classes give that are
    furthest below their share, and of equal ones those that a hash ranks first.

    Args:
        split: The labelled rows.
        fraction: Of them, from 0 to 1; 0 holds out none.
        before: Those that a file of the split names, which stay if the fraction comes to as many. A split is drawn by
            row numbers, and images that came since may have moved these.
        class_names: K names, for messages.

    Returns:
        (V,) rows, ascending.

    Raises:
        InputError: The fraction comes to no image, or leaves a class none to learn from.
    """
    if fraction == 0:
        return NONE
    count = round(fraction * split.labels)
    classes = np.unique(split.classes)
    if count == 0:
        raise InputError(f"val_fraction = {fraction} of {split.labels} labelled images is none; raise it, or set it to 0")
    members = [split.rows[split.classes == k] for k in classes]
    sizes = np.array([len(rows) for rows in members])
    wanted = sizes * count // split.labels
    short = sizes * count / split.labels - wanted
    order = np.lexsort((hashed(f"{split.hash}/validation/classes", len(classes)), -short))
    wanted[order[: count - wanted.sum()]] += 1
    if len(before) == count:
        wanted = np.array([np.isin(rows, before).sum() for rows in members])
    if (wanted >= sizes).any():
        k = int((wanted >= sizes).argmax())
        raise InputError(
            f"val_fraction = {fraction} leaves {called(classes[k], class_names)} no labelled image to learn from; lower it, or "
            "add labels"
        )
    if len(before) == count:
        return np.sort(before)
    rank = hashed(f"{split.hash}/validation", int(split.rows.max()) + 1)
    return np.sort(np.concatenate([rows[np.argsort(rank[rows])[:n]] for rows, n in zip(members, wanted, strict=True)]))


def _per_class(dataset: str, count: int, seed: int, available: np.ndarray, draw: Draw, imbalance: float) -> np.ndarray:
    """(K,) how many rows of each class to draw, of the (K,) that are available."""
    num_classes, total = len(available), available.sum()
    if count <= 0:
        raise InputError(f"labels = {count} must be positive, or 'all'")
    if count > total:
        raise InputError(f"{count} labels were asked for and {dataset} has {total} labelled images; ask for fewer, or for 'all'")
    if count < num_classes:
        raise InputError(f"{count} labels are too few for the {num_classes} classes of {dataset}: one per class at least")
    if one_of("draw", draw, *DRAWS) == "longtail":
        return longtail(count, imbalance, num_classes)
    first = hashed(f"{dataset}/{count}/{seed}/classes", num_classes)
    if draw == "equal":
        wanted = np.full(num_classes, count // num_classes)
        wanted[np.argsort(first)[: count % num_classes]] += 1
        return wanted
    wanted = count * available // total
    wanted[np.lexsort((first, -(count * available % total)))[: count - wanted.sum()]] += 1  # the largest remainders
    wanted = np.maximum(wanted, 1)  # and then from the class that is most above its share
    while wanted.sum() > count:
        wanted[np.lexsort((first, count * available - wanted * total, wanted == 1))[0]] -= 1
    return wanted


def _way_out(count: int | Literal["all"], wanted: int, available: np.ndarray, imbalance: float | None) -> str:
    """What was asked of a class that has fewer images, and what can be had instead."""
    least = int(available.min())
    if least == 0:
        return f"`labels={count}` needs {wanted}; give it some, or leave it out of the classes"
    if imbalance is not None and count != "all":
        found = steepest(count, imbalance, available)
        flatter = "" if found is None else f"`imbalance={found:g}`, "
        return (
            f"`labels={count}` with `imbalance={imbalance:g}` needs {wanted}; give {flatter}"
            f"`labels={longest(imbalance, available)}`, or `draw=proportional`"
        )
    return (
        f"`labels={count}` needs {wanted}; with equal numbers a class, {least * len(available)} are the most: give "
        f"`labels={least * len(available)}`, `labels='all'`, or `draw='proportional'`"
    )


def called(k: int, class_names: Sequence[str] | None) -> str:
    """Return what a class is called in a message."""
    return f"class {k}" if class_names is None else f"class {k} ('{class_names[k]}')"


def hashed(text: str, n: int) -> np.ndarray:
    """(n,) uint64: n outputs of splitmix64 (Steele, Lea & Flood 2014) from a base that the text gives.

    All different.
    """
    base = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    z = np.arange(n, dtype=np.uint64) + np.uint64((base + 0x9E3779B97F4A7C15) % 2**64)  # arrays wrap around, as the hash wants
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
