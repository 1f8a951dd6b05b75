"""Mixtures of images: pairs drawn at random, how much of each, and the passes of a net over what comes out.

All draws come from torch's global generator, and never read the device.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ssl_zoo.ema import frozen_stats
from ssl_zoo.losses import full_precision

Passes = Literal["joint", "interleaved", "each"]
PASSES = get_args(Passes)


def partners(rows: Tensor) -> Tensor:
    """Return (n,) int64, a random permutation of the places of (n, ...) rows: each is the partner of one row."""
    return torch.randperm(len(rows), device=rows.device)


def beta_draws(rows: Tensor, alpha: float, per: Literal["row", "batch"] = "row") -> Tensor:
    """Draw shares from Beta(alpha, alpha).

    By Bailey's polar method for Student's t with 2 alpha degrees of freedom (Math. Comp. 62, 1994): two uniform numbers
    make one t, and (1 + t / sqrt(2 alpha + t^2)) / 2 is Beta(alpha, alpha). Torch's own sampler runs on fewer devices.

    Args:
        rows: (n, ...), that get a share each.
        alpha: At least 0; 0 mixes nothing: all shares are 1.
        per: Whether each row has a draw of its own, or all rows have one.

    Returns:
        (n,) float32 in [0, 1].
    """
    count = len(rows) if per == "row" else 1
    if alpha == 0:
        return torch.ones(len(rows), device=rows.device)
    radius, angle = torch.rand(2, count, device=rows.device)
    t = torch.expm1(-radius.log() / alpha).sqrt() * torch.cos(2 * math.pi * angle)  # over sqrt(2 alpha)
    share = (1 + t.sign() * (1 + t.square().reciprocal()).rsqrt()) / 2  # not t / sqrt(1 + t^2), which for inf is NaN
    return share.expand(len(rows))


def mixup(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return share one + (1 - share) other, row by row (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        one: (n, ...) images or distributions.
        other: As many.
        share: (n,) of the first.
    """
    share = share.to(one.dtype).view(-1, *[1] * (one.ndim - 1))
    return share * one + (1 - share) * other


def mixed_logits(net: nn.Module, rows: Tensor, sizes: list[int], passes: Passes) -> list[Tensor]:
    """Logits of mixed images of several kinds, with one update of the net's running statistics.

    Args:
        net: The student.
        rows: (n, C, H, W), kind after kind.
        sizes: How many images of each kind, n in all; the first are the labelled ones.
        passes: joint: one pass, and so one set of batch statistics. interleaved: as many passes as kinds, each with
            its part of every kind, as authors' codes have it. each: one pass for each kind. Of several passes the first
            moves the running statistics.

    Returns:
        (size, K) for each kind, in fp32.
    """
    if passes == "joint":
        return list(full_precision(net(rows)).split(sizes))
    parts, order = len(sizes), torch.arange(len(rows), device=rows.device)
    if passes == "interleaved":  # part i has the rows i, i + parts, i + 2 parts, ...
        order = (order % parts).argsort(stable=True)
        first, *others = rows[order].tensor_split(parts)
    else:
        first, *others = rows.split(sizes)
    logits = [net(first)]
    with frozen_stats(net):
        logits += [net(part) for part in others]
    return list(full_precision(torch.cat(logits))[order.argsort()].split(sizes))
