"""What X may be, and what becomes of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_zoo import InputError
from ssl_zoo.estimator.images import Levels, image_size, kind_of, read_pixels


class Column:
    """As a column of pandas, in what is asked of it."""

    ndim = 1

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return np.array(self.values, object)

    def __iter__(self):
        return iter(self.values)


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (np.zeros((3, 4)), "features"),
        ([[1, 2], [3, 4]], "features"),
        (np.zeros((3, 4, 4)), "images"),
        ([np.zeros((4, 4, 3))] * 3, "images"),
        (["a.png", "b.png"], "files"),
        ([Path("a.png")], "files"),
        (np.array(["a.png", "b.png"]), "files"),
        (np.array([Path("a.png")], object), "files"),
        (Column(["a.png"]), "files"),
        ((Image.new("L", (3, 3)),), "files"),
        (np.zeros(3), "features"),  # which scikit-learn refuses in its own words
        ("a.png", "features"),
        ([], "features"),
    ],
)
def test_the_kind_of_rows(X, kind):
    assert kind_of(X) == kind


def test_what_is_no_kind():
    with pytest.raises(InputError, match="X has 5 axes"):
        kind_of(np.zeros((1, 2, 3, 4, 5)))
    with pytest.raises(InputError, match=r"X is not one array .*; give images of one size"):
        kind_of([np.zeros((3, 3)), np.zeros((4, 4))])


def test_sizes():
    assert image_size(None) is None and image_size(8) == (8, 8) and image_size([8, 9]) == (8, 9) == image_size(np.array([8, 9]))
    assert image_size(np.int64(8)) == (8, 8)
    for wrong in ("8", (8,), 8.5, True, (8, 9, 3)):
        with pytest.raises(InputError, match="is no size; give a side, or"):
            image_size(wrong)
    with pytest.raises(InputError, match="image_size = 0 is out of range"):
        image_size(0)


def test_files_and_pil_images_are_rgb_and_of_one_size(tmp_path):
    red = Image.new("RGB", (6, 4), (255, 0, 0))
    red.save(tmp_path / "red.png")
    grey = Image.new("L", (6, 4), 7)
    found = read_pixels([str(tmp_path / "red.png"), grey, red], "files", None)
    assert found.shape == (3, 4, 6, 3) and found.dtype == np.uint8
    assert (found[0] == [255, 0, 0]).all() and (found[1] == 7).all() and (found[0] == found[2]).all()
    assert read_pixels([grey, grey], "files", (2, 3)).shape == (2, 2, 3, 3)
    with pytest.raises(InputError, match=r"the first is 4 x 6 and number 1 is 5 x 5; give `image_size`"):
        read_pixels([grey, Image.new("L", (5, 5))], "files", None)
    with pytest.raises(InputError, match=re.escape("'nowhere.png' is not an image that can be read")):
        read_pixels(["nowhere.png"], "files", None)


def test_arrays_stay_as_they_are():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    assert (read_pixels(images, "images", None) == images[..., None]).all()
    assert (read_pixels(images / 255, "images", None) == images[..., None]).all()
    with pytest.raises(InputError, match="`image_size` is for paths and PIL images"):
        read_pixels(images, "images", (8, 8))


def test_levels_span_the_range_and_a_tenth_on_either_side():
    X = np.array([[0.0, -10.0], [10.0, 30.0], [5.0, 10.0]])
    levels = Levels.fit(X)
    assert levels.low.tolist() == [-1, -14] and levels.high.tolist() == [11, 34]
    pixels = levels(X)
    assert pixels.shape == (3, 1, 1, 2) and pixels.dtype == np.uint8
    assert pixels[:, 0, 0, 0].tolist() == [round(255 / 12), round(255 * 11 / 12), round(255 * 6 / 12)]
    assert levels(np.array([[-99.0, 99.0]]))[0, 0, 0].tolist() == [0, 255], "what is beyond is at the ends"


def test_scale_and_place_of_a_feature_do_not_matter():
    X = np.random.default_rng(0).normal(size=(50, 2))
    other = X * [1e6, 2.0**-20] + [1e3, 0]
    assert (np.abs(Levels.fit(X)(X).astype(int) - Levels.fit(other)(other)) <= 1).all()


def test_an_outlier_does_not_take_all_levels():
    X = np.append(np.random.default_rng(0).normal(size=200), 1e9)[:, None]
    pixels = Levels.fit(X)(X)[:, 0, 0, 0]
    assert len(np.unique(pixels)) > 60 and pixels[-1] == 255
    rare = np.zeros((100, 1))
    rare[0] = 1  # most rows have one value: the other is no outlier
    assert Levels.fit(rare)(rare)[:2, 0, 0, 0].tolist() == [round(255 * 11 / 12), round(255 / 12)]


def test_a_constant_feature_is_constant():
    assert np.unique(Levels.fit(np.full((5, 1), 3.0))(np.array([[3.0], [4.0], [-7.0]]))).tolist() == [0]


def test_what_no_range_holds():
    with pytest.raises(InputError, match="beyond what a float holds"):
        Levels.fit(np.array([[-1.7e308], [1.7e308]]))
    with pytest.raises(InputError, match="X has 5,000 features, and 4,096 are the most"):
        Levels.fit(np.zeros((2, 5000)))
