"""A run killed again and again, and compared bit for bit with one left alone: python benchmarks/soak.py --kills 50

Each time it is sent SIGKILL at a random moment and started again with the same command, until that many kills are
survived; the last start goes on to the end. Arguments that are not its own are those of run.py; without any, it is the
default run.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ssl_zoo import files, provenance
from ssl_zoo.cli import run
from ssl_zoo.cli.parser import Parser, path
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.sweeps.engines import last_line
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.trainer import Trainer

EARLY = 0.15  # of the kills fall in the start of a process
TIMES = ("seconds", "seconds_training", "images_per_second", "peak_memory")  # what may differ between two equal runs
_FORKS = multiprocessing.get_context("forkserver")  # children of a process that has torch imported and has computed nothing
_FORKS.set_forkserver_preload(
    ["torch", "torchvision", "jsonargparse", "sklearn.metrics", "tensorboard.summary.writer.record_writer"]
)


def _child(argv: Sequence[str], log: str, reached: Any) -> None:
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
    step = Trainer.step

    def counted(self: Trainer, number: int, *more: Any, **named: Any) -> Any:
        reached.value = number
        return step(self, number, *more, **named)

    Trainer.step = counted  # type: ignore[method-assign]
    with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        status = run.main(argv)
    sys.exit(status)


class Run:
    """A run in a process of its own.

    Args:
        argv: Of run.py.
        log: Where what it prints goes, at the end.
    """

    def __init__(self, argv: Sequence[str], log: Path):
        self._reached = _FORKS.RawValue("q", -1)  # no lock, which a killed process could keep
        self._process = _FORKS.Process(target=_child, args=(list(argv), str(log), self._reached))
        self._process.start()

    @property
    def step(self) -> int:
        """The step that it is in; -1 before the first."""
        return self._reached.value

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit status, minus the number of the signal that ended it; None if it still runs after so long."""
        self._process.join(seconds)
        return self._process.exitcode

    def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two runs' folders, times apart: weights and all other state, metrics, scalars, result."""
    found = []
    states = [Checkpoints(folder).load(torch.device("cpu")) or {} for folder in (one, other)]
    flat = [dict(_leaves({name: part for name, part in state.items() if name not in TIMES})) for state in states]
    found += [f"checkpoint: {name}" for name in sorted({*flat[0], *flat[1]}) if not _same(flat[0].get(name), flat[1].get(name))]
    found += ["metrics.jsonl"] * ((one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes())
    found += ["TensorBoard's scalars"] * (scalars(one) != scalars(other))
    rows = [{name: value for name, value in _row(folder).items() if name not in TIMES} for folder in (one, other)]
    for row in rows:  # how often checkpoints are written may change, and changes nothing
        del row["recipe_hash"], row["config"]["checkpoint_seconds"]
    found += [f"result.json: {name}" for name in sorted({*rows[0], *rows[1]}) if rows[0].get(name) != rows[1].get(name)]
    return found


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    """Every scalar in TensorBoard's files of a run, in the order in which they were written, with its step."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found = []
    for file in sorted((folder / "tensorboard").iterdir()):
        for event in LegacyEventFileLoader(str(file)).Load():
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return found


def _row(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if parts is None:
        yield name, value
    else:
        for key, part in parts:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
        )
    return type(a) is type(b) and a == b


class Alone(NamedTuple):
    """What the run takes that is left alone."""

    steps: int
    seconds: float  # in its loop
    whole: float  # seconds from its start to its end


def soak(argv: Sequence[str], kills: int, folder: Path, seed: int) -> dict[str, Any]:
    """Run once undisturbed and once under fire, in two folders below `folder`.

    Args:
        argv: Of run.py, without --out.
        kills: How many to survive.
        folder: Empty.
        seed: Of the moments.

    Returns:
        Figures: the kills, what was lost at each, and what differed at the end.

    Raises:
        InputError: The run does not go through even when it is left alone.
    """
    draw = random.Random(seed)
    alone, killed = folder / "alone", folder / "killed"
    log = folder / "log.txt"
    began = time.perf_counter()
    if Run([*argv, "--out", str(alone)], log).wait() != 0:
        raise InputError(f"the run does not go through when it is left alone: {last_line(log)}")
    whole = time.perf_counter() - began
    takes = Alone(_row(alone)["steps"], _row(alone)["seconds"], whole)
    if takes.steps < 5 * kills:
        raise InputError(f"{takes.steps} steps are too few for {kills} kills; give it more --steps, or fewer kills")
    argv = [*argv, "--set", f"checkpoint_seconds={takes.seconds / kills / 3:.3g}"]
    lost = under_fire([*argv, "--out", str(killed)], killed, kills, takes, draw, log)
    if Run([*argv, "--out", str(killed)], log).wait() != 0:
        raise InputError(f"the run does not come to its end after {kills} kills: {last_line(log)}")
    found = differences(alone, killed)
    return {
        "kills": kills,
        "different": found,
        "steps": takes.steps,
        "steps_lost_mean": statistics.mean(lost),
        "steps_lost_max": max(lost),
        "seconds_alone": takes.whole,
        "command": " ".join(["benchmarks/run.py", *argv]),
        "cores": os.cpu_count(),
        "device": _row(alone)["device"],
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }


def under_fire(argv: Sequence[str], out: Path, kills: int, takes: Alone, draw: random.Random, log: Path) -> list[int]:
    """Start a run and kill it, so many times; returns the steps that were lost at each.

    Args:
        argv: Of run.py.
        out: The run's folder.
        kills: How many.
        takes: The same run, left alone.
        draw: Of the moments.
        log: Where what it prints goes.

    Raises:
        InputError: It ends by itself.
    """
    lost: list[int] = []
    saved = 0
    while len(lost) < kills:
        shot = Run(argv, log)
        if draw.random() < EARLY:  # while it starts
            shot.wait(draw.uniform(0, takes.whole - takes.seconds))
        else:  # on average, 0.7 of the run is over after all of them
            target = saved + draw.uniform(0, 1.4 * takes.steps / kills)
            while shot.step < target and shot.wait(0.001) is None:
                pass
            shot.wait(draw.uniform(0, takes.seconds / takes.steps))
        status = shot.wait(0)
        if status is None:
            status = shot.send(signal.SIGKILL)
        if status == 0:
            raise InputError(f"the run was over after {len(lost)} kills; give it more --steps")
        if status != -signal.SIGKILL:
            raise InputError(f"the run failed after {len(lost)} kills: {last_line(log)}")
        state = Checkpoints(out).load(torch.device("cpu"))
        saved = 0 if state is None else state["step"]
        lost.append(max(0, shot.step - saved))  # 0: it was killed before its first step
    return lost


def sentence(figures: dict[str, Any]) -> str:
    """The figures in words."""
    different = f"in {', '.join(figures['different'])}" if figures["different"] else "0"
    return (
        f"{figures['kills']} kills survived in a run of {figures['steps']} steps; bytes different at the end: {different}; steps "
        f"lost per kill: {figures['steps_lost_mean']:.1f} on average, {figures['steps_lost_max']} at most "
        f"({figures['cores']} cores, {figures['device'].rpartition(',')[0]}, torch {figures['versions']['torch']})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 1: something differs; 2: bad input."""
    p = Parser(prog="soak.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=50, metavar="N", help="how many to survive; 50 unless said otherwise")
    p.add_argument("--moments", type=int, default=0, metavar="SEED", help="of the moments of the kills")
    p.add_argument("--save", type=path, metavar="FILE.json", help="write the figures there")
    try:
        flags, rest = p.parse_known_args(sys.argv[1:] if argv is None else argv)
        if flags.kills < 1:
            raise InputError(f"--kills is {flags.kills}; it must be at least 1")
        if any(word.partition("=")[0] == "--out" for word in rest):
            raise InputError("--out cannot be given: the two runs are made in a folder that is removed")
        with tempfile.TemporaryDirectory() as folder:
            figures = soak(rest, flags.kills, Path(folder), flags.moments)
    except InputError as error:
        print(f"soak.py: {one_line(error)}", file=sys.stderr)
        return 2
    print(sentence(figures))
    if flags.save:
        files.replace_text(flags.save, json.dumps(figures, indent=1) + "\n")
    return 1 if figures["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
