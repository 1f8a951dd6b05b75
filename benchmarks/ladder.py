"""From one recipe to another, one change a rung: python benchmarks/ladder.py --dataset digits --rungs S0,A0,A1,A2 --seeds 0-9

Trains every rung of configs/ladder.yaml on every seed, which is also that of the label split, so that rungs are compared over the
same splits; resumable, as sweep.py. Ends in rows.jsonl, ladder.md (what each change gains, and what the consistency term did
meanwhile) and, where matplotlib is installed, ladder.png, all in --out and of all runs in it.
"""

import argparse
import contextlib
import copy
import importlib.util
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import config, files, plugins, results
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.registry import near_miss

if __package__:
    from benchmarks import run, sweep, table
    from benchmarks.render import Gain
else:
    import run
    import sweep
    import table
    from render import Gain

OWN = (*run.ANYWHERE, "seed", "split_seed", "deterministic")  # settings that are no rung's
LADDER = run.RECIPES / "ladder.yaml"
PARTS = (0.1, 0.25, 0.5, 1.0)  # of a run, at which the measurements are shown
BASES = ("S0", "A0")  # labels alone, and the tutorial: every rung is compared with these too
MEASURED = {  # of metrics.jsonl, with a heading; all but two are shares of 1
    "mechanism/confidence": "largest probability, %",
    "mechanism/decided": "images over 0.95, %",
    "mechanism/logit_norm": "length of logits",
    "mechanism/gradient_ratio": "gradient, consistency / labels",
    "mechanism/decided_gradient": "its share from images over 0.95, %",
    "unlabeled/accuracy": "accuracy on unlabelled images, %",
}
Row = Mapping[str, Any]


class Rung(NamedTuple):
    """One recipe of the ladder."""

    name: str
    above: str | None  # the rung that it changes
    change: str
    recipe: dict[str, Any]
    sets: frozenset[str]  # dotted keys of its own `set`, without those of the rung that it changes


def read_ladder(dataset: str, path: Path = LADDER) -> dict[str, Rung]:
    """The rungs of a data set, in order, each with its whole recipe.

    Raises:
        InputError: There are none for it, or the file is not as it says it is.
    """
    known = config.read_mapping(path, "a ladder", "data sets, each with `base` and `rungs`")
    if dataset not in known:
        raise InputError(f"{path} has no ladder for '{dataset}'; {near_miss(dataset, list(known))}it has {', '.join(known)}")
    try:
        base, given = known[dataset]["base"], dict(known[dataset]["rungs"])
        above = {name: entry.get("from", before) for before, (name, entry) in zip(["base", *given], given.items(), strict=False)}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {dataset} must have `base` and `rungs`, of which each is a mapping") from error
    made = {"base": Rung("base", None, "", base, frozenset())}
    while len(made) <= len(given):
        ready = [name for name in given if name not in made and above[name] in made]
        if not ready:
            odd = next(name for name in given if name not in made)
            raise InputError(f"{path}: {dataset}.{odd} comes from '{above[odd]}', which is no rung, or comes from it in turn")
        for name in ready:
            if "change" not in given[name] or {*given[name]} - {"from", "change", "set"}:
                raise InputError(f"{path}: {dataset}.{name} must have `change`, and may have `from` and `set`, nothing else")
            recipe = copy.deepcopy(made[above[name]].recipe)
            own = given[name].get("set", {})
            config.put_recipe(recipe, copy.deepcopy(own))
            from_base, change = above[name] == "base", str(given[name]["change"])
            made[name] = Rung(name, None if from_base else above[name], change, recipe, frozenset(config.flatten(own)))
    return {name: made[name] for name in given}


