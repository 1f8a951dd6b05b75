"""From a step number to a batch, as a pure function.

`batch(step)` depends on the seed and the step alone, which gives three promises: at one seed every method sees the same
labelled batches and the same first unlabelled view; a run resumes exactly with nothing saved; a batch may be split over any
number of ranks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ssl_zoo.batch import Batch, Facts
from ssl_zoo.data.augment import View
from ssl_zoo.errors import InputError
from ssl_zoo.seeds import mix


class Walk:
    """Places 0..n-1 in random order, one permutation per epoch, none ever dropped.

    Draw j of step s is place `s * size + j` of the epochs laid end to end, so a batch may span epochs, many for a small n.

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

    def places(self, step: int) -> Tensor:
        """(size,) int64, on the CPU."""
        parts, start, wanted = [], step * self.size, self.size
        while wanted:
            epoch, place = divmod(start, self.n)
            part = self._permutation(epoch)[place : place + wanted]
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


class Pipeline:
    """Batches of one training set for one method's declared views.

    Args:
        images: (N, H, W, C) uint8, on the device on which the batches are wanted.
        facts: The labelled rows with their classes, and the rows of the unlabelled stream.
        views: What each view's name means.
        unlabeled: Names of the unlabelled views wanted, such as ("weak", "weak"); empty: no unlabelled images.
        labeled: Names of the labelled views wanted, at least one.
        batch_labeled: B, of the whole batch.
        batch_unlabeled: U, of the whole batch.
        seed: Of the order of rows and of every augmentation.
        rank: Which slice of each batch to make.
        ranks: R; divides B and U.

    Raises:
        InputError: A view's name is not defined, R does not divide B or U, or a stream that is wanted is empty.
    """

    def __init__(
        self,
        images: Tensor,
        facts: Facts,
        views: Mapping[str, View],
        *,
        unlabeled: tuple[str, ...],
        labeled: tuple[str, ...] = ("weak",),
        batch_labeled: int,
        batch_unlabeled: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ):
        for name in {*unlabeled, *labeled} - {*views}:
            raise InputError(
                f"the method asks for a view called '{name}', which the recipe does not define; add it under views: "
                f"(there are {', '.join(views)})"
            )
        if unlabeled and not len(facts.unlabeled):
            raise InputError("the unlabelled stream is empty; add images without labels, or set batch.labeled_in_unlabeled: true")
        if batch_labeled < 1 or (unlabeled and batch_unlabeled < 1):
            raise InputError(f"batch sizes must be at least 1, not labeled {batch_labeled} and unlabeled {batch_unlabeled}")
        if batch_labeled % ranks or batch_unlabeled % ranks:
            raise InputError(
                f"{ranks} ranks do not divide the batch of {batch_labeled} labelled and {batch_unlabeled} unlabelled images"
            )
        self.images, self.views, self.seed = images, views, seed
        self.names = {"labeled": labeled, "unlabeled": unlabeled}
        self.sizes = {"labeled": batch_labeled, "unlabeled": batch_unlabeled if unlabeled else 0}
        self.parts = {stream: slice(rank * n // ranks, (rank + 1) * n // ranks) for stream, n in self.sizes.items()}
        self.facts = Facts(facts.classes, facts.rows, *(rows.to(images.device) for rows in facts[2:]))
        self._walks = {
            "labeled": Walk(len(facts.labeled), batch_labeled, seed, "labeled"),
            "unlabeled": Walk(len(facts.unlabeled), self.sizes["unlabeled"], seed, "unlabeled"),
        }
        self._generator = torch.Generator(images.device)

    def _places(self, stream: str, step: int) -> Tensor:
        return self._walks[stream].places(step)[self.parts[stream]].to(self.images.device, non_blocking=True)

    def _make_views(self, stream: str, step: int, rows: Tensor) -> tuple[Tensor, ...]:
        made = []
        for k, name in enumerate(self.names[stream]):
            self._generator.manual_seed(mix(self.seed, step, stream, k))
            made.append(self.views[name](self.images, rows, self._generator, self.sizes[stream], self.parts[stream]))
        return tuple(made)

    def batch(self, step: int) -> Batch:
        """The batch of a step, or this rank's slice of it."""
        chosen = self._places("labeled", step)
        x_index, y = (part.index_select(0, chosen) for part in (self.facts.labeled, self.facts.labels))
        u_index = self.facts.unlabeled.index_select(0, self._places("unlabeled", step))
        x, *x_more = self._make_views("labeled", step, x_index)
        return Batch(x, y, x_index, self._make_views("unlabeled", step, u_index), u_index, tuple(x_more))
