"""A run's folder: the name of every file in it, who may write there, and what may not be written over."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssl_zoo import config, files, recipes
from ssl_zoo.data.splits import write_split
from ssl_zoo.errors import BusyError, FolderError, InputError, RunError, one_line
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.row import LOST, RESULT, LostRow, Row, is_lost, read_all_rows, write_json
from ssl_zoo.settings import NO_OTHER_RUN, RunSettings
from ssl_zoo.train.checkpoint import LAST, PREVIOUS
from ssl_zoo.train.logs import METRICS

LOCK = ".lock"  # of the process that is at work there


class RunFolder:
    """Where one run is, whether it has begun, goes on, or has ended.

    Args:
        path: The folder; need not exist.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.lock, self.config, self.split = self.path / LOCK, self.path / "config.yaml", self.path / "split.json"
        self.result, self.lost, self.model = self.path / RESULT, self.path / LOST, self.path / "model.safetensors"
        self.metrics, self.left_out = self.path / METRICS, self.path / "left_out.txt"  # files that were not read, and why
        self.checkpoints = (self.path / LAST, self.path / PREVIOUS)

    def __str__(self) -> str:
        return str(self.path)

    # Who is at work there

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder to this process.

        The lock is the operating system's, so a process that dies leaves none behind.

        Raises:
            BusyError: Another process has it.
            FolderError: It cannot be a folder, or not be locked.
        """
        there, made = self.lock.exists(), [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.lock)
            lock.acquire(blocking=False)
        except Timeout as error:
            raise BusyError(f"another process is at work on {self}; wait for it, or choose another folder") from error
        except NotImplementedError as error:
            raise FolderError(f"the file system of {self} has no locks, which keep two processes apart") from error
        except OSError as error:
            raise FolderError(f"{self} cannot be written ({error})") from error
        try:
            yield
        finally:
            refused = not there and not self.config.exists()  # before anything was written
            if refused:
                self.lock.unlink(missing_ok=True)  # while it is ours: a moment later it could be another's
            lock.release()
            if refused:
                for folder in made:
                    with contextlib.suppress(OSError):  # somebody else has put something there
                        folder.rmdir()

    @contextlib.contextmanager
    def taken(self, plain: Mapping[str, Any]) -> Iterator[None]:
        """Keep the folder to this process, if it holds this run or nothing.

        Args:
            plain: The run's settings as mappings.

        Raises:
            BusyError: As `locked`.
            FolderError: As `locked` and `refuse`.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._refuse_what_is_no_folder()
                stack.enter_context(self.locked())
                self.refuse(plain)
            except OSError as error:  # a path that no folder can have, or that nobody may look at
                raise FolderError(f"{self} cannot be used ({error.strerror or error})") from error
            yield

    def is_locked(self) -> bool:
        """Return whether another process is at work there, at this moment."""
        if not self.lock.exists():
            return False
        try:
            with FileLock(self.lock, blocking=False):
                return False
        except Timeout:
            return True

    # What may not be written over

    def refuse(self, plain: Mapping[str, Any]) -> None:
        """Refuse a folder that holds something else.

        Args:
            plain: The run's settings as mappings.

        Raises:
            FolderError: It holds a run with other settings, or is not a run's folder.
        """
        self._refuse_what_is_no_folder()
        if not self.config.exists():
            if self.path.exists() and not all(_of_nothing(path) for path in self.path.iterdir()):
                raise FolderError(f"{self} exists and is not the folder of a run")
            return
        now = recipes.flatten(plain)
        before = self._settings_before(now)
        differ = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key) and key not in NO_OTHER_RUN]
        if differ:
            shown = ", ".join(f"{key} {before.get(key, 'not')} there and {now.get(key, 'not')} here" for key in differ[:3])
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            raise FolderError(f"{self} holds a run with other settings ({shown}{more})", ", or remove this one")

    def as_begun(self, settings: RunSettings) -> RunSettings:
        """Return settings with what the run has settled when it began: steps of so many minutes or epochs, auto's values."""
        if not self.config.exists():
            return settings
        before = recipes.flatten(recipes.read_recipe(str(self.config)))
        length = (settings.minutes, settings.epochs)
        if length != (None, None) and (before.get("minutes"), before.get("epochs")) == length:
            every = dataclasses.replace(settings.evaluation, every=before["evaluation.every"])
            settings = dataclasses.replace(settings, steps=before["steps"], evaluation=every)
        own = f"nets.{settings.net}."
        options = settings.nets[settings.net]
        options = {name: before.get(own + name, value) if value == "auto" else value for name, value in options.items()}
        return dataclasses.replace(settings, nets={**settings.nets, settings.net: options})

    def _settings_before(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the run in the folder, flat; one that has come since then stands at its default."""
        kept = recipes.read_recipe(str(self.config))
        before = recipes.flatten(kept)
        if {*now} <= {*before}:
            return before
        try:
            return recipes.flatten(config.plain(config.resolve(kept))) | before
        except InputError:  # of a net or method that is not known any more
            return before

    def _refuse_what_is_no_folder(self) -> None:
        if any(place.exists() and not place.is_dir() for place in (self.path, *self.path.parents)):
            raise FolderError(f"{self} exists and is not the folder of a run")

    # What is there

    def outcome(self) -> Row | LostRow | None:
        """Return the row of a run that finished or diverged; None while there is none.

        Raises:
            InputError: What is there is no row.
        """
        path = next((path for path in (self.result, self.lost) if path.exists()), None)
        return None if path is None else read_all_rows([path])[0]

    def row(self) -> Row | None:
        """Return the row of a run that finished; None while there is none."""
        row = self.outcome()
        return None if row is None or is_lost(row) else row  # type: ignore[return-value]

    def diverged(self) -> str | None:
        """Return what was not finite in a run that diverged.

        That is an outcome: to try until it gets through would choose.
        """
        row = self.outcome()
        return row["diverged"] if row is not None and is_lost(row) else None  # type: ignore[typeddict-item]

    def progress(self) -> tuple[int, float | None]:
        """Return the last step that was logged, and the last accuracy."""
        step, accuracy = 0, None
        if self.metrics.exists():
            with self.metrics.open("rb") as file:
                cut = file.seek(max(0, self.metrics.stat().st_size - 20_000)) > 0
                lines = file.read().splitlines()
            for line in lines[cut:]:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:  # being written
                    continue
                step, accuracy = entry["step"], entry.get("test/accuracy", accuracy)
        return step, accuracy

    # What is written

    def begin(self, plain: Mapping[str, Any], inputs: Inputs) -> None:
        """Write what the run is, once whatever can be refused has been.

        Args:
            plain: The run's settings as mappings.
            inputs: Its data.

        Raises:
            RunError: The folder cannot be written.
        """
        with self.writing():
            self.lost.unlink(missing_ok=True)  # it is tried again
            files.replace_text(self.config, recipes.dump_mapping(plain))
            write_split(inputs.split, self.split, inputs.held_out)
            if inputs.data.skipped:
                files.replace_text(self.left_out, "".join(f"{one_line(line)}\n" for line in inputs.data.skipped))

    def end(self, row: Mapping[str, Any]) -> None:
        """Write how it ended: the last that a run writes.

        Raises:
            RunError: The folder cannot be written.
        """
        with self.writing():
            write_json(self.lost if is_lost(row) else self.result, row)

    def clear(self) -> None:
        """Remove what an earlier run left there, but for its settings.

        Raises:
            RunError: It cannot be removed.
        """
        with self.writing():
            for path in (self.result, self.lost, *self.checkpoints, self.model, self.metrics):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Say what it means that a file cannot be written.

        Raises:
            RunError: In place of an OSError.
        """
        try:
            yield
        except OSError as error:
            raise RunError(f"{self} cannot be written ({error}); the same call goes on when it can") from error


def _of_nothing(path: Path) -> bool:
    """Whether a file is what a process leaves that was killed before it had written anything."""
    return path.name == LOCK or path.name.endswith(".partial")
