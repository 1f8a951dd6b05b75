"""What a run is made of, beside its settings: images, labelled rows, and what is held out."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from ssl_zoo.batch import Facts
from ssl_zoo.data.class_weights import class_weights
from ssl_zoo.data.dataset import Dataset, digests_of
from ssl_zoo.data.holdout import with_test_set
from ssl_zoo.data.leakage import contradictions, leaks, pictures
from ssl_zoo.data.names import TRAIN, part_of
from ssl_zoo.data.open_set import hidden, with_open_set
from ssl_zoo.data.split_file import read_split
from ssl_zoo.data.splits import NONE, Split, draw_split, hold_out
from ssl_zoo.data.stream import Wanted, cut_stream
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.registry import DATASETS
from ssl_zoo.settings import RunSettings

T = TypeVar("T")
SHOWN = 3  # files in a line


class Inputs(NamedTuple):
    """The data of a run, and what a method may know of them."""

    data: Dataset
    split: Split  # which rows are labelled
    held_out: np.ndarray  # (V,) which of these are for validation
    facts: Facts
    replaced: tuple[str, ...] = ()  # labelled images whose pixels are not those that the split file knows
    cut: np.ndarray = NONE  # rows without a label that the unlabelled stream leaves out, and so the run


def look_at_data(settings: RunSettings) -> None:
    """Look whether a user's own images are there, without reading them.

    Raises:
        InputError: They are not.
    """
    look = getattr(DATASETS.resolve(settings.dataset).target, "look", None)
    if look is not None:
        _of_root(settings, look)


def look_at_place(settings: RunSettings, out: Path) -> None:
    """Refuse a run's folder among class folders: it would be read as a class, the next time at the latest.

    Raises:
        InputError: It lies in the folder of a user's own images, beside their class folders.
    """
    root = os.path.realpath(os.path.expanduser(settings.data_root))
    inside = f"{os.path.realpath(out)}/".startswith(f"{root}/")
    own = hasattr(DATASETS.resolve(settings.dataset).target, "look")
    own = own and settings.datasets[settings.dataset].get("labels_file") is None  # which says what is read
    if own and inside and os.path.isdir(root) and not any(part_of(entry.name) == TRAIN for entry in os.scandir(root)):
        raise InputError(
            f"{out} lies among the class folders in '{settings.data_root}', and would be read as one; choose another folder"
        )


def load_data(settings: RunSettings) -> Dataset:
    """Return the images, with a test set: their own, or labelled images that are held out.

    Raises:
        InputError: They cannot be read.
    """
    options = settings.datasets[settings.dataset]
    return scorable(settings, _of_root(settings, lambda root: DATASETS.create(settings.dataset, root, **options)))


def _of_root(settings: RunSettings, work: Callable[[Path], T]) -> T:
    root = Path(os.path.expanduser(settings.data_root))
    try:
        return work(root)
    except OSError as error:  # a path that no file can have, or that nobody may look at
        raise InputError(f"data_root '{root}' cannot be read ({error.strerror or error})") from error


def scorable(settings: RunSettings, data: Dataset) -> Dataset:
    """Return the data with a test set, their own or labelled images that are held out, and without unlabelled classes.

    Raises:
        InputError: There are no such classes; images cannot be held out; or a share of them is asked for, and there is
            a test set.
    """
    data = with_open_set(data, settings.unlabeled_classes)
    if len(data.test_images) and settings.test_fraction != RunSettings.test_fraction:
        own = f"{len(data.test_images):,} images"
        raise InputError(f"`test_fraction` is for data without a test set, and these have one of {own}; leave it out")
    return with_test_set(data, settings.test_fraction, settings.folds, settings.fold)


def choose_labels(settings: RunSettings, data: Dataset) -> Inputs:
    """Draw or read the label split, and hold out what is for validation.

    Raises:
        InputError: The data have no such split.
    """
    own = np.arange(*data.validation)  # rows that are there to validate by
    labels = hidden(data.labels)
    labels[own] = -1
    before, replaced = NONE, ()
    if settings.split_file is not None:
        path = Path(os.path.expanduser(settings.split_file))
        split, before, replaced = read_split(path, data._replace(labels=labels))
        if settings.labels != len(split.rows):
            raise InputError(
                f"{settings.split_file} names {len(split.rows)} labelled images, but labels is {settings.labels}; make them agree"
            )
    else:
        wanted = (settings.labels, settings.split_seed)
        how = {"draw": settings.draw, "imbalance": settings.imbalance}
        split = draw_split(data.name, labels, len(data.classes), *wanted, class_names=data.classes, **how)
    rows = np.arange(len(data.images))
    if len(own) and settings.val_fraction:
        raise InputError("the data have images to validate by, and val_fraction asks for others; set `val_fraction=0`")
    held_out = own if len(own) else hold_out(split, settings.val_fraction, before, data.classes)
    if settings.selection == "validation" and not len(held_out):
        raise InputError("selection = validation needs images to select by; set val_fraction, such as `val_fraction=0.2`")
    learnt = ~np.isin(split.rows, held_out)
    without = np.setdiff1d(rows, np.union1d(split.rows, held_out))
    asked = Wanted(**dataclasses.asdict(settings.stream))
    kept = cut_stream(data.name, data.labels, without, len(data.classes), settings.split_seed, asked, data.classes)
    stream = np.union1d(kept, split.rows[learnt]) if settings.batch.labeled_in_unlabeled else kept
    known = (split.rows[learnt], split.classes[learnt], stream)
    weights = class_weights(settings.class_weights, known[1], len(data.classes), settings.class_weights_beta)
    facts = Facts(len(data.classes), len(rows), *(torch.from_numpy(part.astype(np.int64)) for part in known))
    facts = facts if weights is None else facts._replace(class_weights=torch.from_numpy(weights))
    return Inputs(data, split, held_out, facts, replaced, np.setdiff1d(without, kept))


class Flaw(NamedTuple):
    """What makes a score say little."""

    what: str
    way_out: str  # what is to be done with the data
    means: str  # for the score


def find_flaws(inputs: Inputs) -> tuple[int, list[Flaw]]:
    """Look for images of the test set, or held out, that are also trained on, and for one image in two classes.

    Returns:
        How many test images are also training images, and what was found.
    """
    data, held_out = inputs.data, inputs.held_out
    rows = len(data.images)
    tested_images = data.test_images[: 0 if data.fitted else None]  # else copies of training images, as they are meant to be
    digests = digests_of(data)
    known = None if digests is None else digests.images[: rows + len(tested_images)]
    trained, tested = pictures(data.images, tested_images, known=known)

    def name(place: int) -> str:
        return data.names[place] if data.names else f"row {place}" if place < rows else f"test row {place - rows}"

    used = np.setdiff1d(np.arange(rows), inputs.cut)
    of_test = [(rows + one, other) for one, other in leaks(trained, tested, used)]
    of_held_out = [(held_out[one], other) for one, other in leaks(trained, trained[held_out], np.setdiff1d(used, held_out))]
    by_heart = ("remove them from the training set", "the score counts what was learnt by heart")
    found = [
        Flaw(
            f"{len(pairs)} of {count} {kind} images are also training images, such as {name(pairs[0][0])}, "
            f"which is {name(pairs[0][1])}",
            *by_heart,
        )
        for kind, count, pairs in (("test", len(data.test_images), of_test), ("validation", len(held_out), of_held_out))
        if pairs
    ]
    if inputs.replaced:
        what = f"{len(inputs.replaced)} of {inputs.split.labels} labelled images have other pixels than the split file knows"
        found.append(
            Flaw(
                f"{what}, such as {inputs.replaced[0]}",
                "put them back, or draw anew, without split_file",
                "they were replaced, or another version of Pillow reads them otherwise",
            )
        )
    labels = np.concatenate((data.labels, data.test_labels[: len(tested_images)]))
    of_two = contradictions(np.concatenate((trained, tested)), labels)
    if of_two:
        one, other = (f"{name(row)} ('{data.classes[labels[row]]}')" for row in of_two[0])
        what = f"{len(of_two)} images have the same pixels as an image of another class, such as {one} and {other}"
        found.append(Flaw(what, "give each one class", "no net can be right about both"))
    return len(of_test), found


def check_data(settings: RunSettings, inputs: Inputs) -> tuple[int, list[str]]:
    """Return how many test images are also trained on, and lines about flaws of the data and files that were left out.

    Raises:
        InputError: The data have such a flaw, and `strict` is set.
    """
    leaked, flaws = find_flaws(inputs)
    if settings.strict and flaws:
        raise InputError(one_line(f"{flaws[0].what}; {flaws[0].way_out}, or go on without `strict=True`"))
    said = [one_line(f"{flaw.what}: {flaw.means}; `strict=True` refuses such data") for flaw in flaws]
    return leaked, [*_unread(settings), *_left_out(inputs.data), *said]


def _unread(settings: RunSettings) -> Iterator[str]:
    """A folder of data that is given to a data set which reads none: somebody's own images, perhaps."""
    package = getattr(DATASETS.resolve(settings.dataset).target, "comes_with", None)
    if package is not None and settings.data_root != RunSettings.data_root:
        yield (
            f"the data set {settings.dataset} comes with {package} and reads nothing from '{settings.data_root}'; "
            "to train on images of your own, give `dataset=folder`"
        )


def _left_out(data: Dataset) -> Iterator[str]:
    if data.skipped:
        some = "1 file is" if len(data.skipped) == 1 else f"{len(data.skipped):,} files are"
        such = f"{':' if len(data.skipped) <= SHOWN else ', such as:'} {', '.join(map(one_line, data.skipped[:SHOWN]))}"
        yield f"{some} left out{such}; all are in left_out.txt of the run's folder"
