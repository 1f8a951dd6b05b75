"""Where a number comes from: versions, the commit, and the code that a run executes.

Code is hashed as a syntax tree without docstrings, so a mended comment or a moved line makes no other code, and a
half-done sweep goes on after it.
"""

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
# The code of a result: the modules that runs/execute.py reaches, and the augmentations, which it reaches by name.
# Methods and nets are told by `code`, the readers of data by the hash of what they read. A test walks the imports and
# holds this list to them.
EXECUTED = (
    *("batch", "device", "ema", "files", "heads", "losses", "provenance", "ranks", "registry", "schedules", "seeds"),
    *("groups", "settings"),
    *("algorithms/base", "algorithms/baseline"),
    *("data/augment", "data/class_weights", "data/dataset", "data/holdout", "data/longtail", "data/normalisation"),
    *("data/open_set", "data/pipeline", "data/randaugment", "data/split_file", "data/splits", "data/standard", "data/stream"),
    "data/walks",
    *("runs/assembly", "runs/baselines", "runs/execute", "runs/freezing", "runs/identity", "runs/initial", "runs/inputs"),
    *("runs/layers", "runs/scores", "runs/threads", "runs/weights"),
    *("train/checkpoint", "train/compile", "train/evaluate", "train/fitting", "train/guard", "train/guesses", "train/mechanism"),
    *("train/optimizer", "train/parallel", "train/resume", "train/signals", "train/skip", "train/trainer"),
    *("train/graph", "train/kept", "train/steps"),
)
# What methods and nets are made of, and so part of the `code` of each.
FORMULAS = (
    *("batch", "ema", "heads", "losses", "ranks", "schedules"),
    *("adversarial", "averages", "mixing", "targets"),
)
# Reached too, but what they do changes no number: they read settings, which a result is known by, and write, read and
# say things.
APART = (
    *("config", "errors", "near", "options", "plugins", "presets", "recipes", "trials"),
    *("data/form", "data/leakage", "data/names", "data/room", "data/texts"),
    *("runs/calibration", "runs/clock", "runs/confusion", "runs/fields", "runs/finished", "runs/folder"),
    *("runs/model", "runs/naming", "runs/rehearsal", "runs/report", "runs/row", "runs/settled"),
    "runs/sound",
    *("train/clock", "train/loggers", "train/logs"),
)


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what a number can depend on."""
    packages = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")
    import ssl_zoo

    return {"ssl_zoo": ssl_zoo.__version__, "python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }


@functools.cache
def commit() -> str | None:
    """Return the commit of the checkout that holds this package, `-dirty` where tracked files were changed.

    None outside one.
    """

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:  # installed inside somebody else's repository
        return None
    revision = git("rev-parse", "HEAD")
    return f"{revision}-dirty" if git("status", "--porcelain", "--untracked-files=no") else revision


def recipe_hash(settings: Mapping[str, Any]) -> str:
    """Return 12 hex digits over settings, so that a result names the recipe that made it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def source() -> str:
    """Return 12 hex digits over the code of what every run executes, in this package."""
    return code_of(ROOT / f"{name}.py" for name in EXECUTED)


def code(targets: Iterable[Any]) -> str:
    """Return 12 hex digits over this package's code of methods and nets, their bases, and shared formulas.

    Args:
        targets: Classes or functions. Of those from plug-ins `plugins.provenance` tells.
    """
    classes = [part for target in targets for part in (inspect.getmro(target) if inspect.isclass(target) else (target,))]
    sources = {Path(inspect.getfile(part)) for part in classes if part.__module__.partition(".")[0] == "ssl_zoo"}
    return code_of({*sources, *(ROOT / f"{name}.py" for name in FORMULAS)})


def code_of(paths: Iterable[Path]) -> str:
    """Return 12 hex digits over Python files, without what changes no result.

    Docstrings, comments, the layout of lines.
    """
    digest = hashlib.sha256()
    for path in sorted({*paths}):
        digest.update(path.name.encode())
        _feed(digest, _tree(path))
    return digest.hexdigest()[:12]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _feed(digest: Any, node: Any) -> None:
    """Add a syntax tree. What a version of Python leaves empty, as its new fields, does not count."""
    if isinstance(node, ast.AST):
        digest.update(f"({type(node).__name__}".encode())
        for name, value in ast.iter_fields(node):
            if name == "body" and _documented(node, value):
                value = value[1:]
            if value is not None and value != [] and name not in ("type_comment", "kind"):
                digest.update(f" {name}=".encode())
                _feed(digest, value)
        digest.update(b")")
    elif isinstance(node, list):
        for part in node:
            _feed(digest, part)
            digest.update(b",")
    else:
        digest.update(repr(node).encode())


def _documented(node: ast.AST, body: Any) -> bool:
    """Whether the first statement of a module, class or function is its docstring."""
    first = body[0] if isinstance(body, list) and body else None
    return (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
