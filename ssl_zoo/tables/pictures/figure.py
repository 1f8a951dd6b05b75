"""Figures of matplotlib, which is an extra of this package: opened without a screen, and written to a file."""

from pathlib import Path
from typing import Any

from ssl_zoo.errors import InputError


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


def open_panels(down: int, across: int, width: float, height: float, share_y: bool = False) -> tuple[Any, Any]:
    """Return a figure, and its panels as an array of `down` by `across`.

    Args:
        down: Rows of panels.
        across: Panels in a row.
        width: Of the figure, in inches.
        height: Of the figure, in inches.
        share_y: Whether all panels have one scale upwards.
    """
    size = (width, height)
    return open_pyplot().subplots(down, across, figsize=size, layout="constrained", squeeze=False, sharey=share_y)


def save(figure: Any, path: Path, dpi: int, way_out: str = "choose another") -> None:
    """Write a figure and close it.

    Args:
        figure: Of matplotlib.
        path: Whose ending says the kind of file.
        dpi: Dots an inch, where the file has dots.
        way_out: What to do where the file cannot be written.

    Raises:
        InputError: The file cannot be written, or its ending is no picture's.
    """
    try:
        figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({error}); {way_out}") from error
    open_pyplot().close(figure)
