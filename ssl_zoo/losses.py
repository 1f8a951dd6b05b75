"""Losses as pure functions. Gradient flows to every argument that requires it; a caller detaches what is a target."""

import contextlib
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_zoo.errors import InputError, one_of
from ssl_zoo.ranks import global_mean


def full_precision(logits: Tensor) -> Tensor:
    """Logits in fp32 (fp64 stays): under autocast a net returns bf16, in which a softmax loses two digits."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


def exact(like: Tensor) -> contextlib.AbstractContextManager:
    """Within it, matrix products are not rounded to bf16 by autocast.

    For similarities and logits that a loss makes itself.

    Args:
        like: Any tensor on the device at hand.
    """
    known = like.device.type != "meta"  # where nothing is computed; torch's own question cannot be compiled by torch 2.11
    return torch.autocast(like.device.type, enabled=False) if known else contextlib.nullcontext()


def cross_entropy(logits: Tensor, labels: Tensor, denominator: int | None = None, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of labelled images: sum over i of -w_i log softmax(logits_i)[labels_i], over the denominator.

    Args:
        logits: (B, K).
        labels: (B,) int64 classes.
        denominator: What the sum over the batch is divided by. None: B, the labelled mean (Berthelot et al. 2019,
            arXiv:1905.02249). B + U: the whole batch, as in Laine & Aila 2017 (arXiv:1610.02242).
        weight: (K,) of the classes, w_i = weight[labels_i]; None: 1. A method gives its `self.class_weights`.

    Returns:
        0-dim.
    """
    # torch's mean: over the sum of w_i; here: over what it is without weights, so that a batch that is split over ranks
    # gives the same number, and a batch of one class keeps its weight
    return F.cross_entropy(logits, labels, weight, reduction="sum") / (denominator or len(labels))


def squared_error(
    values: Tensor, target: Tensor, reduction: Literal["mean", "sum"] = "mean", row_weight: Tensor | None = None
) -> Tensor:
    """Squared error between two predictions.

    Mean over rows i of the mean (or sum) over classes k of (values_ik - target_ik)^2.

    The mean over classes is that of all official code (Laine & Aila 2017, arXiv:1610.02242; Tarvainen & Valpola 2017,
    arXiv:1703.01780); a sum multiplies the term by K. Example: (1, 0) against (0.5, 0.5) is 0.25.

    Args:
        values: (U, K) probabilities or logits.
        target: (U, K), the same space.
        reduction: Over classes.
        row_weight: (U,) factors of the rows; the denominator stays U, so that a batch split over ranks gives the same
            number.

    Returns:
        0-dim.

    Raises:
        InputError: The shapes differ (they would broadcast), or the reduction is unknown.
    """
    if values.shape != target.shape:
        raise InputError(f"squared_error compares predictions of one shape, not {tuple(values.shape)} with {tuple(target.shape)}")
    error = (values - target).square()  # (U, K)
    rows = error.mean(dim=1) if one_of("reduction", reduction, "mean", "sum") == "mean" else error.sum(dim=1)  # (U,)
    return (rows if row_weight is None else rows * row_weight).mean()


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL divergence of predictions from their targets.

    Mean over rows of the sum over k of q_k (log q_k - log p_k), p of logits.

    With q the target's probabilities, as Tarvainen & Valpola 2017 (arXiv:1703.01780) compare it with the squared error.
    Example: (0.5, 0.5) against the target (1, 0) is log 2.

    Args:
        logits: (U, K).
        target: (U, K) logits.

    Returns:
        0-dim.
    """
    return F.kl_div(logits.log_softmax(dim=1), target.log_softmax(dim=1), reduction="batchmean", log_target=True)


def row_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row: the sum over k of -w_k q_k log softmax(logits)_k.

    Args:
        logits: (n, K).
        target: (n,) int64 classes, or (n, K) probabilities q, of which classes are the one-hot case.
        weight: (K,) of the classes, w; None: 1.

    Returns:
        (n,).
    """
    return F.cross_entropy(logits, target, weight, reduction="none")


def entropy(logits: Tensor) -> Tensor:
    """Entropy of each row's prediction: the sum over k of -p_k log p_k, p = softmax(logits), in nats.

    Args:
        logits: (n, K).

    Returns:
        (n,), from 0 to log K.
    """
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs.clamp(min=torch.finfo(logs.dtype).min)).sum(dim=1)  # 0 log 0 is 0


def weighted_mean(rows: Tensor, row_weight: Tensor, over: Literal["batch", "kept"] = "batch") -> Tensor:
    """Sum of the rows' values, each times its weight, over a denominator that has a name.

    Args:
        rows: (n,) values, such as losses.
        row_weight: (n,) in [0, 1], 0 for a row that is rejected. No gradient.
        over: The denominator. batch: n, rejected rows included, as the papers have it (Sohn et al. 2020,
            arXiv:2001.07685, eq. 4). kept: the sum of the weights over the whole batch of all ranks, which multiplies a
            term by 1 / mask rate, most of all early in a run; 0 where no row is kept.

    Returns:
        0-dim.
    """
    mean = (rows * row_weight).mean()
    if one_of("over", over, "batch", "kept") == "batch":
        return mean
    kept = global_mean(row_weight)  # 0-dim, the share of rows that are kept
    return mean / torch.where(kept > 0, kept, torch.ones_like(kept))  # a plain 1 waits for a GPU
