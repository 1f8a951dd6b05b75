"""Mixtures of images: pairs drawn at random, how much of each, and the passes of a net over what comes out.

All draws come from torch's global generator, and never read the device.
"""

import math
from collections.abc import Sequence
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
        passes: joint: one pass, and so one set of batch statistics. each: one pass for each kind. interleaved: a pass
            for each kind, of which the first has given a part to each other and got one of it, so that it has all kinds
            (authors' code of MixMatch). Of several passes the first moves the running statistics.

    Returns:
        (size, K) for each kind, in fp32.
    """
    if passes == "joint":
        return list(full_precision(net(rows)).split(sizes))
    kinds = [part.split(_parts(len(part), len(sizes))) for part in rows.split(sizes)]
    first, *others = _swapped(kinds) if passes == "interleaved" else kinds
    logits = [net(torch.cat(first))]
    with frozen_stats(net):
        logits += [net(torch.cat(parts)) for parts in others]
    found = [full_precision(part).split([*map(len, parts)]) for part, parts in zip(logits, (first, *others), strict=True)]
    return [torch.cat(parts) for parts in (_swapped(found) if passes == "interleaved" else found)]


def _parts(rows: int, count: int) -> list[int]:
    """Sizes of so many parts of rows, as even as can be; the last ones have what is over."""
    return [rows // count + (place >= count - rows % count) for place in range(count)]


def _swapped(kinds: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Part i of the first kind in the place of part i of kind i, and the other way round. Done twice it is undone."""
    first = [kinds[place][place] for place in range(len(kinds))]
    others = [[*kind[:place], kinds[0][place], *kind[place + 1 :]] for place, kind in enumerate(kinds[1:], 1)]
    return [first, *others]
