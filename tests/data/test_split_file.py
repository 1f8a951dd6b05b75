"""A split as a file: checked, and found again by the names of its images or by their rows."""

import json

import numpy as np
import pytest

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.split_file import read_split, write_split
from ssl_zoo.data.splits import Split, draw_split, hold_out
from ssl_zoo.errors import InputError

LABELS = np.arange(40) % 4  # ten rows of each of four classes
LABELS[36:] = -1  # now nine


def data(labels=LABELS, name="d", names=(), seed=0, side=5):
    """Images of noise, one for each label."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), side, side, 1), dtype=np.uint8)
    return Dataset(name, images, np.asarray(labels), images[:2], np.array([0, 1]), tuple("abcd"), tuple(names))


def test_file_round_trip(tmp_path):
    path = tmp_path / "new" / "split.json"
    split = draw_split("d", LABELS, 4, 10, 1)
    for _ in range(2):  # a second time over the first
        write_split(split, path)
    back = read_split(path, data()).split
    assert back.hash == split.hash and back.seed == 1 and back.labels == 10
    np.testing.assert_array_equal(back.rows, split.rows)
    np.testing.assert_array_equal(back.classes, split.classes)
    assert [file.name for file in path.parent.iterdir()] == ["split.json"]
    assert len(path.read_text().splitlines()) == 8  # a line for each key


def test_unwritable_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        write_split(draw_split("d", LABELS, 4, 10, 1), tmp_path / "file" / "split.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1, 2]", "is not a mapping"),
        ('{"dataset": "d", "rows": []}', "lacks labels, seed, classes, hash"),
        ('{"dataset": "d", "labels": 1, "seed": 0, "rows": [1.0], "classes": [0], "hash": ""}', "rows is not a list"),
        ('{"dataset": "d", "labels": 1, "seed": 0, "rows": [1], "classes": "0", "hash": ""}', "classes is not a list"),
    ],
)
def test_files_that_are_no_splits(tmp_path, text, message):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_split(path, data())
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_split(tmp_path / "none.json", data())


def test_edited_file(tmp_path):
    path = tmp_path / "split.json"
    write_split(draw_split("d", LABELS, 4, 10, 1), path)
    content = json.loads(path.read_text())
    for key, value in {"rows": [0, *content["rows"][1:]], "classes": [3] * 10, "dataset": "e"}.items():
        path.write_text(json.dumps({**content, key: value}))
        with pytest.raises(InputError, match="was changed: it says hash"):
            read_split(path, data())
    path.write_text(json.dumps({**content, "labels": 11}))
    with pytest.raises(InputError, match="do not fit together"):
        read_split(path, data())


def test_rows_that_are_not_ascending(tmp_path):
    path = tmp_path / "split.json"
    write_split(Split("d", 2, 0, np.array([3, 3]), np.array([3, 3])), path)
    with pytest.raises(InputError, match="do not fit together"):
        read_split(path, data())


def test_file_of_other_data(tmp_path):
    path = tmp_path / "split.json"
    split = draw_split("d", LABELS, 4, 36, 1)
    write_split(split, path)
    with pytest.raises(InputError, match="is for d, not for e"):
        read_split(path, data(name="e"))
    with pytest.raises(InputError, match="names row 20 and d has 20 rows"):
        read_split(path, data(LABELS[:20]))
    with pytest.raises(InputError, match="has class 0 for row 0, d has -1"):
        read_split(path, data(np.full(40, -1)))


# Data that have changed since


def named(count=40, classes=4):
    """Images that are files, sorted by their paths as those of class folders, with some that have no class at the end."""
    paths = sorted(f"train/{'abcd'[i % classes]}/{i:02}.png" for i in range(count))
    labels = ["abcd".index(path.split("/")[1]) for path in paths] + [-1] * 4
    paths += [f"unlabeled/{i}.png" for i in range(4)]
    return data(np.array(labels), names=(*paths, "test/a/0.png", "test/b/0.png"))


def without(of, row):
    return of._replace(
        images=np.delete(of.images, row, axis=0), labels=np.delete(of.labels, row), names=of.names[:row] + of.names[row + 1 :]
    )


def with_one(of, name, label):
    """With one image more, at the place of its name."""
    row = sum(other < name for other in of.names[: len(of.labels)])
    images = np.insert(of.images, row, 7, axis=0)
    return of._replace(images=images, labels=np.insert(of.labels, row, label), names=(*of.names[:row], name, *of.names[row:]))


def renamed(of, row, name):
    return of._replace(names=(*of.names[:row], name, *of.names[row + 1 :]))


@pytest.fixture
def kept(tmp_path):
    """A file, its data, its split, and a row that is labelled and one that is not, both in the middle."""
    of, path = named(), tmp_path / "split.json"
    split = draw_split("d", of.labels, 4, 12, 1)
    write_split(split, path, hold_out(split, 0.34), of)
    inside = int(split.rows[5])
    outside = next(row for row in range(12, 30) if row not in split.rows)
    return path, of, split, inside, outside


def names_of(of, rows):
    return [of.names[row] for row in rows]


def test_what_the_file_says_of_images_with_names(kept):
    path, of, split, *_ = kept
    content = json.loads(path.read_text())
    assert content["names"] == names_of(of, split.rows) and content["validation_names"] == names_of(of, content["validation"])
    assert content["shape"] == [5, 5, 1] and len(content["pixels"]) == 12 and {len(digits) for digits in content["pixels"]} == {8}
    assert content["hash"] == split.hash == draw_split("d", of.labels, 4, 12, 1).hash


def test_of_the_same_data_it_is_the_same_split(kept):
    path, of, split, *_ = kept
    found = read_split(path, of)
    assert found.split.hash == split.hash and found.replaced == () and np.array_equal(found.split.rows, split.rows)
    assert np.array_equal(found.validation, hold_out(split, 0.34)) and found.split.draw == "equal"


@pytest.mark.parametrize("name", ["train/a/000.png", "train/b/99.png", "train/d/xx.png", "unlabeled/00.png"])
def test_images_that_came_move_no_label(kept, name):
    path, of, split, *_ = kept
    more = with_one(of, name, "abcd".find(name.split("/")[1]) if name.startswith("train") else -1)
    found = read_split(path, more)
    assert names_of(more, found.split.rows) == names_of(of, split.rows) and found.replaced == ()
    assert found.split.classes.tolist() == more.labels[found.split.rows].tolist() and (np.diff(found.split.rows) > 0).all()
    assert names_of(more, hold_out(found.split, 0.34, found.validation)) == names_of(of, hold_out(split, 0.34))
    assert (found.split.hash == split.hash) == (name in ("unlabeled/00.png", "train/d/xx.png")), "rows, which these do not move"


def test_and_so_through_a_second_file(kept, tmp_path):
    path, of, split, *_ = kept
    more = with_one(with_one(of, "train/a/000.png", 0), "train/c/000.png", 2)
    found = read_split(path, more)
    write_split(found.split, tmp_path / "again.json", hold_out(found.split, 0.34, found.validation), more)
    again = read_split(tmp_path / "again.json", of)
    assert names_of(of, again.split.rows) == names_of(of, split.rows) and again.split.hash == split.hash
    assert np.array_equal(hold_out(again.split, 0.34, again.validation), hold_out(split, 0.34))


def test_images_that_went_or_have_another_name_elsewhere_move_no_label(kept):
    path, of, split, _, outside = kept
    for other in (without(of, outside), renamed(of, outside, "train/a/other.png"), without(of, 41)):
        found = read_split(path, other)
        assert names_of(other, found.split.rows) == names_of(of, split.rows) and found.replaced == ()


def test_a_labelled_image_that_is_gone_is_named(kept):
    path, of, _, inside, _ = kept
    name = of.names[inside]
    with pytest.raises(InputError, match=rf"names '{name}', which is no training image of d any more; put it back, or draw"):
        read_split(path, without(of, inside))
    with pytest.raises(InputError, match=rf"names '{name}', .* any more \(its pixels are those of 'train/d/moved.png'\); put"):
        read_split(path, renamed(of, inside, "train/d/moved.png"))


def test_a_labelled_image_of_another_class_is_named(kept):
    path, of, _, inside, _ = kept
    k = int(of.labels[inside])
    for now, said in (((k + 1) % 4, rf"{(k + 1) % 4} \('{'abcd'[(k + 1) % 4]}'\)"), (-1, "unknown")):
        labels = of.labels.copy()
        labels[inside] = now
        with pytest.raises(InputError, match=rf"has class {k} for '{of.names[inside]}', and in d its class is {said}"):
            read_split(path, of._replace(labels=labels))


def test_a_class_that_came_is_named(kept):
    path, of, *_ = kept
    with pytest.raises(InputError, match="has no image of the class 'e' of d: it is of other classes"):
        read_split(path, with_one(of, "train/e/0.png", 4)._replace(classes=tuple("abcde")))


def test_a_replaced_image_is_noticed_if_it_is_labelled(kept):
    path, of, split, inside, outside = kept
    for row, replaced in ((inside, (of.names[inside],)), (outside, ())):
        images = of.images.copy()
        images[row, 0, 0, 0] ^= 1
        found = read_split(path, of._replace(images=images))
        assert found.replaced == replaced and found.split.hash == split.hash


def test_images_of_another_size_are_the_same_images(kept):
    path, of, split, *_ = kept
    found = read_split(path, of._replace(images=of.images[:, :4]))
    assert found.replaced == () and found.split.hash == split.hash


def test_without_names_the_row_and_the_pixels_tell(tmp_path):
    path, of = tmp_path / "split.json", data()
    split = draw_split("d", LABELS, 4, 8, 0)
    write_split(split, path, data=of)
    assert "names" not in json.loads(path.read_text())
    assert read_split(path, of).split.hash == split.hash
    row = int(split.rows[3])
    images = of.images.copy()
    images[row] += 1
    with pytest.raises(InputError, match=rf"split\.json: row {row} of d has other pixels now: it is of other data"):
        read_split(path, of._replace(images=images))
    assert read_split(path, data(side=6)).split.hash == split.hash, "of another size nothing can be said"


def test_a_file_of_before_has_neither_names_nor_pixels_and_is_read_by_row(tmp_path):
    path, of = tmp_path / "split.json", named()
    split = draw_split("d", of.labels, 4, 12, 1)
    write_split(split, path, hold_out(split, 0.34))
    assert {*json.loads(path.read_text())} == {"dataset", "labels", "seed", "hash", "rows", "classes", "validation"}
    found = read_split(path, of)
    assert found.split.hash == split.hash and np.array_equal(found.validation, hold_out(split, 0.34))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("names", ["x"], "do not fit together"),
        ("names", 3, "names is not a list of texts"),
        ("pixels", [1] * 12, "pixels is not a list of texts"),
        ("pixels", [], "do not fit together"),
        ("validation", [10**6], "do not fit together"),
        ("validation", "all", "validation is not a list of whole numbers"),
        ("labels", [12], "do not fit together"),
        ("draw", ["equal"], "do not fit together"),
    ],
)
def test_parts_that_do_not_fit(kept, key, value, message):
    path, of, *_ = kept
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=message):
        read_split(path, of)


def test_other_held_out_images_where_another_share_is_asked_for(kept):
    path, of, split, *_ = kept
    found = read_split(path, of)
    assert np.array_equal(hold_out(found.split, 0.5, found.validation), hold_out(split, 0.5))
    assert len(hold_out(found.split, 0, found.validation)) == 0
    with pytest.raises(InputError, match="leaves class 0 no labelled image"):
        one_class = split.rows[split.classes == 0]
        hold_out(split, 0.25, one_class)
