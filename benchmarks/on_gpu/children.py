"""Processes with a limit of time, each in a group of its own with what it starts; each prints into a log."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ssl_zoo.sweeps.engines import FORKS, PRELOADED, last_line, without_main

from .session import Session

_running: set["Child"] = set()
PAUSE = 0.05  # seconds between two looks


class Child:
    """One of them.

    Args:
        name: For what is said of it.
        process: Of subprocess or multiprocessing.
        log: Where it prints.
        seconds: That it may take.
    """

    def __init__(self, name: str, process: Any, log: Path, seconds: float):
        self.name, self.log, self.seconds = name, log, seconds
        self._process, self._began = process, time.monotonic()
        self.late = False
        _running.add(self)

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        own = self._process
        status = own.poll() if isinstance(own, subprocess.Popen) else own.exitcode
        if status is not None:
            _running.discard(self)
        return status

    @property
    def took(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._began

    def look(self) -> int | None:
        """Its exit status, after it was ended if its time is over."""
        if self.status is None and self.took > self.seconds:
            self.late = True
            self.end()
        return self.status

    def end(self) -> None:
        """End it, with what it has started. Nothing that it would still do is worth the time."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has ended, or has no group yet
            self._process.kill()
        until = time.monotonic() + 1.0
        while self.status is None and time.monotonic() < until:
            time.sleep(PAUSE)
        _running.discard(self)

    def says(self) -> str:
        """The last line that it printed."""
        return last_line(self.log)[:400]


class Task(NamedTuple):
    """What is to be started."""

    name: str
    seconds: float  # that it may take
    start: Callable[[float], Child]  # given the seconds


def command(name: str, words: Sequence[str], log: Path, seconds: float, **environment: str) -> Child:
    """Start Python with these words."""
    with log.open("ab") as file:
        started = [sys.executable, *words]
        given = {**os.environ, **environment}
        process = subprocess.Popen(started, stdout=file, stderr=file, env=given, start_new_session=True)
    return Child(name, process, log, seconds)


def call(name: str, function: Callable[..., Any], args: Sequence[Any], log: Path, seconds: float, **environment: str) -> Child:
    """Call a function in a process that has torch at hand. What it returns is its exit status; None is 0."""
    FORKS.set_forkserver_preload([*PRELOADED, "benchmarks.on_gpu.checks"])
    process = FORKS.Process(target=_called, args=(function, tuple(args), str(log), environment))
    with without_main():
        process.start()
    return Child(name, process, log, seconds)


def _called(function: Callable[..., Any], args: Sequence[Any], log: str, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.environ |= environment
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    status = function(*args)
    sys.stdout.flush()
    sys.exit(status or 0)


def together(session: Session, tasks: Sequence[Task], at_once: int, least: float) -> Iterator[Child]:
    """Run tasks, so many at a time, and give each as it ends; one whose time is over is ended.

    Args:
        session: Whose time none goes over.
        tasks: In the order in which they are started.
        at_once: How many.
        least: Seconds below which none is started any more; those are said to be left out.
    """
    waiting, running = [*tasks], []
    while waiting or running:
        while waiting and len(running) < at_once:
            task = waiting.pop(0)
            if session.room(task.name, least):
                until = time.monotonic() + min(task.seconds, session.left)
                running.append(task.start(until - time.monotonic()))
                running[-1].seconds = until - time.monotonic()  # the first start of all takes a while itself
        for child in [*running]:
            if child.look() is not None:
                running.remove(child)
                yield child
        time.sleep(PAUSE)


def end_all(but: Child | None = None) -> None:
    """End all that run, but for one."""
    for child in [*_running]:
        if child is not but:
            child.end()


@contextlib.contextmanager
def ended_at_last() -> Iterator[None]:
    """Within it processes may be started; none outlives it."""
    try:
        yield
    finally:
        end_all()
