"""Checkpoints: the last two, each written as a whole by a thread while the run goes on, and checked when it is read."""

import hashlib
import json
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ssl_zoo import files
from ssl_zoo.errors import InputError

LAST, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"
_DIGEST = "digest"


class Checkpoints:
    """The last two states of a run, in its folder.

    A file holds tensors and plain values and a digest of them, and is read with `weights_only=True`: it cannot run
    code, whoever made it, and one that was cut short or changed is noticed.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.step = 0  # of the last good one; 0: there is none
        self._damaged = False  # the last one: it is not worth keeping beside the next
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[int] | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Copy a state, and let the thread write it. Waits for the state before, if that is still being written.

        On a GPU the copies are queued behind what the device has to do, and nothing waits for them but the thread.

        Args:
            state: Tensors, plain values, and mappings and sequences of them, with the step as "step".

        Raises:
            OSError: The state before could not be written; the one before that is intact.
        """
        self.wait()
        copy = _copied(state)
        copied = torch.cuda.current_stream().record_event() if _on_gpu(state) else None
        self._pending = self._thread.submit(self._write, copy, copied)

    def wait(self) -> None:
        """Until everything is on the disk.

        Raises:
            OSError: It could not be written; the checkpoint before is intact.
        """
        if self._pending is None:
            return
        try:
            self.step = self._pending.result()
        finally:
            if self._pending.done():  # not where a signal ends the waiting: whoever waits next waits for the same
                self._pending = None

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last good state, with its tensors on a device; None where there are no files.

        Raises:
            InputError: There are files, and none can be used.
        """
        damaged: list[str] = []
        for path in (self.folder / LAST, self.folder / PREVIOUS):
            if not path.exists():
                continue
            try:
                state = _read(path, device)
            except Exception as error:  # a damaged file can fail anywhere in the unpickler
                damaged.append(f"{path}: {' '.join(str(error).split())[:200]}")
                continue
            for reason in damaged:
                warnings.warn(
                    f"a checkpoint is damaged and the one before it, of step {state['step']}, is used: {reason}", stacklevel=2
                )
            self.step, self._damaged = state["step"], bool(damaged)
            return state
        if damaged:
            found = "; ".join(damaged)
            raise InputError(f"no checkpoint can be used ({found}); begin anew with `fresh=True`, or use another folder")
        return None

    def _write(self, state: dict[str, Any], copied: torch.cuda.Event | None) -> int:
        if copied is not None:
            copied.synchronize()
        whole = state | {_DIGEST: _digest(state)}
        keep = None if self._damaged else self.folder / PREVIOUS
        files.replace(self.folder / LAST, lambda file: _dump(whole, file), keep=keep)
        self._damaged = False
        return state["step"]


def _dump(state: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:  # of its own, in place of what the file raised
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}")
    kept = state.pop(_DIGEST, None)
    if kept is None or kept != _digest(state):
        raise ValueError("its content is not what its digest says" if kept else "it has no digest")
    return _moved(state, device)


def _digest(state: Any) -> str:
    """A hash over every tensor's bits, type and shape, and over every plain value."""
    found = hashlib.blake2b(digest_size=16)

    def walk(value: Any) -> None:
        if isinstance(value, Tensor):
            found.update(f"{value.dtype}{tuple(value.shape)}".encode())
            found.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        elif isinstance(value, dict):
            for name, part in value.items():
                found.update(f"{name!r}:".encode())
                walk(part)
            found.update(b"}")
        elif isinstance(value, list | tuple):
            for part in value:
                walk(part)
            found.update(b"]")
        else:
            found.update(json.dumps(value).encode() + b",")

    walk(state)
    return found.hexdigest()


def _copied(value: Any) -> Any:
    """The same with tensors copied to the host, from a GPU without waiting for it."""
    if isinstance(value, Tensor):
        if not value.is_cuda:
            return value.detach().clone()
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value.detach(), non_blocking=True)
    return _mapped(value, _copied)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else _mapped(value, lambda part: _moved(part, device))


def _on_gpu(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_cuda
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(map(_on_gpu, parts))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {name: change(part) for name, part in value.items()}
    return type(value)(change(part) for part in value) if isinstance(value, list | tuple) else value
