"""The training loop, in reading order. One loop for every method."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch
from ssl_zoo.ema import Teacher
from ssl_zoo.errors import DivergedError, InputError, Interrupted, RunError
from ssl_zoo.ranks import average_gradients, gather_rows, rank, ranks
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.compile import compiled as compiled_loss
from ssl_zoo.train.device import autocast, pick_precision
from ssl_zoo.train.evaluate import Evaluator, chosen
from ssl_zoo.train.guard import FiniteGuard, TermGuard
from ssl_zoo.train.logs import NoLog, RunLog
from ssl_zoo.train.mechanism import Mechanism
from ssl_zoo.train.optimizer import make_optimizer, set_lr
from ssl_zoo.train.parallel import from_first, largest_of, least_of, mean_of
from ssl_zoo.train.signals import asked_to_end

TAGS = {"unlabeled_accuracy": "unlabeled/accuracy", "validation_accuracy": "validation/accuracy"}  # of scores not on test images
KINDS = {  # of what must be the same for a run to be gone on with, the likeliest reason first
    "data_hash": "other images",
    "split_hash": "another label split",
    "settings": "other settings",
    "plugins": "other plug-in code",
    "code": "other code of the method or net",
    "source": "other code of ssl_zoo",
}
STATE = {  # of a checkpoint
    "step": int,
    "algorithm": dict,
    "average": dict,
    "optimizer": dict,
    "evaluations": list,
    "confusion": list,
    "seconds": float,
    "seconds_training": float,
    "log_offset": int,
    "guard": dict,
    "skipped": int,
    "skipped_in_a_row": int,
    "identity": dict,
    "history": list,
}
SKIPS = 100  # steps without a finite gradient in a row, after which --on-nan skip gives up


class Batches(Protocol):
    """What the trainer needs of a pipeline."""

    def batch(self, step: int) -> Batch: ...


class Outcome(NamedTuple):
    """What a finished run knows."""

    evaluations: list[dict[str, float]]  # in order
    chosen: int  # which of them is reported
    confusion: list[list[int]]  # of that evaluation; rows are true classes
    seconds: float  # in the loop, evaluations included, over all parts of a resumed run
    seconds_training: float  # without evaluations and checkpoints
    warnings: list[str]  # of terms that trained nothing
    skipped: int  # steps without a finite gradient, under --on-nan skip


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
        environment: What may have changed then, but is told with the result, such as the device's name.

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
        environment: dict[str, str] | None = None,
    ):
        self.algorithm, self.batches, self.evaluator = algorithm, batches, evaluator
        self.settings, self.device, self.precision = settings, device, pick_precision(device, settings.precision)
        self.identity = {**identity, "precision": self.precision}
        self.checkpoints, self.folder = Checkpoints(folder), folder
        self.optimizer = make_optimizer(algorithm, settings.optimizer)
        self.average: Teacher | None = None  # the average that a recipe gives to every method without a teacher
        if settings.eval_ema is not None and algorithm.eval_net() is algorithm.net:
            self.average = Teacher(algorithm.net, settings.eval_ema, bn="ema").to(device)
        self.guard = TermGuard(algorithm, settings.steps, settings.algorithms.get(settings.alg, {}))
        self.finite = FiniteGuard(settings.steps, device)
        self.mechanism = Mechanism(algorithm)
        self._compiled = compiled_loss(algorithm.loss, device) if settings.compile else None  # never put back into the method
        self.seconds_compiling: float | None = None  # with the first step
        self._parameters = [p for p in algorithm.parameters() if p.requires_grad]
        self._clock = torch.linspace(0, 1, settings.steps + 1, device=device)  # progress of each step, with no copy per step
        self.start = self.skipped = self._skipped_in_a_row = 0
        self.evaluations: list[dict[str, float]] = []
        self.confusion: list[list[int]] = []
        self.seconds = self.seconds_training = 0.0
        self._log_offset = 0
        self.history: list[dict[str, Any]] = []  # the environments of the run's parts, each with its first step
        self._mark = self._saved_at = 0.0  # of the clock: the last lap, the last checkpoint
        self._bar_scores: dict[str, str] = {}
        self._resume()
        if not self.history or {**self.history[-1], "step": None} != {**(environment or {}), "step": None}:
            self.history.append({"step": self.start, **(environment or {})})

    def eval_net(self) -> nn.Module:
        """The net that is scored."""
        if self.settings.evaluation.net == "student":
            return self.algorithm.net
        return self.algorithm.eval_net() if self.average is None else self.average.net

    def run(self) -> Outcome:
        """Train to the last step, from the checkpoint if there is one.

        Raises:
            DivergedError: A loss, a weight or a prediction is not finite.
            RunError: The folder can no longer be written.
            Interrupted: A signal asked the run to end; a checkpoint is written.
        """
        try:
            try:
                log = RunLog(self.folder, self._log_offset, self.start) if rank() == 0 else NoLog()
                with contextlib.closing(log):
                    self._run(log)
            finally:
                self.checkpoints.wait()  # whatever ended the run: while it is written the folder is not another's
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be written ({error}); {self._kept()}; the same command goes on when it can"
            ) from error
        self.evaluations, self.confusion = from_first(lambda: (self.evaluations, self.confusion))
        chosen_one = chosen(self.evaluations, self.settings.selection)
        seconds = (self.seconds, self.seconds_training)
        return Outcome(self.evaluations, chosen_one, self.confusion, *seconds, self.guard.warnings, self.skipped)

    def _run(self, log: RunLog | NoLog) -> None:
        s = self.settings
        pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
        bar = tqdm(
            total=s.steps, initial=self.start, desc=s.alg, unit="step", dynamic_ncols=True, mininterval=pause, disable=rank() > 0
        )
        self.algorithm.train()
        self._mark = self._saved_at = time.perf_counter()
        with bar, asked_to_end() as asked:
            self._evaluate_if_due(log, bar, self.start)  # the run may have ended between a step and its evaluation
            for step in range(self.start, s.steps):
                done = step + 1
                measures = s.evaluation.mechanism > 0 and done % s.evaluation.mechanism == 0
                looks = self._due(done) or done % s.evaluation.log_every == 0
                logs = looks or measures
                terms, watched = self.step(step, looks, measures)
                bar.update()
                if logs:
                    self.log(log, bar, done, terms, watched)
                if ranks() == 1 or logs:  # several processes agree at log points: on a signal, and that all losses are finite
                    number = largest_of(asked.by or 0, self.device)
                    if number:
                        self._end(log, done, signal.Signals(number))
                    if self._due(done) or time.perf_counter() - self._saved_at >= s.checkpoint_seconds:
                        self._save(log, done)
                self._evaluate_if_due(log, bar, done)  # while the checkpoint is being written
        self._lap(training=True)

    def step(self, step: int, watch: bool = False, measure: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One update of everything that a run changes. Does not wait for the device, unless by --on-nan skip.

        Args:
            step: Its number, from 0.
            watch: Whether to look whether the loss's terms do anything, as at a log point. Such a step is not compiled.
            measure: Whether to measure what they do; likewise.

        Returns:
            The loss and its terms, and what was measured.
        """
        s, parameters = self.settings, self._parameters
        batch = self.batches.batch(step)
        set_lr(self.optimizer, s.optimizer.lr, s.schedule, step / s.steps)
        seed_global(mix(s.seed, step, "loss", rank()))  # so that a resumed run draws the same dropout
        statistics = self._statistics() if s.on_nan == "skip" else []
        began = time.perf_counter()
        # A compiled loss is one node for autograd: what a term counts for cannot be told, and a second backward pass through CUDA
        # graphs ends the process ("invalid device pointer", torch 2.11). So what is looked into is not compiled.
        compiled = None if watch or measure else self._compiled
        if compiled is not None and self.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # what the step before returned may be written over
        with autocast(self.device, self.precision), self.mechanism.watching() if measure else contextlib.nullcontext():
            out = (compiled or self.algorithm.loss)(batch, self._clock[step])
        watched = self.guard.look(out) if watch else {}
        if measure:
            watched |= {f"mechanism/{name}": value for name, value in self.mechanism.measure(out).items()}
        for p in parameters:
            p.grad = None
        out.total.backward()
        if compiled is not None and self.seconds_compiling is None:
            self.seconds_compiling = time.perf_counter() - began
        average_gradients(parameters)
        if s.on_nan == "stop" or self._usable(out.total, statistics, step + 1):
            if s.optimizer.clip is not None:
                nn.utils.clip_grad_norm_(parameters, s.optimizer.clip)
            self.optimizer.step()
            with torch.no_grad():
                self.algorithm.after_step({name: gather_rows(rows) for name, rows in out.seen.items()})
                if self.average is not None:
                    self.average.update(self.algorithm.net)
        terms = {"total": out.total, **out.terms}
        self.finite.look(step + 1, terms)
        return terms, watched

    def _due(self, done: int) -> bool:
        """Whether there is an evaluation after so many steps."""
        return done > 0 and (done % self.settings.evaluation.every == 0 or done == self.settings.steps)

    def _lap(self, training: bool) -> None:
        """Count the seconds since the last time this was called."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self.seconds_training += now - self._mark if training else 0.0
        self._mark = now

    def log(self, log: RunLog | NoLog, bar: tqdm, done: int, terms: Mapping[str, Tensor], watched: Mapping[str, Tensor]) -> None:
        tensors = [*terms.values(), *watched.values()]
        values = mean_of(torch.stack([tensor.detach().float() for tensor in tensors])).tolist()  # the only wait for the device
        numbers = dict(zip(terms, values, strict=False))
        bar.set_postfix(
            {**{name: f"{value:.3g}" for name, value in numbers.items() if name != "total"}, **self._bar_scores}, refresh=False
        )
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self._stop_if_not_finite(self.finite.found(least_of), f"; at step {done}: {shown}")
        other = {"train/lr": self.optimizer.param_groups[0]["lr"]}
        other |= {"train/skipped": self.skipped} if self.settings.on_nan == "skip" else {}
        looked = dict(zip(watched, values[len(terms) :], strict=True))
        other |= {name: value for name, value in looked.items() if name.startswith("mechanism/") and math.isfinite(value)}
        log.write(done, {**{f"train/{name}": value for name, value in numbers.items()}, **other})
        for warning in self.guard.judge(done, looked):
            if rank() == 0:
                bar.write(f"WARNING: {warning}", file=sys.stderr)

    def _stop_if_not_finite(self, found: Mapping[str, int], more: str = "") -> None:
        if "total" in found and self.settings.on_nan == "stop":
            firsts = sorted(found.items(), key=lambda item: item[0] == "total")
            raise self._diverged(f"the loss is not finite ({', '.join(f'{name} from step {at}' for name, at in firsts)}{more})")

    def _kept(self) -> str:
        with contextlib.suppress(OSError):  # it is the one before, then, that is kept
            self.checkpoints.wait()
        step = self.checkpoints.step
        return f"the checkpoint at step {step} is kept" if step else "there is no checkpoint yet"

    def _diverged(self, what: str) -> DivergedError:
        way_out = "lower optimizer.lr or the method's weight, set optimizer.clip, or give --on-nan skip"
        return DivergedError(what, f"{way_out}; {self._kept()}")

    def _end(self, log: RunLog | NoLog, done: int, number: signal.Signals) -> NoReturn:
        self._save(log, done)
        from_first(self.checkpoints.wait)  # torchrun ends all processes as soon as one has ended
        raise Interrupted(f"ended by {number.name} after step {done}, with a checkpoint; the same command goes on", number)

    def _statistics(self) -> list[tuple[Tensor, Tensor]]:
        """What a forward pass writes, with copies: buffers of nets. Those of the method itself only `after_step` writes."""
        return [(buffer, buffer.clone()) for name, buffer in self.algorithm.named_buffers() if "." in name]

    def _usable(self, total: Tensor, statistics: list[tuple[Tensor, Tensor]], done: int) -> bool:
        """Whether the loss and all gradients are finite, for --on-nan skip. If not, the step is undone and counted. Waits for the
        device."""
        norms = torch._foreach_norm([p.grad for p in self._parameters if p.grad is not None])
        total = mean_of(total.detach().float())  # the gradients are already those of all processes
        if bool(torch.stack([total, *norms]).isfinite().all()):
            self._skipped_in_a_row = 0
            return True
        for buffer, before in statistics:
            buffer.copy_(before)
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row == SKIPS:
            raise self._diverged(f"no gradient was finite in the {SKIPS} steps up to {done}: --on-nan skip cannot help")
        return False

    def _evaluate_if_due(self, log: RunLog | NoLog, bar: tqdm, done: int) -> None:
        if not self._due(done) or (self.evaluations and self.evaluations[-1]["step"] == done):
            return
        if rank() > 0:  # the first one does, and the others wait for it in the next step
            self.evaluations.append({"step": done})
            return
        self._lap(training=True)
        try:
            scores, confusion = self.evaluator(self.eval_net(), self.algorithm.net)
        except FloatingPointError as error:
            raise self._diverged(f"the {error} at the evaluation after step {done}") from error
        self.algorithm.train()  # a teacher left in eval mode would stop normalising by its own batches
        self.evaluations.append({"step": done, **scores})
        if chosen(self.evaluations, self.settings.selection) == len(self.evaluations) - 1:
            self.confusion = confusion
        self._bar_scores = {"accuracy": f"{100 * scores['accuracy']:.1f}%"}
        bar.set_postfix(self._bar_scores, refresh=False)
        log.write(
            done,
            {TAGS.get(name, f"test/{name}"): value for name, value in scores.items()},
        )
        self._lap(training=False)

    def _save(self, log: RunLog | NoLog, done: int) -> None:
        self._stop_if_not_finite(
            self.finite.found()
        )  # else it would be forgotten by the time a resumed run comes to its next log point
        weights = dict(self.algorithm.named_parameters())
        finite = torch.stack([p.isfinite().all() for p in weights.values()]).tolist()
        if not all(finite):  # the loss was that of before the update; no such weights may reach a checkpoint
            raise self._diverged(f"the weights {[*weights][finite.index(False)]} are not finite after step {done}")
        if rank() > 0:  # all of them hold the same state
            return
        self._lap(training=True)
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
            "skipped": self.skipped,
            "skipped_in_a_row": self._skipped_in_a_row,
            "identity": self.identity,
            "history": self.history,
        }
        self.checkpoints.save(state)
        self._lap(training=False)
        self._saved_at = self._mark

    def _resume(self) -> None:
        state = from_first(lambda: self.checkpoints.load(self.device if ranks() == 1 else torch.device("cpu")))
        if state is None:
            return
        wrong = [name for name, kind in STATE.items() if not isinstance(state.get(name), kind)]
        if wrong:
            raise InputError(
                f"the checkpoint in {self.folder} is of another version of ssl_zoo (it has no usable {', '.join(wrong)}); "
                "use another --out"
            )
        differs = differing(state["identity"], self.identity)
        if differs:
            raise InputError(f"{self.folder} holds a run with {differs}; use another --out")
        try:
            self.algorithm.load_state_dict(state["algorithm"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self._load_optimizer(state["optimizer"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:  # other names, shapes or types
            first = str(error).strip().splitlines()[0]
            raise InputError(
                f"the checkpoint in {self.folder} does not fit the method and net ({first}); use another --out"
            ) from error
        self.start, self.history = state["step"], state["history"]
        self.guard.load(state["guard"])
        self.evaluations, self.confusion = state["evaluations"], state["confusion"]
        self.seconds, self.seconds_training = state["seconds"], state["seconds_training"]
        self.skipped, self._skipped_in_a_row, self._log_offset = (
            state[name] for name in ("skipped", "skipped_in_a_row", "log_offset")
        )

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Copy its numbers into tensors of our own making: the fused kernels trust shapes, types and strides."""
        own = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        names = {"momentum_buffer"} if self.settings.optimizer.name == "sgd" else {"step", "exp_avg", "exp_avg_sq"}
        for place, kept in state["state"].items():
            if {*kept} != names:
                raise ValueError(f"the optimiser's state of a parameter is {', '.join(kept)}")
            shapes = {name: torch.zeros((), device=self.device) if name == "step" else parameters[place] for name in names}
            for name, value in kept.items():
                if value is not None and value.shape != shapes[name].shape:
                    raise ValueError(f"{name} of the optimiser has the shape {tuple(value.shape)}")
            own["state"][place] = {
                name: value if value is None else torch.empty_like(shapes[name], requires_grad=False).copy_(value)
                for name, value in kept.items()
            }
        self.optimizer.load_state_dict(own)


def differing(then: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """In words, what two runs that should be one do not agree on; "" if they do. What neither knows is no difference."""
    names = sorted(now, key=lambda name: [*KINDS, name].index(name))
    return ", ".join(
        f"{KINDS.get(name, f'another {name}')} ({name} {then.get(name) or 'none'}, now {now[name] or 'none'})"
        for name in names
        if (then.get(name) or "") != now[name]
    )
