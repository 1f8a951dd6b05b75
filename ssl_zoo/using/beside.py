"""An exported file beside its net: on which images both are run, and how far they are apart."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.names import ARCHIVES
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.formats import Runner
from ssl_zoo.using.graph import Graph
from ssl_zoo.using.images import Images

BATCHES = (1, 3, 32)
TOLERANCE = 1e-4  # absolute, of logits over 1 relative
AMONG = 1024  # files of which a few are read, so that they are of several classes
ARCHIVE = 1 << 28  # bytes of an archive of which a few are read: it is read as a whole
SMALL = {"download": False, "unlabeled": False, "extra": False}  # options of data sets that would fetch or hold too much


class Sample(NamedTuple):
    """What both are run on."""

    pixels: np.ndarray  # (32, H, W, C) uint8
    words: str  # what they are


def sample_for(trained: Trained) -> Sample:
    """Return 32 images of the run's data, where they are at hand, or random ones.

    Args:
        trained: Says where its data were.
    """
    wanted, shape = max(BATCHES), (*trained.image_size, trained.about["net"]["channels"])
    config, found, words = trained.about["row"].get("config"), [], ""
    try:
        name, root = str(config["dataset"]), Path(os.path.expanduser(str(config["data_root"])))
        options = {**config["datasets"][name]}
        read = _decoded(trained, root, options) if name == "folder" else _of_data_set(name, root, options)
        found = [*itertools.islice((image for image in read if image.shape == shape), wanted)]
        words = f"of {root if name == 'folder' else name}"
    except (ValueError, OSError, TypeError, LookupError):  # not at hand; or the file's row says nothing of them
        pass
    if found:
        return Sample(np.resize(np.stack(found), (wanted, *shape)), f"{len(found)} images {words}")  # few are repeated
    pixels = np.random.default_rng(0).integers(0, 256, (wanted, *shape), dtype=np.uint8)
    return Sample(pixels, f"{wanted} random images, as those of the run are not at hand")


def _of_data_set(name: str, root: Path, options: dict[str, Any]) -> Iterator[np.ndarray]:
    """Test images of a data set of our own, if they are there; of a plug-in's nobody knows how long it takes."""
    entry = DATASETS.resolve(name)
    if entry.origin == "ssl_zoo":
        small = {option: value for option, value in SMALL.items() if option in entry.options}
        yield from DATASETS.create(name, root, **options | small).test_images


def _decoded(trained: Trained, root: Path, options: dict[str, Any]) -> Iterator[np.ndarray]:
    """Files of a folder, an archive or a table, as training had them; those that cannot be read are left out."""
    if root.name.lower().endswith(ARCHIVES) and root.stat().st_size > ARCHIVE:
        return
    trained.check_takes_files()
    items = [*itertools.islice(Images([options.get("labels_file") or root], trained.classes), AMONG)]
    every = max(1, len(items) // max(BATCHES))
    others = (item for place, item in enumerate(items) if place % every)
    for item in itertools.chain(items[::every], others):  # the others are read where some of the first are broken
        try:
            yield trained.pixels_of(item.read())
        except (ValueError, OSError):
            continue


def compare(run: Runner, graph: Graph, trained: Trained, sample: Sample, sizes: list[tuple[int, int]]) -> float:
    """Return how far what a file gives is from what the net gives, at most.

    Args:
        run: What the file computes.
        graph: That it was made of.
        trained: The net.
        sample: What both are run on.
        sizes: Heights and widths beside the net's own, which the images are repeated to fill.

    Raises:
        InputError: They are too far apart, or a class is another.
    """
    apart, others, looked = 0.0, 0, 0
    for given, inputs in _inputs(graph, trained, sample, sizes):
        with torch.no_grad():
            wanted = trained.net(inputs).float()
        wanted = (wanted / trained.temperature).softmax(dim=1) if graph.output == "probabilities" else wanted
        found = torch.from_numpy(run(given))
        if found.shape != wanted.shape:
            raise InputError(f"it gives numbers of shape {tuple(found.shape)} and the net {tuple(wanted.shape)}")
        farthest, different = _apart(found, wanted)
        apart, others, looked = max(apart, farthest), others + different, looked + len(given)
    if not apart <= TOLERANCE or others:
        raise InputError(
            f"its {graph.output} are up to {apart:.2g} from those of the net, where {TOLERANCE:g} is allowed, and {others} of "
            f"{looked} images are of another class (on {sample.words})"
        )
    return apart


def _inputs(graph: Graph, trained: Trained, sample: Sample, sizes: list[tuple[int, int]]) -> Iterator[tuple[Tensor, Tensor]]:
    """What the file is given, and what the net is given of the same images."""
    cpu = torch.device("cpu")
    batches = [sample.pixels[:rows] for rows in BATCHES]
    if graph.dtype == torch.uint8:
        for pixels in map(torch.from_numpy, [*batches, *(_filled(sample.pixels[:3], size, 1) for size in sizes)]):
            yield pixels, trained.normalisation.apply(pixels, cpu)
        return
    own = [trained.normalisation.apply(torch.from_numpy(batch), cpu).contiguous() for batch in batches]
    for inputs in [*own, *(torch.from_numpy(_filled(own[1].numpy(), size, 2)) for size in sizes)]:
        yield inputs, inputs


def _filled(images: np.ndarray, size: tuple[int, int], axis: int) -> np.ndarray:
    """Images repeated until they are of another size; the height is the axis of this number."""
    more = [(0, max(0, size[place - axis] - images.shape[place]) if place in (axis, axis + 1) else 0) for place in range(4)]
    return np.pad(images, more, mode="wrap")


def _apart(found: Tensor, wanted: Tensor) -> tuple[float, int]:
    """How far apart rows are, and how many are of another class though the net is sure. Infinite: not even numbers."""
    unit = wanted.abs().clamp(min=1)
    distance = ((found - wanted).abs() / unit).nan_to_num(nan=torch.inf)
    first, second = wanted.topk(2, dim=1).values.T
    sure = first - second > TOLERANCE * first.abs().clamp(min=1)
    others = sure & (found.argmax(dim=1) != wanted.argmax(dim=1))
    return float(distance.max()), int(others.sum())
