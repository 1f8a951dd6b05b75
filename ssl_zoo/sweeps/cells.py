"""The cells of a grid: each is a run's settings and its folder."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import config
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.identity import differing, other_code, plugins_of
from ssl_zoo.runs.initial import initial_of
from ssl_zoo.runs.inputs import Inputs, choose_labels, load_data
from ssl_zoo.runs.row import Row
from ssl_zoo.runs.settled import as_begun
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.axes import named_values


class Cell(NamedTuple):
    """One run of the grid, with all that a process needs to make it."""

    name: str
    settings: RunSettings
    path: Path  # of its folder
    log: Path  # of what it prints
    plugins: tuple[str, ...] = ()  # to be loaded first
    rerun_stale: bool = False  # whether what other code has made, or half made, is trained anew, in its place
    fresh: bool = False  # whether what is there and is another run, or of other code, is moved aside
    axes: tuple[str, ...] = ()  # dotted keys of its settings in which cells differ, beside method, net, labels and seed

    @property
    def folder(self) -> RunFolder:
        """Its folder."""
        return RunFolder(self.path)

    @property
    def row(self) -> Row | None:
        """Its result, if it has one."""
        return self.folder.row()

    @property
    def diverged(self) -> str | None:
        """What was not finite, if it diverged.

        That is an outcome: to try until it gets through would choose among runs.
        """
        return self.folder.diverged()

    @property
    def steps_done(self) -> int:
        """The last step that was logged of a run that has no outcome yet."""
        return self.folder.progress()[0] if self.folder.outcome() is None else 0

    @property
    def stale(self) -> bool:
        """Whether other code than this made its result, of ssl_zoo or of a plug-in."""
        row = self.folder.outcome()
        return row is not None and bool(other_code(row, self.settings) or differing(row, {"plugins": plugins_of(self.settings)}))


class Sorted(NamedTuple):
    """Cells by what is to be done with them."""

    done: list[Cell]  # with an outcome
    todo: list[Cell]
    refused: dict[str, str]  # that cannot be run, by name, with the reason
    stale: list[Cell]  # of those done, made with other code
    aside: list[Cell]  # of those to be run, for which another run is moved aside


def named(settings: RunSettings, axes: Sequence[str] = ()) -> str:
    """Return the name of a cell, with its values of axes, by their dotted keys."""
    parts = (f"{settings.alg}-{settings.net}-{settings.labels}", *named_values(settings, axes), f"s{settings.seed}")
    return "-".join(parts).replace(":", "_")


def grid(
    algs: Sequence[str], nets: Sequence[str], labels: Sequence[str], seeds: Iterable[int]
) -> Iterable[Mapping[str, str | int]]:
    """Yield what each cell sets, all methods of a seed next to each other."""
    for seed, count, net, alg in itertools.product(seeds, labels, nets, algs):
        yield {"alg": alg, "net": net, "labels": count, "seed": seed, "split_seed": seed}


def sort(cells: Sequence[Cell]) -> Sorted:
    """Look what has an outcome, what is to be run, and what cannot be.

    Raises:
        InputError: None can be, for one reason.
    """
    found = Sorted([], [], {}, [], [])
    known: dict[str, str | None] = {}  # what is wrong with the data and labels of settings, by these
    for cell in cells:
        try:
            if cell.settings.minutes is not None:
                raise InputError(
                    "`minutes` give each run of a sweep a number of steps of its own; give `steps`, or `epochs=100` for passes "
                    "over all images"
                )
            plain = config.plain(as_begun(cell.folder, cell.settings))
            other = cell.fresh and cell.folder.holds_another_run(plain)
            cell.folder.refuse(plain, fresh=other)
            ended = not other and cell.folder.outcome() is not None
            stale = ended and cell.stale
            if not ended or (stale and (cell.rerun_stale or cell.fresh)):
                initial_of(cell.settings, None if other else cell.folder)  # whether it is there
                _check_data(cell.settings, known)
                found.todo.append(cell)
                found.aside.extend([cell] * (other or (stale and cell.fresh)))
            else:
                found.done.append(cell)
                found.stale.extend([cell] * stale)
        except InputError as error:
            found.refused[cell.name] = str(error)
    if len(found.refused) == len(cells) and len({*found.refused.values()}) == 1:
        raise InputError(next(iter(found.refused.values())))
    return found


def _check_data(settings: RunSettings, known: dict[str, str | None]) -> None:
    key = data_of(settings)
    if key not in known:
        known[key] = _problem_with_data(settings)
    problem = known[key]
    if problem is not None:
        raise InputError(problem)


def data_of(settings: RunSettings) -> str:
    """Return what of the settings decides the data and the labels, as text."""
    labels = [settings.labels, settings.draw, settings.imbalance, settings.val_fraction, settings.split_file]
    return json.dumps([*_images(settings), *labels, dataclasses.asdict(settings.stream)], sort_keys=True, default=str)


def _images(settings: RunSettings) -> list[Any]:
    """What decides which images are trained on and scored, whatever their labels."""
    scored = (settings.test_fraction, settings.folds, settings.fold)
    return [settings.dataset, settings.data_root, settings.datasets, settings.unlabeled_classes, *scored]


def _problem_with_data(settings: RunSettings) -> str | None:
    try:
        inputs_of(settings)
    except InputError as error:
        return str(error)
    return None


_loaded: dict[str, Dataset] = {}  # the last data set used


def inputs_of(settings: RunSettings) -> Inputs:
    """Return the data of a cell; those of one data set are loaded once."""
    key = json.dumps(_images(settings), sort_keys=True, default=str)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = load_data(settings)
    return choose_labels(settings, _loaded[key])
