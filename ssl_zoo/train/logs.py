"""What a run leaves behind while it goes on: `metrics.jsonl`, and TensorBoard scalars."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_zoo.errors import RunError, one_line

METRICS, EVENTS = "metrics.jsonl", "tensorboard"  # in a run's folder; the second is a folder

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

    def close(self) -> None:
        """Nothing."""


class RunLog:
    """Writes one line per log point to `metrics.jsonl` and the same numbers to TensorBoard.

    What was written after the checkpoint that a run goes on from is dropped, since those steps are done again: so
    neither holds a step twice. TensorBoard's files are made anew from what is kept.

    Args:
        folder: The run's folder.
        offset: Bytes of metrics.jsonl to keep: what stood there at the checkpoint.
        step: Of the checkpoint.

    Raises:
        RunError: metrics.jsonl is shorter than that.
        OSError: The folder cannot be written. Any method may raise it.
    """

    def __init__(self, folder: Path, offset: int = 0, step: int = 0):
        from tensorboard.compat.proto.event_pb2 import Event  # of no use to --list and --help
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        path, events = folder / METRICS, folder / EVENTS
        self._file = path.open("ab+")
        if self._file.tell() < offset:
            raise RunError(f"{path} is shorter than at the checkpoint at step {step}; {BY_HAND}")
        self._file.truncate(offset)
        for old in events.glob("events.out.tfevents.*"):
            old.unlink()
        events.mkdir(exist_ok=True)
        # Not torch's SummaryWriter, whose thread prints what the disk refuses and goes on.
        self._events = (events / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}").open("wb")
        self._writer = RecordWriter(self._events)
        self._add(file_version="brain.Event:2")
        self._file.seek(0)
        for line in self._file:
            try:
                entry = json.loads(line)
                self._show(entry.pop("step"), entry)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise RunError(f"{path} has a line that no run has written; {BY_HAND}") from error

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log numbers after `step` updates. Names are TensorBoard tags, such as `loss/total`.

        What is not finite is null.
        """
        entry = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        self._file.write(json.dumps({"step": step, **entry}).encode() + b"\n")
        self._show(step, entry)

    def _show(self, step: int, entry: Mapping[str, float | None]) -> None:
        for name, number in entry.items():
            if number is not None:
                value = self._summary.Value(tag=one_line(name), simple_value=number)
                self._add(step=step, summary=self._summary(value=[value]))

    def _add(self, **content: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> int:
        """Push everything to the disk; returns the length of metrics.jsonl in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())  # a checkpoint that says how long it is may not be on the disk before it
        self._writer.flush()
        return self._file.tell()

    def close(self) -> None:
        """Flush and close."""
        try:
            self._file.close()
        finally:
            self._writer.close()
