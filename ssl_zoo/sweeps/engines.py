"""Where cells run: processes on this machine. `ray` has another engine."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ssl_zoo.sweeps.cells import Cell

Make = Callable[[Cell, int], int]  # makes a cell with so many threads, in a process of its own; returns the exit status
# Children of a process that has imported what a run needs, and has computed nothing: a run starts in a moment, with
# nothing of the one before it.
FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["ssl_zoo.runs.execute", "jsonargparse", "sklearn.metrics", "tensorboard.summary.writer.record_writer"]


class Ended(NamedTuple):
    """How a cell ended: the exit status, and the last line that it printed."""

    status: int
    says: str


class Engine(Protocol):
    """Runs cells, at most `slots` at a time."""

    slots: int

    def submit(self, cell: Cell) -> Any: ...

    def ended(self, handles: Iterable[Any], timeout: float) -> Iterator[tuple[Any, Ended]]: ...

    def close(self) -> None: ...

    def kill(self) -> None: ...


class LocalEngine:
    """Processes on this machine.

    Args:
        make: What each of them does.
        devices: Numbers of the GPUs to use; [""] is the CPU.
        jobs_per_device: How many at a time on each.
        threads: Of each process.
    """

    def __init__(self, make: Make, devices: list[str], jobs_per_device: int, threads: int):
        self.slots = len(devices) * jobs_per_device
        self._make, self._threads = make, threads
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        for _ in range(jobs_per_device):
            for device in devices:
                self._devices.put(device)
        self._pool = concurrent.futures.ThreadPoolExecutor(self.slots)
        self._processes: set[Any] = set()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        FORKS.set_forkserver_preload([*PRELOADED, make.__module__])

    def submit(self, cell: Cell) -> Any:
        """Start a cell as soon as a device is free; returns a handle."""
        return self._pool.submit(self._run, cell)

    def ended(self, handles: Iterable[Any], timeout: float) -> Iterator[tuple[Any, Ended]]:
        """Those that have ended, after waiting at most `timeout` seconds for the first."""
        done, _ = concurrent.futures.wait(handles, timeout, concurrent.futures.FIRST_COMPLETED)
        for handle in done:
            yield handle, handle.result()

    def close(self) -> None:
        """Stop what still runs, as Ctrl-C would; a run goes on from its checkpoint the next time."""
        self._closing.set()
        self._send(signal.SIGINT)
        self._pool.shutdown(cancel_futures=True)

    def kill(self) -> None:
        """Stop it at once."""
        self._send(signal.SIGKILL)
        self._pool.shutdown(cancel_futures=True)

    def _send(self, number: signal.Signals) -> None:
        for process in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def _run(self, cell: Cell) -> Ended:
        device = self._devices.get()
        try:
            before = cell.log.stat().st_size if cell.log.exists() else 0  # of what it printed before
            ours, theirs = FORKS.Pipe(duplex=False)
            given = (self._make, cell, self._threads, {"CUDA_VISIBLE_DEVICES": device}, theirs)
            process = FORKS.Process(target=child, args=given)
            with self._starting, without_main():
                process.start()
            theirs.close()
            with contextlib.suppress(EOFError):  # until it listens: a signal before that is lost in the server of processes
                ours.recv()
            ours.close()
            self._processes.add(process)
            if self._closing.is_set():  # it was started while the others were being stopped
                os.kill(process.pid, signal.SIGINT)
            process.join()
            self._processes.discard(process)
            return Ended(process.exitcode, last_line(cell.log, before))
        finally:
            self._devices.put(device)


def child(make: Make, cell: Cell, threads: int, environment: dict[str, str], channel: Connection | None = None) -> None:
    """Make a cell in this process, which prints into the cell's log. Says on the channel that signals are heard."""
    os.setsid()  # Ctrl-C comes to the sweep alone, which passes it on once
    os.environ |= environment
    _no_semaphores()
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with cell.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if channel is not None:
        channel.send(None)
        channel.close()
    status = make(cell, threads)
    sys.stdout.flush()
    sys.exit(status)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keep a new process from running the program that asks for it again: it needs nothing of that."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _no_semaphores() -> None:
    """Keep tqdm from a lock of the system, which a killed process would leave behind."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())


def last_line(log: Path, start: int = 0) -> str:
    """Return the last line with something in it, of what stands after so many bytes."""
    lines = log.read_bytes()[start:].decode(errors="replace").replace("\r", "\n").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
