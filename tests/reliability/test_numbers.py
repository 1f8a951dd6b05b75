"""Losses and weights that are not finite, and a disk that is full."""

import dataclasses
import json
import math
import re
import resource
import subprocess
import sys

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.cli import run
from ssl_zoo.errors import RunError
from ssl_zoo.runs import execute
from ssl_zoo.runs import row as results
from ssl_zoo.train.checkpoint import Checkpoints
from tests.conftest import RUN, STEPPED
from tests.train.test_trainer import SETTINGS, kill_at, make

SKIP = dataclasses.replace(SETTINGS, on_nan="skip")


def poison(trainer, *steps, term="consistency", value=math.nan):
    """Make a term not finite in some steps, as an overflow would."""
    inner, step = trainer.algorithm.loss, trainer.batches.batch
    now = []

    def batch(asked):
        now[:] = [asked]
        return step(asked)

    def loss(*args):
        out = inner(*args)
        if now[0] not in steps:
            return out
        broken = out.terms[term] * value
        return out._replace(total=out.total + broken, terms={**out.terms, term: broken})

    trainer.batches.batch, trainer.algorithm.loss = batch, loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_step_and_the_term_are_named(tmp_path, value):
    trainer = make(tmp_path)
    poison(trainer, 6, term="supervised", value=value)
    with pytest.raises(RunError) as error:
        trainer.run()
    said = str(error.value)
    assert "the loss is not finite (supervised from step 7, " in said and "total from step 7; at step 8: " in said
    for way_out in ("optimizer.lr", "weight", "optimizer.clip", "`on_nan=skip`", "the checkpoint at step 4 is kept"):
        assert way_out in said


def test_a_run_that_diverged_leaves_a_row_until_it_gets_through(tmp_path, monkeypatch, capsys):
    """It is no result, but a table that knew nothing of it would flatter the method."""
    monkeypatch.chdir(tmp_path)
    argv = ["--net", "smallnet", "--alg", "supervised", "--steps", "6", "--set", "evaluation.log_every=2", "--out", "o"]
    inner = execute.Trainer

    def poisoned(*args):
        trainer = inner(*args)
        poison(trainer, 3, term="supervised")
        return trainer

    monkeypatch.setattr(execute, "Trainer", poisoned)
    assert run.main(argv) == 1 and run.main(argv) == 1
    capsys.readouterr()
    (row,) = results.read_all_rows([tmp_path / "o"])
    assert results.is_lost(row) and results.read_rows([tmp_path / "o"]) == [] and "accuracy" not in row
    assert row["diverged"].startswith("the loss is not finite (supervised from step 4")
    with pytest.raises(InputError, match="the run there diverged: the loss is not finite"):
        results.read_sound_rows([tmp_path / "o"])
    monkeypatch.setattr(execute, "Trainer", inner)
    assert run.main(argv) == 0
    (whole,) = results.read_all_rows([tmp_path / "o"])
    assert not results.is_lost(whole) and not (tmp_path / "o/diverged.json").exists()
    assert {name: row[name] for name in row if name != "diverged"} == {name: whole[name] for name in row if name != "diverged"}


def test_a_measurement_that_is_not_finite_stops_nothing(tmp_path):
    """A term that total does not contain, such as the logarithm of a share that is zero."""
    trainer = make(tmp_path)
    inner = trainer.algorithm.loss
    trainer.algorithm.loss = lambda *args: (out := inner(*args))._replace(terms={**out.terms, "share": torch.tensor(-math.inf)})
    trainer.run()
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert line["train/share"] is None  # JSON has no infinity


@pytest.mark.parametrize("name", STEPPED)
def test_skipping_undoes_the_step_and_counts(name, tmp_path):
    """Weights, statistics, teacher and memory are as if the broken steps had been none; the learning rate moves on."""
    (tmp_path / "a").mkdir()
    trainer = make(tmp_path / "a", name, SKIP)
    poison(trainer, 2, 3, term="supervised")
    states = {}
    inner = trainer.batches.batch

    def batch(step):
        states[step] = {key: value.clone() for key, value in trainer.algorithm.state_dict().items()}
        return inner(step)

    trainer.batches.batch = batch
    outcome = trainer.run()
    assert outcome.skipped == 2
    for key, value in states[2].items():
        assert torch.equal(value, states[3][key]) and torch.equal(value, states[4][key]), key
    assert not torch.equal(states[4]["net.head.weight"], states[5]["net.head.weight"])
    assert all(value.isfinite().all() for value in trainer.algorithm.state_dict().values() if value.is_floating_point())
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    assert [line["train/skipped"] for line in lines if "train/total" in line] == [0, 2, 2, 2, 2, 2]
    assert lines[1]["step"] == 4 and lines[1]["train/supervised"] is None


