"""What a step of another toolkit does, found by watching one: a step that leaves something out is no faster."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .contender import Peer

LARGE = 100.0  # a weight at which a term's gradient is well above rounding


class Seen(NamedTuple):
    """A pass through a net."""

    images: int
    grad: bool
    batch_statistics: bool  # batch norm's are those of the batch, not the running ones


@contextmanager
def passes(nets: Sequence[nn.Module]) -> Iterator[list[Seen]]:
    """Within it, every pass through one of them is noted."""
    found: list[Seen] = []

    def note(net: nn.Module, args: tuple[Tensor, ...]) -> None:
        norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
        found.append(Seen(len(args[0]), torch.is_grad_enabled(), all(norm.training for norm in norms)))

    hooks = [net.register_forward_pre_hook(note) for net in nets]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def updates(net: nn.Module) -> int:
    """How often the running statistics of its first batch norm were moved."""
    first = next(module for module in net.modules() if isinstance(module, _BatchNorm))
    return int(first.num_batches_tracked)  # type: ignore[arg-type]


def gradient(make: Callable[..., Peer], weight: float) -> Tensor:
    """Return what the optimiser is given in one step, (parameters,), with such a weight of the unlabelled term."""
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    peer, found = make(weight=weight, probe=True), []

    def keep(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        every = [p for group in optimizer.param_groups for p in group["params"]]
        found.append(torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in every]))

    peer.optimizer.register_step_pre_hook(keep)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # the same batch, whatever making it drew
    peer.turn(1)
    return found[0]


def facts_of(make: Callable[..., Peer]) -> dict[str, Any]:
    """Return what one step does.

    Args:
        make: Returns the toolkit's method; takes its `weight` and `probe`.

    Returns:
        passes: The passes of a step. consistency: the norm of the gradient of its unlabelled term, with weight 1, over
        that of the labelled one. statistics: how often a step moves the running statistics of batch norm. average: how
        much of its way to the net a step moves the running average, which begins where the net does; None: there is
        none. fresh: whether an image has another view when it is met again.
    """
    peer = make()
    before, moved = [p.detach().clone() for p in peer.net.parameters()], updates(peer.net)
    with passes(peer.nets()) as found:
        peer.turn(1)
    labeled = gradient(make, 0.0)
    unlabeled = (gradient(make, LARGE) - labeled) / LARGE
    return {
        "passes": [list(one) for one in found],
        "consistency": (unlabeled.norm() / labeled.norm()).item(),
        "statistics": updates(peer.net) - moved,
        "average": share(before, list(peer.net.parameters()), peer.average()) if peer.average() else None,
        "fresh": peer.fresh(),
    }


def share(before: Sequence[Tensor], net: Sequence[Tensor], average: Sequence[Tensor]) -> float:
    """Return how much of the way from the parameters before a step to the net's after it the average has gone."""
    start, end, there = (torch.cat([p.detach().double().flatten() for p in one]) for one in (before, net, average))
    way = end - start
    return ((there - start) @ way / (way @ way)).item()


def in_words(facts: dict[str, Any]) -> list[str]:
    """The facts of one method as sentences without their beginning."""
    found = [Seen(*one) for one in facts["passes"]]
    with_grad = " + ".join(str(one.images) for one in found if one.grad)
    without = " + ".join(str(one.images) for one in found if not one.grad)
    lines = [f"a step passes {with_grad} images with a gradient" + (f" and {without} without" if without else "")]
    share = facts["consistency"]
    lines.append(
        f"the gradient of its unlabelled term is {share:.2g} of the labelled one's"
        if share > 1e-6
        else "its unlabelled term has no gradient: it trains on the labelled images alone"
    )
    if all(one.batch_statistics for one in found):
        lines.append(f"batch norm takes each batch's statistics, and a step moves the running ones {_times(facts['statistics'])}")
    else:
        moved = facts["statistics"]
        lines.append(
            "batch norm takes its running statistics in "
            + ("every pass" if not any(one.batch_statistics for one in found) else "some passes")
            + (f", which a step moves {_times(moved)}" if moved else ", which no step ever moves: they stay 0 and 1")
        )
    if facts["average"] is not None:
        lines.append(f"a step moves the running average {facts['average']:.1g} of its way to the net")
    lines.append(
        "an image has another view whenever it is met" if facts["fresh"] else "an image has the same views in every epoch"
    )
    return lines


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")
