"""`check_dataset`: every data set that is at hand passes, and every broken one fails in the check that is meant for it."""

import itertools
import os
import pickle
import struct
import unittest

import numpy as np
import pytest
import scipy.io
import torchvision

from ssl_zoo import DATASETS, InputError
from ssl_zoo.data import form
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.testing import CheckFailed, check_dataset, iter_dataset_checks
from ssl_zoo.testing.datasets import DATASET_CHECKS

COUNT = itertools.count()


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def right(root, *, rows: int = 12) -> Dataset:
    """Random images.

    Args:
        rows: Of training images.
    """
    return Dataset(
        "right", pixels(0, rows, 8, 8, 3), np.arange(rows) % 3, pixels(1, 6, 8, 8, 3), np.arange(6) % 3, ("a", "b", "c")
    )


def changed(make):
    """A data set function that differs from `right` by what `make` makes of it."""

    def broken(root, *, rows: int = 12):
        return make(right(root, rows=rows))

    broken.__doc__ = right.__doc__
    return broken


def with_option_by_position(root, rows=12):
    """Random images."""
    return right(root, rows=rows)


def swallows(root, *, rows: int = 12, **rest):
    """Random images."""
    return right(root, rows=rows)


def unseeded(root):
    """Random images, others every time."""
    return right(root)._replace(images=np.random.randint(0, 256, (12, 8, 8, 3)).astype(np.uint8))


def counted(root):
    """Other classes every time."""
    return right(root)._replace(classes=("a", "b", f"c{next(COUNT)}"))


def stacked(root):
    """Stacks the files that it finds."""
    found = [pixels(0, 8, 8, 3) for _ in sorted(root.glob("*.npy"))]
    return right(root)._replace(images=np.stack(found))


def finds_nothing(root):
    """Returns what it finds, be it nothing."""
    data = right(root)
    return data if root.name == "data" else data._replace(images=data.images[:0], labels=data.labels[:0])


def one(dataset, name, **options):
    (check,) = (check for check in iter_dataset_checks(dataset, **options) if check.name == name)
    return check


def put(**fields):
    return changed(lambda data: data._replace(**fields))


def make(field, how):
    return changed(lambda data: data._replace(**{field: how(getattr(data, field))}))


