"""How many runs should share a device: ssl-zoo share --recipe digits --net smallnet

Lets 1, 2, 4, ... copies of a run make steps at a time, for seconds, until more copies make no more steps between them,
or one finds no memory. `sweep --jobs-per-device auto` asks this before it begins. Nothing is written.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import torch

from ssl_zoo import plugins
from ssl_zoo.cli import run
from ssl_zoo.cli.parser import Parser, command, description
from ssl_zoo.errors import InputError
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.share import MOST, best, measured_with, table


def settings_of(argv: Sequence[str], prog: str = "share.py") -> tuple[RunSettings, list[str]]:
    """Return the settings of a command line of `run`, and the plug-ins that they need.

    Raises:
        InputError: It asks for something else than a run.
    """
    asked = run.parse(argv, prog)
    if asked.list or asked.print_config or asked.help:
        raise InputError("--list, --print-config and --help are of run.py alone; leave them out")
    plugins.load(asked.plugin)
    settings = run.read_settings(asked)
    if is_baseline(settings.alg):
        raise InputError(
            f"{settings.alg} is fitted at once and has no steps to be timed; give another method, such as supervised"
        )
    return settings, asked.plugin


def main(argv: Sequence[str] | None = None, prog: str = "share.py") -> int:
    """The command. Returns the exit status: 0; 2: bad input; 130: interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    status = command(prog, lambda: _share(words, prog))
    return 2 if status == 1 else status


def _share(argv: Sequence[str], prog: str) -> int:
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--most", type=int, default=MOST, metavar="K", help=f"runs at a time, at most ({MOST})")
    p.epilog = "All other flags are those of a run; nothing is written, so --out is not read."
    flags, words = p.parse_known_args(argv)
    if flags.most < 1:
        raise InputError(f"--most is {flags.most}; it must be at least 1")
    settings, names = settings_of(words, prog)
    device = settings.device
    if device.startswith("cuda:"):
        raise InputError(
            f"--device {device}: a copy sees one GPU; name it as CUDA_VISIBLE_DEVICES={device[5:]} and give --device cuda"
        )
    on_gpu = device != "cpu" and torch.cuda.is_available()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if on_gpu else ""
    found = measured_with(settings, names, visible.split(",")[0], flags.most)
    print(f"{table(found)}\n\nbest: {best(found)} at a time")
    return 0
