"""The checks of a data set, and how to run them."""

import dataclasses
import functools
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo.data import form
from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.leakage import leaks, pictures
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS, Entry
from ssl_zoo.testing.check import Report, run_all
from ssl_zoo.testing.part import PartCheck, checks_of, declared_options, described, entry_of, refuses_misspelt
from ssl_zoo.testing.subject import CheckFailed, fail


@dataclasses.dataclass(frozen=True)
class DatasetSubject:
    """A data set under check."""

    entry: Entry
    options: Mapping[str, Any]  # the caller's
    root: Path  # where its files are

    def load(self) -> Any:
        """What the function returns."""
        return self.entry.target(self.root, **{**self.entry.fixed, **self.options})

    @functools.cached_property
    def data(self) -> Dataset:
        """The data set, read once."""
        return self.load()


def _holds(question: Callable[[Any], str | None], subject: DatasetSubject) -> None:
    for before in form.FORM[: form.FORM.index(question)]:
        if before(subject.data):
            fail(f"this cannot be asked before '{before.__name__}' holds")
    wrong = question(subject.data)
    if wrong:
        fail(wrong)


def returns(subject: DatasetSubject) -> None:
    """It is an ssl_zoo.Dataset with a name."""
    _holds(form.returns, subject)


def options(subject: DatasetSubject) -> None:
    """Every option is keyword-only, has a default and a type, and is documented under `Args:`."""
    declared_options(subject.entry, ("root",))


def misspelt_option(subject: DatasetSubject) -> None:
    """A misspelt option raises a TypeError that names it; by the registered name, also the near miss."""
    refuses_misspelt(subject.entry, (subject.root,))


def images(subject: DatasetSubject) -> None:
    """Images are uint8 arrays (N, H, W, C) of one shape, some in either part."""
    _holds(form.images, subject)


def classes(subject: DatasetSubject) -> None:
    """There are at least two classes, each with a name of its own."""
    _holds(form.classes, subject)


def labels(subject: DatasetSubject) -> None:
    """Labels are int64 arrays (N,) of classes 0 to K - 1, one an image; -1, unknown, only in training."""
    _holds(form.labels, subject)


def names(subject: DatasetSubject) -> None:
    """`names` is empty or names every image, and none twice; the fields after it are of their kinds."""
    _holds(form.names, subject)
    _holds(form.others, subject)
    given = subject.data.names
    if len(set(given)) < len(given):
        fail("`names` gives two images one name")


def every_class(subject: DatasetSubject) -> None:
    """Every class has a labelled image to train on, and one to be scored by."""
    data = _sound(subject)
    for part, array in (("training", data.labels), ("test", data.test_labels)):
        there = np.bincount(array[array >= 0], minlength=len(data.classes)) > 0
        missing = [name for name, found in zip(data.classes, there, strict=True) if not found]
        if missing:
            fail(
                f"no {part} image is of the class {missing[0]!r} ({len(missing)} such classes); do labels and `classes` go by "
                "one order, and is every file read?"
            )


def content(subject: DatasetSubject) -> None:
    """The images differ, and use the range of bytes."""
    data = _sound(subject)
    for name in ("images", "test_images"):
        array = getattr(data, name)
        some = array[np.linspace(0, len(array) - 1, min(len(array), 1000)).astype(int)].reshape(min(len(array), 1000), -1)
        if len(some) > 1 and bool((some == some[:1]).all()):
            what = f"only the value {some[0, 0]}" if bool((some == some[0, 0]).all()) else "one and the same image in every row"
            fail(f"`{name}` holds {what}; does the reader fill the array, and a new one for every image?")
        if some.max() <= 1:
            fail(f"`{name}` holds no value but 0 and 1; were images from 0 to 1 made bytes? Scale them before: (255 * x).round()")
        if len(some) > 1 and some.shape[1] > 4 and bool((some == some[:, :1]).all()):
            fail(f"each image of `{name}` is of one colour alone; is a mean or a single pixel repeated?")


def same_again(subject: DatasetSubject) -> None:
    """A second call gives the same bytes, whatever was drawn before."""
    first, prints = subject.data, []
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        for number in (1, 2):
            random.seed(number)
            np.random.seed(number)
            torch.manual_seed(number)
            prints.append(fingerprint(subject.load()))
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
    if {*prints} != {fingerprint(first)}:
        fail("two calls give different data; draw with a generator of a fixed seed, and sort what a folder's listing gives")


def leakage(subject: DatasetSubject) -> None:
    """No test image is also a training image."""
    data = _sound(subject)
    found = leaks(*pictures(data.images, data.test_images))
    if found:
        row, of = found[0]
        fail(
            f"{len(found)} of {len(data.test_images)} test images are also training images, such as test row {row}, which is row "
            f"{of}: a score counts what was learnt by heart. Remove them from training; or, if the published split has them, say "
            f'so: {subject.entry.target.__name__}.exempt = {{"leakage": "as published"}}'
        )


def missing_files(subject: DatasetSubject) -> None:
    """Where its files are not, it says so with an InputError or an OSError, unless it needs none."""
    fixed = {**subject.entry.fixed, **subject.options}
    if "download" in subject.entry.options:
        fixed["download"] = False
    with tempfile.TemporaryDirectory() as folder:
        for root in (Path(folder), Path(folder) / "nowhere"):
            try:
                made = subject.entry.target(root, **fixed)
            except (InputError, OSError):
                continue
            except Exception as error:
                raise CheckFailed(
                    f"with a root that does not hold its files it raises {described(error)}; say in an ssl_zoo.InputError which "
                    "file is missing"
                ) from error
            if form.returns(made) is None and form.images(made) is not None:
                fail("with a root that does not hold its files it returns no images; raise ssl_zoo.InputError")


def _sound(subject: DatasetSubject) -> Dataset:
    """The data, if its form is right."""
    for question in form.FORM:
        if question(subject.data):
            fail(f"this cannot be asked before '{question.__name__}' holds")
    return subject.data


DATASET_CHECKS: tuple[Callable[[DatasetSubject], None], ...] = (
    returns,
    options,
    misspelt_option,
    images,
    classes,
    labels,
    names,
    every_class,
    content,
    same_again,
    leakage,
    missing_files,
)


def iter_dataset_checks(dataset: Callable[..., Any] | str, *, root: Path | str = "data", **options: Any) -> Iterator[PartCheck]:
    """Every check of a data set, to be called one by one. It is read once for most of them.

    Args:
        dataset: A function, or a registered name. Its attribute `exempt` may say which checks cannot hold, and why.
        root: Where its files are.
        options: Of the data set.

    Raises:
        InputError: No such data set or option, or its `exempt` names no check.
    """
    subject = DatasetSubject(entry_of(DATASETS, dataset, options), options, Path(os.path.expanduser(root)))
    return iter(checks_of(subject, DATASET_CHECKS))


def check_dataset(dataset: Callable[..., Any] | str, *, root: Path | str = "data", **options: Any) -> Report:
    """Run every check of a data set.

    Args:
        dataset: A function, or a registered name. Its attribute `exempt` may say which checks cannot hold, and why.
        root: Where its files are.
        options: Of the data set.

    Returns:
        What passed, and what the data set is exempt from and why.

    Raises:
        CheckFailed: Some did not pass; the message holds those of all.
        InputError: No such data set or option, or its `exempt` names no check.
    """
    return run_all(list(iter_dataset_checks(dataset, root=root, **options)))
