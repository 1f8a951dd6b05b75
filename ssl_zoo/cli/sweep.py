"""A grid of runs, resumable: ssl-zoo sweep --recipe digits --algs supervised,meanteacher --labels 20,50 --seeds 0-4

Any other setting takes many values by --grid optimizer.lr=0.01,0.03, once for each setting, and all combinations are
run. Every cell (method, net, number of labels, such values, seed) is a run's folder under --out. Finished cells are
skipped, half-done ones resume from their checkpoint, failed ones are tried once more, unless their loss was not finite,
which is an outcome. Several sweeps, on one machine or many, may share an --out. A seed is also the seed of the label
split, so at one seed every method gets the same labels, batches and first view.
"""

import argparse
import contextlib
import copy
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ssl_zoo import config, near, plugins, recipes
from ssl_zoo.cli.flags import add_sources, at_hand, dataset_of, gathered, of_no_effect, values
from ssl_zoo.cli.grids import add_engine_flags, cell_of, check_out, listed, many, run_cells, say_missing, seeds
from ssl_zoo.cli.parser import Parser, called, description, flag_of, path, say
from ssl_zoo.errors import InputError, shown
from ssl_zoo.registry import ALGORITHMS, close
from ssl_zoo.runs.baselines import check_weights
from ssl_zoo.runs.inputs import look_at_data, look_at_place
from ssl_zoo.runs.naming import named_sweep
from ssl_zoo.settings import NO_OTHER_RUN, OWN_BATCH, OWN_STEPS, RunSettings
from ssl_zoo.sweeps.axes import MISSING, Axis, check_apart, idle, read_axis, value_of, within
from ssl_zoo.sweeps.cells import Cell, grid, named
from ssl_zoo.sweeps.drive import outcomes

EVERY = "all"  # in the place of methods
SWEPT = {"alg": "--algs", "net": "--nets", "labels": "--labels", "seed": "--seeds", "split_seed": "--split-seed"}
OF_ALL = ("recipe", "preset", "budget")  # flags of which a sweep has one
LISTS = {"alg": "algs", "net": "nets", "labels": "counts", "seed": "seeds"}  # of these, where a flag's list is kept


