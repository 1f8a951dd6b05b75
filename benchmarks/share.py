"""How many runs should share a device: python benchmarks/share.py --recipe digits --net smallnet

Lets 1, 2, 4, ... copies of a run make steps at a time, for seconds, until more copies make no more steps between them, or
one finds no memory. `sweep.py --jobs-per-device auto` asks this before it begins. Nothing is written.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
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
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.device import deterministic, keep_freed_memory, wait_for
from ssl_zoo.train.evaluate import predict

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

    def prepare(self, threads: int) -> None: ...

    def ready(self) -> None: ...

    def go(self, seconds: float) -> None: ...

    def rate(self) -> float: ...


class Process:
    """A copy in a process of its own. It needs no more than the settings of the run.

    Args:
        argv: Those, as run.py has them.
        device: Number of the GPU; "" is the CPU.

    Raises:
        RunError: In its methods: it ended, with what it said.
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

    def prepare(self, threads: int) -> None:
        """Let it get ready to make steps with so many threads."""
        self._send(f"prepare {threads}")

    def ready(self) -> None:
        """Wait until it is."""
        self._hear()

    def go(self, seconds: float) -> None:
        """Let it make steps."""
        self._send(f"go {seconds}")

    def rate(self) -> float:
        """Steps a second, when it has made them."""
        return float(self._hear())

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which is heard next
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            lines = [said.strip() for said in self._said if said.strip()]
            raise RunError(lines[-1].removeprefix("share.py: ") if lines else f"it ended with status {self._process.returncode}")
        return line

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started, as compilers
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):  # what was not sent yet
                pipe.close()  # type: ignore[union-attr]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measured(start: Callable[[], Copy], most: int, threads: int, seconds: float = SECONDS) -> dict[int, float]:
    """Steps a second that 1, 2, 4, ... copies make between them, as far as that is worth it.

    Args:
        start: Starts a copy.
        most: Copies at most.
        threads: Of all copies together.
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
                copy.prepare(max(1, threads // count))
            for copy in copies:
                copy.ready()
            for copy in copies:
                copy.go(seconds)
            found[count] = sum([copy.rate() for copy in copies])
        except RunError as error:
            if not found:
                raise InputError(f"a copy of the run makes no steps: {error}") from error
            print(f"{count} at a time do not run: {error}", file=sys.stderr)
            break
        if found[count] < GAIN * before:
            break
        before = found[count]
    return found


def best(found: dict[int, float]) -> int:
    """The number of copies that makes the most steps, or a smaller one that makes almost as many."""
    return min(count for count, rate in found.items() if rate * GAIN >= max(found.values()))


def measured_with(
    argv: Sequence[str], device: str, most: int, threads: int | None = None, seconds: float = SECONDS
) -> dict[int, float]:
    """What `measured` gives, with processes.

    Args:
        argv: Of the run, as run.py has it.
        device: Number of the GPU; "" is the CPU.
        most: Copies at most.
        threads: Of all copies together; as many as cores unless said otherwise.
        seconds: Of steps, for each number.
    """
    with contextlib.ExitStack() as stack:

        def start() -> Process:
            copy = Process(argv, device)
            stack.callback(copy.close)
            return copy

        return measured(start, most, threads or cores(), seconds)


def table(found: dict[int, float]) -> str:
    """What was measured, a line for each number of copies."""
    lines = ["| runs at a time | steps a second, all of them | times one |", "| -: | -: | -: |"]
    lines += [f"| {count} | {rate:.1f} | {rate / found[1]:.2f} |" for count, rate in found.items()]
    return "\n".join(lines)


def copy(argv: Sequence[str]) -> None:
    """What a copy does: a run's steps, when a line says for how many seconds, after one that said with how many threads."""
    asking = os.getppid()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a plug-in prints is no answer
    keep_freed_memory()
    settings = settings_of(argv)
    settings = dataclasses.replace(settings, steps=10**6)  # no end is near, whatever a schedule does there
    with deterministic(settings.deterministic), tempfile.TemporaryDirectory() as empty:  # nothing is written
        trainer, _ = run.assemble(settings, run.choose_labels(settings, run.load_data(settings)), Path(empty), {})
        evaluator, done = trainer.evaluator, 0
        for line in sys.stdin:
            word, number = line.split()
            if word == "prepare":
                torch.set_num_threads(int(number))
                evaluated = evaluator.images[: settings.evaluation.batch]  # an evaluation needs memory too
                predict(trainer.eval_net(), evaluated, evaluator.prepare, len(evaluated), contextlib.nullcontext())
                trainer.algorithm.train()
                for _ in range(WARM_UP):  # compiled code is of a number of threads
                    trainer.step(done)
                    done += 1
                wait_for(trainer.device)
                channel.write("ready\n")
                continue
            before, began = done, time.perf_counter()
            while time.perf_counter() - began < float(number) and os.getppid() == asking:
                trainer.step(done)
                done += 1
                if done % 10 == 0:
                    wait_for(trainer.device)  # or the steps would only be queued
            wait_for(trainer.device)
            channel.write(f"{(done - before) / (time.perf_counter() - began)}\n")


def settings_of(argv: Sequence[str]) -> RunSettings:
    """Of a command line of run.py.

    Raises:
        InputError: It asks for something else than a run.
    """
    asked = run.parse(argv)
    if asked.list or asked.print_config or asked.help:
        raise InputError("--list, --print-config and --help are of run.py alone; leave them out")
    plugins.load(asked.plugin)
    return run.read_settings(asked)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 2: bad input; 130: interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    p = config.Parser(prog="share.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--most", type=int, default=MOST, metavar="K", help=f"runs at a time, at most ({MOST})")
    p.add_argument("--copy", action="store_true", help=argparse.SUPPRESS)
    p.epilog = "All other flags are those of a run of run.py; nothing is written, so --out is not read."
    try:
        flags, words = p.parse_known_args(argv)
        if flags.copy:
            copy(words)
            return 0
        if flags.most < 1:
            raise InputError(f"--most is {flags.most}; it must be at least 1")
        device = settings_of(words).device
        if device.startswith("cuda:"):
            raise InputError(
                f"--device {device}: a copy sees one GPU; name it as CUDA_VISIBLE_DEVICES={device[5:]} and give --device cuda"
            )
        on_gpu = device != "cpu" and torch.cuda.is_available()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if on_gpu else ""
        found = measured_with(words, visible.split(",")[0], flags.most)
        print(f"{table(found)}\n\nbest: {best(found)} at a time")
        return 0
    except (InputError, RunError) as error:
        print(f"share.py: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("share.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
