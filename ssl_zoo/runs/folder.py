"""A run's folder: the name of every file in it, who may write there, and what may not be written over."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssl_zoo import config, files, recipes
from ssl_zoo.data.split_file import write_split
from ssl_zoo.errors import ANEW, BusyError, FolderError, InputError, RunError, one_line
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.row import LOST, OLD, RESULT, LostRow, Row, is_lost, read_all_rows, write_json
from ssl_zoo.settings import NO_OTHER_RUN
from ssl_zoo.train.checkpoint import LAST, PREVIOUS
from ssl_zoo.train.loggers import EVENTS, LOGGED, METRICS, forget

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
        self.initial = self.path / "initial.safetensors"  # a copy of the trained net that it began from
        self.metrics, self.left_out = self.path / METRICS, self.path / "left_out.txt"  # files that were not read, and why
        self._held = contextlib.ExitStack()  # while it is locked
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
        with contextlib.ExitStack() as self._held:
            self._lock()
            yield

    def _lock(self) -> None:
        place = self._place()
        there, made = self.lock.exists(), [folder for folder in (place, *place.parents) if not folder.exists()]
        try:
            place.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.lock)
            lock.acquire(blocking=False)
        except Timeout as error:
            raise BusyError(f"another process is at work on {self}; wait for it, or choose another folder") from error
        except NotImplementedError as error:
            raise FolderError(f"the file system of {self} has no locks, which keep two processes apart") from error
        except OSError as error:
            raise FolderError(f"{self} cannot be written ({error})") from error
        self._held.callback(self._unlock, lock, there, made)

    def _unlock(self, lock: Any, there: bool, made: Sequence[Path]) -> None:
        refused = not there and not self.holds_a_run()  # before anything was written
        if refused:
            self.lock.unlink(missing_ok=True)  # while it is ours: a moment later it could be another's
        lock.release()
        if refused:
            for folder in made:
                with contextlib.suppress(OSError):  # somebody else has put something there
                    folder.rmdir()

    @contextlib.contextmanager
    def taken(self, plain: Mapping[str, Any], fresh: bool = False) -> Iterator[None]:
        """Keep the folder to this process, if it holds this run or nothing.

        Args:
            plain: The run's settings as mappings.
            fresh: Whether it may hold any run, which is to be moved aside.

        Raises:
            BusyError: As `locked`.
            FolderError: As `locked` and `refuse`.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._refuse_what_is_no_folder()
                stack.enter_context(self.locked())
                self.refuse(plain, fresh)
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

    def refuse(self, plain: Mapping[str, Any], fresh: bool = False) -> None:
        """Refuse a folder that holds something else.

        Args:
            plain: The run's settings as mappings.
            fresh: Whether it may hold any run, which is to be moved aside.

        Raises:
            FolderError: It holds a run with other settings, or one that cannot be moved, or is not a run's folder.
        """
        self._refuse_what_is_no_folder()
        if not self.holds_a_run():
            names = [path.name for path in self.path.iterdir()] if self.path.exists() else []
            if not all(name == LOCK or name.endswith(".partial") for name in names):  # left by a process before it wrote anything
                raise FolderError(f"{self} exists and is not the folder of a run")
            return
        if fresh:
            if self._place() in (Path.cwd(), *Path.cwd().parents):
                raise FolderError(f"{self} holds the folder you are in, and so it cannot be moved aside")
            return
        if differ := self._differing(plain):
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            raise FolderError(f"{self} holds a run with other settings ({', '.join(differ[:3])}{more})", f", or give {ANEW}")

    def holds_another_run(self, plain: Mapping[str, Any]) -> bool:
        """Return whether a run with other settings has begun there, or with some that cannot be read."""
        try:
            return self.holds_a_run() and bool(self._differing(plain))
        except InputError:
            return True

    def _differing(self, plain: Mapping[str, Any]) -> list[str]:
        """What makes it another run, setting by setting; one that has come since then is at its default there."""
        now = recipes.flatten(plain)
        kept = recipes.read_recipe(str(self.config))
        before = recipes.flatten(kept)
        if not {*now} <= {*before}:
            with contextlib.suppress(InputError):  # of a net or method that is not known any more
                before = recipes.flatten(config.plain(config.resolve(kept))) | before
        names = (key for key in sorted({*before, *now}) if before.get(key) != now.get(key) and key not in NO_OTHER_RUN)
        return [f"{key} {before.get(key, 'not')} there and {now.get(key, 'not')} here" for key in names]

    def _refuse_what_is_no_folder(self) -> None:
        file = next((place for place in (self.path, *self.path.parents) if place.exists() and not place.is_dir()), None)
        if file is not None:
            what = "not the folder of a run" if file == self.path else "a file, not a folder"
            raise FolderError(f"{file} exists and is {what}")

    # What is there

    def uses(self, name: str) -> bool:
        """Return whether a run has something of this name there, sooner or later."""
        own = (self.lock, self.config, self.split, self.result, self.lost, self.model, self.initial, self.metrics, self.left_out)
        return name.casefold() in (EVENTS, LOGGED, *(path.name for path in (*own, *self.checkpoints)))

    def holds_a_run(self) -> bool:
        """Return whether a run has begun there: other programs have a config.yaml too."""
        if not self.config.exists():
            return False
        try:
            return self.split.exists() or {"alg", "net", "dataset"} <= {*recipes.read_recipe(str(self.config))}
        except InputError:
            return False

    def _place(self) -> Path:
        """Where it is on the disk: of a link, what that leads to."""
        return Path(os.path.realpath(self.path))

    def next_aside(self) -> Path:
        """Return where the run that is there would be moved: the first that is free of NAME.old-1, NAME.old-2, ..."""
        place = self._place()
        numbered = (place.with_name(f"{place.name}{OLD}{number}") for number in itertools.count(1))
        return next(aside for aside in numbered if not os.path.lexists(aside))

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
        """Return what was not finite in a run that diverged: an outcome, as to try until it works would choose."""
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
            write_split(inputs.split, self.split, inputs.held_out, inputs.data)
            if inputs.data.skipped:
                files.replace_text(self.left_out, "".join(f"{one_line(line)}\n" for line in inputs.data.skipped))

    def end(self, row: Mapping[str, Any]) -> None:
        """Write how it ended: the last that a run writes.

        Raises:
            RunError: The folder cannot be written.
        """
        with self.writing():
            write_json(self.lost if is_lost(row) else self.result, row)

    def move_aside(self) -> Path | None:
        """Give the folder that is locked another name, as a whole, and lock a new one in its place.

        The old one's lock is kept too: a process that has just opened it is not to think the new one free.

        Returns:
            Where the run is now that was there; None where there was none.

        Raises:
            FolderError: It cannot be moved.
            BusyError: Another process was quicker to take its place.
        """
        if not self.holds_a_run():
            return None
        aside = self.next_aside()
        try:
            self._place().rename(aside)
            files.flush_folder(aside.parent)
        except OSError as error:
            raise FolderError(f"{self} cannot be moved aside ({error})") from error
        self._lock()
        return self.path.with_name(aside.name) if aside.name.startswith(f"{self.path.name}{OLD}") else aside

    def clear(self) -> None:
        """Remove what an earlier run left there, but for its settings.

        Raises:
            RunError: It cannot be removed.
        """
        with self.writing():
            for path in (self.result, self.lost, *self.checkpoints, self.model, self.initial, self.metrics):
                path.unlink(missing_ok=True)
            forget(self.path)

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
