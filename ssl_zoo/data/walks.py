"""The order in which rows come: epochs laid end to end, each a permutation, as a function of the place alone."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ssl_zoo.batch import Facts
from ssl_zoo.seeds import mix


class Walk:
    """Places 0..n-1 in random order, one permutation per epoch, none ever dropped.

    Draw j of step s is place `s * size + j` of the epochs laid end to end, so a batch may span epochs, many for a small
    n.

    Args:
        n: Places.
        size: Draws per step.
        seed: Of the permutations.
        stream: A word that sets this walk apart from others at the same seed.
    """

    def __init__(self, n: int, size: int, seed: int, stream: str):
        self.n, self.size, self.seed, self.stream = n, size, seed, stream
        self._generator = torch.Generator()  # on the CPU, so that the rows do not depend on the device
        self._recent: dict[int, Tensor] = {}  # the last epochs' permutations, each of which serves many steps

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._recent:
            self._recent = {e: p for e, p in self._recent.items() if e == epoch - 1}
            self._recent[epoch] = torch.randperm(
                self.n, generator=self._generator.manual_seed(mix(self.seed, "rows", self.stream, epoch))
            )
        return self._recent[epoch]

    def draws(self, start: int, count: int) -> Tensor:
        """(count,) int64, on the CPU: the places of so many draws, from one of the epochs laid end to end."""
        parts = []
        while count:
            epoch, place = divmod(start, self.n)
            part = self._permutation(epoch)[place : place + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)

    def places(self, step: int) -> Tensor:
        """(size,) int64, on the CPU."""
        return self.draws(step * self.size, self.size)


class BalancedWalk:
    """Places in an order in which each class comes as often as any other, and within a class each place.

    Draw d, counted from the first of step 0, belongs to round d // K, in which each of the K classes has one draw, in
    random order. Draw r of a class is draw r of its own `Walk`. So it is as pure a function of the step.

    Args:
        labels: (n,) class of each place; K of them occur.
        size: Draws per step.
        seed: Of the permutations.
        stream: A word that sets this walk apart from others at the same seed.
    """

    def __init__(self, labels: Tensor, size: int, seed: int, stream: str):
        self.size = size
        order = labels.cpu().argsort(stable=True)
        classes, counts = labels.cpu().unique(return_counts=True)
        self._members = order.split(counts.tolist())
        self._order = Walk(len(classes), size, seed, f"{stream}/classes")
        self._within = [
            Walk(len(of), 1, seed, f"{stream}/class {k}") for k, of in zip(classes.tolist(), self._members, strict=True)
        ]

    def places(self, step: int) -> Tensor:
        """(size,) int64, on the CPU."""
        chosen, order = self._order.places(step).sort(stable=True)  # places among the classes; of one class its draws in order
        rounds = (step * self.size + order) // len(self._members)
        classes, counts = chosen.unique_consecutive(return_counts=True)
        first = rounds[counts.cumsum(0) - counts]  # of each class; the rounds of its other draws are the next
        found = torch.empty_like(order)
        found[order] = torch.cat(
            [
                self._members[k][self._within[k].draws(start, count)]
                for k, start, count in zip(classes.tolist(), first.tolist(), counts.tolist(), strict=True)
            ]
        )
        return found


def walks_of(facts: Facts, sizes: Mapping[str, int], seed: int, balanced: bool) -> dict[str, Walk | BalancedWalk]:
    """One for each stream."""
    unlabeled = Walk(len(facts.unlabeled), sizes["unlabeled"], seed, "unlabeled")
    if balanced:
        return {"labeled": BalancedWalk(facts.labels, sizes["labeled"], seed, "labeled"), "unlabeled": unlabeled}
    return {"labeled": Walk(len(facts.labeled), sizes["labeled"], seed, "labeled"), "unlabeled": unlabeled}
