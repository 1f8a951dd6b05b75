"""A net that was trained for a moment on files of tests, and these files."""

from pathlib import Path

import numpy as np
from PIL import Image

import ssl_zoo

CLASSES = ("ant", "bee", "cat")


def put(folder: Path, count: int, level: int, ending: str = "png") -> None:
    """Write photos of a class that is about as light as its level."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        rng = np.random.default_rng([i, level])
        pixels = rng.integers(level, level + 60, (20 + i, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.{ending}")


def photos(root: Path, *, test: bool = True, names: tuple[str, ...] = CLASSES) -> Path:
    """Write class folders, and return their root."""
    for k, name in enumerate(names):
        put(root / "train" / name, 8, 60 * k)
        if test:
            put(root / "test" / name, 5, 60 * k, "jpg")
    return root


def train(root: Path, out: Path, steps: int = 12, **settings) -> Path:
    """Train for a moment, and return the run's folder."""
    given = {"batch": {"labeled": 4, "unlabeled": 4}, "datasets.folder.image_size": 16, "device": "cpu", "evaluation.batch": 4}
    given |= {"labels": "all", "steps": steps, "data_root": str(root), "net": "smallnet", "precision": "fp32", **settings}
    ssl_zoo.run(ssl_zoo.recipe("photos", **given), out, quiet=True)
    return out
