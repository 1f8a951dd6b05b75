"""What to label next: the choice on numbers with known answers; a table that loses nothing and can be trained on."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssl_zoo
from ssl_zoo import DATASETS
from ssl_zoo.data.splits import draw_split
from ssl_zoo.errors import InputError
from ssl_zoo.using.label_next import POOL, choose, label_next
from tests.using.trained import CLASSES, photos, put, train

DIGITS = DATASETS.create("digits", None)


# The choice


def sure(margins):
    """Probabilities of three classes with these margins."""
    m = np.asarray(margins, dtype=float)
    return np.stack([(1 + m) / 2 - 0.01, (1 - m) / 2 - 0.01, np.full(len(m), 0.02)], axis=1)


def at(places):
    """Features on a line, of whichever images are asked for."""
    return lambda some: np.asarray(places, dtype=float)[some][:, None]


def chosen(margins, places, count, **more):
    found, pool, copies = choose(sure(margins), at(places), count, **more)
    return found.tolist(), pool, copies


def test_of_each_cluster_the_image_nearest_to_its_centre():
    places = [0, 1, 2, 100, 101, 103]  # centres 1 and 101 1/3
    assert chosen([0.5] * 6, places, 2) == ([1, 4], 6, 0)
    assert chosen([0.9, 0.9, 0.9, 0.9, 0.9, 0.0], places, 2) == ([5, 1], 6, 0)  # 102.58; and the least sure first


def test_one_image_is_that_with_the_least_margin():
    assert chosen([0.3, 0.2, 0.1, 0.4], [0, 0, 50, 0], 1) == ([2], 1, 0)
    assert chosen([0.1, 0.1], [0, 1], 1) == ([0], 1, 0)  # of equal ones the first


@pytest.mark.parametrize("count", [4, 5, 100])
def test_as_many_as_there_are_or_more_take_all_the_least_sure_first(count):
    assert chosen([0.3, 0.2, 0.1, 0.4], [0, 1, 2, 3], count) == ([2, 1, 0, 3], 4, 0)


def test_nothing_is_chosen_that_is_not_in_the_pool():
    margins = np.linspace(0, 1, 100)
    places = np.where(np.arange(100) < 2 * POOL, np.arange(100) % 2, np.arange(100) * 1000)  # the sure ones lie far out
    found, pool, _ = chosen(margins, places, 2)
    assert pool == 2 * POOL and sorted(places[found]) == [0, 1] and max(found) < pool


def test_two_classes_and_the_most_probable_alone_will_do():
    two = np.array([[0.5, 0.5], [0.9, 0.1], [0.6, 0.4]])
    assert choose(two, at([0, 1, 2]), 1)[0].tolist() == [0]
    p = np.random.default_rng(0).dirichlet(np.ones(7), 80)
    features = np.random.default_rng(1).normal(size=(80, 4))
    whole = choose(p, lambda some: features[some], 5)[0]
    assert (choose(-np.sort(-p, axis=1)[:, :2], lambda some: features[some], 5)[0] == whole).all()
    assert (choose(p, lambda some: features[some], 5)[0] == whole).all() and len({*whole.tolist()}) == 5


def test_no_two_copies_and_none_of_what_is_labelled():
    content = ["a", "b", "a", "c", "b", "d"]
    given = {"content": content.__getitem__, "taken": ["c"]}
    assert chosen([0.1, 0.2, 0.0, 0.3, 0.25, 0.4], range(6), 6, **given) == ([2, 1, 5], 3, 3)
    assert chosen([0.1, 0.2, 0.0, 0.3, 0.25, 0.4], range(6), 1, **given) == ([2], 1, 0)
    with pytest.raises(InputError, match="all 6 images without a label are copies of images that have one"):
        chosen([0.1] * 6, range(6), 2, content=content.__getitem__, taken=[*"abcd"])


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_images_that_are_all_alike_to_the_net_are_chosen_all_the_same(margin):
    probabilities = np.tile([margin / 2 + 0.5, 0.5 - margin / 2], (30, 1))
    found = choose(probabilities, lambda some: np.zeros((len(some), 3)), 4)[0]
    assert found.tolist() == sorted({*found.tolist()}) and len(found) == 4


@pytest.mark.parametrize(
    ("n", "count", "message"), [(3, 0, "count = 0 is out of range"), (3, -1, "count = -1"), (0, 1, "no image without a label")]
)
def test_nothing_to_choose(n, count, message):
    with pytest.raises(InputError, match=message):
        choose(np.full((n, 2), 0.5), at(range(n)), count)


@pytest.mark.slow
def test_what_is_chosen_teaches_more_than_images_at_random(tmp_path):
    """On digits with 20 labels and 20 more, the mean of some draws."""

    def accuracy(known, seed, name):
        labels = np.full(len(DIGITS.labels), -1)
        labels[known] = DIGITS.labels[known]
        given = {"alg": "supervised", "net": "smallnet", "labels": "all", "steps": 100, "seed": seed, "evaluation.every": 100}
        settings = ssl_zoo.recipe("digits", **given, device="cpu", precision="fp32")
        data = (DIGITS.images, labels, DIGITS.test_images, DIGITS.test_labels)
        return ssl_zoo.run(settings, tmp_path / name, data=data, quiet=True)["accuracy"]

    gains = []
    for seed in range(4):
        known = draw_split("digits", DIGITS.labels, 10, 20, seed).rows
        accuracy(known, seed, f"{seed}")
        net, rest = ssl_zoo.load(tmp_path / f"{seed}", "cpu"), np.setdiff1d(np.arange(len(DIGITS.labels)), known)
        images = DIGITS.images[rest]
        found = choose(net.predict_proba(images), lambda some, net=net, images=images: net.features(images[some]), 20)[0]
        other = np.random.default_rng(seed).permutation(len(rest))[:20]
        of = [accuracy(np.union1d(known, rest[some]), seed, f"{seed}-{name}") for some, name in ((found, "a"), (other, "b"))]
        gains.append(of[0] - of[1])
    assert np.mean(gains) > 0.01, gains


# A run and its images


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with photos, some without labels and some of them copies, and a run on it."""
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        root = photos(top / "photos")
        loose = root / "unlabeled"
        put(loose, 14, 70)
        for name, original in (("copy.png", loose / "3.png"), ("of-ant.png", root / "train/ant/0.png")):
            shutil.copy(original, loose / name)
        shutil.copy(root / "test/bee/1.jpg", loose / "of-test.jpg")
        train(root, top / "run")
    return top


