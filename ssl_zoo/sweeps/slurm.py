"""Cells as jobs of SLURM, which submitit hands in."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError, one_line
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.engines import Ended, Make
from ssl_zoo.sweeps.ray import ROOT, on_worker

KEPT = "submitit"  # folder beside the cells: what submitit keeps of its jobs, and what these print outside a run
OWN = ("setup", "signal_delay_s", "srun_args", "use_srun")  # and for SLURM; any other word is an option of sbatch
SHARED = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node")  # what submitit has for every cluster
USUAL = {"timeout_min": 60, "cpus_per_task": 1}
AGAIN = 1000  # times that a job whose time is up is put in once more
WAIT = 60.0  # seconds for cancelled jobs to write their checkpoints: SLURM itself kills after 30


class Task:
    """One cell, as it is handed in. A job that is preempted, or whose time is up, goes on from the run's checkpoint.

    Args:
        make: What makes it.
        cell: The cell.
        threads: Of it.
    """

    def __init__(self, make: Make, cell: Cell, threads: int):
        self.make, self.cell, self.threads, self.folder = make, cell, threads, os.getcwd()

    def __call__(self) -> tuple[int, str]:
        os.chdir(self.folder)
        return on_worker(self.make, self.cell, self.threads)

    def checkpoint(self) -> Any:
        """What submitit puts in again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Refused(NamedTuple):
    """What is in the place of a job that sbatch did not take: SLURM is too busy, say, or there are too many of them."""

    says: str

    def done(self) -> bool:
        return True


class SlurmEngine:
    """Jobs of a SLURM cluster, whose nodes see this package and the output folder under the same paths.

    Args:
        make: What each job does.
        folder: In which submitit keeps its own files.
        asked: What a job asks for, by the names of submitit or sbatch, such as partition, timeout_min, gpus_per_node;
            at_once: how many jobs are handed in at a time; cluster: slurm, or local for processes on this machine.
        slots: How many at a time.
        threads: Of each.

    Raises:
        InputError: submitit is not installed, there is no SLURM here, or something is asked for that it does not know.
    """

    def __init__(self, make: Make, folder: Path, asked: Mapping[str, Any], slots: int, threads: int):
        try:
            import submitit
        except ImportError as error:
            raise InputError("--engine submitit needs submitit: pip install 'ssl_zoo[slurm]'") from error
        cluster = asked.get("cluster", "slurm")
        if cluster not in ("slurm", "local"):
            raise InputError(f"--slurm cluster={cluster} is unknown; it must be slurm or local")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise InputError("there is no SLURM here: sbatch is not found; --slurm cluster=local runs jobs on this machine")
        self.slots, self.threads = slots, threads
        given = {name: value for name, value in asked.items() if name not in ("cluster", "at_once")}
        named = {name if name in SHARED else f"slurm_{name}": given[name] for name in given if name in (*SHARED, *OWN)}
        named["slurm_additional_parameters"] = {name: value for name, value in given.items() if name not in (*SHARED, *OWN)}
        self._make, self._failed = make, (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError)
        self._active: set[Any] = set()
        self._taken = False  # whether a job was
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # which jobs inherit
        try:
            self._executor = submitit.AutoExecutor(folder.absolute(), cluster=cluster, slurm_max_num_timeout=AGAIN)
            self._executor.update_parameters(**{**USUAL, **named})
        except Exception as error:  # of several kinds
            _remove(folder)
            raise InputError(one_line(f"--slurm: submitit refuses this: {error}")) from error

    def submit(self, cell: Cell) -> Any:
        """Hand a cell in; returns a handle.

        Raises:
            InputError: sbatch refuses the very first one.
        """
        self._executor.update_parameters(name=cell.name)
        try:
            job = self._executor.submit(Task(self._make, cell, self.threads))
        except self._failed as error:
            says = one_line(str(error).strip().splitlines()[-1] if str(error).strip() else "sbatch failed")
            if not self._taken:
                raise InputError(f"--slurm: no job was put into the queue: {says}") from error
            return Refused(f"it was not put into the queue ({says}); `--slurm at_once=N` hands in fewer at a time")
        self._taken = True
        self._active.add(job)
        return job

    def ended(self, handles: Iterable[Any], timeout: float) -> Iterator[tuple[Any, Ended]]:
        """Those that have ended, after waiting at most `timeout` seconds for the first."""
        waiting, until = list(handles), time.monotonic() + timeout
        while not (done := [job for job in waiting if job.done()]) and time.monotonic() < until:
            time.sleep(0.05)
        for job in done:
            self._active.discard(job)
            yield job, self._ended(job)

    def _ended(self, job: Any) -> Ended:
        if isinstance(job, Refused):
            return Ended(1, job.says)
        try:
            return Ended(*job.result())
        except self._failed as error:
            last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            return Ended(1, one_line(f"job {job.job_id} ended without a result ({job.state}): {last}"))

    def close(self) -> None:
        """Cancel what still runs, which ends it as Ctrl-C would, and wait for it."""
        for job in self._active:
            job.cancel()
        until = time.monotonic() + WAIT
        while any(not job.done(force_check=True) for job in self._active) and time.monotonic() < until:
            time.sleep(0.2)

    def kill(self) -> None:
        """Leave: they are cancelled already."""


def asked_for(asked: Mapping[str, Any], cells: int) -> tuple[int, int]:
    """Return how many jobs are handed in at a time, all unless said otherwise, and the threads of each.

    Raises:
        InputError: One is no number.
    """
    found = {"at_once": max(1, cells), "cpus_per_task": USUAL["cpus_per_task"]}
    for name in found:
        value = asked.get(name, found[name])
        if type(value) is not int or value < 1:
            raise InputError(f"--slurm {name}={value}: it must be a whole number, at least 1")
        found[name] = value
    return found["at_once"], found["cpus_per_task"]


def _remove(folder: Path) -> None:
    """Remove what submitit made before it refused, where nothing else is there."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
