"""From one recipe to another, one change a rung: python benchmarks/ladder.py --dataset digits --rungs S0,A0,A1,A2 --seeds 0-9

Trains every rung of configs/ladder.yaml on every seed, which is also that of the label split, so that rungs are compared over the
same splits; resumable, as sweep.py. Ends in rows.jsonl, ladder.md (what each change gains, and what the consistency term did
meanwhile) and, where matplotlib is installed, ladder.png, all in --out and of all runs in it.
"""

import argparse
import contextlib
import importlib.util
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, files, plugins, results
from ssl_zoo.cli.parser import Parser, flag
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.ladders import LADDER, Rung, check_set, read_ladder, shortened
from ssl_zoo.registry import near_miss
from ssl_zoo.tables.documents import insert_into
from ssl_zoo.tables.ladder import MEASURED, markdown, read_rows, sound
from ssl_zoo.tables.pictures.ladder import draw

if __package__:
    from benchmarks import run, sweep
else:
    import run
    import sweep

OWN = (*run.ANYWHERE, "seed", "split_seed", "deterministic")  # settings that are no rung's


def parser() -> Parser:
    """The command line."""
    p = Parser(prog="ladder.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--ladder", type=Path, metavar="FILE.yaml", default=LADDER, help="the ladders, configs/ladder.yaml unless said otherwise"
    )
    p.add_argument("--dataset", metavar="NAME", default="digits", help="which of them: digits (as now), cifar10, cifar10-folder")
    p.add_argument("--rungs", metavar="R,...", help="such as S0,A0,A2; all of it unless said otherwise")
    p.add_argument("--seeds", metavar="S,A-B,...", default="0-2", help="0-2 as now, each also the seed of the label split")
    p.add_argument(
        "--scale", metavar="F", type=float, default=1.0, help="share of the full number of steps, for every rung; 1 as now"
    )
    sweep.add_engine_flags(p)
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="holds the runs; runs/<ladder>-<dataset>[-<scale>] unless said otherwise"
    )
    p.add_argument(
        "--read",
        type=Path,
        metavar="FILE.jsonl|DIR",
        help="run nothing; show the rows of a ladder that was run before, or of its --out",
    )
    p.add_argument("--into", type=Path, metavar="FILE.md", help="put the tables into a Markdown file, at the place of --read")
    p.add_argument("--picture", type=Path, metavar="FILE.png|.svg", help="draw the picture of --read there")
    return p


def cells_of(flags: argparse.Namespace, rungs: Sequence[Rung], recipes: Path, out: Path) -> list[sweep.Cell]:
    """A run for every rung and seed. Their recipes are written into a folder."""
    recipes.mkdir(parents=True, exist_ok=True)
    shared = [word for name in flags.plugin for word in ("--plugin", name)]
    shared += [word for assignment in flags.set for word in ("--set", assignment)]
    shared += ["--data-root", flags.data_root] if flags.data_root is not None else []
    shared += ["--device", flags.device] if flags.device != "auto" else []
    for rung in rungs:
        path, text = recipes / f"{rung.name}.yaml", config.dump_mapping(shortened(rung.recipe, flags.scale))
        if path.exists() and config.read_mapping(path, "a recipe", "settings") != config.parse_yaml(text, str(path)):
            raise InputError(
                f"{path} is another recipe than {rung.name} has now, by its steps or its ladder; choose another --out"
            )
        files.replace_text(path, f"# {rung.name}: {rung.change}\n{text}")
    cells = []
    for seed in sweep.seeds(flags.seeds):
        for rung in rungs:  # so that all rungs of the first seeds are there early
            name = f"{rung.name}-s{seed}"
            words = ["--recipe", str(recipes / f"{rung.name}.yaml"), *shared, "--seed", str(seed), "--split-seed", str(seed)]
            settings = run.read_settings(run.parse(words))
            job = sweep.Job(name, (*words, "--out", str(out / name)), out / "logs" / f"{name}.txt")
            cells.append(sweep.Cell(job, settings, out / name))
    return cells


