"""From a step number to a batch, as a pure function.

`batch(step)` depends on the seed and the step alone, which gives three promises: at one seed every method sees the same
labelled batches and the same first unlabelled view; a run resumes exactly with nothing saved; a batch may be split over
any number of ranks.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ssl_zoo.batch import Batch, Facts
from ssl_zoo.data.augment import Parameters, View, moved
from ssl_zoo.data.walks import BalancedWalk, Walk, walks_of
from ssl_zoo.errors import InputError
from ssl_zoo.seeds import mix

SMALL = 1 << 22  # values of views of one name that are made in one go: with few, what costs is the number of calls


class Wanted(NamedTuple):
    """A view that is made in every step."""

    stream: str
    k: int  # its place among those of the stream
    view: str  # its name


class Drawn(NamedTuple):
    """What a batch is made of, tensors alone, on the device."""

    x_index: Tensor  # (B,) int64, rows of the training set
    y: Tensor  # (B,) int64, classes
    u_index: Tensor  # (U,) int64, rows
    fetched: tuple[Tensor, ...]  # images of both streams, (n, H, W, C) as stored, where they stay on the host
    parameters: tuple[Parameters, ...]  # of each group of views that are made in one go


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


def _check_views(unlabeled: tuple[str, ...], labeled: tuple[str, ...], views: Mapping[str, View]) -> None:
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


def _check_streams(facts: Facts, wanted: bool, batch_labeled: int, batch_unlabeled: int, ranks: int) -> None:
    """`wanted`: whether there is an unlabelled stream."""
    if wanted and not len(facts.unlabeled):
        raise InputError("the unlabelled stream is empty; add images without labels, or set batch.labeled_in_unlabeled: true")
    if not len(facts.labeled):
        raise InputError("no image is labelled; label some of each class")
    if batch_labeled < 1 or (wanted and batch_unlabeled < 1):
        raise InputError(f"batch sizes must be at least 1, not labeled {batch_labeled} and unlabeled {batch_unlabeled}")
    if batch_labeled % ranks or batch_unlabeled % ranks:
        raise InputError(
            f"{ranks} ranks do not divide the batch of {batch_labeled} labelled and {batch_unlabeled} unlabelled images"
        )


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
        _check_views(unlabeled, labeled, views)
        _check_streams(facts, bool(unlabeled), batch_labeled, batch_unlabeled, ranks)
        self.images, self.views, self.seed = images, views, seed
        self.names = {"labeled": labeled, "unlabeled": unlabeled}
        self._wanted = [Wanted(stream, k, name) for stream, names in self.names.items() for k, name in enumerate(names)]
        self.sizes = {"labeled": batch_labeled, "unlabeled": batch_unlabeled if unlabeled else 0}
        self.parts = {stream: slice(rank * n // ranks, (rank + 1) * n // ranks) for stream, n in self.sizes.items()}
        self.device = device or images.device
        self.facts = facts._replace(**{name: getattr(facts, name).to(self.device) for name in ("labeled", "labels", "unlabeled")})
        rows = {"labeled": facts.labeled, "unlabeled": facts.unlabeled}
        self._walks, walks = (walks_of(facts, self.sizes, seed, labeled_classes == "balanced") for _ in "ab")
        self._groups = [group for name in {w.view: None for w in self._wanted} for group in self._grouped(name)]
        # on the CPU, so that what is drawn does not depend on the device, but for what is large
        self._generator, self._large = torch.Generator(), torch.Generator(self.device) if self.device.type != "cpu" else None
        self._host: Host | None = None
        if fetch or images.device.type != self.device.type:
            self._host = Host(images, self.device, walks, {stream: of.cpu() for stream, of in rows.items()}, self.parts)

    def batch(self, step: int) -> Batch:
        """The batch of a step, or this rank's slice of it."""
        return self.make(self.draw(step))

    def draw(self, step: int) -> Drawn:
        """What a step's batch is made of: all that depends on its number."""
        chosen = self._places("labeled", step)
        x_index, y = (part.index_select(0, chosen) for part in (self.facts.labeled, self.facts.labels))
        u_index = self.facts.unlabeled.index_select(0, self._places("unlabeled", step))
        fetched = () if self._host is None else tuple(self._host(step)[stream] for stream in self.names)
        return Drawn(x_index, y, u_index, fetched, tuple(self._parameters(step, group) for group in self._groups))

    def make(self, drawn: Drawn) -> Batch:
        """The batch itself: a function of what was drawn, and of the images."""
        rows = {"labeled": drawn.x_index, "unlabeled": drawn.u_index}
        sources = {stream: (self.images, of) for stream, of in rows.items()}
        for stream, images in zip(self.names, drawn.fetched, strict=False):
            sources[stream] = images, torch.arange(len(images), device=self.device)
        made: dict[Wanted, Tensor] = {}
        for group, parameters in zip(self._groups, drawn.parameters, strict=True):
            images, which = _together([sources[wanted.stream] for wanted in group])
            values = self.views[group[0].view].apply(images, which, parameters)
            sizes = [len(sources[wanted.stream][1]) for wanted in group]
            # a net may write into its input: so none is a view of another's memory to autograd
            made |= dict(zip(group, values.unsafe_split_with_sizes(sizes), strict=True))
        x, *x_more = (made[wanted] for wanted in self._wanted if wanted.stream == "labeled")
        u = tuple(made[wanted] for wanted in self._wanted if wanted.stream == "unlabeled")
        return Batch(x, drawn.y, drawn.x_index, u, drawn.u_index, tuple(x_more))

    def _places(self, stream: str, step: int) -> Tensor:
        return self._walks[stream].places(step)[self.parts[stream]].to(self.device, non_blocking=True)

    def _parameters(self, step: int, group: list[Wanted]) -> Parameters:
        _, height, width, channels = self.images.shape
        parts = []
        for stream, k, name in group:
            for generator in filter(None, (self._generator, self._large)):
                generator.manual_seed(mix(self.seed, step, stream, k))
            shape = channels, height, width
            parts.append(self.views[name].draw(self._generator, self.sizes[stream], shape, self.parts[stream], self._large))
        return moved(_joined(parts), self.device)

    def _grouped(self, name: str) -> list[list[Wanted]]:
        """The views of one name: all as one group, or each alone."""
        same = [wanted for wanted in self._wanted if wanted.view == name]
        count = sum(len(range(self.sizes[w.stream])[self.parts[w.stream]]) for w in same) * self.images[0].numel()
        return [same] if count <= SMALL else [[wanted] for wanted in same]


def _together(sources: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images and rows of them, of several such pairs."""
    first = sources[0][0]
    if all(images is first for images, _ in sources):
        return first, torch.cat([rows for _, rows in sources]) if len(sources) > 1 else sources[0][1]
    images = torch.cat([images.index_select(0, rows) for images, rows in sources])
    return images, torch.arange(len(images), device=images.device)


def _joined(parts: list[Parameters]) -> Parameters:
    """The parameters of several views of one name as those of one."""
    if len(parts) == 1:
        return parts[0]
    return tuple(tuple(torch.cat(same) for same in zip(*of, strict=True)) for of in zip(*parts, strict=True))
