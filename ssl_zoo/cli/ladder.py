"""From one recipe to another, one change a rung: ssl-zoo ladder --dataset digits --rungs S0,A0,A1,A2 --seeds 0-9

Trains every rung of configs/ladder.yaml on every seed, which is also that of the label split, so that rungs are
compared over the same splits; resumable, as a sweep. Ends in rows.jsonl, ladder.md (what each change gains, and what
the consistency term did meanwhile) and, where matplotlib is installed, ladder.png, all in --out and of all runs in it.
"""

import argparse
import contextlib
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, files, plugins, recipes
from ssl_zoo.cli.flags import values
from ssl_zoo.cli.grids import add_engine_flags, cell_of, check_out, listed, many, run_cells, say_missing, seeds
from ssl_zoo.cli.parser import GRID, Parser, description, flag, path, say
from ssl_zoo.errors import InputError, printable, shown
from ssl_zoo.ladders import LADDER, Rung, check_set, read_ladder, shortened, spelled_there
from ssl_zoo.registry import near_miss
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.drive import outcomes
from ssl_zoo.tables.documents import insert_into
from ssl_zoo.tables.ladder import markdown, read_rows, sound
from ssl_zoo.tables.ladder_rows import OWN, collect
from ssl_zoo.tables.pictures.ladder import draw

KNOWN = GRID - {"alg", "net", "dataset", "labels", "seed", "split_seed", "steps"}  # settings with a flag here


