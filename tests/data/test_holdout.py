"""Data without a test set: which labelled images are scored, and that they are never trained on."""

import numpy as np
import pytest

from ssl_zoo.data import room
from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.holdout import with_test_set
from ssl_zoo.errors import InputError


def data(counts, unlabeled=0, names=True, **more):
    """Images whose first pixel is their row."""
    labels = np.concatenate([*(np.full(n, k) for k, n in enumerate(counts)), np.full(unlabeled, -1)]).astype(np.int64)
    n = len(labels)
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    classes = tuple("abcdefgh"[: len(counts)])
    named = tuple(f"{row}.png" for row in range(n)) if names else ()
    return Dataset("x", images, labels, images[:0], labels[:0], classes, named, **more)


def rows(images):
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("counts", "fraction", "scored"),
    [
        ((10, 20, 5), 0.2, [2, 4, 1]),
        ((2, 3), 0.2, [1, 1]),
        ((3, 3), 0.99, [2, 2]),
        ((100, 100), 0.001, [1, 1]),
        ((1, 4), 0.25, [0, 1]),
    ],
)
def test_each_class_gives_the_same_share_and_keeps_one(counts, fraction, scored):
    found = with_test_set(data(counts, unlabeled=7), fraction)
    assert np.bincount(found.test_labels, minlength=len(counts)).tolist() == scored and found.held_out
    assert sorted(rows(found.images) + rows(found.test_images)) == [*range(sum(counts) + 7)]
    assert found.labels[-7:].tolist() == [-1] * 7 and found.labels.min() == -1 and found.test_labels.min() >= 0
    assert [int(name[:-4]) for name in found.names] == rows(found.images) + rows(found.test_images)


def test_a_class_with_one_image_is_said_not_to_be_scored():
    (note,) = with_test_set(data((1, 4)), 0.25).notes
    said, more = note.split("; ")
    assert said == "there is no test set: 1 of 5 labelled images (20 %, of each class) are held out and scored"
    assert more == "none of a, of which there are too few"
    with pytest.raises(InputError, match="no class has two labelled images"):
        with_test_set(data((1, 1)), 0.25)


def test_folds_score_every_labelled_image_once():
    whole = data((7, 11, 4), unlabeled=3)
    folds = [with_test_set(whole, 0.2, 4, fold) for fold in range(4)]
    assert sorted(row for fold in folds for row in rows(fold.test_images)) == [*range(22)]
    assert all(set(rows(fold.images)).isdisjoint(rows(fold.test_images)) for fold in folds)
    assert max(len(fold.test_labels) for fold in folds) - min(len(fold.test_labels) for fold in folds) <= 3
    assert "(fold 2 of 4) are held out and scored" in folds[2].notes[0]
    with pytest.raises(InputError, match="class 'b' has fewer than two labelled images"):
        with_test_set(data((5, 1)), 0.2, 3)


def test_a_test_set_of_their_own_is_left_as_it_is():
    own = data((4, 4))._replace(test_images=data((1, 1)).images, test_labels=np.array([0, 1]))
    assert with_test_set(own, 0.5) is own
    with pytest.raises(InputError, match="folds are for data without a test set"):
        with_test_set(own, 0.5, 3)


def test_images_to_validate_by_stay_so():
    whole = data((10, 10), unlabeled=2, validation=(15, 20))
    found = with_test_set(whole, 0.2)
    first, last = found.validation
    assert rows(found.images)[first:last] == [15, 16, 17, 18, 19] and not {*rows(found.test_images)} & {*range(15, 20)}


def test_the_draw_is_by_names_so_that_other_images_change_little():
    """And for data without names by rows; never by a seed."""
    one, more = data((40, 40)), data((40, 40, 40))
    first = {*with_test_set(one, 0.25).names[60:]}
    second = {*with_test_set(more, 0.25).names[90:]}
    assert first < second  # a class that was added moves no image of the others
    unnamed = with_test_set(data((40, 40), names=False), 0.25)
    assert fingerprint(unnamed) == fingerprint(with_test_set(data((40, 40), names=False), 0.25)) and unnamed.names == ()


def test_what_is_large_is_copied_on_disk(tmp_path, monkeypatch):
    whole = data((30, 30))
    np.save(tmp_path / "x.npy", whole.images)
    mapped = whole._replace(images=np.load(tmp_path / "x.npy", mmap_mode="r"))
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "CHUNK", 7)
    found = with_test_set(mapped, 0.2)
    assert isinstance(found.images, np.memmap) and isinstance(found.test_images, np.memmap)
    assert fingerprint(found) == fingerprint(with_test_set(whole, 0.2)) and [*tmp_path.iterdir()] == [tmp_path / "x.npy"]


def test_copies_of_an_image_stay_together():
    """Or what is scored was learnt by heart."""
    random = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    random[5:9] = random[4]  # five copies in one class
    labels = np.repeat([0, 1], 10)
    whole = Dataset("x", random, labels, random[:0], labels[:0], ("a", "b"), tuple(f"{i}.png" for i in range(20)))
    folds = [with_test_set(whole, 0.2, 3, fold) for fold in range(3)]
    copies = [sum(name in {f"{i}.png" for i in range(4, 9)} for name in fold.names[-len(fold.test_labels) :]) for fold in folds]
    assert sorted(copies) == [0, 0, 5] and sum(len(fold.test_labels) for fold in folds) == 20
    for fraction in (0.1, 0.2, 0.5, 0.9):
        found = with_test_set(whole, fraction)
        assert not {image.tobytes() for image in found.images} & {image.tobytes() for image in found.test_images}
        assert {*found.labels.tolist()} == {0, 1}
