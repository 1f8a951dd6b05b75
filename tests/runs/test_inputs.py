"""Which images of a folder are labelled, when it has changed since their split was written."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_zoo.cli import run

QUICK = ["--alg", "supervised", "--net", "smallnet", "--steps", "2", "--device", "cpu", "--labels", "8", "--val-fraction", "0.25"]
DATA = ["--dataset", "folder", "--data-root", "data", "--set", "batch={labeled: 4, unlabeled: 4}"]


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture(autouse=True)
def first(tmp_path, monkeypatch, capsys):
    """A run on two classes; what it kept of its labels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    for k, place in enumerate(("train/ant", "train/bee", "test/ant", "test/bee")):
        for i in range(9):
            save(tmp_path / f"data/{place}/{i}.png", 100 * k + i)
    assert run.main([*QUICK, *DATA, "--out", "first"]) == 0
    capsys.readouterr()
    return json.loads(Path("first/split.json").read_text())


def again(out, *more):
    return run.main([*QUICK, *DATA, "--set", "split_file=first/split.json", *more, "--out", out])


def test_the_same_images_are_labelled_and_held_out_after_others_came_and_went(first, capsys):
    assert len(first["names"]) == 8 and len(first["validation_names"]) == 2
    other = next(
        path for path in sorted(Path("data/train/ant").iterdir()) if path.relative_to("data").as_posix() not in first["names"]
    )
    other.unlink()
    for i, place in enumerate(("train/ant/00.png", "train/ant/000.png", "train/bee/00.png", "unlabeled/0.png")):
        save(Path("data") / place, 1000 + i)
    assert again("second") == 0 and "WARNING" not in capsys.readouterr().err
    second = json.loads(Path("second/split.json").read_text())
    for part in ("names", "validation_names", "classes", "pixels"):
        assert second[part] == first[part], part
    assert second["rows"] != first["rows"]
    rows = [json.loads(Path(f"{folder}/result.json").read_text()) for folder in ("first", "second")]
    assert rows[0]["data_hash"] != rows[1]["data_hash"], "so no table takes them for runs of one data set"
    assert again("second") == 0, "the finished run is shown"


def test_a_labelled_image_that_is_gone_is_refused_by_name(first, capsys):
    (Path("data") / first["names"][3]).unlink()
    assert again("second") == 2 and not Path("second").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"names '{first['names'][3]}', which is no training image of folder any more; put it back" in line


def test_a_labelled_image_of_another_class_is_refused_by_name(first, capsys):
    name = first["names"][0]
    (Path("data") / name).rename("data/train/bee/moved.png")
    assert again("second") == 2
    assert f"'{name}', which is no training image of folder any more (its pixels are those of 'train/bee/moved.png')" in (
        capsys.readouterr().err
    )


def test_a_replaced_image_is_said_or_refused_when_strict(first, capsys):
    name = first["names"][2]
    save(Path("data") / name, 5000)
    said = f"1 of 8 labelled images have other pixels than the split file knows, such as {name}"
    assert again("second", "--strict") == 2 and not Path("second").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"run.py: {said}; put them back, or draw anew, without split_file, or go on without --strict"
    assert again("second") == 0
    assert f"WARNING: {said}: they were replaced, or another version of Pillow" in capsys.readouterr().err


def test_a_half_done_run_does_not_go_on_with_other_images(first, capsys):
    assert again("second") == 0
    Path("second/result.json").unlink()
    save(Path("data/train/ant/00.png"), 1000)
    assert again("second") == 2
    assert "second holds a run with other images (data_hash" in capsys.readouterr().err
    Path("data/train/ant/00.png").unlink()
    assert again("second") == 0, "and with its own it does"
