"""The parts of `speed.py`: workloads, contenders, turns, parts of a step, and the tables."""

from .contenders import Bare, BareGraph, Ours, peak, plain
from .decoding import measure_decoding
from .parts import LOG_EVERY, PARTS, breakdown
from .peers import peers_of
from .starting import default_run, starts
from .tables import brief, markdown
from .turns import interleaved, spread, timed
from .using import PHOTO, measure_use
from .workloads import Workload, random_data

__all__ = [
    "LOG_EVERY",
    "PARTS",
    "PHOTO",
    "Bare",
    "BareGraph",
    "Ours",
    "Workload",
    "breakdown",
    "brief",
    "default_run",
    "interleaved",
    "markdown",
    "measure_decoding",
    "measure_use",
    "peak",
    "peers_of",
    "plain",
    "random_data",
    "spread",
    "starts",
    "timed",
]
