"""RandAugment and Cutout, the strong views of FixMatch and what came after it, each image with operations of its own.

Cubuk et al. 2019, arXiv:1909.13719, with the operations, ranges and random strengths of Sohn et al. 2020,
arXiv:2001.07685, table 12. Every operation gives the very bytes that Pillow's of the same name gives, which papers'
code calls on one image.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ssl_zoo.data.augment import Augmentation, uniform, unit
from ssl_zoo.errors import InputError, between
from ssl_zoo.registry import AUGMENTATIONS

# Each takes images (m, H, W, C) uint8 and strengths (m,) in [0, 1), and gives new images.
Operation = Callable[[Tensor, Tensor], Tensor]


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to 0..255."""
    low, high = (extreme.double() for extreme in torch.aminmax(images.flatten(1, 2), dim=1, keepdim=True))  # (m, 1, C)
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # a plain number would be multiplied by a reciprocal
    stretched = (images.flatten(1, 2) * scale - low * scale).clamp(0, 255).to(torch.uint8)
    return torch.where(high > low, stretched, images.flatten(1, 2)).view_as(images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Give each channel a flat histogram."""
    m, _, _, channels = images.shape
    lane = torch.arange(m * channels, device=images.device).view(m, 1, 1, channels)
    at = (lane * 256 + images).flatten()  # a place in 256 bins for each channel of each image
    counts = torch.zeros(m * channels * 256, dtype=torch.int64, device=images.device)
    counts = counts.scatter_add_(0, at, torch.ones_like(at)).view(-1, 256)
    values = torch.arange(256, device=images.device)
    last = counts.gather(1, (values * (counts > 0)).amax(dim=1, keepdim=True))  # pixels of the largest value
    step = (counts.sum(dim=1, keepdim=True) - last) // 255
    below = counts.cumsum(dim=1) - counts
    table = torch.where(step > 0, ((step // 2 + below) // step.clamp(min=1)).clamp(max=255), values)
    return table.to(torch.uint8).view(-1).index_select(0, at).view_as(images)


def _identity(images: Tensor, strength: Tensor) -> Tensor:
    return images


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the first 4 to 8 bits."""
    dropped = 4 - (5 * strength).to(torch.int64)
    return images & (256 - (1 << dropped)).to(torch.uint8).view(-1, 1, 1, 1)


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert what is at or above a threshold of 0 to 255."""
    return torch.where(images < (256 * strength).to(torch.uint8).view(-1, 1, 1, 1), images, 255 - images)


def _blend(other: Tensor, images: Tensor, strength: Tensor) -> Tensor:
    """From 5 to 95 % of the images, the rest of something else."""
    share = (0.05 + 0.9 * strength).view(-1, 1, 1, 1)
    other = other.float()
    return (other + share * (images.float() - other)).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """(m, H, W, C) -> (m, H, W, 1) uint8: ITU-R 601 luma of three channels, the mean of another number."""
    if images.shape[3] != 3:
        return images.float().mean(dim=3, keepdim=True).round().to(torch.uint8)
    red, green, blue = images.to(torch.int32).split(1, dim=3)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return _blend(torch.zeros_like(images), images, strength)


def _color(images: Tensor, strength: Tensor) -> Tensor:
    return _blend(_grey(images), images, strength)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    grey = _grey(images)
    pixels = grey[0].numel()
    total = grey.sum(dim=(1, 2, 3), dtype=torch.int64, keepdim=True)
    return _blend((2 * total + pixels) // (2 * pixels), images, strength)  # the rounded mean, in whole numbers


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Towards a smoothed image, whose border is the image's own."""
    x = images.to(torch.int16)
    across = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]
    around = across[:, :-2] + across[:, 1:-1] + across[:, 2:]
    inner = (2 * (around + 4 * x[:, 1:-1, 1:-1]) + 13) // 26  # a thirteenth of it, rounded
    smooth = x.clone()
    smooth[:, 1:-1, 1:-1] = inner
    return _blend(smooth, images, strength)


def _warp(images: Tensor, matrix: tuple[Tensor | float, ...]) -> Tensor:
    """Nearest pixels at places of an affine map, black beyond the border.

    Args:
        images: (m, H, W, C).
        matrix: a, b, c, d, e, f, each (m,) or a number: the pixel at (x, y) comes from (a x + b y + c, d x + e y + f).
    """
    m, height, width, channels = images.shape
    a, b, c, d, e, f = (number.double().view(-1, 1, 1) if isinstance(number, Tensor) else number for number in matrix)
    x, y = torch.arange(width, device=images.device), torch.arange(height, device=images.device)[:, None]

    def fixed(number: Tensor | float) -> Tensor | int:  # 16 bits after the point, as Pillow
        number = number * 65536 + 0.5
        return number.floor().to(torch.int64) if isinstance(number, Tensor) else math.floor(number)

    column = (fixed(c + (a + b) / 2) + fixed(a) * x + fixed(b) * y).expand(m, height, width) >> 16
    row = (fixed(f + (d + e) / 2) + fixed(d) * x + fixed(e) * y).expand(m, height, width) >> 16
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    first = torch.arange(m, device=images.device).view(-1, 1, 1) * (height * width)
    pixels = torch.cat((images.reshape(-1, channels), images.new_zeros(1, channels)))  # the last one is the black beyond
    place = (first + row * width + column).masked_fill(~inside, len(pixels) - 1)
    return pixels.index_select(0, place.flatten()).view_as(images)


