"""Labels in a table: what people and programs write, and one line with its number for everything that can be wrong."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_zoo.data.folder import folder
from ssl_zoo.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """Six images of one grey level each, in two folders that mean nothing."""
    for i in range(6):
        path = tmp_path / f"data/{'xy'[i % 2]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i, i, i)).save(path)
    return tmp_path / "data"


def table(root, *lines, name="labels.csv", **options):
    (root / name).write_text("".join(f"{line}\n" for line in lines), **options)
    return root / name


def rows(data):
    """Of training and test images: what they are, and their classes."""
    classes = [*data.classes, None]
    train = [(int(image[0, 0, 0]), classes[k]) for image, k in zip(data.images, data.labels, strict=True)]
    return train, [(int(image[0, 0, 0]), classes[k]) for image, k in zip(data.test_images, data.test_labels, strict=True)]


ALL = ("path,label", "x/0.png,ant", "y/1.png,bee", "x/2.png,ant", "y/3.png,")


def test_a_table_says_what_images_are(root):
    data = folder(table(root, *ALL))
    assert data.classes == ("ant", "bee") and data.names == ("x/0.png", "x/2.png", "y/1.png", "y/3.png")
    assert rows(data) == ([(0, "ant"), (2, "ant"), (1, "bee"), (3, None)], [])


def test_parts_of_a_table(root):
    lines = (
        "path,label,split",
        "x/0.png,ant,train",
        "y/1.png,bee,",
        "x/2.png,ant,test",
        "y/3.png,bee,valid",
        "x/4.png,,unlabelled",
    )
    data = folder(table(root, *lines))
    assert rows(data) == ([(0, "ant"), (1, "bee"), (3, "bee"), (4, None)], [(2, "ant")]) and data.validation == (2, 3)
    assert "the test part has no image of bee: scores are of the others" in data.notes


@pytest.mark.parametrize(
    ("mark", "header", "options"),
    [
        (",", "file_name,label", {}),  # Hugging Face's metadata.csv
        (";", "Path;Class", {}),  # a spreadsheet, in much of Europe
        ("\t", "image\ttarget", {}),
        (",", "label,path", {}),
        (",", "path,label", {"encoding": "utf-8-sig"}),
        (",", "path,label,width,height", {}),
    ],
)
def test_tables_as_programs_write_them(root, mark, header, options):
    names = header.casefold().split(mark)
    lines = []
    for path, label in (line.split(",") for line in ALL[1:]):
        known = {"path": path, "file_name": path, "image": path, "label": label, "class": label, "target": label}
        lines.append(mark.join(known.get(name, "4") for name in names))
    assert rows(folder(table(root, header, *lines, **options))) == rows(folder(table(root, *ALL, name="other.csv")))


def test_images_beside_those_of_the_table_are_said(root):
    (note,) = folder(table(root, *ALL)).notes
    assert note.startswith("2 images beside those of the table are not in it and not used, such as '") and "x/4.png'" in note
    rest = [*ALL, "x/4.png,", "y/5.png,NaN"]  # as pandas writes what is not there
    data = folder(table(root, *rest))
    assert data.notes == ("images changed since they were last decoded (2 new); the others were not decoded again",)
    assert data.labels.tolist() == [0, 0, 1, -1, -1, -1] and data.classes == ("ant", "bee")


def test_paths_of_windows(root):
    lines = [line.replace("/", "\\") for line in ALL]
    assert rows(folder(table(root, *lines))) == rows(folder(table(root, *ALL, name="other.csv")))


def test_numbers_are_classes_in_their_order(root):
    data = folder(table(root, "path,label", "x/0.png,10", "y/1.png,9", "x/2.png,10"))
    assert data.classes == ("9", "10") and data.labels.tolist() == [1, 1, 0]


def test_quotes_and_folders_elsewhere(root, tmp_path):
    (root / "x/a, b.png").write_bytes((root / "x/0.png").read_bytes())
    data = folder(table(root, "path,label", '"x/a, b.png",ant', f"{root / 'y/1.png'},bee"))
    assert len(data.images) == 2
    apart = table(tmp_path, *ALL, name="apart.csv")
    assert rows(folder(root, labels_file=str(apart))) == rows(folder(table(root, *ALL)))


def test_a_table_or_image_that_changes_is_read_anew(root):
    first = folder(table(root, *ALL))
    assert folder(root / "labels.csv").labels.tolist() == first.labels.tolist()
    changed = folder(table(root, *ALL[:4], "y/3.png,bee"))
    assert changed.labels.tolist() == [0, 0, 1, 1]
    Image.new("RGB", (4, 4), (99, 99, 99)).save(root / "x/0.png")
    assert folder(root / "labels.csv").images[0, 0, 0, 0] == 99


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("path,label", "x/0.png,ant", "x/9.png,bee"),
            r"name files that are not there: 'x/9.png' \(line 3\); paths are relative to",
        ),
        (("path,label", "x/0.png,ant", "y/1.png,bee", "x/../x/0.png,ant"), r"line 4: 'x/../x/0.png' stands in line 2 already"),
        (
            ("path,label", "x/0.png,ant", "y/1.png,Ant"),
            r"line 3: the class 'Ant' differs by case or spaces alone from 'ant' \(line 2\)",
        ),
        (("path,label", "x/0.png,ant", "y/1.png, ant"), "line 3: the class ' ant' differs by case or spaces"),
        (
            ("path, label", "x/0.png, ant", "y/1.png, bee"),
            "line 2: the label ' ant' has spaces around it, and so has 1 more",
        ),
        (("path,label", "x/0.png,ant", "y/1.png,ant"), "have one class only, 'ant'"),
        (("path,label", "x/0.png,", "y/1.png,"), "have no label"),
        (
            ("x/0.png,ant", "y/1.png,bee"),
            "line 1: no column path in x/0.png, ant; expected a header with the columns path and label",
        ),
        (("path,name", "x/0.png,ant"), "line 1: no column label in path, name"),
        (("path,file,label",), "line 1: path and file both are a path; keep one"),
        (("path,label", "x/0.png,ant,more"), "line 2: 3 fields where the header has 2; quote"),
        (("path,label", ",ant"), "line 2: no path"),
        (("path,label,split", "x/0.png,ant,holdout"), "line 2: split 'holdout' is none of train, test, validation, unlabeled"),
        (("path,label,split", "x/0.png,,test"), "line 2: an image to score has no label"),
        (("path,label,split", "x/0.png,ant,unlabeled"), "line 2: split unlabeled, but a label 'ant'"),
        (
            ("path,label,split", "x/0.png,ant,", "y/1.png,bee,", "x/2.png,cat,test"),
            "line 4: no image of the class 'cat' is to be trained on",
        ),
    ],
)
def test_a_wrong_table_is_one_line_that_says_which(root, lines, message):
    with pytest.raises(InputError, match=message) as caught:
        folder(table(root, *lines))
    assert "\n" not in str(caught.value) and "labels.csv" in str(caught.value)


def test_excel_says_the_separator_first(root):
    lines = ("sep=;", *(line.replace(",", ";") for line in ALL))
    assert rows(folder(table(root, *lines))) == rows(folder(table(root, *ALL)))
    with pytest.raises(InputError, match="line 3: no path"):
        folder(table(root, "sep=;", "path;label", ";ant"))


def test_a_quote_that_is_not_closed_is_named_where_it_is_opened(root):
    with pytest.raises(InputError, match=r"line 3: 1 fields where .* a quote that is opened there is not closed in that line"):
        folder(table(root, "path,label", "x/0.png,ant", '"y/1.png,bee', "x/2.png,ant", "y/3.png,bee"))
    with pytest.raises(InputError, match="line 3: a quote that is opened there is not closed in that line"):
        folder(table(root, "path,label", "x/0.png,ant", 'y/1.png,"bee', "x/2.png,ant"))
    whole = table(root, "path,label,note", 'x/0.png,ant,"two', 'lines"', "y/1.png,bee,", "x/9.png,bee,")
    with pytest.raises(InputError, match=r"'x/9.png' \(line 5\)"):
        folder(whole)


def test_what_a_path_may_mean(root):
    Image.new("RGB", (4, 4)).save(root / "y/0.png")
    both = "'x/0.png' or 'y/0.png'"
    for given, meant in (("0.png", both), ("1", "'y/1.png'"), ("z\\3.png", "'y/3.png'"), ("C:\\me\\Y\\0.png", "'y/0.png'")):
        with pytest.raises(InputError, match=rf"Does '.*' mean {meant}\? Write paths with folder and ending"):
            folder(table(root, "path,label", f"{given},ant", "x/2.png,bee"))


def test_paths_without_ending_are_the_one_image_of_that_name(root):
    assert rows(folder(table(root, "id,labels", "x/0,ant", "y/1,bee", "x/2,ant", "y/3,"))) == rows(folder(table(root, *ALL)))
    Image.new("RGB", (4, 4)).save(root / "x/0.jpg")
    with pytest.raises(InputError, match=r"not there: 'x/0' \(line 2\).* Does 'x/0' mean 'x/0.jpg' or 'x/0.png'\?"):
        folder(table(root, "path,label", "x/0,ant", "y/1,bee"))


def test_a_table_beside_its_images_or_of_an_archive(root, tmp_path):
    table(root, *ALL)
    assert rows(folder(root, labels_file="labels.csv")) == rows(folder(root / "labels.csv"))
    shutil.make_archive(str(tmp_path / "packed"), "zip", root)
    with pytest.raises(InputError, match=r"needs images in a folder, and '.*packed.zip' is none; unpack an archive"):
        folder(tmp_path / "packed.zip", labels_file=str(root / "labels.csv"))


def test_a_table_that_is_not_text(root):
    (root / "labels.csv").write_bytes("path,label\nx/0.png,caf\xe9\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"are not in UTF-8 .*; save the table as CSV in UTF-8"):
        folder(root / "labels.csv")
    with pytest.raises(InputError, match=r"none.csv' cannot be read"):
        folder(root, labels_file=str(root / "none.csv"))


def test_broken_images_of_a_table(root):
    (root / "x/0.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"x/0.png' is not an image that can be read \(no known format\)"):
        folder(table(root, *ALL))
    data = folder(root / "labels.csv", skip_broken=True)
    assert rows(data)[0] == [(2, "ant"), (1, "bee"), (3, None)] and len(data.skipped) == 1
    assert np.array_equal(data.labels, [0, 1, -1])
