"""The teacher: a running average of a net's parameters, and the batch-norm policies, stated once."""

import contextlib
import copy
import weakref
from collections.abc import Iterator
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError, between, one_of

BatchNormPolicy = Literal["own", "copy", "ema"]


@contextlib.contextmanager
def frozen_stats(net: nn.Module) -> Iterator[None]:
    """Within it, batch norms in training mode still normalise by the batch but do not move their running statistics.

    For every pass of a net beyond the one per step that its running statistics are meant to count.
    """
    norms = [module for module in net.modules() if getattr(module, "track_running_stats", False)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def average_(averages: list[Tensor], values: list[Tensor], weight: Tensor) -> None:
    """In place, for each pair: average += weight (value - average).

    Args:
        averages: Floating tensors of any shapes.
        values: As many, of the same shapes.
        weight: 0-dim; stays on the device (given as a single scalar, the fused call would read it back and wait).
    """
    weights = {dtype: weight.to(dtype) for dtype in {average.dtype for average in averages}}
    torch._foreach_lerp_(averages, values, [weights[average.dtype] for average in averages])


class Teacher(nn.Module):
    """A copy of a net whose parameters follow it as an exponential moving average.

    After update t = 1, 2, ...: teacher = d teacher + (1 - d) student with d = min(1 - 1 / (t + 1), decay), so that the
    first updates are a true average and not 99.9 % of the initial weights (Tarvainen & Valpola 2017, arXiv:1703.01780,
    and their code). The teacher never receives a gradient. In training mode it normalises by its own batch.

    Args:
        net: The student; copied now, in its present state.
        decay: In [0, 1].
        bn: Where running statistics come from. own: the teacher's own training passes. copy: the student's, after each
            update. ema: averaged like the parameters.
        warmup: Whether to use the true average at first; off: d = decay from the start.
        count_initial: Whether that average counts the initial weights. Off: d = min(1 - 1 / t, decay), so the first
            update forgets them.

    Raises:
        InputError: decay is out of range, the policy is unknown, or count_initial is off without a true average.
    """

    def __init__(
        self, net: nn.Module, decay: float, *, bn: BatchNormPolicy = "own", warmup: bool = True, count_initial: bool = True
    ):
        super().__init__()
        self.decay, self.warmup, self.count_initial = between("decay", decay, 0, 1), warmup, count_initial
        if not (warmup or count_initial):
            raise InputError(
                "count_initial = false needs the true average, which warmup_average = false turns off; set one of the two to true"
            )
        self.bn = one_of("teacher_bn", bn, "own", "copy", "ema")
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64, device=next(net.parameters()).device))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, K) of images (n, C, H, W), without gradient."""
        with torch.no_grad(), contextlib.nullcontext() if self.bn == "own" else frozen_stats(self.net):
            return self.net(x)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """One step of the average towards `student`. To be called after the optimiser's step."""
        self.updates += 1
        weight = torch.full_like(self.updates, 1 - self.decay, dtype=torch.float32)  # 1 - d
        if self.warmup:
            weight = torch.maximum(weight, 1 / (self.updates + self.count_initial))
        averages, values, copies = self._pairs(student)
        average_(averages, values, weight)
        for mine, theirs in copies:
            mine.copy_(theirs)

    def _pairs(self, student: nn.Module) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
        """What is averaged, with what, and what is copied. To list a net's tensors costs as much as to average them."""
        known = _PAIRS.get(self)
        if known is None or known[0]() is not student:
            averages, values = list(self.net.parameters()), list(student.parameters())
            buffers = list(zip(self.net.buffers(), student.buffers(), strict=True))
            for mine, theirs in buffers if self.bn == "ema" else ():
                if mine.is_floating_point():
                    averages.append(mine)
                    values.append(theirs)
            counters = [pair for pair in buffers if not pair[0].is_floating_point()]  # which have no average
            copies = {"own": [], "copy": buffers, "ema": counters}[self.bn]
            known = _PAIRS[self] = weakref.ref(student), averages, values, copies
        return known[1:]

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        _PAIRS.pop(self, None)  # what is moved to a device may be another tensor there
        return super()._apply(*args, **kwargs)


# Of each teacher: its student, and their tensors. Not its own attribute, as it is no state: a copy has none.
_PAIRS: weakref.WeakKeyDictionary[
    Teacher, tuple[weakref.ref[nn.Module], list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]
] = weakref.WeakKeyDictionary()
