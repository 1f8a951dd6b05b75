"""What lies where: parts, classes and what else people have in their folders."""

import unicodedata
from pathlib import Path

import pytest

from ssl_zoo.data import layout as module
from ssl_zoo.data.layout import find_top, lay_out
from ssl_zoo.data.names import is_hidden, part_of
from ssl_zoo.errors import InputError

ROOT = Path("/photos")
CLASSES = ["ant/1.png", "ant/2.jpg", "bee/1.png"]


def below(part, names=CLASSES):
    return [f"{part}/{name}" for name in names]


def laid(*names):
    """The layout of files, with the folders that they lie in."""
    folders = {f"{parent}/" for name in names for parent in Path(name).parents if str(parent) != "."}
    return lay_out(ROOT, "", sorted({*names, *folders}))


def shown(layout):
    """Each part's images with their classes."""
    first, last = layout.validation
    kinds = [layout.classes[k] if k >= 0 else None for k in layout.labels]
    pairs = list(zip(layout.paths, kinds, strict=True))
    return {
        "train": pairs[:first],
        "validation": pairs[first:last],
        "unlabeled": [path for path, _ in pairs[last : layout.rows]],
        "test": pairs[layout.rows :],
    }


def test_parts_are_in_order_and_sorted():
    layout = laid(*below("test"), *below("train"), *below("val"), "unlabeled/2.png", "unlabeled/x/1.png")
    parts = shown(layout)
    assert parts["train"] == [("train/ant/1.png", "ant"), ("train/ant/2.jpg", "ant"), ("train/bee/1.png", "bee")]
    assert [path for path, _ in parts["validation"]] == below("val") and parts["unlabeled"] == [
        "unlabeled/2.png",
        "unlabeled/x/1.png",
    ]
    assert (
        [kind for _, kind in parts["test"]] == ["ant", "ant", "bee"]
        and layout.rows == 8
        and layout.labels.tolist()[6:8] == [-1, -1]
    )


@pytest.mark.parametrize(
    "word", ["unlabelled", "Unlabeled", "UNLABELLED", "un-labeled", "unlabeled photos", "not-labelled", "unsorted", "loose"]
)
def test_images_without_labels_by_other_words(word):
    layout = laid(*below("train"), f"{word}/1.png")
    assert shown(layout)["unlabeled"] == [f"{word}/1.png"]
    assert layout.notes == [f"'/photos/{word}' is taken as images without labels"] or word == "Unlabeled"


@pytest.mark.parametrize("word", ["val", "valid", "Validation", "dev"])
def test_validation_beside_a_test_set_is_to_validate_by_and_without_one_it_is_the_test_set(word):
    both = laid(*below("train"), *below("test"), *below(word))
    assert len(shown(both)["validation"]) == 3 == len(shown(both)["test"])
    alone = laid(*below("train"), *below(word))
    assert shown(alone)["validation"] == [] and len(shown(alone)["test"]) == 3 and alone.rows == 3
    assert alone.notes == [f"'/photos/{word}' is the test set, as there is no test/"]
    assert both.notes == ([] if word == "Validation" else [f"'/photos/{word}' is taken as the validation part"])


def test_class_folders_alone_are_the_training_part():
    layout = laid(*CLASSES, "unlabelled/1.png")
    assert shown(layout) == {
        "train": [("ant/1.png", "ant"), ("ant/2.jpg", "ant"), ("bee/1.png", "bee")],
        "validation": [],
        "unlabeled": ["unlabelled/1.png"],
        "test": [],
    }
    with_test = laid(*CLASSES, *below("test"))
    assert len(shown(with_test)["train"]) == 3 == len(shown(with_test)["test"]) and with_test.classes == ("ant", "bee")


def test_what_is_not_read_is_named():
    (line,) = laid(*below("train"), "extra/1.png", "more/a/1.png").notes
    assert line == "beside train/, extra/, more/ is not read; images without labels belong in unlabeled/"
    (line,) = laid(*CLASSES, "IMG_1.png", "IMG_2.png").notes
    assert line.startswith("in no folder of '/photos', and not read: 2 images, such as IMG_1.png; ")


@pytest.mark.parametrize("part", ["train", "test"])
def test_one_folder_too_many_in_a_part_is_gone_through(part):
    other = {"train": "test", "test": "train"}[part]
    layout = laid(*below(f"{part}/images"), *below(other))
    assert [kind for _, kind in shown(layout)[part]] == ["ant", "ant", "bee"] and layout.classes == ("ant", "bee")
    assert layout.notes == [f"the class folders of {part}/ lie in '/photos/{part}/images'"]


def test_folders_below_classes_are_part_of_them():
    layout = laid("train/ant/2020/1.png", "train/ant/2021/1.png", "train/bee/deep/er/1.png")
    assert layout.classes == ("ant", "bee") and layout.labels.tolist() == [0, 0, 1]


def test_folders_of_the_same_names_in_all_classes_are_said():
    """Parts in another language, perhaps."""
    names = [f"{kind}/{part}/{i}.png" for kind in ("ant", "bee") for part in ("entrainement", "essai") for i in range(2)]
    (line,) = laid(*names).notes
    assert line.startswith("each class folder of '/photos' holds entrainement/, essai/, and all images below are of that class; ")
    assert laid(*names, "bee/other/1.png").notes == laid("ant/a/1.png", "bee/a/1.png").notes == []


