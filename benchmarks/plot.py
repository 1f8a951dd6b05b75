"""Pictures of finished runs: python benchmarks/plot.py runs/digits-20 --kind curves --out curves.png

curves: test accuracy against step, a panel for each number of labels. labels: error rate against the number of labels, with the
bound of all of them. confusion: of each method and number of labels, summed over its runs. moons: what nets of runs on the data
set `moons` have learned, of one seed. Needs matplotlib: pip install -e ".[plot]".
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo import config, plugins, results
from ssl_zoo.data.sources import MOONS
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.train.evaluate import predict

if __package__:
    from benchmarks import run
    from benchmarks.table import by_cell, lost_beside, make_table, name_of, sound
else:
    import run
    from table import by_cell, lost_beside, make_table, name_of, sound

Rows = Sequence[Mapping[str, Any]]
MOST_ACROSS = 4  # panels beside each other


def draw_curves(rows: Rows, panels: Sequence[Any]) -> None:
    """Test accuracy against step, a panel for each number of labels: the mean over seeds with a band of one standard deviation.

    Raises:
        InputError: Runs of a method were never evaluated at the same step.
    """
    table = make_table(rows, [], [])
    colors = {method: f"C{place}" for place, method in enumerate(table.cells)}
    for axes, labels in zip(panels, table.labels, strict=True):
        for method, cells in table.cells.items():
            if labels not in cells:
                continue
            if not cells[labels].curve:
                raise InputError(f"the runs of {method} with {labels} labels have no evaluation at the same step")
            steps, means, deviations = (np.array(part) for part in zip(*cells[labels].curve, strict=True))
            style = {"color": colors[method], "marker": "o" if len(steps) < 10 else None, "markersize": 3}
            axes.plot(steps, means, label=f"{method} (n = {cells[labels].n})", **style)
            axes.fill_between(steps, means - deviations, means + deviations, color=colors[method], alpha=0.15, linewidth=0)
        axes.set(xlabel="step", title=f"{labels} labels", xlim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right", fontsize="small")
    panels[0].set(ylabel="test accuracy, %")
    panels[0].figure.suptitle(f"{table.title}: mean and standard deviation over seeds", fontsize="medium")


def draw_labels(rows: Rows, axes: Any) -> None:
    """Error rate against the number of labels, mean and standard deviation over seeds; dashed: every label known.

    Raises:
        InputError: No run has a number of labels.
    """
    table = make_table(rows, [], [])
    counts = [int(labels) for labels in table.labels if labels != "all"]
    if not counts:
        raise InputError("all runs have all labels; --kind labels wants runs of several numbers of labels")
    styles = iter(("--", ":", "-.") * len(table.cells))
    for place, (method, cells) in enumerate(table.cells.items()):
        found = [(count, cells[str(count)].error) for count in counts if str(count) in cells]
        if found:
            numbers, errors = zip(*found, strict=True)
            spread = [error.std or 0.0 for error in errors]
            aside = 1 + 0.02 * (place - (len(table.cells) - 1) / 2)  # so that no bar hides another
            axes.errorbar(
                [n * aside for n in numbers], [error.mean for error in errors], spread, marker="o", capsize=3, label=method
            )
        if "all" in cells:
            label = f"{method}, all labels"
            axes.axhline(cells["all"].error.mean, linestyle=next(styles), color="grey", label=label)
    axes.set(xscale="log", xlabel="labelled images", ylabel="test error rate, %", title=table.title)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def draw_confusion(rows: Rows, panels: Sequence[Any]) -> None:
    """For each method and number of labels, the share of each true class (row) given each class (column)."""
    for axes, ((algorithm, labels), cell) in zip(panels, sorted(by_cell(rows).items(), key=str), strict=True):
        if len({len(row["confusion"]) for row in cell}) > 1:
            raise InputError(f"the runs of {algorithm} with {labels} labels have different numbers of classes")
        matrix = np.sum([row["confusion"] for row in cell], axis=0).astype(float)
        matrix /= matrix.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(matrix):
            if share >= 0.005 and len(matrix) <= 20:
                axes.text(
                    j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "black"
                )
        names = cell[0].get("classes") or [str(k) for k in range(len(matrix))]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set(title=f"{algorithm}, {labels} labels (n = {len(cell)})", xlabel="given, % of the true class", ylabel="true")


def draw_moons(folders: Sequence[Path], panels: Sequence[Any]) -> None:
    """The class regions of trained nets, with the labelled points large and the unlabelled ones small."""
    row, column = np.mgrid[0:256, 0:256].astype(np.uint8)  # every input there is
    plane = torch.from_numpy(np.stack((column, row), axis=-1).reshape(-1, 1, 1, 2).copy())
    low, high = (np.array(corner) for corner in MOONS)
    for axes, folder in zip(panels, folders, strict=True):
        settings, (data, _, _, facts), trainer = run.restore(folder)
        context = torch.autocast("cpu", enabled=False)
        upper = predict(trainer.eval_net(), plane, trainer.evaluator.prepare, 4096, context)[:, 1].reshape(256, 256)
        extent = (low[0], high[0], low[1], high[1])
        axes.imshow(upper, origin="lower", extent=extent, cmap="coolwarm", vmin=0, vmax=1, alpha=0.5, aspect="auto")
        axes.contour(upper, levels=[0.5], origin="lower", extent=extent, colors="black", linewidths=1)
        points = data.images.reshape(-1, 2) / 255 * (high - low) + low
        axes.scatter(*points.T, s=3, c="grey", alpha=0.5, linewidths=0)
        labeled = points[facts.labeled]
        axes.scatter(*labeled.T, s=70, c=facts.labels, cmap="coolwarm", edgecolors="black", vmin=0, vmax=1)
        (result,) = results.read_rows([folder])
        axes.set(title=f"{settings.alg}: {100 * result['accuracy']:.1f} %", xticks=[], yticks=[])


def moons_of(paths: Sequence[Path], seed: int) -> list[Path]:
    """The run folders at the given paths that hold a finished run on `moons` of one seed, one for each method, of one recipe.

    Raises:
        InputError: There is none.
    """
    rows: list[Any] = []
    folders, problems = {}, []
    for file in (file for path in paths if path.is_dir() for file in sorted(path.rglob("result.json"))):
        try:
            (row,) = results.read_rows([file])
        except InputError as error:
            problems.append(str(error))
            continue
        if row["dataset"] == "moons" and row["seed"] == seed:
            rows.append(row)
            folders[id(row)] = file.parent
    if not rows:
        raise InputError(f"no run's folder on the data set `moons` with seed {seed} is there; --kind moons needs the folders")
    kept, left, _ = sound(rows)
    say(problems, left)
    found: dict[str, Path] = {}
    for row in sorted(kept, key=lambda row: (row["algorithm"] != "supervised", row["algorithm"])):
        found.setdefault(row["algorithm"], folders[id(row)])
    return list(found.values())


def say(*lists: Sequence[str]) -> None:
    """Lines about what is left out or odd."""
    for line in itertools.chain(*lists):
        print(f"plot.py: {one_line(InputError(line))}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    parser = config.Parser(prog="plot.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, folders of them, or .jsonl files of rows")
    parser.add_argument("--kind", choices=("curves", "labels", "confusion", "moons"), default="curves", help="which picture")
    parser.add_argument("--seed", type=int, default=0, help="of the runs shown by --kind moons")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png|.svg", help="the picture")
    try:
        flags = parser.parse_args(argv)
        if flags.out.suffix not in (".png", ".svg"):
            raise InputError(f"--out {flags.out} must end in .png or .svg")
        try:
            import matplotlib
        except ImportError as error:
            raise InputError('pictures need matplotlib: pip install -e ".[plot]"') from error
        matplotlib.use("Agg")
        from matplotlib import pyplot

        plugins.load_installed()
        if flags.kind == "moons":
            folders = moons_of(flags.paths, flags.seed)
            figure, panels = pyplot.subplots(
                1, len(folders), figsize=(3.2 * len(folders), 3), layout="constrained", squeeze=False
            )
            draw_moons(folders, panels[0])
        else:
            rows, lost, *lines = results.read_sound_rows(flags.paths)
            found = sound(rows)
            gone = lost_beside(found.kept, lost, found)
            kept = found.kept
            say(*lines, found.lines, [f"{name_of(row)} diverged and is not shown" for row in gone])
            if flags.kind == "confusion":
                count = len(by_cell(kept))
                down, across = -(-count // MOST_ACROSS), min(count, MOST_ACROSS)
                figure, panels = pyplot.subplots(
                    down, across, figsize=(4.2 * across, 4.4 * down), layout="constrained", squeeze=False
                )
                draw_confusion(kept, panels.flat[:count])
                for axes in panels.flat[count:]:
                    axes.remove()
            elif flags.kind == "curves":
                count = len({row["labels"] for row in kept})
                size = (7 if count == 1 else 4.2 * count, 4)
                figure, panels = pyplot.subplots(1, count, figsize=size, layout="constrained", squeeze=False, sharey=True)
                draw_curves(kept, panels[0])
            else:
                figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
                draw_labels(kept, axes)
        try:
            figure.savefig(flags.out, dpi=140)
        except OSError as error:
            raise InputError(f"{flags.out} cannot be written ({error}); choose another --out") from error
        pyplot.close(figure)
        return 0
    except (InputError, OSError) as error:
        print(f"plot.py: {one_line(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
