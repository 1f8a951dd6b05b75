"""Runs killed for real, at random moments and at chosen ones, and gone on with by the same command: bit for bit the same end."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from benchmarks import soak
from ssl_zoo import ALGORITHMS, files
from ssl_zoo.cli import run
from ssl_zoo.runs import execute, folder
from ssl_zoo.train import evaluate, logs
from ssl_zoo.train.checkpoint import LAST, PREVIOUS, Checkpoints

# One for each kind of state that a step changes, with what is drawn in it. In one process tests/train/test_trainer.py kills all.
KILLED = ["supervised", "pimodel", "tempens", "meanteacher", "flexmatch", "comatch", "remixmatch"]
QUICK = [
    *("--net", "smallnet", "--steps", "24", "--device", "cpu"),
    *("--set", "evaluation.every=7", "--set", "evaluation.log_every=3", "--set", "evaluation.unlabeled=40"),
    *("--set", "datasets.digits.test_size=1700"),  # 97 images are left to train on, and each is visited
    *("--set", "batch={labeled: 5, unlabeled: 7, labeled_in_unlabeled: true}", "--set", "eval_ema=0.9"),
]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run of a method that nobody disturbs."""
    folders: dict[str, Path] = {}

    def of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "run"
            assert soak.Run(["--alg", name, *QUICK, "--out", str(folders[name])], folders[name].parent / "log").wait() == 0
        return folders[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_random_kills_change_no_bit(name, alone, tmp_path):
    """With a checkpoint in every step, so that many a kill hits one."""
    draw = random.Random(name)
    argv = ["--alg", name, *QUICK, "--set", "checkpoint_seconds=0", "--out", str(tmp_path / "run")]
    whole = alone(name)
    begins = 1
    for kill in range(4):
        shot, target = soak.Run(argv, tmp_path / "log"), draw.randrange(5 * kill, 5 * kill + 5)
        while shot.step < target:
            assert shot.wait(0.0005) is None, (tmp_path / "log").read_text()
        if shot.wait(draw.uniform(0, 0.01)) is None:
            shot.send(signal.SIGKILL)
        begins += not (tmp_path / "run" / "result.json").exists()  # a busy machine may let the last one finish before it is shot
    assert soak.Run(argv, tmp_path / "log").wait() == 0
    assert soak.differences(whole, tmp_path / "run") == []
    begun = [int(step) for step in re.findall(r"from step (\d+), ", (tmp_path / "log").read_text())]
    assert len(begun) == begins >= 4 and begun == sorted(begun) and begun[-1] > 0, "nothing was gone on with"


def die_at(owner, name, number, counts=lambda *args: True, first=lambda *args: None):
    """Let the process die in a call of a function; the others go through.

    Args:
        owner: Class or module of the function.
        name: Of the function.
        number: Of the call, from 1.
        counts: Which calls count, by their arguments.
        first: What is done before.
    """
    inner, calls = getattr(owner, name), []

    def dying(*args, **kwargs):
        if counts(*args):
            calls.append(1)
            if len(calls) == number:
                if threading.current_thread() is threading.main_thread():
                    for checkpoints in BEGUN:  # else it is up to the disk which one the next process finds
                        checkpoints.wait()
                first(*args)
                os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)

    setattr(owner, name, dying)


BEGUN: list[Checkpoints] = []  # in the process that dies: whose thread has had something to write


def saving(checkpoints, state, inner=Checkpoints.save):
    inner(checkpoints, state)
    BEGUN[:] = [checkpoints]


def half_a_file(state, file):
    file.write(b"PK" + bytes(5000))
    file.flush()


def half_a_line(log, step, numbers):
    log._file.write(b'{"step": 9, "trai')
    log._file.flush()


TEMPENS = ALGORITHMS.resolve("tempens").target
MOMENTS = {  # where the process dies, and the step that the next one goes on from
    "before anything is written": (0, files, "replace_text", 1),
    "in the first file": (0, Path, "replace", 1, lambda partial, path: Path(path).name == "config.yaml"),
    "with settings and without a split": (0, folder, "write_split", 1),
    "in the first step": (0, TEMPENS, "after_step", 1),
    "in a step after a checkpoint": (7, TEMPENS, "after_step", 9),
    "in an evaluation": (14, evaluate, "score", 3),
    "in the last evaluation": (24, evaluate, "confusion", 4),
    "in a line of metrics": (7, logs.RunLog, "write", 6, lambda *args: True, half_a_line),
    "in a checkpoint": (14, torch, "save", 3, lambda *args: True, half_a_file),
    "before a checkpoint is renamed": (7, Path, "replace", 2, lambda partial, path: Path(path).name == LAST),
    "after the one before is renamed": (7, Path, "replace", 1, lambda partial, path: Path(path).name == PREVIOUS, Path.rename),
    "before the model": (24, execute, "write_model", 1),
    "before the model is renamed": (24, Path, "replace", 1, lambda partial, path: Path(path).name == "model.safetensors"),
    "before the result": (24, folder, "write_json", 1),
    "before the result is renamed": (24, Path, "replace", 1, lambda partial, path: Path(path).name == "result.json"),
}