def shortened(recipe: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """A recipe with so much of its steps, and as many evaluations and measurements. Other lengths are fractions of the run."""
    made = copy.deepcopy(dict(recipe))
    made["steps"] = max(1, round(scale * made["steps"]))
    for name in ("every", "mechanism", "log_every"):
        if made["evaluation"].get(name):  # 0 is no measurement
            made["evaluation"][name] = max(1, round(scale * made["evaluation"][name]))
    return made


def parser() -> config.Parser:
    """The command line."""
    p = config.Parser(prog="ladder.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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


def check_set(assignments: Sequence[str], rungs: Sequence[Rung]) -> None:
    """Refuse to set what makes a rung what it is.

    Args:
        assignments: As given.
        rungs: All of the ladder, as each is named by what it changes.

    Raises:
        InputError: One of the settings is a rung's.
    """
    taken = {"steps": "give --scale", "seed": "give --seeds", "split_seed": "give --seeds"}
    own = "write it into a ladder of your own, for --ladder"
    for assignment in assignments:
        key = config.canonical_key(assignment.partition("=")[0].strip())
        for other in (*taken, "alg", "net", *sorted({key for rung in rungs for key in rung.sets})):
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                by = next((rung.name for rung in rungs if other in rung.sets), "every rung")
                raise InputError(f"--set {key} would change what {by} is, which sets {other}; {taken.get(other, own)}")


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


def read_rows(path: Path) -> list[Row]:
    """Rows of a ladder, also of runs that diverged.

    Args:
        path: A file of rows, or the --out of a ladder.

    Raises:
        InputError: It holds none, or others.
    """
    path = path / "rows.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} is not there; ladder.py writes rows.jsonl into its --out")
    rows = results.read_all_rows([path])
    if not rows:
        raise InputError(f"{path} holds no rows")
    for row in rows:
        if not isinstance(row.get("rung"), str) or not isinstance(row.get("mechanism"), list):
            raise InputError(f"{path} holds a run that is not of a ladder; ladder.py writes rows.jsonl into its --out")
    return rows


class Sorted(NamedTuple):
    """Rows that belong together, by rung, and what is said of the others."""

    rungs: dict[str, list[Row]]  # of runs that finished
    lost: dict[str, list[Row]]  # of runs that diverged
    lines: list[str]


def sound(rows: Sequence[Row]) -> Sorted:
    """The rows that may be compared: of one data set, code, precision and share of the steps, of each rung with one recipe."""
    said = table.Sorted([], [], [])

    def shared(row: Row) -> dict[str, Any]:
        recipe = table.recipe_of(row)
        same = {name: row.get(name) for name in ("dataset", "labels", "scale", "set")}
        return same | {name: value for name, value in recipe.items() if not name.startswith("setting ") and name != "history"}

    rungs: dict[str, list[Row]] = {}
    lost: dict[str, list[Row]] = {}
    kept, twice = table.agreeing(rows, shared, said), 0
    for name in dict.fromkeys(row["rung"] for row in kept):
        of_it = [row for row in kept if row["rung"] == name]
        places: dict[tuple[int, str], Row] = {}
        for row in table.agreeing(of_it, lambda row: {**table.recipe_of(row), **table.method_of(row)}, said):
            place = (row["seed"], row["split_hash"])
            twice += place in places
            if place not in places or (results.is_lost(places[place]) and not results.is_lost(row)):
                places[place] = row
        rungs[name] = [row for row in places.values() if not results.is_lost(row)]
        lost[name] = [row for row in places.values() if results.is_lost(row)]
    if twice:
        said.lines.append(f"{table.counted(twice, 'row')} left out: of a rung and a seed that are there twice")
    return Sorted(rungs, lost, said.lines)


def at_part(row: Row, name: str, part: float) -> float | None:
    """A measurement at a share of the run: the last that was made until then."""
    found = [point[name] for point in row["mechanism"] if name in point and point["step"] <= part * row["steps"] + 1e-6]
    return found[-1] if found else None


def shown(gain: Gain | None) -> str:
    """A paired difference in words."""
    return "" if gain is None else f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f}), n = {gain.n}"


def error(rows: Sequence[Row], name: str) -> str:
    """Mean and standard deviation of an accuracy, in percent."""
    found = table.score([1 - row[name] for row in rows])
    return f"{100 - found.mean:.1f}" + ("" if found.std is None else f" ± {found.std:.1f}")


