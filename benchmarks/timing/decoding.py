"""What a folder of image files costs beyond their decoder: read, decoded, put into one array, and kept in a cache."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.folder import folder
from ssl_zoo.device import cores

from .turns import interleaved, spread
from .using import write_photos

CLASSES = 10
CHUNK = 64  # files of one task of the bare threads, at most


def write_small(root: Path, count: int, side: int) -> list[str]:
    """Write small JPEG files into class folders, every other one of noise, and return their sorted paths."""
    draw = np.random.default_rng(0)
    paths = [root / f"{number % CLASSES}/{number:06}.jpg" for number in range(count)]
    for number in range(CLASSES):
        (root / str(number)).mkdir(parents=True)
    for number, path in enumerate(paths):
        cells = side if number // CLASSES % 2 else side // 4
        coarse = draw.integers(0, 256, (cells, cells, 3), np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
    return sorted(map(str, paths))


def bare(path: str, side: int | None) -> np.ndarray:
    """Return a file's pixels with Pillow alone; with a side, decoded at a reduced scale first, as that is quicker."""
    with open(path, "rb") as file:
        image = Image.open(file)
        if side is None:
            return np.asarray(image.convert("RGB"))
        image.draft(None, (4 * side, 4 * side))
        return np.asarray(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BILINEAR))


def contenders(root: Path, paths: list[str], side: int | None) -> dict[str, Callable[[], np.ndarray]]:
    """The ways to decode all files of a folder into one array, each of which returns it."""
    shape = (len(paths), *bare(paths[0], side).shape)
    task = max(1, min(CHUNK, len(paths) // (4 * cores())))

    def fill(array: np.ndarray, start: int, stop: int) -> None:
        for place in range(start, min(stop, len(paths))):
            array[place] = bare(paths[place], side)

    def loop() -> np.ndarray:
        array = np.zeros(shape, np.uint8)
        fill(array, 0, len(paths))
        return array

    def threads() -> np.ndarray:
        array = np.zeros(shape, np.uint8)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda start: fill(array, start, start + task), range(0, len(paths), task)))
        return array

    return {"loop": loop, "threads": threads, "ours": lambda: load(root, side).images}


def load(root: Path, side: int | None) -> Dataset:
    """Load a folder as a run does, with a cache that is empty."""
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, SSL_ZOO_CACHE=cache):
        return folder(root, image_size=side)


def measure_decoding(small: int, photos: int, size: tuple[int, int], side: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds to decode a folder of small files, and one of photos, beside Pillow alone on one thread and on all cores.

    All files are in the system's memory: a turn that does not count reads them first.

    Args:
        small: Files of 32x32 pixels, decoded as they are.
        photos: Files of photos.
        size: Height and width of the photos.
        side: To which photos are resized.
        rounds: In which all take turns.
    """
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        (here / "photos").mkdir()
        halves = [write_photos(here / "photos" / name, photos // 2, size) for name in ("a", "b")]
        kinds: list[tuple[str, list[str], int | None]] = [
            ("32x32", write_small(here / "small", small, 32), None),
            (f"{size[1]:,} x {size[0]:,}, to {side}x{side}", sorted([*halves[0], *halves[1]]), side),
        ]
        return [_measured(here / root, *kind, rounds) for root, kind in zip(("small", "photos"), kinds, strict=True)]


def _measured(root: Path, title: str, paths: list[str], side: int | None, rounds: int) -> dict[str, Any]:
    ways = contenders(root, paths, side)
    with tqdm(total=(rounds + 1) * len(ways), desc=f"decode {title}", disable=None) as progress:
        found = interleaved(ways, rounds, 1, torch.device("cpu"), progress)  # type: ignore[arg-type]
    best = [min(pair) for pair in zip(found["loop"], found["threads"], strict=True)]
    return {
        "title": title,
        "files": len(paths),
        "bytes": sum(map(os.path.getsize, paths)),
        "rounds": rounds,
        "seconds": {name: spread(seconds) for name, seconds in found.items()},
        "relative": spread([ours / alone for ours, alone in zip(found["ours"], best, strict=True)]),
    }


def decoding_table(measured: list[dict[str, Any]]) -> list[str]:
    """Images a second, and our time over that of Pillow's faster way in each round."""
    lines = [
        "",
        "| images a second | files | Pillow, one thread | Pillow, threads | ssl_zoo | its time over the faster Pillow's |",
        "| - | -: | -: | -: | -: | -: |",
    ]
    for f in measured:
        rates = " | ".join(f"{f['files'] / f['seconds'][name]['median']:,.0f}" for name in ("loop", "threads", "ours"))
        ratio = f["relative"]
        lines.append(
            f"| {f['title']} | {f['files']:,} | {rates} | {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) |"
        )
    return [*lines, "", "JPEG files, read from the system's memory into one array, which ssl_zoo keeps in its cache too."]
