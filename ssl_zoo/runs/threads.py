"""How many threads a run takes on a processor: one where the work of a step is small, otherwise as many as are free.

Two threads that wait for each other on a core that somebody else uses are many times slower than one. So it is
measured, in under a second, before the first step; a run that resumes takes the number that it began with, as another
number rounds otherwise.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.device import Machine, cores
from ssl_zoo.ranks import ranks
from ssl_zoo.runs.assembly import Assembly
from ssl_zoo.seeds import mix, seed_global

WORTH = 0.7  # of the time with one thread, which more threads must fall below: less is not worth a core
LARGE = 0.25  # seconds of a step with one thread from which on it is large, and not measured further
BUDGET = 0.6  # seconds of measuring
ROUNDS = 3


def settle(machine: Machine, assembly: Assembly, asked: int | str) -> Machine:
    """Return the machine with the threads that a new run takes, which torch uses from now on.

    Args:
        machine: As it is.
        assembly: Of the run, which is left as it is.
        asked: A number, or auto: measured, or one for a method that cannot be copied.
    """
    if isinstance(asked, int):
        return machine.with_threads(asked)
    if machine.device.type != "cpu" or ranks() > 1:  # torchrun has shared out the cores
        return machine
    most = min(machine.threads, free_cores())
    if isinstance(assembly.algorithm, Baseline):  # a pass over all images, of which each thread takes a part
        return machine.with_threads(most)
    if most == 1:
        return machine.with_threads(1)
    try:
        method = copy.deepcopy(assembly.algorithm)  # batch norm's statistics move
    except Exception:  # a plug-in's may hold what has no copy, as a lock or an open file
        return machine.with_threads(1)
    batch = assembly.pipeline.batch(0)
    progress = torch.zeros((), device=machine.device)

    def step() -> None:
        seed_global(mix("threads"))
        with machine.autocast():
            method.loss(batch, progress).total.backward()

    return machine.with_threads(chosen(step, most))


def chosen(step: Callable[[], None], most: int, now: Callable[[], float] = time.perf_counter) -> int:
    """Return 1 or `most`, as a step takes its time.

    Args:
        step: Makes one.
        most: Threads that are free.
        now: A clock, in seconds.
    """

    def timed(threads: int) -> float:
        torch.set_num_threads(threads)
        began = now()
        step()
        return now() - began

    began = now()
    timed(1)  # allocates
    one = timed(1)
    if one > LARGE:
        return most
    if timed(most) > 3 * one:  # starts the threads; if they wait for a busy core, that is known now
        return 1
    many = timed(most)
    for _ in range(ROUNDS):
        if now() - began > BUDGET:
            break
        one, many = min(one, timed(1)), min(many, timed(most))
    return most if many < WORTH * one else 1


def free_cores() -> int:
    """Return how many of this process's cores nobody else uses now, at least one; all where the system does not say."""
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return cores()
    return max(1, cores() - (running - 1))