def markdown(found: Sorted) -> str:
    """The tables: what each rung gains, and what was measured on the way."""
    rungs, lost = {name: rows for name, rows in found.rungs.items() if rows}, found.lost
    lines = [
        "| rung | change | runs | accuracy, % | of the student | median of the last | points over the rung changed | "
        f"{' | '.join(f'over {base}' for base in BASES)} |",
        f"| - | - | -: | -: | -: | -: | -: |{' -: |' * len(BASES)}",
    ]
    for name, rows in found.rungs.items():
        gone = lost[name]
        if not rows:
            lines.append(f"| {name} | {gone[0]['change']} | 0, {len(gone)} diverged |{' |' * (4 + len(BASES))}")
            continue
        above = rows[0]["above"]
        gain = table.difference(rows, rungs[above]) if above in rungs else None
        cells = (
            name,
            rows[0]["change"],
            f"{len(rows)}, {len(gone)} diverged" if gone else str(len(rows)),
            *(error(rows, score) for score in ("accuracy", "accuracy_student", "accuracy_median")),
            f"{above}: {shown(gain)}" if gain else "",
            *(
                shown(table.difference(rows, rungs[base])) if base in rungs and base not in (name, above) else ""
                for base in BASES
            ),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| at {', '.join(f'{100 * part:g}' for part in PARTS)} % of the run | {' | '.join(MEASURED.values())} |"]
    lines.append(f"| - |{' -: |' * len(MEASURED)}")
    for name, rows in rungs.items():
        cells = []
        for key, heading in MEASURED.items():
            unit = 100 if heading.endswith("%") else 1
            middle = statistics.median if key.endswith("ratio") else statistics.mean  # a ratio may be huge in one run
            numbers = []
            for part in PARTS:
                values = [value for row in rows if (value := at_part(row, key, part)) is not None]
                numbers.append(f"{unit * middle(values):.3g}" if values else "-")
            cells.append(", ".join(numbers))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *caption(rungs, lost)])


def caption(rungs: Mapping[str, Sequence[Row]], lost: Mapping[str, Sequence[Row]]) -> list[str]:
    """What the tables were measured on."""
    rows = [row for group in rungs.values() for row in group]
    if not rows:
        return ["No run finished: all diverged."]
    first = rows[0]
    by_seeds: dict[str, list[str]] = {}
    for name, group in rungs.items():
        by_seeds.setdefault(", ".join(str(seed) for seed in sorted({row["seed"] for row in group})), []).append(name)
    largest = max(by_seeds, key=lambda seeds: len(by_seeds[seeds]))
    seeds = "; ".join(
        [*(f"{', '.join(names)}: {of}" for of, names in by_seeds.items() if of != largest), f"all others: {largest}"]
    )
    seeds = seeds if len(by_seeds) > 1 else largest
    names = ", ".join(f"{name} {first['versions'][name]}" for name in ("ssl_zoo", "torch", "python"))
    devices = "; ".join(dict.fromkeys(row["device"] for row in rows))
    gone = ", ".join(
        f"{name} (seed{'s' * (len(of_it) > 1)} {', '.join(str(row['seed']) for row in of_it)})"
        for name, of_it in lost.items()
        if of_it
    )
    took = sorted(row["seconds"] for row in rows)
    given = f", with {', '.join(first['set'])}" if first.get("set") else ""
    tested, last = sum(map(sum, first["confusion"])), first["accuracy_median_of"]
    nets = ", ".join(dict.fromkeys(row["net"] for row in rows))
    steps = " or ".join(map(str, sorted({row["steps"] for row in rows})))
    return [
        f"{first['dataset']}, {first['labels']} labels, {nets}, {steps} steps{given}. Accuracy of the last evaluation, "
        f"on {tested} test images, mean ± standard deviation over runs, each with a label split of its "
        f"own (seeds {seeds}); median: of the last {last} evaluations. Means over different seeds are not "
        "comparable; points are: paired differences over the splits that both rungs have, with a 95 % interval (Student's t), "
        "which is not corrected for the number of rungs, so of twenty that change nothing one is expected to exclude 0. S0 is "
        "labels alone with the recipe of A0."
        + (f" Diverged, and so in no mean, which flatters what is left: {gone}." if gone else ""),
        "",
        "The second table: means over runs, for the ratio of gradients the median, of steps in training mode. Over 0.95 is the "
        "student's largest probability for an unlabelled image; the share of the gradient is of all images that are compared, "
        "labelled ones too where a recipe compares them. The accuracy on unlabelled images is of the net that is scored, at "
        "evaluations.",
        "",
        f"A run took {took[len(took) // 2]:.0f} s (median; {took[0]:.0f} to {took[-1]:.0f}). {devices}; {first['precision']}; "
        f"{names}; commit {table.commits(rows)}.",
    ]


