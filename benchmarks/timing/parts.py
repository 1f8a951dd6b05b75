"""Where the time of a step goes."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ssl_zoo.data.augment import View
from ssl_zoo.device import wait_for
from ssl_zoo.train.logs import RunLog

from .contenders import Ours

PARTS = ("sampling", "augmentation", "student and loss", "teacher's pass", "backward", "optimiser", "state", "logging", "rest")
LOG_EVERY = 50  # steps between two log points, as a setting's default


class Clock:
    """Seconds spent in parts of a step, by wrapping what the trainer calls.

    A part within a part counts for itself alone.

    Args:
        device: Where; on a GPU every part waits for the device, so that its time is its own, and all take a little
            longer.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inner = [0.0]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        wait_for(self.device)
        self._inner.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            wait_for(self.device)
            took = time.perf_counter() - began
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

    @contextlib.contextmanager
    def wrapped(self, owner: Any, name: str, part: str) -> Iterator[None]:
        """Within it, calls of `owner.name` count for a part."""
        inner, own = getattr(owner, name), name in vars(owner)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return inner(*args, **kwargs)

        setattr(owner, name, call)
        try:
            yield
        finally:
            setattr(owner, name, inner) if own else delattr(owner, name)


def breakdown(ours: Ours, steps: int) -> dict[str, float]:
    """Seconds a step of each part. A log point is taken at every step, and counted as one in so many."""
    trainer, clock = ours.trainer, Clock(ours.trainer.device)
    teacher = getattr(trainer.algorithm, "teacher", None)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(contextlib.closing(RunLog(folder)))
        bar = stack.enter_context(tqdm(disable=True))
        for owner, name, part in (
            (trainer.batches, "batch", "sampling"),
            (View, "draw", "augmentation"),
            (View, "apply", "augmentation"),
            (trainer.algorithm, "loss", "student and loss"),
            (Tensor, "backward", "backward"),
            (trainer.optimizer, "step", "optimiser"),
            (trainer.algorithm, "after_step", "state"),
            (trainer.guard, "look", "logging"),
        ):
            stack.enter_context(clock.wrapped(owner, name, part))
        if teacher is not None:
            stack.enter_context(clock.wrapped(teacher, "forward", "teacher's pass"))
        for _ in range(steps):
            with clock.part("rest"):
                terms, watched = trainer.step(ours.done, watch=True)
                ours.done += 1
            with clock.part("logging"):
                trainer.log(log, bar, ours.done, terms, watched)
    clock.seconds["logging"] /= LOG_EVERY
    return {part: seconds / steps for part, seconds in clock.seconds.items()}
