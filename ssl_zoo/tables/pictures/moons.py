"""What nets of runs on the data set `moons` have learned: their class regions.

The one picture that asks a trained net.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo.data.sources import MOONS
from ssl_zoo.errors import InputError
from ssl_zoo.runs.row import read_rows, results_below
from ssl_zoo.tables.cells import ALONE
from ssl_zoo.tables.pictures.figure import open_panels, plain
from ssl_zoo.tables.rows import sound
from ssl_zoo.tables.variants import called, in_order, told_apart
from ssl_zoo.train.evaluate import predict

Restore = Callable[[Path], Any]  # a run's folder -> settings, inputs, trainer with the weights of its checkpoint


def picture_moons(folders: Mapping[str, Path], restore: Restore) -> Any:
    """Return a figure with a panel for each run.

    Args:
        folders: Of runs, by what each is called.
        restore: Loads what a run has trained.
    """
    figure, panels = open_panels(1, len(folders), 3.2 * len(folders), 3)
    draw_moons(folders, panels[0], restore)
    return figure


def draw_moons(folders: Mapping[str, Path], panels: Sequence[Any], restore: Restore) -> None:
    """Draw the class regions of trained nets, with the labelled points large and the unlabelled ones small.

    Args:
        folders: Of runs, with what each is called.
        panels: One for each.
        restore: Loads what a run has trained.
    """
    row, column = np.mgrid[0:256, 0:256].astype(np.uint8)  # every input there is
    plane = torch.from_numpy(np.stack((column, row), axis=-1).reshape(-1, 1, 1, 2).copy())
    low, high = (np.array(corner) for corner in MOONS)
    for axes, (name, folder) in zip(panels, folders.items(), strict=True):
        _, inputs, trainer = restore(folder)
        data, facts = inputs.data, inputs.facts
        context = torch.autocast("cpu", enabled=False)
        upper = predict(trainer.eval_net(), plane, trainer.evaluator.prepare, 4096, context)[:, 1].reshape(256, 256)
        extent = (low[0], high[0], low[1], high[1])
        axes.imshow(upper, origin="lower", extent=extent, cmap="coolwarm", vmin=0, vmax=1, alpha=0.5, aspect="auto")
        axes.contour(upper, levels=[0.5], origin="lower", extent=extent, colors="black", linewidths=1)
        points = data.images.reshape(-1, 2) / 255 * (high - low) + low
        axes.scatter(*points.T, s=3, c="grey", alpha=0.5, linewidths=0)
        labeled = points[facts.labeled]
        axes.scatter(*labeled.T, s=70, c=facts.labels, cmap="coolwarm", edgecolors="black", vmin=0, vmax=1)
        (result,) = read_rows([folder])
        axes.set(title=f"{plain(name)}: {100 * result['accuracy']:.1f} %", xticks=[], yticks=[])


def moons_of(
    paths: Sequence[Path], seed: int, choose: Callable[[list[Any]], list[Any]] = list
) -> tuple[dict[str, Path], list[str]]:
    """Return the folders at the given paths that hold a finished run on `moons` of one seed, and lines about others.

    There is one folder for each method and variant, by what it is called, and all are of one recipe.

    Args:
        paths: Of folders.
        seed: Of the runs.
        choose: Returns those of the rows that are wanted.

    Raises:
        InputError: There is none.
    """
    rows: list[Any] = []
    folders, problems = {}, []
    for file in (file for path in paths if path.is_dir() for file in results_below(path)):
        try:
            (row,) = read_rows([file])
        except InputError as error:
            problems.append(str(error))
            continue
        if row["dataset"] == "moons" and row["seed"] == seed:
            rows.append(row)
            folders[id(row)] = file.parent
    if not rows:
        raise InputError(f"no run's folder on the data set `moons` with seed {seed} is there; --kind moons needs the folders")
    (told,) = told_apart(rows)
    places = {id(row): folders[id(known)] for row, known in zip(told, rows, strict=True)}
    kept, left, _ = sound(choose(told))
    found: dict[str, Path] = {}
    for row in sorted(kept, key=lambda row: (row["algorithm"] != ALONE, row["algorithm"], in_order(row))):
        found.setdefault(called(row), places[id(row)])
    return found, [*problems, *left]
