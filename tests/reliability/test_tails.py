"""Long tails and classes that are only unlabelled, from the command line: what is trained on, scored, said and compared."""

import json
from pathlib import Path

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo.api import recipe
from ssl_zoo.cli import compare, predict, report, run, table
from ssl_zoo.data.normalisation import prepare
from ssl_zoo.data.open_set import OUTSIDE
from ssl_zoo.data.splits import draw_split
from ssl_zoo.device import machine
from ssl_zoo.pages.markup import percent
from ssl_zoo.runs.assembly import make_evaluator
from ssl_zoo.runs.confusion import geometric_mean, recalls
from ssl_zoo.runs.inputs import choose_labels, find_flaws, load_data
from ssl_zoo.runs.trained import load
from ssl_zoo.using.label_next import label_next
from tests.using.trained import photos, put, train

QUICK = ["--alg", "meanteacher", "--net", "smallnet", "--steps", "2", "--device", "cpu"]
TAIL = ["--draw", "longtail", "--labels", "60", "--set", "imbalance=10"]
OPEN = ["--set", "unlabeled_classes=[8, 9]"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


def inputs(**values):
    settings = recipe("digits", net="smallnet", device="cpu", **values)
    return settings, choose_labels(settings, load_data(settings))


def row_of(out):
    return json.loads((Path(out) / "result.json").read_text())


def test_a_run_on_a_tail(capsys):
    assert run.main([*QUICK, *TAIL, "--set", "stream.imbalance=4", "--set", "stream.order=reversed", "--out", "a"]) == 0
    said = capsys.readouterr().out
    assert (
        "10 classes, with the labelled images of each: 0 (15), 1 (12), 2 (9), 3 (7), 4 (5), 5 (4), 6 (3), 7 (2), 8 (2), 9 (1)"
        in said
    )
    row = row_of("a")
    of_test = np.bincount(ssl_zoo.DATASETS.create("digits", None).test_labels)
    assert np.bincount(row["confusion"]["true"], row["confusion"]["count"]).tolist() == of_test.tolist()  # all of the test set
    assert row["geometric_mean"] == geometric_mean(row["confusion"]) and row["recalls"] == recalls(row["confusion"])
    assert f"geometric mean of the recalls {100 * row['geometric_mean']:.2f} %; recall of each class, %: '0' " in said
    split = json.loads(Path("a/split.json").read_text())
    assert split["draw"] == "longtail" and np.bincount(split["classes"]).tolist() == [15, 12, 9, 7, 5, 4, 3, 2, 2, 1]
    again = ["--set", "split_file=a/split.json", "--labels", "60", "--out", "b"]  # finds the same images, whatever the draw
    assert run.main([*QUICK, *again]) == 0 and row_of("b")["split_hash"] == row["split_hash"] == split["hash"]
    said = capsys.readouterr().out
    assert "labelled images of each: 0 (15), 1 (12), " in said and "geometric mean of the recalls " in said
    assert row_of("b")["split_draw"] == "longtail" and row_of("b")["config"]["draw"] == "equal" and "split_draw" not in row


def test_a_draw_beside_a_split_file_is_said_to_be_of_no_effect(capsys):
    """A file of equal numbers makes no tail, whatever the setting says."""
    assert run.main([*QUICK, "--labels", "20", "--out", "a"]) == 0
    again = [*QUICK, "--draw", "longtail", "--labels", "20", "--set", "split_file=a/split.json", "--out", "b"]
    capsys.readouterr()
    assert run.main(again) == 0 and row_of("b")["split_hash"] == row_of("a")["split_hash"]
    said, error = capsys.readouterr()
    assert "draw = longtail is of no effect with split_file, which names the labelled images; give --draw equal" in error
    assert "geometric mean" not in said and "labelled images of each" not in said
    assert table.main(["b"]) == 0 and "tail" not in capsys.readouterr().out


def test_predictions_of_unequal_classes_tell_the_recall_of_each(tmp_path, capsys):
    root = photos(tmp_path / "photos")
    train(root, tmp_path / "run")
    put(tmp_path / "new/cat", 1, 90)
    put(tmp_path / "new/ant", 4, 1)
    assert predict.main([str(tmp_path / "run"), str(tmp_path / "new")]) == 0
    (said,) = (line for line in capsys.readouterr().err.splitlines() if "recall" in line)
    assert said.startswith("geometric mean of the recalls ") and "recall of each class, %: 'ant' " in said, said


def test_a_comparison_has_the_geometric_mean(capsys):
    for seed in "01":
        assert run.main([*QUICK, *TAIL, "--seed", seed, "--out", seed]) == 0
    capsys.readouterr()
    assert compare.main(["0", "1"]) == 0
    a, b = (100 * row_of(out)["geometric_mean"] for out in "01")
    assert f"  geometric_mean: {a:.2f} % and {b:.2f} %, {b - a:+.2f} points" in capsys.readouterr().out.splitlines()


def test_what_the_stream_keeps_is_what_a_method_sees():
    _, found = inputs(labels=60, draw="longtail", imbalance=10, **{"stream.imbalance": 4, "stream.order": "reversed"})
    stream, labels = found.facts.unlabeled.numpy(), found.data.labels
    unlabelled = np.setdiff1d(stream, found.split.rows)
    count = np.bincount(labels[unlabelled], minlength=10)
    assert (np.diff(count) >= 0).all() and count[-1] // 4 == count[0] and len(unlabelled) + len(found.cut) == len(labels) - 60
    assert set(found.split.rows) <= set(stream)  # batch.labeled_in_unlabeled
    apart = inputs(labels=60, draw="longtail", imbalance=10, **{"stream.imbalance": 4, "batch.labeled_in_unlabeled": False})[1]
    assert not set(apart.split.rows) & set(apart.facts.unlabeled.tolist())
    other = inputs(labels=60, draw="longtail", imbalance=10, split_seed=1, **{"stream.imbalance": 4})[1]
    assert set(other.facts.unlabeled.tolist()) != set(stream)


def test_a_run_without_these_settings_is_what_it_was():
    """The same rows, stream and hash as a draw that knows nothing of them."""
    _, found = inputs(labels=20, split_seed=3)
    frozen = draw_split("digits", found.data.labels, 10, 20, 3)
    assert found.split.hash == frozen.hash and not len(found.cut)
    assert found.facts.unlabeled.tolist() == [*range(len(found.data.labels))]


def test_an_image_that_the_stream_leaves_out_is_none_that_was_trained_on():
    _, found = inputs(labels=20, **{"stream.images": 100})
    data = found.data
    for row, leaked in ((found.cut[0], 0), (found.facts.unlabeled[0], 1)):
        test = data.test_images.copy()
        test[7] = data.images[row]
        before = find_flaws(found)[0]
        assert find_flaws(found._replace(data=data._replace(test_images=test)))[0] - before == leaked


def test_an_open_set_is_in_no_score(capsys):
    assert run.main([*QUICK, "--labels", "16", *OPEN, "--set", "stream.mismatch=0.5", "--out", "a"]) == 0
    said, row = capsys.readouterr().out, row_of("a")
    assert "only in the unlabelled stream: 256 training images of 2 classes (8, 9)" in said
    assert (
        "of 1,281 images without a label 513 stay in the unlabelled stream" in said and "; 256 of classes that are only" in said
    )
    assert row["classes"] == [*"01234567"] and row["confusion"]["classes"] == 8 and row["cut_images"] == 1281 - 513
    whole = ssl_zoo.DATASETS.create("digits", None)
    assert sum(row["confusion"]["count"]) == int((whole.test_labels < 8).sum())
    trained = load("a")
    assert trained.classes == tuple("01234567") and trained.predict_proba(whole.test_images[:3]).shape == (3, 8)


def test_hidden_labels_of_an_open_set_are_neither_right_nor_wrong():
    settings, found = inputs(labels=16, unlabeled_classes=[8, 9])
    assert (found.data.labels == OUTSIDE).sum() == 256 and found.facts.classes == 8
    assert np.isin(np.flatnonzero(found.data.labels == OUTSIDE), found.facts.unlabeled).all()
    assert not (found.data.labels[found.split.rows] == OUTSIDE).any()
    here = machine("cpu", "fp32")
    normalised = prepare("channel", found.data.images, found.data.test_images, here.device, None)
    assert make_evaluator(settings, found, normalised, here).hidden_labels.min() >= 0
    none = inputs(labels=16, unlabeled_classes=[8, 9], **{"stream.mismatch": 1.0, "batch.labeled_in_unlabeled": False})
    assert len(make_evaluator(*none, normalised, here).hidden_labels) == 0  # nobody could be right


def test_tables_keep_them_apart_and_say_what_they_are(capsys):
    for seed in ("0", "1"):
        assert run.main([*QUICK, *TAIL, "--seed", seed, "--split-seed", seed, "--out", f"t/{seed}"]) == 0
    assert run.main([*QUICK, "--draw", "longtail", "--labels", "60", "--set", "imbalance=20", "--out", "t/steeper"]) == 0
    assert run.main([*QUICK, *TAIL, *OPEN, "--out", "t/open"]) == 0
    capsys.readouterr()
    assert table.main(["t"]) == 0
    shown, said = capsys.readouterr()
    assert "n = 2" in shown and shown.count("<br>geometric mean ") == 1 and "recalls" not in shown.partition("\n\n")[0]
    assert "The labels are a long tail with an imbalance of 10, rounded down, and at least one of each class." in shown
    assert "other than meanteacher with 60 labels and seed 0 (t/0) in setting imbalance (20.0, 10.0)" in said
    assert "in data_hash (" in said and "unlabeled_classes" in said
    assert table.main(["t/open", "--each-class"]) == 0
    shown, _ = capsys.readouterr()
    assert (
        "<br>recalls " in shown
        and "not scored: 8, 9." in shown
        and "in the order of the classes (0, 1, 2, 3, 4, 5, 6, 7)" in shown
    )


def test_a_report_of_both(capsys):
    more = ["--set", "stream.imbalance=4", "--set", "stream.mismatch=0.2"]
    assert run.main([*QUICK, *TAIL, *OPEN, *more, "--out", "a"]) == 0
    assert report.main(["a"]) == 0
    page = Path("a/report.html").read_text()
    row = row_of("a")
    unlabelled = 1297 - 60 - row["cut_images"]
    assert f"<dt>without a label</dt><dd>{unlabelled:,} images</dd>" in page
    assert (
        "a long tail with an imbalance of 4, the most of the first class" in page
        and "20&nbsp;% of those without a label, and not scored: 8, 9" in page
    )
    assert f"<b>{percent(row['geometric_mean'])}</b><span>geometric mean" in page.replace("&nbsp;", " ")


def test_photos_of_other_classes_are_not_asked_about(tmp_path):
    root = photos(tmp_path / "photos")
    put(root / "unlabeled", 4, 90)
    out = train(root, tmp_path / "run", unlabeled_classes=["cat"])
    found = label_next(out, count=50, out=tmp_path / "next")
    assert sorted(Path(path).parent.name for path in found.paths) == ["unlabeled"] * 4
    lines = found.table.read_text().splitlines()
    assert sum("/cat/" in line for line in lines) == 8 and not any("/cat/" in line and ",train" in line for line in lines)
    again = recipe(str(found.recipe), data_root=str(found.table), steps=2, device="cpu")
    assert again.unlabeled_classes == () and again.stream.mismatch is None
    assert ssl_zoo.run(again, tmp_path / "again", quiet=True)["classes"] == ["ant", "bee"]
