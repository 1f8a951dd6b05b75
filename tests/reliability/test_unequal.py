"""Classes of unequal size, from the command line: what can be had, what is said, and what leads on."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo import ALGORITHMS, AlgorithmBase, Step
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
    assert "give --labels 6, --labels 'all', or --draw 'proportional'" in capsys.readouterr().err
    assert sweep.main([*shared, "--labels", "20", "--set", "draw=proportional", "--dry-run", "--out", "sweep"]) == 0


@pytest.mark.parametrize("alg", ["supervised", "pimodel", "tempens", "meanteacher"])
@pytest.mark.parametrize("setting", ["class_weights=balanced", "class_weights=effective", "batch.labeled_classes=balanced"])
def test_a_run_that_makes_up_for_unequal_classes(alg, setting, capsys):
    argv = words("--alg", alg, "--labels", "all", "--set", setting)
    assert run.main([*argv, "--out", "runs/1"]) == 0
    out, error = capsys.readouterr()
    assert "WARNING" not in error
    wanted = {
        "class_weights=balanced": "class weights: balanced, from 0.55 ('ant') to 5.5 ('rare')",
        "class_weights=effective": "class weights: effective, from 0.184 ('ant') to 1.82 ('rare')",
    }
    assert wanted.get(setting, "") in out and (setting in wanted or "class weights" not in out)
    assert run.main([*words("--alg", alg, "--labels", "all"), "--out", "runs/2"]) == 0
    states = [torch.load(f"runs/{k}/checkpoint.pt")["algorithm"] for k in (1, 2)]
    assert states[0].keys() == states[1].keys()
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True)), "it does something"


def test_equal_classes_have_weights_of_one_and_change_no_bit():
    argv = words("--labels", "6")
    assert run.main([*argv, "--out", "runs/1"]) == run.main([*argv, "--set", "class_weights=balanced", "--out", "runs/2"]) == 0
    states = [torch.load(f"runs/{k}/checkpoint.pt")["algorithm"] for k in (1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_both_at_once_is_said(capsys):
    both = ["--set", "class_weights=balanced", "--set", "batch.labeled_classes=balanced"]
    assert run.main(words("--labels", "all", *both, "--out", "runs/1")) == 0
    error = capsys.readouterr().err
    assert "both make up for unequal classes" in error and "keep one: --set class_weights=none" in error


def test_a_method_that_does_not_use_class_weights_is_refused(capsys):
    class Deaf(AlgorithmBase):
        """Cross-entropy of its own."""

        def loss(self, batch, progress):
            (labeled,) = self.student_logits(batch.x)
            supervised = torch.nn.functional.cross_entropy(labeled, batch.y)
            return Step(supervised, {"supervised": supervised})

    with ALGORITHMS.replaced(ALGORITHMS.resolve("supervised")._replace(target=Deaf)):
        argv = words("--labels", "all")
        assert run.main([*argv, "--set", "class_weights=balanced", "--out", "runs/1"]) == 2
        assert "the method 'supervised' does not use class weights; give them to its" in capsys.readouterr().err
        assert not Path("runs").exists()
        assert run.main([*argv, "--set", "class_weights=none", "--out", "runs/1"]) == 0


def interrupt_in_step_4(patch, target):
    calls, loss = [], target.loss

    def interrupted(self, batch, progress):
        calls.extend([1] * self.training)  # and not where class weights are tried
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, batch, progress)

    patch.setattr(target, "loss", interrupted)


@pytest.mark.parametrize("setting", ["class_weights=effective", "batch.labeled_classes=balanced"])
def test_a_run_that_was_ended_goes_on_bit_for_bit(setting, monkeypatch, capsys):
    argv = words("--alg", "tempens", "--labels", "all", "--set", "evaluation.every=2", "--set", setting)
    argv[argv.index("--steps") + 1] = "6"
    assert run.main([*argv, "--out", "runs/whole"]) == 0
    with monkeypatch.context() as patch:
        interrupt_in_step_4(patch, ALGORITHMS.resolve("tempens").target)
        assert run.main([*argv, "--out", "runs/parts"]) == 130
    assert run.main([*argv, "--out", "runs/parts"]) == 0 and "from step 2" in capsys.readouterr().out
    states = [torch.load(f"runs/{name}/checkpoint.pt")["algorithm"] for name in ("whole", "parts")]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
