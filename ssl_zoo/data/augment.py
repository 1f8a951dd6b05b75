"""Batched augmentations on the device, with parameters drawn per image.

An augmentation is two functions. `draw` makes the parameters of the whole batch, so that ranks which each hold a slice of it
agree; `apply` uses those of the images at hand. An augmentation works on pixels in [0, 1], or, where it says `normalized =
True`, after the channels have been brought to mean 0 and deviation 1.
"""

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

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Parameters for n images of shape (C, H, W), on the generator's device, each with first axis n."""
        raise NotImplementedError

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Images (n, C, H, W) float32 -> the same shape. Changes nothing in place."""
        raise NotImplementedError


def _uniform(generator: Generator, n: int, low: float, high: float) -> Tensor:
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
class Translate(Augmentation):
    """Shift by whole pixels, mirrored at the borders: a random crop of the reflect-padded image.

    Args:
        pixels: The largest shift; each axis is uniform over -pixels..pixels. Field: 4 (2 in Laine & Aila, arXiv:1610.02242).
    """

    def __init__(self, *, pixels: int = 4):
        self.pixels = int(between("translate.pixels", pixels, 0))

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        both = torch.randint(-self.pixels, self.pixels + 1, (n, 2), generator=generator, device=generator.device)
        return (both,)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        (offset,) = parameters  # (n, 2)
        rows, columns = _reflected(images.shape[2], offset[:, 0]), _reflected(images.shape[3], offset[:, 1])
        which = torch.arange(len(images), device=images.device)[:, None, None]
        return images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@AUGMENTATIONS.register("flip")
class Flip(Augmentation):
    """Mirror left and right. Not for digits, whose class it changes.

    Args:
        probability: Of each image.
    """

    def __init__(self, *, probability: float = 0.5):
        self.probability = between("flip.probability", probability, 0, 1)

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return (_uniform(generator, n, 0, 1) < self.probability,)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        (mirrored,) = parameters  # (n,)
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


@AUGMENTATIONS.register("affine")
class Affine(Augmentation):
    """Small warp about the centre: rotation, scale and sub-pixel shift, each uniform; bilinear.

    Args:
        rotate: Largest angle, in degrees either way.
        scale: Largest relative change of size either way.
        shift: Largest shift, in pixels either way, per axis.
        padding: What lies beyond the border: reflection, the mirrored image, or zeros, black, as around a written digit.
    """

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
        angle = _uniform(generator, n, -math.radians(self.rotate), math.radians(self.rotate))
        size = _uniform(generator, n, 1 - self.scale, 1 + self.scale)
        down, right = (_uniform(generator, n, -self.shift, self.shift) for _ in range(2))
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

    def __init__(self, *, scale: tuple[float, float] = (0.75, 1.0), ratio: tuple[float, float] = (0.75, 1.3333)):
        if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
            raise InputError(f"resized_crop wants 0 < scale low <= high <= 1 and 0 < ratio low <= high, not {scale} and {ratio}")
        self.scale, self.ratio = scale, ratio

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        area = _uniform(generator, n, *self.scale)
        ratio = _uniform(generator, n, math.log(self.ratio[0]), math.log(self.ratio[1])).exp()
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        x, y = (_uniform(generator, n, -1, 1) * (1 - side) for side in (width, height))  # centre, from -1 to 1
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
    counts = torch.stack(
        [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(dim=-1)]
    ).double()  # (C, 256)
    share = counts / counts.sum(dim=1, keepdim=True)
    mean = share @ values
    std = (share @ values.square() - mean.square()).clamp(min=0).sqrt()
    return mean.float(), torch.where(std > 0, std, torch.ones_like(std)).float()


class View:
    """A chain of augmentations between a stored image and a net's input.

    Args:
        steps: In order; those on pixels stand before those on the normalised image.
        mean: (C,) of the channels, of pixels in [0, 1].
        std: (C,) likewise.

    Raises:
        InputError: The steps are in the wrong order.
    """

    def __init__(self, steps: Sequence[Augmentation], mean: Tensor, std: Tensor):
        if [step.normalized for step in steps] != sorted(step.normalized for step in steps):
            names = ", ".join(type(step).__name__.lower() for step in steps)
            raise InputError(
                f"in the view ({names}) an augmentation of the normalised image stands before one of pixels; change their order"
            )
        self.steps = tuple(steps)
        self.mean, self.std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)

    def __call__(self, images: Tensor, generator: Generator, n: int, part: slice) -> Tensor:
        """Net inputs of a slice of the batch.

        Args:
            images: (m, H, W, C) uint8, the images of the slice.
            generator: Seeded for this batch and view.
            n: Images of the whole batch, of which `part` gives m.
            part: The slice.

        Returns:
            (m, C, H, W) float32, channels last in memory.
        """
        values, normalized = _pixels(images), False
        shape = tuple(values.shape[1:])
        for step in self.steps:
            if step.normalized and not normalized:
                values, normalized = self._normalize(values), True
            values = step.apply(values, *(parameter[part] for parameter in step.draw(generator, n, shape)))
        values = values if normalized else self._normalize(values)
        return values.contiguous(memory_format=torch.channels_last)

    def plain(self, images: Tensor) -> Tensor:
        """Net inputs without augmentation, as for a test image: (m, H, W, C) uint8 -> (m, C, H, W) float32, channels last."""
        return self._normalize(_pixels(images)).contiguous(memory_format=torch.channels_last)

    def _normalize(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255
