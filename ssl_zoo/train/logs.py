"""What a run leaves behind while it goes on: `metrics.jsonl`, and TensorBoard scalars."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from ssl_zoo.errors import RunError


class RunLog:
    """Writes one line per log point to `metrics.jsonl` and the same numbers to TensorBoard.

    What was written after the checkpoint that a run goes on from is dropped, since those steps are done again: so neither holds a
    step twice. TensorBoard's files are made anew from what is kept.

    Args:
        folder: The run's folder.
        offset: Bytes of metrics.jsonl to keep: what stood there at the checkpoint.
        step: Of the checkpoint.

    Raises:
        RunError: metrics.jsonl is shorter than that.
        OSError: The folder cannot be written. Any method may raise it.
    """

    def __init__(self, folder: Path, offset: int = 0, step: int = 0):
        from torch.utils.tensorboard import SummaryWriter  # half a second to import, and of no use to --list and --help

        path, events = folder / "metrics.jsonl", folder / "tensorboard"
        self._file = path.open("ab+")
        if self._file.tell() < offset:
            raise RunError(f"{path} is shorter than at the checkpoint at step {step}; it was changed by hand: use another --out")
        self._file.truncate(offset)
        for old in events.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(events))
        self._file.seek(0)
        for line in self._file:
            entry = json.loads(line)
            self._show(entry.pop("step"), entry)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log numbers after `step` updates. Names are TensorBoard tags, such as `loss/total`. What is not finite is null."""
        entry = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        self._file.write(json.dumps({"step": step, **entry}).encode() + b"\n")
        self._show(step, entry)

    def _show(self, step: int, entry: Mapping[str, float | None]) -> None:
        for name, number in entry.items():
            if number is not None:
                self._writer.add_scalar(name, number, step)

    def flush(self) -> int:
        """Push everything to the disk; returns the length of metrics.jsonl in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())  # a checkpoint that says how long it is may not be on the disk before it
        self._writer.flush()
        return self._file.tell()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._writer.close()