@pytest.fixture(autouse=True)
def cached(made, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(made / "cache"))
    monkeypatch.chdir(tmp_path)


def table(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return rows, [(Path(path).parent / row["path"]).resolve() for row in rows]


def test_the_table_holds_all_images_with_the_labels_that_the_run_had(made, tmp_path):
    found = label_next(made / "run", 4, "next", device="cpu")
    rows, paths = table(found.table)
    assert [*rows[0]] == ["path", "label", "split", "guess", "confidence"] and len(paths) == len({*paths}) == 24 + 15 + 17
    assert [str(path) for path in paths[:4]] == found.paths and all(path.is_file() for path in paths)
    assert (found.candidates, found.copies, found.pool, found.errors, found.hidden) == (17, 3, 14, (), 0)
    for row, path in zip(rows, paths, strict=True):
        part, name = path.parent.parent.name, path.parent.name
        wanted = {"train": (name, "train"), "test": (name, "test")}.get(part, ("", ""))
        assert (row["label"], row["split"]) == wanted
    net = ssl_zoo.load(made / "run", "cpu")
    p = net.predict_proba(paths[:4])
    assert [row["guess"] for row in rows[:4]] == [CLASSES[k] for k in p.argmax(axis=1)]
    assert [float(row["confidence"]) for row in rows[:4]] == pytest.approx(p.max(axis=1).tolist(), rel=1e-3)
    assert {bool(row["guess"]) for row, path in zip(rows, paths, strict=True) if "unlabeled" in str(path)} == {True}
    again = DATASETS.create("folder", found.table, image_size=16)
    was = DATASETS.create("folder", made / "photos", image_size=16)
    for part in ("labels", "test_labels"):
        assert np.bincount(getattr(again, part) + 1).tolist() == np.bincount(getattr(was, part) + 1).tolist()
    assert again.classes == was.classes and (again.labels == -1).sum() == 17


def test_no_copy_is_chosen_and_none_of_a_labelled_or_scored_image(made):
    found = label_next(made / "run", 50, "next", device="cpu")
    names = [Path(path).name for path in found.paths]
    assert len(names) == 14 and not {"of-ant.png", "of-test.jpg"} & {*names} and len({"copy.png", "3.png"} & {*names}) == 1
    p = ssl_zoo.load(made / "run", "cpu").predict_proba(found.paths)
    margins = np.sort(p, axis=1)[:, -1] - np.sort(p, axis=1)[:, -2]
    assert (np.diff(margins) >= -1e-6).all()


def test_the_same_call_gives_the_same_files(made, tmp_path):
    label_next(made / "run", 4, "a/next", device="cpu")
    label_next(made / "run/model.safetensors", 4, "a/again", device="cpu")
    before = {path.name: path.read_bytes() for path in Path("a/next").iterdir()}
    assert before == {path.name: path.read_bytes() for path in Path("a/again").iterdir()}
    assert {*before} == {"contact.html", "labels.csv", "recipe.yaml"}
    label_next(made / "run", 4, "a/next", device="cpu")
    assert before == {path.name: path.read_bytes() for path in Path("a/next").iterdir()}


def test_paths_are_relative_within_a_tree_and_absolute_elsewhere(made, tmp_path):
    beside = label_next(made / "run", 1, made / "beside", device="cpu").table
    assert {row["path"].partition("/unlabeled")[0] for row in table(beside)[0][:1]} == {"../photos"}
    assert {row["path"][0] for row in table(label_next(made / "run", 1, "next", device="cpu").table)[0]} == {"/"}
    (made / "link").symlink_to(tmp_path / "next")
    linked = label_next(made / "run", 1, made / "link", device="cpu").table
    assert all(path.is_file() for path in table(linked)[1])
    shutil.rmtree(made / "beside")
    (made / "link").unlink()


def test_labels_that_the_run_did_not_use_are_candidates_where_all_are_known(made, tmp_path):
    root = photos(tmp_path / "photos")
    train(root, tmp_path / "few", labels=6)
    found = label_next("few", 3, "next", device="cpu")
    rows, _ = table(found.table)
    assert (found.candidates, found.hidden) == (18, 18) and len(found.paths) == 3
    assert [row["split"] for row in rows if row["label"]].count("train") == 6
    put(root / "unlabeled", 2, 70)
    train(root, tmp_path / "more", labels=6)
    found = label_next("more", 3, "other", device="cpu")
    assert (found.candidates, found.hidden) == (2, 18) and all("unlabeled" in path for path in found.paths)
    assert sum(not row["label"] for row in table(found.table)[0]) == 20


def test_parts_stay_what_they_were(made, tmp_path):
    root = photos(tmp_path / "photos", test=False)
    put(root / "unlabeled", 3, 70)
    train(root, tmp_path / "run", val_fraction=0.25)
    split = json.loads(Path("run/split.json").read_text())
    found = label_next("run", 2, "next", device="cpu")
    rows, paths = table(found.table)
    parts = {
        part: {str(p) for row, p in zip(rows, paths, strict=True) if row["split"] == part} for part in ("test", "validation")
    }
    assert len(parts["test"]) == 6 and {f"{root}/{name}" for name in split["validation_names"]} == parts["validation"]
    train(found.table, tmp_path / "second", initial=str(tmp_path / "run"))
    second = ssl_zoo.load("second", "cpu").about["row"]
    assert second["scored"] == "test" and second["config"]["val_fraction"] == 0
    again = label_next("second", 2, "next-2", device="cpu")
    rows, paths = table(again.table)
    assert {str(p) for row, p in zip(rows, paths, strict=True) if row["split"] == "test"} == parts["test"]


def labelled(path, count, name="bee", mark=","):
    with Path(path).open(newline="") as file:
        rows = [*csv.reader(file)]
    for row in rows[1 : count + 1]:
        row[1] = name
    with Path(path).open("w", newline="") as file:
        csv.writer(file, delimiter=mark).writerows(rows)


def test_labels_that_somebody_has_written_are_not_lost(made, tmp_path):
    found = label_next(made / "run", 4, "next", device="cpu")
    for mark in (",", ";"):
        labelled(found.table, 2, mark=mark)
        before = found.table.read_bytes(), found.contact.read_bytes()
        with pytest.raises(
            InputError, match=r"has 2 labels that the run does not know, such as 'bee' for '.*'; train on it first"
        ):
            label_next(made / "run", 4, "next", device="cpu")
        assert (found.table.read_bytes(), found.contact.read_bytes()) == before
        found.table.unlink()
        label_next(made / "run", 4, "other", device="cpu")
        shutil.copy("other/labels.csv", found.table)
    labelled(found.table, 2)
    train(found.table, tmp_path / "second", initial=str(made / "run"))
    with pytest.raises(InputError, match=r"the run was trained on '.*/next/labels.csv' and needs it"):
        label_next("second", 4, "next", device="cpu")
    shutil.copytree("next", "copy")
    again = label_next("second", 4, "copy", device="cpu")  # which knows them
    rows, _ = table(again.table)
    assert sum(row["label"] == "bee" and row["split"] == "train" for row in rows) == 8 + 2
    assert [row["label"] for row in rows[:4]] == [""] * 4
    assert label_next("second", 4, "copy", device="cpu").candidates == 15  # the run is what it was
    with pytest.raises(InputError, match="that the run does not know"):
        label_next(made / "run", 4, "next", device="cpu")


@pytest.mark.parametrize("labels_file", [None, "labels.csv", "next/labels.csv"])
def test_the_run_s_own_table_is_not_written_over(made, tmp_path, labels_file):
    """However it was named, and wherever it is now."""
    found = label_next(made / "run", 4, "next", device="cpu")
    root = found.table if labels_file is None else found.table.parent
    train(root, tmp_path / "second", **({} if labels_file is None else {"datasets.folder.labels_file": labels_file}))
    Path("link").symlink_to("next")
    for out in ("next", "link", tmp_path / "next"):
        with pytest.raises(InputError, match=r"the run was trained on '.*'.*; choose another folder"):
            label_next("second", 4, out, device="cpu")
    shutil.copytree("next", "moved")
    shutil.copy(found.table, "moved/labels.csv")
    with pytest.raises(InputError, match="the run was trained on"):
        label_next("second", 4, "next", data_root="moved/labels.csv" if labels_file is None else "moved", device="cpu")
    assert label_next("second", 4, "other", device="cpu").candidates == 17


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "labels.csv",
            "path,label\na.png,ant\n",
            "labels.csv' is there, and is no table of images to label; choose another folder",
        ),
        ("labels.csv", "\xff\x00", "labels.csv' is there, and is no table of images"),
        ("contact.html", "mine", "contact.html' is there, and no labels.csv with it; choose another folder"),
        ("recipe.yaml", "mine", "recipe.yaml' is there, and no labels.csv with it; choose another folder"),
    ],
)
def test_what_is_no_such_file_is_not_written_over(made, name, text, message):
    Path("next").mkdir()
    Path("next", name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        label_next(made / "run", 4, "next", device="cpu")
    assert Path("next", name).read_text(encoding="latin-1") == text and len([*Path("next").iterdir()]) == 1


def test_other_images(made, tmp_path):
    put(tmp_path / "new", 5, 90)
    put(tmp_path / "new/ant", 2, 10)
    (tmp_path / "new/broken.png").write_bytes(b"no")
    shutil.copy(made / "photos/train/cat/2.png", tmp_path / "new/known.png")
    found = label_next(made / "run", 3, "next", images=["new", made / "photos/train", "new/0.png"], device="cpu")
    assert (found.candidates, found.labeled, len(found.errors)) == (
        6,
        2 + 24,
        1,
    ) and "broken.png': no known format" in found.errors[0]
    rows, paths = table(found.table)
    assert {path.parent for path in paths[:3]} == {tmp_path / "new"} and len({*paths}) == len(paths) == 24 + 15 + 17 + 6
    assert "known.png" not in {path.name for path in paths[:3]} and [row["path"][:2] for row in rows[:3]] == ["..", "..", ".."]
    everything = label_next(made / "run", 9, "all", images=["new"], device="cpu")
    assert (len(everything.paths), everything.copies) == (5, 1)
    assert all(DATASETS.create("folder", found.table, image_size=16).labels[:24] >= 0)


def test_a_run_on_data_of_another_kind_takes_other_images(made, tmp_path):
    settings = ssl_zoo.recipe("digits", net="smallnet", steps=2, device="cpu")
    ssl_zoo.run(settings, "digits", quiet=True)
    with pytest.raises(InputError, match="images of 'digits' are no files to look at; give others as `images=PATHS`"):
        label_next("digits", 2, "next", device="cpu")
    for i in range(4):
        Path("new").mkdir(exist_ok=True)
        Image.fromarray(DIGITS.images[i, ..., 0]).save(f"new/{i}.png")
    found = label_next("digits", 2, "next", images=["new"], device="cpu")
    rows, _ = table(found.table)
    assert len(found.paths) == 2 and len(rows) == 4 and not any(row["label"] for row in rows)
    ssl_zoo.run(settings, "arrays", data=(DIGITS.images[:99], DIGITS.labels[:99]), quiet=True)
    with pytest.raises(InputError, match="are no files to look at"):
        label_next("arrays", 2, "other", device="cpu")


class Page(HTMLParser):
    """What a browser would see: tags, and all that is fetched."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.titles, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset")]
        self.titles += [value for name, value in attributes if name == "title"]

    def handle_data(self, data):
        self.text += data


def test_the_sheet_is_one_file_and_names_are_text_in_it(made, tmp_path):
    put(tmp_path / "new", 2, 90)
    evil = tmp_path / "new" / '<script>alert("x")<-script>&amp;.png'
    shutil.move(tmp_path / "new/0.png", evil)
    found = label_next(made / "run", 2, "next", images=["new"], device="cpu")
    text = found.contact.read_text()
    page = Page(text)
    assert "script" not in page.tags and page.tags.count("img") == page.tags.count("figure") == 2
    assert all(re.match("data:image/(jpeg|png);base64,", source) for source in page.sources) and not re.search("https?:", text)
    assert not re.search(r"@import|url\(", text) and "@media print" in text and "default-src" in text
    assert evil.name in page.text and str(evil) in page.titles
    p = ssl_zoo.load(made / "run", "cpu").predict_proba(found.paths)
    for row in p:
        for k in range(3):
            assert f"{CLASSES[k]} {100 * row[k]:.1f} %" in page.text.replace("\xa0", " ")
    assert re.findall(r"<b>(\d+) </b>", text) == ["1", "2"]


def test_cells_are_no_formulas_and_come_back_as_they_were(made, tmp_path):
    names = ("=1+1", "-dash", "'quoted")
    root = photos(tmp_path / "tree/photos", names=names)
    put(root / "unlabeled", 3, 70)
    for name in ("=cmd.png", "-x.png", "@a, b.png", "~tilde.png", "+plus.png"):
        shutil.copy(root / "unlabeled/0.png", root / "unlabeled" / name)
    train(root, tmp_path / "run")
    shutil.copytree(root / "unlabeled", root.parent / "next")
    found = label_next("run", 3, root.parent / "next", images=[root.parent / "next"], device="cpu")
    with found.table.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))] and "'=1+1" in cells and "'-dash" in cells
    again = DATASETS.create("folder", found.table, image_size=16)
    assert again.classes == tuple(sorted(names)) and np.bincount(again.labels[again.labels >= 0]).tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two\nlines.png", "has a line break in it"),
        ("two\rlines.png", "has a line break in it"),
        ("\udcff.png", "is not UTF-8"),
        ("space.png\u3000", "ends with a space"),
    ],
)
def test_a_name_that_a_table_cannot_hold_is_refused(made, tmp_path, name, message):
    put(tmp_path / "new", 2, 90)
    shutil.copy("new/0.png", Path("new", name))
    with pytest.raises(InputError, match=f"the name of .* {message}, which a table of labels cannot hold; rename") as caught:
        label_next(made / "run", 2, "next", images=["new", Path("new", name)], device="cpu")
    assert str(caught.value).isprintable() and not Path("next").exists()


def test_a_name_with_any_other_character_comes_back(made, tmp_path):
    """Those that Python splits lines at, or takes for space, are no lines and no space of a table."""
    put(tmp_path / "tree/next", 1, 90)
    odd = [chr(code) for code in range(1, 0x3100) if len(f"a{chr(code)}b".splitlines()) > 1 or chr(code).isspace()]
    names = {f"{mark}{place}{mark}.png" for place, mark in enumerate(odd) if mark not in "\n\r"}
    assert len(names) > 20
    for name in names:
        shutil.copy("tree/next/0.png", Path("tree/next", name))
    found = label_next(made / "run", 2, "tree/next", images=["tree/next"], device="cpu")
    again = DATASETS.create("folder", found.table, image_size=16)
    assert names <= {Path(name).name for name in again.names}


def test_a_class_that_a_table_would_not_give_back_is_refused(made, tmp_path):
    odd = (("NaN", "NaN"), ("a\rb", "a b"), ("a\nb", "a b"), ("\udcff", r"\\udcff"))
    for k, (name, said) in enumerate(odd):
        train(photos(tmp_path / f"photos {k}", names=("a", name)), tmp_path / f"run {k}")
        with pytest.raises(InputError, match=f"a table of labels cannot name the class '{said}'; train with another name"):
            label_next(f"run {k}", 2, "next", device="cpu")


def test_images_that_were_moved(made, tmp_path):
    root = photos(tmp_path / "photos")
    put(root / "unlabeled", 3, 70)
    train(root, tmp_path / "run")
    shutil.move(root, tmp_path / "moved")
    with pytest.raises(InputError, match=r"trained on cannot be had: .*photos"):
        label_next("run", 2, "next", device="cpu")
    found = label_next("run", 2, "next", data_root="moved", device="cpu")
    assert all(path.startswith(str(tmp_path / "moved/unlabeled")) for path in found.paths)
    (tmp_path / "moved/train/ant/0.png").unlink()
    with pytest.raises(InputError, match="or their labels, are others than the run was trained on; train it anew"):
        label_next("run", 2, "next", data_root="moved", device="cpu")


def test_images_in_an_archive_are_refused(made, tmp_path):
    root = photos(tmp_path / "photos")
    put(root / "unlabeled", 3, 70)
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", root)
    train(archive, tmp_path / "run")
    with pytest.raises(InputError, match=r"the images lie in the archive '.*photos.zip'; unpack it, and train on the folder"):
        label_next("run", 2, "next", device="cpu")
    with pytest.raises(InputError, match=r"cannot name what is in the archive '.*photos.zip'; unpack it"):
        label_next(made / "run", 2, "next", images=[archive], device="cpu")
    assert not Path("next").exists()


def test_the_files_do_not_go_among_class_folders(made, tmp_path):
    root = photos(tmp_path / "photos", test=False) / "train"
    put(root / "unlabeled", 3, 70)
    train(root, tmp_path / "run")
    with pytest.raises(InputError, match=r"next lies among the class folders in .*, and would be read as one"):
        label_next("run", 2, root / "next", device="cpu")
    assert not (root / "next").exists() and len(label_next("run", 2, root.parent / "next", device="cpu").paths) == 2


def test_without_an_image_to_label(made, tmp_path):
    train(photos(tmp_path / "photos"), tmp_path / "run")
    with pytest.raises(InputError, match="the run has no image without a label; give others as `images=PATHS`"):
        label_next("run", 2, "next", device="cpu")
    with pytest.raises(InputError, match="all 24 images have a label already; give others as `images=PATHS`"):
        label_next("run", 2, "next", images=["photos/train"], device="cpu")
    Path("bad.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"none of the images can be read, such as 'bad.png': no known format"):
        label_next("run", 2, "next", images=["bad.png"], device="cpu")
    Path("half").mkdir()
    shutil.copy("run/config.yaml", "half")
    Path("file").write_text("")
    for run, count, out, message in (
        ("half", 2, "next", "the run in half is not finished"),
        ("nowhere", 2, "next", "there is no 'nowhere'"),
        ("run", 0, "next", "count = 0 is out of range"),
        ("run", 2, "file", "'file' cannot be a folder, as there is a file; give another name"),
        ("run", 2, "file/below", "'file/below' cannot be a folder"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            label_next(run, count, out, device="cpu")
        assert "\n" not in str(caught.value) and not Path("next").exists()
