"""Train and score one run in its folder."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ssl_zoo import config, plugins, provenance
from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.device import Machine, deterministic, keep_freed_memory, machine
from ssl_zoo.errors import ANEW, DivergedError, FolderError, InputError, RunError, StaleError, shown, warn_on_screen
from ssl_zoo.ranks import rank, ranks
from ssl_zoo.runs.assembly import Assembly, assemble
from ssl_zoo.runs.baselines import part_of
from ssl_zoo.runs.calibration import calibrate
from ssl_zoo.runs.finished import of_other_code, of_this_data
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.identity import CODE, differing, identity_of, names_differing, parts_of, plugins_of
from ssl_zoo.runs.initial import initial_of, keep, learnt_by_heart
from ssl_zoo.runs.inputs import Inputs, check_data, choose_labels, load_data, look_at_data, look_at_place, scorable
from ssl_zoo.runs.model import write_model
from ssl_zoo.runs.rehearsal import rehearse
from ssl_zoo.runs.report import beginning, evened_twice, of_no_effect, unsettled
from ssl_zoo.runs.row import Row
from ssl_zoo.runs.scores import made_with, scored
from ssl_zoo.runs.settled import as_begun, settled
from ssl_zoo.runs.threads import settle
from ssl_zoo.runs.weights import weights_identity
from ssl_zoo.settings import RunSettings
from ssl_zoo.train import resume
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.fitting import Fitter
from ssl_zoo.train.loggers import look_for_loggers
from ssl_zoo.train.parallel import from_first, one_after_the_others, own_device
from ssl_zoo.train.trainer import Trainer

AGAIN = "the same call goes on"  # what errors of a run say


def execute(
    settings: RunSettings,
    out: Path,
    *,
    data: Dataset | None = None,
    fresh: bool = False,
    in_place: bool = False,
    threads: int | None = None,
    axes: Sequence[str] = (),
    quiet: bool = False,
    say: Callable[[str], None] = lambda line: print(shown(line), flush=True),
    warn: Callable[[str], None] = warn_on_screen,
) -> Row:
    """Train and score one run in its folder, from its checkpoint if there is one.

    Of several processes the first has the folder.

    Args:
        settings: Of the run.
        out: Its folder.
        data: In place of the data set that the settings name.
        fresh: Begin anew. The folder of a run that is there, whichever, is renamed, once the new one is about to write.
        in_place: With `fresh`, train anew what is there, if it is this run, and remove the old one.
        threads: In place of those of the settings, where these are auto.
        axes: Dotted keys of settings in which this run differs from others on purpose, which its row keeps.
        quiet: Say nothing but warnings, and show no bar.
        say: Is told what happens, unless `quiet`.
        warn: Is told what may be wrong.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
        BusyError: Another process is at work in the folder.
        RunError: The run cannot go on.
    """
    began = time.monotonic()
    here = machine(own_device(settings.device), settings.precision)
    keep_freed_memory()
    folder = RunFolder(out)
    if not fresh:
        settings = from_first(lambda: as_begun(folder, settings))
    plain = config.plain(settings)
    if data is None:
        from_first(lambda: look_at_data(settings))  # before the folder: without data there is nothing to say of it
        from_first(lambda: look_at_place(settings, out))
    with contextlib.ExitStack() as stack:
        from_first(lambda: stack.enter_context(folder.taken(plain, fresh and not in_place)))
        stack.enter_context(deterministic(settings.deterministic))
        stack.enter_context(_threads_given_back())
        stack.enter_context(_in_words(settings, fresh))
        return _Run(settings, plain, folder, here, fresh, in_place, threads, axes, quiet, say, warn).row(data, began)


@contextlib.contextmanager
def _in_words(settings: RunSettings, fresh: bool) -> Iterator[None]:
    """Say what ends a run as it is to be told."""
    try:
        yield
    except RunError as error:
        if fresh:  # which would train it anew once more
            error.args = tuple(str(part).replace(AGAIN, f"without `fresh=True` {AGAIN}") for part in error.args)
        raise
    except InputError:
        raise
    except Exception as error:
        told = _told(error, settings)
        if told is None:
            raise
        raise told from error


def _told(error: Exception, settings: RunSettings) -> RunError | None:
    """In words, what ended a run, where it is the user's to mend."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return RunError(
            "out of memory; lower batch.labeled, batch.unlabeled or evaluation.batch, make the images smaller, or choose a "
            "smaller net"
        )
    told = plugins.blame(error, parts_of(settings))
    return None if told is None else RunError(f"{told}; SSL_ZOO_TRACEBACK=1 shows where from")


