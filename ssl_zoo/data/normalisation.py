"""What a net gets of a stored image: the values of the setting `input`.

channel: each channel to mean 0 and deviation 1 over the training images.
weights: each channel as it was for the pretrained weights that a net begins from; given, not fitted.
unit: pixels to [-1, 1], as the code of MixMatch (arXiv:1905.02249) and FixMatch (arXiv:2001.07685), and of Oliver et
    al. 2018 (arXiv:1804.09170) for SVHN.
image: each image to mean 0 and deviation 1 over all its values, as the code of Laine & Aila 2017 (arXiv:1610.02242) and
    of Tarvainen & Valpola 2017 (arXiv:1703.01780, TensorFlow) for SVHN.
zca: global contrast normalisation, then whitening, as the code of Tarvainen & Valpola (TensorFlow) and of Oliver et al.
    for CIFAR-10: length 55, and 0.1 added to the eigenvalues of the covariance of all training images. The code of
    Laine & Aila, for CIFAR-10 and CIFAR-100, whitens pixels in [0, 1] whose contrast is left as it is, and adds 1e-5;
    that is not here.

All this was read in the released code; the papers say less. `image` and `zca` come before augmentation, as there,
because whitening does not commute with moving pixels: a data set of bytes becomes one of floats. The first two are a
shift and a scale of each channel, which a `View` makes after the augmentations of pixels.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.augment import Augmentation, View, channel_statistics
from ssl_zoo.data.dataset import tensor
from ssl_zoo.device import holds
from ssl_zoo.errors import InputError

LENGTH = 55.0  # of an image whose contrast is normalised
REGULARISATION = 0.1  # of the eigenvalues
LARGEST = 8192  # values of an image that is whitened, which then takes two gigabytes and some minutes on a CPU; both grow fast
CHUNK = 1 << 22  # values that are made float64 at a time
BEFORE = ("image", "zca")  # what comes before augmentation

Transformation = Callable[[Tensor], Tensor]  # images (m, H, W, C) uint8 -> float32, each for itself


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What is done to stored images before a net gets them, fitted on the training images.

    Args:
        kind: Which of the above.
        shift: (C,) taken from the channels of pixels in [0, 1], after the augmentations of pixels; None for image and
            zca.
        scale: (C,) by which the channels are divided then, likewise.
        transformation: What is done before augmentation; None for channel and unit.
    """

    kind: str
    shift: Tensor | None = None
    scale: Tensor | None = None
    transformation: Transformation | None = None

    def apply(self, images: Tensor, device: torch.device) -> Tensor:
        """Net inputs without augmentation.

        (n, H, W, C) uint8, anywhere -> (n, C, H, W) float32 on the device, channels last.

        These are the bits that a run's scores are of. But whitening is a product of matrices, whose last bits may be
        others for another number of images at a time.
        """
        return self.plain(self.before(images, device))

    def before(self, images: Tensor, device: torch.device) -> Tensor:
        """What is stored of images (n, H, W, C) uint8, anywhere.

        Themselves, or floats on the device for image and zca.
        """
        first = self.on(device).transformation
        return images.to(device) if first is None else transformed(first, images, device)

    def on(self, device: torch.device) -> "Normalisation":
        """The same, with what is done before augmentation on a device."""
        first = self.transformation
        if isinstance(first, Whitening):
            first = Whitening(first.mean.to(device), first.matrix.to(device))
        return Normalisation(self.kind, self.shift, self.scale, first)

    def plain(self, stored: Tensor) -> Tensor:
        """Net inputs of what is stored, (n, H, W, C) -> (n, C, H, W) float32, without augmentation."""
        if self.shift is None or self.scale is None:
            return View([]).plain(stored)
        return View([], self.shift.to(stored.device), self.scale.to(stored.device)).plain(stored)

    def values(self) -> dict[str, Any]:
        """What a file in JSON must hold, beside `tensors`, so that `from_values` makes the same."""
        scaling = {"shift": self.shift, "scale": self.scale}
        return {"kind": self.kind} | {name: part.tolist() for name, part in scaling.items() if part is not None}

    def tensors(self) -> dict[str, Tensor]:
        """What is too large for that: mean and matrix of the whitening; of all others nothing."""
        return self.transformation._asdict() if isinstance(self.transformation, Whitening) else {}

    @staticmethod
    def from_values(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Normalisation":
        """The normalisation that gave these `values` and `tensors`, which may be on any device."""
        kind = values["kind"]
        if kind == "image":
            return Normalisation(kind, transformation=per_image)
        if kind == "zca":
            return Normalisation(kind, transformation=Whitening(tensors["mean"], tensors["matrix"]))
        return Normalisation(kind, *(torch.tensor(values[name], dtype=torch.float32) for name in ("shift", "scale")))


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalised(Normalisation):
    """A data set made ready for a run, and the normalisation of it.

    Args:
        images: (N, H, W, C), the training set: as stored, on the device or, where it has no room, on the host; for
            image and zca float32 and transformed, on the device.
        test_images: (T, H, W, C), likewise.
    """

    images: Tensor
    test_images: Tensor


def prepare(
    kind: str, images: np.ndarray, test_images: np.ndarray, device: torch.device, known: Normalisation | None = None
) -> Normalised:
    """Fit a normalisation on the training images, and place them and the test images where a run wants them.

    Args:
        kind: Which.
        images: (N, H, W, C) uint8; may be a file's content, mapped into memory.
        test_images: (T, H, W, C) uint8, likewise.
        device: Of the run.
        known: One of that kind that is taken as it is, in place of one that is fitted.

    Raises:
        InputError: It does not suit the images, or the device has no room for the floats that it makes.
    """
    if kind in BEFORE:
        size = 4 * (images.nbytes + test_images.nbytes)
        if not holds(device, size, made=True):
            raise InputError(
                f"input = {kind} keeps all images as floats, {size / 1e9:,.1f} GB, for which {device} has no room; "
                f"set input = channel or unit, or make the images smaller"
            )
        first = transformation(kind, tensor(images), device) if known is None else known.on(device).transformation
        train, test = (transformed(first, tensor(part), device) for part in (images, test_images))
        return Normalised(kind, transformation=first, images=train, test_images=test)
    train, test = (tensor(part).to(device) if holds(device, part.nbytes) else tensor(part) for part in (images, test_images))
    fitted = shift_and_scale(kind, train) if known is None else (known.shift, known.scale)
    shift, scale = (part.to(device) for part in fitted)  # type: ignore[union-attr]
    return Normalised(kind, shift, scale, images=train, test_images=test)


def check_steps(kind: str, views: Mapping[str, Mapping[str, Augmentation]]) -> None:
    """Whether all steps of these views, by name, can work on images as that `input` stores them.

    Raises:
        InputError: One needs pixels, and images are normalised before.
    """
    if kind not in BEFORE:
        return
    for view, steps in views.items():
        for name, step in steps.items():
            if not (step.normalized or step.scale_free):
                raise InputError(
                    f"the view '{view}' has {name}, which works on pixels, but input = {kind} normalises images before they are "
                    f"augmented; set input = channel or unit, or leave {name} out of views.{view}"
                )


def shift_and_scale(kind: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a view takes from pixels in [0, 1] and divides them by, (C,) each, for channel and unit."""
    if kind == "channel":
        return channel_statistics(images)
    half = torch.full(images.shape[-1:], 0.5, device=images.device)
    return half, half


def transformation(kind: str, images: Tensor, device: torch.device) -> Transformation:
    """What is done to images before they are augmented, for image and zca.

    Args:
        kind: Which.
        images: (N, H, W, C) uint8, all training images, anywhere; may be a file's content, which is read once.
        device: Where the work is done.

    Raises:
        InputError: The images are too small or too large for it.
    """
    _, height, width, channels = images.shape
    if height * width == 1:
        raise InputError(
            f"input = {kind} compares the pixels of each image, and these images have one; set input = channel or unit"
        )
    if kind == "image":
        return per_image
    if height * width * channels > LARGEST:
        raise InputError(
            f"input = zca whitens images of at most {LARGEST:,} values, and these have {height * width * channels:,} "
            f"({height} x {width} x {channels}); set input = image, or make the images smaller"
        )
    return Whitening.fit(images, device)


def transformed(first: Transformation, images: Tensor, device: torch.device) -> Tensor:
    """All of a data set's images, (N, H, W, C) uint8 and anywhere, as float32 on the device."""
    made = torch.empty(images.shape, dtype=torch.float32, device=device)
    for chunk, place in zip(_chunks(images), _chunks(made), strict=True):
        place.copy_(first(chunk.to(device)))
    return made


def _chunks(images: Tensor) -> tuple[Tensor, ...]:
    return images.split(max(1, CHUNK // max(1, images[:1].numel())))


def _centred(images: Tensor) -> Tensor:
    """(m, H, W, C) uint8 -> (m, K) float64, each image less its mean."""
    values = images.flatten(1).double()
    return values - values.mean(dim=1, keepdim=True)


def per_image(images: Tensor) -> Tensor:
    """Each image to mean 0 and deviation 1 over all its values: (m, H, W, C) uint8 -> float32.

    The deviation of an image of n bytes counts as at least 1 / sqrt(n), as in TensorFlow's per_image_standardization,
    so a constant image becomes 0. (Paper: no guard in Laine & Aila; ours: this one, because they divide 0 by 0. It
    changes no other image by more than a factor sqrt(1 - 1 / n), since the next smallest deviation is that of one byte
    that is off by one.)
    """
    values = _centred(images)
    deviation = values.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1 / math.sqrt(values.shape[1]))
    return (values / deviation).float().view(images.shape)


def contrast_normalized(images: Tensor) -> Tensor:
    """Each image less its mean, scaled to length 55: (m, H, W, C) uint8 -> (m, K) float64.

    A constant image becomes 0.
    """
    values = _centred(images)
    length = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    return values * (LENGTH / length.clamp(min=0.5))  # of bytes, that of an image that is not constant is at least sqrt(1/2)


class Whitening(NamedTuple):
    """ZCA: x -> (x - mean) U diag(1 / sqrt(s + 0.1)) U^T, of x of normalised contrast and covariance U diag(s) U^T."""

    mean: Tensor  # (K,) float64
    matrix: Tensor  # (K, K) float32

    @classmethod
    def fit(cls, images: Tensor, device: torch.device) -> Self:
        """Fitted on all of these images (N, H, W, C) uint8, in float64.

        Small eigenvalues are differences of large sums.
        """
        size = images[0].numel()
        total = torch.zeros(size, dtype=torch.float64, device=device)
        products = torch.zeros(size, size, dtype=torch.float64, device=device)
        for chunk in _chunks(images):
            values = contrast_normalized(chunk.to(device))
            total += values.sum(dim=0)
            products.addmm_(values.T, values)
        mean = total / len(images)
        covariance = products.addr_(mean, total, alpha=-1).div_(max(len(images) - 1, 1))
        spectrum, vectors = torch.linalg.eigh(covariance)
        return cls(mean, (vectors * (spectrum + REGULARISATION).rsqrt()).mm(vectors.T).float())

    def __call__(self, images: Tensor) -> Tensor:
        """(m, H, W, C) uint8 -> float32."""
        return (contrast_normalized(images) - self.mean).float().mm(self.matrix).view(images.shape)
