import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chi2_contingency
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import adjust_brightness, adjust_contrast, adjust_saturation, resized_crop

from ssl_zoo import AUGMENTATIONS, InputError
from ssl_zoo.data.augment import View, channel_statistics

SHAPE = (3, 8, 6)
ALL = {
    "translate": {"pixels": 3},
    "flip": {},
    "affine": {"rotate": 20, "scale": 0.2, "shift": 1.5},
    "resized_crop": {"scale": (0.3, 0.9)},
    "noise": {"std": 0.3},
    "randaugment": {},
    "cutout": {"side": (0.5, 0.7)},
    "color": {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5},
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=64, shape=SHAPE):
    return torch.rand((n, *shape), generator=generator(9))


def test_every_registered_augmentation_is_tested_here():
    assert set(AUGMENTATIONS.names()) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_what_is_drawn_on_the_cpu_is_little(name):
    """What is as much as the pixels is drawn where it is needed."""
    step = AUGMENTATIONS.create(name, **ALL[name])
    drawn = sum(parameter[0].numel() for parameter in step.draw(generator(), 2, (3, 32, 32)))
    assert drawn == 3 * 32 * 32 if step.large else drawn < 32


def test_what_is_large_is_drawn_by_a_generator_of_its_own():
    view = View([AUGMENTATIONS.create("affine", rotate=9), AUGMENTATIONS.create("noise")], torch.zeros(3), torch.ones(3))
    (turn, *_), (noise,) = view.draw(generator(1), 4, SHAPE, slice(None), generator(2))
    assert torch.equal(turn, view.steps[0].draw(generator(1), 4, SHAPE)[0])
    assert torch.equal(noise, view.steps[1].draw(generator(2), 4, SHAPE)[0])


@pytest.mark.parametrize("name", ALL)
def test_draws_are_per_image(name):
    """One image, many times in a batch: the results must differ as much within the batch as one draw from another."""
    one = images(1).expand(256, -1, -1, -1)
    augmentation = AUGMENTATIONS.create(name, **ALL[name])
    made = augmentation.apply(one, *augmentation.draw(generator(), 256, SHAPE))
    kinds = len(torch.unique(made.flatten(1), dim=0))
    assert kinds >= {"flip": 2, "translate": 40, "randaugment": 200, "cutout": 60, "resized_crop": 70}.get(name, 256)
    assert made.std(dim=0).max() > 0.05


@pytest.mark.parametrize("name", ALL)
def test_same_generator_same_images_and_nothing_in_place(name):
    augmentation, given = AUGMENTATIONS.create(name, **ALL[name]), images()
    before = given.clone()
    a, b = (augmentation.apply(given, *augmentation.draw(generator(3), 64, SHAPE)) for _ in range(2))
    assert torch.equal(a, b) and torch.equal(given, before) and a.shape == given.shape and a.dtype == torch.float32


@pytest.mark.parametrize("name", ALL)
def test_draw_gives_one_parameter_per_image(name):
    """So that a rank can take its slice."""
    assert all(len(parameter) == 10 for parameter in AUGMENTATIONS.create(name, **ALL[name]).draw(generator(), 10, SHAPE))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("translate", {"pixels": 0}),
        ("flip", {"probability": 0}),
        ("affine", {}),
        ("noise", {"std": 0}),
        ("resized_crop", {"scale": (1, 1), "ratio": (0.75, 0.75)}),  # that of the images
    ],
)
def test_at_zero_strength_nothing_changes(name, options):
    augmentation, given = AUGMENTATIONS.create(name, **options), images()
    torch.testing.assert_close(augmentation.apply(given, *augmentation.draw(generator(), 64, SHAPE)), given, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in ALL if name != "noise"])
def test_any_size_of_image(name):
    for shape in ((1, 1, 1), (2, 3, 9), (4, 17, 23)):
        augmentation, given = AUGMENTATIONS.create(name, **ALL[name]), images(5, shape)
        made = augmentation.apply(given, *augmentation.draw(generator(), 5, shape))
        assert made.shape == given.shape and made.isfinite().all()


def test_translate_is_a_crop_of_the_reflect_padded_image():
    translate, given = AUGMENTATIONS.create("translate", pixels=2), images()
    (offset,) = translate.draw(generator(), 64, SHAPE)
    made = translate.apply(given, offset)
    padded = F.pad(given, (2, 2, 2, 2), mode="reflect")
    for i, (down, right) in enumerate(offset.tolist()):
        assert torch.equal(made[i], padded[i, :, 2 + down : 10 + down, 2 + right : 8 + right])
    assert offset.min() == -2 and offset.max() == 2


