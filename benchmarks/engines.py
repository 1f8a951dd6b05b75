"""Where the cells of a grid run: processes on this machine, or tasks of a Ray cluster. Both run `run.py`, on the same folders."""

import concurrent.futures
import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ssl_zoo.errors import InputError

RUN = Path(__file__).resolve().parent / "run.py"


class Job(NamedTuple):
    """One cell: a command line of run.py, and where what it prints goes."""

    name: str
    argv: tuple[str, ...]
    log: Path


class Ended(NamedTuple):
    """How a job ended: the exit status of run.py, and the last line that it printed."""

    status: int
    says: str


class Engine(Protocol):
    """Runs jobs, at most `slots` at a time."""

    slots: int

    def submit(self, job: Job) -> Any: ...

    def ended(self, handles: Iterable[Any], timeout: float) -> Iterator[tuple[Any, Ended]]: ...

    def close(self) -> None: ...

    def kill(self) -> None: ...


class LocalEngine:
    """Processes on this machine.

    Args:
        devices: Numbers of the GPUs to use; [""] is the CPU.
        jobs_per_device: How many at a time on each.
        threads: Of each process.
    """

    def __init__(self, devices: list[str], jobs_per_device: int, threads: int):
        self.slots = len(devices) * jobs_per_device
        self._threads = str(threads)
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        for _ in range(jobs_per_device):
            for device in devices:
                self._devices.put(device)
        self._pool = concurrent.futures.ThreadPoolExecutor(self.slots)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closing = threading.Event()

    def submit(self, job: Job) -> Any:
        """Start a job as soon as a device is free; returns a handle."""
        return self._pool.submit(self._run, job)

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
                process.send_signal(number)

    def _run(self, job: Job) -> Ended:
        device = self._devices.get()
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:  # with what it printed before
                before = log.tell()
                process = subprocess.Popen(
                    [sys.executable, str(RUN), *job.argv],
                    env={**os.environ, "OMP_NUM_THREADS": self._threads, "CUDA_VISIBLE_DEVICES": device},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C comes to the sweep alone, which passes it on once
                )
            self._processes.add(process)
            if self._closing.is_set():
                process.send_signal(signal.SIGINT)
            status = process.wait()
            self._processes.discard(process)
            return Ended(status, last_line(job.log, before))
        finally:
            self._devices.put(device)


class RayEngine:
    """Tasks of a Ray cluster, whose nodes see this checkout and the output folder under the same paths.

    Ray chooses the node, shares out GPUs in fractions, and starts a task again when its worker or node dies; the run then goes on
    from its checkpoint.

    Args:
        address: Of a cluster; None starts one on this machine.
        device: auto, cpu or cuda; auto is the GPUs if the cluster has any.
        jobs_per_device: Tasks to a GPU, 1 unless said otherwise; without GPUs, `threads` say how many fit.
        threads: Of each task, without GPUs.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address, or it has no GPU.
    """

    def __init__(self, address: str | None, device: str, jobs_per_device: int | None, threads: int):
        try:
            import ray
        except ImportError as error:
            raise InputError('--engine ray needs Ray: pip install -e ".[ray]"') from error
        self.ray = ray
        self._ours = not ray.is_initialized()
        self._active: set[Any] = set()
        if self._ours:
            _reachable(address)
            try:
                ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, logging_level="ERROR")
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                first = str(error).strip().splitlines()[0]
                raise InputError(f"there is no Ray cluster at {address} ({first}); start one with `ray start --head`") from error
        there = ray.cluster_resources()
        self.gpu = device != "cpu" and there.get("GPU", 0) > 0
        if device == "cuda" and not self.gpu:
            self.close()
            raise InputError("--device cuda: the Ray cluster has no GPU; --device cpu runs on its processors")
        each = jobs_per_device or 1
        self.threads = max(1, int(there.get("CPU", 1) // (there["GPU"] * each))) if self.gpu else threads
        self.share = {"num_gpus": 1 / each} if self.gpu else {}
        self._task = ray.remote(max_calls=1, max_retries=5, num_cpus=self.threads, **self.share)(_on_worker)

    @property
    def slots(self) -> int:
        """How many tasks the cluster holds now; it may grow."""
        there = self.ray.cluster_resources()
        by_cpu = there.get("CPU", 0) / self.threads
        return max(1, int(min(by_cpu, there.get("GPU", 0) / self.share["num_gpus"]) if self.gpu else by_cpu))

    def submit(self, job: Job) -> Any:
        """Hand a job to the cluster; returns a handle."""
        handle = self._task.remote(job, str(RUN.parent.parent), os.getcwd(), self.threads)
        self._active.add(handle)
        return handle

    def ended(self, handles: Iterable[Any], timeout: float) -> Iterator[tuple[Any, Ended]]:
        """Those that have ended, after waiting at most `timeout` seconds for the first."""
        done, _ = self.ray.wait(list(handles), timeout=timeout)
        for handle in done:
            self._active.discard(handle)
            try:
                yield handle, Ended(*self.ray.get(handle))
            except self.ray.exceptions.RayError as error:
                yield handle, Ended(1, f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")

    def close(self) -> None:
        """Ask what still runs to end, as Ctrl-C would, wait for it, and leave the cluster."""
        for handle in self._active:
            self.ray.cancel(handle)
        if self._active:
            self.ray.wait(list(self._active), num_returns=len(self._active), timeout=60)
        self.kill()

    def kill(self) -> None:
        """Leave the cluster, which stops what it still runs for us."""
        if self._ours:
            self.ray.shutdown()


def _reachable(address: str | None) -> None:
    """Ray itself tries for minutes before it says that nobody is there, or that it is not Ray."""
    match = re.fullmatch(r"(ray://)?(.+):(\d+)", address or "")
    if match is None:
        return
    try:
        socket.create_connection((match[2], int(match[3])), timeout=5).close()
        if match[1] is None:  # a client's server has another protocol
            command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
            subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, OverflowError, UnicodeError, subprocess.SubprocessError) as error:
        said = "what answers is not Ray" if isinstance(error, subprocess.SubprocessError) else error
        raise InputError(f"there is no Ray cluster at {address} ({said}); start one with `ray start --head`") from error


def _on_worker(job: Job, root: str, folder: str, threads: int) -> tuple[int, str]:
    """One run inside a Ray worker, not in a process below it: so it dies with the worker, and its lock with it."""
    import faulthandler

    os.chdir(folder)
    sys.path.insert(0, root)
    import torch

    torch.set_num_threads(threads)
    from benchmarks import run

    job.log.parent.mkdir(parents=True, exist_ok=True)
    faulthandler.enable()
    with job.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        before = log.tell()
        status = run.main(job.argv)
    return status, last_line(job.log, before)


def last_line(log: Path, start: int = 0) -> str:
    """The last line with something in it, of what stands after so many bytes."""
    lines = log.read_bytes()[start:].decode(errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
