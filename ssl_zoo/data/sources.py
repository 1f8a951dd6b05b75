"""Data sets with a name. Each is a function from a root folder to a `Dataset`.

scikit-learn and torchvision are imported inside the functions: to list the names must be quick.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError, between
from ssl_zoo.registry import DATASETS

Source = TypeVar("Source", bound=Callable[..., Dataset])
MOONS = ((-1.5, -1.0), (2.5, 1.5))  # corners of the plane that the two channels of `moons` span


def comes_with(package: str) -> Callable[[Source], Source]:
    """Decorate a source that reads nothing but a package.

    At one version of it, the same options give the same images.
    """

    def decorate(source: Source) -> Source:
        source.comes_with = package  # type: ignore[attr-defined]
        return source

    return decorate


def looked_at(look: Callable[[Path], None]) -> Callable[[Source], Source]:
    """Decorate a source of a user's own images, which are called by their place, not by a name.

    Args:
        look: Raises InputError where a root cannot hold such images, without reading them.
    """

    def decorate(source: Source) -> Source:
        source.look = look  # type: ignore[attr-defined]
        return source

    return decorate


@DATASETS.register("digits")
@comes_with("scikit-learn")
def digits(root: Path, *, test_size: int = 500) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey; comes with scikit-learn, no download.

    The test part is stratified and always the same: no seed of a run moves it. Values 0..16 are scaled to 0..255 and
    rounded.

    Args:
        root: Not used.
        test_size: Images in the test part; the others are the training set.

    Raises:
        InputError: `test_size` leaves one of the parts with fewer images than classes.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]  # (1797, 8, 8, 1)
    labels = bunch.target.astype(np.int64)
    classes = tuple(str(name) for name in bunch.target_names)
    between("test_size", test_size, len(classes), len(labels) - len(classes))
    train, test = train_test_split(np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=0)
    train.sort()
    test.sort()
    return Dataset("digits", images[train], labels[train], images[test], labels[test], classes)


@DATASETS.register("moons")
@comes_with("scikit-learn")
def moons(root: Path, *, noise: float = 0.1) -> Dataset:
    """Two interleaved half circles, as scikit-learn draws them.

    1,000 + 1,000 points, each an image of 1x1 pixel with 2 channels.

    The plane from (-1.5, -1) to (2.5, 1.5) is the range 0..255 of the two channels; see `MOONS`.

    Args:
        root: Not used.
        noise: Standard deviation of a point about its half circle, whose radius is 1.
    """
    from sklearn.datasets import make_moons

    between("noise", noise, 0, 1)
    parts: list[np.ndarray] = []
    for seed in (0, 1):  # training, test
        points, labels = make_moons(1000, noise=noise, random_state=seed)
        low, high = (np.array(corner) for corner in MOONS)
        pixels = np.rint((points - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
        parts += [pixels[:, None, None, :], labels.astype(np.int64)]
    return Dataset("moons", *parts, ("upper", "lower"))


@DATASETS.register("cifar10")
def cifar10(root: Path, *, download: bool = True) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 images of 10 classes, 32x32 colour.

    Args:
        root: Holds `cifar-10-batches-py/`, or receives it.
        download: Fetch what is missing from the root (170 MB).

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import CIFAR10

    return _cifar("cifar10", CIFAR10, root, download)


@DATASETS.register("cifar100")
def cifar100(root: Path, *, download: bool = True) -> Dataset:
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 images of 100 classes, 32x32 colour.

    Args:
        root: Holds `cifar-100-python/`, or receives it.
        download: Fetch what is missing from the root (170 MB).

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import CIFAR100

    return _cifar("cifar100", CIFAR100, root, download)


@DATASETS.register("mnist")
def mnist(root: Path, *, download: bool = True) -> Dataset:
    """MNIST (LeCun et al. 1998): 60,000 + 10,000 handwritten digits, 28x28 grey.

    Args:
        root: Holds `MNIST/raw/`, or receives it.
        download: Fetch what is missing from the root (12 MB).

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import MNIST

    return _mnist("mnist", MNIST, root, download)


@DATASETS.register("fashionmnist")
def fashionmnist(root: Path, *, download: bool = True) -> Dataset:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 images of 10 kinds of clothes, 28x28 grey.

    Args:
        root: Holds `FashionMNIST/raw/`, or receives it.
        download: Fetch what is missing from the root (31 MB).

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import FashionMNIST

    return _mnist("fashionmnist", FashionMNIST, root, download)


