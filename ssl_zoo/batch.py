"""What passes between the data, the methods and the trainer: named tensors with fixed shapes.

Letters used everywhere: B labelled images of a batch, U unlabelled images of a batch, K classes, N rows of the training
set, L labelled rows, C x H x W one image, R ranks.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Batch(NamedTuple):
    """One step's images. A method declares which views it wants and sees nothing else of the data."""

    x: Tensor  # (B, C, H, W) float32, the first labelled view
    y: Tensor  # (B,) int64, classes
    x_index: Tensor  # (B,) int64, rows of the training set
    u: tuple[Tensor, ...]  # one (U, C, H, W) float32 per name in `views`; every view shows the same rows
    u_index: Tensor  # (U,) int64, rows of the training set
    x_more: tuple[Tensor, ...] = ()  # one (B, C, H, W) per further name in `labeled_views`


class Facts(NamedTuple):
    """What is known of the training set before the first batch."""

    classes: int  # K
    rows: int  # N
    labeled: Tensor  # (L,) int64, rows
    labels: Tensor  # (L,) int64, their classes
    unlabeled: Tensor  # int64, rows of the unlabelled stream
    class_weights: Tensor | None = None  # (K,) float32, of the classes in the supervised loss; None: each counts 1


class Guess(NamedTuple):
    """What a method believes of the unlabelled images of a step: its pseudo-labels.

    The trainer measures it at log points: how many rows count, how many of these are right, which classes they get.
    """

    target: Tensor  # (U, K) float32, each row sums to 1; no gradient. What the rows of `Batch.u_index` are taken to be
    weight: Tensor  # (U,) float32, how much each row counts, 0 for one that is rejected; no gradient
    views: tuple[int, ...] = (0,)  # places in `views` of those that target and weight are made from


class Step(NamedTuple):
    """What a method's `loss` returns."""

    total: Tensor  # 0-dim float32, differentiated by the trainer
    terms: Mapping[str, Tensor]  # 0-dim, logged by name; one that requires no gradient is a measurement
    seen: Mapping[str, Tensor] = {}  # detached per-row facts for `after_step`, first axis B or U, gathered over ranks
    guess: Guess | None = None  # of a method with pseudo-labels


def first_places(index: Tensor) -> Tensor:
    """Return for each row of a batch the place where it occurs first.

    Args:
        index: (n,) rows.

    Returns:
        (n,) int64; where no row repeats, 0 to n - 1.
    """
    return (index[:, None] == index).int().argmax(dim=1)


def merge_repeats(index: Tensor, value: Tensor) -> Tensor:
    """Give rows that occur several times in a batch the mean of their values.

    A batch that crosses an epoch can hold a row twice. With all copies equal, writing `memory[index] = ...` no longer
    depends on which write wins, nor on the order of the batch.

    Args:
        index: (n,) rows.
        value: (n, ...) floating, one value per row.

    Returns:
        (n, ...) values; bit-identical to `value` where no row repeats.
    """
    first = first_places(index)  # (n,)
    total = torch.zeros_like(value).index_add_(0, first, value)  # not a matrix product, which would spread one NaN to all rows
    count = value.new_zeros(len(index)).index_add_(0, first, value.new_ones(len(index)))  # (n,)
    return (total / count.clamp(min=1).view(-1, *[1] * (value.ndim - 1)))[first]


class Batches(Protocol):
    """What the trainer needs of a pipeline."""

    sizes: Mapping[str, int]  # images of a step, by stream

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, from 0: a function of the step alone."""
        ...

    def draw(self, step: int) -> tuple:
        """Return what `batch` makes of a step's number: nested tuples of tensors on the device."""
        ...

    def make(self, drawn: tuple) -> Batch:
        """Return the batch that is made of it."""
        ...
