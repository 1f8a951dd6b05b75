"""What predicting costs beyond the net's own pass, on images in memory, and beyond decoding, on files."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import ssl_zoo
from ssl_zoo import config
from ssl_zoo.data.arrays import as_dataset
from ssl_zoo.data.decode import read_file
from ssl_zoo.device import autocast, cores
from ssl_zoo.runs.execute import execute
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.predicting import predict_into

from .turns import interleaved, spread
from .workloads import Workload, random_data

PHOTO = (3000, 4000)  # height and width of the files, as phones make them
KINDS = 16  # different photos, of which the files are copies


class Bare:
    """The net's own passes over images that were prepared before."""

    def __init__(self, trained: Trained, images: np.ndarray, device: torch.device):
        stored = torch.from_numpy(images)
        prepare = trained.normalisation
        self.net, self.context = trained.net, lambda: autocast(device, trained.precision)
        self.parts = [prepare.apply(part, device) for part in stored.split(trained.about["batch"])]

    @torch.no_grad()
    def __call__(self) -> None:
        for part in self.parts:
            with self.context():
                found = self.net(part)
        found.float().cpu()  # when the last is there, all are


def trained_on_noise(w: Workload, device: str, folder: Path) -> Trained:
    """A net as a run leaves it, after one step."""
    data = random_data(w._replace(rows=200))
    given = {"alg": "supervised", "net": w.net, "labels": "all", "steps": 1, "device": device, "evaluation": {"batch": 50}}
    given |= {"dataset": "arrays", "datasets": {"arrays": {"image_size": w.side}}, "batch": {"labeled": 8, "unlabeled": 8}}
    arrays = as_dataset(data.images[10:], data.labels[10:], data.test_images, data.test_labels)  # those are the first ten
    execute(config.resolve(given), folder, data=arrays, quiet=True)
    return ssl_zoo.load(folder, device)


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """Write JPEG files as large as photos, with as much in them, and return their paths."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    kinds = []
    for kind in range(min(KINDS, count)):
        coarse = draw.integers(0, 256, (size[0] // 16, size[1] // 16, 3), np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / f"{kind}.jpg", quality=90)
        kinds.append((folder / f"{kind}.jpg").read_bytes())
    for number in range(len(kinds), count):
        (folder / f"{number}.jpg").write_bytes(kinds[number % len(kinds)])
    return [str(folder / f"{number}.jpg") for number in range(count)]


def measure_use(w: Workload, images: int, files: int, size: tuple[int, int], rounds: int, device: torch.device) -> dict[str, Any]:
    """Seconds to predict images in memory and in files, beside what cannot be done without.

    Args:
        w: A net, and the size and channels of its images.
        images: In memory.
        files: JPEG files.
        size: Height and width of the files.
        rounds: In which all take turns.
        device: Where.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        trained = trained_on_noise(w, str(device), folder / "run")
        pixels = np.random.default_rng(0).integers(0, 256, (images, w.side, w.side, w.channels), np.uint8)
        paths = write_photos(folder / "photos", files, size)
        pool = ThreadPoolExecutor(cores())

        def decode(path: str) -> np.ndarray:
            return trained.pixels_of(read_file(path))

        contenders: dict[str, Callable[[], Any]] = {
            "net": Bare(trained, pixels, device),
            "memory": lambda: trained.predict_proba(pixels),
            "decoder": lambda: list(pool.map(decode, paths)),
            "files": lambda: predict_into(trained, [folder / "photos"], folder / "out.csv", fresh=True),
        }
        with tqdm(total=(rounds + 1) * len(contenders), desc="predict", disable=None) as bar:
            found = interleaved(contenders, rounds, 1, device, bar)
        pool.shutdown()
    pairs = {"memory": "net", "files": "decoder"}
    return {
        "net": w.net,
        "side": w.side,
        "size": list(size),
        "images": images,
        "files": files,
        "rounds": rounds,
        "seconds": {name: spread(seconds) for name, seconds in found.items()},
        "relative": {  # images a second, of those of what cannot be done without
            name: spread([alone / ours for alone, ours in zip(found[other], found[name], strict=True)])
            for name, other in pairs.items()
        },
    }