@DATASETS.register("svhn")
def svhn(root: Path, *, download: bool = True, extra: bool = False) -> Dataset:
    """SVHN (Netzer et al. 2011): 73,257 + 26,032 house-number digits, 32x32 colour.

    Args:
        root: Holds `train_32x32.mat`, `test_32x32.mat` (and `extra_32x32.mat`), or receives them.
        download: Fetch what is missing from the root (250 MB, with extra 1.6 GB).
        extra: Add the 531,131 easier "extra" images after the training images, as images without labels: the field
            draws the labelled ones from the training images alone (Sohn et al. 2020, arXiv:2001.07685).

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import SVHN

    with _explained("svhn", root):
        parts = [SVHN(root, split=split, download=download) for split in (["train", "extra"] if extra else ["train"])]
        test = SVHN(root, split="test", download=download)
    labels = np.concatenate([parts[0].labels, *(np.full(len(part.labels), -1) for part in parts[1:])])  # class 10 is 0 by now
    images = _channels_last(*(part.data for part in parts))
    return Dataset("svhn", images, labels, _channels_last(test.data), test.labels, tuple("0123456789"))


@DATASETS.register("stl10")
def stl10(root: Path, *, download: bool = True, unlabeled: bool = True) -> Dataset:
    """STL-10 (Coates et al. 2011): 5,000 + 8,000 images of 10 classes and 100,000 without labels, 96x96 colour.

    Args:
        root: Holds `stl10_binary/`, or receives it.
        download: Fetch what is missing from the root (2.6 GB).
        unlabeled: Add the 100,000 images without labels (class -1) after the training images; takes 2.8 GB of memory.

    Raises:
        InputError: The files are neither there nor to be had.
    """
    from torchvision.datasets import STL10

    with _explained("stl10", root):
        parts = [STL10(root, split=split, download=download) for split in (["train", "unlabeled"] if unlabeled else ["train"])]
        test = STL10(root, split="test", download=download)
    images = _channels_last(*(part.data for part in parts))
    labels = np.concatenate([part.labels for part in parts], dtype=np.int64)
    return Dataset("stl10", images, labels, _channels_last(test.data), test.labels.astype(np.int64), tuple(test.classes))


def _cifar(name: str, kind: type, root: Path, download: bool) -> Dataset:
    with _explained(name, root):
        train, test = (kind(root, train=part, download=download) for part in (True, False))
    images, test_images = (np.ascontiguousarray(part.data) for part in (train, test))  # a view of the files' NCHW until here
    labels, test_labels = (np.array(part.targets, dtype=np.int64) for part in (train, test))
    return Dataset(name, images, labels, test_images, test_labels, tuple(train.classes))


def _mnist(name: str, kind: type, root: Path, download: bool) -> Dataset:
    with _explained(name, root):
        train, test = (kind(root, train=part, download=download) for part in (True, False))
    images, test_images = (part.data.numpy()[..., None] for part in (train, test))  # (n, 28, 28, 1), no copy
    return Dataset(name, images, train.targets.numpy(), test_images, test.targets.numpy(), tuple(train.classes))


def _channels_last(*parts: np.ndarray) -> np.ndarray:
    """Join (n, C, H, W) arrays, in whatever order they lie in memory, into one contiguous (N, H, W, C).

    One copy in all.
    """
    _, channels, height, width = parts[0].shape
    joined = np.empty((sum(map(len, parts)), height, width, channels), np.uint8)
    return np.concatenate([part.transpose(0, 2, 3, 1) for part in parts], out=joined)


@contextmanager
def _explained(name: str, root: Path) -> Iterator[None]:
    """Turn what torchvision raises for missing, damaged or unreachable files into one line for the user.

    Folders that were made for what could not be had are removed.
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        yield
    except (RuntimeError, OSError, ValueError, AssertionError) as error:  # a URLError is an OSError; a cut MNIST file asserts
        for folder in made:
            with suppress(OSError):  # never made, or something is in it
                folder.rmdir()
        reason = " ".join(str(error).split()) or type(error).__name__  # torchvision's may have several lines
        raise InputError(
            f"{name} cannot be loaded from '{root}' ({reason}); put its files there, say where they are with `data_root`, "
            "or let them be downloaded where there is a network"
        ) from error
