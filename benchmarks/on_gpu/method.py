"""What is asked of one method, in a process of its own: runs in a folder, and what they say of each other."""

import contextlib
import functools
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.soak import differences
from ssl_zoo.cli import run as command
from ssl_zoo.runs.execute import execute
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.testing.draws import drawn, neutral_draws
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.trainer import Trainer

from .session import append

NET = "wrn16_2"
CHECKS = ("plain", "twice", "killed", "cpu", "compiled")
CLOSE = 1e-5  # of the CPU's first loss, in fp32 without TF32
EXACT = 10  # steps that are compared with the CPU's
__all__ = ["CHECKS", "NET", "Plan", "append", "ask"]


class WrongError(Exception):
    """A check's answer is no."""


class Plan(NamedTuple):
    """What is run."""

    alg: str
    net: str
    device: str
    steps: int
    folder: str


def ask(plan: Plan, checks: Sequence[str], row: Mapping[str, Any], file: str) -> None:
    """Make checks, and add a row to a file as each is made."""
    asked = Method(plan)
    if "killed" in checks:
        asked.kill()  # by a process that is made before this one has used a GPU
    for check in checks:
        began, good = time.perf_counter(), True
        try:
            said = getattr(asked, check)()
        except Exception as error:
            traceback.print_exc()
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, WrongError) else f" ({Path(place.filename).name}:{place.lineno})"
            kind = "" if isinstance(error, WrongError) else f"{type(error).__name__}: "
            good, said = False, f"{kind}{' '.join(str(error).split())[:300]}{where}"
        took = round(time.perf_counter() - began, 1)
        append(Path(file), {**row, "check": check, "ok": good, "seconds": took, "said": said})


class Method:
    """Runs of a method.

    Args:
        plan: What is run.
    """

    def __init__(self, plan: Plan):
        self.plan, self.folder = plan, Path(plan.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.warnings: list[str] = []

    def run(self, name: str, *words: str, steps: int = 0, device: str = "", log_every: int = 0) -> Mapping[str, Any]:
        """Make a run, or let it go on; returns its row."""
        steps = steps or self.plan.steps
        given = ["--alg", self.plan.alg, "--net", self.plan.net, "--steps", str(steps), "--device", device or self.plan.device]
        looks = log_every or min(10, steps // 2)  # a step that is looked into is not compiled
        given += ["--set", f"evaluation.every={steps // 2}", "--set", f"evaluation.log_every={looks}"]
        settings = command.read_settings(command.parse([*given, *words]))
        self.warnings = []
        return execute(settings, self.folder / name, quiet=True, warn=self.warnings.append)

    def plain(self) -> str:
        """A run as it is."""
        return self._shown(self.run("plain"))

    @functools.cached_property
    def first(self) -> Path:
        """The folder of a deterministic run."""
        self.run("first", "--deterministic")
        return self.folder / "first"

    def twice(self) -> str:
        """Two deterministic runs have the same bits."""
        first = self.first
        self.run("second", "--deterministic")
        return self._same(first, self.folder / "second")

    def kill(self) -> None:
        """Let a process make three quarters of a deterministic run, and be killed."""
        step, last = Trainer.step, 3 * self.plan.steps // 4

        def killed(trainer: Trainer, number: int, *more: Any, **named: Any) -> Any:
            if number == last:
                trainer.checkpoints.wait()  # or there would be none of a run so short
                os.kill(os.getpid(), signal.SIGKILL)
            return step(trainer, number, *more, **named)

        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                Trainer.step = killed  # type: ignore[method-assign]
                self.run("killed", "--deterministic")
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        self._status = os.waitpid(child, 0)[1]

    def killed(self) -> str:
        """A run that was killed goes on to the bits of one that was not."""
        if not os.WIFSIGNALED(self._status) or os.WTERMSIG(self._status) != signal.SIGKILL:
            raise WrongError(f"the run to be killed ended before, with {os.waitstatus_to_exitcode(self._status)}")
        state = Checkpoints(self.folder / "killed").load(torch.device("cpu"))
        if state is None:
            raise WrongError("the run that was killed left no checkpoint")
        first = self.first
        self.run("killed", "--deterministic")
        said = self._same(first, self.folder / "killed")
        return f"{said}, killed in step {3 * self.plan.steps // 4 + 1}, gone on with from {state['step']}"

    def cpu(self) -> str:
        """The losses of a few steps in fp32 are the CPU's. What a method draws at random is the same number in both."""
        words = ["--set", "precision=fp32", "--set", "views.weak={}", "--set", "views.strong={}", "--set", "threads=1"]
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        try:
            with _neutral_steps():
                for name, device in (("here", self.plan.device), ("there", "cpu")):
                    self.run(name, *words, steps=min(EXACT, self.plan.steps), device=device, log_every=1)
        finally:
            torch.backends.cudnn.allow_tf32 = before
        one, other = (self._totals(name) for name in ("here", "there"))
        said = self._apart(one, other)
        if not abs(one[1] - other[1]) <= CLOSE * abs(other[1]):
            raise WrongError(f"the first loss is not the CPU's: {said}")
        return f"apart from the CPU's loss by {said}"

    def compiled(self) -> str:
        """A compiled run, of whole steps, and how far it comes from the plain one."""
        row = self.run("compiled", "--compile")
        if less := [line for line in self.warnings if "compiled" in line]:
            raise WrongError(f"not all of a step is compiled: {less[-1]}")
        plain = self._totals("plain") if (self.folder / "plain/metrics.jsonl").exists() else {}
        beside = f"; apart from the plain loss by {self._apart(self._totals('compiled'), plain)}" if plain else ""
        return f"{self._shown(row)}, first step {row['seconds_compiling'] or 0:.1f} s{beside}"

    def _shown(self, row: Mapping[str, Any]) -> str:
        warned = f", {len(self.warnings)} WARNINGS: {self.warnings[0][:70]}" if self.warnings else ""
        memory = f"{(row['peak_memory'] or 0) / 2**20:.0f} MB"
        return (
            f"{100 * row['accuracy']:.1f} %, {row['steps']} steps in {row['seconds_training']:.2f} s, {memory}, "
            f"{row['precision']}{warned}"
        )

    def _totals(self, name: str) -> dict[int, float]:
        """The loss at every log point of a run."""
        points = map(json.loads, RunFolder(self.folder / name).metrics.read_text().splitlines())
        return {point["step"]: point["train/total"] for point in points if point.get("train/total") is not None}

    @staticmethod
    def _apart(one: Mapping[int, float], other: Mapping[int, float]) -> str:
        shared = [step for step in one if step in other]
        shared = shared if len(shared) < 5 else [*shared[:3], shared[len(shared) // 2], shared[-1]]
        apart = {step: abs(one[step] - other[step]) / max(abs(other[step]), 1e-9) for step in shared}
        return ", ".join(f"{far:.1e} at step {step}" for step, far in apart.items())

    @staticmethod
    def _same(one: Path, other: Path) -> str:
        found = differences(one, other)
        if found:
            raise WrongError(f"{len(found)} things differ, such as {', '.join(found[:3])}")
        return "the same bits"


@contextlib.contextmanager
def _neutral_steps() -> Iterator[None]:
    """Within it, what a method draws in a step is the same number for every row, on any device."""
    step: Callable[..., Any] = Trainer.step

    def neutral(*given: Any, **named: Any) -> Any:
        with neutral_draws(), drawn():
            return step(*given, **named)

    Trainer.step = neutral  # type: ignore[method-assign]
    try:
        yield
    finally:
        Trainer.step = step  # type: ignore[method-assign]
