"""RandAugment's operations against Pillow's, byte for byte; Cutout."""

import math

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from ssl_zoo import AUGMENTATIONS, InputError
from ssl_zoo.data.randaugment import OPERATIONS, apply_operations

PILLOW = {  # what each is, of an image and a strength u in [0, 1), with the ranges of arXiv:2001.07685, table 12
    "autocontrast": lambda image, u: ImageOps.autocontrast(image),
    "brightness": lambda image, u: ImageEnhance.Brightness(image).enhance(0.05 + 0.9 * u),
    "color": lambda image, u: ImageEnhance.Color(image).enhance(0.05 + 0.9 * u),
    "contrast": lambda image, u: ImageEnhance.Contrast(image).enhance(0.05 + 0.9 * u),
    "equalize": lambda image, u: ImageOps.equalize(image),
    "identity": lambda image, u: image,
    "posterize": lambda image, u: ImageOps.posterize(image, 4 + math.floor(5 * u)),
    "rotate": lambda image, u: image.rotate(60 * u - 30),
    "sharpness": lambda image, u: ImageEnhance.Sharpness(image).enhance(0.05 + 0.9 * u),
    "shear_x": lambda image, u: affine(image, 1, 0.6 * u - 0.3, 0, 0, 1, 0),
    "shear_y": lambda image, u: affine(image, 1, 0, 0, 0.6 * u - 0.3, 1, 0),
    "solarize": lambda image, u: ImageOps.solarize(image, math.floor(256 * u)),
    "translate_x": lambda image, u: affine(image, 1, 0, (0.6 * u - 0.3) * image.width, 0, 1, 0),
    "translate_y": lambda image, u: affine(image, 1, 0, 0, 0, 1, (0.6 * u - 0.3) * image.height),
}


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def pictures(n, shape, seed=0):
    """Of many kinds: noise, few values, a small range, one value."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8)
    images[1::4] = images[1::4] // 64 * 60 + 7
    images[2::4] = images[2::4] // 8 + 100
    images[3:4] = 9
    smooth = torch.linspace(0, 250, shape[0] * shape[1]).view(*shape[:2], 1).to(torch.uint8)
    images[5::4] = smooth + images[5::4] // 64
    return images


def array(image, channels):
    return torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, channels)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (17, 23, 3), (2, 1, 3), (40, 24, 1)], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillow_s_to_the_byte(name, shape):
    n = 200
    images = pictures(n, shape)
    strength = torch.rand(n, generator=torch.Generator().manual_seed(1))
    made = OPERATIONS[name](images, strength)
    mode = "RGB" if shape[2] == 3 else "L"
    for i in range(n):
        image = Image.frombytes(mode, (shape[1], shape[0]), bytes(images[i].flatten().tolist()))
        expected = array(PILLOW[name](image, strength[i].item()), shape[2])
        assert torch.equal(made[i], expected), (i, strength[i], (made[i].int() - expected.int()).abs().max())


def test_operations_are_those_of_the_paper():
    assert len(OPERATIONS) == 14 and OPERATIONS.keys() == PILLOW.keys()


@pytest.mark.parametrize("shape", [(9, 6, 1), (6, 9, 4)], ids=str)
def test_grouped_and_all_on_all_are_the_same(shape):
    images = pictures(300, shape)
    generator = torch.Generator().manual_seed(2)
    which, strength = torch.randint(14, (300,), generator=generator), torch.rand(300, generator=generator)
    grouped, everywhere = (apply_operations(images, which, strength, grouped=way) for way in (True, False))
    assert torch.equal(grouped, everywhere)
    for number, operation in enumerate(OPERATIONS.values()):
        assert torch.equal(grouped[which == number], operation(images, strength)[which == number])


def test_operations_are_drawn_evenly_and_with_replacement():
    augmentation = AUGMENTATIONS.create("randaugment", operations=3)
    which, strength = augmentation.draw(torch.Generator().manual_seed(0), 20_000, (3, 32, 32))
    counts = torch.bincount(which.flatten(), minlength=14)
    assert which.shape == strength.shape == (20_000, 3)
    assert (counts / 60_000 - 1 / 14).abs().max() < 0.004  # four standard errors
    assert (which[:, 0] == which[:, 1]).float().mean().item() == pytest.approx(1 / 14, abs=0.008)
    assert strength.min() < 0.001 and strength.max() > 0.999 and strength.mean().item() == pytest.approx(0.5, abs=0.005)


def test_each_operation_of_an_image_has_a_strength_of_its_own():
    _, strength = AUGMENTATIONS.create("randaugment").draw(torch.Generator().manual_seed(0), 20_000, (3, 32, 32))
    assert torch.corrcoef(strength.T)[0, 1].abs() < 0.03


def test_grey_of_other_than_three_channels_is_their_mean():
    image = torch.tensor([[[[10, 20, 30, 41]]]], dtype=torch.uint8)
    made = OPERATIONS["color"](image, torch.zeros(1))  # 25 + 5 % of what they are off
    assert made.flatten().tolist() == [24, 24, 25, 25]


def test_where_counting_would_wait_for_the_device_all_operations_are_made_on_all():
    """On a device without values a choice of rows would be an error."""
    images, which, strength = (torch.empty(4, *more, device="meta") for more in ((8, 8, 3), (), ()))
    made = apply_operations(images.to(torch.uint8), which.to(torch.int64), strength)
    assert made.shape == images.shape and made.dtype == torch.uint8


def test_the_mean_of_an_image_is_rounded_half_up():
    image = torch.tensor([10, 11] * 14 * 28, dtype=torch.uint8).view(1, 28, 28, 1)  # mean 10.5, so 11
    assert OPERATIONS["contrast"](image, torch.zeros(1)).unique().tolist() == [10, 11]
    assert OPERATIONS["contrast"](image, torch.zeros(1))[0, 0, :2, 0].tolist() == [10, 11]


def test_operations_follow_one_another():
    augmentation = AUGMENTATIONS.create("randaugment")
    images = pictures(1, (8, 8, 3))
    names = list(OPERATIONS)
    which, strength = torch.tensor([[names.index("solarize"), names.index("rotate")]]), torch.tensor([[0.3, 0.9]])
    made = augmentation.apply(images.permute(0, 3, 1, 2).float() / 255, which, strength)
    expected = OPERATIONS["rotate"](OPERATIONS["solarize"](images, strength[:, 0]), strength[:, 1])
    assert torch.equal(made, expected.permute(0, 3, 1, 2).float() / 255)


def test_cutout_exactly():
    cutout = AUGMENTATIONS.create("cutout")
    images = torch.zeros(3, 2, 8, 10)
    side, down, across = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.5]), torch.tensor([0.5, 1.0, 0.5])
    made = cutout.apply(images, side, down, across)
    expected = torch.zeros_like(images)
    expected[0, :, 2:6, 3:7] = 0.5  # half of the smaller side, 8, is 4
    expected[1, :, :2, 8:] = 0.5  # about a corner: a quarter of it is inside
    assert torch.equal(made, expected)


def test_cutout_is_that_of_fixmatch_unless_said_otherwise():
    side, *_ = AUGMENTATIONS.create("cutout").draw(torch.Generator().manual_seed(0), 5000, (3, 8, 8))
    assert side.min() < 0.001 and 0.499 < side.max() <= 0.5


def test_cutout_draws_its_range():
    side, *centre = AUGMENTATIONS.create("cutout", side=(0.2, 0.3)).draw(torch.Generator().manual_seed(0), 5000, (3, 8, 8))
    assert 0.2 <= side.min() < 0.201 and 0.299 < side.max() <= 0.3
    assert all(place.min() < 0.01 and place.max() > 0.99 for place in centre)


@pytest.mark.parametrize("side", [(-0.1, 0.5), (0.5, 0.2), (0, 1.5)])
def test_a_side_that_cannot_be(side):
    with pytest.raises(InputError, match=r"cutout\.side wants 0 <= low <= high <= 1, not"):
        AUGMENTATIONS.create("cutout", side=side)
