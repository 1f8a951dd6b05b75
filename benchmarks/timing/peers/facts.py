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


def facts_of(make: Callable[..., Peer], decay: float = 0.999) -> dict[str, Any]:
    """Return what one step does.

    Args:
        make: Returns the toolkit's method; takes its `weight` and `probe`.
        decay: Of its running average.

    Returns:
        passes: The passes of a step. consistency: the norm of the gradient of its unlabelled term, with weight 1, over
        that of the labelled one. statistics: how often a step moves the running statistics of batch norm. average:
        whether a step moves the running average by the share that it should; None: there is none. fresh: whether an
        image has another view when it is met again.
    """
    peer = make()
    before, moved = [p.detach().clone() for p in peer.net.parameters()], updates(peer.net)
    with passes(peer.nets()) as found:
        peer.turn(1)
    wanted = [decay * old + (1 - decay) * p for old, p in zip(before, peer.net.parameters(), strict=True)]
    average = peer.average()
    labeled = gradient(make, 0.0)
    unlabeled = (gradient(make, LARGE) - labeled) / LARGE
    return {
        "passes": [list(one) for one in found],
        "consistency": (unlabeled.norm() / labeled.norm()).item(),
        "statistics": updates(peer.net) - moved,
        "average": _same(average, wanted) and not _same(average, before) if average else None,
        "fresh": peer.fresh(),
    }


def _same(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=0, atol=1e-7) for a, b in zip(ones, others, strict=True))


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
        lines.append(f"each step {'moves' if facts['average'] else 'DOES NOT move'} the running average as it should")
    lines.append(
        "an image has another view whenever it is met" if facts["fresh"] else "an image has the same views in every epoch"
    )
    return lines


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")
