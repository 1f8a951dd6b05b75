"""`check_augmentation`: every registered one passes, and every mutant fails in the check that is meant for it."""

import numpy as np
import pytest
import torch

from ssl_zoo import AUGMENTATIONS, InputError
from ssl_zoo.data.augment import Augmentation
from ssl_zoo.data.standard import Flip
from ssl_zoo.testing import CheckFailed, check_augmentation, iter_augmentation_checks
from ssl_zoo.testing.augmentations import AUGMENTATION_CHECKS
from tests.testing.net_mutants import PlainNet

OURS = [
    ("translate", {}),
    ("flip", {}),
    ("affine", {"rotate": 20, "scale": 0.2, "shift": 1.5}),
    ("affine", {"shift": 1.5}),
    ("resized_crop", {"scale": (0.3, 0.9)}),
    ("noise", {}),
    ("randaugment", {}),
    ("cutout", {"side": (0.5, 0.7)}),
    ("color", {}),
]


class Dim(Augmentation):
    """Darkens.

    Args:
        least: Of what stays.
    """

    def __init__(self, *, least: float = 0.5):
        self.least = least

    def draw(self, generator, n, shape):
        return (self.least + (1 - self.least) * torch.rand(n, generator=generator, device=generator.device),)

    def apply(self, images, factor):
        return images * factor[:, None, None, None]


class Blur(Augmentation):
    """Right: the same for every image, so nothing is drawn."""

    def draw(self, generator, n, shape):
        return ()

    def apply(self, images):
        return (images + images.roll(1, dims=3)) / 2


class Bare(Dim):
    """No tuple."""

    def draw(self, generator, n, shape):
        return super().draw(generator, n, shape)[0]


class ForTheBatch(Dim):
    """One number for all."""

    def draw(self, generator, n, shape):
        return (super().draw(generator, 1, shape)[0],)


class Spread(Dim):
    """One draw, handed to every image."""

    def draw(self, generator, n, shape):
        return (super().draw(generator, 1, shape)[0].expand(n),)


class Positional(Dim):
    """An option by position."""

    def __init__(self, least: float = 0.5):
        super().__init__(least=least)


class Swallows(Dim):
    """Takes any option."""

    def __init__(self, *, least: float = 0.5, **rest):
        super().__init__(least=least)


class Crops(Dim):
    """Gives smaller images."""

    def apply(self, images, factor):
        return images[:, :, 1:-1, 1:-1]


class Doubles(Dim):
    """Gives float64."""

    def apply(self, images, factor):
        return super().apply(images, factor.double())


class Normalises(Dim):
    """Divides by a deviation that may be zero."""

    def apply(self, images, factor):
        return (images - images.amin(dim=(1, 2, 3), keepdim=True)) / images.std(dim=(1, 2, 3), keepdim=True)


class Views(Dim):
    """Takes images for contiguous."""

    def apply(self, images, factor):
        return (images.view(len(images), -1) * factor[:, None]).view(images.shape)


class Coloured(Dim):
    """Takes three channels alone."""

    def apply(self, images, factor):
        red, green, blue = images.unbind(dim=1)
        return torch.stack((red * factor[:, None, None], green, blue), dim=1)


class Global(Dim):
    """Draws with the global generator."""

    def draw(self, generator, n, shape):
        return (torch.rand(n),)


class FromNumpy(Dim):
    """Draws with numpy."""

    def draw(self, generator, n, shape):
        return (torch.from_numpy(np.random.rand(n)).float(),)


class Fixed(Dim):
    """Does not ask the generator."""

    def draw(self, generator, n, shape):
        return (torch.linspace(0.1, 0.9, n, device=generator.device),)


class DrawsLate(Dim):
    """Draws in `apply`."""

    def apply(self, images, factor):
        return super().apply(images, torch.rand_like(factor))


class Idle(Dim):
    """Does nothing."""

    def apply(self, images, factor):
        return images * 1


class Kept(Dim):
    """Keeps its parameters."""

    def draw(self, generator, n, shape):
        self.factor = super().draw(generator, n, shape)[0]
        return (self.factor,)

    def apply(self, images, factor):
        return super().apply(images, factor + torch.arange(len(factor), device=factor.device) / 100)


class ByPlace(Dim):
    """Does something else to the first of a batch."""

    def apply(self, images, factor):
        made = super().apply(images, factor)
        return torch.cat((images[:1], made[1:]))


class BatchMean(Dim):
    """Contrast about the mean of the whole batch."""

    def apply(self, images, factor):
        mean = images.mean()
        return mean + (images - mean) * factor[:, None, None, None]


class InPlace(Dim):
    """Writes into the images."""

    def apply(self, images, factor):
        return images.mul_(factor[:, None, None, None])


class IntoParameters(Dim):
    """Writes into the parameters."""

    def apply(self, images, factor):
        return super().apply(images, factor.clamp_(max=0.6))


class Brightens(Dim):
    """Leaves the range of pixels."""

    def apply(self, images, factor):
        return images * (1 + factor[:, None, None, None])


class Clamps(Dim):
    """Takes what is normalised for pixels."""

    normalized = True

    def apply(self, images, factor):
        return super().apply(images, factor).clamp(0, 1)


class SaysScaleFree(Dim):
    """Darkens, which is not free of scale."""

    scale_free = True


class PerInstance(Dim):
    """A flag that is a method."""

    def scale_free(self):
        return True


class NoDevice(Dim):
    """Draws on the CPU, wherever the generator is."""

    def draw(self, generator, n, shape):
        return (torch.rand(n, generator=generator),)


