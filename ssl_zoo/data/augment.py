"""What an augmentation is, and the views that chain them: batched, on the device, with parameters drawn per image.

An augmentation is two functions. `draw` makes the parameters of the whole batch, so that ranks which each hold a slice
of it agree; `apply` uses those of the images at hand. An augmentation works on pixels in [0, 1], or, where it says
`normalized = True`, on what the net gets: the image after its normalisation. One that says `scale_free = True` works on
either.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from ssl_zoo.errors import InputError

Parameters = tuple[tuple[Tensor, ...], ...]  # of a view: those of each of its augmentations


class Augmentation:
    """Base class. Options are keyword-only constructor parameters, documented under `Args:`."""

    normalized: ClassVar[bool] = False
    scale_free: ClassVar[bool] = False  # whether it does the same to values of any range, as what moves pixels does
    large: ClassVar[bool] = False  # whether `draw` makes a number for each pixel

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Parameters for n images of shape (C, H, W), on the generator's device, each with first axis n.

        A run gives it a generator of the CPU, so that all devices see the same. Where `large` is set, it gives one of
        the run's device.
        """
        raise NotImplementedError

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Images (n, C, H, W) float32 -> the same shape. Changes nothing in place."""
        raise NotImplementedError


class Move(Augmentation):
    """An augmentation that gives every pixel another place and changes none: rows and columns move as wholes.

    A view makes those at its start in one gather of the stored images.
    """

    scale_free = True

    def places(self, size: tuple[int, int], *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """For the pixels of an image of that height and width, where they come from: rows (n, H) and columns (n, W)."""
        raise NotImplementedError

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        rows, columns = self.places((images.shape[2], images.shape[3]), *parameters)
        which = torch.arange(len(images), device=images.device)
        return _gather(images.permute(0, 2, 3, 1).contiguous(), which, rows, columns).permute(0, 3, 1, 2)


def _gather(images: Tensor, which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of images (N, H, W, C): of image `which` (n,), the rows (n, H) and columns (n, W). Returns (n, H, W, C).

    One `index_select` of whole pixels, eight times as fast as indexing with three tensors.
    """
    _, height, width, channels = images.shape
    place = ((which[:, None] * height + rows) * width)[:, :, None] + columns[:, None, :]  # (n, H, W)
    return images.reshape(-1, channels).index_select(0, place.flatten()).view(*place.shape, channels)


def uniform(generator: Generator, n: int, low: float, high: float) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def uniforms(generator: Generator, n: int, *ranges: tuple[float, float]) -> tuple[Tensor, ...]:
    """Return n uniform numbers of each range, (n,) each.

    On a CPU the same bits as a call of `uniform` for each, in fewer operations.
    """
    low, width = _ranges(ranges, generator.device)
    return (torch.rand(len(ranges), n, generator=generator, device=generator.device) * width + low).unbind()


@functools.cache
def _ranges(ranges: tuple[tuple[float, float], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The lower ends and the widths of ranges, (ranges, 1) each."""
    ends = torch.tensor([(low, high - low) for low, high in ranges], device=device)
    return ends[:, :1], ends[:, 1:]


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of each channel over uint8 images (N, H, W, C), for pixels scaled to [0, 1].

    Exact, from counts of the 256 values; a constant channel gets deviation 1.
    """
    values = torch.arange(256, device=images.device, dtype=torch.float64) / 255
    counts = torch.zeros(images.shape[-1], 256, device=images.device, dtype=torch.float64)
    for chunk in images.split(10_000):  # to count takes eight bytes a value
        counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in chunk.unbind(dim=-1)])
    share = counts / counts.sum(dim=1, keepdim=True)
    mean = share @ values
    std = (share @ values.square() - mean.square()).clamp(min=0).sqrt()
    return mean.float(), torch.where(std > 0, std, torch.ones_like(std)).float()


