"""One finished run -> one row: what was run, on what, and how it scored. Of a run that diverged: that it did."""

import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import files
from ssl_zoo.errors import InputError
from ssl_zoo.registry import near_miss

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(low: float = -math.inf, high: float = math.inf) -> Check:
    return lambda value: type(value) in (int, float) and low <= value <= high and abs(value) < 1e300  # a NaN fails


def _whole(low: int = 0) -> Check:
    return lambda value: type(value) is int and low <= value < 1 << 63


def _or(check: Check, *others: Any) -> Check:
    return lambda value: any(value is other or (isinstance(other, str) and value == other) for other in others) or check(value)


def _texts_only(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _versions(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values())) and {"ssl_zoo", "torch", "python"} <= {*value}


def _confusion(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(line, list) and len(line) == len(value) for line in value)
        and all(type(count) is int and 0 <= count < 1 << 53 for line in value for count in line)
    )


def _evaluations(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(point, dict) and _step(point.get("step")) and _share(point.get("accuracy")) for point in value)
        and all(_share(score) for point in value for name, score in point.items() if name != "step")
    )


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and _step(value.get("step")) and all(map(_number(), value.values()))


def _config(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("algorithms"), dict)


_share, _seconds, _step = _number(0, 1), _number(0), _whole(1)
ROW: dict[str, Check] = {  # what every row of a results file has, and which values it may have
    "algorithm": _text,
    "net": _text,
    "dataset": _text,
    "labels": _or(_whole(1), "all"),
    "seed": _whole(-(1 << 63)),
    "split_seed": _whole(-(1 << 63)),
    "split_hash": _text,
    "data_hash": _text,
    "steps": _step,
    "accuracy": _share,
    "accuracy_student": _share,
    "accuracy_median": _share,
    "accuracy_median_of": _whole(1),
    "accuracy_oracle": _share,
    "error_rate": _share,
    "balanced_accuracy": _share,
    "macro_f1": _share,
    "confusion": _confusion,
    "evaluations": _evaluations,
    "precision": _text,
    "images_seen": _whole(),
    "seconds": _seconds,
    "images_per_second": _seconds,
    "device": _text,
    "versions": _versions,
    "commit": _or(_text, None),
    "config": _config,
}
RESULT, LOST = "result.json", "diverged.json"  # files of a run's folder, each with one row
OF_LOST: dict[str, Check] = {  # what the row of a run that diverged has
    name: ROW[name]
    for name in (
        *("algorithm", "net", "dataset", "labels", "seed", "split_seed", "split_hash", "data_hash", "steps"),
        *("precision", "device", "versions", "commit", "config"),
    )
} | {"diverged": _text}  # of what was not finite, and since when
MORE: dict[str, Check] = {  # what it may have besides; some are younger than the first results, some are not always known
    "above": _or(_text, None),  # this, change, mechanism, rung, scale and set: of a ladder
    "change": _text,
    "mechanism": lambda value: isinstance(value, list) and all(_numbers(point) for point in value),
    "rung": _text,
    "scale": _number(0),
    "set": _texts_only,
    "calibration_error": _share,
    "classes": _texts_only,
    "code": _text,
    "history": lambda value: isinstance(value, list) and all(isinstance(part, dict) for part in value),
    "labeled_in_unlabeled": lambda value: isinstance(value, bool),
    "leaked_test_images": _whole(),
    "parameters": _whole(),
    "peak_memory": _or(_whole(), None),
    "plugins": _text,
    "recipe_hash": _text,
    "seconds_compiling": _or(_seconds, None),
    "seconds_training": _seconds,
    "selected_step": _step,
    "selection": _text,
    "skipped_images": _whole(),
    "skipped_steps": _whole(),
    "source": _text,
    "unlabeled_accuracy": _share,
    "validation_accuracy": _share,
    "warnings": _texts_only,
}