@contextlib.contextmanager
def _threads_given_back() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """One run, in the order of its life. Its arguments are those of `execute`."""

    def __init__(
        self,
        settings: RunSettings,
        plain: Mapping[str, Any],
        folder: RunFolder,
        here: Machine,
        fresh: bool,
        in_place: bool,
        threads: int | None,
        axes: Sequence[str],
        quiet: bool,
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ):
        self.settings, self.folder, self.machine, self.fresh, self.quiet = settings, folder, here, fresh, quiet
        self.plain, self.in_place, self.axes, self.say, self.warn = plain, in_place, [*axes], say, warn
        self.threads = threads if threads is not None and settings.threads == "auto" else settings.threads

    def row(self, data: Dataset | None, began: float) -> Row:
        """Return the row: of the finished run that is there, or of one that is trained now.

        Args:
            data: In place of the data set that the settings name.
            began: When its minutes begin, in seconds of the monotonic clock.
        """
        done = None if self.fresh else from_first(self.folder.row)
        if done is not None and of_this_data(self.settings, done):
            return self._finished(done, {"plugins": plugins_of(self.settings), **weights_identity(self.settings)})
        if done is None:
            look_for_loggers(self.settings.logger)
        provenance.commit()  # as it is now, not when the run ends
        begun = None if self.fresh else self.folder
        self.initial = None if done is not None else from_first(lambda: initial_of(self.settings, begun))
        given = one_after_the_others(lambda: load_data(self.settings) if data is None else scorable(self.settings, data))
        inputs = choose_labels(self.settings, given)
        self._settle(inputs, began)
        identity = identity_of(self.settings, self.plain, inputs, self.initial)
        leaked, lines = from_first(lambda: check_data(self.settings, inputs))
        self._warn(lines)
        if done is not None:
            return self._finished(done, identity)
        assembly = assemble(self.settings, inputs, self.machine, self.initial)
        rehearse(self.settings, assembly, self.machine)
        trainer = self._trainer(assembly, identity)
        from_first(lambda: self._begin(inputs, trainer))
        known = made_with(self.settings, self.plain, identity, trainer, self.initial)
        known |= {"axes": self.axes} if self.axes else {}
        try:
            outcome = trainer.run()
        except DivergedError as error:
            if rank() == 0:
                self.folder.end({**known, "diverged": error.what})
            raise
        row = scored(known, self.settings, inputs, trainer, outcome, leaked)
        from_first(lambda: self._end(row, trainer, assembly, inputs))
        return row

    def _settle(self, inputs: Inputs, began: float) -> None:
        """Choose what these data and this machine decide, unless the run has begun with something."""
        if self.fresh or not self.folder.config.exists():
            self.settings = settled(self.settings, inputs, began, self._trial, lambda line: self._warn([line]), self.initial)
            self.plain = config.plain(self.settings)

    def _trial(self, settings: RunSettings, inputs: Inputs, folder: Path) -> Trainer:
        """A trainer to be timed, with the threads that the run will take."""
        parts = assemble(settings, inputs, self.machine, self.initial)
        rehearse(settings, parts, self.machine)
        here = settle(self.machine, parts, self.threads)
        return Trainer(parts.algorithm, parts.pipeline, parts.evaluator, settings, here, folder, quiet=True)

    def _finished(self, done: Row, identity: dict[str, str]) -> Row:
        lines = from_first(lambda: of_other_code(self.folder, done, identity, self.settings))
        if rank() == 0 and not self.quiet:
            self.say(f"this run is finished already ({self.folder}); `fresh=True` trains it anew")
        self._warn(lines)
        return done

    def _trainer(self, assembly: Assembly, identity: dict[str, str]) -> Trainer | Fitter:
        """What trains, as it begins or from the checkpoint."""
        state = None if self.fresh else from_first(self._state)
        asked = state["threads"] if state is not None and self.settings.threads == "auto" else self.threads
        here = settle(self.machine, assembly, from_first(lambda: asked))
        trainer = _driving(assembly, self.settings, here, self.folder.path, identity, self.quiet)
        trainer.warn = self.warn
        go_on(trainer, state)
        return trainer

    def _state(self) -> dict[str, Any] | None:
        state = Checkpoints(self.folder.path).load(self.machine.device if ranks() == 1 else torch.device("cpu"))
        return None if state is None else resume.checked(state, self.folder.path)

    def _begin(self, inputs: Inputs, trainer: Trainer | Fitter) -> None:
        """Write what the run is, now that whatever can be refused has been, and say it."""
        if self.fresh and self.in_place:
            self.folder.clear()
        elif self.fresh and (aside := self.folder.move_aside()) is not None:
            (self.warn if self.quiet else self.say)(f"the run that was in {self.folder} is now in {aside}")
        self.folder.begin(self.plain, inputs)
        keep(self.initial, self.folder)
        if not self.quiet:
            for line in beginning(self.settings, inputs, trainer, self.initial):
                self.say(line)
        self._warn([*of_no_effect(self.settings), *evened_twice(self.settings), *unsettled(self.settings, trainer)])
        self._warn(learnt_by_heart(self.initial, inputs.data))

    def _end(self, row: Row, trainer: Trainer | Fitter, assembly: Assembly, inputs: Inputs) -> None:
        state = trainer.reported_state()
        found = calibrate(*trainer.evaluator.held_out_logits(trainer.eval_net(), state), len(inputs.split.rows))
        with self.folder.writing():
            part = part_of(self.settings, trainer.eval_net(), inputs.data.images.shape[1:])
            write_model(self.folder.model, row, part, state, assembly.normalised, inputs.data, found, inputs.split.rows)
        self.folder.end(row)

    def _warn(self, lines: Iterable[str]) -> None:
        if rank() == 0:
            for line in lines:
                self.warn(line)


