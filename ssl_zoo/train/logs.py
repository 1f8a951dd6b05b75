"""What a run leaves behind while it goes on: `metrics.jsonl`, and what experiment loggers make of it."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Self

from ssl_zoo.errors import RunError
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.loggers import METRICS, open_loggers

BY_HAND = "it was changed by hand: use another folder, or begin anew with `fresh=True`"

_OTHERS = {"unlabeled_accuracy": "unlabeled/accuracy", "validation_accuracy": "validation/accuracy"}  # not on test images


def tag_of(score: str) -> str:
    """Return the name under which a score is logged, by the images that it is of."""
    return _OTHERS.get(score, f"test/{score}")


class NoLog:
    """In a process that writes nothing."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Nothing."""

    def flush(self) -> int:
        """Nothing."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing."""


class RunLog:
    """Writes one line per log point to `metrics.jsonl`, and gives the same numbers to the loggers of the run.

    What was written after the checkpoint that a run goes on from is dropped from metrics.jsonl, since those steps are
    done again: so it holds no step twice. Nor does a logger: some are made anew from what is kept, and others, which
    have these steps already, go on after them.

    Args:
        folder: The run's folder.
        offset: Bytes of metrics.jsonl to keep: what stood there at the checkpoint.
        step: Of the checkpoint.
        settings: Of the run, which name the loggers.

    Raises:
        RunError: metrics.jsonl is shorter than that.
        OSError: The folder cannot be written. Any method may raise it.
    """

    def __init__(self, folder: Path, offset: int = 0, step: int = 0, settings: RunSettings | None = None):
        path = folder / METRICS
        self._file = path.open("ab+")
        if self._file.tell() < offset:
            raise RunError(f"{path} is shorter than at the checkpoint at step {step}; {BY_HAND}")
        self._again = _lines(self._file, offset)  # that are to be written again, and that a logger has
        self._file.truncate(offset)
        self._loggers = open_loggers(folder, settings or RunSettings())
        self._file.seek(0)
        for line in self._file:
            try:
                entry = json.loads(line)
                self._show(entry.pop("step"), entry, again=True)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise RunError(f"{path} has a line that no run has written; {BY_HAND}") from error

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log numbers after `step` updates. Names are TensorBoard tags, such as `loss/total`.

        What is not finite is null.
        """
        entry = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        self._file.write(json.dumps({"step": step, **entry}).encode() + b"\n")
        self._file.flush()  # before a logger has it: of a run that is killed, the file tells what that one knows
        self._show(step, entry, again=self._again > 0)
        self._again -= 1

    def _show(self, step: int, entry: Mapping[str, float | None], again: bool) -> None:
        finite = {name: number for name, number in entry.items() if number is not None}
        for logger in self._loggers:
            if logger.wants_all or not again:
                logger.write(step, finite)

    def flush(self) -> int:
        """Push everything to the disk; returns the length of metrics.jsonl in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())  # a checkpoint that says how long it is may not be on the disk before it
        for logger in self._loggers:
            logger.flush()
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(finished=kind is None)

    def close(self, finished: bool = True) -> None:
        """Flush and close, and tell the loggers whether the run is done, or was ended before."""
        with contextlib.ExitStack() as stack:
            for logger in self._loggers:
                stack.callback(logger.close, finished)
            self._file.close()


def _lines(file: BinaryIO, offset: int) -> int:
    """How many whole lines metrics.jsonl has after so many bytes."""
    file.seek(offset)
    return sum(line.endswith(b"\n") for line in file)
