"""What a net gets of stored images, before they are augmented and without."""

import json
import math

import numpy as np
import pytest
import torch

from ssl_zoo import AUGMENTATIONS, DATASETS, InputError
from ssl_zoo.data import normalisation
from ssl_zoo.data.augment import Augmentation, View, channel_statistics
from ssl_zoo.data.dataset import tensor
from ssl_zoo.data.normalisation import (
    Normalisation,
    Whitening,
    check_steps,
    contrast_normalized,
    per_image,
    prepare,
    shift_and_scale,
    transformation,
    transformed,
)

CPU = torch.device("cpu")


def image(*values, shape=(1, 2, 2, 1)):
    return torch.tensor(values, dtype=torch.uint8).view(shape)


def alike(n=200, shape=(2, 3, 2), seed=0):
    """Images that are much alike, so that the covariance has eigenvalues about 0.1, where the regularisation matters."""
    draw = np.random.default_rng(seed)
    one = draw.integers(20, 230, shape)
    mixed = draw.normal(size=(n, math.prod(shape))) @ draw.normal(size=(math.prod(shape),) * 2)
    return torch.from_numpy((one + 2 * mixed.reshape(n, *shape)).clip(0, 255).astype(np.uint8))


def reference(train, given):
    """The formula once more, in numpy and by another decomposition."""

    def normalized(images):
        flat = np.asarray(images, float).reshape(len(images), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        length = np.sqrt((flat**2).sum(axis=1, keepdims=True))
        return 55 * flat / np.where(length == 0, 1, length)

    flat = normalized(train)
    left, s, right = np.linalg.svd(np.cov(flat.T) + 0.1 * np.eye(flat.shape[1]))
    return ((normalized(given) - flat.mean(axis=0)) @ (left / np.sqrt(s)) @ right).reshape(given.shape)


@pytest.mark.parametrize(
    ("values", "shape", "expected"),
    [
        ((0, 2, 4, 6), (1, 2, 2, 1), [-3 / 5**0.5, -1 / 5**0.5, 1 / 5**0.5, 3 / 5**0.5]),
        ((10, 10, 30, 30), (1, 1, 2, 2), [-1, -1, 1, 1]),
        ((10, 30, 10, 30), (1, 1, 2, 2), [-1, 1, -1, 1]),  # over the channels too: each of its own would be 0
        ((7, 7, 7, 7), (1, 2, 2, 1), [0, 0, 0, 0]),
        ((0, 0, 0, 1), (1, 2, 2, 1), [-0.5, -0.5, -0.5, 1.5]),  # its deviation, 0.433, counts as 1 / sqrt(4)
    ],
)
def test_each_image_to_mean_0_and_deviation_1(values, shape, expected):
    made = per_image(image(*values, shape=shape))
    assert made.dtype == torch.float32 and made.shape == shape
    torch.testing.assert_close(made.flatten(), torch.tensor(expected, dtype=torch.float32))


def test_images_are_normalised_each_by_its_own_pixels():
    given = torch.cat((image(0, 2, 4, 6), image(100, 102, 104, 106), image(255, 255, 255, 255)))
    made = per_image(given)
    assert torch.equal(made[0], made[1]) and (made[2] == 0).all()


def test_contrast_is_normalised_to_length_55():
    given = torch.cat((image(0, 0, 0, 1), image(0, 50, 100, 250), image(9, 9, 9, 9)))
    made = contrast_normalized(given)
    torch.testing.assert_close(made.norm(dim=1), torch.tensor([55.0, 55.0, 0.0]).double())
    torch.testing.assert_close(made.mean(dim=1), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(made[0], torch.tensor([-1.0, -1, -1, 3]).double() * 55 / 12**0.5)


def test_pixels_to_minus_1_and_1():
    made = View([], *shift_and_scale("unit", image(0, 255, 51, 102))).plain(image(0, 255, 51, 102))
    torch.testing.assert_close(made.flatten(), torch.tensor([-1.0, 1.0, -0.6, -0.2]))
    assert made.min() == -1 and made.max() == 1


def test_channels_as_before():
    given = alike()
    mean, std = shift_and_scale("channel", given)
    assert torch.equal(mean, channel_statistics(given)[0]) and torch.equal(std, channel_statistics(given)[1])
    made = View([], mean, std).plain(given)
    assert torch.equal(made, (given.permute(0, 3, 1, 2).float() / 255 - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1))


@pytest.mark.parametrize("n", [200, 5])  # more images than values, and fewer
def test_whitening_is_the_formula(n):
    given, other = alike(n), alike(30, seed=1)
    first = transformation("zca", given, CPU)
    for images in (given, other):  # what was fitted on, and what was not
        made = first(images)
        assert made.dtype == torch.float32 and made.shape == images.shape
        torch.testing.assert_close(made.numpy(), reference(given, images).astype(np.float32), atol=1e-4, rtol=1e-4)


def test_the_covariance_of_whitened_images():
    """It is U diag(s / (s + 0.1)) U^T: almost 1 in the directions that vary, and less where the regularisation is felt."""
    given = alike()
    flat = contrast_normalized(given)
    s, vectors = torch.linalg.eigh(torch.cov(flat.T))
    assert ((s > 0.01) & (s < 1)).sum() >= 3, "the regularisation matters in the test"
    made = transformed(transformation("zca", given, CPU), given, CPU).flatten(1).double()
    torch.testing.assert_close(torch.cov(made.T), (vectors * (s / (s + 0.1))) @ vectors.T, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.mean(dim=0), torch.zeros(12).double(), atol=1e-5, rtol=0)


def test_in_chunks_as_at_once(monkeypatch):
    given = alike()
    whole = Whitening.fit(given, CPU)
    of_all = {kind: transformed(transformation(kind, given, CPU), given, CPU) for kind in normalisation.BEFORE}
    monkeypatch.setattr(normalisation, "CHUNK", 7 * 12)
    parts = Whitening.fit(given, CPU)
    torch.testing.assert_close(parts.mean, whole.mean, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(parts.matrix, whole.matrix, atol=1e-6, rtol=1e-6)
    assert len(normalisation._chunks(given)) == 29
    for kind, expected in of_all.items():
        torch.testing.assert_close(transformed(transformation(kind, given, CPU), given, CPU), expected, atol=1e-5, rtol=1e-5)


def test_the_same_bits_every_time():
    given = alike()
    one, two = (transformed(transformation("zca", given, CPU), given, CPU) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("shape", [(8, 8, 1), (3, 2, 2), (5, 4, 4)])
@pytest.mark.parametrize("kind", normalisation.BEFORE)
def test_any_shape_constant_images_and_constant_pixels(kind, shape):
    given = torch.randint(0, 256, (40, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    given[:, 0] = 9
    given[3] = 200  # all of it
    made = transformed(transformation(kind, given, CPU), given, CPU)
    assert made.shape == given.shape and made.isfinite().all() and made.abs().max() < 20
    assert transformed(transformation(kind, given, CPU), given[:0], CPU).shape == (0, *shape)


def test_digits_are_whitened():
    """Whose corners never vary: the variance of no pixel is above 1."""
    data = DATASETS.create("digits", None)
    first = transformation("zca", tensor(data.images), CPU)
    made, test = (transformed(first, tensor(part), CPU) for part in (data.images, data.test_images))
    assert made.isfinite().all() and 0.5 < made.std(dim=0).mean() < made.std(dim=0).max() < 1
    assert test.std(dim=0).max() < 1.3
    torch.testing.assert_close(test.numpy(), reference(data.images, data.test_images).astype(np.float32), atol=1e-3, rtol=1e-3)


def test_images_in_a_file(tmp_path):
    given = alike()
    np.save(tmp_path / "images.npy", given.numpy())
    mapped = tensor(np.load(tmp_path / "images.npy", mmap_mode="r"))
    for kind in normalisation.BEFORE:
        made = transformed(transformation(kind, mapped, CPU), mapped, CPU)
        assert torch.equal(made, transformed(transformation(kind, given, CPU), given, CPU))


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("zca", (64, 64, 3), r"at most 8,192 values, and these have 12,288 \(64 x 64 x 3\); set input = image"),
        ("zca", (1, 1, 2), "input = zca compares the pixels of each image, and these images have one; set input = channel"),
        ("image", (1, 1, 3), "input = image compares the pixels"),
    ],
)
def test_images_that_it_does_not_suit(kind, shape, message):
    with pytest.raises(InputError, match=message):
        transformation(kind, torch.zeros(2, *shape, dtype=torch.uint8), CPU)


KINDS = ("channel", "unit", *normalisation.BEFORE)


def ready(kind, given):
    """What a run has of some training images and ten test images."""
    return prepare(kind, given.numpy(), alike(10, tuple(given.shape[1:]), seed=1).numpy(), CPU)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_a_run_needs(kind):
    given, test = alike(), alike(10, seed=1)
    made = prepare(kind, given.numpy(), test.numpy(), CPU)
    if kind in normalisation.BEFORE:
        first = transformation(kind, given, CPU)
        assert made.shift is None and made.scale is None and type(made.transformation) is type(first)
        for part, stored in ((made.images, given), (made.test_images, test)):
            assert part.dtype == torch.float32 and torch.equal(part, transformed(first, stored, CPU))
    else:
        assert made.transformation is None and torch.equal(made.images, given) and torch.equal(made.test_images, test)
        assert torch.equal(torch.stack((made.shift, made.scale)), torch.stack(shift_and_scale(kind, given)))
    assert made.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_applied_to_stored_images_it_gives_what_is_scored(kind):
    given, test = alike(), alike(10, seed=1)
    made = ready(kind, given)
    scored = View([], made.shift, made.scale).plain(made.test_images)
    for one in (made, Normalisation.from_values(json.loads(json.dumps(made.values())), made.tensors())):
        found = one.apply(test, CPU)
        assert torch.equal(found, scored) and found.dtype == torch.float32
        assert found.shape == (10, 2, 2, 3) and found.is_contiguous(memory_format=torch.channels_last)
        found.zero_()  # as a net may do
        assert torch.equal(one.apply(test, CPU), scored)


@pytest.mark.parametrize(
    ("kind", "values", "tensors"),
    [
        ("channel", {"kind", "shift", "scale"}, set()),
        ("unit", {"kind", "shift", "scale"}, set()),
        ("image", {"kind"}, set()),
        ("zca", {"kind"}, {"mean", "matrix"}),
    ],
)
def test_what_a_file_must_hold(kind, values, tensors):
    made = ready(kind, alike())
    assert set(made.values()) == values and set(made.tensors()) == tensors
    again = Normalisation.from_values(made.values(), made.tensors())
    assert again.values() == made.values() and again.kind == kind
    assert all(torch.equal(part, made.tensors()[name]) for name, part in again.tensors().items())


def test_where_a_device_has_no_room(monkeypatch):
    given = alike()
    monkeypatch.setattr(normalisation, "holds", lambda device, size, made=False: not made)
    for kind in normalisation.BEFORE:
        message = f"input = {kind} keeps all images as floats, 0.0 GB, for which cpu has no room; set input = channel or unit"
        with pytest.raises(InputError, match=message):
            ready(kind, given)
    monkeypatch.setattr(normalisation, "holds", lambda device, size, made=False: False)
    stored = given.numpy()
    assert prepare("unit", stored, stored, torch.device("meta")).images.data_ptr() == stored.ctypes.data  # they stay on the host


class Own(Augmentation):
    """A plug-in's, which does not say that it works on values of any range."""


def steps(*names):
    return {name: AUGMENTATIONS.create(name) for name in names}


@pytest.mark.parametrize("kind", normalisation.BEFORE)
@pytest.mark.parametrize("name", ["randaugment", "cutout"])
def test_what_works_on_pixels_is_refused_after_a_normalisation(kind, name):
    with pytest.raises(
        InputError, match=f"the view 'strong' has {name}, .* input = {kind} .* set input = channel or unit, or leave {name} out"
    ):
        check_steps(kind, {"weak": steps("flip"), "strong": steps("translate", name)})
    with pytest.raises(InputError, match="the view 'mine' has own"):
        check_steps(kind, {"mine": {"own": Own()}})
    check_steps(kind, {"weak": steps("translate", "flip", "affine", "resized_crop", "noise")})
    for pixels in ("channel", "unit"):
        check_steps(pixels, {"strong": steps(name), "mine": {"own": Own()}})
