"""The bar of images that are being decoded."""

import sys
from typing import Self

from tqdm import tqdm

BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"  # images a second, however few


class Progress:
    """A bar on stderr, if there is more than a second to wait.

    Args:
        count: Images.
    """

    def __init__(self, count: int):
        self.done = 0
        pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
        look = {"desc": "decoding", "unit": " images", "bar_format": BAR, "dynamic_ncols": True}
        self.bar = tqdm(total=count, delay=1, mininterval=pause, **look)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def add(self, count: int, kept: int) -> None:
        """Count images. Those of them that were kept from an earlier time took none, and do not count for the rate."""
        self.done += count
        self.bar.initial += kept
        self.bar.n += kept
        self.bar.last_print_n += kept
        self.bar.update(count - kept)
