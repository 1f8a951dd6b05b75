"""Predictions of many images: those of the net, each once, scored where labels are known, gone on with where it was stopped."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssl_zoo
from ssl_zoo.data.labels import FORMULA, guarded, unguarded
from ssl_zoo.errors import BusyError, InputError
from ssl_zoo.runs.confusion import accuracy, images_in
from ssl_zoo.runs.model import read_model, write_again
from ssl_zoo.using import predicting
from ssl_zoo.using.images import Images, Item
from ssl_zoo.using.predicting import Columns, predict_into
from ssl_zoo.using.predictions import AHEAD, predictions
from tests.using.trained import CLASSES, photos, put, train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with photos and a run on them."""
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        train(photos(top / "photos"), top / "run")
    return top


@pytest.fixture
def trained(made):
    return ssl_zoo.load(made / "run", "cpu")


def read(path):
    with Path(path).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [*csv.DictReader(file)]


def test_the_run_s_accuracy_comes_out_again(made, trained, tmp_path):
    found = predict_into(trained, [made / "photos/test"], tmp_path / "p.csv")
    row = json.loads((made / "run/result.json").read_text())
    assert accuracy(found.confusion) == row["accuracy"] and found.confusion == row["confusion"]
    assert (found.images, found.before, found.errors, found.unknown) == (15, 0, 0, ())
    about = json.loads((tmp_path / "p.csv.about.json").read_text())
    assert about["confusion"] == row["confusion"] and about["model"] == trained.hash and about["images"] == 15


