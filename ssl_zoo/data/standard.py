"""The standard augmentations: shift, mirror, warp, crop and noise."""

import functools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssl_zoo.data.augment import Augmentation, Move, uniform, uniforms
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.registry import AUGMENTATIONS

DRAWS = 10  # tries for each image; the first part that fits counts


def _reflected(size: int, offset: Tensor) -> Tensor:
    """Indices (n, size) of pixels i + offset, mirrored at the borders without repeating the border pixel."""
    place = torch.arange(size, device=offset.device) + offset[:, None]
    last = max(size - 1, 1)
    return (last - (last - place % (2 * last)).abs()).clamp(max=size - 1)


def _resample(images: Tensor, theta: Tensor, padding: Literal["reflection", "zeros"] = "reflection") -> Tensor:
    """Bilinear samples of images (n, C, H, W) at affine coordinates theta (n, 2, 3)."""
    x, y = (_line(size, theta.device) for size in (images.shape[3], images.shape[2]))
    # the bits of torch's affine_grid, which takes up to twenty times as long
    across, down = theta[:, :, 0, None] * x, theta[:, :, 1, None] * y  # (n, 2, W), (n, 2, H)
    grid = (across[:, :, None] + down[..., None]).add_(theta[:, :, 2, None, None]).permute(0, 2, 3, 1)  # (n, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


@functools.cache
def _line(size: int, device: torch.device) -> Tensor:
    """(size,) where the pixels of a line lie, from -1 to 1 between its ends."""
    return torch.linspace(-1, 1, size, device=device) * (size - 1) / size


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
        turn = math.radians(self.rotate)
        shifts = ((-self.shift, self.shift),) * 2
        angle, size, down, right = uniforms(generator, n, (-turn, turn), (1 - self.scale, 1 + self.scale), *shifts)
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

    As torchvision's RandomResizedCrop draws it: area uniform, aspect ratio log-uniform, both sides rounded to whole
    pixels, place uniform over whole pixels. The first of ten draws that fits into the image counts; if none does, the
    largest part in the middle whose ratio is in range. Bilinear, from the pixels of the part alone.

    Args:
        scale: Range of the part's area, relative to the image's.
        ratio: Range of the part's width over its height, in pixels; [1, 1] cuts squares. Images that are not square
            want ratios about their own (96 x 32: [2.25, 4]). Where no part fits, every image gets the same middle.
    """

    scale_free = True

    def __init__(self, *, scale: tuple[float, float] = (0.75, 1.0), ratio: tuple[float, float] = (0.75, 1.3333)):
        if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1] < math.inf):
            raise InputError(f"resized_crop wants 0 < scale low <= high <= 1 and 0 < ratio low <= high, not {scale} and {ratio}")
        self.scale, self.ratio = scale, ratio

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        """Top, left, height and width of each part, in pixels, (n,) each."""
        rows, columns = shape[1:]
        area = rows * columns * uniform(generator, n * DRAWS, *self.scale).view(n, DRAWS)
        ratio = uniform(generator, n * DRAWS, math.log(self.ratio[0]), math.log(self.ratio[1])).view(n, DRAWS).exp()
        height, width = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
        fits = (height >= 1) & (height <= rows) & (width >= 1) & (width <= columns)
        first, none = fits.int().argmax(dim=1, keepdim=True), ~fits.any(dim=1)  # (n, 1), (n,)
        parameters = []
        for sides, limit, middle in zip((height, width), (rows, columns), self._middle(rows, columns), strict=True):
            side = sides.gather(1, first)[:, 0].masked_fill(none, middle)
            room = limit - side
            place = torch.minimum((uniform(generator, n, 0, 1) * (room + 1)).floor(), room)
            parameters.append((torch.where(none, (room / 2).floor(), place), side))
        (top, height), (left, width) = parameters
        return top, left, height, width

    def _middle(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the part in the middle."""
        if width / height < self.ratio[0]:
            return max(1, round(width / self.ratio[0])), width
        return height, min(width, max(1, round(height * self.ratio[1])))

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        top, left, height, width = parameters  # (n,) each
        n, _, rows, columns = images.shape
        y, x = _within(rows, top, height), _within(columns, left, width)
        grid = torch.stack((x[:, None, :].expand(n, rows, columns), y[:, :, None].expand(n, rows, columns)), dim=3)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _within(size: int, start: Tensor, length: Tensor) -> Tensor:
    """Where to read a line of pixels so that a part of it fills the whole: (n, size), from -1 to 1 as in grid_sample.

    Args:
        size: Pixels of the line.
        start: (n,) the part's first pixel.
        length: (n,) the part's pixels. None beyond them is read.
    """
    place = (torch.arange(size, device=start.device) + 0.5) * (length / size)[:, None] - 0.5  # (n, size), in pixels of the part
    place = torch.minimum(place.clamp(min=0), (length - 1)[:, None]) + start[:, None]
    return (2 * place + 1) / size - 1


@AUGMENTATIONS.register("noise")
class Noise(Augmentation):
    """Gaussian noise on every pixel.

    Args:
        std: Its standard deviation, in units of the normalised image. Laine & Aila (arXiv:1610.02242): 0.15.
    """

    normalized = large = True

    def __init__(self, *, std: float = 0.15):
        self.std = between("noise.std", std, 0)

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return (torch.randn((n, *shape), generator=generator, device=generator.device) * self.std,)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        return images + parameters[0]


LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue in grey, ITU-R 601, rounded as torchvision has it


@AUGMENTATIONS.register("color", "colour", "color_jitter")
class Color(Augmentation):
    """Brightness, then contrast, then saturation, each changed by a factor that is uniform about 1.

    As torchvision's ColorJitter, but in this order and without a change of hue; saturation is of three channels.

    Args:
        brightness: The factor is from 1 - brightness to 1 + brightness; of black.
        contrast: Likewise; of the image's mean grey.
        saturation: Likewise; of the grey image.
    """

    def __init__(self, *, brightness: float = 0.3, contrast: float = 0.3, saturation: float = 0.3):
        self.ranges = tuple(
            between(f"color.{name}", value, 0, 1)
            for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation))
        )

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return uniforms(generator, n, *((1 - most, 1 + most) for most in self.ranges))

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        brightness, contrast, saturation = (factor.view(-1, 1, 1, 1) for factor in parameters)  # (n, 1, 1, 1) each
        images = (images * brightness).clamp(0, 1)
        mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
        images = (mean + contrast * (images - mean)).clamp(0, 1)
        grey = _grey(images)
        return (grey + saturation * (images - grey)).clamp(0, 1) if images.shape[1] == 3 else images


def _grey(images: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, 1, H, W): the luma of three channels, the mean of another number."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    weights = torch.stack([torch.full((), part, device=images.device) for part in LUMA])  # filled there: a copy waits
    return (images * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
