"""The checks of an augmentation, and how to run them."""

import dataclasses
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.augment import Augmentation, Move
from ssl_zoo.errors import InputError
from ssl_zoo.registry import AUGMENTATIONS, Entry
from ssl_zoo.seeds import mix
from ssl_zoo.testing.check import Report, run_all
from ssl_zoo.testing.part import PartCheck, checks_of, declared_options, described, entry_of, refuses_misspelt
from ssl_zoo.testing.subject import CheckFailed, close, explained, fail

Shape = tuple[int, int, int]  # (C, H, W)
SHAPES: tuple[Shape, ...] = ((3, 16, 12), (1, 8, 8), (3, 32, 32))
N = 10  # images of a batch


@dataclasses.dataclass(frozen=True)
class AugmentationSubject:
    """An augmentation under check."""

    entry: Entry
    options: Mapping[str, Any]  # the caller's
    shapes: tuple[Shape, ...]  # of images that are tried

    def make(self) -> Augmentation:
        """A fresh one."""
        return self.entry.target(**{**self.entry.fixed, **self.options})

    def images(self, shape: Shape | None = None, n: int = N, seed: int = 0) -> Tensor:
        """Images (n, C, H, W) as a view hands them over: channels last in memory, pixels in [0, 1] or normalised.

        One is black and one is white; pixels are whole bytes.
        """
        generator = torch.Generator().manual_seed(mix("images", seed))
        channels, height, width = shape or self.shapes[0]
        pixels = torch.randint(0, 256, (n, height, width, channels), generator=generator)
        if n > 2:
            pixels[-2], pixels[-1] = 0, 255
        made = pixels.permute(0, 3, 1, 2).float() / 255
        return made * 5 - 2.5 if self.entry.target.normalized else made

    def draw(self, shape: Shape | None = None, n: int = N, seed: int = 0) -> tuple[Tensor, ...]:
        """Parameters of n images."""
        return self.make().draw(torch.Generator().manual_seed(mix("draw", seed)), n, shape or self.shapes[0])


def draw(subject: AugmentationSubject) -> None:
    """`draw` gives a tuple of tensors, each with the number of images as its first axis."""
    for shape in subject.shapes:
        for n in (1, N):
            drawn = subject.draw(shape, n)
            if not isinstance(drawn, tuple) or not all(isinstance(one, Tensor) for one in drawn):
                fail(f"`draw` gives a {type(drawn).__name__}; it gives a tuple of tensors, of one too: `return (factor,)`")
            for k, one in enumerate(drawn):
                if one.ndim < 1 or len(one) != n:
                    fail(
                        f"parameter {k} of `draw` has the shape {tuple(one.shape)} for {n} images; its first axis is the image's"
                    )


def options(subject: AugmentationSubject) -> None:
    """Every option is keyword-only, has a default and a type, and is documented under `Args:`."""
    declared_options(subject.entry, ())


def misspelt_option(subject: AugmentationSubject) -> None:
    """A misspelt option raises a TypeError that names it; by the registered name, also the near miss."""
    refuses_misspelt(subject.entry, ())


def shape_and_type(subject: AugmentationSubject) -> None:
    """Images of any shape, one or many, keep shape and type and stay finite."""
    for shape in subject.shapes:
        for n in (1, N):
            given = subject.images(shape, n)
            try:
                made = subject.make().apply(given, *subject.draw(shape, n))
            except Exception as error:
                raise CheckFailed(
                    f"on {n} images of shape {shape}: {described(error)} (images are not contiguous: channels are last in memory)"
                ) from error
            if not isinstance(made, Tensor) or made.shape != given.shape:
                shown = tuple(made.shape) if isinstance(made, Tensor) else f"a {type(made).__name__}"
                fail(f"`apply` gives {shown} for images {tuple(given.shape)}; it keeps their shape")
            if made.dtype != torch.float32:
                fail(f"`apply` gives {made.dtype}; it gives float32")
            if not bool(made.isfinite().all()):
                fail(f"`apply` gives values that are not finite, of images of shape {shape}, among them a black and a white one")