def test_flip_mirrors_left_and_right_with_its_probability():
    flip, given = AUGMENTATIONS.create("flip", probability=0.25), images(4000, (1, 2, 3))
    (mirrored,) = flip.draw(generator(), 4000, (1, 2, 3))
    made = flip.apply(given, mirrored)
    assert torch.equal(made[mirrored], given[mirrored].flip(-1)) and torch.equal(made[~mirrored], given[~mirrored])
    assert mirrored.float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_affine_moves_rotates_and_scales_as_it_says():
    affine, given = AUGMENTATIONS.create("affine"), images(1, (1, 7, 7))
    none, one = torch.zeros(1), torch.ones(1)
    shifted = affine.apply(given, none, one, 2 * one, -one)  # two pixels down, one to the left
    torch.testing.assert_close(shifted[..., 2:, :-1], given[..., :-2, 1:], atol=1e-5, rtol=0)
    turned = affine.apply(given, none + math.pi / 2, one, none, none)
    assert any(torch.allclose(turned, torch.rot90(given, k, (2, 3)), atol=1e-5) for k in (1, 3))
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 3:6, 3:6] = 1
    assert affine.apply(dot, none, 2 * one, none, none).sum() > 2 * dot.sum()  # twice the size


def test_affine_padding():
    """Shifted up by half its height, a white image mirrors itself below, or leaves black."""
    white, none, one = torch.ones(1, 1, 8, 8), torch.zeros(1), torch.ones(1)
    for padding, below in (("reflection", 1.0), ("zeros", 0.0)):
        made = AUGMENTATIONS.create("affine", padding=padding).apply(white, none, one, -4 * one, none)
        assert (made[..., :4, :] == 1).all() and (made[..., 4:, :] == below).all()


def test_affine_stays_in_its_ranges():
    angle, size, down, right = AUGMENTATIONS.create("affine", rotate=30, scale=0.1, shift=2).draw(generator(), 5000, SHAPE)
    assert angle.abs().max().item() == pytest.approx(math.radians(30), rel=0.01)
    assert size.min().item() == pytest.approx(0.9, rel=0.01) and size.max().item() == pytest.approx(1.1, rel=0.01)
    assert down.abs().max() <= 2 and right.abs().max() <= 2 and abs(torch.corrcoef(torch.stack((down, right)))[0, 1]) < 0.05


def test_affine_does_not_shear_an_oblong_image():
    """A square of pixels that is turned by 90 degrees stays a square, whatever the image's sides."""
    given = torch.zeros(1, 1, 9, 15)
    given[..., 3:6, 6:9] = 1
    turned = AUGMENTATIONS.create("affine").apply(
        given, torch.full((1,), math.pi / 2), torch.ones(1), torch.zeros(1), torch.zeros(1)
    )
    torch.testing.assert_close(turned, given, atol=1e-5, rtol=0)


def test_resized_crop_covers_its_share_of_the_image():
    crop = AUGMENTATIONS.create("resized_crop", scale=(0.25, 0.25), ratio=(1, 1))
    top, left, height, width = crop.draw(generator(), 1000, (1, 16, 16))
    assert {*height.tolist(), *width.tolist()} == {8}
    assert {*top.tolist()} == {*left.tolist()} == {*range(9)}
    ramp = torch.linspace(0, 1, 16).expand(1000, 1, 16, 16)
    made = crop.apply(ramp, top, left, height, width)
    torch.testing.assert_close(made.amin((1, 2, 3)), left / 15)  # no pixel beyond the part is read
    torch.testing.assert_close(made.amax((1, 2, 3)), (left + 7) / 15)


CROPS = [  # height, width, scale, ratio
    (32, 32, (0.75, 1.0), (1.0, 1.0)),
    (8, 8, (0.75, 1.0), (0.75, 1.3333)),
    (9, 14, (0.2, 0.9), (0.5, 2.5)),  # some draws do not fit
    (4, 40, (0.9, 1.0), (0.75, 1.3333)),  # none does: the middle, as wide as it may be
    (40, 4, (0.9, 1.0), (0.75, 1.3333)),
    (10, 10, (1.0, 1.0), (1.3, 1.3)),
    (1, 9, (0.1, 1.0), (0.75, 1.3333)),
    (2, 2, (0.01, 0.02), (1.0, 1.0)),  # less than a pixel
    (12, 12, (0.7, 1.0), (1.0, 3.0)),  # most draws miss
]


