"""Which images without a label the unlabelled stream keeps."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ssl_zoo.data.open_set import OUTSIDE
from ssl_zoo.data.stream import Wanted, cut_stream
from ssl_zoo.errors import InputError

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, OUTSIDE, -1], [30, 30, 30, 20, 15]))
ROWS = np.arange(5, 125)


def kept(seed=0, rows=ROWS, labels=LABELS, **wanted):
    return cut_stream("d", labels, rows, 3, seed, Wanted(**wanted), ["ant", "bee", "cow"])


def count(rows, labels=LABELS):
    """Of the three classes, of those outside, and of unknown ones."""
    return [int((labels[rows] == k).sum()) for k in (0, 1, 2, OUTSIDE, -1)]


def without(*codes):
    return ROWS[~np.isin(LABELS[ROWS], codes)]


def test_all_stay_where_nothing_is_asked():
    assert kept() is ROWS


def test_so_many_of_all():
    found = kept(images=60)
    assert len(found) == 60 and (np.diff(found) > 0).all() and np.isin(found, ROWS).all()
    assert set(found) != set(kept(images=60, seed=1)) and min(count(found)) > 0
    assert set(kept(images=30)) < set(found)  # the first of one order
    with pytest.raises(InputError, match=r"stream.images = 121 are more than there are without a label; `stream.images=120` is"):
        kept(images=121)


def test_a_tail_by_hand_in_both_orders():
    rows = without(OUTSIDE)
    assert count(kept(rows=rows, imbalance=4, images=14)) == [8, 4, 2, 0, 0]  # unknown ones cannot be counted
    assert count(kept(rows=rows, imbalance=4, order="reversed", images=14)) == [2, 4, 8, 0, 0]
    assert count(kept(rows=rows, imbalance=1, images=30)) == [10, 10, 10, 0, 0]
    least = np.bincount(LABELS[rows][LABELS[rows] >= 0]).min()
    assert count(kept(rows=rows, imbalance=1))[:3].count(least) >= 1


def test_the_longest_tail_uses_up_a_class():
    rows = without(OUTSIDE)
    first, second, third = np.bincount(LABELS[rows][LABELS[rows] >= 0])
    found = count(kept(rows=rows, imbalance=4))
    assert found[0] == first and found[1] == first // 2 <= second and found[2] == first // 4
    found = count(kept(rows=rows, imbalance=4, order="reversed"))
    assert found[2] == third and found[0] == third // 4


def test_a_share_of_others_by_hand():
    assert count(kept(mismatch=0.25, images=40))[3:] == [10, 0]
    assert sum(count(kept(mismatch=0.25, images=40))[:3]) == 30
    others = count(ROWS)[3]
    assert count(kept(mismatch=1)) == [0, 0, 0, others, 0]
    assert count(kept(mismatch=0)) == [*count(ROWS)[:3], 0, 0]
    assert count(kept(mismatch=0.5))[3] == others and sum(count(kept(mismatch=0.5))) in (2 * others, 2 * others + 1)
    assert count(kept(mismatch=0.5, imbalance=4, images=28)) == [8, 4, 2, 14, 0]
    assert count(kept(mismatch=1, imbalance=4, images=7)) == [0, 0, 0, 7, 0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"imbalance": 4}, "with unlabeled_classes there are others; say which share .*`stream.mismatch=0.5`"),
        ({"imbalance": 4, "mismatch": 0.5, "images": 4}, "leaves 2 images of the 3 labelled classes"),
        ({"mismatch": 0.9, "images": 100}, "stream.images = 100 are more than .* with stream.mismatch = 0.9; `stream.images=2"),
        ({"mismatch": 0.99, "images": 5}, "stream.mismatch = 0.99 leaves 0 images of the labelled classes"),
    ],
)
def test_what_is_refused(wanted, message):
    with pytest.raises(InputError, match=message):
        kept(**wanted)


def test_what_is_refused_of_other_data():
    with pytest.raises(InputError, match="is the share of images of unlabeled_classes, and there are none"):
        kept(rows=without(OUTSIDE), mismatch=0.5)
    with pytest.raises(
        InputError, match=r"class 1 \('bee'\) has no image without a label whose class is known.* `stream.imbalance=null`"
    ):
        kept(rows=without(OUTSIDE, 1), imbalance=2)


@given(
    st.lists(st.integers(0, 25), min_size=5, max_size=5),
    st.none() | st.integers(1, 120),
    st.none() | st.floats(1, 50),
    st.sampled_from(["same", "reversed"]),
    st.none() | st.floats(0, 1),
    st.integers(0, 3),
)
def test_whatever_is_asked_is_kept_or_refused_with_a_number_that_can_be_had(sizes, images, imbalance, order, mismatch, seed):
    labels = np.repeat([0, 1, 2, OUTSIDE, -1], sizes)
    rows = np.arange(len(labels))
    assume(len(rows))
    wanted = {"images": images, "imbalance": imbalance, "order": order, "mismatch": mismatch}
    try:
        found = kept(seed, rows, labels, **wanted)
    except InputError as error:
        if most := re.search(r"`stream.images=(\d+)`", str(error)):
            assert int(most[1]) < images
            fewer = wanted | {"images": int(most[1])}
            try:
                assert len(kept(seed, rows, labels, **fewer)) == int(most[1])
            except InputError as again:  # so few that a class would have none
                assert "at least" in str(again)
        return
    assert (np.diff(found) > 0).all() and (images is None or len(found) == images)
    by_kind = count(found, labels)
    assert all(some <= there for some, there in zip(by_kind, sizes, strict=True))
    if imbalance is not None or mismatch is not None:
        assert by_kind[4] == 0
    if mismatch is not None:
        assert by_kind[3] == round(mismatch * len(found))
    if imbalance is not None and mismatch != 1 and sum(by_kind[:3]):
        tail = by_kind[:3] if order == "same" else by_kind[2::-1]
        assert tail[0] >= tail[1] >= tail[2] >= 1