def test_skipping_changes_nothing_where_all_is_finite(tmp_path):
    stop, skip = make(tmp_path / "stop"), make(tmp_path / "skip", settings=SKIP)
    assert stop.run().evaluations == skip.run().evaluations and skip.skips.count == 0
    for a, b in zip(stop.algorithm.state_dict().values(), skip.algorithm.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_count_of_skipped_steps_resumes(tmp_path):
    trainer = make(tmp_path, settings=SKIP)
    poison(trainer, 1, 6, term="supervised")
    trainer.settings = dataclasses.replace(SKIP, steps=12)
    inner = trainer.batches.batch
    trainer.batches.batch = lambda step: inner(step) if step < 9 else pytest.fail("killed")
    with pytest.raises(pytest.fail.Exception):
        trainer.run()
    again = make(tmp_path, settings=SKIP)
    assert again.start == 8 and again.skips.count == 2
    assert again.run().skipped == 2


def test_skipping_gives_up_where_nothing_is_finite_any_more(tmp_path):
    trainer = make(tmp_path, settings=dataclasses.replace(SKIP, steps=200))
    poison(trainer, *range(20, 200), term="supervised")
    with pytest.raises(RunError) as error:
        trainer.run()
    assert str(error.value) == (
        "no gradient was finite in the 100 steps up to 120: `on_nan=skip` cannot help; lower optimizer.lr or the method's "
        "weight, or set optimizer.clip; the checkpoint at step 116 is kept"
    )


def test_in_bf16_the_other_precision_is_a_way_out(tmp_path):
    trainer = make(tmp_path)
    trainer.machine = trainer.machine._replace(precision="bf16")
    poison(trainer, 6, term="supervised")
    with pytest.raises(RunError, match=r"give `precision=fp32`, or give `on_nan=skip`; the checkpoint"):
        trainer.run()


def test_predictions_that_are_not_finite_though_every_loss_was_are_no_case_for_skipping(tmp_path):
    trainer = make(tmp_path)
    trainer.eval_net = lambda: type("Broken", (torch.nn.Linear,), {"forward": lambda net, x: x.mean((2, 3)) * math.nan})(1, 1)
    with pytest.raises(RunError, match=r"the predictions are not finite at the evaluation after step 4; ") as error:
        trainer.run()
    assert "on_nan" not in str(error.value)


def test_the_count_of_steps_that_cannot_be_used_resumes(tmp_path):
    """A run that is killed again and again gives up where one that is left alone does."""
    settings = dataclasses.replace(SKIP, steps=200)
    trainer = make(tmp_path, settings=settings)
    poison(trainer, *range(20, 200), term="supervised")
    kill_at(trainer, 70)
    again = make(tmp_path, settings=settings)
    poison(again, *range(20, 200), term="supervised")
    with pytest.raises(RunError, match="in the 100 steps up to 120: "):
        again.run()


def test_a_loss_that_is_not_finite_is_skipped_whatever_its_gradient(tmp_path):
    trainer = make(tmp_path, settings=SKIP)
    inner, calls = trainer.algorithm.loss, []

    def loss(*args):
        out = inner(*args)
        calls.append(1)
        return out._replace(total=out.total + math.inf) if len(calls) == 3 else out  # the gradient is that of before

    trainer.algorithm.loss = loss
    assert trainer.run().skipped == 1


def test_no_checkpoint_is_written_of_a_loss_that_is_not_finite(tmp_path):
    """A resumed run would have forgotten it by its next log point, and would go on where one left alone stops."""
    settings = dataclasses.replace(SETTINGS, evaluation=dataclasses.replace(SETTINGS.evaluation, log_every=1000, every=1000))
    trainer = make(tmp_path, settings=dataclasses.replace(settings, checkpoint_seconds=0))
    inner, step = trainer.algorithm.loss, []

    def loss(*args):
        step.append(1)
        out = inner(*args)
        return out._replace(total=out.total + math.inf) if len(step) == 5 else out

    trainer.algorithm.loss = loss
    with pytest.raises(RunError, match=r"the loss is not finite \(total from step 5\); .*the checkpoint at step 4 is kept"):
        trainer.run()


ARGV = ["--net", "smallnet", "--steps", "12", "--device", "cpu", "--set", "evaluation.every=4"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert subprocess.run([sys.executable, RUN, *ARGV, "--out", folder / "run"], capture_output=True).returncode == 0
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "share"),
    [("config.yaml", 1), ("split.json", 1), ("metrics.jsonl", 0.5), ("checkpoint.pt", 1), ("checkpoint.pt", 0.2)],
)
def test_a_disk_that_fills_up(file, share, whole, tmp_path):
    """Whatever there is no room for: a line that says so, nothing half-written, and with room the run goes on to the same end."""
    size = int((whole / file).stat().st_size * share) - 1

    def limit():
        """No file may grow beyond this, which to a process is what a full disk is."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    command = [sys.executable, RUN, *ARGV, "--out", "run"]
    begun = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit)
    last = begun.stderr.splitlines()[-1]
    assert begun.returncode == 1 and last.startswith("run.py: run cannot be written ("), begun.stderr
    assert "the same command goes on when it can" in last and "Traceback" not in begun.stderr
    assert not list((tmp_path / "run").glob("*.partial"))
    if file in ("metrics.jsonl", "checkpoint.pt"):  # the first checkpoint is a little smaller than the last
        kept = re.search(r"the checkpoint at step (\d+) is kept", last)
        state = Checkpoints(tmp_path / "run").load(torch.device("cpu"))
        assert (state["step"] if state else None) == (int(kept[1]) if kept else None)
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert after.returncode == 0, after.stderr
    assert (tmp_path / "run/metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
