"""How many runs should share a device: python benchmarks/share.py --recipe digits --net smallnet

Lets 1, 2, 4, ... copies of a run make steps at a time, for seconds, until more copies make no more steps between them, or
one finds no memory. `sweep.py --jobs-per-device auto` asks this before it begins. Nothing is written.
"""

import argparse
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from ssl_zoo import config, plugins
from ssl_zoo.errors import InputError, RunError, one_line
from ssl_zoo.train.device import keep_freed_memory, wait_for

if __package__:
    from benchmarks import run
else:
    import run

GAIN = 1.1  # what twice as many runs must make of the steps of half as many, to be worth their memory
MOST = 16
SECONDS = 4.0  # of steps, for each number of copies
WARM_UP = 5  # steps


class Copy(Protocol):
    """A run that makes steps when it is told to."""

    def ready(self) -> None: ...

    def begin(self, seconds: float, threads: int) -> None: ...

    def rate(self) -> float: ...


class Process:
    """A copy in a process of its own. It needs no more than the settings of the run.

    Args:
        argv: Those, as run.py has them.
        device: Number of the GPU; "" is the CPU.

    Raises:
        RunError: In `ready` and `rate`: it ended, with what it said.
    """

    def __init__(self, argv: Sequence[str], device: str):
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--copy", *argv],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": device},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,  # Ctrl-C comes to the asking process alone, which ends this one
        )

    def ready(self) -> None:
        """Wait until it can begin."""
        self._line()

    def begin(self, seconds: float, threads: int) -> None:
        """Let it make steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds} {threads}\n")
        self._process.stdin.flush()

    def rate(self) -> float:
        """Steps a second, when it has made them."""
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            lines = [said.strip() for said in self._said if said.strip()]
            raise RunError(lines[-1].removeprefix("share.py: ") if lines else "it said nothing")
        return line

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._said.close()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measured(start: Callable[[], Copy], most: int, seconds: float = SECONDS) -> dict[int, float]:
    """Steps a second that 1, 2, 4, ... copies make between them, as far as that is worth it.

    Args:
        start: Starts a copy.
        most: Copies at most.
        seconds: Of steps, for each number.

    Raises:
        InputError: Not even one makes steps.
    """
    found: dict[int, float] = {}
    copies: list[Copy] = []
    before = 0.0
    counts = [2**k for k in range(most.bit_length())]
    for count in dict.fromkeys([*counts, most]):
        copies += [start() for _ in range(count - len(copies))]
        try:
            for copy in copies:
                copy.ready()
            for copy in copies:
                copy.begin(seconds, max(1, cores() // count))
            found[count] = sum([copy.rate() for copy in copies])
        except RunError as error:
            if not found:
                raise InputError(f"a copy of the run makes no steps: {error}") from error
            break  # there is no memory for so many
        if found[count] < GAIN * before:
            break
        before = found[count]
    return found


def best(found: dict[int, float]) -> int:
    """The number of copies that makes the most steps, or a smaller one that makes almost as many."""
    return min(count for count, rate in found.items() if rate * GAIN >= max(found.values()))


def measured_with(argv: Sequence[str], device: str, most: int, seconds: float = SECONDS) -> dict[int, float]:
    """What `measured` gives, with processes.

    Args:
        argv: Of the run, as run.py has it.
        device: Number of the GPU; "" is the CPU.
        most: Copies at most.
        seconds: Of steps, for each number.
    """
    with contextlib.ExitStack() as stack:

        def start() -> Process:
            copy = Process(argv, device)
            stack.callback(copy.close)
            return copy

        return measured(start, most, seconds)


def table(found: dict[int, float]) -> str:
    """What was measured, a line for each number of copies."""
    lines = ["| runs at a time | steps a second, all of them | times one |", "| -: | -: | -: |"]
    lines += [f"| {count} | {rate:.1f} | {rate / found[1]:.2f} |" for count, rate in found.items()]
    return "\n".join(lines)


def copy(argv: Sequence[str]) -> None:
    """What a copy does: a run's steps, when a line says for how many seconds and with how many threads."""
    keep_freed_memory()
    flags = run.parse(argv)
    plugins.load_installed()
    for plugin in flags.plugin:
        plugins.load_plugin(plugin)
    settings = dataclasses.replace(run.read_settings(flags), steps=10**6)  # no end is near, whatever a step's schedule does there
    with tempfile.TemporaryDirectory() as empty:  # nothing is written
        trainer, _ = run.assemble(settings, run.choose_labels(settings, run.load_data(settings)), Path(empty), {})
    trainer.algorithm.train()
    done = 0
    for _ in range(WARM_UP):
        trainer.step(done)
        done += 1
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, threads = line.split()
        torch.set_num_threads(int(threads))
        wait_for(trainer.device)
        before, began = done, time.perf_counter()
        while time.perf_counter() - began < float(seconds):
            trainer.step(done)
            done += 1
            if done % 10 == 0:
                wait_for(trainer.device)  # or the steps would only be queued
        wait_for(trainer.device)
        print((done - before) / (time.perf_counter() - began), flush=True)
        print("ready", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    p = config.Parser(prog="share.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--most", type=int, default=MOST, metavar="K", help=f"runs at a time, at most ({MOST})")
    p.add_argument("--copy", action="store_true", help=argparse.SUPPRESS)
    p.epilog = "All other flags are those of run.py."
    try:
        flags, words = p.parse_known_args(argv)
        if flags.copy:
            copy(words)
            return 0
        if flags.most < 1:
            raise InputError(f"--most is {flags.most}; it must be at least 1")
        asked = run.parse(words)
        plugins.load_installed()
        for plugin in asked.plugin:
            plugins.load_plugin(plugin)
        settings = run.read_settings(asked)
        on_gpu = settings.device != "cpu" and torch.cuda.is_available()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if on_gpu else ""
        found = measured_with(words, visible.split(",")[0], flags.most)
        print(f"{table(found)}\n\nbest: {best(found)} at a time")
        return 0
    except (InputError, RunError) as error:
        print(f"share.py: {one_line(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