def parser(prog: str = "ladder.py") -> Parser:
    """Return the command line."""
    p = Parser(
        prog=prog,
        description=description(__doc__, prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        at_hand=lambda flags: {},
    )
    p.add_argument(
        "--ladder", type=path, metavar="FILE.yaml", default=LADDER, help="the ladders, configs/ladder.yaml unless said otherwise"
    )
    p.add_argument("--dataset", metavar="NAME", default="digits", help="which of them: digits (as now), cifar10, cifar10-folder")
    p.add_argument("--rungs", metavar="R,...", help="such as S0,A0,A2; all of it unless said otherwise")
    p.add_argument(
        "--seeds", "--seed", metavar="S,A-B,...", default="0-2", help="0-2 as now, each also the seed of the label split"
    )
    p.add_argument(
        "--scale", metavar="F", type=float, default=1.0, help="share of the full number of steps, for every rung; 1 as now"
    )
    add_engine_flags(p)
    p.add_argument(
        "--out", type=path, metavar="DIR", help="holds the runs; runs/<ladder>-<dataset>[-<scale>] unless said otherwise"
    )
    p.add_argument(
        "--read",
        type=path,
        metavar="FILE.jsonl|DIR",
        help="run nothing; show the rows of a ladder that was run before, or of its --out",
    )
    p.add_argument("--into", type=path, metavar="FILE.md", help="put the tables into a Markdown file, at the place of --read")
    p.add_argument("--picture", type=path, metavar="FILE.png|.svg", help="draw the picture of --read there")
    return p


def cells_of(flags: argparse.Namespace, rungs: Sequence[Rung], kept: Path, out: Path) -> list[Cell]:
    """Return a run for every rung and seed. Their recipes are written into a folder."""
    wanted = seeds(flags.seeds)  # before anything is written
    kept.mkdir(parents=True, exist_ok=True)
    for rung in rungs:
        path, text = kept / f"{rung.name}.yaml", recipes.dump_mapping(shortened(rung.recipe, flags.scale))
        if (
            path.exists()
            and not flags.fresh
            and recipes.read_mapping(path, "a recipe", "settings") != recipes.parse_yaml(text, str(path))
        ):
            raise InputError(
                f"{path} is another recipe than {rung.name} has now, by its steps or its ladder; choose another --out, or give "
                "--fresh, which moves aside what was run"
            )
        files.replace_text(path, f"# {rung.name}: {rung.change}\n{text}")
    cells = []
    for seed in wanted:
        for rung in rungs:  # so that all rungs of the first seeds are there early
            name = f"{rung.name}-s{seed}"
            given = config.gather([str(kept / f"{rung.name}.yaml")], assignments=flags.set)
            settings = config.settle(given, {**_by_flags(flags, given), "seed": seed, "split_seed": seed})
            cells.append(cell_of(flags, name, settings, out))
    return cells


def _by_flags(flags: argparse.Namespace, given: Mapping[str, Any]) -> dict[str, Any]:
    """What flags set, by dotted key; --dataset names a ladder, whose recipes name the data set."""
    return dict(values(argparse.Namespace(**{**vars(flags), "dataset": None}), given))


def assigned(flags: argparse.Namespace, rung: Rung) -> list[str]:
    """Return what is laid on top of every rung, by --set and by flags, as KEY=VALUE."""
    given = _by_flags(flags, rung.recipe)
    return [*flags.set, *(f"{key}={json.dumps(value)}" for key, value in given.items() if key not in OWN)]


def show(flags: argparse.Namespace, prog: str) -> int:
    """Show tables and picture of rows that were written before."""
    kept = sound(read_rows(flags.read))
    say(prog, kept.lines)
    made = printable(markdown(kept))
    if flags.into:
        with flag("--into"):
            insert_into(flags.into, flags.read.as_posix(), made)
    else:
        print(made)
    if flags.picture:
        say(prog, draw(kept, flags.picture))
    return 0


def climb(flags: argparse.Namespace, engines: contextlib.ExitStack, prog: str) -> int:
    """Run what is asked for, and show it."""
    _check(flags, prog)
    if flags.read:
        return show(flags, prog)
    plugins.load(flags.plugin)
    flags.dataset = spelled_there(flags.dataset, flags.ladder)
    known = read_ladder(flags.dataset, flags.ladder)
    wanted = listed(flags.rungs, "--rungs") if flags.rungs is not None else list(known)
    for name in wanted:
        if name not in known:
            raise InputError(f"{flags.dataset} has no rung '{name}'; {near_miss(name, list(known))}it has {', '.join(known)}")
    out = flags.out or Path("runs") / (f"{flags.ladder.stem}-{flags.dataset}" + ("" if flags.scale == 1 else f"-{flags.scale:g}"))
    check_out(out)
    check_set(assigned(flags, next(iter(known.values()))), [*known.values()])
    kept = Path(engines.enter_context(tempfile.TemporaryDirectory())) if flags.dry_run else out / "rungs"
    new = not out.exists()
    cells = cells_of(flags, [known[name] for name in wanted], kept, out)
    try:
        missing = run_cells(cells, flags, engines, KNOWN)
    except InputError:
        if new and out.exists() and [*out.iterdir()] == [kept]:  # nothing has run, and another call may want other recipes there
            shutil.rmtree(out, ignore_errors=True)
        raise
    if flags.dry_run:
        return 1 if missing else 0
    end(out, known, flags, outcomes(cells, missing), prog)
    return say_missing(missing, KNOWN)


def _check(flags: argparse.Namespace, prog: str) -> None:
    """Refuse flags that do not go together."""
    if flags.read:
        mine = {**vars(flags), "read": None, "into": None, "picture": None}
        odd = [name for name, value in vars(parser(prog).parse_args([])).items() if mine[name] != value]
        if odd:
            raise InputError(
                f"--{odd[0].replace('_', '-')} is for a ladder that is run, and --read runs none; leave out one of them"
            )
    elif flags.into or flags.picture:
        raise InputError("--into and --picture need --read FILE.jsonl; a ladder that is run writes both into its --out")
    elif not 0 < flags.scale <= 100:
        raise InputError(f"--scale is {flags.scale}; it must be over 0 and at most 100")


def end(out: Path, known: Mapping[str, Rung], flags: argparse.Namespace, said: str, prog: str) -> None:
    """Write and show rows, tables and picture of all runs in a folder, those of other calls too."""
    rows, left = collect(out, known, flags.scale, assigned(flags, next(iter(known.values()))))
    say(prog, left)
    if not rows:
        return
    files.replace_text(out / "rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    kept = sound(rows)
    say(prog, kept.lines)
    made = printable(markdown(kept))
    files.replace_text(out / "ladder.md", f"{made}\n")
    print(shown(made))
    picture = importlib.util.find_spec("matplotlib") is not None
    if picture:
        say(prog, draw(kept, out / "ladder.png"))
    also = f", {out}/ladder.png" if picture else "; for the picture, pip install matplotlib and give the command again"
    print(shown(f"\n{said}. All that is in {out}: {out}/rows.jsonl, {out}/ladder.md{also}"))


def main(argv: Sequence[str] | None = None, prog: str = "ladder.py") -> int:
    """The command. Returns the exit status: 0; 1: some runs failed; 2: bad input; 128 + n: ended by signal n."""
    words = sys.argv[1:] if argv is None else argv
    return many(prog, lambda engines: climb(parser(prog).parse_args(words), engines, prog), KNOWN)
