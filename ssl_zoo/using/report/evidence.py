"""What a page about a run is made of: its row, its settings, its images, and what its net says of them."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo import config, recipes
from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.split_file import read_split
from ssl_zoo.errors import InputError
from ssl_zoo.runs.confusion import Pairs, of_places, pairs_of, sizes
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.inputs import load_data
from ssl_zoo.runs.row import Row
from ssl_zoo.runs.trained import Trained, load
from ssl_zoo.settings import RunSettings
from ssl_zoo.tables.folds import pool_folds

FOLD = re.compile(r"fold-(\d+)$")  # of a folder
WHOLE = 50_000_000  # probabilities that are kept; of more, only what is said of each image
Seen = Callable[[Iterable[Any], int, str], Iterable[Any]]  # wraps what is gone through, as a bar does


class Looked(NamedTuple):
    """What a net says of images whose class is known."""

    labels: np.ndarray  # (n,) classes that they have
    predicted: np.ndarray  # (n,) classes that they are given
    confidence: np.ndarray  # (n,) probability of what they are given
    of_label: np.ndarray  # (n,) probability of what they have
    probabilities: np.ndarray | None  # (n, K); None where these are too many
    names: tuple[str, ...]  # n, or none where images are no files
    pixels: Callable[[int], np.ndarray]  # of an image, (H, W, C) uint8
    trained_on: np.ndarray  # (n,) whether the net learnt from this label

    @property
    def wrong(self) -> np.ndarray:
        """(n,) whether an image is given another class than it has."""
        return self.predicted != self.labels


class Run(NamedTuple):
    """A finished run, or one in folds."""

    path: Path  # of its folder
    folders: list[RunFolder]  # the same, or one for each fold
    row: Row  # of folds, of all
    trained: Trained  # of folds, that of the first
    labels: np.ndarray | None  # (K,) images with a label that it learnt from
    unlabeled: int | None  # images without one
    scored: Looked | None
    labeled: Looked | None  # training images; None of folds, which score them all
    missing: tuple[str, ...]  # why something is None, and what is odd about the rest

    @property
    def folds(self) -> int | None:
        """How many nets there are, each scored on the images that it had not seen."""
        return self.row["config"].get("folds") if len(self.folders) > 1 else None

    @property
    def confusion(self) -> Pairs:
        """What was taken for what."""
        return pairs_of(self.row["confusion"])


def folders_of(path: Path) -> list[RunFolder]:
    """Return the folder of a run, or those of its folds, in order; none where it is neither.

    Raises:
        InputError: There is no such folder; or a fold is missing.
    """
    if not path.is_dir():
        raise InputError(f"'{path}' is {'a file' if path.exists() else 'not there'}; give the folder of a run or of a sweep")
    own = RunFolder(path)
    if any(file.exists() for file in (own.config, own.result, own.lost, own.model)):
        return [own]
    found = {int(match[1]): place for place in path.iterdir() if (match := FOLD.fullmatch(place.name)) and place.is_dir()}
    folds = {k: folder for k, place in found.items() if (folder := RunFolder(place)).holds_a_run()}
    if not folds:
        return []
    count = recipes.read_recipe(str(next(iter(folds.values())).config)).get("folds") or 0
    absent = [k for k in range(count) if k not in folds]
    if absent:
        raise InputError(f"fold {absent[0]} of {count} is missing in {path}; the command that made the others makes it")
    return [folds[k] for k in sorted(folds)]


def read_run(folders: Sequence[RunFolder], path: Path, device: str, data_root: str | None, seen: Seen) -> Run:
    """Return a run with what its nets say of its images.

    Args:
        folders: Of the run, or of its folds.
        path: As it was given.
        device: That predicts.
        data_root: Where its images are now; None: where they were.
        seen: Wraps what is gone through.

    Raises:
        InputError: It is not finished, or diverged, or its net cannot be used.
    """
    nets = [load(folder.path, device) for folder in folders]
    rows = [row for folder in folders if (row := folder.row()) is not None]
    folded = len(folders) > 1
    pooled, said = pool_folds(rows) if folded else (rows, [])
    if len(pooled) != 1:
        raise InputError(said[0] if said else f"the folds in {path} are of several runs; give each a folder of its own")
    row: Row = pooled[0]  # type: ignore[assignment]
    looks: list[Looked] = []
    labeled, without, missing = None, None, list[str]()
    for folder, own, net in zip(folders, rows, nets, strict=True):
        try:
            data = _data(folder, data_root)
            looks.append(_scored(data, own, net, seen, missing))
            unknown = int((data.labels < 0).sum()) if own["labels"] == "all" else len(data.labels) - int(own["labels"])
            without = unknown - own.get("cut_images", 0)
            labeled = None if folded else _labeled(folder, data, net, seen, missing)
        except InputError as error:
            missing.append(f"No image is shown: {error}.")
            looks = []
            break
    labels = np.array(sizes(row["confusion"])) if folded and row["labels"] == "all" else _labels(folders[0], nets[0])
    scored = _together(looks) if looks else None
    return Run(path, list(folders), row, nets[0], labels, without, scored, labeled, tuple(dict.fromkeys(missing)))


def settings_of(folder: RunFolder) -> RunSettings:
    """Return the settings of a run.

    Raises:
        InputError: A part of it is not registered, or its file cannot be read.
    """
    return config.resolve(recipes.read_recipe(str(folder.config)))


def _data(folder: RunFolder, data_root: str | None) -> Dataset:
    """The images of a run. None is fetched from anywhere."""
    settings = settings_of(folder)
    options = settings.datasets[settings.dataset]
    if "download" in options:
        settings = dataclasses.replace(settings, datasets={settings.dataset: {**options, "download": False}})
    if data_root is not None:
        settings = dataclasses.replace(settings, data_root=data_root)
    return load_data(settings)


def _scored(data: Dataset, row: Row, net: Trained, seen: Seen, missing: list[str]) -> Looked:
    """What the net says of the images that were scored, if these are still what they were."""
    if tuple(data.classes) != net.classes:
        raise InputError("the classes of the data are others now than when it was trained")
    count = len(data.test_labels)
    names = data.names[len(data.labels) :]
    found = _look(net, data.test_images, np.arange(count), data.test_labels, names, seen, "scored images")
    again = of_places(len(net.classes), Counter(zip(found.labels.tolist(), found.predicted.tolist(), strict=True)))
    same, alike = fingerprint(data) == row["data_hash"], again == pairs_of(row["confusion"])
    if not same and not alike:
        raise InputError("the images of the data are others now than when it was trained")
    right = f"{int((~found.wrong).sum()):,} of the {count:,} scored images"
    if not same:
        missing.append(
            f"The data have changed since it was trained. Pictures are of what is there now; as before, {right} are right."
        )
    elif not alike:
        rounds = (
            "Pictures and confidences are of predictions made anew, and this machine rounds otherwise than the one that scored"
        )
        missing.append(f"{rounds}: now {right} are right.")
    return found


def _labeled(folder: RunFolder, data: Dataset, net: Trained, seen: Seen, missing: list[str]) -> Looked | None:
    """What the net says of the labelled training images, if they are still there."""
    try:
        split, held_out, _ = read_split(folder.split, data)
    except InputError as error:
        missing.append(f"Labels are not looked at: {error}.")
        return None
    names = tuple(data.names[row] for row in split.rows) if data.names else ()
    found = _look(net, data.images, split.rows, split.classes, names, seen, "labelled images")
    return found._replace(trained_on=~np.isin(split.rows, held_out))


def _look(
    net: Trained, images: np.ndarray, rows: np.ndarray, labels: np.ndarray, names: Sequence[str], seen: Seen, what: str
) -> Looked:
    """What the net says of some rows, in batches of the size that they were scored in."""
    size, keep = net.about["batch"], len(rows) * len(net.classes) <= WHOLE
    whole: list[np.ndarray] = []
    said: list[tuple[np.ndarray, ...]] = []
    starts = range(0, len(rows), size)
    for start in seen(starts, len(starts), what):
        p = net.predict_proba(images[rows[start : start + size]])
        best, known = p.argmax(axis=1), labels[start : start + size]
        said.append((best, p.max(axis=1), p[np.arange(len(p)), known]))
        whole += [p] if keep else []
    predicted, confidence, of_label = (np.concatenate(part) for part in zip(*said, strict=True))
    probabilities = np.concatenate(whole) if keep else None
    return Looked(
        labels, predicted, confidence, of_label, probabilities, tuple(names), lambda i: images[rows[i]], np.zeros(len(rows), bool)
    )


def _together(looks: Sequence[Looked]) -> Looked:
    """As one: of folds, each image looked at by the net that had not seen it."""
    if len(looks) == 1:
        return looks[0]
    ends = np.cumsum([len(one.labels) for one in looks])

    def pixels(i: int) -> np.ndarray:
        part = int(np.searchsorted(ends, i, side="right"))
        return looks[part].pixels(i - int(ends[part - 1] if part else 0))

    arrays = ("labels", "predicted", "confidence", "of_label", "trained_on")
    whole = [one.probabilities for one in looks]
    return Looked(
        **{name: np.concatenate([getattr(one, name) for one in looks]) for name in arrays},
        probabilities=None if any(one is None for one in whole) else np.concatenate(whole),  # type: ignore[arg-type]
        names=tuple(name for one in looks for name in one.names),
        pixels=pixels,
    )


def _labels(folder: RunFolder, net: Trained) -> np.ndarray | None:
    """(K,) how many labels of each class the run learnt from, as its split says."""
    try:
        split = json.loads(folder.split.read_text(encoding="utf-8"))
        held_out = {*split.get("validation", ())}
        learnt = [k for row, k in zip(split["rows"], split["classes"], strict=True) if row not in held_out]
        return np.bincount(learnt, minlength=len(net.classes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it was removed, or changed by hand
        return None
