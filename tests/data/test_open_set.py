"""Classes whose images are only unlabelled."""

import numpy as np
import pytest

from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.holdout import with_test_set
from ssl_zoo.data.open_set import OUTSIDE, hidden, with_open_set
from ssl_zoo.errors import InputError

LABELS = np.array([0, 1, 2, 3, -1, 0, 1, 2, 3, 3])
TEST = np.array([3, 1, 2, 0, 1])


def data(classes=("ant", "bee", "cow", "dog"), names=True, labels=LABELS, **more):
    """Images whose pixels are their row; those of the test set go on from the last."""
    images = np.arange(15, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    named = tuple(f"{row}.png" for row in range(15)) if names else ()
    return Dataset("d", images[:10], labels, images[10:], TEST, tuple(classes), named, **more)


def rows(images):
    return images[:, 0, 0, 0].tolist()


def test_by_hand():
    found = with_open_set(data(), ["bee", 3])
    assert found.classes == ("ant", "cow")
    assert found.labels.tolist() == [0, OUTSIDE, 1, OUTSIDE, -1, 0, OUTSIDE, 1, OUTSIDE, OUTSIDE]
    assert rows(found.images) == [*range(10)]  # none is moved, so that rows keep their numbers
    assert rows(found.test_images) == [12, 13] and found.test_labels.tolist() == [1, 0]
    assert found.names == (*(f"{row}.png" for row in range(10)), "12.png", "13.png")
    assert found.notes == (
        "only in the unlabelled stream: 5 training images of 2 classes (bee, dog), of which no label and no score is; 3 test "
        "images of theirs are left out",
    )
    assert hidden(found.labels).tolist() == [0, -1, 1, -1, -1, 0, -1, 1, -1, -1]


def test_none_is_the_data_as_they_are():
    whole = data()
    assert with_open_set(whole, ()) is whole


def test_another_choice_is_other_data():
    hashes = {fingerprint(with_open_set(data(), [one])) for one in ("ant", "bee", "cow", "dog")}
    assert len(hashes | {fingerprint(data())}) == 5
    unknown = data(labels=np.where(LABELS == 3, -1, LABELS), classes=("ant", "bee", "cow", "dog"))
    assert fingerprint(with_open_set(data(), ["dog"])) != fingerprint(with_open_set(unknown, ["dog"]))


def test_what_is_there_to_validate_by_has_none_of_them():
    found = with_open_set(data(validation=(1, 5)), ["bee", "dog"])
    assert rows(found.images) == [0, 2, 4, 5, 6, 7, 8, 9] and found.validation == (1, 3)
    assert found.labels[slice(*found.validation)].tolist() == [1, -1]
    assert found.names[:3] == ("0.png", "2.png", "4.png")


def test_none_of_them_is_held_out_to_be_scored():
    whole = data()
    without = whole._replace(test_images=whole.test_images[:0], test_labels=whole.test_labels[:0], names=whole.names[:10])
    found = with_test_set(with_open_set(without, ["dog"]), 0.5)
    assert sorted(found.test_labels.tolist()) == [0, 1, 2] and (found.labels == OUTSIDE).sum() == 3
    assert found.notes[0] == (
        "only in the unlabelled stream: 3 training images of 1 class (dog), of which no label and no score is"
    )


def test_numbers_that_are_names():
    digits = data(classes=("0", "1", "2", "3"))
    assert with_open_set(digits, [3]).classes == with_open_set(digits, ["3"]).classes == ("0", "1", "2")
    years = data(classes=("3", "2", "10", "12"))
    assert with_open_set(years, ["3"]).classes == ("2", "10", "12") and with_open_set(years, [0]).classes == ("2", "10", "12")
    assert with_open_set(years, [10]).classes == ("3", "2", "12")  # no class has that number
    with pytest.raises(InputError, match="has 3, which is the number of '12' and the name of number 0; give the number 0"):
        with_open_set(years, [3])


@pytest.mark.parametrize(
    ("outside", "message"),
    [
        (["bea"], "has 'bea'; did you mean 'bee'"),
        ([4], "has 4, and the classes are numbered from 0 to 3"),
        ([-1], "has -1, and the classes are numbered"),
        (["bee", 1], "names a class twice: bee, 1"),
        ([0, 1, 2], "leaves 1 of 4 classes to be told apart"),
    ],
)
def test_what_is_refused(outside, message):
    with pytest.raises(InputError, match=message):
        with_open_set(data(), outside)


def test_a_test_set_of_nothing_else_is_refused():
    whole = data()
    only = whole._replace(test_images=whole.test_images[:1], test_labels=whole.test_labels[:1], names=())
    with pytest.raises(InputError, match="leaves no test image"):
        with_open_set(only, ["dog"])