def test_rows_say_what_the_net_says(made, trained, tmp_path):
    files = sorted((made / "photos/test/bee").iterdir())
    p = trained.predict_proba(files)
    predict_into(trained, files, tmp_path / "p.csv", columns=Columns(every=True, unsure_below=0.5))
    rows = read(tmp_path / "p.csv")
    assert [row["path"] for row in rows] == [*map(str, files)]
    for row, of in zip(rows, p, strict=True):
        _, middle, high = sorted(of)
        assert row["class"] == CLASSES[of.argmax()] and float(row["confidence"]) == pytest.approx(high, rel=1e-5)
        assert float(row["margin"]) == pytest.approx(high - middle, rel=1e-3) and row["unsure"] == str(bool(high < 0.5))
        assert [float(row[f"p_{name}"]) for name in CLASSES] == pytest.approx(of.tolist(), rel=1e-5)
        assert (row["label"], row["error"]) == ("", "")
    predict_into(trained, files, tmp_path / "t.csv", columns=Columns(top=3))
    for row, of in zip(read(tmp_path / "t.csv"), p, strict=True):
        first, second, third = np.argsort(-of)
        assert [row["class"], row["class_2"], row["class_3"]] == [CLASSES[k] for k in (first, second, third)]
        assert float(row["probability_3"]) == pytest.approx(of[third], rel=1e-5)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_was_stopped_goes_on_and_ends_with_the_same_rows(made, trained, tmp_path, ending, monkeypatch):
    pytest.importorskip("pyarrow") if ending == "parquet" else None
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    predict_into(trained, [made / "photos"], whole)
    real, asked = predicting.predictions, []

    def stopped(net, items):
        for place, found in enumerate(real(net, items)):
            if place == 9:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(predicting, "predictions", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict_into(trained, [made / "photos"], cut)
    work = tmp_path / "cut.parquet.partial.jsonl" if ending == "parquet" else cut
    with work.open("ab") as file:
        file.write(b'"torn/in a' if ending == "csv" else b'{"path": "torn')  # as a machine without power leaves it

    def counted(net, items):
        return real(net, (asked.append(item.path) or item for item in items))

    monkeypatch.setattr(predicting, "predictions", counted)
    found = predict_into(trained, [made / "photos"], cut)
    assert (found.images, found.before) == (39, 8) and len(asked) == 31 and images_in(found.confusion) == 39
    assert predict_into(trained, [made / "photos"], cut).before == 39 and len(asked) == 31
    if ending == "csv":
        assert [(row["path"], row["class"]) for row in read(cut)] == [(row["path"], row["class"]) for row in read(whole)]
    elif ending == "jsonl":
        one, other = ([json.loads(line) for line in path.read_text().splitlines()] for path in (whole, cut))
        assert [(row["path"], row["class"]) for row in one] == [(row["path"], row["class"]) for row in other]
    else:
        assert not work.exists() and parquet(cut) == parquet(whole)


def parquet(path):
    import pyarrow.parquet

    return [(row["path"], row["class"], row["label"]) for row in pyarrow.parquet.read_table(path).to_pylist()]


def test_images_that_cannot_be_read_are_rows_and_are_tried_again(trained, tmp_path):
    put(tmp_path / "new", 3, 60)
    (tmp_path / "new/1.png").write_bytes(b"<html>Not found</html>")
    found = predict_into(trained, [tmp_path / "new"], tmp_path / "p.csv")
    assert (found.images, found.errors) == (3, 1) and "new/1.png': an HTML page" in found.first_error
    (bad,) = (row for row in read(tmp_path / "p.csv") if row["error"])
    assert bad["path"].endswith("1.png") and bad["class"] == bad["confidence"] == ""
    put(tmp_path / "new", 3, 60)
    found = predict_into(trained, [tmp_path / "new"], tmp_path / "p.csv")
    assert (found.images, found.before, found.errors) == (3, 2, 0)
    assert len({row["path"] for row in read(tmp_path / "p.csv")}) == 3 == len(read(tmp_path / "p.csv"))


def test_a_file_belongs_to_one_net_and_its_columns(made, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    out, images = tmp_path / "p.csv", [made / "photos/test/ant"]
    predict_into(trained, images, out)
    before = out.read_bytes()
    other = ssl_zoo.load(train(made / "photos", tmp_path / "other", seed=1), "cpu")
    for net, columns, message in (
        (other, Columns(), "is of another net; give another name, or `fresh=True`"),
        (trained, Columns(top=2), "has other columns; give"),
        (trained, Columns(unsure_below=0.4), "has another unsure_below; give"),
        (ssl_zoo.load(made / "run", "cpu", "bf16"), Columns(), "has another precision; give"),
    ):
        with pytest.raises(InputError, match=message):
            predict_into(net, images, out, columns=columns)
    assert out.read_bytes() == before
    assert predict_into(other, images, out, fresh=True).before == 0
    (tmp_path / "mine.csv").write_text("path,label\n")
    with pytest.raises(InputError, match=r"mine.csv' is there, and is no file of predictions; give another name"):
        predict_into(trained, images, tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "path,label\n"


def test_no_cell_is_a_formula_and_names_come_back(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    names = ("=1+1", "-dash", 'quo"te,\nline')
    net = ssl_zoo.load(train(photos(Path("photos"), names=names), Path("run")), "cpu")
    shutil.copy("photos/test/=1+1/0.jpg", "=cmd.jpg")
    shutil.copy("photos/test/=1+1/0.jpg", Path("photos/test/=1+1") / "two\nlines\udcff.jpg")
    places = ["=cmd.jpg", Path("photos/test")]
    found = predict_into(net, places, "p.csv", columns=Columns(every=True))
    with open("p.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells) and "./=cmd.jpg" in cells and "'=1+1" in cells
    again = predict_into(net, places, "p.csv", columns=Columns(every=True))
    assert again.before == again.images == 17 and again.confusion == found.confusion


def test_a_table_is_predicted_and_scored(made, trained, tmp_path):
    root = made / "photos/test"
    lines = ["path,label", f"{root}/ant/0.jpg,ant", f"{root}/bee/0.jpg,", f"{root}/cat/0.jpg,bee", "gone.jpg,cat"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = predict_into(trained, [tmp_path / "t.csv"], tmp_path / "p.csv")
    assert (found.images, found.errors, images_in(found.confusion)) == (4, 1, 2)
    assert [row["label"] for row in read(tmp_path / "p.csv")] == ["ant", "", "bee", "cat"]
    (tmp_path / "t.csv").write_text("\n".join([*lines, f"{root}/ant/1.jpg,cow"]))
    with pytest.raises(InputError, match=r"line 6: the net has no class 'cow'; its classes are ant, bee, cat"):
        predict_into(trained, [tmp_path / "t.csv"])


def test_an_archive_is_predicted_as_its_folder(made, trained, tmp_path):
    shutil.make_archive(str(tmp_path / "z"), "zip", made / "photos", "test")
    packed, plain = (predict_into(trained, [path]) for path in (tmp_path / "z.zip", made / "photos/test"))
    assert packed == plain


def test_labels_are_those_of_class_folders_at_any_depth(tmp_path):
    for place in ("x/ant", "test/bee/cat", "test/cow", "ant", "unlabeled/q", "test/test"):
        put(tmp_path / place, 1, 0)
    images = Images([tmp_path], (*CLASSES, "test"))
    found = {str(Path(item.path).relative_to(tmp_path).parent): item.label for item in images}
    wanted = {"ant": 0, "test/bee/cat": 1, "test/cow": 3, "test/test": 3, "unlabeled/q": None, "x/ant": 0}
    assert found == wanted and [*images] and images.unknown == set()
    put(tmp_path / "dog", 1, 0)
    images = Images([tmp_path], CLASSES)
    assert [item.label for item in images if "dog" in item.path] == [None] and images.unknown == {"dog"}


def test_a_class_folder_alone_says_the_class(made, trained, tmp_path, monkeypatch):
    found = predict_into(trained, [made / "photos/test/cat", made / "photos/test/bee"])
    assert images_in(found.confusion) == 10 and {*found.confusion["true"]} == {1, 2} and found.unseen == found.confusion
    put(tmp_path / "cat/ant", 1, 0), put(tmp_path / "cat/unlabeled", 1, 0)
    assert {item.label for item in Images([tmp_path / "cat"], CLASSES)} == {0, None}, "what is further in counts more"
    monkeypatch.chdir(made / "photos/test/cat")
    assert {item.label for item in Images(["."], CLASSES)} == {2}


def test_memory_does_not_grow_with_the_number_of_images(made, trained):
    file = made / "photos/test/ant/0.jpg"
    given = []
    going = predictions(trained, (given.append(i) or Item(str(i), None, file.read_bytes) for i in range(10_000)))
    assert next(going).path == "0" and len(given) <= (AHEAD + 1) * trained.about["batch"]
    going.close()


def test_links_in_a_circle_end(tmp_path):
    put(tmp_path / "a", 1, 0)
    (tmp_path / "a/again").symlink_to(tmp_path / "a")
    assert len([*Images([tmp_path], CLASSES)]) == 1


def test_images_that_were_trained_on_are_known(made, trained, tmp_path, monkeypatch):
    """By their pixels, wherever they lie and whatever they are called; also when the file is gone on with."""
    labels = [path.stem for path in sorted((made / "photos/train/ant").iterdir())]
    shutil.copytree(made / "photos", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("path,label\n" + "".join(f"moved/train/ant/{name}.png,ant\n" for name in labels))
    for places, wanted in ((["moved"], 24), (["t.csv"], 8), (["moved/test"], 0), (["moved/test", "moved/train"], 24)):
        assert predict_into(trained, places).learnt == wanted, places
    predict_into(trained, ["moved/train"], "p.csv")
    found = predict_into(trained, ["moved"], "p.csv")
    assert (found.before, found.learnt, images_in(found.confusion)) == (24, 24, 39)
    assert {row["trained_on"] for row in read("p.csv") if "/train/" in row["path"]} == {"True"}
    assert {row["trained_on"] for row in read("p.csv") if "/test/" in row["path"]} == {"False"}
    model = read_model(made / "run/model.safetensors")
    write_again(Path("old.safetensors"), model._replace(learnt=None))
    old = ssl_zoo.load("old.safetensors", "cpu")
    assert predict_into(old, ["moved/test"], "old.csv").learnt is None
    assert {row["trained_on"] for row in read("old.csv")} == {""}
    write_again(Path("odd.safetensors"), model._replace(learnt=model.learnt.float()))
    with pytest.raises(InputError, match="is damaged: its learnt is not what it should be"):
        ssl_zoo.load("odd.safetensors", "cpu")


def test_what_is_there_and_is_no_file_of_predictions_is_not_written_over(made, trained, tmp_path, monkeypatch):
    """With `fresh` neither, which is for predictions."""
    monkeypatch.chdir(tmp_path)
    table = f"path,label\n{made}/photos/test/ant/0.jpg,ant\n"
    Path("labels.csv").write_text(table)
    for fresh in (False, True):
        with pytest.raises(InputError, match=r"'labels.csv' is what is to be predicted; give another name for the predictions"):
            predict_into(trained, ["labels.csv"], "labels.csv", fresh=fresh)
        with pytest.raises(InputError, match=r"'labels.csv' is there, and is no file of predictions; give another name$"):
            predict_into(trained, [made / "photos/test"], "labels.csv", fresh=fresh)
    Path("labels.csv.about.json").write_text('["of another program"]')
    with pytest.raises(InputError, match="is no file of predictions"):
        predict_into(trained, [made / "photos/test"], "labels.csv", fresh=True)
    assert Path("labels.csv").read_text() == table


def test_one_process_writes_a_file_at_a_time(made, trained, tmp_path):
    out = tmp_path / "p.csv"

    def again(rows):
        with pytest.raises(BusyError, match=r"another process writes '.*p.csv'; wait for it, or give another name"):
            predict_into(trained, [made / "photos/test"], out)
        tried.append(len(rows))

    tried = []
    predict_into(trained, [made / "photos/test"], out, show=again)
    assert tried and len(read(out)) == 15 and {path.name for path in tmp_path.iterdir()} == {"p.csv", "p.csv.about.json"}


@pytest.mark.parametrize("cut", ["newline", "header", "everything", "half a row"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_wherever_a_file_was_cut_it_is_made_whole(made, trained, tmp_path, ending, cut):
    whole, out = tmp_path / f"w.{ending}", tmp_path / f"p.{ending}"
    for place in (whole, out):
        predict_into(trained, [made / "photos/test/ant"], place)
    content = out.read_bytes()
    out.write_bytes(content[: {"newline": -1, "header": 9, "everything": 0, "half a row": -30}[cut]])
    predict_into(trained, [made / "photos/test/ant"], out)
    assert out.read_bytes() == content == whole.read_bytes()
    if ending == "csv":
        out.write_text("path,label\n1,2\n")
        with pytest.raises(InputError, match="has another header than predictions; `fresh=True` writes it anew"):
            predict_into(trained, [made / "photos/test/ant"], out)


def test_a_file_that_somebody_has_written_into_is_refused_in_words(made, trained, tmp_path):
    out = tmp_path / "p.csv"
    predict_into(trained, [made / "photos/test"], out)
    out.write_text(out.read_text().replace(",ant,False", ",ent,False", 1))
    with pytest.raises(InputError, match=r"the file has the class 'ent', which the net has not; `fresh=True` writes it anew"):
        predict_into(trained, [made / "photos/test"], out)
    assert predict_into(trained, [made / "photos/test"], out, fresh=True).images == 15


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write")
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(made, trained):
    with pytest.raises(InputError, match=r"'/proc/p.csv' cannot be written \(.*\); give another name"):
        predict_into(trained, [made / "photos/test/ant"], "/proc/p.csv")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_odd_names_are_found_again(trained, tmp_path, monkeypatch, ending):
    pytest.importorskip("pyarrow") if ending == "parquet" else None
    monkeypatch.chdir(tmp_path)
    for name in ("a\rb.png", "a\udcff.png", "=c.png", "d\ne.png", "-f.png", "'g.png", " h.png", "i,j.png", 'k"l.png'):
        Image.new("RGB", (16, 16)).save(name)
    for place in (".", Path("."), tmp_path.name and "../" + tmp_path.name):
        out = f"p-{len(str(place))}.{ending}"
        assert predict_into(trained, [place], out).images == 9
        again = predict_into(trained, [place], out)
        assert (again.images, again.before) == (9, 9), place


def test_labels_that_became_known_are_said(made, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{made}/photos/test/{name}/0.jpg" for name in ("ant", "bee", "cat")]
    Path("t.csv").write_text("path,label\n" + "".join(f"{name},\n" for name in names))
    assert predict_into(trained, ["t.csv"], "p.csv").relabelled == 0
    Path("t.csv").write_text(f"path,label\n{names[0]},ant\n{names[1]},bee\n{names[2]},\n")
    found = predict_into(trained, ["t.csv"], "p.csv")
    assert (found.before, found.relabelled, found.confusion) == (3, 2, None)
    found = predict_into(trained, ["t.csv"], "p.csv", fresh=True)
    assert (found.before, found.relabelled, images_in(found.confusion)) == (0, 0, 2)
    Path("t.csv").write_text(f"path,label\n{names[0]},cat\n{names[1]},bee\n{names[2]},\n")
    assert predict_into(trained, ["t.csv"], "p.csv").relabelled == 1


def test_a_damaged_parquet_file_is_named(made, trained, tmp_path):
    pytest.importorskip("pyarrow")
    out = tmp_path / "p.parquet"
    predict_into(trained, [made / "photos/test/ant"], out)
    out.write_bytes(b"")
    with pytest.raises(InputError, match=r"p.parquet' is damaged .*; `fresh=True` writes it anew"):
        predict_into(trained, [made / "photos/test/ant"], out)
    assert predict_into(trained, [made / "photos/test/ant"], out, fresh=True).images == 5


def test_an_image_that_is_given_twice_is_predicted_once(made, trained, tmp_path):
    root = made / "photos/test"
    for places in ([root, root], [root, root / "ant"], [root / "ant/0.jpg", root], [root, f"{root}/../test"]):
        assert predict_into(trained, places).images == 15
    assert predict_into(trained, [root / "ant", root / "bee"]).images == 10
    put(tmp_path / "more", 2, 90)
    for odd in ("photo", ".hidden.png"):  # which nobody finds in a folder
        shutil.copy(tmp_path / "more/0.png", tmp_path / "more" / odd)
        assert predict_into(trained, [tmp_path / "more", tmp_path / "more" / odd]).images == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_image(trained, tmp_path):
    os.mkfifo(tmp_path / "x.png")
    found = predict_into(trained, [tmp_path])
    assert found.errors == 1 and found.first_error.endswith("x.png': no plain file")


def test_a_class_that_looks_guarded_comes_back():
    for name in ("=x", "'=x", "''=x", "'x", "x", "-", "'", "@"):
        assert unguarded(guarded(name)) == name and not guarded(name).startswith(FORMULA)
    assert len({guarded(name) for name in ("=x", "'=x", "''=x")}) == 3


def test_another_size_is_an_error_of_that_image(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    settings = ssl_zoo.recipe("digits", net="smallnet", labels="all", steps=2, device="cpu")
    ssl_zoo.run(settings, tmp_path / "run", data=(images, np.arange(30) % 3), quiet=True)
    Image.fromarray(images[0]).save(tmp_path / "fits.png")
    Image.fromarray(images[0]).resize((9, 8)).save(tmp_path / "wide.png")
    net = ssl_zoo.load(tmp_path / "run", "cpu")
    found = predict_into(net, [tmp_path / "fits.png", tmp_path / "wide.png"], tmp_path / "p.jsonl")
    assert found.errors == 1 and "it is 8 x 9 and the net takes 8 x 8" in found.first_error
    two = rng.integers(0, 256, (30, 8, 8, 2), dtype=np.uint8)
    ssl_zoo.run(settings, tmp_path / "two", data=(two, np.arange(30) % 3), quiet=True)
    with pytest.raises(InputError, match="takes images of 2 channels, which no image file has"):
        predict_into(ssl_zoo.load(tmp_path / "two", "cpu"), [tmp_path / "fits.png"])


@pytest.mark.parametrize(
    ("paths", "out", "columns", "message"),
    [
        (["nothing.jpg"], None, {}, "there is no 'nothing.jpg'"),
        ([], None, {}, "no images are given"),
        (["."], None, {}, "'.' has no image .* in it or below"),
        (["a.png"], ".", {}, "'.' is a folder; give a file's name"),
        (["a.png"], "no/where.csv", {}, "'no/where.csv' lies in no folder"),
        (["a.png"], "p.txt", {}, "'p.txt' ends in none of .csv, .jsonl, .parquet"),
        (["a.png"], None, {"top": 0}, "top = 0 is out of range"),
        (["a.png"], None, {"top": 4}, "top = 4 is out of range: it must be from 1 to 3"),
        (["a.png"], None, {"unsure_below": 1.5}, "unsure_below = 1.5 is out of range"),
        (["a.png"], None, {"top": 2, "every": True}, "`top=2` and all probabilities say the same"),
        (["a.png"], "p.parquet", {}, r'Parquet needs pyarrow: pip install "ssl_zoo\[parquet\]"'),
    ],
)
def test_bad_input_is_one_line(trained, tmp_path, monkeypatch, paths, out, columns, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    if "a.png" in paths:
        Image.new("RGB", (16, 16)).save("a.png")
    with pytest.raises(InputError, match=message) as caught:
        predict_into(trained, paths, out, columns=Columns(**columns))
    assert "\n" not in str(caught.value) and len([*tmp_path.iterdir()]) == ("a.png" in paths)
