"""Processes that decode tiny images, with which threads gain nothing: of each, most time is Python's, under its lock.

They are plain children that read from a pipe: a script needs no `if __name__ == "__main__"` for them, they load no
torch, and they end when this process does, however it ends. What they cannot do without a doubt they give back.
"""

import os
import pickle
import queue
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo.data.image import Decoded, decode

_START = """
import sys, types
place, *sys.path = sys.argv[1:]
for name, below in (("ssl_zoo", ""), ("ssl_zoo.data", "/data")):  # without what they import for their names: torch
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place + below]
from ssl_zoo.data.workers import serve
serve()
"""
_ALONE: dict[str, Any] = (  # Ctrl-C is this process's to handle
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {"process_group": 0}
)


class Workers:
    """Processes, each of which does one task at a time. Where none can be started, all tasks come back.

    Args:
        count: How many.
        how: What `decode` is given beside the content.
    """

    def __init__(self, count: int, how: tuple[Any, ...]):
        self._all: list[subprocess.Popen] = []
        self._free: queue.SimpleQueue[subprocess.Popen | None] = queue.SimpleQueue()
        self._how = how
        for _ in range(count):
            self._free.put(self._started())

    def decode(self, contents: list[bytes]) -> list[Decoded | None]:
        """Return the images of files' contents; None: for the caller to decode, who sees the error or warning."""
        worker, found = self._free.get(), [None] * len(contents)
        try:
            if worker is not None:
                pickle.dump((contents, self._how), worker.stdin, pickle.HIGHEST_PROTOCOL)  # type: ignore[arg-type]
                worker.stdin.flush()  # type: ignore[union-attr]
                found = pickle.load(worker.stdout)  # type: ignore[arg-type]
        except BaseException as error:  # it was killed, or has no memory: what it still answers is nobody's
            worker.kill()  # type: ignore[union-attr]
            worker = None
            if not isinstance(error, Exception):
                raise
        finally:
            self._free.put(worker)
        return [one and Decoded(np.frombuffer(one[0], np.uint8).reshape(one[1]), *one[2:]) for one in found]

    def close(self) -> None:
        """End them."""
        for worker in self._all:
            worker.kill()
            worker.communicate()

    def _started(self) -> subprocess.Popen | None:
        if not sys.executable or getattr(sys, "frozen", False):  # there is no Python to start
            return None
        words = [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[1]), *sys.path]
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            worker = subprocess.Popen(words, env={**os.environ, **one}, **pipes, **_ALONE)
        except OSError:
            return None
        self._all.append(worker)
        return worker


def serve() -> None:
    """Decode what comes through standard input until it ends. This is what such a process does."""
    tasks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    warned: list[Any] = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda *message, **more: warned.append(message)

    def tried(content: bytes, how: tuple[Any, ...]) -> tuple[Any, ...] | None:
        warned.clear()
        try:
            pixels, *seen = decode(content, *how)
        except ValueError:
            return None
        return None if warned else (pixels.tobytes(), pixels.shape, *seen)

    try:
        while True:
            contents, how = pickle.load(tasks)
            pickle.dump([tried(content, how) for content in contents], answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):  # nobody asks any more
        os._exit(0)
