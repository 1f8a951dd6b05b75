"""Figures of matplotlib, which is an extra of this package: opened without a screen, and written to a file."""

import re
import warnings
from pathlib import Path
from typing import Any

from ssl_zoo.errors import InputError, one_line

MOST_WITHIN = 5  # names of curves within a panel
LABELED = 0.45  # inches that ticks and the label of an axis take


def open_pyplot() -> Any:
    """Return matplotlib's pyplot, which draws into files alone.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def open_panels(down: int, across: int, width: float, height: float, share_y: bool | str = False) -> tuple[Any, Any]:
    """Return a figure, and its panels as an array of `down` by `across`.

    Args:
        down: Rows of panels.
        across: Panels in a row.
        width: Of the figure, in inches.
        height: Of the figure, in inches.
        share_y: Whether all panels have one scale upwards; row: those of a row.
    """
    size = (width, height)
    return open_pyplot().subplots(down, across, figsize=size, layout="constrained", squeeze=False, sharey=share_y)


def add_legend(axes: Any, place: str, **style: Any) -> None:
    """Name the curves of a panel: within it, or below where there are so many that they would hide the curves.

    Args:
        axes: The panel.
        place: Where within it, in matplotlib's words.
        style: Of matplotlib.
    """
    where: dict[str, Any] = {"loc": place}
    if room_below(len(axes.get_legend_handles_labels()[1])):
        from matplotlib.transforms import ScaledTranslation

        below = axes.transAxes + ScaledTranslation(0, -LABELED, axes.figure.dpi_scale_trans)
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
    axes.legend(frameon=False, handlelength=3.4, **where, **style)  # long enough for every kind of dashes


def room_below(count: int) -> float:
    """Return how many inches below a panel the names of so many curves take; 0 where they are within it."""
    return 0.22 * count if count > MOST_WITHIN else 0.0


def plain(text: str, most: int = 80) -> str:
    """Return a name as a picture shows it: in one line, cut in the middle, and never taken for a formula.

    Args:
        text: Whatever a method, net, data set or class is called.
        most: Characters, of which the first and the last are kept.
    """
    line = one_line(text)
    if len(line) > most:
        line = f"{line[: most // 2]}…{line[len(line) - most + most // 2 + 1 :]}"
    line = line.replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line  # matplotlib leaves such a line out of its legend


def save(figure: Any, path: Path, dpi: int, way_out: str = "choose another") -> list[str]:
    """Write a figure and close it. Return a line about letters that its font lacks, if there are any.

    Args:
        figure: Of matplotlib.
        path: Whose ending says the kind of file.
        dpi: Dots an inch, where the file has dots.
        way_out: What to do where the file cannot be written.

    Raises:
        InputError: The file cannot be written, or its ending is no picture's.
    """
    try:
        with warnings.catch_warnings(record=True, action="always") as caught:
            figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({error}); {way_out}") from error
    finally:
        open_pyplot().close(figure)
    said = dict.fromkeys(str(warning.message) for warning in caught)
    glyphs = [chr(int(found[1])) for text in said if (found := re.match(r"Glyph (\d+) ", text))]
    others = [text for text in said if not text.startswith("Glyph ")]
    if not glyphs:
        return others
    some = ", ".join(glyphs[:10]) + (f" and {len(glyphs) - 10} more letters" if len(glyphs) > 10 else "")
    return [*others, f"{path}: its font lacks {some}, shown as boxes; a matplotlibrc with another font.family has them drawn"]
