"""How many runs should share a device.

Copies of one make steps at a time, until more copies make no more between them.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch

from ssl_zoo import plugins
from ssl_zoo.device import cores, deterministic, keep_freed_memory, wait_for
from ssl_zoo.errors import InputError, RunError, one_line
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.engines import FORKS, PRELOADED, without_main
from ssl_zoo.train.evaluate import predict
from ssl_zoo.train.trainer import Trainer

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
        settings: Those.
        names: Of the plug-ins that they need.
        device: Number of the GPU; "" is the CPU.

    Raises:
        RunError: In its methods: it ended, with what it said.
    """

    def __init__(self, settings: RunSettings, names: Sequence[str], device: str):
        FORKS.set_forkserver_preload(PRELOADED)
        self._ours, theirs = FORKS.Pipe()
        self._process = FORKS.Process(target=_copy, args=(settings, tuple(names), device, os.getpid(), theirs))
        with without_main():
            self._process.start()
        theirs.close()

    def prepare(self, threads: int) -> None:
        """Let it get ready to make steps with so many threads."""
        self._send("prepare", threads)

    def ready(self) -> None:
        """Wait until it is."""
        self._hear()

    def go(self, seconds: float) -> None:
        """Let it make steps."""
        self._send("go", seconds)

    def rate(self) -> float:
        """Steps a second, when it has made them."""
        return float(self._hear())

    def _send(self, word: str, number: float) -> None:
        with contextlib.suppress(OSError):  # it has ended, which is heard next
            self._ours.send((word, number))

    def _hear(self) -> Any:
        try:
            kind, said = self._ours.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise RunError(f"it ended with status {self._process.exitcode}") from error
        if kind == "error":
            raise RunError(said)
        return said

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):  # its own group, with what it has started, as compilers; or it ended before it had one
            os.killpg(self._process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        self._process.kill()
        self._process.join()
        self._ours.close()


def _copy(settings: RunSettings, names: Sequence[str], device: str, asking: int, channel: Connection) -> None:
    """What a copy does, and says to the process that asks."""
    os.setsid()  # Ctrl-C comes to the asking process alone, which ends this one
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    _end_with(asking)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # whatever a plug-in prints is no answer
        os.dup2(nowhere.fileno(), 2)
        sys.stdout = sys.stderr = nowhere
        try:
            plugins.load(names)
            _answer(settings, channel)
        except EOFError:  # nobody asks any more
            return
        except BaseException as error:
            known = isinstance(error, InputError | RunError)
            channel.send(("error", one_line(error) if known else one_line(f"{type(error).__name__}: {error}")))


def _end_with(asking: int) -> None:
    """End this process when the one that asks is no more.

    Its own parent is a server of processes, which may live longer.
    """

    def watch() -> None:
        while True:
            try:
                os.kill(asking, 0)
            except OSError:
                os._exit(1)
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()


def _answer(settings: RunSettings, channel: Connection) -> None:
    """Make steps when asked, for so many seconds, after having been asked to prepare for a number of threads."""
    keep_freed_memory()
    settings = dataclasses.replace(settings, steps=10**6)  # no end is near, whatever a schedule does there
    with deterministic(settings.deterministic), tempfile.TemporaryDirectory() as empty:  # nothing is written
        trainer = trainer_of(settings, choose_labels(settings, load_data(settings)), Path(empty))
        done = 0
        while True:
            word, number = channel.recv()
            if word == "prepare":
                done = _prepare(trainer, int(number), done)
                channel.send(("ready", None))
                continue
            before, began = done, time.perf_counter()
            while time.perf_counter() - began < number:
                trainer.step(done)
                done += 1
                if done % 10 == 0:
                    wait_for(trainer.device)  # or the steps would only be queued
            wait_for(trainer.device)
            channel.send(("rate", (done - before) / (time.perf_counter() - began)))


def _prepare(trainer: Trainer, threads: int, done: int) -> int:
    """Use so many threads, and warm up. Returns the next step."""
    torch.set_num_threads(threads)
    evaluator = trainer.evaluator
    evaluated = evaluator.images[: trainer.settings.evaluation.batch]  # an evaluation needs memory too
    predict(trainer.eval_net(), evaluated, evaluator.prepare, len(evaluated), contextlib.nullcontext())
    trainer.algorithm.train()
    for step in range(done, done + WARM_UP):  # compiled code is of a number of threads
        trainer.step(step)
    wait_for(trainer.device)
    return done + WARM_UP


def measured(
    start: Callable[[], Copy],
    most: int,
    threads: int,
    seconds: float = SECONDS,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> dict[int, float]:
    """Return the steps a second that 1, 2, 4, ... copies make between them, as far as that is worth it.

    Args:
        start: Starts a copy.
        most: Copies at most.
        threads: Of all copies together.
        seconds: Of steps, for each number.
        say: Is told of a number that does not run.

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
            say(f"{count} at a time do not run: {error}")
            break
        if found[count] < GAIN * before:
            break
        before = found[count]
    return found


def best(found: dict[int, float]) -> int:
    """Return the number of copies that makes the most steps, or a smaller one that makes almost as many."""
    return min(count for count, rate in found.items() if rate * GAIN >= max(found.values()))


def measured_with(
    settings: RunSettings,
    names: Sequence[str],
    device: str,
    most: int,
    threads: int | None = None,
    seconds: float = SECONDS,
) -> dict[int, float]:
    """Return what `measured` gives, with processes.

    Args:
        settings: Of the run.
        names: Of the plug-ins that they need.
        device: Number of the GPU; "" is the CPU.
        most: Copies at most.
        threads: Of all copies together; as many as cores unless said otherwise.
        seconds: Of steps, for each number.
    """
    with contextlib.ExitStack() as stack:

        def start() -> Process:
            copy = Process(settings, names, device)
            stack.callback(copy.close)
            return copy

        return measured(start, most, threads or cores(), seconds)


def table(found: dict[int, float]) -> str:
    """Return what was measured, a line for each number of copies."""
    lines = ["| runs at a time | steps a second, all of them | times one |", "| -: | -: | -: |"]
    lines += [f"| {count} | {rate:.1f} | {rate / found[1]:.2f} |" for count, rate in found.items()]
    return "\n".join(lines)