BROKEN = [
    (changed(lambda data: tuple(data)), "returns", "it returns a tuple; it returns an ssl_zoo.Dataset"),
    (changed(lambda data: None), "returns", "it returns a NoneType"),
    (put(name=""), "returns", "`name` is ''"),
    (with_option_by_position, "options", "it takes root, rows by position; it takes `root, *`"),
    (swallows, "misspelt_option", "the misspelt option 'rows_s' is accepted"),
    (make("images", lambda a: a.tolist()), "images", "`images` is a list"),
    (make("images", lambda a: a / np.float32(255)), "images", "`images` is float32; images are uint8, from 0 to 255"),
    (make("test_images", lambda a: a[..., 0]), "images", "(6, 8, 8); images are (N, H, W, C); grey images have C = 1"),
    (make("images", lambda a: a.transpose(0, 3, 1, 2)), "images", "(12, 3, 8, 8); channels come last"),
    (make("test_images", lambda a: a[:, :0]), "images", "`test_images` is empty, so there is nothing to score"),
    (make("images", lambda a: a[:0]), "images", "`images` is empty, so there is nothing to train on"),
    (make("images", lambda a: a[::-1]), "images", "`images` runs backwards in memory"),
    (make("test_images", lambda a: a[:, :4]), "images", "training images are (8, 8, 3) and test images (4, 8, 3)"),
    (put(classes=["a", "b", "c"]), "classes", "it is a tuple of names"),
    (put(classes=(0, 1, 2)), "classes", "it is a tuple of names"),
    (put(classes=("a",)), "classes", "there are 1 classes; a classifier needs two"),
    (put(classes=("a", "b", "a")), "classes", "two classes are called 'a'"),
    (make("labels", lambda a: a.astype(np.int32)), "labels", "`labels` is int32; labels are a numpy array of int64"),
    (make("labels", list), "labels", "`labels` is a list; labels are a numpy array of int64"),
    (make("labels", lambda a: a[:-1]), "labels", "`labels` has the shape (11,) for 12 training images"),
    (make("labels", lambda a: np.eye(3, dtype=int)[a]), "labels", "`labels` has the shape (12, 3)"),
    (
        make("labels", lambda a: a + 1),
        "labels",
        "`labels` go from 1 to 3; with 3 classes they go from 0 to 2; do they begin at 1?",
    ),
    (make("labels", lambda a: a - 2), "labels", "`labels` go from -2 to 0"),
    (make("labels", lambda a: a[::-1]), "labels", "`labels` runs backwards in memory"),
    (make("test_labels", lambda a: a - 1), "labels", "a test image has the class -1, unknown"),
    (make("test_labels", lambda a: a + 5), "labels", "`test_labels` go from 5 to 7"),
    (put(names=("a",) * 12), "names", "`names` has 12 entries for 18 images"),
    (put(names=("a",) * 18), "names", "`names` gives two images one name"),
    (put(names=[str(k) for k in range(18)]), "names", "`names` is not a tuple of texts"),
    (put(names=np.array([str(k) for k in range(18)])), "names", "`names` is not a tuple of texts; give tuple(map(str, names))"),
    (put(skipped=["a.png"]), "names", "`skipped` is not a tuple of texts"),
    (put(notes="a note"), "names", "`notes` is not a tuple of texts"),
    (put(validation=(0, 13)), "names", "`validation` is (0, 13); it is the first and the last + 1 of the 12 rows"),
    (put(validation=(3, 2)), "names", "`validation` is (3, 2)"),
    (put(validation=None), "names", "`validation` is None"),
    (put(depth="8"), "names", "`depth` is '8'; it is how many bits"),
    (put(depth=7), "names", "`depth` is 7"),
    (put(held_out=1), "names", "`held_out` is 1; it is True or False"),
    (put(fitted="no"), "names", "`fitted` is 'no'; it is True or False"),
    (put(digests="a hash"), "names", "`digests` is a str; leave it out"),
    (make("labels", lambda a: np.where(a == 1, -1, a)), "every_class", "no training image is of the class 'b' (1 such classes)"),
    (make("test_labels", lambda a: a * 0), "every_class", "no test image is of the class 'b' (2 such classes)"),
    (make("images", lambda a: a * 0), "content", "`images` holds only the value 0; does the reader fill the array"),
    (make("test_images", lambda a: np.repeat(a[:1], 6, 0)), "content", "`test_images` holds one and the same image in every row"),
    (make("images", lambda a: (a / 255).round().astype(np.uint8)), "content", "holds no value but 0 and 1"),
    (make("images", lambda a: np.broadcast_to(a[:, :1, :1, :1], a.shape)), "content", "is of one colour alone"),
    (unseeded, "same_again", "two calls give different data"),
    (counted, "same_again", "two calls give different data"),
    (changed(lambda data: data._replace(test_images=data.images[:6])), "leakage", "6 of 6 test images are also training images"),
    (stacked, "missing_files", "it raises ValueError: need at least one array to stack"),
    (finds_nothing, "missing_files", "it returns no images; raise ssl_zoo.InputError"),
]


@pytest.mark.parametrize(("dataset", "name", "says"), BROKEN, ids=[f"{name}-{k}" for k, (_, name, _) in enumerate(BROKEN)])
def test_a_broken_one_fails_in_the_check_that_is_meant_for_it(dataset, name, says):
    with pytest.raises(CheckFailed) as failure:
        one(dataset, name)()
    assert str(failure.value).startswith(f"{dataset.__name__}, check '{name}': ") and says in str(failure.value)


def test_every_check_has_a_broken_one_that_it_finds():
    assert {name for _, name, _ in BROKEN} == {check.__name__ for check in DATASET_CHECKS}


def test_a_right_one_passes():
    assert str(check_dataset(right)) == f"right: {len(DATASET_CHECKS)} checks passed"
    assert str(check_dataset(right, rows=30)).endswith("checks passed")
    hidden = make("labels", lambda a: np.where(np.arange(len(a)) > 5, -1, a))  # images without labels
    assert str(check_dataset(hidden)).endswith(f": {len(DATASET_CHECKS)} checks passed")