class View:
    """A chain of augmentations between a stored image and a net's input.

    Args:
        steps: In order; those on pixels stand before those on the normalised image.
        mean: (C,) taken from the channels of pixels in [0, 1]; None, if the stored images are floats: those are
            normalised.
        std: (C,) by which the channels are divided then, likewise.

    Raises:
        InputError: The steps are in the wrong order.
    """

    def __init__(self, steps: Sequence[Augmentation], mean: Tensor | None = None, std: Tensor | None = None):
        if [step.normalized for step in steps] != sorted(step.normalized for step in steps):
            names = ", ".join(type(step).__name__.lower() for step in steps)
            raise InputError(
                f"in the view ({names}) an augmentation of the normalised image stands before one of pixels; change their order"
            )
        self.steps = tuple(steps)
        self.moves = tuple(itertools.takewhile(lambda step: isinstance(step, Move), steps))
        self.mean, self.std = mean, std
        self._lines: dict[int, tuple[Tensor, Tensor]] = {}  # both for a line of an image, by its width

    def __call__(self, images: Tensor, which: Tensor, generator: Generator, n: int, part: slice) -> Tensor:
        """Net inputs of a slice of the batch.

        Args:
            images: (N, H, W, C) uint8, or float32 and normalised, the data set.
            which: (m,) rows of it, of the slice.
            generator: Seeded for this batch and view.
            n: Images of the whole batch, of which `part` gives m.
            part: The slice.

        Returns:
            (m, C, H, W) float32, channels last in memory.
        """
        _, height, width, channels = images.shape
        drawn = self.draw(generator, n, (channels, height, width), part)
        return self.apply(images, which, moved(drawn, images.device))

    def draw(
        self, generator: Generator, n: int, shape: tuple[int, int, int], part: slice, large: Generator | None = None
    ) -> Parameters:
        """Return the parameters of each augmentation, for a slice of a batch of n images of shape (C, H, W).

        Args:
            generator: Seeded for this batch and view.
            n: Images of the whole batch.
            shape: Of an image.
            part: The slice.
            large: Likewise, for augmentations whose parameters are many; None: the same for all.
        """
        drawn = tuple(step.draw(large if large and step.large else generator, n, shape) for step in self.steps)
        return drawn if part in (slice(None), slice(0, n)) else tuple(tuple(one[part] for one in of) for of in drawn)

    def apply(self, images: Tensor, which: Tensor, parameters: Parameters) -> Tensor:
        """Return net inputs made with given parameters; images, which and what is returned are as in a call.

        Args:
            images: (N, H, W, C).
            which: (m,).
            parameters: Of each augmentation, each with first axis m.
        """
        places: tuple[Tensor, Tensor] | None = None  # rows and columns that the pixels come from
        for move, drawn in zip(self.moves, parameters, strict=False):
            rows, columns = move.places((images.shape[1], images.shape[2]), *drawn)
            places = (rows, columns) if places is None else (places[0].gather(1, rows), places[1].gather(1, columns))
        stored = images.index_select(0, which) if places is None else _gather(images, which, *places)
        values, normalized = _planes(stored), stored.is_floating_point()
        for step, drawn in zip(self.steps[len(self.moves) :], parameters[len(self.moves) :], strict=True):
            if step.normalized and not normalized:
                values, normalized = self._normalize(values), True
            values = step.apply(values, *drawn)
        values = values if normalized else self._normalize(values)
        return values.contiguous(memory_format=torch.channels_last)

    def plain(self, images: Tensor) -> Tensor:
        """Net inputs without augmentation, as for a test image.

        (m, H, W, C) as stored -> (m, C, H, W) float32, channels last.
        """
        values = _planes(images)
        values = values.clone() if images.is_floating_point() else self._normalize(values)  # a net may write into its input
        return values.contiguous(memory_format=torch.channels_last)

    def _normalize(self, values: Tensor) -> Tensor:
        """(m, C, H, W) -> the same, by whole lines.

        With the few channels as the innermost axis no processor is fast.
        """
        width = values.shape[3]
        if width not in self._lines:
            self._lines[width] = self.mean.repeat(width), self.std.repeat(width)
        mean, std = self._lines[width]
        lines = values.permute(0, 2, 3, 1).reshape(-1, len(mean))
        return (lines - mean).div_(std).view(len(values), values.shape[2], width, len(self.mean)).permute(0, 3, 1, 2)


def moved(parameters: Parameters, device: torch.device) -> Parameters:
    """Return them on a device."""
    return tuple(tuple(one.to(device, non_blocking=True) for one in of) for of in parameters)


def unit(pixels: Tensor) -> Tensor:
    """Divide floats by 255, in place. By a plain number a GPU would multiply by its reciprocal, and round twice."""
    return pixels.div_(_whole(pixels.device))


@functools.cache
def _whole(device: torch.device) -> Tensor:
    return torch.full((), 255.0, device=device)


def _planes(images: Tensor) -> Tensor:
    """(m, H, W, C) -> (m, C, H, W) float32: bytes as pixels in [0, 1], floats as they are, in the same memory."""
    planes = images.permute(0, 3, 1, 2)
    return planes if planes.is_floating_point() else unit(planes.float())
