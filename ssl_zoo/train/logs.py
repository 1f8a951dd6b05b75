"""What a run leaves behind while it goes on: `metrics.jsonl`, and TensorBoard scalars."""

import json
from collections.abc import Mapping
from pathlib import Path

from ssl_zoo.errors import RunError


class RunLog:
    """Writes one line per log point to `metrics.jsonl` and the same numbers to TensorBoard.

    Args:
        folder: The run's folder.
        offset: Bytes of metrics.jsonl to keep: what stood there at the checkpoint that the run goes on from. What was
            written after it is dropped, since those steps are done again.
        step: The step that the run goes on from.
    """

    def __init__(self, folder: Path, offset: int = 0, step: int = 0):
        from torch.utils.tensorboard import SummaryWriter  # half a second to import, and of no use to --list and --help

        self._path = folder / "metrics.jsonl"
        self._file = self._path.open("ab")
        if self._file.tell() < offset:
            raise RunError(
                f"{self._path} is shorter than at the checkpoint at step {step}; it was changed by hand: use another --out"
            )
        self._file.truncate(offset)
        self._file.seek(offset)
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log numbers after `step` updates. Names are TensorBoard tags, such as `loss/total`."""
        self._file.write(json.dumps({"step": step, **numbers}).encode() + b"\n")
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)

    def flush(self) -> int:
        """Push everything to the disk; returns the length of metrics.jsonl in bytes."""
        self._file.flush()
        self._writer.flush()
        return self._file.tell()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._writer.close()
