"""A grid of runs, resumable: ssl-zoo sweep --recipe digits --algs supervised,meanteacher --labels 20,50 --seeds 0-4

Every cell (method, net, number of labels, seed) is a run's folder under --out. Finished cells are skipped, half-done
ones resume from their checkpoint, failed ones are tried once more, unless their loss was not finite, which is an
outcome. Several sweeps, on one machine or many, may share an --out. A seed is also the seed of the label split, so at
one seed every method gets the same labels, batches and first view.
"""

import argparse
import contextlib
import copy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import config, plugins, recipes
from ssl_zoo.cli.flags import add_sources, at_hand, dataset_of, gathered, values
from ssl_zoo.cli.grids import add_engine_flags, cell_of, check_out, listed, many, run_cells, say_missing, seeds
from ssl_zoo.cli.parser import Parser, called, description, path
from ssl_zoo.errors import InputError, shown
from ssl_zoo.runs.inputs import look_at_data, look_at_place
from ssl_zoo.runs.naming import named_sweep
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.cells import Cell, grid, named
from ssl_zoo.sweeps.drive import outcomes

SWEPT = {"alg": "--algs", "net": "--nets", "labels": "--labels", "seed": "--seeds", "split_seed": "--split-seed"}


def parser(prog: str = "sweep.py") -> Parser:
    """Return the command line's flags: those of a run, of which some take many values."""
    p = Parser(
        prog=prog,
        description=description(__doc__, prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        at_hand=at_hand,
    )
    p.add_argument("--algs", "--alg", metavar="A,B,...", help="methods; the recipe's unless said otherwise")
    p.add_argument("--nets", "--net", metavar="N,...", help="nets; the recipe's unless said otherwise")
    p.add_argument(
        "--labels",
        metavar="L,...",
        dest="counts",
        help="numbers of labelled images, or `all`; the recipe's unless said otherwise",
    )
    p.add_argument("--seeds", "--seed", default="0", metavar="S,A-B,...", help="seeds, each also that of the label split")
    p.add_argument("--split-seed", metavar="N", help="of the label split of all runs, in place of each run's own seed")
    p.add_argument("--steps", metavar="N", help="updates of the net")
    add_sources(p)
    add_engine_flags(p)
    p.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help="holds the cells; runs/sweep-<recipe>[-<preset>][-<budget>] unless said otherwise; of your own images, "
        "sweep-<their folder's or archive's name>",
    )
    return p


class Grid(NamedTuple):
    """What a command line asks for: settings of one cell, with some of them changed in each."""

    flags: argparse.Namespace
    given: Mapping[str, Any]

    def settings(self, own: Mapping[str, Any]) -> RunSettings:
        """Return those of a cell, checked."""
        on_top = dict(values(self.flags, self.given))
        return config.settle(copy.deepcopy(dict(self.given)), {**own, **on_top})


def grid_of(flags: argparse.Namespace) -> Grid:
    """Read what cells share.

    Raises:
        InputError: Something is set that the grid sets.
    """
    for assignment in flags.set:
        key = assignment.partition("=")[0].strip()
        if key in SWEPT:
            raise InputError(f"--set {key} would be overridden by the grid; give {SWEPT[key]}")
    return Grid(flags, gathered(flags))


def cells_of(flags: argparse.Namespace, out: Path) -> list[Cell]:
    """Return every cell, with its settings checked.

    Raises:
        InputError: A setting of any cell cannot be used.
    """
    return _cells(grid_of(flags), out)


def _cells(asked: Grid, out: Path) -> list[Cell]:
    flags, default = asked.flags, asked.settings({})
    algs = listed(flags.algs, "--algs") if flags.algs is not None else [default.alg]
    nets = listed(flags.nets, "--nets") if flags.nets is not None else [default.net]
    counts = listed(flags.counts, "--labels") if flags.counts is not None else [str(default.labels)]
    cells: dict[Path, Cell] = {}
    for own in grid(algs, nets, counts, seeds(flags.seeds)):
        made = asked.settings({**own, "labels": recipes.parse_yaml(str(own["labels"]), "--labels")})
        name = named(made)
        cells[out / name] = cell_of(flags, name, made, out)
    return list(cells.values())


def out_of(asked: Grid) -> Path:
    """Return where the cells go."""
    flags = asked.flags
    recipe = Path(flags.recipe[-1]).stem if flags.recipe else config.recipe_of(dataset_of(flags))
    more = filter(None, [flags.preset, None if flags.budget == recipes.SHORT else flags.budget])
    return flags.out or Path("runs") / "-".join(["sweep", named_sweep(recipe, asked.settings({})), *more])


def main(argv: Sequence[str] | None = None, prog: str = "sweep.py") -> int:
    """The command. Returns the exit status: 0; 1: some cells failed; 2: bad input; 128 + n: ended by signal n."""
    words = sys.argv[1:] if argv is None else argv
    return many(prog, lambda engines: sweep(parser(prog).parse_args(words), engines, prog))


def sweep(flags: argparse.Namespace, engines: contextlib.ExitStack, prog: str = "sweep.py") -> int:
    """Plan the grid and run it."""
    plugins.load(flags.plugin)
    asked = grid_of(flags)
    first = asked.settings({})
    if first.folds is not None:
        raise InputError(
            f"a sweep trains no folds; `{called(prog, 'run')} --folds {first.folds}` makes them, once for each method"
        )
    look_at_data(first)
    out = out_of(asked)
    look_at_place(first, out)
    check_out(out)
    cells = _cells(asked, out)
    missing = run_cells(cells, flags, engines)
    if flags.dry_run:
        return 1 if missing else 0
    any_row = any(cell.name not in missing and cell.row for cell in cells)
    table = f"; a table: {called(prog, 'table')} {out}" if any_row else ""
    print(shown(f"{outcomes(cells, missing)}, in {out}/{table}"))
    return say_missing(missing)
