"""The standard augmentations: shift, mirror, warp, crop and noise."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssl_zoo.data.augment import Augmentation, Move, uniform
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.registry import AUGMENTATIONS


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
        pixels: The largest shift; each axis is uniform over -pixels..pixels. Field: 4 (2 in Laine & Aila,
            arXiv:1610.02242).
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
        padding: What lies beyond the border: reflection, the mirrored image, or zeros, black, as around a written
            digit; of an image that is normalised before (input = image or zca), its mean.
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

    Area uniform, aspect ratio log-uniform, place uniform, as torchvision's RandomResizedCrop. There a crop that does
    not fit is drawn again, up to ten times; here its side is cut to the image's, because a second draw has no place in
    a batch.

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
