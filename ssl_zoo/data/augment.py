"""Batched augmentations on the device, with parameters drawn per image.

An augmentation is two functions. `draw` makes the parameters of the whole batch, so that ranks which each hold a slice of it
agree; `apply` uses those of the images at hand. An augmentation works on pixels in [0, 1], or, where it says `normalized =
True`, on what the net gets: the image after its normalisation. One that says `scale_free = True` works on either.
"""

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.registry import AUGMENTATIONS


class Augmentation:
    """Base class. Options are keyword-only constructor parameters, documented under `Args:`."""

    normalized: ClassVar[bool] = False
    scale_free: ClassVar[bool] = False  # whether it does the same to values of any range, as what moves pixels does

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Parameters for n images of shape (C, H, W), on the generator's device, each with first axis n."""
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


def _reflected(size: int, offset: Tensor) -> Tensor:
    """Indices (n, size) of pixels i + offset, mirrored at the borders without repeating the border pixel."""
    place = torch.arange(size, device=offset.device) + offset[:, None]
    last = max(size - 1, 1)
    return (last - (last - place % (2 * last)).abs()).clamp(max=size - 1)


def _resample(images: Tensor, theta: Tensor, padding: Literal["reflection", "zeros"] = "reflection") -> Tensor:
    """Bilinear samples of images (n, C, H, W) at affine coordinates theta (n, 2, 3)."""
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)  # (n, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


@AUGMENTATIONS.register("translate")
class Translate(Move):
    """Shift by whole pixels, mirrored at the borders: a random crop of the reflect-padded image.

    Args:
        pixels: The largest shift; each axis is uniform over -pixels..pixels. Field: 4 (2 in Laine & Aila, arXiv:1610.02242).
    """

    def __init__(self, *, pixels: int = 4):
        self.pixels = int(between("translate.pixels", pixels, 0))

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        both = torch.randint(-self.pixels, self.pixels + 1, (n, 2), generator=generator, device=generator.device)
        return (both,)

    def places(self, size: tuple[int, int], *parameters: Tensor) -> tuple[Tensor, Tensor]:
        (offset,) = parameters  # (n, 2)
        return _reflected(size[0], offset[:, 0]), _reflected(size[1], offset[:, 1])


@AUGMENTATIONS.register("flip")
class Flip(Move):
    """Mirror left and right. Not for digits, whose class it changes.

    Args:
        probability: Of each image.
    """

    def __init__(self, *, probability: float = 0.5):
        self.probability = between("flip.probability", probability, 0, 1)

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return (uniform(generator, n, 0, 1) < self.probability,)

    def places(self, size: tuple[int, int], *parameters: Tensor) -> tuple[Tensor, Tensor]:
        (mirrored,) = parameters  # (n,)
        down, across = (torch.arange(length, device=mirrored.device) for length in size)
        return down.expand(len(mirrored), -1), torch.where(mirrored[:, None], across.flip(0), across)


@AUGMENTATIONS.register("affine")
class Affine(Augmentation):
    """Small warp about the centre: rotation, scale and sub-pixel shift, each uniform; bilinear.

    Args:
        rotate: Largest angle, in degrees either way.
        scale: Largest relative change of size either way.
        shift: Largest shift, in pixels either way, per axis.
        padding: What lies beyond the border: reflection, the mirrored image, or zeros, black, as around a written digit; of an
            image that is normalised before (input = image or zca), its mean.
    """

    scale_free = True

    def __init__(
        self,
        *,
        rotate: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        padding: Literal["reflection", "zeros"] = "reflection",
    ):
        self.rotate = between("affine.rotate", rotate, 0, 180)
        self.scale = between("affine.scale", scale, 0, 0.99)
        self.shift = between("affine.shift", shift, 0)
        self.padding = one_of("affine.padding", padding, "reflection", "zeros")

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        angle = uniform(generator, n, -math.radians(self.rotate), math.radians(self.rotate))
        size = uniform(generator, n, 1 - self.scale, 1 + self.scale)
        down, right = (uniform(generator, n, -self.shift, self.shift) for _ in range(2))
        return angle, size, down, right

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        angle, size, down, right = parameters  # (n,) each
        height, width = images.shape[2:]
        cos, sin = angle.cos() / size, angle.sin() / size  # where an output pixel comes from: turned back and shrunk back
        x = torch.stack((cos, sin * height / width, -2 * right / width), dim=1)  # in coordinates from -1 to 1
        y = torch.stack((-sin * width / height, cos, -2 * down / height), dim=1)
        return _resample(images, torch.stack((x, y), dim=1), self.padding)


