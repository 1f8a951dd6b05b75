"""The training loop, in reading order. One loop for every method."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batches
from ssl_zoo.device import Machine
from ssl_zoo.errors import DivergedError, Interrupted, RunError
from ssl_zoo.ranks import rank, ranks
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.clock import Estimate
from ssl_zoo.train.evaluate import Evaluator, chosen
from ssl_zoo.train.guard import ways_out, weights_not_finite
from ssl_zoo.train.logs import NoLog, RunLog, tag_of
from ssl_zoo.train.parallel import from_first, largest_of, least_of, mean_of
from ssl_zoo.train.resume import state_of
from ssl_zoo.train.signals import Asked, asked_to_end
from ssl_zoo.train.skip import MOST
from ssl_zoo.train.steps import Steps


class Outcome(NamedTuple):
    """What a finished run knows."""

    evaluations: list[dict[str, float]]  # in order
    chosen: int  # which of them is reported
    confusion: dict[str, Any]  # of that evaluation: which class was taken for which
    seconds: float  # in the loop, evaluations included, over all parts of a resumed run
    seconds_training: float  # without evaluations and checkpoints
    warnings: list[str]  # of terms that trained nothing
    skipped: int  # steps without a finite gradient, under on_nan = skip


class Trainer(Steps):
    """One run: a method, its batches, and the folder in which it leaves checkpoints and logs.

    Args:
        algorithm: On the machine's device.
        batches: The pipeline.
        evaluator: Scores nets.
        settings: Of the run.
        machine: Where all of them are.
        folder: Of the run.
        identity: What must be the same for a checkpoint to be gone on from; kept in it.
        quiet: Show no bar.
    """

    def __init__(
        self,
        algorithm: AlgorithmBase,
        batches: Batches,
        evaluator: Evaluator,
        settings: RunSettings,
        machine: Machine,
        folder: Path,
        identity: Mapping[str, str] | None = None,
        quiet: bool = False,
    ):
        super().__init__(algorithm, batches, evaluator, settings, machine)
        self.evaluator, self.quiet = evaluator, quiet
        self.identity = {**(identity or {}), "precision": machine.precision}
        self.checkpoints, self.folder = Checkpoints(folder), folder
        self.start = self.log_offset = 0
        self.evaluations: list[dict[str, float]] = []
        self.confusion: dict[str, Any] = {}
        self.selected: dict[str, Tensor] = {}  # the state of the net that was scored, where a later one may not be reported
        self.seconds = self.seconds_training = 0.0
        self.history: list[dict[str, Any]] = []  # the environments of the run's parts, each with its first step
        self._mark = self._saved_at = 0.0  # of the clock: the last lap, the last checkpoint
        self._bar_scores: dict[str, str] = {}

    def eval_net(self) -> nn.Module:
        """The net that is scored."""
        if self.settings.evaluation.net == "student":
            return self.algorithm.net
        return self.algorithm.eval_net() if self.average is None else self.average.net

    def reported_state(self) -> dict[str, Tensor]:
        """The state of the net that is reported: as it is now, or as it was when held-out images chose it."""
        return self.selected or self.eval_net().state_dict()

    def run(self) -> Outcome:
        """Train to the last step, from the checkpoint if there is one.

        Raises:
            DivergedError: A loss, a weight or a prediction is not finite.
            RunError: The folder can no longer be written.
            Interrupted: A signal asked the run to end; a checkpoint is written.
        """
        try:
            try:
                log = RunLog(self.folder, self.log_offset, self.start, self.settings) if rank() == 0 else NoLog()
                with log:
                    self._run(log)
            finally:
                self.checkpoints.wait()  # whatever ended the run: while it is written the folder is not another's
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be written ({error}); {self._kept()}; the same call goes on when it can"
            ) from error
        self.evaluations, self.confusion = from_first(lambda: (self.evaluations, self.confusion))
        chosen_one = chosen(self.evaluations, self.settings.selection)
        ended = (self.seconds, self.seconds_training, [*self.guard.warnings, *self.guesses.warnings], self.skips.count)
        return Outcome(self.evaluations, chosen_one, self.confusion, *ended)

    def _run(self, log: RunLog | NoLog) -> None:
        s = self.settings
        pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
        bar = tqdm(
            total=s.length,
            initial=self.start,
            desc=s.alg,
            unit="step",
            dynamic_ncols=True,
            mininterval=pause,
            disable=rank() > 0 or self.quiet,
        )
        self.algorithm.train()
        estimate = Estimate(s.length, self.seconds_training, None if self.quiet or s.minutes else self.machine.name)
        self._mark = self._saved_at = time.perf_counter()
        with bar, asked_to_end() as asked:
            self.compiling = lambda: self._shown_compiling(bar, asked)
            self._evaluate_if_due(log, bar, self.start)  # the run may have ended between a step and its evaluation
            for step in range(self.start, s.length):
                done = step + 1
                measures = s.evaluation.mechanism > 0 and done % s.evaluation.mechanism == 0
                looks = self._due(done) or done % s.evaluation.log_every == 0
                logs = looks or measures
                terms, watched = self.step(step, looks, measures)
                if self.skips.in_a_row == MOST:
                    raise self._diverged(f"no gradient was finite in the {MOST} steps up to {done}: `on_nan=skip` cannot help")
                bar.update()
                spent = self.seconds_training + time.perf_counter() - self._mark - (self.seconds_compiling or 0.0)
                estimate.look(self.tell, done - self.start, spent)
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

    def _due(self, done: int) -> bool:
        """Whether there is an evaluation after so many steps."""
        return done > 0 and (done % self.settings.evaluate_every == 0 or done == self.settings.length)

    def _lap(self, training: bool) -> None:
        """Count the seconds since the last time this was called."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self.seconds_training += now - self._mark if training else 0.0
        self._mark = now

    def log(self, log: RunLog | NoLog, bar: tqdm, done: int, terms: Mapping[str, Tensor], watched: Mapping[str, Tensor]) -> None:
        values = mean_of(torch.stack([t.detach().float() for t in (*terms.values(), *watched.values())])).tolist()  # waits once
        numbers = dict(zip(terms, values, strict=False))
        short = {name: f"{value:.3g}" for name, value in numbers.items() if name != "total"}
        bar.set_postfix({**short, **self._bar_scores}, refresh=False)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self._stop_if_not_finite(self.finite.found(least_of), f"; at step {done}: {shown}")
        other = {"train/lr": self.optimizer.param_groups[0]["lr"]}
        other |= {"train/skipped": self.skips.count} if self.settings.on_nan == "skip" else {}
        looked = dict(zip(watched, values[len(terms) :], strict=True))
        other |= {name: value for name, value in looked.items() if name.startswith("mechanism/") and math.isfinite(value)}
        other |= self.guesses.numbers(looked)
        log.write(done, {**{f"train/{name}": value for name, value in numbers.items()}, **other})
        for warning in [*self.guard.judge(done, looked), *self.guesses.judge(done, looked)]:
            self.tell(warning)

    def tell(self, line: str) -> None:
        """Warn of something."""
        if rank() == 0:
            with tqdm.external_write_mode(file=sys.stderr):  # not in the middle of the bar
                self.warn(line)

    @contextlib.contextmanager
    def _shown_compiling(self, bar: tqdm, asked: Asked) -> Iterator[None]:
        """Within it the bar says that something is compiled, and a signal is answered at once."""
        bar.set_postfix_str("compiling")
        asked.answer = lambda name: self.tell(
            f"{name}: the run ends with a checkpoint as soon as the compiler is done; a second one ends it at once, without"
        )
        try:
            yield
        finally:
            asked.answer = None
            bar.set_postfix(self._bar_scores, refresh=False)

    def _stop_if_not_finite(self, found: Mapping[str, int], more: str = "") -> None:
        if "total" in found and self.settings.on_nan == "stop":
            firsts = sorted(found.items(), key=lambda item: item[0] == "total")
            raise self._diverged(f"the loss is not finite ({', '.join(f'{name} from step {at}' for name, at in firsts)}{more})")

    def _kept(self) -> str:
        with contextlib.suppress(OSError):  # it is the one before, then, that is kept
            self.checkpoints.wait()
        step = self.checkpoints.step
        return f"the checkpoint at step {step} is kept" if step else "there is no checkpoint yet"

    def _diverged(self, what: str, skip: bool = True) -> DivergedError:
        ways = ways_out(self.settings, self.machine.precision, [*self.algorithm.weights], skip)
        return DivergedError(what, f"{ways}; {self._kept()}")

    def _end(self, log: RunLog | NoLog, done: int, number: signal.Signals) -> NoReturn:
        self._save(log, done)
        from_first(self.checkpoints.wait)  # torchrun ends all processes as soon as one has ended
        raise Interrupted(f"ended by {number.name} after step {done}, with a checkpoint; the same call goes on", number)

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
            raise self._diverged(f"the {error} at the evaluation after step {done}", skip=False) from error
        self.algorithm.train()  # a teacher left in eval mode would stop normalising by its own batches
        self.evaluations.append({"step": done, **scores})
        if chosen(self.evaluations, self.settings.selection) == len(self.evaluations) - 1:
            self.confusion = confusion
            if self.settings.selection == "validation":
                self.selected = {name: value.detach().cpu().clone() for name, value in self.eval_net().state_dict().items()}
        self._bar_scores = {"accuracy": f"{100 * scores['accuracy']:.1f}%"}
        bar.set_postfix(self._bar_scores, refresh=False)
        log.write(done, {tag_of(name): value for name, value in scores.items()})
        self._lap(training=False)

    def _save(self, log: RunLog | NoLog, done: int) -> None:
        self._stop_if_not_finite(self.finite.found())  # a resumed run would have forgotten it at its next log point
        wrong = weights_not_finite(self.algorithm)
        if wrong is not None:  # the loss was that of before the update; no such weights may reach a checkpoint
            raise self._diverged(f"the weights {wrong} are not finite after step {done}")
        if rank() > 0:  # all of them hold the same state
            return
        self._lap(training=True)
        self.checkpoints.save(state_of(self, done, log.flush()))
        self._lap(training=False)
        self._saved_at = self._mark
