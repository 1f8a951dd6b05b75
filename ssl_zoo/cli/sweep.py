"""A grid of runs, resumable: ssl-zoo sweep --recipe digits --algs supervised,meanteacher --labels 20,50 --seeds 0-4

Every cell (method, net, number of labels, seed) is a run's folder under --out. Finished cells are skipped, half-done
ones resume from their checkpoint, failed ones are tried once more, unless their loss was not finite, which is an
outcome. Several sweeps, on one machine or many, may share an --out. A seed is also the seed of the label split, so at
one seed every method gets the same labels, batches and first view.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, plugins, presets, recipes
from ssl_zoo.cli.grids import add_engine_flags, check_out, listed, many, run_cells, say_missing, seeds, shared_values
from ssl_zoo.cli.parser import Parser, called, description, path
from ssl_zoo.errors import InputError
from ssl_zoo.sweeps.cells import Cell, grid, named
from ssl_zoo.sweeps.drive import outcomes

SWEPT = {"alg": "--algs", "net": "--nets", "labels": "--labels", "seed": "--seeds", "split_seed": "--seeds"}


def parser(prog: str = "sweep.py") -> Parser:
    """Return the command line's flags."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", action="append", required=True, metavar="NAME|FILE", help="as for run; repeatable")
    p.add_argument("--preset", metavar="NAME", help=f"as for run: {', '.join(presets.names())}")
    p.add_argument("--budget", metavar="NAME", default=recipes.SHORT, help="as for run, such as full")
    p.add_argument("--algs", required=True, metavar="A,B,...", help="methods")
    p.add_argument("--nets", metavar="N,...", help="nets; the recipe's unless said otherwise")
    p.add_argument("--labels", metavar="L,...", help="numbers of labelled images, or `all`; the recipe's unless said otherwise")
    p.add_argument("--seeds", default="0", metavar="S,A-B,...", help="seeds, each also that of the label split")
    p.add_argument("--steps", metavar="N", help="as for run")
    add_engine_flags(p)
    p.add_argument(
        "--out", type=path, metavar="DIR", help="holds the cells; runs/sweep-<recipe>[-<preset>][-<budget>] unless said otherwise"
    )
    return p


def cells_of(flags: argparse.Namespace, out: Path) -> list[Cell]:
    """Return every cell, with its settings checked.

    Raises:
        InputError: A setting of any cell cannot be used.
    """
    for assignment in flags.set:
        key = assignment.partition("=")[0].strip()
        if key in SWEPT:
            raise InputError(f"--set {key} would be overridden by the grid; give {SWEPT[key]}")
    shared: dict[str, Any] = {}
    if flags.steps is not None:
        shared["steps"] = recipes.parse_yaml(flags.steps, "--steps")

    def settings(own: dict[str, Any]) -> Any:
        given = config.gather(flags.recipe, preset=flags.preset, budget=flags.budget, assignments=flags.set)
        return config.settle(given, {**shared, **shared_values(flags, given), **own})

    default = settings({})
    nets = listed(flags.nets, "--nets") if flags.nets is not None else [default.net]
    labels = listed(flags.labels, "--labels") if flags.labels is not None else [str(default.labels)]
    cells: dict[Path, Cell] = {}
    for own in grid(listed(flags.algs, "--algs"), nets, labels, seeds(flags.seeds)):
        made = settings({**own, "labels": recipes.parse_yaml(str(own["labels"]), "--labels")})
        name = named(made)
        cells[out / name] = Cell(name, made, out / name, out / "logs" / f"{name}.txt", tuple(flags.plugin), flags.rerun_stale)
    return list(cells.values())


def main(argv: Sequence[str] | None = None, prog: str = "sweep.py") -> int:
    """The command. Returns the exit status: 0; 1: some cells failed; 2: bad input; 128 + n: ended by signal n."""
    words = sys.argv[1:] if argv is None else argv
    return many(prog, lambda engines: sweep(parser(prog).parse_args(words), engines, prog))


def sweep(flags: argparse.Namespace, engines: contextlib.ExitStack, prog: str = "sweep.py") -> int:
    """Plan the grid and run it."""
    plugins.load(flags.plugin)
    more = filter(None, [flags.preset, None if flags.budget == recipes.SHORT else flags.budget])
    out = flags.out or Path("runs") / "-".join(["sweep", Path(flags.recipe[-1]).stem, *more])
    check_out(out)
    cells = cells_of(flags, out)
    missing = run_cells(cells, flags, engines)
    if flags.dry_run:
        return 1 if missing else 0
    any_row = any(cell.name not in missing and cell.row for cell in cells)
    shown = f"; a table: {called(prog, 'table')} {out}" if any_row else ""
    print(f"{outcomes(cells, missing)}, in {out}/{shown}")
    return say_missing(missing)
