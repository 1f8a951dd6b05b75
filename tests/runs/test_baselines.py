"""Runs of methods without steps: a folder, a row, a trained net that is used, like any other run."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from sklearn.semi_supervised import LabelSpreading
from threadpoolctl import threadpool_info, threadpool_limits

import ssl_zoo
from ssl_zoo import DATASETS
from ssl_zoo.cli import export, label_next, predict, report, run, share, sweep, table
from ssl_zoo.runs.restore import restore
from ssl_zoo.runs.row import read_sound_rows
from ssl_zoo.train import evaluate
from tests.conftest import BASELINES, garbled

QUICK = ["--device", "cpu", "--net", "smallnet", "--steps", "6"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(capsys, command, *argv):
    """Exit status, what was printed, and the complaint."""
    status = command.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def on_pixels(name):
    return ["--alg", name, *QUICK, "--set", f"algorithms.{name}.features=pixels"]


@pytest.mark.parametrize("name", BASELINES)
def test_a_run_leaves_what_others_leave(name, capsys):
    status, out, _ = call(capsys, run, *on_pixels(name))
    folder = Path(f"runs/digits-20/{name}-smallnet-s0")
    assert status == 0 and f"{name} with linear (" in out and "fitted at once, in " in out
    row = json.loads((folder / "result.json").read_text())
    (known,), lost, problems, _ = read_sound_rows([folder])
    assert known["steps"] == 0 and not lost and not problems
    seen = 20 if name == "probe" else 1297
    assert (row["algorithm"], row["net"], row["images_seen"], row["config"]["steps"]) == (name, "smallnet", seen, 6)
    assert ("unlabelled stream" in out) == (name != "probe") == ("batch_unlabeled" not in row)
    assert row["evaluations"] == [{**row["evaluations"][0], "step": 0}] and row["accuracy"] > 0.7
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "split.json", "config.yaml", "metrics.jsonl"}
    assert "split and metrics: " in out and "checkpoint" not in out and not (folder / "checkpoint.pt").exists()
    data, trained = DATASETS.create("digits", None), ssl_zoo.load(folder, "cpu")
    assert (trained.predict_proba(data.test_images).argmax(axis=1) == data.test_labels).mean() == row["accuracy"]
    assert trained.features(data.test_images[:2]).shape == (2, 64)
    status, out, _ = call(capsys, run, *on_pixels(name))
    assert status == 0 and "this run is finished already" in out


@pytest.mark.filterwarnings("ignore:invalid value")  # scikit-learn's, of its own numbers
def test_labelspreading_of_the_digits_is_scikit_learns_by_hand():
    """LabelSpreading(kernel="knn"), as it comes, on raw pixels of the same five label splits."""
    data, errors = DATASETS.create("digits", None), []
    pixels, asked = (part.reshape(len(part), -1).astype(float) for part in (data.images, data.test_images))
    for seed in range(5):
        settings = ssl_zoo.recipe("digits", alg="labelspreading", net="smallnet", split_seed=seed, device="cpu")
        row = ssl_zoo.run(settings, f"s{seed}", quiet=True)
        rows = json.loads(Path(f"s{seed}/split.json").read_text())["rows"]
        known = np.full(len(pixels), -1)
        known[rows] = data.labels[rows]
        right = LabelSpreading(kernel="knn").fit(pixels, known).score(asked, data.test_labels)
        assert abs(row["accuracy"] - right) < 1.5 / 500  # an image whose seventh neighbour is one of two as near
        errors.append(100 * (1 - right))
    assert (round(np.mean(errors), 1), round(np.std(errors, ddof=1), 1)) == (9.2, 1.2)


@pytest.mark.parametrize("name", BASELINES)
def test_the_net_is_used_like_any_other(name, capsys):
    call(capsys, run, *on_pixels(name), "--out", "a")
    status, _, error = call(capsys, export, "a", "--out", "a.onnx", "--with-preprocessing")
    assert status == 0, error
    status, _, error = call(capsys, report, "a")
    assert status == 0, error
    page = re.sub(r"<[^>]+>", "", Path("a/report.html").read_text(encoding="utf-8"))
    assert f"{name} on pixels learnt from 20 labels" in page and "which teach little" not in page
    assert ("of which the method makes no use" in page) == (name == "probe") and "none, it was fitted at once" in page
    data = DATASETS.create("digits", None)
    Path("new").mkdir()
    for i in range(3):
        Image.fromarray(data.test_images[i, ..., 0]).save(f"new/{i}.png")
    status, _, error = call(capsys, predict, "a", "new", "--out", "p.csv")
    assert status == 0 and len(Path("p.csv").read_text().splitlines()) == 4, error


@pytest.mark.parametrize("name", BASELINES)
def test_all_labels_leave_no_image_without_one(name, capsys):
    status, _, error = call(capsys, run, *on_pixels(name), "--labels", "all", "--out", "a")
    row = json.loads(Path("a/result.json").read_text())
    assert status == 0 and row["images_seen"] == 1297 and row["accuracy"] > 0.9, error


@pytest.mark.parametrize("name", BASELINES)
def test_hidden_labels_are_never_read(name, capsys):
    assert call(capsys, run, *on_pixels(name), "--out", "true")[0] == 0
    entry = DATASETS.resolve("digits")
    labeled = json.loads(Path("true/split.json").read_text())["rows"]

    with DATASETS.replaced(garbled(entry, labeled)):
        split = ["--set", "split_file=true/split.json"]
        status, _, error = call(capsys, run, *on_pixels(name), *split, "--out", "garbage")
        assert status == 0, error
    a, b = (load_file(f"{folder}/model.safetensors") for folder in ("true", "garbage"))
    assert {*a} == {*b} and all((a[key] == b[key]).all() for key in a)


@pytest.mark.parametrize(
    ("words", "net", "own"),
    [
        (["--alg", "finetune", "--net", "smallnet"], "smallnet", ""),
        (["--alg", "probe", "--net", "resnet18", "--set", "algorithms.probe.features=net"], "resnet18", "`nets"),
    ],
)
def test_random_weights_are_refused_before_anything_is_written(words, net, own, capsys):
    status, _, error = call(capsys, run, *words)
    assert status == 2 and f"needs a net with weights, and {net} would begin from random ones; give " in error, error
    assert "--from MODEL" in error and ("nets.resnet18.pretrained=true" in error) == bool(own) and not Path("runs").exists()
    status, _, error = call(capsys, sweep, "--algs", words[1], "--nets", net, *words[4:])
    assert status == 2 and "needs a net with weights" in error


def test_a_probe_and_finetune_of_a_trained_net(capsys):
    """Features of the net that it begins from, and a net that others begin from."""
    assert call(capsys, run, *QUICK, "--out", "a")[0] == 0
    features = ["--set", "algorithms.probe.features=net"]
    status, out, error = call(capsys, run, "--alg", "probe", *features, "--from", "a", *QUICK, "--out", "probe")
    assert (
        status == 0 and "probe with smallnet (810 of 35,786 parameters trained)" in out and "begins from the weights of a " in out
    ), error
    before, after = (load_file(f"{folder}/model.safetensors") for folder in ("a", "probe"))
    changed = {key for key in before if key.startswith("net.") and not (before[key] == after[key]).all()}
    assert changed == {"net.head.weight", "net.head.bias"}
    status, out, error = call(capsys, run, "--alg", "finetune", "--from", "probe", *QUICK, "--out", "on")
    assert status == 0 and "begins from the weights of probe (smallnet by probe" in out, error


def test_a_memory_of_images_is_nothing_to_begin_from(capsys):
    _, out, _ = call(capsys, run, *on_pixels("labelspreading"), "--out", "a")
    assert "the trained net holds its training images themselves, the unlabelled ones too" in out
    assert "holds its training images" not in call(capsys, run, *on_pixels("probe"), "--out", "b")[1]
    _, out, _ = call(capsys, export, "a", "--format", "safetensors", "--out", "copy.safetensors")
    assert out.splitlines()[-1].startswith("the file holds its training images themselves")
    assert "holds" not in call(capsys, export, "b", "--format", "safetensors", "--out", "other.safetensors")[1]
    status, _, error = call(capsys, run, "--from", "a", "--net", "linear")
    assert status == 2 and "it is a memory of images, with nothing to train" in error


def test_a_lone_line_where_the_fit_did_not_converge(capsys):
    words = [*on_pixels("labelspreading"), "--set", "algorithms.labelspreading.rounds=1", "--out", "a"]
    status, out, _ = call(capsys, run, *words)
    assert status == 0 and "WARNING: max_iter=1 was reached without convergence." in out
    assert json.loads(Path("a/result.json").read_text())["warnings"] == ["max_iter=1 was reached without convergence."]
    status, out, _ = call(capsys, table, "a")
    assert status == 0 and "a loss term" not in out
    assert "Warned while they ran that scikit-learn's fit may not have converged (see their result.json): labelspreading" in out


def test_class_weights_that_a_method_cannot_use_are_refused(capsys):
    weights = ["--set", "class_weights=balanced"]
    status, _, error = call(capsys, run, *on_pixels("labelspreading"), *weights)
    assert status == 2 and "has no loss that class weights could be in; give --set class_weights=none" in error
    assert call(capsys, run, *on_pixels("probe"), *weights)[0] == 0


def test_minutes_and_epochs_are_no_matter_to_what_has_no_steps(capsys):
    words = ["--alg", "probe", "--net", "smallnet", "--minutes", "1", "--out", "a"]
    status, out, error = call(capsys, run, *words)
    assert status == 0 and "finished already" not in out, error
    status, out, error = call(capsys, run, *words)
    assert status == 0 and "finished already" in out, error


def test_they_stand_in_the_table_of_others_that_have_epochs(capsys):
    """Whose steps follow from the data."""
    words = ["--algs", "supervised,labelspreading", "--nets", "smallnet", "--labels", "20", "--seeds", "0", "--device", "cpu"]
    words += ["--set", "algorithms.labelspreading.features=pixels", "--set", "epochs=0.1", "--out", "g"]
    status, _, error = call(capsys, sweep, *words)
    assert status == 0, error
    status, out, error = call(capsys, table, "g")
    assert status == 0 and not error and out.count("n = 1") == 2
    rows = {row["algorithm"]: row for row in read_sound_rows([Path("g")]).rows}
    steps = rows["supervised"]["steps"]
    assert rows["labelspreading"]["config"]["steps"] == steps != 0 == rows["labelspreading"]["steps"]
    assert call(capsys, sweep, *words)[0] == 0 and "2 finished, 0 to run" in call(capsys, sweep, *words, "--dry-run")[1]


def test_they_stand_in_the_table_of_the_others(capsys):
    algs = "supervised,labelspreading,selftraining,probe"
    status, _, error = call(capsys, sweep, "--algs", algs, *QUICK, "--seeds", "0-2", "--out", "g", "--jobs-per-device", 2)
    assert status == 0, error
    status, out, error = call(capsys, table, "g")
    assert status == 0 and not error and out.count("n = 3") == 4
    assert "digits, smallnet, 6 steps" in out
    pixels = "Fitted at once by scikit-learn, without steps and augmentation, on the images' pixels, without the net: "
    line = next(line for line in out.splitlines() if line.startswith(pixels))
    assert {*line.removeprefix(pixels).rstrip(".").split(", ")} == {"labelspreading", "selftraining", "probe"}
    rows = {row["algorithm"]: row for row in read_sound_rows([Path("g")]).rows if row["seed"] == 0}
    assert len({row["split_hash"] for row in rows.values()}) == 1
    hidden = [row["unlabeled_accuracy"] for row in rows.values()]
    assert np.isfinite(hidden).all() and rows["probe"]["fit"]["folds"] == 2


@pytest.mark.parametrize("name", BASELINES)
def test_a_picture_asks_the_same_net(name, capsys):
    call(capsys, run, *on_pixels(name), "--out", "a")
    data = DATASETS.create("digits", None)
    _, _, again = restore(Path("a"))
    found = evaluate.predict(again.eval_net(), again.evaluator.images, **again.evaluator._settings)
    np.testing.assert_allclose(found, ssl_zoo.load("a", "cpu").predict_proba(data.test_images), atol=1e-6)


def test_what_has_no_steps_cannot_be_timed(capsys):
    status, _, error = call(capsys, share, "--alg", "probe", "--net", "smallnet", "--set", "algorithms.probe.features=pixels")
    assert status == 2 and "probe is fitted at once and has no steps to be timed" in error


def photos():
    draw = np.random.default_rng(0)
    for k, name in enumerate(("ant", "bee", "unlabeled")):
        Path("photos", name).mkdir(parents=True)
        for i in range(9):
            pixels = (draw.integers(0, 80, (16, 16, 3)) + 80 * (k % 2)).astype(np.uint8)
            Image.fromarray(pixels).save(f"photos/{name}/{i}.png")
    return "photos"


@pytest.mark.parametrize("name", BASELINES)
def test_every_labelled_photo_is_scored_once(name, capsys):
    words = ["--data-root", photos(), "--image-size", 16, "--folds", 3, *on_pixels(name), "--out", "f"]
    status, out, error = call(capsys, run, *words)
    assert status == 0 and "18 labelled images, each scored once" in out, error


@pytest.mark.parametrize("name", BASELINES)
def test_what_label_next_says_leads_on(name, capsys):
    """A fit on more labels begins from nothing."""
    status, _, error = call(capsys, run, "--data-root", photos(), "--image-size", 16, *on_pixels(name), "--out", "a")
    assert status == 0, error
    status, out, error = call(capsys, label_next, "a", "--data-root", "photos", "--count", 2)
    assert status == 0, error
    line = next(line.strip() for line in out.splitlines() if line.startswith("    "))
    assert "--from" not in line
    status, _, error = call(capsys, run, *shlex.split(line.partition(" run ")[2]), "--device", "cpu")
    assert status == 0, error


def test_what_is_not_trained_in_steps_cannot_be_frozen_and_is_not_asked_to(capsys):
    """So that a recipe for all methods of a table may say it."""
    assert call(capsys, run, *on_pixels("probe"), "--set", "optimizer.freeze=bn", "--out", "a")[0] == 0


def test_on_pixels_nothing_is_said_of_weights(capsys):
    words = ["--data-root", photos(), "--image-size", 32, "--alg", "labelspreading", "--device", "cpu"]
    status, out, error = call(capsys, run, *words, "--set", "algorithms.labelspreading.neighbors=3", "--out", "a")
    assert status == 0 and "pretrained weights" not in out + error, error


def test_a_net_that_pixels_make_no_use_of_may_be_any(capsys):
    assert call(capsys, run, *QUICK, "--out", "a")[0] == 0
    status, out, error = call(capsys, run, "--alg", "probe", "--net", "wrn10_1", "--from", "a", *QUICK[:2], "--out", "b")
    assert status == 0 and "begins from" not in out, error


@pytest.mark.parametrize("name", BASELINES)
def test_a_fit_takes_the_threads_of_its_run(name, monkeypatch):
    """Those of numpy and scikit-learn too: more of them than free cores wait for each other."""
    target, seen = ssl_zoo.ALGORITHMS.resolve(name).target, []
    inner = target.fit

    def fit(*args):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return inner(*args)

    monkeypatch.setattr(target, "fit", fit)
    with threadpool_limits(2):
        settings = ssl_zoo.recipe("digits", alg=name, threads=1, device="cpu", **{f"algorithms.{name}.features": "pixels"})
        ssl_zoo.run(settings, "one", quiet=True)
        assert seen and {*seen} == {1}
        assert all(pool["num_threads"] == 2 for pool in threadpool_info() if pool["user_api"] == "blas"), "given back"
