"""From a step number to a batch, as a pure function.

`batch(step)` depends on the seed and the step alone, which gives three promises: at one seed every method sees the same
labelled batches and the same first unlabelled view; a run resumes exactly with nothing saved; a batch may be split over
any number of ranks.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from ssl_zoo.batch import Batch, Facts
from ssl_zoo.data.augment import View
from ssl_zoo.errors import InputError
from ssl_zoo.seeds import mix

SMALL = 1 << 22  # values of views that are made in one go


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


def _walks(facts: Facts, sizes: Mapping[str, int], seed: int, balanced: bool) -> dict[str, Walk | BalancedWalk]:
    """One for each stream."""
    unlabeled = Walk(len(facts.unlabeled), sizes["unlabeled"], seed, "unlabeled")
    if balanced:
        return {"labeled": BalancedWalk(facts.labels, sizes["labeled"], seed, "labeled"), "unlabeled": unlabeled}
    return {"labeled": Walk(len(facts.labeled), sizes["labeled"], seed, "labeled"), "unlabeled": unlabeled}


class Host:
    """Images that stay on the host, where the device cannot hold them.

    The rows of a step are read while the one before runs.

    Args:
        images: (N, H, W, C), on the host; may be a file's content, of which only what is asked for is read.
        device: Where they are wanted.
        walks: Of the streams; used by a thread, so nobody else's.
        rows: Of each stream, those that its walk goes through, on the host.
        parts: Of each stream, which slice of a step's draws.
    """

    def __init__(
        self,
        images: Tensor,
        device: torch.device,
        walks: Mapping[str, Walk | BalancedWalk],
        rows: Mapping[str, Tensor],
        parts: Mapping[str, slice],
    ):
        self.images, self.device, self._walks, self._rows, self._parts = images, device, walks, rows, parts
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._pending: tuple[int, Future[dict[str, Tensor]]] | None = None
        sizes = {stream: len(range(walks[stream].size)[part]) for stream, part in parts.items()}
        pinned = device.type == "cuda"
        self._buffers = [  # one is filled while the other is read
            {s: torch.empty((n, *images.shape[1:]), dtype=images.dtype, pin_memory=pinned) for s, n in sizes.items()}
            for _ in "ab"
        ]
        self._copied: list[torch.cuda.Event | None] = [None, None]

    def __call__(self, step: int) -> dict[str, Tensor]:
        """(n, H, W, C) of each stream, as stored, on the device; valid until the next step is asked for."""
        if self._pending is None or self._pending[0] != step:
            self._pending = (step, self._pool.submit(self._fetch, step))
        found = self._pending[1].result()
        self._pending = (step + 1, self._pool.submit(self._fetch, step + 1))
        return found

    def _fetch(self, step: int) -> dict[str, Tensor]:
        k = step % 2
        if self._copied[k] is not None:
            self._copied[k].synchronize()  # the copy of two steps ago has left the buffer
        for stream, buffer in self._buffers[k].items():
            places = self._walks[stream].places(step)[self._parts[stream]]
            torch.index_select(self.images, 0, self._rows[stream].index_select(0, places), out=buffer)
        found = {stream: buffer.to(self.device, non_blocking=True) for stream, buffer in self._buffers[k].items()}
        if self.device.type == "cuda":
            self._copied[k] = torch.cuda.current_stream(self.device).record_event()
        return found


class Pipeline:
    """Batches of one training set for one method's declared views.

    Args:
        images: (N, H, W, C) uint8, or float32 and normalised, on the device on which the batches are wanted, or on the
            host.
        facts: The labelled rows with their classes, and the rows of the unlabelled stream.
        views: What each view's name means.
        unlabeled: Names of the unlabelled views wanted, such as ("weak", "weak"), of which the first is "weak"; empty:
            no unlabelled images.
        labeled: Names of the labelled views wanted, at least one.
        batch_labeled: B, of the whole batch.
        batch_unlabeled: U, of the whole batch.
        labeled_classes: uniform: each labelled image as often as any other; balanced: each class.
        seed: Of the order of rows and of every augmentation.
        rank: Which slice of each batch to make.
        ranks: R; divides B and U.
        device: Where the batches are wanted; where the images are, unless said otherwise.
        fetch: Whether the images stay where they are and the rows of each step are fetched; of itself, if they are
            elsewhere.

    Raises:
        InputError: The first unlabelled view is not "weak", there is no labelled one, a view's name is not defined, R
            does not divide B or U, or a stream that is wanted is empty.
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
        labeled_classes: Literal["uniform", "balanced"] = "uniform",
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        device: torch.device | None = None,
        fetch: bool = False,
    ):
        if unlabeled[:1] not in ((), ("weak",)) or not labeled:  # else no two methods would see the same images
            raise InputError(
                f"the method asks for the unlabelled views {unlabeled} and the labelled views {labeled}; the first of `views` "
                "must be 'weak' and `labeled_views` must not be empty"
            )
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
        self.device = device or images.device
        self.facts = facts._replace(**{name: getattr(facts, name).to(self.device) for name in ("labeled", "labels", "unlabeled")})
        rows = {"labeled": facts.labeled, "unlabeled": facts.unlabeled}
        self._walks, walks = (_walks(facts, self.sizes, seed, labeled_classes == "balanced") for _ in "ab")
        self._generator = torch.Generator(self.device)
        self._host: Host | None = None
        if fetch or images.device.type != self.device.type:
            self._host = Host(images, self.device, walks, {stream: of.cpu() for stream, of in rows.items()}, self.parts)

    def _places(self, stream: str, step: int) -> Tensor:
        return self._walks[stream].places(step)[self.parts[stream]].to(self.device, non_blocking=True)

    def _drawn(self, stream: str, step: int, k: int) -> list[tuple[Tensor, ...]]:
        """The parameters of a stream's view number k."""
        self._generator.manual_seed(mix(self.seed, step, stream, k))
        _, height, width, channels = self.images.shape
        view = self.views[self.names[stream][k]]
        return view.draw(self._generator, self.sizes[stream], (channels, height, width), self.parts[stream])

    def _make_views(self, step: int, sources: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, list[Tensor]]:
        """The views of each stream, from its images and the rows wanted of them.

        Views of one name are made in one go where they are small, when what costs is the number of calls.
        """
        wanted = [(stream, k, name) for stream, names in self.names.items() for k, name in enumerate(names)]
        drawn = {(stream, k): self._drawn(stream, step, k) for stream, k, _ in wanted}
        made: dict[str, list[Tensor]] = {stream: [None] * len(names) for stream, names in self.names.items()}  # type: ignore[list-item]
        for name in dict.fromkeys(name for *_, name in wanted):
            for group in self._groups([(stream, k) for stream, k, other in wanted if other == name], sources):
                images, rows = _together([sources[stream] for stream, _ in group])
                parameters = [_joined(parts) for parts in zip(*(drawn[member] for member in group), strict=True)]
                values = self.views[name].apply(images, rows, parameters)
                sizes = [len(sources[stream][1]) for stream, _ in group]
                # a net may write into its input: so none is a view of another's memory to autograd
                for (stream, k), part in zip(group, values.unsafe_split_with_sizes(sizes), strict=True):
                    made[stream][k] = part
        return made

    def _groups(
        self, members: list[tuple[str, int]], sources: Mapping[str, tuple[Tensor, Tensor]]
    ) -> list[list[tuple[str, int]]]:
        """All members as one group, or each alone."""
        count = sum(len(sources[stream][1]) for stream, _ in members) * self.images[0].numel()
        return [members] if count <= SMALL else [[member] for member in members]

    def batch(self, step: int) -> Batch:
        """The batch of a step, or this rank's slice of it."""
        chosen = self._places("labeled", step)
        x_index, y = (part.index_select(0, chosen) for part in (self.facts.labeled, self.facts.labels))
        u_index = self.facts.unlabeled.index_select(0, self._places("unlabeled", step))
        wanted = {"labeled": x_index, "unlabeled": u_index}
        if self._host is None:
            sources = {stream: (self.images, rows) for stream, rows in wanted.items()}
        else:
            fetched = self._host(step)
            sources = {stream: (images, torch.arange(len(images), device=self.device)) for stream, images in fetched.items()}
        made = self._make_views(step, sources)
        x, *x_more = made["labeled"]
        return Batch(x, y, x_index, tuple(made["unlabeled"]), u_index, tuple(x_more))


def _together(sources: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images and rows of them, of several such pairs."""
    first = sources[0][0]
    if all(images is first for images, _ in sources):
        return first, torch.cat([rows for _, rows in sources]) if len(sources) > 1 else sources[0][1]
    images = torch.cat([images.index_select(0, rows) for images, rows in sources])
    return images, torch.arange(len(images), device=images.device)


def _joined(parts: tuple[tuple[Tensor, ...], ...]) -> tuple[Tensor, ...]:
    """Of one augmentation, the parameters of several views as those of one."""
    return parts[0] if len(parts) == 1 else tuple(torch.cat(same) for same in zip(*parts, strict=True))
