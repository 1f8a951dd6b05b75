"""Cells as tasks of a Ray cluster."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle

from ssl_zoo.errors import InputError
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.engines import Ended, Make, last_line

ROOT = Path(__file__).parent.parent.parent


class RayEngine:
    """Tasks of a Ray cluster, whose nodes see this package and the output folder under the same paths.

    Ray chooses the node, shares out GPUs in fractions, and starts a task again when its worker or node dies; the run
    then goes on from its checkpoint.

    Args:
        make: What each task does.
        address: Of a cluster; None starts one on this machine.
        device: auto, cpu or cuda; auto is the GPUs if the cluster has any.
        jobs_per_device: Tasks to a GPU, 1 unless said otherwise; without GPUs, `threads` say how many fit.
        threads: Of each task, without GPUs.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address, or it has no GPU.
    """

    def __init__(self, make: Make, address: str | None, device: str, jobs_per_device: int | None, threads: int):
        try:
            import ray
        except ImportError as error:
            raise InputError("--engine ray needs Ray: pip install ray") from error
        self.ray, self._make = ray, make
        self._ours = not ray.is_initialized()
        self._active: set[Any] = set()
        if self._ours:
            self._join(address)
        there = ray.cluster_resources()
        self.gpu = device != "cpu" and there.get("GPU", 0) > 0
        if device == "cuda" and not self.gpu:
            self.close()
            raise InputError("--device cuda: the Ray cluster has no GPU; --device cpu runs on its processors")
        each = jobs_per_device or 1
        self.threads = max(1, int(there.get("CPU", 1) // (there["GPU"] * each))) if self.gpu else threads
        self.share = {"num_gpus": 1 / each} if self.gpu else {}

        def task(content: bytes, root: str, folder: str, threads: int) -> tuple[int, str]:
            import os
            import sys

            os.chdir(folder)
            sys.path.insert(0, root)  # before anything of the package is read
            import cloudpickle

            from ssl_zoo.sweeps.ray import on_worker

            return on_worker(*cloudpickle.loads(content), threads)

        self._task = ray.remote(max_calls=1, max_retries=5, num_cpus=self.threads, **self.share)(task)

    def _join(self, address: str | None) -> None:
        _reachable(address)
        try:
            self.ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(f"there is no Ray cluster at {address} ({first}); start one with `ray start --head`") from error

    @property
    def slots(self) -> int:
        """How many tasks the cluster holds now; it may grow."""
        there = self.ray.cluster_resources()
        by_cpu = there.get("CPU", 0) / self.threads
        return max(1, int(min(by_cpu, there.get("GPU", 0) / self.share["num_gpus"]) if self.gpu else by_cpu))

    def submit(self, cell: Cell) -> Any:
        """Hand a cell to the cluster; returns a handle."""
        handle = self._task.remote(cloudpickle.dumps((self._make, cell)), str(ROOT), os.getcwd(), self.threads)
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


def on_worker(make: Make, cell: Cell, threads: int) -> tuple[int, str]:
    """Make a cell inside a Ray worker, not in a process below it: so it dies with the worker, and its lock with it."""
    import contextlib
    import faulthandler

    cell.log.parent.mkdir(parents=True, exist_ok=True)
    faulthandler.enable()
    with cell.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        before = log.tell()
        status = make(cell, threads)
    return status, last_line(cell.log, before)