@pytest.mark.parametrize(("rows", "columns", "scale", "ratio"), CROPS, ids=str)
def test_resized_crop_draws_as_torchvision_does(rows, columns, scale, ratio):
    torch.manual_seed(0)
    count, image = 8000, torch.zeros(1, rows, columns)
    drawn = AUGMENTATIONS.create("resized_crop", scale=scale, ratio=ratio).draw(generator(), count, (1, rows, columns))
    ours = Counter(zip(*(part.int().tolist() for part in drawn), strict=True))
    theirs = Counter(RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(count))
    often = [box for box in ours | theirs if ours[box] + theirs[box] >= 20]
    rest = [count - sum(counted[box] for box in often) for counted in (ours, theirs)]
    table = [[counted[box] for box in often] + [left] * any(rest) for counted, left in zip((ours, theirs), rest, strict=True)]
    assert len(often) == 1 or chi2_contingency(table).pvalue > 1e-4
    for top, left, height, width in ours:
        assert 0 <= top <= rows - height and 0 <= left <= columns - width


def test_resized_crop_has_at_least_a_pixel():
    """Where torchvision's middle would have none."""
    crop = AUGMENTATIONS.create("resized_crop", scale=(0.001, 0.01), ratio=(0.001, 0.01))
    *_, height, width = crop.draw(generator(), 50, (1, 3, 40))
    assert {*height.tolist()} == {3} and {*width.tolist()} == {1}


def test_resized_crop_stretches_as_torchvision_does():
    crop, (given,) = AUGMENTATIONS.create("resized_crop", scale=(0.1, 1.0)), images(1)
    drawn = crop.draw(generator(), 100, SHAPE)
    made = crop.apply(given.expand(100, -1, -1, -1), *drawn)
    for one, box in zip(made, zip(*(part.int().tolist() for part in drawn), strict=True), strict=True):
        torch.testing.assert_close(one, resized_crop(given, *box, list(SHAPE[1:]), antialias=True), rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_changes_as_torchvision_does(channels):
    """In the order brightness, contrast, saturation."""
    pixels = images(6, (channels, 8, 6))
    factors = [torch.tensor([0.5, 0.8, 1.0, 1.2, 1.5, 2.0]), torch.linspace(0, 1.5, 6), torch.linspace(1.8, 0.1, 6)]
    found = AUGMENTATIONS.create("color").apply(pixels, *factors)
    for image, one, brightness, contrast, saturation in zip(found, pixels, *factors, strict=True):
        expected = adjust_contrast(adjust_brightness(one, float(brightness)), float(contrast))
        torch.testing.assert_close(image, adjust_saturation(expected, float(saturation)), rtol=0, atol=2e-4)


def test_color_draws_about_one_and_changes_nothing_at_zero():
    step = AUGMENTATIONS.create("color", brightness=0.4, contrast=0.0, saturation=1.0)
    bright, contrast, saturation = step.draw(generator(), 4000, SHAPE)
    assert 0.6 <= bright.min() < 0.61 < 1.39 < bright.max() <= 1.4 and (contrast == 1).all() and saturation.min() < 0.01
    still = AUGMENTATIONS.create("color", brightness=0, contrast=0, saturation=0)
    torch.testing.assert_close(still.apply(images(), *still.draw(generator(), 64, SHAPE)), images(), rtol=0, atol=1e-6)


def test_noise_has_its_deviation():
    noise = AUGMENTATIONS.create("noise", std=0.15)
    made = noise.apply(torch.zeros(100, 3, 8, 8), *noise.draw(generator(), 100, (3, 8, 8)))
    assert made.std().item() == pytest.approx(0.15, rel=0.03) and made.mean().abs() < 0.01


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("translate", {"pixels": -1}, r"translate.pixels = -1"),
        ("flip", {"probability": 2}, r"flip.probability = 2"),
        ("affine", {"scale": 1}, r"affine.scale = 1"),
        ("affine", {"padding": "mirror"}, r"affine.padding = 'mirror'"),
        ("noise", {"std": -0.1}, r"noise.std = -0.1"),
        ("resized_crop", {"scale": (0.9, 0.5)}, r"0 < scale low"),
        ("resized_crop", {"ratio": (1, float("inf"))}, r"0 < ratio low"),
    ],
)
def test_bad_values_name_the_option(name, options, message):
    with pytest.raises(InputError, match=message):
        AUGMENTATIONS.create(name, **options)


def test_channel_statistics_are_exact():
    given = torch.randint(0, 256, (50, 4, 6, 3), generator=generator(), dtype=torch.uint8)
    mean, std = channel_statistics(given)
    values = given.double().view(-1, 3) / 255
    torch.testing.assert_close(mean, values.mean(0).float())
    torch.testing.assert_close(std, values.std(0, correction=0).float())
    assert channel_statistics(torch.full((2, 2, 2, 1), 7, dtype=torch.uint8))[1] == 1


