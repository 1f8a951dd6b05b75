"""Times of several contenders that take turns, so that whatever else the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from ssl_zoo.device import wait_for


def timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds a step, over some steps."""
    wait_for(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return (time.perf_counter() - began) / steps


def interleaved(
    contenders: dict[str, Callable[[], None]], rounds: int, steps: int, device: torch.device, bar: tqdm
) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round.

    One after the other in every round, after a turn that does not count.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, step in contenders.items():
            bar.set_postfix_str(name)
            seconds = timed(step, steps, device)
            bar.update()
            if turn:
                found[name].append(seconds)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
