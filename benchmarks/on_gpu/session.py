"""A session on a machine with a GPU: its clock, its results as they come, and what is known already."""

import argparse
import json
import os
import re
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ssl_zoo import provenance
from ssl_zoo.device import device_name

HERE = Path(__file__).parent.parent / "results/gpu"  # what is known
END = 5.0  # seconds kept for the end
SLACK = 0.01  # of the time, kept too: a process that is ended takes its while


def plain(name: str) -> str:
    """A device's name without the threads of a processor."""
    return re.sub(r", \d+ threads$", "", name)


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file at once, whatever other processes add to it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, f"{json.dumps(row)}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


class Session:
    """What all pieces share.

    Args:
        flags: Of gpu.py.
        device: Where.
        folder: For what is not worth keeping.
    """

    def __init__(self, flags: argparse.Namespace, device: torch.device, folder: Path):
        self.minutes, self.small, self.again, self.seed, self.out = flags.minutes, flags.small, flags.again, flags.seed, flags.out
        seconds = 60 * self.minutes
        self._end = flags.began + seconds - min(END, 0.2 * seconds) - SLACK * seconds
        self._began = flags.began
        self.kind, self.device = device.type, plain(device_name(device))
        self.work, self.logs = folder, folder / f"logs-{os.getpid()}"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.there: list[str] = []
        self.waits: list[str] = []
        self.bad: list[str] = []

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._end - time.monotonic())

    @property
    def known(self) -> dict[str, Any]:
        """What every row says of where it is from."""
        versions = {"torch": provenance.versions()["torch"], "commit": provenance.commit()}
        return {"device": self.device, "small": self.small, **versions}

    def say(self, line: str) -> None:
        """Print a line, and keep it."""
        print(line, flush=True)
        with (self.out / "gpu.txt").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def rows(self, file: str) -> list[dict[str, Any]]:
        """Rows of a file of this device, from here and from what is known; none if all is to be made again."""
        if self.again:
            return []
        found = []
        for path in dict.fromkeys((HERE / file, self.out / file)):
            for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                try:
                    row = json.loads(line)
                except ValueError:  # a line that was cut short
                    continue
                if plain(str(row.get("device"))) == self.device:
                    found.append(row)
        return found

    def has(self, what: str, made: Any) -> bool:
        """Say so where something is there already."""
        if made:
            self.say(f"{what}: is there already; --again makes it anew")
            self.there.append(what)
        return bool(made)

    def room(self, what: str, least: float) -> bool:
        """Whether so many seconds are left; otherwise say that it is left out."""
        if self.left >= least:
            return True
        self.wait(what, f"left out: it takes {least:.0f} s at least, and {self.left:.0f} s are left")
        return False

    def wait(self, what: str, why: str) -> None:
        """Note what was not made."""
        self.say(f"{what}: {why}")
        self.waits.append(what)

    def failed(self, what: str, why: str) -> None:
        """Note what went wrong."""
        self.say(f"{what}: FAILED: {why}")
        self.bad.append(what)

    def made(self, what: str, said: str) -> None:
        """Note what is there now."""
        self.say(f"{what}: {said}")
        self.there.append(what)

    def keep_logs(self) -> None:
        """Pack what processes printed."""
        with tarfile.open(self.out / "logs.tar.gz.partial", "w:gz") as file:
            file.add(self.logs, "logs")
        (self.out / "logs.tar.gz.partial").replace(self.out / "logs.tar.gz")

    def close(self) -> int:
        """Say what is there and what waits. Returns the exit status."""
        self.keep_logs()
        seconds = time.monotonic() - self._began
        self.say(f"after {seconds:.0f} s of {60 * self.minutes:.0f}: {_counted('there', self.there)}")
        if self.waits:
            self.say(_counted("waits", self.waits))
        if self.bad:
            self.say(_counted("FAILED", self.bad))
        return 1 if self.bad else 0


def _counted(word: str, names: list[str]) -> str:
    return f"{word} ({len(names)}): {', '.join(names) or 'nothing'}"


Piece = Callable[[Session], None]