def test_view_normalises_and_keeps_channels_last():
    given = torch.randint(0, 256, (50, 4, 6, 3), generator=generator(), dtype=torch.uint8)
    view = View([], *channel_statistics(given))
    made = view(given, torch.arange(50), generator(), 50, slice(None))
    assert made.shape == (50, 3, 4, 6) and made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std((0, 2, 3), correction=0), torch.ones(3))
    assert torch.equal(made, view.plain(given)) and view.plain(given[:0]).shape == (0, 3, 4, 6)


@pytest.mark.parametrize(
    "names", [["translate"], ["flip"], ["translate", "flip"], ["flip", "translate"], ["flip", "affine", "flip"]]
)
@pytest.mark.parametrize("size", [(8, 6, 3), (5, 5, 1)])
def test_moves_in_one_gather_are_the_moves_one_after_the_other(names, size):
    """Bit for bit, whatever follows them, and of any rows of the data set in any order."""
    given = torch.randint(0, 256, (40, *size), generator=generator(), dtype=torch.uint8)
    which = torch.tensor([3, 39, 0, 3, 17, 8, 8])
    steps = [AUGMENTATIONS.create(name, **ALL[name]) for name in names]
    mean, std = channel_statistics(given)
    view = View(steps, mean, std)
    assert len(view.moves) == (1 if "affine" in names else len(names))
    made = view(given, which, generator(4), 10, slice(2, 9))
    source, values = generator(4), given[which].permute(0, 3, 1, 2).float() / 255
    for step in steps:
        values = step.apply(values, *(p[2:9] for p in step.draw(source, 10, (size[2], *size[:2]))))
    expected = (values - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
    assert torch.equal(made, expected) and made.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(made, view.plain(given[which]))


def test_view_adds_noise_after_normalising_and_refuses_the_other_order():
    given = torch.randint(0, 2, (200, 4, 6, 1), generator=generator(), dtype=torch.uint8)  # tiny pixel deviation
    noise, translate = AUGMENTATIONS.create("noise", std=0.5), AUGMENTATIONS.create("translate", pixels=0)
    statistics = channel_statistics(given)
    made = View([translate, noise], *statistics)(given, torch.arange(200), generator(), 200, slice(None))
    assert (made - View([], *statistics).plain(given)).std().item() == pytest.approx(0.5, rel=0.05)
    with pytest.raises(InputError, match=r"\(noise, translate\)"):
        View([noise, translate], *statistics)


@pytest.mark.parametrize("name", [name for name in ALL if AUGMENTATIONS.create(name).scale_free])
def test_what_is_scale_free_does_the_same_to_values_of_any_range(name):
    augmentation, given = AUGMENTATIONS.create(name, **ALL[name]), images()
    parameters = augmentation.draw(generator(), 64, SHAPE)
    made, other = augmentation.apply(given, *parameters), augmentation.apply(5 * given - 3, *parameters)
    torch.testing.assert_close(other, 5 * made - 3, atol=1e-5, rtol=1e-5)


def test_what_is_scale_free():
    assert [name for name in ALL if AUGMENTATIONS.create(name).scale_free] == ["translate", "flip", "affine", "resized_crop"]


@pytest.mark.parametrize("names", [[], ["translate", "flip"], ["affine"], ["translate", "resized_crop", "noise"], ["noise"]])
def test_stored_floats_are_augmented_as_they_are(names):
    """They are normalised already: nothing is scaled or shifted before, between or after the steps."""
    given = 3 * torch.randn((20, 8, 6, 3), generator=generator())
    before, which = given.clone(), torch.tensor([3, 19, 0, 3, 17])
    steps = [AUGMENTATIONS.create(name, **ALL[name]) for name in names]
    made = View(steps)(given, which, generator(4), 9, slice(2, 7))
    source, expected = generator(4), given[which].permute(0, 3, 1, 2)
    for step in steps:
        expected = step.apply(expected, *(p[2:7] for p in step.draw(source, 9, (3, 8, 6))))
    assert torch.equal(made, expected) and made.is_contiguous(memory_format=torch.channels_last)
    for written in (made, View(steps).plain(given)):  # as a net whose first layer works in place
        written.zero_()
    assert torch.equal(given, before)


def test_stored_floats_without_augmentation():
    given = torch.randn((20, 8, 6, 3), generator=generator())
    made = View([AUGMENTATIONS.create("noise")]).plain(given)
    assert torch.equal(made, given.permute(0, 3, 1, 2)) and made.is_contiguous(memory_format=torch.channels_last)
