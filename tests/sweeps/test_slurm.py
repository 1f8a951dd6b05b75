"""Cells as jobs that submitit hands in: here to processes of this machine, its stand-in for SLURM."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_zoo import InputError
from ssl_zoo.cli import sweep
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.slurm import SlurmEngine
from tests.cli.test_sweep import FAILING, SWEEP, elsewhere, grid, rows, worker_on  # noqa: F401

LOCAL = ("--engine", "submitit", "--slurm", "cluster=local,at_once=2")


@pytest.fixture
def submitit():
    return pytest.importorskip("submitit", reason='needs pip install "ssl_zoo[slurm]"')


@pytest.mark.slow
def test_it_gives_the_same_rows_names_what_failed_and_goes_on(submitit):
    Path("failing.py").write_text(FAILING)
    more = ["--plugin", "failing.py"]
    local = subprocess.run([*SWEEP, *grid("--jobs-per-device", "2", out="local")], capture_output=True, text=True)
    assert local.returncode == 0, local.stderr
    words = grid(*LOCAL, *more, algs="supervised,pimodel,failing", out="slurm")
    done = subprocess.run([*SWEEP, *words], capture_output=True, text=True)
    assert done.returncode == 1 and "4 of 6 cells are finished" in done.stdout, done.stdout + done.stderr
    assert "failing-smallnet-20-s0 failed and is tried once more" in done.stderr
    assert re.search(r"not finished: failing-smallnet-20-s1: .*half-way", done.stderr)
    mine, theirs = rows("slurm"), rows("local")
    assert {*mine} == {*theirs} and len(mine) == 4
    assert all(mine[name]["evaluations"] == theirs[name]["evaluations"] for name in mine)
    again = subprocess.run([*SWEEP, *grid(*LOCAL, out="slurm")], capture_output=True, text=True)
    assert again.returncode == 0 and "4 finished, 0 to run" in again.stdout


@pytest.mark.slow
def test_ctrl_c_cancels_its_jobs_and_the_same_command_goes_on(submitit):
    command = [*SWEEP, *grid(*LOCAL, steps=1000, algs="supervised", seeds="0", out="a")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    metrics = Path("a/supervised-smallnet-20-s0/metrics.jsonl")
    until = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert "ended by SIGINT" in process.communicate(timeout=100)[1] and process.returncode == 130
    log = Path("a/logs/supervised-smallnet-20-s0.txt")
    step = int(re.search(r"ended by SIGINT after step (\d+)", log.read_text())[1])
    assert 0 < step < 1000 and not Path("a/supervised-smallnet-20-s0/result.json").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "1 of 1 cells are finished" in done.stdout, done.stderr
    assert f"from step {step}, " in log.read_text()
    assert json.loads(Path("a/supervised-smallnet-20-s0/result.json").read_text())["steps"] == 1000


@pytest.mark.slow
def test_a_job_that_is_killed_is_told_and_tried_once_more(submitit):
    Path("dying.py").write_text(
        FAILING.replace('raise ValueError("half-way")', "import os; 'SUBMITIT_EXECUTOR' in os.environ and os._exit(7)")
    )
    words = grid(*LOCAL, "--plugin", "dying.py", algs="failing", seeds="0", out="a")
    done = subprocess.run([*SWEEP, *words], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert re.search(r"failed and is tried once more: job \d+ ended without a result", done.stderr), done.stderr
    assert "not finished: failing-smallnet-20-s0: job " in done.stderr


@pytest.mark.slow
def test_a_job_whose_time_is_up_is_put_in_again_and_goes_on(submitit):
    """Of which SLURM tells it by a signal."""
    more = ("--set", "checkpoint_seconds=0")
    command = [*SWEEP, *grid(*LOCAL, *more, steps=1000, algs="supervised", seeds="0", out="a")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder, until = Path("a/supervised-smallnet-20-s0"), time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists():
        time.sleep(0.02)
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
    os.kill(worker_on(folder), signal.SIGUSR2)
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and "1 of 1 cells are finished" in said, errors
    starts = re.findall(r"from step (\d+), ", Path("a/logs/supervised-smallnet-20-s0.txt").read_text())
    assert len(starts) == 2 and int(starts[0]) == 0 < int(starts[1]) and "once more" not in errors


def test_a_dry_run_hands_nothing_in(capsys):
    assert sweep.main(grid(*LOCAL, "--dry-run", out="a")) == 0
    assert "4 to run (0 of them half-done), 2 at a time" in capsys.readouterr().out and not Path("a").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--slurm", "partition=gpu"], "--slurm is of jobs of SLURM; add --engine submitit"),
        (["--engine", "submitit", "--slurm", "partition"], "--slurm has 'partition'; give KEY=VALUE"),
        (["--engine", "submitit", "--slurm", "at_once=0"], "--slurm at_once=0: it must be a whole number, at least 1"),
        (["--engine", "submitit", "--jobs-per-device", "2"], "give --slurm at_once=N"),
    ],
)
def test_what_is_refused(flags, message, capsys):
    assert sweep.main(grid(*flags)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("cluster=local,nodes=2", "submitit refuses this: LocalExecutor can use only one node"),
        ("cluster=pbs", "--slurm cluster=pbs is unknown"),
        ("partition=gpu", "there is no SLURM here: sbatch is not found; --slurm cluster=local runs jobs on this machine"),
    ],
)
def test_what_submitit_refuses(submitit, asked, message, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert sweep.main(grid("--engine", "submitit", "--slurm", asked)) == 2
    assert message in capsys.readouterr().err


def test_without_the_package_it_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert sweep.main(grid(*LOCAL)) == 2
    assert "--engine submitit needs submitit: pip install 'ssl_zoo[slurm]'" in capsys.readouterr().err


def sbatch(folder, monkeypatch, script):
    """Put a program in the place of sbatch."""
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("sbatch", "srun"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")


def test_what_a_job_asks_for(submitit, tmp_path, monkeypatch):
    """The text that sbatch would get."""
    sbatch(tmp_path, monkeypatch, "echo Submitted batch job 7")
    asked = {"partition": "gpu", "gpus_per_node": 1, "cpus_per_task": 3, "timeout_min": 90, "mem_gb": 8, "qos": "long"}
    asked |= {"reservation": "mine", "exclude": "n1", "signal_delay_s": 120}  # sbatch's, of which submitit knows one; submitit's
    engine = SlurmEngine(lambda cell, threads: 0, tmp_path / "kept", asked, 5, 3)
    engine.submit(Cell("a-cell", RunSettings(), tmp_path / "a-cell", tmp_path / "log.txt"))
    (text,) = (path.read_text() for path in (tmp_path / "kept").glob("*_submission.sh"))
    for line in ("partition=gpu", "gpus-per-node=1", "cpus-per-task=3", "time=90", "mem=8GB", "qos=long", "job-name=a-cell"):
        assert f"#SBATCH --{line}\n" in text, text
    for line in ("reservation=mine", "exclude=n1", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in text, text


def test_a_job_that_sbatch_does_not_take_is_told(submitit, tmp_path, monkeypatch):
    """At the first one something is asked for that cannot be had; later ones may be too many, and fail like a cell."""
    cell = Cell("a-cell", RunSettings(), tmp_path / "a-cell", tmp_path / "log.txt")
    refusing = "echo sbatch: error: invalid partition specified: gqu >&2; exit 1"
    sbatch(tmp_path, monkeypatch, refusing)
    engine = SlurmEngine(lambda cell, threads: 0, tmp_path / "kept", {"partition": "gqu"}, 5, 1)
    with pytest.raises(InputError, match=r"^--slurm: no job was put into the queue: sbatch: error: .*: gqu$"):
        engine.submit(cell)
    sbatch(tmp_path, monkeypatch, "echo Submitted batch job 7")
    engine.submit(cell)
    sbatch(tmp_path, monkeypatch, "echo sbatch: error: QOSMaxSubmitJobPerUserLimit >&2; exit 1")
    handle = engine.submit(cell)
    ((found, ended),) = engine.ended([handle], 1)
    assert found == handle and ended.status == 1
    assert ended.says.startswith(
        "it was not put into the queue (sbatch: error: QOSMaxSubmitJobPerUserLimit); `--slurm at_once=N`"
    )


def test_what_is_refused_leaves_nothing(submitit):
    assert sweep.main(grid("--engine", "submitit", "--slurm", "cluster=local,timeout_min=long", out="a")) == 2
    assert not Path("a").exists()