def dying_child(moment, argv, log):
    Checkpoints.save = saving
    die_at(*MOMENTS[moment][1:])
    with open(log, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        status = run.main(argv)
    sys.exit(status)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_the_worst_moment_changes_no_bit(moment, alone, tmp_path):
    argv = ["--alg", "tempens", *QUICK, "--out", str(tmp_path / "run")]
    process = soak._FORKS.Process(target=dying_child, args=(moment, argv, str(tmp_path / "dying")))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "dying").read_text()
    assert soak.Run(argv, tmp_path / "log").wait() == 0, (tmp_path / "log").read_text()
    assert f"from step {MOMENTS[moment][0]}, " in (tmp_path / "log").read_text()
    assert soak.differences(alone("tempens"), tmp_path / "run") == []
    assert not list((tmp_path / "run").glob("*.partial")) and not list((tmp_path / "run").glob("tmp*"))


ASIDE = {  # where a process dies that begins anew, and whether the old run is then still in its place
    "before the old run is moved": (True, Path, "rename", 1),
    "before the new folder is locked": (False, folder.RunFolder, "_lock", 2),
    "before the new settings are written": (False, files, "replace_text", 1),
    "with new settings and without a split": (False, folder, "write_split", 1),
}


def dying_anew(moment, argv, log):
    die_at(*ASIDE[moment][1:])
    with open(log, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        status = run.main(argv)
    sys.exit(status)


@pytest.mark.parametrize("moment", ASIDE)
@pytest.mark.parametrize("again", [[], ["--fresh"]], ids=["and goes on", "and begins anew"])
def test_a_kill_while_a_run_begins_anew_loses_nothing(moment, again, alone, tmp_path):
    """The old run is whole, in one place or the other; the new one ends with the bits of one that was left alone."""
    shutil.copytree(alone("supervised"), tmp_path / "run")
    argv = ["--alg", "tempens", *QUICK, "--out", str(tmp_path / "run")]
    process = soak._FORKS.Process(target=dying_anew, args=(moment, [*argv, "--fresh"], str(tmp_path / "dying")))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "dying").read_text()
    in_place = ASIDE[moment][0]
    assert soak.differences(alone("supervised"), tmp_path / ("run" if in_place else "run.old-1")) == []
    assert soak.Run([*argv, *again], tmp_path / "log").wait() == (2 if in_place and not again else 0)
    if in_place and not again:
        assert "holds a run with other settings" in (tmp_path / "log").read_text()
        return
    assert soak.differences(alone("supervised"), tmp_path / "run.old-1") == []
    assert soak.differences(alone("tempens"), tmp_path / "run") == []


def test_the_comparison_sees_a_difference(alone, tmp_path):
    """The comparison itself must be able to fail."""
    argv = ["--alg", "tempens", *QUICK, "--out", str(tmp_path / "run"), "--seed", "1"]
    assert soak.Run(argv, tmp_path / "log").wait() == 0
    found = " ".join(soak.differences(alone("tempens"), tmp_path / "run"))
    for part in (
        "checkpoint: algorithm.net.",
        "checkpoint: algorithm.memory",
        "metrics.jsonl",
        "TensorBoard",
        "result.json: accuracy",
    ):
        assert part in found


def test_metrics_hold_every_step_once_and_in_order(alone):
    lines = [json.loads(line) for line in (alone("tempens") / "metrics.jsonl").read_text().splitlines()]
    train = [line["step"] for line in lines if "train/total" in line]
    assert train == sorted({*range(3, 25, 3), 7, 14, 21, 24})
    steps = [(tag, step) for step, tag, _ in soak.scalars(alone("tempens"))]
    assert len(steps) == len(set(steps))
    assert [step for tag, step in steps if tag == "train/total"] == train


def signalled_child(owner, name, call, number, argv, log):
    """A signal comes in a call of a function, of that number from 1."""
    inner, calls = getattr(owner, name), []

    def signalled(*args):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
            time.sleep(0.1)
        return inner(*args)

    setattr(owner, name, signalled)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and hand that down
    with open(log, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        status = run.main(argv)
    sys.exit(status)


def signalled(tmp_path, *moment):
    """The exit status and the last line of a run that a signal ends, and the command line that goes on with it."""
    argv = ["--alg", "tempens", *QUICK, "--out", str(tmp_path / "run")]
    process = soak._FORKS.Process(target=signalled_child, args=(*moment, argv, str(tmp_path / "signalled")))
    process.start()
    process.join()
    said = (tmp_path / "signalled").read_text()
    assert "Traceback" not in said
    return process.exitcode, said.splitlines()[-1], argv


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_run_with_a_checkpoint(number, alone, tmp_path):
    status, said, argv = signalled(tmp_path, TEMPENS, "after_step", 5, number)
    assert status == 128 + number
    assert said == f"run.py: ended by {number.name} after step 5, with a checkpoint; the same command goes on"
    assert soak.Run(argv, tmp_path / "log").wait() == 0
    assert "from step 5, " in (tmp_path / "log").read_text()
    assert soak.differences(alone("tempens"), tmp_path / "run") == []


def test_a_signal_while_a_checkpoint_is_written(alone, tmp_path):
    status, said, argv = signalled(tmp_path, Checkpoints, "_write", 1, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM and "run.py: ended by SIGTERM after step " in said
    assert soak.Run(argv, tmp_path / "log").wait() == 0, (tmp_path / "log").read_text()
    assert soak.differences(alone("tempens"), tmp_path / "run") == []
