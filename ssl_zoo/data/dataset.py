"""What every source of images returns."""

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Dataset(NamedTuple):
    """Images and classes as arrays on the host. Rows of the training set are never reordered after this."""

    name: str
    images: np.ndarray  # (N, H, W, C) uint8, the training set: labelled and unlabelled rows together
    labels: np.ndarray  # (N,) int64, classes, -1 where unknown
    test_images: np.ndarray  # (T, H, W, C) uint8; T = 0: there is no test set, and a run holds some images out
    test_labels: np.ndarray  # (T,) int64, classes
    classes: tuple[str, ...]  # K names
    # N + T paths of the images, of the training set and then of the test set, where they are files; JSON takes
    # list(names)
    names: Sequence[str] = ()
    skipped: tuple[str, ...] = ()  # files that were left out, each with the reason
    notes: tuple[str, ...] = ()  # what was understood, or done to the images, that a user might not expect; a line each
    validation: tuple[int, int] = (0, 0)  # first and last + 1 of the rows of images that are only to validate by
    held_out: bool = False  # whether the test images are labelled ones that a run holds out, as there is no test set
    depth: int = 16  # bits that grey images of 16 bits use
    fitted: bool = False  # whether the test images are labelled training images: all labels train, and no score is of others
    digests: "Digests | None" = None  # hashes of the arrays, where they were kept


class Digests(NamedTuple):
    """Hashes of a data set's arrays. They hold while the arrays are the same objects, which nothing may write."""

    data_hash: str  # its fingerprint
    images: np.ndarray  # (N + T,) uint64, `leakage.short_hashes` of the training set and then of the test set
    of: Dataset


HASHED = ("images", "labels", "test_images", "test_labels", "classes", "validation")


def digests_of(dataset: Dataset) -> Digests | None:
    """Return the hashes that a data set came with, if all that they are of is still as it came."""
    kept = dataset.digests
    same = kept is not None and all(getattr(dataset, name) is getattr(kept.of, name) for name in HASHED)
    return kept if same else None


def tensor(array: np.ndarray) -> Tensor:
    """The same memory as a tensor, which nothing writes.

    An array may be a file's content, mapped into memory for reading.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def contents(images: Iterable[np.ndarray]) -> list[bytes]:
    """Return a hash of the pixels of each image: 16 bytes (blake2b)."""
    return [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in images]


def fingerprint(dataset: Dataset) -> str:
    """Return a hash of the arrays, their shapes and the class names, but not of the data set's name.

    Returns:
        32 hex digits (blake2b), about a fifth of a second for 60,000 images of 32x32; at once, where it was kept.
    """
    if (kept := digests_of(dataset)) is not None:
        return kept.data_hash
    digest = hashlib.blake2b(repr(dataset.classes).encode(), digest_size=16)
    for array in (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels):
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)  # the same hash on every platform
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(little)
    if dataset.validation[0] < dataset.validation[1]:
        digest.update(f"validation {dataset.validation}".encode())
    return digest.hexdigest()