@AUGMENTATIONS.register("resized_crop", "random_resized_crop")
class ResizedCrop(Augmentation):
    """A random part of the image, stretched to the whole (Szegedy et al. 2015, arXiv:1409.4842).

    Area uniform, aspect ratio log-uniform, place uniform, as torchvision's RandomResizedCrop. There a crop that does not fit is
    drawn again, up to ten times; here its side is cut to the image's, because a second draw has no place in a batch.

    Args:
        scale: Range of the part's area, relative to the image's.
        ratio: Range of the part's width over its height, relative to the image's.
    """

    scale_free = True

    def __init__(self, *, scale: tuple[float, float] = (0.75, 1.0), ratio: tuple[float, float] = (0.75, 1.3333)):
        if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
            raise InputError(f"resized_crop wants 0 < scale low <= high <= 1 and 0 < ratio low <= high, not {scale} and {ratio}")
        self.scale, self.ratio = scale, ratio

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        area = uniform(generator, n, *self.scale)
        ratio = uniform(generator, n, math.log(self.ratio[0]), math.log(self.ratio[1])).exp()
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        x, y = (uniform(generator, n, -1, 1) * (1 - side) for side in (width, height))  # centre, from -1 to 1
        return width, height, x, y

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        width, height, x, y = parameters  # (n,) each
        none = torch.zeros_like(x)
        return _resample(images, torch.stack((width, none, x, none, height, y), dim=1).view(-1, 2, 3))


@AUGMENTATIONS.register("noise")
class Noise(Augmentation):
    """Gaussian noise on every pixel.

    Args:
        std: Its standard deviation, in units of the normalised image. Laine & Aila (arXiv:1610.02242): 0.15.
    """

    normalized = True

    def __init__(self, *, std: float = 0.15):
        self.std = between("noise.std", std, 0)

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return (torch.randn((n, *shape), generator=generator, device=generator.device) * self.std,)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        return images + parameters[0]


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
        mean: (C,) taken from the channels of pixels in [0, 1]; None, if the stored images are floats: those are normalised.
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

        def drawn(step: Augmentation) -> list[Tensor]:
            return [parameter[part] for parameter in step.draw(generator, n, (channels, height, width))]

        places: tuple[Tensor, Tensor] | None = None  # rows and columns that the pixels come from
        for move in self.moves:
            rows, columns = move.places((height, width), *drawn(move))
            places = (rows, columns) if places is None else (places[0].gather(1, rows), places[1].gather(1, columns))
        stored = images.index_select(0, which) if places is None else _gather(images, which, *places)
        values, normalized = _planes(stored), stored.is_floating_point()
        for step in self.steps[len(self.moves) :]:
            if step.normalized and not normalized:
                values, normalized = self._normalize(values), True
            values = step.apply(values, *drawn(step))
        values = values if normalized else self._normalize(values)
        return values.contiguous(memory_format=torch.channels_last)

    def plain(self, images: Tensor) -> Tensor:
        """Net inputs without augmentation, as for a test image: (m, H, W, C) as stored -> (m, C, H, W) float32, channels last."""
        values = _planes(images)
        values = values.clone() if images.is_floating_point() else self._normalize(values)  # a net may write into its input
        return values.contiguous(memory_format=torch.channels_last)

    def _normalize(self, values: Tensor) -> Tensor:
        """(m, C, H, W) -> the same, by whole lines: with the few channels as the innermost axis no processor is fast."""
        width = values.shape[3]
        if width not in self._lines:
            self._lines[width] = self.mean.repeat(width), self.std.repeat(width)
        mean, std = self._lines[width]
        lines = values.permute(0, 2, 3, 1).reshape(-1, len(mean))
        return (lines - mean).div_(std).view(len(values), values.shape[2], width, len(self.mean)).permute(0, 3, 1, 2)


def _planes(images: Tensor) -> Tensor:
    """(m, H, W, C) -> (m, C, H, W) float32: bytes as pixels in [0, 1], floats as they are, in the same memory."""
    planes = images.permute(0, 3, 1, 2)
    return planes if planes.is_floating_point() else planes.float().div_(255)
