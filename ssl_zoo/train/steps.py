"""A step of a run: one update of everything that it changes."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Batches, Step
from ssl_zoo.device import Machine
from ssl_zoo.ema import Teacher
from ssl_zoo.ranks import average_gradients, gather_rows, rank
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.evaluate import Evaluator
from ssl_zoo.train.graph import StepGraph
from ssl_zoo.train.guard import FiniteGuard, TermGuard
from ssl_zoo.train.guesses import GuessGuard
from ssl_zoo.train.mechanism import Mechanism
from ssl_zoo.train.optimizer import make_optimizer, set_lr, update_
from ssl_zoo.train.skip import Skips


class Steps:
    """Makes the steps of a run. When to log and to evaluate, the trainer decides.

    Args:
        algorithm: On the machine's device.
        batches: The pipeline.
        evaluator: Knows the labels that a method does not see.
        settings: Of the run.
        machine: Where all of them are.
    """

    def __init__(
        self,
        algorithm: AlgorithmBase,
        batches: Batches,
        evaluator: Evaluator,
        settings: RunSettings,
        machine: Machine,
    ):
        self.algorithm, self.batches, self.settings = algorithm, batches, settings
        self.machine, self.device = machine, machine.device
        self.warn: Callable[[str], None] = lambda line: print(f"WARNING: {line}", file=sys.stderr)
        self.optimizer = make_optimizer(algorithm, settings.optimizer)
        # what is entered while something is compiled, which takes up to a minute
        self.compiling: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self.average: Teacher | None = None  # the average that a recipe gives to every method without a teacher
        if settings.eval_ema is not None and algorithm.eval_net() is algorithm.net:
            self.average = Teacher(algorithm.net, settings.eval_ema, bn="ema").to(self.device)
        self.guard = TermGuard(algorithm, settings.length, settings.algorithms.get(settings.alg, {}))
        self.guesses = GuessGuard(evaluator.known if evaluator else None, settings.length, settings.alg, self.device)
        self.finite = FiniteGuard(settings.length, self.device)
        self.mechanism = Mechanism(algorithm)
        self.skips = Skips(algorithm, settings.on_nan == "skip")
        self._parameters = [p for p in algorithm.parameters() if p.requires_grad]
        self._clock = torch.linspace(0, 1, settings.length + 1, device=self.device)  # progress of each step: no copy per step
        self.graph = StepGraph(self) if settings.compile else None

    @property
    def seconds_compiling(self) -> float | None:
        """With the first step that is compiled."""
        return None if self.graph is None else self.graph.seconds

    def tell(self, line: str) -> None:
        """Warn of something."""
        self.warn(line)

    def step(self, step: int, watch: bool = False, measure: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One update of everything that a run changes. Does not wait for the device, unless by on_nan = skip.

        Args:
            step: Its number, from 0.
            watch: Whether to look whether the loss's terms do anything, as at a log point. Such a step is not compiled.
            measure: Whether to measure what they do; likewise.

        Returns:
            The loss and its terms, and what was measured.
        """
        s = self.settings
        set_lr(self.optimizer, s.optimizer.lr, s.schedule, step / s.length)
        seed = mix(s.seed, step, "loss", rank())  # so that a resumed run draws the same dropout
        looks = watch or measure
        terms = None if looks or self.graph is None else self.graph(step, seed, [g["lr"] for g in self.optimizer.param_groups])
        watched: dict[str, Tensor] = {}
        if terms is None:
            terms, watched = self._eager(step, seed, watch, measure)
        self.finite.look(step + 1, terms)
        return terms, watched

    def progress(self, step: int) -> Tensor:
        """The fraction of the run that is done before a step, 0-dim, on the device."""
        return self._clock[step]

    def _eager(self, step: int, seed: int, watch: bool, measure: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        batch, progress = self.batches.batch(step), self.progress(step)
        seed_global(seed)
        self.skips.remember()
        began = time.perf_counter()
        # one that is compiled is one node for autograd, which cannot be looked into
        loss = None if watch or measure or self.graph is None else self.graph.loss
        first = None if loss is None or self.graph is None or self.graph.seconds is not None else self.graph
        with contextlib.nullcontext() if first is None else self.compiling():
            with self.mechanism.watching(batch) if measure else contextlib.nullcontext():
                out = self._loss(batch, progress, loss)
            watched = {**self.guard.look(out), **self.guesses.look(out.guess, batch.u_index)} if watch else {}
            if measure:
                watched |= {f"mechanism/{name}": value for name, value in self.mechanism.measure(out).items()}
            self._backward(out)
        if first is not None:
            first.seconds = time.perf_counter() - began
        if self.skips.usable(out.total):
            self._update(out, progress)
        return {"total": out.total, **out.terms}, watched

    def plain_step(self, batch: Batch, progress: Tensor, rates: Sequence[Tensor]) -> dict[str, Tensor]:
        """Make a step that is not looked into, with given learning rates: operations on tensors alone."""
        out = self._loss(batch, progress)
        self._backward(out)
        self._update(out, progress, rates)
        return {"total": out.total, **out.terms}

    def _loss(self, batch: Batch, progress: Tensor, loss: Callable[..., Step] | None = None) -> Step:
        with self.machine.autocast():
            return (loss or self.algorithm.loss)(batch, progress)

    def _backward(self, out: Step) -> None:
        for p in self._parameters:
            p.grad = None
        out.total.backward()
        average_gradients(self._parameters)

    def _update(self, out: Step, progress: Tensor, rates: Sequence[Tensor] | None = None) -> None:
        if self.settings.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.settings.optimizer.clip)
        self.optimizer.step() if rates is None else update_(self.optimizer, rates)
        with torch.no_grad():
            self.algorithm.after_step({name: gather_rows(rows) for name, rows in out.seen.items()}, progress)
            if self.average is not None:
                self.average.update(self.algorithm.net)
