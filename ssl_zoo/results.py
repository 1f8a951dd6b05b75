"""One finished run -> one row: what was run, on what, and how it scored."""

import functools
import hashlib
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import files
from ssl_zoo.errors import InputError

ROW = (  # what every row of a results file has
    "algorithm",
    "net",
    "dataset",
    "labels",
    "seed",
    "split_seed",
    "split_hash",
    "data_hash",
    "steps",
    "accuracy",
    "accuracy_student",
    "error_rate",
    "balanced_accuracy",
    "macro_f1",
    "confusion",
    "evaluations",
    "precision",
    "seconds",
    "images_per_second",
    "device",
    "versions",
    "commit",
    "config",
)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what a number can depend on."""
    packages = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
    import ssl_zoo

    return {"ssl_zoo": ssl_zoo.__version__, "python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }


def commit() -> str | None:
    """The commit of the checkout that holds this package, with `-dirty` where tracked files were changed; None outside one."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:  # installed inside somebody else's repository
        return None
    revision = git("rev-parse", "HEAD")
    return f"{revision}-dirty" if git("status", "--porcelain", "--untracked-files=no") else revision


def device_name(device: Any) -> str:
    """What the device is, in words: the GPU's name, or the processor's with the threads used."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory(device: Any) -> int | None:
    """The most bytes that torch held on a GPU, or this process in memory; None where the system does not say."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def headline(evaluations: Sequence[Mapping[str, float]], last_k: int, chosen: int = -1) -> dict[str, float]:
    """The reported scores: those of one evaluation; the median of the last k beside them; the best on the test set marked.

    Args:
        evaluations: In order.
        last_k: Of how many last evaluations to take the median.
        chosen: Which one is reported; the last, or one that was chosen by validation images. Never by test images.
    """
    scores = {name: value for name, value in evaluations[chosen].items() if name != "step"}
    return {
        **scores,
        "selected_step": int(evaluations[chosen]["step"]),
        "error_rate": 1 - scores["accuracy"],
        "accuracy_median": statistics.median(e["accuracy"] for e in evaluations[-last_k:]),
        "accuracy_median_of": min(last_k, len(evaluations)),
        "accuracy_oracle": max(e["accuracy"] for e in evaluations),  # chosen on the test set: never a headline
    }


def write_json(path: Path, row: Mapping[str, Any]) -> None:
    """Write a mapping, as a whole or not at all."""
    files.replace_text(path, json.dumps(row, indent=1) + "\n")


def read_rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of finished runs, from run folders (every result.json below them) and from files with a row per line.

    Raises:
        InputError: Nothing there, or something that is not a row.
    """
    return [_row(text, where) for path in paths for text, where in _texts(path)]


def read_sound_rows(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """As `read_rows`, but rows that cannot be read are named in the second part, and the others are used.

    Raises:
        InputError: Nothing can be used.
    """
    rows, problems = [], []
    for path in paths:
        for text, where in _texts(path):
            try:
                rows.append(_row(text, where))
            except InputError as error:
                problems.append(str(error))
    if not rows:
        raise InputError(problems[0] if problems else "no finished run is there")
    return rows, problems


def recipe_hash(settings: Mapping[str, Any]) -> str:
    """12 hex digits over settings, so that a result names the recipe that made it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """The text of every row at a path, with where it stands."""
    found = sorted(path.rglob("result.json")) if path.is_dir() else [path]
    if not found or not path.exists():
        raise InputError(f"{path} holds no finished run; give a run's folder, a folder of them, or a .jsonl file of rows")
    for file in found:
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".jsonl":
            yield from ((line, f"{file}:{number}") for number, line in enumerate(text.splitlines(), start=1))
        else:
            yield text, str(file)


def _row(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON ({error}); remove it or run it again") from error
    missing = [name for name in ROW if not isinstance(row, dict) or name not in row]
    if missing:
        raise InputError(f"{where} is not the row of a run: it lacks {', '.join(missing)}")
    return row