def draw(found: Sorted, path: Path) -> None:
    """The picture: accuracy of each rung, and the measurements against the share of the run that is done.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        import matplotlib
    except ImportError as problem:
        raise InputError('pictures need matplotlib: pip install -e ".[plot]"') from problem
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rungs, names = found.rungs, list(found.rungs)
    main = [name for name in names if "-" not in name] or names  # arms are shown by their accuracy alone
    figure = pyplot.figure(figsize=(17, 8), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    first = figure.add_subplot(grid[:, 0])
    others = [figure.add_subplot(grid[place // 3, 1 + place % 3]) for place in range(len(MEASURED))]
    # a run that collapsed would squeeze all others
    left = min((100 * row["accuracy"] for name in main for row in rungs[name]), default=0) - 15
    for place, name in enumerate(names):
        scores = [100 * row["accuracy"] for row in rungs[name]]
        color = f"C{main.index(name) % 10}" if name in main else "grey"
        seen, beyond = [score for score in scores if score >= left], [left for score in scores if score < left]
        first.scatter(seen, [place] * len(seen), s=10, alpha=0.5, color=color)
        first.scatter(beyond, [place] * len(beyond), s=20, marker="<", color=color)
        if scores and not beyond:
            first.scatter([statistics.mean(scores)], [place], marker="|", s=120, color=color)
    gone = [f"{name}, {len(found.lost[name])} diverged" if found.lost[name] else name for name in names]
    first.set_yticks(range(len(names)), gone, fontsize=8 if len(names) > 15 else 10)
    first.invert_yaxis()
    first.set(title="test accuracy, %: runs and mean\n(< further left)")
    for axes, (key, heading) in zip(others, MEASURED.items(), strict=True):
        for place, name in enumerate(main):
            points: dict[float, list[float]] = {}
            for row in rungs[name]:
                for point in row["mechanism"]:
                    if key in point:
                        points.setdefault(point["step"] / row["steps"], []).append(point[key])
            style = {"linestyle": ("-", "--", ":", "-.")[place // 10 % 4], "linewidth": 1.2}
            shares = sorted(share for share, values in points.items() if len(values) == max(map(len, points.values())))
            middle = statistics.median if key.endswith("ratio") else statistics.mean
            axes.plot(shares, [middle(points[s]) for s in shares], color=f"C{place % 10}", label=name, **style)
        axes.set(title=heading.replace(", %", ""), xlim=(0, 1))
        if key.endswith("ratio") and any(y > 0 for line in axes.lines for y in line.get_ydata()):
            axes.set_yscale("log")
    for axes in others[3:]:
        axes.set(xlabel="share of the run")
    for axes in (first, *others):
        axes.grid(alpha=0.3)
    figure.legend(*others[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(main))
    dataset = next(iter((*rungs[names[0]], *found.lost[names[0]])))["dataset"]
    counts = sorted({len(group) for group in rungs.values()})
    figure.suptitle(
        f"{dataset}, {' or '.join(map(str, counts))} runs a rung; lines are means, of the ratio medians", fontsize="medium"
    )
    try:
        figure.savefig(path, dpi=80)
    except (OSError, ValueError) as problem:  # also an ending that is no picture's
        raise InputError(f"{path} cannot be written ({problem}); choose another") from problem
    pyplot.close(figure)


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
        table.insert_into(flags.into, flags.read.as_posix(), made)
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
