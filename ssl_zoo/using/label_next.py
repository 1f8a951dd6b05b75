"""Which images to label next: those of which the net is least sure, and that are not alike.

As in Zhdanov 2019, arXiv:1901.05954: the smallest margins make a pool, which k-means parts into as many clusters as
images are wanted, each image weighted by how unsure the net is. Of each cluster the image nearest to its centre is
taken.
"""

import os
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo import files
from ssl_zoo.data.leakage import hashes
from ssl_zoo.errors import InputError, between
from ssl_zoo.runs.inputs import Inputs, look_at_place
from ssl_zoo.runs.trained import Trained, load
from ssl_zoo.settings import RunSettings
from ssl_zoo.using.candidates import Candidates, of_files, of_run
from ssl_zoo.using.contact import Picture, write_contact_sheet
from ssl_zoo.using.images import Item
from ssl_zoo.using.own_data import FILES, own_data, own_files, recipe_for, refuse_own, settings_of
from ssl_zoo.using.to_label import TABLE, Entry, check_classes, entries_of, refuse_to_lose, table_of

POOL = 10  # images of the pool, for each that is wanted
CONTACT, RECIPE = "contact.html", "recipe.yaml"
Content = Callable[[int], Hashable]


class Chosen(NamedTuple):
    """What was chosen, and of what.

    Attributes:
        paths: Of the chosen images, the least sure first.
        candidates: How many images without a label there were.
        pool: How many of them k-means was given; all of these, where all were taken.
        copies: Candidates that were passed over, as their pixels are those of a labelled image or an earlier candidate.
        errors: Images that could not be read, each with the reason.
        labeled: Images of `images` that have a label, and so are no candidates.
        hidden: Images whose class is known in the data, but that the run did not use: the table has no label for them.
        classes: Names of the classes.
        table: The file to write labels into.
        contact: The sheet to look at.
        recipe: The run's settings, for a run on the table.
    """

    paths: list[str]
    candidates: int
    pool: int
    copies: int
    errors: tuple[str, ...]
    labeled: int
    hidden: int
    classes: tuple[str, ...]
    table: Path
    contact: Path
    recipe: Path


def choose(
    probabilities: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    count: int,
    content: Content | None = None,
    taken: Iterable[Hashable] = (),
) -> tuple[np.ndarray, int, int]:
    """Choose images to label.

    Args:
        probabilities: (n, K), or of each image those of its most probable classes, at least two.
        features: Of some of the images, (m,) -> (m, D): where they lie next to each other if they are alike.
        count: Images.
        content: Of an image, what is the same for its copies, of which one is taken; None: there are no copies.
        taken: Contents of images that are labelled already.

    Returns:
        The chosen images, (count,) or all that there are, the least sure first; how many were in the pool; and how many
        copies were passed over.

    Raises:
        InputError: None is wanted, or there is none.
    """
    between("count", count, 1)
    if not len(probabilities):
        raise InputError("there is no image without a label to choose from")
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    margins = two[:, 1] - two[:, 0]
    pool, copies = _pool(np.argsort(margins, kind="stable"), POOL * count if count > 1 else 1, content, {*taken})
    if not len(pool):
        raise InputError(f"all {copies:,} images without a label are copies of images that have one or are scored")
    if len(pool) <= count:
        return pool, len(pool), copies
    places = _spread(features(pool).astype(np.float64), 1 - margins[pool].astype(np.float64), count)
    return pool[places], len(pool), copies


def _pool(order: np.ndarray, size: int, content: Content | None, seen: set[Hashable]) -> tuple[np.ndarray, int]:
    """The first images in an order, each once, and how many copies were passed over."""
    if content is None:
        return order[:size], 0
    pool: list[int] = []
    copies = 0
    for image in order.tolist():
        if len(pool) == size:
            break
        known = content(image)
        if known in seen:
            copies += 1
            continue
        seen.add(known)
        pool.append(image)
    return np.array(pool, dtype=np.int64), copies


