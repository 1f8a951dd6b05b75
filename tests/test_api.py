"""What a program calls: recipe, run, load."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo import InputError, config
from ssl_zoo.cli import run as command
from ssl_zoo.errors import BusyError, RunError
from ssl_zoo.runs.confusion import images_in
from ssl_zoo.runs.folder import RunFolder

QUICK = {"net": "smallnet", "steps": 6, "device": "cpu", "evaluation.every": 3}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def quick(**more):
    return ssl_zoo.recipe("digits", **{**QUICK, **more})


def arrays(labeled=30, kind=np.uint8):
    """Images of two classes, dark and bright, of which some are labelled."""
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (draw.integers(0, 100, (60, 8, 8, 3)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    known = np.where(np.arange(60) < labeled, labels, -1)
    made = images if kind is np.uint8 else images.astype(kind) / 255
    return made, known, made[:20], labels[:20]


def test_a_recipe_is_what_the_command_line_makes_of_it(capsys):
    words = ["--recipe", "digits", "--alg", "meanteacher", "--steps", "600", "--set", "optimizer.lr=0.01", "--print-config"]
    assert command.main(words) == 0
    made = ssl_zoo.recipe("digits", alg="meanteacher", steps=600, **{"optimizer.lr": 0.01})
    assert config.dump(made) == capsys.readouterr().out
    assert ssl_zoo.recipe() == ssl_zoo.recipe("digits")
    assert ssl_zoo.recipe("digits", preset="tutorial").optimizer.lr == 0.1
    assert ssl_zoo.recipe("cifar10", budget="full").steps == 1_048_576
    assert ssl_zoo.recipe("digits", **{"algorithms.mean-teacher.weight": 7}).algorithms["meanteacher"]["weight"] == 7


@pytest.mark.parametrize(
    ("names", "values", "said"),
    [
        (["digts"], {}, "no recipe is called 'digts' and no such file exists; did you mean 'digits'?"),
        (["digits"], {"stepz": 3}, "there is no setting 'stepz'; did you mean 'steps'?"),
        (["digits"], {"alg": "meanteecher"}, "did you mean 'meanteacher'"),
        (["digits"], {"optimizer.lrr": 3}, "optimizer has no option 'lrr'; did you mean 'lr'?"),
        (["digits"], {"steps": "many"}, "steps = 'many' is not of the type int"),
        (["digits"], {"steps": -1}, "steps = -1 is out of range"),
        (["digits"], {"preset": "tutrial"}, "did you mean 'tutorial'?"),
        (["digits"], {"budget": "huge"}, "has no budget 'huge'"),
        (["digits"], {"plugin": "none.py"}, "plug-in none.py: there is no such file"),
    ],
)
def test_bad_settings_name_the_near_miss(names, values, said):
    with pytest.raises(InputError, match=re.escape(said)):
        ssl_zoo.recipe(*names, **values)


def test_a_home_folder_in_every_path(tmp_path, monkeypatch):
    """Of recipes, plug-ins, split files and runs: a program has no shell that says it for them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/mine.yaml").write_text("{steps: 3, net: smallnet, alg: supervised, device: cpu, evaluation: {every: 3}}")
    (tmp_path / "home/at_home.py").write_text("from ssl_zoo import ALGORITHMS\n")
    settings = ssl_zoo.recipe("digits", "~/mine.yaml")
    assert settings.steps == 3
    ssl_zoo.run(settings, "~/runs/a", quiet=True)
    assert (tmp_path / "home/runs/a/split.json").exists() and ssl_zoo.load("~/runs/a").classes == tuple("0123456789")
    again = ssl_zoo.run(dataclasses.replace(settings, split_file="~/runs/a/split.json", split_seed=7), "~/runs/b", quiet=True)
    assert again["config"]["split_file"] == "~/runs/a/split.json" and again["labels"] == 20
    with pytest.raises(InputError, match=r"plug-in ~/at_home.py: it registers nothing"):
        ssl_zoo.recipe(plugin="~/at_home.py")
    assert not (tmp_path / "~").exists()