class MakesOnTheHost(Dim):
    """Makes a tensor on the CPU."""

    def apply(self, images, factor):
        return images * torch.ones(1, 1, *images.shape[2:]) * factor[:, None, None, None]


class ReadsBack(Dim):
    """Asks a value."""

    def apply(self, images, factor):
        return images.clone() if factor.min() > 2 else super().apply(images, factor)


class Outside(Flip):
    """Places beyond the border.

    Args:
        probability: Of each image.
    """

    def places(self, size, *parameters):
        rows, columns = super().places(size, *parameters)
        return rows, columns + 1

    def apply(self, images, mirrored):
        return images.flip(3)


class TwoMinds(Flip):
    """`apply` says something else than `places`.

    Args:
        probability: Of each image.
    """

    def apply(self, images, mirrored):
        return torch.where(mirrored[:, None, None, None], images.flip(2), images)


MUTANTS = [
    (Bare, "draw", "`draw` gives a Tensor; it gives a tuple of tensors"),
    (ForTheBatch, "draw", "parameter 0 of `draw` has the shape (1,) for 10 images"),
    (Positional, "options", "it takes least by position; it takes `*`, then options by keyword only"),
    (Swallows, "misspelt_option", "the misspelt option 'least_t' is accepted"),
    (Crops, "shape_and_type", "`apply` gives (1, 3, 14, 10) for images (1, 3, 16, 12)"),
    (Doubles, "shape_and_type", "`apply` gives torch.float64"),
    (Normalises, "shape_and_type", "are not finite"),
    (Views, "shape_and_type", "channels are last in memory"),
    (Coloured, "shape_and_type", "on 1 images of shape (1, 8, 8): ValueError: not enough values to unpack"),
    (Global, "generator_alone", "`draw` gives other parameters from the same generator"),
    (FromNumpy, "generator_alone", "`draw` gives other parameters from the same generator"),
    (Fixed, "generator_alone", "`draw` gives the same parameters from another seed"),
    (DrawsLate, "generator_alone", "`apply` gives other images for the same parameters; it draws for itself"),
    (Idle, "per_image", "it changes no image"),
    (Spread, "per_image", "it does the same to 64 copies of an image"),
    (Kept, "slices", "a slice of the images with the slice of the parameters gives other images than the whole"),
    (ByPlace, "slices", "a slice of the images with the slice of the parameters gives other images than the whole"),
    (BatchMean, "alone", "what becomes of an image depends on the others of the batch"),
    (InPlace, "untouched", "`apply` writes into the images it is given"),
    (IntoParameters, "untouched", "`apply` writes into parameter 0"),
    (Brightens, "value_range", "pixels from 0 to 1 become values from 0 to"),
    (Clamps, "value_range", "`normalized = True`, but values from -2.5 to 2.5 become 0 to 1"),
    (SaysScaleFree, "flags", "`scale_free = True`, but it does something else to 5 x - 3"),
    (PerInstance, "flags", "it is True or False, for the class"),
    (NoDevice, "device", "is a tensor made without device=generator.device in `draw`"),
    (MakesOnTheHost, "device", "or without device=images.device in `apply`?"),
    (ReadsBack, "device", "it reads a value back from the device"),
    (Outside, "move", "`places` gives columns from 1 to 12; they go from 0 to 11"),
    (TwoMinds, "move", "`apply` does not do what `places` says"),
]


def one(augmentation, name, **options):
    (check,) = (check for check in iter_augmentation_checks(augmentation, **options) if check.name == name)
    return check


def test_every_registered_augmentation_is_checked_here():
    assert set(AUGMENTATIONS.names()) == {name for name, _ in OURS}


@pytest.mark.parametrize(("name", "options"), OURS, ids=str)
def test_a_registered_one_passes(name, options):
    assert str(check_augmentation(name, **options)) == f"{name}: {len(AUGMENTATION_CHECKS)} checks passed"


@pytest.mark.parametrize("right", [Dim, Blur], ids=str)
def test_a_right_one_passes(right):
    assert str(check_augmentation(right)) == f"{right.__name__}: {len(AUGMENTATION_CHECKS)} checks passed"


@pytest.mark.parametrize(("cls", "name", "says"), MUTANTS, ids=[f"{cls.__name__}-{name}" for cls, name, _ in MUTANTS])
def test_a_mutant_fails_in_the_check_that_is_meant_for_it(cls, name, says):
    with pytest.raises(CheckFailed) as failure:
        one(cls, name)()
    assert str(failure.value).startswith(f"{cls.__name__}, check '{name}': ") and says in str(failure.value)


def test_every_check_has_a_mutant_that_it_finds():
    assert {name for _, name, _ in MUTANTS} == {check.__name__ for check in AUGMENTATION_CHECKS}


def test_one_that_is_off_by_default_is_switched_on_by_an_option():
    with pytest.raises(CheckFailed, match="it changes no image; if these options switch it off, check it with others"):
        one("affine", "per_image")()
    one("affine", "per_image", rotate=10)()


def test_zeros_beyond_the_border_are_not_free_of_scale():
    """As its documentation says: of an image that is normalised before they are its mean."""
    with pytest.raises(CheckFailed, match="`scale_free = True`, but"):
        one("affine", "flags", rotate=20, padding="zeros")()


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'flip'"):
        check_augmentation("flipp")
    with pytest.raises(InputError, match=r"PlainNet is not a subclass of ssl_zoo\.Augmentation"):
        check_augmentation(PlainNet)
    with pytest.raises(InputError, match="dict is no augmentation that could be checked"):
        check_augmentation(dict)
    with pytest.raises(InputError, match="translate has no option 'pixel'; did you mean 'pixels'"):
        check_augmentation("translate", pixel=1)