class Found(NamedTuple):
    """Rows, and lines about what stood beside them."""

    rows: list[dict[str, Any]]
    lost: list[dict[str, Any]]  # of runs that diverged, which are no result, but count: without them a mean flatters
    problems: list[str]  # what could not be read
    remarks: list[str]  # what is odd about rows that could


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
    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage starts with what the parent held when this process was made
        return next((1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
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
    """Write a mapping with a line for each key, as a whole or not at all."""
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in row.items())
    files.replace_text(path, f"{{\n{lines}\n}}\n")


def read_rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of finished runs, from run folders (every result.json below them) and from files with a row per line.

    Those of runs that diverged are left out.

    Raises:
        InputError: Nothing there, or something that is not a row.
    """
    return [row for row in read_all_rows(paths) if not is_lost(row)]


def read_all_rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """As `read_rows`, with those of runs that diverged, of which `is_lost` tells."""
    return [_row(text, where) for path in paths for text, where in _texts(path)]


def is_lost(row: Mapping[str, Any]) -> bool:
    """Whether it is the row of a run that diverged."""
    return "diverged" in row


def read_sound_rows(paths: Sequence[Path]) -> Found:
    """As `read_rows`, but what cannot be read is named, and the rest is used.

    Raises:
        InputError: No row of a finished run is there.
    """
    found = Found([], [], [], [])
    unknown: dict[str, list[str]] = {}
    for path in paths:
        try:
            for text, where in _texts(path):
                try:
                    row = _row(text, where)
                except InputError as error:
                    found.problems.append(str(error))
                    continue
                (found.lost if is_lost(row) else found.rows).append(row)
                for name in row.keys() - ROW.keys() - MORE.keys() - OF_LOST.keys():
                    unknown.setdefault(name, []).append(where)
        except InputError as error:
            found.problems.append(str(error))
    for name, places in sorted(unknown.items()):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        near = near_miss(name, [*ROW, *MORE])
        found.remarks.append(f"{places[0]}{more}: the field '{name}' is unknown; {near}it is not used")
    if not found.rows:
        if found.problems:
            raise InputError(found.problems[0])
        if found.lost:
            some = f"all {len(found.lost)} runs" if len(found.lost) > 1 else "the run"
            raise InputError(f"{some} there diverged: {found.lost[0]['diverged']}")
        raise InputError("no finished run is there")
    return found


def recipe_hash(settings: Mapping[str, Any]) -> str:
    """12 hex digits over settings, so that a result names the recipe that made it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """The text of every row at a path, with where it stands."""
    try:
        found = [path]
        if path.is_dir():
            lost = [file for file in path.rglob(LOST) if not (file.parent / RESULT).exists()]
            found = sorted([*path.rglob(RESULT), *lost])
        if not found or not path.exists():
            raise InputError(f"{path} holds no finished run; give a run's folder, a folder of them, or a .jsonl file of rows")
        for file in found:
            text = file.read_text(encoding="utf-8", errors="replace")
            if file.suffix == ".jsonl":
                lines = enumerate(text.split("\n"), start=1)
                yield from ((line, f"{file}:{number}") for number, line in lines if line.strip())
            else:
                yield text, str(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _row(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        way_out = "; remove it and give the run's command again" if where.endswith((RESULT, LOST)) else ""
        raise InputError(f"{where} is not JSON ({error}){way_out}") from error
    lost = isinstance(row, dict) and is_lost(row)
    needed = OF_LOST if lost else ROW
    missing = [name for name in needed if not isinstance(row, dict) or name not in row]
    if missing:
        raise InputError(f"{where} is not the row of a run: it lacks {', '.join(missing)}")
    for name, check in {**needed, **MORE}.items():
        if name in row and not check(row[name]):
            shown = json.dumps(row[name])
            shown = shown if len(shown) <= 60 else f"{shown[:60]} ..."
            raise InputError(f"{where} is not the row of a run: its {name} cannot be {shown}")
    if not lost and abs(1 - row["accuracy"] - row["error_rate"]) > 1e-6:
        raise InputError(f"{where} is not the row of a run: its error_rate is not 1 - accuracy")
    return row