def test_a_run_is_that_of_the_command_line_and_a_second_call_returns_its_row(capfd):
    row = ssl_zoo.run(quick(alg="meanteacher"), "mine", quiet=True)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == "", "quiet: no line, no bar"
    words = ["--alg", "meanteacher", "--net", "smallnet", "--steps", "6", "--device", "cpu", "--set", "evaluation.every=3"]
    assert command.main([*words, "--out", "theirs"]) == 0
    theirs = json.loads(Path("theirs/result.json").read_text())
    for key in ("accuracy", "evaluations", "confusion", "split_hash", "data_hash", "source", "code", "config"):
        assert row[key] == theirs[key], key
    before = Path("mine/result.json").stat().st_mtime_ns
    again = ssl_zoo.run(quick(alg="meanteacher"), "mine", quiet=True)
    assert again == json.loads(Path("mine/result.json").read_text()) == row
    assert Path("mine/result.json").stat().st_mtime_ns == before
    capfd.readouterr()
    ssl_zoo.run(quick(alg="supervised"), "said")
    said = capfd.readouterr()
    assert "supervised with smallnet" in said.out and "6/6" in said.err, "a line and a bar unless it is quiet"


def test_a_run_resumes(monkeypatch):
    whole = ssl_zoo.run(quick(alg="tempens"), "whole", quiet=True)
    target = ssl_zoo.ALGORITHMS.resolve("tempens").target
    inner, calls = target.after_step, []

    def dies(self, *given):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return inner(self, *given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(target, "after_step", dies)
        ssl_zoo.run(quick(alg="tempens"), "parts", quiet=True)
    with pytest.raises(InputError, match="the run in parts is not finished"):
        ssl_zoo.load("parts")
    parts = ssl_zoo.run(quick(alg="tempens"), "parts", quiet=True)
    assert parts["evaluations"] == whole["evaluations"]


def test_fresh_trains_anew_whatever_run_is_there_and_keeps_that(capsys):
    ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    before = Path("o/result.json").stat().st_mtime_ns
    row = ssl_zoo.run(quick(alg="supervised"), "o", quiet=True, fresh=True)
    assert Path("o/result.json").stat().st_mtime_ns > before and row["accuracy"] > 0
    lines = [json.loads(line)["step"] for line in Path("o/metrics.jsonl").read_text().splitlines()]
    assert lines == sorted(lines) and lines[-1] == 6, "nothing of the first is left in the metrics"
    kept = Path("o/result.json").read_bytes()
    said = r"other settings .*; choose another folder, or give `fresh=True`, which begins anew and moves this one aside$"
    with pytest.raises(InputError, match=said):
        ssl_zoo.run(quick(alg="pimodel"), "o", quiet=True)
    assert Path("o/result.json").read_bytes() == kept
    capsys.readouterr()
    assert ssl_zoo.run(quick(alg="pimodel"), "o", quiet=True, fresh=True)["algorithm"] == "pimodel"
    assert Path("o.old-2/result.json").read_bytes() == kept and Path("o.old-1/result.json").exists()
    assert capsys.readouterr() == ("", "WARNING: the run that was in o is now in o.old-2\n"), "nothing is moved in silence"
    (Path("mine")).mkdir()
    Path("mine/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="mine exists and is not the folder of a run"):
        ssl_zoo.run(quick(alg="pimodel"), "mine", quiet=True, fresh=True)


def test_a_finished_run_says_so(capsys):
    ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    assert capsys.readouterr() == ("", "")
    ssl_zoo.run(quick(alg="supervised"), "o")
    assert capsys.readouterr().out == "this run is finished already (o); `fresh=True` trains it anew\n"


def test_the_library_speaks_of_no_flags():
    ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    with pytest.raises(InputError) as other:
        ssl_zoo.run(quick(alg="pimodel"), "o", quiet=True)
    with RunFolder(Path("o")).locked(), pytest.raises(BusyError) as busy:
        ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    with pytest.raises(RunError) as lost:
        ssl_zoo.run(quick(alg="supervised", **{"optimizer.lr": 1e30, "schedule.name": "constant"}), "lost", quiet=True)
    for error in (other, busy, lost):
        assert "--" not in str(error.value), error.value
    with pytest.raises(InputError, match=r"the run in lost diverged .*so there is no trained net"):
        ssl_zoo.load("lost")


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_arrays_in_place_of_a_data_set(kind):
    data = arrays(kind=kind)
    settings = quick(alg="meanteacher", labels=10, **{"batch.labeled": 4, "batch.unlabeled": 8, "views.weak": {}})
    row = ssl_zoo.run(settings, "o", data=data, quiet=True)
    assert row["dataset"] == "arrays" and row["labels"] == 10 and row["classes"] == ["0", "1"]
    split = json.loads(Path("o/split.json").read_text())
    assert len(split["rows"]) == 10 and max(split["rows"]) < 30, "none of the rows that are not labelled"
    trained = ssl_zoo.load("o")
    found = trained.predict_proba(data[2])
    assert found.shape == (20, 2) and (found.argmax(axis=1) == data[3]).mean() == row["accuracy"]
    others = (255 - data[0] if kind is np.uint8 else 1 - data[0], *data[1:])
    with pytest.raises(InputError, match="is of a run with other images"):
        ssl_zoo.run(settings, "o", data=others, quiet=True)


def test_grey_arrays_and_all_their_labels():
    images, labels, test_images, test_labels = arrays()
    settings = quick(alg="supervised", labels="all", **{"batch.labeled": 4, "views.weak": {}})
    row = ssl_zoo.run(settings, "o", data=(images[..., 0], labels, test_images[..., 0], test_labels), quiet=True)
    assert len(json.loads(Path("o/split.json").read_text())["rows"]) == 30 and row["labels"] == "all"
    assert ssl_zoo.load("o").predict_proba(images[:3, ..., 0]).shape == (3, 2)


BAD = {
    "labels are too few": (lambda i, k, t, s: (i, k[:-1], t, s), "labels has 59 rows and images 60"),
    "test labels are too few": (lambda i, k, t, s: (i, k, t, s[:-1]), "test_labels has 19 rows and test_images 20"),
    "floats over 1": (lambda i, k, t, s: (i.astype(float), k, t, s), "images has floats from 0 to 199; give floats in [0, 1]"),
    "a NaN": (lambda i, k, t, s: (np.full(i.shape, np.nan), k, t, s), "images has floats from nan to nan"),
    "whole numbers": (lambda i, k, t, s: (i.astype(int), k, t, s), "images is of int64; give uint8, or floats"),
    "no labelled row": (lambda i, k, t, s: (i, k * 0 - 1, t, s), "no row of labels is labelled"),
    "an unlabelled test image": (lambda i, k, t, s: (i, k, t, s - 1), "test_labels has a class -1; give classes from 0 on"),
    "a class below -1": (lambda i, k, t, s: (i, k - 1, t, s), "labels has a class -2"),
    "one class": (lambda i, k, t, s: (i, k.clip(max=0), t, s * 0), "labels have one class"),
    "another size": (lambda i, k, t, s: (i, k, t[:, :4], s), "images are (8, 8, 3) and test_images (4, 8, 3)"),
    "flat images": (lambda i, k, t, s: (i.reshape(60, -1), k, t, s), "images has the shape (60, 192)"),
    "labels as floats": (lambda i, k, t, s: (i, k.astype(float), t, s), "labels has the shape (60,) and is of float64"),
    "three parts": (lambda i, k, t, s: (i, k, t), "data must be (images, labels, test_images, test_labels)"),
    "ragged": (lambda i, k, t, s: ([i[0], i[1, :4]], k[:2], t, s), "images are not one array"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_before_anything_is_written(name):
    change, said = BAD[name]
    with pytest.raises(InputError, match=re.escape(said)):
        ssl_zoo.run(quick(labels=10, **{"views.weak": {}}), "o", data=change(*arrays()), quiet=True)
    assert not Path("o").exists()


def test_arrays_have_a_name_that_loads_nothing(capsys):
    assert command.main(["--dataset", "arrays", "--recipe", "digits", "--out", "o"]) == 2
    assert "the data set 'arrays' is what Python passes as data=" in capsys.readouterr().err and not Path("o").exists()


def test_a_data_set_object_may_be_passed_too():
    data = ssl_zoo.DATASETS.create("digits", None, test_size=400)
    row = ssl_zoo.run(quick(alg="supervised"), "o", data=data, quiet=True)
    assert images_in(row["confusion"]) == 400


def test_a_data_set_object_that_is_not_in_its_form_is_refused():
    data = ssl_zoo.DATASETS.create("digits", None, test_size=400)
    for change, said in (
        ({"names": ("a",)}, "the Dataset is not as it must be: `names` has 1 entries for 1797 images"),
        ({"names": np.array(["a"] * 1797)}, "`names` is not a tuple of texts; give tuple(map(str, names))"),
        ({"classes": tuple("01234567")}, "`labels` go from 0 to 9; with 8 classes they go from 0 to 7"),
        ({"validation": (0, 5000)}, "`validation` is (0, 5000)"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            ssl_zoo.run(quick(alg="supervised"), "o", data=data._replace(**change), quiet=True)
    assert not Path("o").exists()


def test_threads_are_given_back():
    import torch

    before = torch.get_num_threads()
    row = ssl_zoo.run(dataclasses.replace(quick(alg="supervised"), threads=2), "o", quiet=True)
    assert torch.get_num_threads() == before and row["threads"] == 2 and row["device"].endswith(", 2 threads")


def test_the_three_names_of_the_readme():
    code = """
import ssl_zoo
settings = ssl_zoo.recipe("digits", alg="meanteacher", net="smallnet", steps=6, device="cpu", **{"optimizer.lr": 0.01})
row = ssl_zoo.run(settings, "runs/mine", quiet=True)
trained = ssl_zoo.load("runs/mine")
data = ssl_zoo.DATASETS.create("digits", None)
right = (trained.predict_proba(data.test_images).argmax(axis=1) == data.test_labels).mean()
assert right == row["accuracy"], (right, row["accuracy"])
assert trained.classes == tuple("0123456789") and not trained.net.training
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_section_that_is_given_whole_is_merged_as_one_of_a_recipe_is():
    given = {"lr": 0.01}
    made = quick(optimizer=given)
    assert made.optimizer.lr == 0.01 and made.optimizer == dataclasses.replace(quick().optimizer, lr=0.01)
    assert quick(algorithms={"mean-teacher": {"weight": 7}}, alg="meanteacher").options["weight"] == 7
    views = {"weak": {"flip": {}}}
    assert {*quick(views=views).views} == {*quick().views} and [*quick(views=views).views["weak"]] == ["flip"]
    assert given == {"lr": 0.01} and views == {"weak": {"flip": {}}}, "what is passed stays as it was"
    with pytest.raises(InputError, match="optimizer"):
        quick(optimizer=3)


def test_numbers_of_numpy_and_paths_are_taken(tmp_path):
    (tmp_path / "nothing.py").write_text("from ssl_zoo import ALGORITHMS\n")
    assert quick(steps=np.int64(7), **{"optimizer.lr": np.float64(0.5)}) == quick(steps=7, **{"optimizer.lr": 0.5})
    with pytest.raises(InputError, match="registers nothing"):
        ssl_zoo.recipe("digits", plugin=tmp_path / "nothing.py")


def test_settings_that_were_changed_by_hand_are_checked():
    with pytest.raises(InputError, match="meanteecher"):
        ssl_zoo.run(dataclasses.replace(quick(), alg="meanteecher"), "o", quiet=True)
    row = ssl_zoo.run(dataclasses.replace(quick(), alg="pimodel"), "o", quiet=True)
    assert row["algorithm"] == "pimodel" and "pimodel" in row["config"]["algorithms"]


def test_names_of_classes():
    settings = quick(alg="supervised", labels="all", **{"batch.labeled": 4, "views.weak": {}})
    row = ssl_zoo.run(settings, "o", data=(*arrays(), np.array(["dark", "bright"])), quiet=True)
    assert row["classes"] == ["dark", "bright"]
    wrong = (
        (["dark", "dark"], "classes names one twice"),
        ([], "classes are 0 names, and labels go up to 1; give 2 names, from class 0 on"),
        (["dark"], "classes are 1 names, and labels go up to 1"),
        (
            ["dark", "bright", "odd"],
            "class 2 ('odd') of arrays has 0 labelled images, `labels=all` needs 1; give it some, or leave",
        ),
        ("ab", "classes are 'ab'; give a name for each class"),
        (2, "classes are 2; give a name for each class"),
    )
    for names, said in wrong:
        with pytest.raises(InputError, match=re.escape(said)):
            ssl_zoo.run(settings, "p", data=(*arrays(), names), quiet=True)
    assert not Path("p").exists()


def test_another_version_of_the_package_of_the_data_is_other_data(monkeypatch):
    """A finished run is shown without a look at the data only where these are the same for certain."""
    from ssl_zoo.runs import execute

    row = ssl_zoo.run(quick(alg="supervised"), "o", quiet=True)
    settings = quick(alg="supervised")
    package = ssl_zoo.DATASETS.resolve("digits").target.comes_with
    assert execute.of_this_data(settings, row)
    assert not execute.of_this_data(settings, {**row, "versions": {**row["versions"], package: "0.0"}})
    assert not execute.of_this_data(dataclasses.replace(settings, split_file="o/split.json"), row)


@pytest.mark.parametrize(("fresh", "said"), [(False, "; the same call goes on"), (True, "; without `fresh=True` the same call")])
def test_a_run_that_is_ended_says_how_it_goes_on(fresh, said, monkeypatch):
    """A second call with `fresh` would train it anew once more."""
    target = ssl_zoo.ALGORITHMS.resolve("supervised").target
    inner, calls = target.after_step, []

    def ended(self, *given):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, *given)

    monkeypatch.setattr(target, "after_step", ended)
    with pytest.raises(RunError, match=re.escape(said)):
        ssl_zoo.run(quick(alg="supervised", threads=1), "o", quiet=True, fresh=fresh)
    assert ssl_zoo.run(quick(alg="supervised", threads=1), "o", quiet=True)["steps"] == 6
    assert len(calls) == 6, "it went on"
