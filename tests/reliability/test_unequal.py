"""Classes of unequal size, from the command line: what can be had, what is said, and what leads on."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_zoo.cli import run, sweep

SIZES = {"train/ant": 30, "train/rare": 3, "test/ant": 12, "test/rare": 2}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    for k, (place, count) in enumerate(SIZES.items()):
        (tmp_path / "data" / place).mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng(100 * k + i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / place / f"{i:02}.png")


def words(*more):
    return [
        *("--alg", "supervised", "--net", "smallnet", "--steps", "2", "--device", "cpu", "--dataset", "folder"),
        *("--data-root", "data", "--set", "batch={labeled: 4, unlabeled: 4}", *more),
    ]


def split_of(folder):
    return json.loads((Path(folder) / "split.json").read_text())


def test_more_labels_than_a_rare_class_has_and_each_way_out(capsys):
    assert run.main(words("--labels", "20", "--out", "runs/0")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "class 1 ('rare') of folder has 3 labelled images" in line and "6 are the most" in line
    advice = re.search(r"give (.*), (.*), or (.*)$", line).groups()
    for k, (way, counts) in enumerate(zip(advice, ([3, 3], [30, 3], [18, 2]), strict=True), start=1):
        given = {"--labels": "20"} | dict([shlex.split(way)])
        flags = [word for pair in given.items() for word in pair]
        assert run.main(words(*flags, "--out", f"runs/{k}")) == 0, way
        assert np.bincount(split_of(f"runs/{k}")["classes"]).tolist() == counts
    assert split_of("runs/3")["draw"] == "proportional"
    assert "draw" not in split_of("runs/1"), "a file of before stays what it was"


def test_a_sweep_says_the_same_in_its_own_flags(capsys):
    shared = ["--recipe", "folder", "--data-root", "data", "--algs", "supervised", "--nets", "smallnet", "--steps", "2"]
    assert sweep.main([*shared, "--labels", "20", "--out", "sweep"]) == 2
    assert "give --labels 6, --labels 'all', or --set draw='proportional'" in capsys.readouterr().err
    assert sweep.main([*shared, "--labels", "20", "--set", "draw=proportional", "--dry-run", "--out", "sweep"]) == 0