@pytest.mark.parametrize("name", ["digits", "moons"])
def test_what_needs_no_download_passes(name, tmp_path):
    assert str(check_dataset(name, root=tmp_path)) == f"{name}: {len(DATASET_CHECKS)} checks passed"


def cifar(root, name):
    """All classes of CIFAR, one image of each a file, as its files are."""
    hundred = name == "cifar100"
    count, key = (100, "fine_labels") if hundred else (10, "labels")
    folder = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    folder.mkdir()
    for k, file in enumerate(["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        (folder / file).write_bytes(pickle.dumps({"data": pixels(k, count, 3072), key: [*range(count)]}))
    meta = {"fine_label_names" if hundred else "label_names": [f"class {k}" for k in range(count)]}
    (folder / ("meta" if hundred else "batches.meta")).write_bytes(pickle.dumps(meta))


def mnist(root, name):
    raw = root / {"mnist": "MNIST", "fashionmnist": "FashionMNIST"}[name] / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 20), ("t10k", 10)):
        images = struct.pack(">IIII", 0x803, n, 28, 28) + pixels(n, n, 28, 28).tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + bytes(k % 10 for k in range(n)))


def svhn(root, name):
    for split, n in (("train", 20), ("extra", 10), ("test", 11)):
        content = {"X": pixels(n, 32, 32, 3, n), "y": (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]}
        scipy.io.savemat(root / f"{split}_32x32.mat", content)


def stl10(root, name):
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, n in (("train", 12), ("test", 10), ("unlabeled", 4)):
        (folder / f"{part}_X.bin").write_bytes(pixels(n, n, 3, 96, 96).tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(k % 10 + 1 for k in range(n)))
    (folder / "class_names.txt").write_text("".join(f"class {k}\n" for k in range(10)))


def folder(root, name):
    from PIL import Image

    for k, (part, kind) in enumerate(itertools.product(("train", "test"), ("cat", "dog"))):
        (root / part / kind).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(pixels(10 * k + i, 8, 8, 3)).save(root / part / kind / f"{i}.png")


SMALL = {
    **dict.fromkeys(("cifar10", "cifar100"), cifar),
    **dict.fromkeys(("mnist", "fashionmnist"), mnist),
    "svhn": svhn,
    "stl10": stl10,
    "folder": folder,
}


def test_every_registered_data_set_is_checked_here():
    assert set(DATASETS.names()) - {"arrays"} == {"digits", "moons", *SMALL}  # arrays are what a program passes


@pytest.mark.parametrize("name", SMALL)
def test_small_files_of_the_true_format_pass(name, tmp_path, monkeypatch):
    for module in (torchvision.datasets.cifar, torchvision.datasets.svhn, torchvision.datasets.stl10):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))
    SMALL[name](tmp_path, name)
    options = {} if name == "folder" else {"download": False}
    assert str(check_dataset(name, root=tmp_path, **options)) == f"{name}: {len(DATASET_CHECKS)} checks passed"


def test_a_published_leak_can_be_said():
    leaky = changed(lambda data: data._replace(test_images=data.images[:6]))
    with pytest.raises(CheckFailed, match=r'if the published split has them, say so: broken.exempt = {"leakage": '):
        check_dataset(leaky)
    leaky.exempt = {"leakage": "the published test set holds them"}
    assert str(check_dataset(leaky)).splitlines() == [
        f"broken: {len(DATASET_CHECKS) - 1} checks passed",
        "  exempt from leakage: the published test set holds them",
    ]
    with pytest.raises(unittest.SkipTest):
        one(leaky, "leakage")()


def test_after_the_first_check_has_failed_the_others_are_not_run():
    def broken(root):
        raise OSError("no such file")

    with pytest.raises(
        CheckFailed, match=r"^broken, check 'returns': it raised OSError: no such file \(.*test_datasets.py, line \d+\)"
    ):
        check_dataset(broken)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'digits'"):
        check_dataset("digit")
    with pytest.raises(InputError, match="right has no option 'row'; did you mean 'rows'"):
        check_dataset(right, row=1)


def test_the_quick_questions_are_those_that_a_run_asks():
    assert form.complaint(right(None)) is None
    assert form.complaint((1, 2)) == "it returns a tuple; it returns an ssl_zoo.Dataset, whose fields have names"
