"""The named data sets. torchvision's own code reads small files of the true formats; only the checksums are lifted."""

import os
import pickle
import struct
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torchvision

from ssl_zoo.data import sources
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS

SOURCES = ["cifar10", "cifar100", "fashionmnist", "mnist", "stl10", "svhn"]
DIGITS = "6008eeeccf9741c204a78fa312ae3db5"  # fingerprint


@pytest.fixture
def unchecked(monkeypatch):
    """Our files have not the checksums of the real ones; they must still be there."""
    for module in (torchvision.datasets.cifar, torchvision.datasets.svhn, torchvision.datasets.stl10):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))


def pixels(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def check(dataset, images, labels, test_images, test_labels):
    for got, want in zip(dataset[1:5], (images, labels, test_images, test_labels), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.flags.c_contiguous
    assert dataset.images.dtype == dataset.test_images.dtype == np.uint8
    assert dataset.labels.dtype == dataset.test_labels.dtype == np.int64
    assert all(type(name) is str for name in dataset.classes)


def test_digits(tmp_path):
    data = sources.digits(tmp_path)
    assert data.images.shape == (1297, 8, 8, 1) and data.test_images.shape == (500, 8, 8, 1)
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64
    assert data.images.max() == 255 and set(np.unique(data.images)) <= {round(v * 255 / 16) for v in range(17)}
    assert np.ptp(np.bincount(data.test_labels)) <= 3  # stratified
    assert data.classes == tuple("0123456789")
    assert not list(tmp_path.iterdir())


def test_moons(tmp_path):
    data = sources.moons(tmp_path)
    assert data.images.shape == data.test_images.shape == (1000, 1, 1, 2) and np.bincount(data.labels).tolist() == [500, 500]
    assert not np.array_equal(data.images, data.test_images) and data.classes == ("upper", "lower")
    points = data.images[:, 0, 0] / 255 * np.subtract(*sources.MOONS[::-1]) + sources.MOONS[0]
    distance = np.linalg.norm(points[data.labels == 0], axis=1)  # of the upper moon, a half circle of radius 1 about 0
    assert abs(distance - 1).max() < 0.5 and abs(distance.mean() - 1) < 0.03


def test_digits_are_frozen(tmp_path):
    """If this fails, no number measured on digits can be compared with a later one."""
    np.random.seed(1)  # must not matter
    assert fingerprint(sources.digits(tmp_path)) == DIGITS


def test_digits_test_size(tmp_path):
    assert len(sources.digits(tmp_path, test_size=100).test_labels) == 100
    with pytest.raises(InputError, match="test_size = 1790 is out of range"):
        sources.digits(tmp_path, test_size=1790)


def test_fingerprint_sees_everything(tmp_path):
    data = sources.digits(tmp_path, test_size=20)
    first = fingerprint(data)
    assert first == fingerprint(data._replace(name="other", images=np.asfortranarray(data.images))) and len(first) == 32
    other = data.images.copy()
    other[-1, -1, -1] ^= 1
    changes = [
        data._replace(images=other),
        data._replace(images=data.images.reshape(-1, 4, 16, 1)),
        data._replace(labels=data.labels[::-1]),
        data._replace(test_labels=data.test_labels + 1),
        data._replace(classes=data.classes[::-1]),
        data._replace(test_images=data.test_images[:0], test_labels=data.test_labels[:0]),
    ]
    assert len({first, *map(fingerprint, changes)}) == 7


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path, unchecked, name):
    rng = np.random.default_rng(0)
    hundred = name == "cifar100"
    folder = tmp_path / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    folder.mkdir()
    files = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    batches = {file: (pixels(rng, 3, 3, 32, 32), rng.integers(0, 10, 3)) for file in files}
    for file, (images, labels) in batches.items():
        entry = {"data": images.reshape(3, 3072), "fine_labels" if hundred else "labels": labels.tolist()}
        (folder / file).write_bytes(pickle.dumps(entry))
    meta = {"fine_label_names": ["apple", "bear"]} if hundred else {"label_names": ["airplane", "bird"]}
    (folder / ("meta" if hundred else "batches.meta")).write_bytes(pickle.dumps(meta))

    data = DATASETS.create(name, tmp_path, download=False)
    images, labels = (np.concatenate(part) for part in zip(*(batches[file] for file in files[:-1]), strict=True))
    test_images, test_labels = batches[files[-1]]
    check(data, images.transpose(0, 2, 3, 1), labels, test_images.transpose(0, 2, 3, 1), test_labels)
    assert data.name == name and data.classes[1] in ("bear", "bird")


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("Fashion-MNIST", "FashionMNIST")])
def test_mnist(tmp_path, name, folder):
    rng = np.random.default_rng(0)
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    parts = []
    for prefix, n in (("train", 5), ("t10k", 3)):
        images, labels = pixels(rng, n, 28, 28), rng.integers(0, 10, n).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + labels.tobytes())
        parts += [images[..., None], labels]

    data = DATASETS.create(name, tmp_path, download=False)
    check(data, *parts)
    assert len(data.classes) == 10

    cut = raw / "train-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"cannot be loaded from .*`data_root`"):
        DATASETS.create(name, tmp_path, download=False)