def collect(
    out: Path, rungs: Mapping[str, Rung], scale: float, assignments: Sequence[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of all runs in a ladder's folder that finished or diverged, by rung and seed, with what was measured on the way.

    Args:
        out: The folder.
        rungs: Those that are known.
        scale: Share of the steps that the runs must have.
        assignments: What was given by --set.

    Returns:
        Rows; and lines about runs that are left out.
    """
    found, said = [], []
    ends = [*out.glob(f"*/{results.RESULT}"), *out.glob(f"*/{results.LOST}")]
    for file in (file for file in ends if file.name == results.RESULT or not (file.parent / results.RESULT).exists()):
        match = re.fullmatch(r"(.+)-s(\d+)", file.parent.name)
        if match is None or match[1] not in rungs:
            said.append(f"{file.parent} is left out: it is no run of a rung")
            continue
        found.append((list(rungs).index(match[1]), int(match[2]), file))
    rows = []
    for place, _, file in sorted(found):
        rung = list(rungs.values())[place]
        given = shortened(rung.recipe, scale)
        for assignment in assignments:
            config.put_assignment(given, assignment)
        try:
            (row,) = results.read_all_rows([file])
            points = [json.loads(line) for line in (file.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        except (InputError, OSError, ValueError) as error:
            said.append(f"{file.parent} is left out: {one_line(error)}")
            continue
        wanted, has = (config.flatten(part) for part in (config.plain(config.resolve(given)), row["config"]))
        other = [key for key in wanted if key in has and key.split(".")[0] not in OWN and wanted[key] != has[key]]
        if other:
            said.append(
                f"{file.parent} is left out: {rung.name} has another {other[0]} now ({wanted[other[0]]}, not {has[other[0]]})"
            )
            continue
        measured = [{"step": p["step"], **{name: p[name] for name in MEASURED if p.get(name) is not None}} for p in points]
        known = {"rung": rung.name, "above": rung.above, "change": rung.change, "scale": scale, "set": list(assignments)}
        rows.append({**known, **row, "mechanism": [point for point in measured if len(point) > 1]})
    return rows, said


def say(lines: Sequence[str]) -> None:
    """Lines about what is left out."""
    for line in lines:
        print(f"ladder.py: {line}", file=sys.stderr)


def show(flags: argparse.Namespace) -> int:
    """Tables and picture of rows that were written before."""
    kept = sound(read_rows(flags.read))
    say(kept.lines)
    made = markdown(kept)
    if flags.into:
        with flag("--into"):
            insert_into(flags.into, flags.read.as_posix(), made)
    else:
        print(made)
    if flags.picture:
        draw(kept, flags.picture)
    return 0


def climb(flags: argparse.Namespace, engines: contextlib.ExitStack) -> int:
    """Run what is asked for, and show it."""
    if flags.read:
        mine = {**vars(flags), "read": None, "into": None, "picture": None}
        odd = [name for name, value in vars(parser().parse_args([])).items() if mine[name] != value]
        if odd:
            raise InputError(
                f"--{odd[0].replace('_', '-')} is for a ladder that is run, and --read runs none; leave out one of them"
            )
        return show(flags)
    if flags.into or flags.picture:
        raise InputError("--into and --picture need --read FILE.jsonl; a ladder that is run writes both into its --out")
    if not 0 < flags.scale <= 100:
        raise InputError(f"--scale is {flags.scale}; it must be over 0 and at most 100")
    plugins.load(flags.plugin)
    known = read_ladder(flags.dataset, flags.ladder)
    wanted = sweep.listed(flags.rungs, "--rungs") if flags.rungs is not None else list(known)
    for name in wanted:
        if name not in known:
            raise InputError(f"{flags.dataset} has no rung '{name}'; {near_miss(name, list(known))}it has {', '.join(known)}")
    out = flags.out or Path("runs") / (f"{flags.ladder.stem}-{flags.dataset}" + ("" if flags.scale == 1 else f"-{flags.scale:g}"))
    sweep.check_out(out)
    check_set(flags.set, [*known.values()])
    recipes = Path(engines.enter_context(tempfile.TemporaryDirectory())) if flags.dry_run else out / "rungs"
    cells = cells_of(flags, [known[name] for name in wanted], recipes, out)
    missing = sweep.run_cells(cells, flags, engines)
    if flags.dry_run:
        return 1 if missing else 0
    rows, left = collect(out, known, flags.scale, flags.set)  # those of other calls too
    say(left)
    if rows:
        files.replace_text(out / "rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        kept = sound(rows)
        say(kept.lines)
        made = markdown(kept)
        files.replace_text(out / "ladder.md", f"{made}\n")
        print(made)
        picture = importlib.util.find_spec("matplotlib") is not None
        if picture:
            draw(kept, out / "ladder.png")
        also = f", {out}/ladder.png" if picture else '; for the picture, pip install -e ".[plot]" and give the command again'
        print(f"\n{sweep.outcomes(cells, missing)}. All that is in {out}: {out}/rows.jsonl, {out}/ladder.md{also}")
    return sweep.say_missing(missing)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 1: some runs failed; 2: bad input; 128 + n: ended by signal n."""
    return sweep.command("ladder.py", lambda engines: climb(parser().parse_args(sys.argv[1:] if argv is None else argv), engines))


if __name__ == "__main__":
    sys.exit(main())
