"""The picture of a ladder: accuracy of each rung, and the measurements against the share of the run that is done."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_zoo.tables.ladder import MEASURED, Sorted, middle
from ssl_zoo.tables.pictures.figure import open_pyplot, plain, save
from ssl_zoo.tables.rows import Row, data_of

COLORS = 10  # that matplotlib has before it begins again
SQUEEZE = 15  # points below the worst main rung, beyond which a run of an arm is shown at the edge
STYLES = ("-", "--", ":", "-.")


def draw(found: Sorted, path: Path) -> list[str]:
    """Draw the rows of a ladder into a file. Return lines about it, as `save` does.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    pyplot = open_pyplot()
    rungs, names = found.rungs, list(found.rungs)
    main = [name for name in names if "-" not in name] or names  # arms are shown by their accuracy alone
    figure = pyplot.figure(figsize=(17, 8), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    first = figure.add_subplot(grid[:, 0])
    others = [figure.add_subplot(grid[place // 3, 1 + place % 3]) for place in range(len(MEASURED))]
    _accuracies(first, found, main)
    for axes, (key, heading) in zip(others, MEASURED.items(), strict=True):
        for place, name in enumerate(main):
            _measurement(
                axes, key, rungs[name], label=plain(name), color=f"C{place % COLORS}", linestyle=STYLES[place // COLORS % 4]
            )
        axes.set(title=heading.replace(", %", ""), xlim=(0, 1))
        if key.endswith("ratio") and any(y > 0 for line in axes.lines for y in line.get_ydata()):
            axes.set_yscale("log")
    for axes in others[3:]:
        axes.set(xlabel="share of the run")
    for axes in (first, *others):
        axes.grid(alpha=0.3)
    figure.legend(*others[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(main))
    dataset = data_of(next(iter((*rungs[names[0]], *found.lost[names[0]]))))
    counts = sorted({len(group) for group in rungs.values()})
    figure.suptitle(
        f"{plain(dataset)}, {' or '.join(map(str, counts))} runs a rung; lines are means, of the ratio medians", fontsize="medium"
    )
    return save(figure, path, dpi=80)


def _accuracies(axes: Any, found: Sorted, main: Sequence[str]) -> None:
    """Draw each run and each rung's mean, the rungs one below the other."""
    rungs, names = found.rungs, list(found.rungs)
    # a run that collapsed would squeeze all others
    left = min((100 * row["accuracy"] for name in main for row in rungs[name]), default=0) - SQUEEZE
    for place, name in enumerate(names):
        scores = [100 * row["accuracy"] for row in rungs[name]]
        color = f"C{main.index(name) % COLORS}" if name in main else "grey"
        seen, beyond = [score for score in scores if score >= left], [left for score in scores if score < left]
        axes.scatter(seen, [place] * len(seen), s=10, alpha=0.5, color=color)
        axes.scatter(beyond, [place] * len(beyond), s=20, marker="<", color=color)
        if scores and not beyond:
            axes.scatter([statistics.mean(scores)], [place], marker="|", s=120, color=color)
    gone = [f"{plain(name)}, {len(found.lost[name])} diverged" if found.lost[name] else plain(name) for name in names]
    axes.set_yticks(range(len(names)), gone, fontsize=8 if len(names) > 15 else 10)
    axes.invert_yaxis()
    axes.set(title="test accuracy, %: runs and mean\n(< further left)")


def _measurement(axes: Any, key: str, rows: Sequence[Row], **style: str) -> None:
    """Draw one measurement of one rung, at the shares of a run at which all its runs have it."""
    points: dict[float, list[float]] = {}
    for row in rows:
        for point in row["mechanism"]:
            if key in point:
                points.setdefault(point["step"] / row["steps"], []).append(point[key])
    shares = sorted(share for share, values in points.items() if len(values) == max(map(len, points.values())))
    axes.plot(shares, [middle(key, points[share]) for share in shares], linewidth=1.2, **style)
