"""Learning curves of finished runs: python benchmarks/plot.py runs/digits-20 --out curves.png (needs `pip install ".[plot]"`)"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, results
from ssl_zoo.errors import InputError

if __package__:
    from benchmarks.table import by_cell, curve, sound
else:
    from table import by_cell, curve, sound


def draw_curves(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Test accuracy against step for each method, the mean over seeds with a band of one standard deviation.

    Raises:
        InputError: The runs cannot be compared, or the picture's kind is unknown.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for (algorithm, labels), cell in sorted(by_cell(rows).items(), key=str):
        steps, means, deviations = zip(*curve(cell), strict=True)
        (line,) = axes.plot(steps, means, label=f"{algorithm}, {labels} labels (n = {len(cell)})")
        low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(
        xlabel="step",
        ylabel="test accuracy, %",
        title=f"{rows[0]['dataset']}, {rows[0]['net']}: mean and standard deviation over seeds",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    try:
        figure.savefig(out, dpi=140)
    except ValueError as error:
        raise InputError(f"{out} cannot be drawn: {error}") from error
    pyplot.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    parser = config.Parser(prog="plot.py", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, folders of them, or .jsonl files of rows")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png|.svg", help="the picture")
    try:
        flags = parser.parse_args(argv)
        rows, problems = results.read_sound_rows(flags.paths)
        kept, left = sound(rows)
        for line in (*problems, *left):
            print(f"plot.py: {line}", file=sys.stderr)
        draw_curves(kept, flags.out)
        return 0
    except (InputError, OSError) as error:
        print(f"plot.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