@pytest.mark.parametrize("word", ["train", "test", "dev"])
def test_a_class_that_is_called_as_a_part(word):
    with pytest.raises(InputError, match=rf"if '{word}' is a class, move all class folders into a new folder, rename that"):
        laid("bus/1.png", "car/1.png", f"{word}/1.png")
    followed = laid("train/bus/1.png", "train/car/1.png", f"train/{word}/1.png")
    assert followed.classes == tuple(sorted(("bus", "car", word)))


def test_two_spellings_of_an_accent_are_one_class():
    """A Mac writes é as two characters, other systems as one."""
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert one != two
    layout = laid(f"train/{one}/1.png", "train/ant/1.png", f"test/{two}/1.png", "test/ant/1.png")
    assert layout.classes == ("ant", one) and layout.labels.tolist() == [0, 1, 0, 1] and layout.notes == []
    assert laid(f"{one}/1.png", f"{two}/2.png", "ant/1.png").labels.tolist() == [0, 1, 1]


def test_a_class_without_test_images_is_said():
    layout = laid(*below("train"), "test/ant/1.png")
    assert layout.notes == ["'/photos/test' has no image of bee: scores are of the others"]
    empty = lay_out(ROOT, "", ["train/", "test/", "test/bee/", *below("train"), "test/ant/", "test/ant/1.png"])
    assert empty.notes == layout.notes and empty.labels.tolist() == layout.labels.tolist()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            below("train", ["ant/1.png"]),
            "has one class only, 'ant', so that any net is right; add a folder with images of another class$",
        ),
        (["ant/1.png"], "has one class only, 'ant'"),
        (
            [*below("train"), "test/cat/1.png"],
            "'/photos/test/cat' has no counterpart with labelled images in train/; add some to train/",
        ),
        ([*below("train"), "test/Ant/1.png"], "'/photos/test/Ant' has no counterpart .* rename it to ant"),
        ([*below("train"), *below("Training")], "has Training/ and train/, which say the same; join them"),
        (
            [*below("train"), "test/1.png", "test/2.png"],
            "'/photos/test' has 2 images in no class folder, such as '/photos/test/1.png'",
        ),
        ([*below("train"), "train/3.png"], r"'/photos/train' has 1 image in no class folder.* into train/<class>/, or move them"),
        (["1.png", "2.png", "labels.csv"], "no class folders; if '/photos/labels.csv' holds the labels"),
        (["1.png", "2.png"], "no class folders, only 2 images in no class folder; expected class folders <class>/<image>"),
        (["ant/train/1.png", "ant/test/2.png", "bee/train/1.png"], "'/photos/ant' holds train/: parts come first"),
        (
            [*below("train"), "train/cat/clip.mov"],
            "'/photos/train/cat' has no images, but 1 files of another kind, such as .*clip.mov",
        ),
        (
            ["Cat/1.png", "cat/2.png", "dog/1.png"],
            "the classes 'Cat' and 'cat' in '/photos' differ by case or spaces alone; join",
        ),
        (
            ["images/1.png", "images/2.png", "labels.csv"],
            "has one class only, 'images'.* if '/photos/labels.csv' holds the labels",
        ),
        (["test/ant/1.png", "unlabeled/2.png"], "'/photos' has test/, unlabeled/ and nothing to train on: no train/"),
        (["val/ant/1.png", "val/bee/1.png"], "'/photos' has val/ and nothing to train on"),
        (
            ["train/1.png", "test/2.png", "train.csv"],
            "1 image in no .*; if '/photos/train.csv' holds the labels, unpack",
        ),
        (["train/1.png", "test/2.png"], "if 'train' is a class, move all class folders into a new folder, rename that to train/"),
    ],
)
def test_what_no_net_can_be_trained_on_is_one_line(names, message):
    with pytest.raises(InputError, match=message) as caught:
        laid(*names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "top"),
    [
        (["train/ant/1.png"], ""),
        (["photos/train/ant/1.png", "photos/test/ant/1.png"], "photos/"),
        (["a/b/train/ant/1.png"], "a/b/"),
        (["photos/ant/1.png", "photos/bee/1.png", "README.md"], "photos/"),
        (["ant/1.png", "bee/1.png"], ""),
        (["ant/1.png"], ""),  # one class, which lay_out refuses
        (["photos/ant/1.png"], "photos/"),
        (["photos/ant/1.png", "loose.png"], ""),
        (["photos/ant/1.png", "more/bee/1.png"], ""),
    ],
)
def test_folders_around_the_data_are_gone_through(names, top):
    def children(prefix):
        rest = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return {(name.partition("/")[0], "/" in name) for name in rest}

    assert find_top(children) == top


def test_names_of_systems_and_parts():
    hidden = [".DS_Store", "._1.png", "@eaDir", "__pycache__", "Thumbs.db", "desktop.ini", "__MACOSX", "$RECYCLE.BIN"]
    assert all(map(is_hidden, hidden)) and not any(map(is_hidden, ["ant", "thumbs", "_x", "1.png"]))
    assert [part_of(name) for name in ("Train", "TEST", "va_lid", "ant", "trains", "tests")] == [
        "train",
        "test",
        "validation",
        None,
        None,
        None,
    ]


def test_of_a_folder_that_many_files_lie_in_there_is_one_text():
    names = [f"train/a class of its own/{i}.png" for i in range(2)]
    one, other = module._Sorting(Path("root"), "", names).pieces.values()
    assert one == ["train", "a class of its own", "0.png"] and one[1] is other[1]