def parser(prog: str = "sweep.py") -> Parser:
    """Return the command line's flags: those of a run, of which some take many values."""
    p = Parser(
        prog=prog,
        description=description(__doc__, prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        at_hand=at_hand,
    )
    p.add_argument("--algs", "--alg", metavar="A,B,...", help="methods, or `all`; the recipe's unless said otherwise")
    p.add_argument("--nets", "--net", metavar="N,...", help="nets; the recipe's unless said otherwise")
    p.add_argument(
        "--labels",
        metavar="L,...",
        dest="counts",
        help="numbers of labelled images, or `all`; the recipe's unless said otherwise",
    )
    p.add_argument("--seeds", "--seed", metavar="S,A-B,...", help="seeds, each also that of the label split; 0 if not given")
    p.add_argument("--split-seed", metavar="N", help="of the label split of all runs, in place of each run's own seed")
    p.add_argument("--steps", metavar="N", help="updates of the net")
    p.add_argument("--from", metavar="MODEL", dest="initial", help="begin each run from a trained net, as `run` does")
    p.add_argument(
        "--grid",
        metavar="KEY=V1,V2,...",
        action="append",
        default=[],
        help="values of any other setting, such as optimizer.lr=0.01,0.03, as in a list of YAML; repeatable: all combinations "
        "are run. An option of one method, such as algorithms.meanteacher.weight=10,100, makes no more cells of the others",
    )
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
    axes: Sequence[Axis] = ()  # but for those that have flags of their own
    left_out: Mapping[tuple[str, str], str] = MappingProxyType({})  # (method, net) -> why, where all methods are asked for

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the axes."""
        return tuple(axis.key for axis in self.axes)

    def settings(self, own: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> RunSettings:
        """Return those of a cell, checked.

        Args:
            own: What the cell sets, by dotted key.
            given: Settings below that, in place of those that all cells share.
        """
        on_top = dict(values(self.flags, self.given))
        return config.settle(copy.deepcopy(dict(given or self.given)), {**own, **on_top})

    def combinations(self) -> Iterator[Mapping[str, Any]]:
        """Yield the settings below a cell's own, with each combination of the axes' values."""
        for texts in itertools.product(*(axis.assignments() for axis in self.axes)):
            yield gathered(self.flags, texts)


def grid_of(flags: argparse.Namespace) -> Grid:
    """Read what cells share, and the axes of the others.

    Raises:
        InputError: Something is set that the grid sets.
    """
    for assignment in flags.set:
        key = assignment.partition("=")[0].strip()
        if key in SWEPT:
            raise InputError(f"--set {key} would be overridden by the grid; give {SWEPT[key]}")
    given, axes = gathered(flags), []
    for text in flags.grid:
        axis = _known(text, given)
        if axis.key in LISTS:
            _put_into_list(flags, axis)
        else:
            axes.append(axis)
    check_apart(axes)
    _check_against_flags(flags, given, axes)
    algs = [word.casefold() for word in listed(flags.algs, "--algs")] if flags.algs is not None else []
    if EVERY in algs and len(algs) > 1:
        raise InputError(f"--algs {EVERY} has every method in it; give it alone")
    return Grid(flags, given, axes, _name_all(Grid(flags, given, axes)) if EVERY in algs else {})


def _name_all(asked: Grid) -> dict[tuple[str, str], str]:
    """Put the names of all methods into the flag that asks for all, and return what cannot be run, and why."""
    names = ALGORITHMS.names()
    nets = listed(asked.flags.nets, "--nets") if asked.flags.nets is not None else [asked.settings({}).net]
    why = {(alg, net): _refusal(asked.settings({"alg": alg, "net": net})) for alg in names for net in nets}
    asked.flags.algs = ",".join(alg for alg in names if not all(why[alg, net] for net in nets))
    return {place: said for place, said in why.items() if said}


def _refusal(settings: RunSettings) -> str:
    """Why a method cannot be run with the views and the net of settings; empty where it can."""
    target = ALGORITHMS.resolve(settings.alg).target
    asked = (*getattr(target, "views", ()), *getattr(target, "labeled_views", ()))
    lacking = [view for view in asked if view not in settings.views]
    if lacking:
        return f"it asks for a view called '{lacking[0]}', which the recipe does not define"
    try:
        check_weights(settings)
    except InputError:
        return f"it needs a net with weights, and those of {settings.net} would be random; --from MODEL gives it a trained net"
    return ""


def _known(text: str, given: Mapping[str, Any]) -> Axis:
    """Return the axis that a word stands for, of a setting that there is."""
    axis = read_axis(text)
    first, listed_values = axis.key.partition(".")[0], text.partition("=")[2].strip()
    if first not in (*RunSettings.__dataclass_fields__, *OF_ALL):
        rest = axis.key.removeprefix(first)
        firsts = [f"--grid {name}{rest}={listed_values}" for name in close(first, RunSettings.__dataclass_fields__) if rest]
        meant = near.setting(axis.key, listed_values, given) or near.misspelt(axis.key, listed_values, given)
        meant = f"did you mean {' or '.join(firsts)}? " if firsts else re.sub(r"`([\w.:-]+=[^`]*)`", r"--grid \1", meant)
        raise InputError(f"--grid {axis.key}: there is no such setting; {meant}`run --help` shows all")
    if axis.key == "split_seed":
        raise InputError("--grid split_seed: a seed is also that of the label split; give --seeds, or one --split-seed for all")
    if axis.key in ("fold", "folds", "minutes", *OF_ALL, *NO_OTHER_RUN):
        raise InputError(
            f"--grid {axis.key}: runs of a sweep do not differ in it; give each value a sweep and an --out of its own"
        )
    return axis


def _put_into_list(flags: argparse.Namespace, axis: Axis) -> None:
    """Let --grid net=a,b be --nets a,b."""
    if getattr(flags, LISTS[axis.key]) is not None:
        raise InputError(f"{axis.key} is given twice, by {SWEPT[axis.key]} and by --grid; keep one")
    setattr(flags, LISTS[axis.key], ",".join(map(str, axis.values)))


def _check_against_flags(flags: argparse.Namespace, given: Mapping[str, Any], axes: Sequence[Axis]) -> None:
    """Refuse what an axis would undo, or what would undo it."""
    on_top = dict(values(flags, given))
    of_set = [recipes.canonical_key(text.partition("=")[0].strip()) for text in flags.set]
    config.one_length({*on_top, *of_set, *(axis.key for axis in axes)})
    _check_own_numbers([axis.key for axis in axes])
    for axis in axes:
        for key in on_top:
            if within(axis.key, key) or within(key, axis.key):
                raise InputError(f"{key} is given twice, by {flag_of(key.rpartition('.')[2])} and by --grid; keep one")
        for key in of_set:
            if within(key, axis.key):
                raise InputError(f"{key} is given twice, by --set and by --grid {axis.key}; keep one")


def _check_own_numbers(keys: Sequence[str]) -> None:
    """Refuse to vary what all methods share beside a method's own, which takes its place: runs would be the same."""
    for shared, own in (*((length, OWN_STEPS) for length in config.LENGTHS), ("batch.unlabeled", OWN_BATCH)):
        of_one = [key for key in keys if key.startswith("algorithms.") and (*key.split("."),)[2:3] == (own,)]
        if of_one and shared in keys:
            raise InputError(f"--grid {of_one[0]} and --grid {shared}: a run has one of the two; keep one")


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
    numbers = seeds("0" if flags.seeds is None else flags.seeds)
    cells: dict[Path, Cell] = {}
    combinations = list(asked.combinations())
    for own in grid(algs, nets, counts, numbers):
        if (own["alg"], own["net"]) in asked.left_out:
            continue
        for given in combinations:
            made = asked.settings({**own, "labels": recipes.parse_yaml(str(own["labels"]), "--labels")}, given)
            name = named(made, asked.keys)
            cells[out / name] = cell_of(flags, name, made, out, asked.keys)
    for key in asked.keys:
        if not any(value_of(cell.settings, key) is not MISSING for cell in cells.values()):
            raise InputError(f"--grid {key}: no run here has that setting{_way_out(key)}")
    return list(cells.values())


def _way_out(key: str) -> str:
    """What to do about an axis that is of no run."""
    section, _, name = key.rpartition(".")[0].partition(".")
    flag = {"algorithms": "--algs", "nets": "--nets", "datasets": "--dataset"}.get(section)
    return f"; name {name} in {flag} too, or leave it out" if flag else "; leave it out"


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
    say(prog, (f"--algs {EVERY} is without {alg} with {net}: {why}" for (alg, net), why in asked.left_out.items()))
    out = out_of(asked)
    look_at_place(first, out)
    check_out(out)
    cells = _cells(asked, out)
    runs = [cell.settings for cell in cells]
    say(prog, [*of_no_effect(flags.set, runs), *(f"--grid {line}" for line in idle(asked.keys, runs))])
    missing = run_cells(cells, flags, engines)
    if flags.dry_run:
        return 1 if missing else 0
    any_row = any(cell.name not in missing and cell.row for cell in cells)
    table = f"; a table: {called(prog, 'table')} {out}" if any_row else ""
    print(shown(f"{outcomes(cells, missing)}, in {out}/{table}"))
    return say_missing(missing)
