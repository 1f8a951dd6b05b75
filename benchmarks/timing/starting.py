"""What starting costs: a default run, from the command to its end, and what is loaded."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .turns import interleaved, spread

HERE = Path(__file__).parent.parent  # of the scripts


def default_run(device: str) -> dict[str, Any]:
    """The run that is made where nothing is said, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "run.py"), "--device", device, "--out", f"{folder}/run"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall = time.perf_counter() - began
        row = json.loads(Path(folder, "run/result.json").read_text())
    return {"wall": wall, "seconds": row["seconds"], "accuracy": row["accuracy"], "peak_memory": row["peak_memory"]}


STARTS = {
    "import torch": ["-c", "import torch"],
    "import ssl_zoo": ["-c", "import ssl_zoo"],
    "run.py --list": [str(HERE / "run.py"), "--list"],
    "run.py --help": [str(HERE / "run.py"), "--help"],
}


def starts(rounds: int) -> dict[str, Any]:
    """Seconds to start, in turns."""

    def call(words: list[str]) -> Callable[[], None]:
        return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True) and None

    with tqdm(total=(rounds + 1) * len(STARTS), desc="starts", disable=None) as bar:
        contenders = {name: call(words) for name, words in STARTS.items()}
        found = interleaved(contenders, rounds, 1, torch.device("cpu"), bar)
    return {name: spread(seconds) for name, seconds in found.items()}
