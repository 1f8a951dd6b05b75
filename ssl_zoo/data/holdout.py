"""Data without a test set: some of the labelled images are held out and scored, the same for all methods and seeds."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.leakage import hashes
from ssl_zoo.data.room import CHUNK, taken
from ssl_zoo.data.texts import take_texts
from ssl_zoo.errors import InputError

SHOWN = 8  # classes in a message


def with_test_set(data: Dataset, fraction: float, folds: int | None = None, fold: int = 0) -> Dataset:
    """Return the data with a test set: their own, or labelled images that are taken out of the training set.

    Each class gives the same share, at least one image; but a class with one labelled image keeps it, and is not
    scored. Which ones, a hash of their names says, or of their rows where they have no names: never a seed of a run.

    Args:
        data: A data set, perhaps without test images.
        fraction: Of each class's labelled images, that is scored.
        folds: In place of the fraction: parts of equal size, of which one is scored.
        fold: Which of these, from 0.

    Raises:
        InputError: A class has too few labelled images; or there are folds and a test set.
    """
    if len(data.test_images):
        if folds is None:
            return data
        raise InputError("folds are for data without a test set, and these have one; leave `folds` out, or remove the test set")
    labels = data.labels.copy()
    labels[slice(*data.validation)] = -1  # these are taken already
    known = int((labels >= 0).sum())
    if folds is not None and folds > known:
        raise InputError(f"`folds={folds}` are more than the {known} labelled images that they share; give fewer")
    test = np.sort(np.concatenate([*_chosen(data, labels, fraction, folds, fold)]))
    if not len(test):
        raise InputError("there is no test set, and no class has two labelled images, so that one could be scored; label more")
    return _parted(data, test, (*data.notes, _said(data, labels, test, f"fold {fold} of {folds}" if folds else "")))


def _chosen(data: Dataset, labels: np.ndarray, fraction: float, folds: int | None, fold: int) -> Iterator[np.ndarray]:
    """Of each class: the rows to be scored. Copies of an image stay together, or what is scored was also learnt."""
    before = 0  # images of the classes before, so that not all remainders go to the first folds
    for k, name in enumerate(data.classes):
        rows = np.flatnonzero(labels == k)
        pictures = _pictures(data.images, rows[np.argsort(_ranks(data.names, rows), kind="stable")])
        if folds is not None and len(pictures) < 2:
            raise InputError(f"class '{name}' has fewer than two labelled images, which folds need; give it more, or no `folds`")
        if folds is not None:
            yield np.array([row for picture in pictures[(fold - before) % folds :: folds] for row in picture], dtype=np.int64)
            before += len(pictures)
            continue
        wanted, scored = max(1, round(fraction * len(rows))), []
        for picture in pictures[:-1]:  # one is left to learn from
            if len(scored) < wanted:
                scored += picture
        yield np.array(scored, dtype=np.int64)


def _pictures(images: np.ndarray, rows: np.ndarray) -> list[list[int]]:
    """Rows in their order, copies of an image in one list."""
    found: dict[bytes | int, list[int]] = {}
    chunks = (images[rows[start : start + CHUNK]] for start in range(0, len(rows), CHUNK))
    contents = [content for chunk in chunks for content in hashes(chunk)]
    for place, row in enumerate(rows.tolist()):
        found.setdefault(contents[place] if contents else row, []).append(row)
    return [*found.values()]


def _said(data: Dataset, labels: np.ndarray, test: np.ndarray, fold: str) -> str:
    """A line about what is scored."""
    known, scored = int((labels >= 0).sum()), {*labels[test].tolist()}
    share = fold or f"{100 * len(test) / known:.0f} %, of each class"
    without = [name for k, name in enumerate(data.classes) if k not in scored]
    shown = f"{', '.join(without[:SHOWN])}{' and more' if len(without) > SHOWN else ''}"
    more = f"; none of {shown}, of which there are too few" if without else ""
    return f"there is no test set: {len(test):,} of {known:,} labelled images ({share}) are held out and scored{more}"


def _parted(data: Dataset, test: np.ndarray, notes: tuple[str, ...]) -> Dataset:
    train = np.setdiff1d(np.arange(len(data.labels)), test)
    first, last = (int((train < row).sum()) for row in data.validation)
    return data._replace(
        images=taken(data.images, train),
        labels=data.labels[train],
        test_images=taken(data.images, test),
        test_labels=data.labels[test],
        names=take_texts(data.names, np.concatenate((train, test))),
        digests=None,
        notes=notes,
        validation=(first, last),
        held_out=True,
    )


def _ranks(names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """(rows,) uint64, in no order that a person would choose."""
    texts = (names[row] if names else f"row {row}" for row in rows.tolist())
    digests = (hashlib.blake2b(f"test set\0{text}".encode(errors="surrogateescape"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), "<u8")
