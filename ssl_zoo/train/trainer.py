"""The training loop, in reading order. One loop for every method."""

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch
from ssl_zoo.ema import Teacher
from ssl_zoo.errors import InputError, RunError
from ssl_zoo.ranks import average_gradients, gather_rows, rank
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.checkpoint import load_checkpoint, save_checkpoint
from ssl_zoo.train.device import autocast, pick_precision
from ssl_zoo.train.evaluate import Evaluator
from ssl_zoo.train.guard import TermGuard
from ssl_zoo.train.logs import RunLog
from ssl_zoo.train.optimizer import make_optimizer, set_lr


class Batches(Protocol):
    """What the trainer needs of a pipeline."""

    def batch(self, step: int) -> Batch: ...


class Outcome(NamedTuple):
    """What a finished run knows."""

    evaluations: list[dict[str, float]]  # in order; the last one is the result
    confusion: list[list[int]]  # of the last evaluation; rows are true classes
    seconds: float  # in the loop, evaluations included, over all parts of a resumed run
    seconds_training: float  # without evaluations and checkpoints
    warnings: list[str]  # of terms that trained nothing


class Trainer:
    """One run: a method, its batches, and the folder in which it can be resumed.

    Args:
        algorithm: On the device.
        batches: The pipeline.
        evaluator: Scores nets.
        settings: Of the run.
        device: Where all of them are.
        folder: Of the run; holds the checkpoint, metrics.jsonl and TensorBoard's files.
        identity: What must be the same for a checkpoint to be gone on from, such as the hash of the split.

    Raises:
        InputError: The folder's checkpoint is of a run with another identity.
    """

    def __init__(
        self,
        algorithm: AlgorithmBase,
        batches: Batches,
        evaluator: Evaluator,
        settings: RunSettings,
        device: torch.device,
        folder: Path,
        identity: dict[str, str],
    ):
        self.algorithm, self.batches, self.evaluator = algorithm, batches, evaluator
        self.settings, self.device, self.precision = settings, device, pick_precision(device, settings.precision)
        self.identity = {**identity, "precision": self.precision}
        self.checkpoint, self.folder = folder / "checkpoint.pt", folder
        self.optimizer = make_optimizer(algorithm, settings.optimizer)
        self.average: Teacher | None = None  # the average that a recipe gives to every method without a teacher
        if settings.eval_ema is not None and algorithm.eval_net() is algorithm.net:
            self.average = Teacher(algorithm.net, settings.eval_ema, bn="ema").to(device)
        self.guard = TermGuard(algorithm, settings.steps, settings.algorithms.get(settings.alg, {}))
        self.start = self.saved = 0
        self.evaluations: list[dict[str, float]] = []
        self.confusion: list[list[int]] = []
        self.seconds = self.seconds_training = 0.0
        self._log_offset = 0
        self._bar_scores: dict[str, str] = {}
        self._resume()

    def eval_net(self) -> nn.Module:
        """The net that is scored."""
        return self.algorithm.eval_net() if self.average is None else self.average.net

    def run(self) -> Outcome:
        """Train to the last step, from the checkpoint if there is one.

        Raises:
            RunError: A loss is not finite.
        """
        s = self.settings
        parameters = [p for p in self.algorithm.parameters() if p.requires_grad]
        clock = torch.linspace(0, 1, s.steps + 1, device=self.device)  # progress of each step, with no copy per step
        pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
        bar = tqdm(total=s.steps, initial=self.start, desc=s.alg, unit="step", dynamic_ncols=True, mininterval=pause)
        self.algorithm.train()
        began = time.perf_counter()
        with bar, contextlib.closing(RunLog(self.folder, self._log_offset, self.start)) as log:  # closed before an error is shown
            for step in range(self.start, s.steps):
                batch = self.batches.batch(step)
                lr = set_lr(self.optimizer, s.optimizer.lr, s.schedule, step / s.steps)
                seed_global(mix(s.seed, step, "loss", rank()))  # so that a resumed run draws the same dropout
                with autocast(self.device, self.precision):
                    out = self.algorithm.loss(batch, clock[step])
                done = step + 1
                evaluate = done % s.evaluation.every == 0 or done == s.steps
                logs = evaluate or done % s.evaluation.log_every == 0
                watched = self.guard.look(out) if logs else {}
                self.optimizer.zero_grad(set_to_none=True)
                out.total.backward()
                average_gradients(parameters)
                if s.optimizer.clip is not None:
                    nn.utils.clip_grad_norm_(parameters, s.optimizer.clip)
                self.optimizer.step()
                with torch.no_grad():
                    self.algorithm.after_step({name: gather_rows(rows) for name, rows in out.seen.items()})
                    if self.average is not None:
                        self.average.update(self.algorithm.net)

                bar.update()
                if logs:
                    self._log(log, bar, done, {"total": out.total, **out.terms}, watched, lr)
                if evaluate:
                    self.seconds_training += time.perf_counter() - began
                    self._evaluate(log, bar, done)
                    self.seconds += time.perf_counter() - began
                    self._save(log, done)
                    began = time.perf_counter()
        return Outcome(self.evaluations, self.confusion, self.seconds, self.seconds_training, self.guard.warnings)

    def _log(
        self, log: RunLog, bar: tqdm, done: int, terms: Mapping[str, Tensor], watched: Mapping[str, Tensor], lr: float
    ) -> None:
        tensors = [*terms.values(), *watched.values()]
        values = torch.stack([tensor.detach().float() for tensor in tensors]).tolist()  # the only wait for the device
        numbers = dict(zip(terms, values, strict=False))
        bar.set_postfix(
            {**{name: f"{value:.3g}" for name, value in numbers.items() if name != "total"}, **self._bar_scores}, refresh=False
        )
        if not math.isfinite(numbers["total"]):
            shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            raise self._diverged(f"the loss is not finite at step {done} ({shown})")
        log.write(done, {**{f"train/{name}": value for name, value in numbers.items()}, "train/lr": lr})
        for warning in self.guard.judge(done, dict(zip(watched, values[len(terms) :], strict=True))):
            bar.write(f"WARNING: {warning}", file=sys.stderr)

    def _diverged(self, what: str) -> RunError:
        kept = f"the checkpoint at step {self.saved} is kept" if self.saved else "there is no checkpoint yet"
        return RunError(f"{what}; lower optimizer.lr or the method's weight, or set optimizer.clip; {kept}")

    def _evaluate(self, log: RunLog, bar: tqdm, done: int) -> None:
        broken = [name for name, p in self.algorithm.named_parameters() if not p.isfinite().all()]
        if broken:  # the loss is that of before the update; no such weights may reach a checkpoint
            raise self._diverged(f"the weights {broken[0]} are not finite after step {done}")
        scores, self.confusion = self.evaluator(self.eval_net(), self.algorithm.net)
        self.algorithm.train()  # a teacher left in eval mode would stop normalising by its own batches
        self.evaluations.append({"step": done, **scores})
        self._bar_scores = {"accuracy": f"{100 * scores['accuracy']:.1f}%"}
        bar.set_postfix(self._bar_scores, refresh=False)
        log.write(
            done,
            {f"test/{name}" if name != "unlabeled_accuracy" else "unlabeled/accuracy": value for name, value in scores.items()},
        )

    def _save(self, log: RunLog, done: int) -> None:
        state = {
            "step": done,
            "algorithm": self.algorithm.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "evaluations": self.evaluations,
            "confusion": self.confusion,
            "seconds": self.seconds,
            "seconds_training": self.seconds_training,
            "log_offset": log.flush(),
            "guard": self.guard.state(),
            "identity": self.identity,
        }
        save_checkpoint(self.checkpoint, state)
        self.saved = done

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint, self.device)
        if state is None:
            return
        for name, now in self.identity.items():
            then = state["identity"].get(name, "")  # "" for what was not recorded yet and is empty now
            if then != now:
                raise InputError(f"{self.checkpoint} is of a run with another {name} ({then}, now {now}); use another --out")
        self.algorithm.load_state_dict(state["algorithm"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.start = self.saved = state["step"]
        if "guard" in state:
            self.guard.load(state["guard"])
        self.evaluations, self.confusion = state["evaluations"], state["confusion"]
        self.seconds, self.seconds_training = state["seconds"], state["seconds_training"]
        self._log_offset = state["log_offset"]
