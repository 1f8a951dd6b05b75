"""Pictures of finished runs: ssl-zoo plot runs/digits-20 --kind curves --out curves.png

curves: test accuracy against step, a panel for each data set, net and number of labels. labels: error rate against the
number of labels, with the bound of all of them. confusion: of each method and number of labels, summed over its runs.
moons: what nets of runs on the data set `moons` have learned, of one seed. Needs matplotlib: pip install matplotlib.
"""

import argparse
import contextlib
from collections.abc import Sequence
from typing import Any

from ssl_zoo import plugins
from ssl_zoo.cli.grids import listed
from ssl_zoo.cli.parser import Parser, command, description, path, say
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, NETS, Registry, folded, near_miss
from ssl_zoo.runs.row import read_sound_rows
from ssl_zoo.tables.folds import pool_folds
from ssl_zoo.tables.pictures.confusion import picture_confusion
from ssl_zoo.tables.pictures.curves import picture_curves
from ssl_zoo.tables.pictures.figure import open_pyplot, save
from ssl_zoo.tables.pictures.labels import picture_labels
from ssl_zoo.tables.pictures.moons import moons_of, picture_moons
from ssl_zoo.tables.rows import Row, data_of, grouped, lost_beside, name_of, sound
from ssl_zoo.tables.variants import told_apart

OF_ROWS = {"curves": picture_curves, "labels": picture_labels, "confusion": picture_confusion}


def main(argv: Sequence[str] | None = None, prog: str = "plot.py") -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input.

    Args:
        argv: The words; those of the process unless given.
        prog: What the command is called.
    """
    return command(prog, lambda: plot(parser(prog).parse_args(argv), prog))


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("paths", nargs="+", type=path, help="run folders, folders of them, or .jsonl files of rows")
    p.add_argument("--kind", choices=(*OF_ROWS, "moons"), default="curves", help="which picture")
    p.add_argument("--algs", "--alg", metavar="A,B,...", help="methods; all unless said otherwise")
    p.add_argument("--nets", "--net", metavar="N,...", help="nets; all unless said otherwise")
    p.add_argument("--labels", metavar="L,...", help="numbers of labelled images, or `all`; all there are unless said otherwise")
    p.add_argument("--seed", type=int, default=0, help="of the runs shown by --kind moons")
    p.add_argument("--out", type=path, required=True, metavar="FILE.png|.svg", help="the picture")
    return p


def plot(flags: argparse.Namespace, prog: str) -> int:
    """Draw one picture and write it."""
    if flags.out.suffix not in (".png", ".svg"):
        raise InputError(f"--out {flags.out} must end in .png or .svg")
    open_pyplot()  # where it is missing, nothing is read
    plugins.load_installed()
    figure = _of_nets(flags, prog) if flags.kind == "moons" else _of_rows(flags, prog)
    say(prog, save(figure, flags.out, dpi=140, way_out="choose another --out"))
    return 0


def _of_nets(flags: argparse.Namespace, prog: str) -> Any:
    from ssl_zoo.runs.restore import restore  # with all that trains

    folders, lines = moons_of(flags.paths, flags.seed, lambda rows: chosen(rows, flags))
    say(prog, lines)
    return picture_moons(folders, restore)


def _of_rows(flags: argparse.Namespace, prog: str) -> Any:
    rows, lost, *lines = read_sound_rows(flags.paths)
    rows, gaps = pool_folds(rows)
    if not rows:
        raise InputError(gaps[0])
    rows, lost = told_apart(rows, lost)
    for said in (*lines, gaps):
        say(prog, said)
    groups = []
    for place, group in grouped(chosen(rows, flags), _place).items():
        found = sound(group)
        gone = lost_beside(found.kept, [row for row in lost if _place(row) == place], found)
        say(prog, [*found.lines, *(f"{name_of(row)} diverged and is not shown" for row in gone)])
        groups.append(found.kept)
    return OF_ROWS[flags.kind](groups)


def _place(row: Row) -> tuple[str, str]:
    return data_of(row), row["net"]


def chosen(rows: Sequence[Row], flags: argparse.Namespace) -> list[Row]:
    """Return those of the methods, nets and numbers of labels that flags name.

    Raises:
        InputError: There is none of one that is named.
    """
    kept = list(rows)
    for name, flag_name, registry in (("algorithm", "algs", ALGORITHMS), ("net", "nets", NETS), ("labels", "labels", None)):
        text = getattr(flags, flag_name)
        if text is not None:
            there = {_spelt(str(row[name]), registry): str(row[name]) for row in kept}
            wanted = {_spelt(one, registry): one for one in listed(text, f"--{flag_name}")}
            for spelt, one in wanted.items():
                if spelt not in there:
                    near = near_miss(one, there.values())
                    raise InputError(f"--{flag_name} {one}: no run of it is there; {near}there are: {', '.join(there.values())}")
            kept = [row for row in kept if _spelt(str(row[name]), registry) in wanted]
    return kept


def _spelt(name: str, registry: Registry | None) -> str:
    """A name as it is compared: of what is registered the canonical one, whatever alias is given."""
    with contextlib.suppress(InputError):
        return folded(registry.resolve(name).name) if registry is not None else folded(name)
    return folded(name)  # a plug-in's, that is not loaded here
