"""The parts of `speed.py`: what is measured with, who is timed, in turns and part by part, and the tables that come of it."""

from .contenders import Bare, Ours, peak, plain
from .parts import LOG_EVERY, PARTS, breakdown
from .tables import brief, markdown
from .turns import interleaved, spread, timed
from .workloads import Workload, random_data

__all__ = [
    "LOG_EVERY",
    "PARTS",
    "Bare",
    "Ours",
    "Workload",
    "breakdown",
    "brief",
    "interleaved",
    "markdown",
    "peak",
    "plain",
    "random_data",
    "spread",
    "timed",
]