def generator_alone(subject: AugmentationSubject) -> None:
    """What is drawn depends on the generator alone, and `apply` draws nothing."""
    one, other = _with_seeds(1, subject.draw), _with_seeds(2, subject.draw)
    if not _equal(one, other):
        fail(
            "`draw` gives other parameters from the same generator; draw all of them with it: torch.rand(n, generator=generator)"
        )
    if one and _equal(one, subject.draw(seed=1)):
        fail("`draw` gives the same parameters from another seed; does it draw with the generator it is given?")
    given = subject.images()

    def applied() -> tuple[Tensor]:
        return (subject.make().apply(given, *one),)

    if not _equal(_with_seeds(1, applied), _with_seeds(2, applied)):
        fail("`apply` gives other images for the same parameters; it draws for itself. Draw in `draw`, for the whole batch")


def _with_seeds(number: int, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What comes of a call after every global generator was seeded with a number."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        return make()
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _equal(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def per_image(subject: AugmentationSubject) -> None:
    """It does something, and not the same to every image of a batch."""
    n = 64
    given = subject.images(n=3)[:1].expand(n, -1, -1, -1)
    drawn = subject.draw(n=n)
    made = subject.make().apply(given.clone(), *drawn)
    if close(made, given, 1e-6):
        fail("it changes no image; if these options switch it off, check it with others: check_augmentation(..., pixels=2)")
    if drawn and close(made, made[:1].expand_as(made), 1e-6):
        fail("it does the same to 64 copies of an image; draw parameters for each: torch.rand(n, generator=generator)")


def slices(subject: AugmentationSubject) -> None:
    """A slice of the images with the slice of the parameters gives the slice of the whole: so ranks share a batch."""
    given, drawn = subject.images(), subject.draw()
    whole = subject.make().apply(given, *drawn)
    for part in (slice(0, 4), slice(4, N), slice(6, 7)):
        made = subject.make().apply(given[part], *(one[part] for one in drawn))
        if not close(made, whole[part]):
            fail(
                "a slice of the images with the slice of the parameters gives other images than the whole; "
                "is something kept in `self`?"
            )


def alone(subject: AugmentationSubject) -> None:
    """What becomes of an image does not depend on the others of the batch."""
    given, other, drawn = subject.images(), subject.images(seed=1), subject.draw()
    mixed = torch.cat((given[:1], other[1:]))
    made = [subject.make().apply(images, *drawn)[:1] for images in (given, mixed)]
    if not close(*made):
        fail(
            "what becomes of an image depends on the others of the batch; take means and extremes over each image: dim=(1, 2, 3)"
        )


def untouched(subject: AugmentationSubject) -> None:
    """`apply` writes into neither the images nor the parameters."""
    given, drawn = subject.images(), subject.draw()
    before = given.clone(), *(one.clone() for one in drawn)
    subject.make().apply(given, *drawn)
    if not torch.equal(given, before[0]):
        fail("`apply` writes into the images it is given; use operations that make new ones, or clone first")
    for k, (one, was) in enumerate(zip(drawn, before[1:], strict=True)):
        if not torch.equal(one, was):
            fail(f"`apply` writes into parameter {k}")


def value_range(subject: AugmentationSubject) -> None:
    """Pixels stay in [0, 1]; what works on the normalised image does not cut it to that range."""
    for seed in range(3):
        made = subject.make().apply(subject.images(seed=seed, n=N), *subject.draw(seed=seed))
        low, high = float(made.min()), float(made.max())
        if not subject.entry.target.normalized and (low < -1e-4 or high > 1 + 1e-4):
            fail(
                f"pixels from 0 to 1 become values from {low:.3g} to {high:.3g}; clamp them, or say `normalized = True` if "
                "it works on what the net gets"
            )
        if subject.entry.target.normalized and (low >= -1e-4 or high <= 1 + 1e-4):
            fail(
                f"`normalized = True`, but values from -2.5 to 2.5 become {low:.3g} to {high:.3g}: does it take them for pixels?"
            )


def flags(subject: AugmentationSubject) -> None:
    """`normalized` and `scale_free` are booleans, and `scale_free` is true: it does the same to values of any range."""
    target = subject.entry.target
    for name in ("normalized", "scale_free"):
        if not isinstance(getattr(target, name), bool):
            fail(f"`{name}` is {getattr(target, name)!r}; it is True or False, for the class")
    if not target.scale_free:
        return
    for seed in range(3):
        given, drawn = subject.images(seed=seed), subject.draw(seed=seed)
        made, other = (subject.make().apply(images, *drawn) for images in (given, 5 * given - 3))
        if not close(other, 5 * made - 3, 1e-4):
            fail("`scale_free = True`, but it does something else to 5 x - 3 than to x; it is for what only moves pixels")


def device(subject: AugmentationSubject) -> None:
    """Everything is made on the device of the generator or the images, and `apply` never waits for it."""
    trap = "is a tensor made without device=generator.device in `draw`, or without device=images.device in `apply`?"
    given = subject.images()
    with torch.device("meta"), explained(trap, RuntimeError, TypeError):  # whatever names no device is made there
        drawn = subject.draw()
        made = subject.make().apply(given, *drawn)
    for one in (*drawn, made):
        if one.device.type != "cpu":
            fail(f"a tensor is made on the default device and not where it is needed; {trap}")
    wait = "it reads a value back from the device: by .item(), float(), a Python `if`, or a boolean mask"
    with explained(wait, RuntimeError, TypeError, NotImplementedError):
        subject.make().apply(given.to("meta"), *(one.to("meta") for one in drawn))


def move(subject: AugmentationSubject) -> None:
    """What derives from Move gives places inside the image, and `apply` does what they say."""
    made = subject.make()
    if not isinstance(made, Move):
        return
    for shape in subject.shapes:
        given, drawn = subject.images(shape), subject.draw(shape)
        places = made.places(shape[1:], *drawn)
        for name, place, size in zip(("rows", "columns"), places, shape[1:], strict=True):
            if place.shape != (N, size) or place.is_floating_point():
                fail(f"`places` gives {name} {tuple(place.shape)} of {place.dtype} for {N} images of {size}; int64 ({N}, {size})")
            if int(place.min()) < 0 or int(place.max()) >= size:
                fail(f"`places` gives {name} from {int(place.min())} to {int(place.max())}; they go from 0 to {size - 1}")
        if not torch.equal(made.apply(given, *drawn), Move.apply(made, given, *drawn)):
            fail("`apply` does not do what `places` says, by which a view moves stored pixels; leave `apply` out")


AUGMENTATION_CHECKS: tuple[Callable[[AugmentationSubject], None], ...] = (
    draw,
    options,
    misspelt_option,
    shape_and_type,
    generator_alone,
    per_image,
    slices,
    alone,
    untouched,
    value_range,
    flags,
    device,
    move,
)


def iter_augmentation_checks(
    augmentation: type[Augmentation] | str, *, shapes: Sequence[Shape] = SHAPES, **options: Any
) -> Iterator[PartCheck]:
    """Every check of an augmentation, to be called one by one.

    Args:
        augmentation: A class, or a registered name. Its attribute `exempt` may say which checks cannot hold, and why.
        shapes: (C, H, W) of images to try.
        options: Of the augmentation, in every check. One that is off by default must be switched on here.

    Raises:
        InputError: Not an augmentation, no such option, or its `exempt` names no check.
    """
    entry = entry_of(AUGMENTATIONS, augmentation, options)
    if not (inspect.isclass(entry.target) and issubclass(entry.target, Augmentation)):
        raise InputError(f"{entry.name} is not a subclass of ssl_zoo.Augmentation, so there is nothing to check")
    return iter(checks_of(AugmentationSubject(entry, options, tuple(shapes)), AUGMENTATION_CHECKS))


def check_augmentation(augmentation: type[Augmentation] | str, *, shapes: Sequence[Shape] = SHAPES, **options: Any) -> Report:
    """Run every check of an augmentation.

    Args:
        augmentation: A class, or a registered name. Its attribute `exempt` may say which checks cannot hold, and why.
        shapes: (C, H, W) of images to try.
        options: Of the augmentation, in every check. One that is off by default must be switched on here.

    Returns:
        What passed, and what the augmentation is exempt from and why.

    Raises:
        CheckFailed: Some did not pass; the message holds those of all.
        InputError: Not an augmentation, no such option, or its `exempt` names no check.
    """
    return run_all(list(iter_augmentation_checks(augmentation, shapes=shapes, **options)))