def _either_way(strength: Tensor, most: float) -> Tensor:
    return (2 * strength.double() - 1) * most


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    """By up to 30 degrees."""
    angle = _either_way(strength, math.radians(30))
    cos, sin = angle.cos(), -angle.sin()
    y, x = images.shape[1] / 2, images.shape[2] / 2
    return _warp(images, (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y))


def _shear_x(images: Tensor, strength: Tensor) -> Tensor:
    return _warp(images, (1, _either_way(strength, 0.3), 0, 0, 1, 0))


def _shear_y(images: Tensor, strength: Tensor) -> Tensor:
    return _warp(images, (1, 0, 0, _either_way(strength, 0.3), 1, 0))


def _translate_x(images: Tensor, strength: Tensor) -> Tensor:
    return _warp(images, (1, 0, _either_way(strength, 0.3 * images.shape[2]), 0, 1, 0))


def _translate_y(images: Tensor, strength: Tensor) -> Tensor:
    return _warp(images, (1, 0, 0, 0, 1, _either_way(strength, 0.3 * images.shape[1])))


OPERATIONS: dict[str, Operation] = {
    "autocontrast": _autocontrast,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "equalize": _equalize,
    "identity": _identity,
    "posterize": _posterize,
    "rotate": _rotate,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "solarize": _solarize,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}


@AUGMENTATIONS.register("randaugment", "rand_augment")
class RandAugment(Augmentation):
    """Operations drawn for each image, one after the other, each of a random strength. Works on bytes, as Pillow does.

    As FixMatch (arXiv:2001.07685) and UDA (arXiv:1904.12848) use it. In Cubuk et al. 2019 (arXiv:1909.13719) all share
    a strength, which is searched for.

    Args:
        operations: How many to an image, drawn with replacement out of the fourteen.
    """

    def __init__(self, *, operations: int = 2):
        self.operations = int(between("randaugment.operations", operations, 1, 100))

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        size, device = (n, self.operations), generator.device
        which = torch.randint(len(OPERATIONS), size, generator=generator, device=device)
        return which, torch.rand(size, generator=generator, device=device)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        which, strength = parameters  # (n, operations) each
        stored = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).contiguous()
        for turn in range(self.operations):
            stored = apply_operations(stored, which[:, turn], strength[:, turn])
        return unit(stored.permute(0, 3, 1, 2).to(images.dtype))


def apply_operations(images: Tensor, which: Tensor, strength: Tensor, grouped: bool | None = None) -> Tensor:
    """One operation on each image.

    Args:
        images: (n, H, W, C) uint8.
        which: (n,) numbers of operations.
        strength: (n,) in [0, 1).
        grouped: Each operation on its own images alone. Otherwise all on all, as on a GPU, where to count those of an
            operation would wait for the device.
    """
    made = torch.empty_like(images)
    for number, operation in enumerate(OPERATIONS.values()):
        wanted = which == number
        if images.device.type == "cpu" if grouped is None else grouped:
            rows = wanted.nonzero().flatten()
            if len(rows):
                made[rows] = operation(images[rows], strength[rows])
        else:
            made = torch.where(wanted.view(-1, 1, 1, 1), operation(images, strength), made)
    return made


@AUGMENTATIONS.register("cutout")
class Cutout(Augmentation):
    """A square of each image becomes grey (DeVries & Taylor 2017, arXiv:1708.04552).

    Its centre is anywhere in the image, so a part of the square may lie outside.

    Args:
        side: Range of its side, uniform, relative to the image's smaller side. FixMatch (arXiv:2001.07685): 0 to 0.5.
    """

    def __init__(self, *, side: tuple[float, float] = (0.0, 0.5)):
        if not 0 <= side[0] <= side[1] <= 1:
            raise InputError(f"cutout.side wants 0 <= low <= high <= 1, not {side}")
        self.side = side

    def draw(self, generator: Generator, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, ...]:
        return uniform(generator, n, *self.side), uniform(generator, n, 0, 1), uniform(generator, n, 0, 1)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        side, down, across = parameters  # (n,) each
        height, width = images.shape[2:]
        half = (side * min(height, width) / 2)[:, None]

        def hit(centre: Tensor, size: int) -> Tensor:
            return (torch.arange(size, device=images.device) + 0.5 - centre[:, None] * size).abs() < half  # (n, size)

        square = hit(down, height)[:, None, :, None] & hit(across, width)[:, None, None, :]
        return images.masked_fill(square, 0.5)
