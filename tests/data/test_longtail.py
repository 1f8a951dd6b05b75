"""Numbers of images in a long tail: those of the papers, and what can be had."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ssl_zoo.data.longtail import longest, longtail, steepest
from ssl_zoo.data.splits import draw_split
from ssl_zoo.errors import InputError


@pytest.mark.parametrize(
    ("total", "gamma", "numbers"),
    [
        (3720, 100, [1500, 899, 539, 323, 193, 116, 69, 41, 25, 15]),  # n_1 = 1500, as in CReST, DARP, ABC and DASO
        (4196, 50, [1500, 971, 628, 407, 263, 170, 110, 71, 46, 30]),
        (3496, 150, [1500, 859, 492, 282, 161, 92, 53, 30, 17, 10]),
        (1236, 100, [500, 299, 179, 107, 64, 38, 23, 13, 8, 5]),
        (30_000, 1, [3000] * 10),
    ],
)
def test_the_papers_numbers(total, gamma, numbers):
    assert longtail(total, gamma, 10).tolist() == numbers and sum(numbers) == total


def test_the_totals_that_a_page_gives():
    page = (Path(__file__).parent.parent.parent / "docs/settings.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for first, gamma, total in rows:
        assert longtail(int(total), int(gamma), 10)[0] == int(first) > longtail(int(total) - 1, int(gamma), 10)[0] - 1
        assert longtail(int(total), int(gamma), 10)[-1] == int(first) // int(gamma)
    assert longtail(7443, 100, 10).tolist() == [3000, 1798, 1078, 646, 387, 232, 139, 83, 50, 30]


def test_numbers_by_hand():
    assert longtail(7, 4, 3).tolist() == [4, 2, 1]  # n_1 = 4: 4, 4 / 2, 4 / 4
    assert longtail(8, 4, 3).tolist() == [5, 2, 1]  # the next image needs n_1 = 5, of the second class 6, of the third 8
    assert longtail(9, 4, 3).tolist() == [6, 2, 1]  # of the first two classes both need 6: the earlier has it
    assert longtail(10, 4, 3).tolist() == [6, 3, 1]
    assert longtail(5, 1000, 4).tolist() == [2, 1, 1, 1]  # one at least
    assert longtail(6, 1, 4).tolist() == [2, 2, 1, 1]
    assert longtail(3, 50, 1).tolist() == [3]


@given(st.integers(2, 120), st.floats(1, 1000), st.integers(1, 3000))
def test_the_rule_of_the_papers_for_every_number(classes, gamma, first):
    """Whatever n_1 they count, the total that it comes to gives their numbers."""
    share = gamma ** (-np.arange(classes) / (classes - 1))
    exact = first * share
    assume((np.abs(exact[1:] - np.round(exact[1:])) > 1e-9).all() or gamma == 1)  # where rounding down is not a matter of bits
    theirs = np.maximum(1, np.floor(first * share + 1e-12)).astype(int)
    assert longtail(int(theirs.sum()), gamma, classes).tolist() == theirs.tolist()


@given(st.integers(1, 40), st.floats(1, 500), st.integers(0, 500))
def test_they_add_up_and_fall_and_grow_with_the_total(classes, gamma, more):
    count = longtail(classes + more, gamma, classes)
    assert count.sum() == classes + more and count.min() >= 1 and (np.diff(count) <= 0).all()
    grown = longtail(classes + more + 1, gamma, classes) - count
    assert grown.min() >= 0 and grown.sum() == 1


@given(st.lists(st.integers(0, 60), min_size=2, max_size=8), st.floats(1, 200))
def test_the_largest_total_can_be_had_and_no_larger_one(available, gamma):
    available = np.array(available)
    most = longest(gamma, available)
    if available.min() == 0:
        assert most == 0
        return
    assert (longtail(most, gamma, len(available)) <= available).all() and most >= len(available)
    if most < available.sum():
        assert (longtail(most + 1, gamma, len(available)) > available).any()


LABELS = np.repeat([0, 1, 2], [12, 40, 9])


def test_a_draw_has_its_numbers_and_the_rows_of_other_draws():
    split = draw_split("d", LABELS, 3, 14, 3, draw="longtail", imbalance=4)
    assert np.bincount(split.classes).tolist() == [8, 4, 2] and split.draw == "longtail"
    assert (LABELS[split.rows] == split.classes).all()
    assert draw_split("d", LABELS, 3, 14, 4, draw="longtail", imbalance=4).hash != split.hash
    flat = draw_split("d", LABELS, 3, 15, 0, draw="longtail", imbalance=1)
    assert flat.hash == draw_split("d", LABELS, 3, 15, 0).hash


def test_a_frozen_draw():
    """If this fails, the splits of published rows have changed: mend the code, not the numbers."""
    split = draw_split("digits", np.arange(40) % 4, 4, 10, 3, draw="longtail", imbalance=8)
    assert np.bincount(split.classes).tolist() == [6, 2, 1, 1]
    assert split.hash == "56f567ca60ca83f09573d0ecab50c727"


def test_too_few_images_and_both_ways_out():
    with pytest.raises(InputError) as error:
        draw_split("d", LABELS, 3, 28, 0, class_names=("ant", "bee", "fly"), draw="longtail", imbalance=4)
    assert str(error.value) == (
        "class 0 ('ant') of d has 12 labelled images, `labels=28` with `imbalance=4` needs 16; give `imbalance=1.8`, "
        "`labels=21`, or `draw=proportional`"
    )
    assert np.bincount(draw_split("d", LABELS, 3, 28, 0, draw="longtail", imbalance=1.8).classes).tolist() == [12, 9, 7]
    with pytest.raises(InputError, match="needs 13"):
        draw_split("d", LABELS, 3, 28, 0, draw="longtail", imbalance=1.9)
    assert np.bincount(draw_split("d", LABELS, 3, 21, 0, draw="longtail", imbalance=4).classes).tolist() == [12, 6, 3]


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(2, 60), st.floats(1, 100))
def test_what_a_message_advises_can_be_had(available, count, gamma):
    labels = np.repeat(np.arange(len(available)), available)
    assume(len(available) <= count <= sum(available))
    try:
        draw_split("d", labels, len(available), count, 0, draw="longtail", imbalance=gamma)
    except InputError as error:
        said = str(error)
        fewer = int(re.search(r"`labels=(\d+)`, or", said)[1])
        assert fewer < count
        draw_split("d", labels, len(available), fewer, 0, draw="longtail", imbalance=gamma)
        draw_split("d", labels, len(available), count, 0, draw="proportional")
        if flatter := re.search(r"give `imbalance=([\d.]+)`", said):
            draw_split("d", labels, len(available), count, 0, draw="longtail", imbalance=float(flatter[1]))
        else:
            assert steepest(count, gamma, np.array(available)) is None


def test_all_labels_are_no_tail():
    with pytest.raises(InputError, match=r"labels = all takes every label, and draw = longtail some; .* `draw=equal`"):
        draw_split("d", LABELS, 3, "all", 0, draw="longtail")
    with pytest.raises(InputError, match="class 3 of d has 0 labelled images, `labels=20` needs 2; give it some"):
        draw_split("d", LABELS, 4, 20, 0, draw="longtail", imbalance=5)