def _spread(features: np.ndarray, unsure: np.ndarray, count: int) -> np.ndarray:
    """(count,) places, ascending: of each cluster the one that is nearest to its centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer places than clusters, of which some are empty then
        means = KMeans(count, n_init=3, random_state=0).fit(features, sample_weight=np.maximum(unsure, 1e-6))
    distance = means.transform(features)[np.arange(len(features)), means.labels_]  # (n,) to the own centre
    places = [min(np.flatnonzero(means.labels_ == k), key=lambda place: distance[place]) for k in {*means.labels_.tolist()}]
    rest = np.setdiff1d(np.arange(len(features)), places)  # the least sure first
    return np.sort(np.concatenate((places, rest[: count - len(places)]))).astype(np.int64)


def label_next(
    run: str | os.PathLike,
    count: int = 20,
    out: str | os.PathLike = "next",
    *,
    images: Sequence[str | os.PathLike] = (),
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    seen: Callable[[Iterable[Item], int], Iterable[Item]] = lambda items, count: items,
) -> Chosen:
    """Choose images to label, and write a table for their labels, a sheet to look at, and a recipe to go on with.

    Args:
        run: Folder of a finished run, or its model.safetensors.
        count: Images.
        out: Folder of what is written.
        images: Paths of others than the run's own images without a label: files, folders, tables of labels.
        data_root: Where the run's data are now, if elsewhere.
        device: auto, cpu, cuda or cuda:N.
        seen: Wraps images that are read, as a bar does; is told how many there are.

    Raises:
        InputError: The run is not finished, its data are gone, there is no image without a label, or what would be
            written over are labels that somebody has written, or the run's own table.
    """
    between("count", count, 1)
    folder = _folder(out)
    trained = load(run, device)
    check_classes(trained.classes)
    settings = settings_of(trained.about["row"], data_root)
    look_at_place(settings, folder)
    refuse_own(folder / TABLE, trained.about["row"], settings)
    inputs, entries = _own(trained, settings)
    if inputs is None and not images:
        raise InputError(f"the images of '{settings.dataset}' are no files to look at; give others as `images=PATHS`")
    known = {entry.path: entry for entry in entries}
    found = of_files(trained, images, known, seen) if images else of_run(trained, inputs, entries)  # type: ignore[arg-type]
    if not found.paths:
        raise InputError(_why_none(found))
    places, pool, copies = choose(found.probabilities, partial(_features, trained, found), count, *_contents(found, inputs))
    lines = _lines(found, places, entries, trained.classes)
    table, contact, recipe = (folder / name for name in (TABLE, CONTACT, RECIPE))
    refuse_to_lose(table, lines, (contact, recipe))
    content = table_of(lines, table)
    folder.mkdir(parents=True, exist_ok=True)
    _write_sheet(contact, found, places, trained)
    files.replace_text(recipe, recipe_for(settings, trained.about["net"]))
    files.replace(table, lambda file: file.write(content))
    of = (len(found.paths), pool, copies, found.errors, found.labeled, sum(entry.hidden for entry in entries))
    return Chosen([found.paths[place] for place in places.tolist()], *of, trained.classes, table, contact, recipe)


def _folder(out: str | os.PathLike) -> Path:
    """Where it is written."""
    folder = Path(os.path.abspath(os.path.expanduser(out)))
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise InputError(f"'{out}' cannot be a folder, as there is a file; give another name")
    return folder


def _own(trained: Trained, settings: RunSettings) -> tuple[Inputs | None, list[Entry]]:
    """The run's own images, where they are files."""
    if settings.dataset != FILES:
        return None, []
    inputs = own_data(trained.about["row"], settings)
    return inputs, entries_of(inputs, own_files(settings, inputs))


def _features(trained: Trained, found: Candidates, places: np.ndarray) -> np.ndarray:
    return trained.features(found.pixels(places.tolist()))


def _contents(found: Candidates, inputs: Inputs | None) -> tuple[Content, set[Hashable]]:
    """What tells copies of a candidate, and what it tells of images that have a label or are scored."""
    labeled: set[Hashable] = set()
    if inputs is not None:
        rows = np.union1d(inputs.split.rows, inputs.held_out)
        for images in (*(inputs.data.images[row][None] for row in rows), *(one[None] for one in inputs.data.test_images)):
            labeled.update(hashes(images))

    def content(place: int) -> Hashable:
        told = hashes(found.pixels([place]))
        return told[0] if told else place

    return content, labeled


def _lines(found: Candidates, places: np.ndarray, entries: Sequence[Entry], classes: Sequence[str]) -> list[Entry]:
    """All lines of the table: what is to be labelled, what is labelled, the other images without a label."""
    guesses = zip(found.paths, found.classes[:, 0].tolist(), found.probabilities[:, 0].tolist(), strict=True)
    without = {path: Entry(path, guess=classes[k], confidence=p) for path, k, p in guesses}
    chosen = [without.pop(found.paths[place]) for place in places.tolist()]
    labeled = [entry for entry in entries if entry.label]
    there = {entry.path for entry in chosen}
    others = [entry for entry in entries if not entry.label and entry.path not in without and entry.path not in there]
    return [*chosen, *labeled, *without.values(), *others]


def _write_sheet(sheet: Path, found: Candidates, places: np.ndarray, trained: Trained) -> None:
    pictures = []
    for place in places.tolist():
        guesses = zip(found.classes[place].tolist(), found.probabilities[place].tolist(), strict=True)
        pictures.append(Picture(found.paths[place], [(trained.classes[k], p) for k, p in guesses]))
    title = f"{len(pictures)} images to label"
    write_contact_sheet(sheet, pictures, title, trained.about["images"].get("depth", 16))


def _why_none(found: Candidates) -> str:
    if found.errors:
        return f"none of the images can be read, such as {found.errors[0]}"
    if found.labeled:
        return f"all {found.labeled:,} images have a label already; give others as `images=PATHS`"
    return "the run has no image without a label; give others as `images=PATHS`"
