"""The labelled rows: frozen draws, equal and proportional classes."""

import numpy as np
import pytest

from ssl_zoo.data.splits import draw_split
from ssl_zoo.errors import InputError

LABELS = np.arange(40) % 4  # ten rows of each of four classes
LABELS[36:] = -1  # now nine
ROWS = [1, 2, 5, 8, 13, 15, 18, 20, 26, 31]
HASH = "57defd513da206dc20d5e2c09353e2f1"


def test_frozen_for_ever():
    """If this fails, every split in every published row has changed: mend the code, not the numbers."""
    split = draw_split("digits", LABELS, 4, 10, 3)
    assert split.rows.tolist() == ROWS
    assert split.hash == HASH
    assert split.classes.tolist() == [row % 4 for row in ROWS]
    assert split.rows.dtype == split.classes.dtype == np.int64
    assert (split.dataset, split.labels, split.seed) == ("digits", 10, 3)


@pytest.mark.parametrize("count", [4, 7, 10, 36])
@pytest.mark.parametrize("seed", range(5))
def test_classes_are_equal_up_to_one(count, seed):
    split = draw_split("d", LABELS, 4, count, seed)
    sizes = np.bincount(split.classes, minlength=4)
    assert sizes.sum() == count and np.ptp(sizes) == (count % 4 > 0)
    assert (np.diff(split.rows) > 0).all()
    np.testing.assert_array_equal(LABELS[split.rows], split.classes)


def test_remainder_goes_to_other_classes_with_another_seed():
    extra = {int(np.bincount(draw_split("d", LABELS, 4, 5, seed).classes).argmax()) for seed in range(30)}
    assert extra == {0, 1, 2, 3}


def test_every_row_is_drawn_equally_often():
    draws = np.concatenate([draw_split("d", np.arange(40) % 4, 4, 20, seed).rows for seed in range(400)])
    counts = np.bincount(draws, minlength=40)  # binomial, mean 200, standard deviation 10
    assert counts.min() > 150 and counts.max() < 250


def test_depends_on_dataset_count_and_seed_alone():
    first = draw_split("d", LABELS, 4, 8, 0)
    np.random.seed(5)  # must not matter
    again = draw_split("d", LABELS.astype(np.int32), 4, 8, 0)
    assert again.hash == first.hash
    others = [draw_split("e", LABELS, 4, 8, 0), draw_split("d", LABELS, 4, 8, 1), draw_split("d", LABELS, 4, 12, 0)]
    assert not any(set(first.rows) <= set(other.rows) for other in others)


def test_all_is_every_row_with_a_class():
    split = draw_split("d", LABELS, 4, "all", 7)
    assert split.rows.tolist() == list(range(36)) and split.labels == 36
    assert split.hash == draw_split("d", LABELS, 4, "all", 8).hash


@pytest.mark.parametrize(
    ("count", "num_classes", "message"),
    [
        (0, 4, "labels = 0 must be positive"),
        (-3, 4, "must be positive"),
        (37, 4, "37 labels were asked for and d has 36"),
        (3, 4, "3 labels are too few for the 4 classes"),
        ("most", 4, "'most' is neither a number nor 'all'"),
        ("all", 5, r"class 4 \('e'\) of d has 0 labelled image"),
        (4, 3, "has a label 3: labels must be from 0 to 2"),
    ],
)
def test_bad_requests(count, num_classes, message):
    with pytest.raises(InputError, match=message):
        draw_split("d", LABELS, num_classes, count, 0, class_names="abcde")


def test_a_class_without_enough_images_is_named():
    labels = np.array([0] * 9 + [1])
    with pytest.raises(InputError, match=r"class 1 \('dog'\) of pets has 1 labelled .* `labels=4` needs 2"):
        draw_split("pets", labels, 2, 4, 0, class_names=("cat", "dog"))
    with pytest.raises(InputError, match="class 1 of pets"):
        draw_split("pets", labels, 2, 4, 0)
    with pytest.raises(InputError, match="label -2"):
        draw_split("pets", labels - 2, 2, 4, 0)


UNEQUAL = np.repeat([0, 1, 2, 3], [30, 3, 1, 66])  # of a hundred


def test_the_message_says_what_can_be_had_and_that_can_be_had():
    labels = np.repeat([0, 1], [30, 3])
    with pytest.raises(InputError) as error:
        draw_split("d", labels, 2, 20, 0)
    assert str(error.value) == (
        "class 1 of d has 3 labelled images, `labels=20` needs 10; with equal numbers a class, 6 are the most: give `labels=6`, "
        "`labels='all'`, or `draw='proportional'`"
    )
    for seed in range(5):
        assert np.bincount(draw_split("d", labels, 2, 6, seed).classes).tolist() == [3, 3]
    assert draw_split("d", labels, 2, "all", 0).labels == 33
    assert np.bincount(draw_split("d", labels, 2, 20, 0, draw="proportional").classes).tolist() == [18, 2]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (100, [30, 3, 1, 66]),
        (50, [15, 1, 1, 33]),  # shares 15, 1.5, 0.5, 33
        (10, [2, 1, 1, 6]),  # shares 3, 0.3, 0.1, 6.6: two that have too little are paid by 7 and then by 3
        (5, [1, 1, 1, 2]),
        (4, [1, 1, 1, 1]),
    ],
)
def test_proportional_numbers_by_hand(count, sizes):
    for seed in range(4):
        split = draw_split("d", UNEQUAL, 4, count, seed, draw="proportional")
        assert np.bincount(split.classes, minlength=4).tolist() == sizes and split.draw == "proportional"


def test_proportional_numbers_are_those_of_the_largest_remainder():
    draw = np.random.default_rng(0)
    for _ in range(200):
        available = draw.integers(1, 60, draw.integers(2, 9))
        count = int(draw.integers(len(available), available.sum() + 1))
        labels = draw.permutation(np.repeat(np.arange(len(available)), available))
        found = np.bincount(draw_split("d", labels, len(available), count, 3, draw="proportional").classes)
        share = count * available / available.sum()
        assert found.sum() == count and (found >= 1).all() and (found <= available).all()
        assert (found < share + 1).all() or (found[found >= share + 1] == 1).all()  # above its share only to have one
        if (share >= 1).all():
            assert (np.abs(found - share) < 1).all()


def test_of_classes_of_equal_size_both_draws_are_one():
    labels = np.arange(40) % 4
    for seed in range(4):
        for count in (4, 6, 23, 40):
            proportional = draw_split("d", labels, 4, count, seed, draw="proportional")
            assert proportional.hash == draw_split("d", labels, 4, count, seed).hash


def test_another_draw_is_refused():
    with pytest.raises(InputError, match="draw = 'most' is unknown: it must be one of equal, proportional"):
        draw_split("d", UNEQUAL, 4, 10, 0, draw="most")


def test_a_proportional_draw_of_a_class_without_images_is_refused():
    with pytest.raises(InputError, match=r"class 1 of d has 0 labelled images, `labels=10` needs 1; give it some"):
        draw_split("d", np.zeros(20, int), 2, 10, 0, draw="proportional")