def _driving(
    parts: Assembly, settings: RunSettings, here: Machine, folder: Path, identity: dict[str, str] | None, quiet: bool
) -> Trainer | Fitter:
    """What drives a method: a trainer, or a fitter where it has no steps."""
    kind: Any = Fitter if isinstance(parts.algorithm, Baseline) else Trainer
    return kind(parts.algorithm, parts.pipeline, parts.evaluator, settings, here, folder, identity, quiet)


def trainer_of(settings: RunSettings, inputs: Inputs, folder: Path, identity: dict[str, str] | None = None) -> Trainer | Fitter:
    """Return a trainer that begins anew, on the machine of the settings, with threads as they are.

    Nothing is written yet.

    Args:
        settings: Of the run.
        inputs: Its data.
        folder: Where it will write.
        identity: Of the run.
    """
    here = machine(own_device(settings.device), settings.precision)
    parts = assemble(settings, inputs, here, initial_of(settings, RunFolder(folder)))
    return _driving(parts, settings, here, folder, identity, quiet=True)


def go_on(trainer: Trainer | Fitter, state: dict[str, Any] | None) -> None:
    """Let a trainer go on from a checkpoint's state, if there is one, and note on what.

    Raises:
        InputError: The state is of another run.
    """
    if state is not None:
        differs = differing(state["identity"], trainer.identity)
        if differs and {*names_differing(state["identity"], trainer.identity)} <= {*CODE, "plugins"}:
            raise StaleError(f"{trainer.folder} holds a run with {differs}; use another folder, or `fresh=True` to train it anew")
        if differs:
            raise FolderError(f"{trainer.folder} holds a run with {differs}", f", or give {ANEW}")
        resume.put_back(trainer, state)
        trainer.checkpoints.step = state["step"]
    environment = {"torch": provenance.versions()["torch"], "device": trainer.machine.name}
    if not trainer.history or {**trainer.history[-1], "step": None} != {**environment, "step": None}:
        trainer.history.append({"step": trainer.start, **environment})