@pytest.mark.parametrize("extra", [False, True])
def test_svhn(tmp_path, unchecked, extra):
    rng = np.random.default_rng(0)
    files = {}
    for split, n in (("train", 4), ("extra", 6), ("test", 3)):
        files[split] = pixels(rng, n, 32, 32, 3), rng.integers(1, 11, n)
        images, labels = files[split]
        content = {"X": images.transpose(1, 2, 3, 0), "y": labels.astype(np.uint8)[:, None]}
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", content)

    data = sources.svhn(tmp_path, download=False, extra=extra)
    used = [files[split] for split in (["train", "extra"] if extra else ["train"])]
    images, labels = (np.concatenate(part) for part in zip(*used, strict=True))
    labels = np.where(np.arange(len(labels)) < 4, labels % 10, -1)  # class 10 is the digit 0; extra: no labels
    check(data, images, labels, files["test"][0], files["test"][1] % 10)
    assert data.classes == tuple("0123456789")


@pytest.mark.parametrize("unlabeled", [False, True])
def test_stl10(tmp_path, unchecked, unlabeled):
    rng = np.random.default_rng(0)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = {part: pixels(rng, n, 96, 96, 3) for part, n in (("train", 3), ("test", 2), ("unlabeled", 4))}
    for part, array in images.items():
        (folder / f"{part}_X.bin").write_bytes(array.transpose(0, 3, 2, 1).tobytes())  # the files go by column
    (folder / "train_y.bin").write_bytes(bytes([1, 10, 3]))
    (folder / "test_y.bin").write_bytes(bytes([2, 10]))
    (folder / "class_names.txt").write_text("airplane\nbird\n")

    data = sources.stl10(tmp_path, download=False, unlabeled=unlabeled)
    train = np.concatenate([images["train"], images["unlabeled"]]) if unlabeled else images["train"]
    check(data, train, [0, 9, 2] + [-1] * 4 * unlabeled, images["test"], [1, 9])
    assert data.classes == ("airplane", "bird")


@pytest.mark.parametrize("name", SOURCES)
def test_missing_files_are_one_line(tmp_path, name):
    with pytest.raises(InputError) as caught:
        DATASETS.create(name, tmp_path / "nowhere", download=False)
    message = str(caught.value)
    assert message.startswith(f"{name} cannot be loaded from '{tmp_path / 'nowhere'}'")
    assert not (tmp_path / "nowhere").exists()
    assert "`data_root`" in message and "network" in message and "\n" not in message


@pytest.mark.parametrize("name", SOURCES)
def test_failed_download_is_one_line(tmp_path, name, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("Temporary failure\nin name resolution")

    for module in ("cifar", "mnist", "stl10"):
        monkeypatch.setattr(getattr(torchvision.datasets, module), "download_and_extract_archive", unreachable)
    monkeypatch.setattr(torchvision.datasets.svhn, "download_url", unreachable)
    with pytest.raises(InputError, match="Temporary failure in name resolution") as caught:
        DATASETS.create(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*SOURCES, "digits"])
def test_described(name):
    entry = DATASETS.resolve(name)
    assert entry.summary.endswith(".") or ";" in entry.summary
    for option in entry.options:
        assert f"    {option}: " in entry.target.__doc__
