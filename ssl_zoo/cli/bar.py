"""The bar of a command that goes through many images."""

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], count: int, what: str = "predicting", unit: str = "image") -> Iterable[T]:
    """Return items that show on stderr how many of them were taken, if they take longer than a second.

    Args:
        items: To go through.
        count: How many there are.
        what: Is done with them.
        unit: What one of them is.
    """
    from tqdm import tqdm  # of no use to --help

    pause = 0.1 if sys.stderr.isatty() else 10.0  # a log file wants few lines
    return tqdm(items, total=count, desc=what, unit=unit, delay=1, mininterval=pause)
