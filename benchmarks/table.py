"""Run folders or files of rows -> tables: python benchmarks/table.py runs/sweep-digits --format html --out table.html

Methods down, numbers of labels across, one table for each data set and net. Runs that differ in anything but method, seed and
number of labels are never put in one table: those that agree with most of the others stay, and the rest is named.
"""

import argparse
import collections
import json
import re
import statistics
import sys
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from scipy.special import stdtrit

from ssl_zoo import config, results
from ssl_zoo.errors import InputError, one_line

if __package__:
    from benchmarks.render import FORMATS, Cell, Gain, Published, Score, Table
else:
    from render import FORMATS, Cell, Gain, Published, Score, Table

PUBLISHED = Path(__file__).parent / "published.yaml"
# settings that may differ in a table
OWN = (
    *("alg", "algorithms", "labels", "seed", "split_seed", "split_file", "data_root", "device"),
    *("checkpoint_seconds", "strict"),
)
SHORT = {
    "wrn28_2": "wrn-28-2",
    "wrn28_8": "wrn-28-8",
    "wrn37_2": "wrn-37-2",
    "convnet13": "conv13",
    "shakeshake26": "resnet26-shakeshake-2x96d",
}  # nets, as papers' tables name them
Row = Mapping[str, Any]


def name_of(row: Row) -> str:
    """A run in words."""
    return f"{row['algorithm']} with {row['labels']} labels and seed {row['seed']}"


def recipe_of(row: Row) -> dict[str, Any]:
    """What all runs of a table must share."""
    flat = {k: v for k, v in config.flatten(row["config"]).items() if k not in ("evaluation.mechanism", "evaluation.log_every")}
    settings = {f"setting {k}": v for k, v in flat.items() if k.split(".")[0] not in OWN}  # to look changes no run
    plugins = [part for part in row.get("plugins", "").split("; ") if part and not part.startswith("algorithm ")]
    same = {name: row[name] for name in ("data_hash", "device", "precision")} | {"history": row.get("history", [])}
    # the hash of the sources, where the row has one: commits may differ in a text, and a dirty one says nothing
    code = {"source": row["source"]} if "source" in row else {"commit": row["commit"]}
    return {**settings, **same, **code, **{name: row["versions"][name] for name in ("ssl_zoo", "torch")}, "plugins": plugins}


def method_of(row: Row) -> dict[str, Any]:
    """What all runs of one method must share besides."""
    plugins = [part for part in row.get("plugins", "").split("; ") if part.startswith("algorithm ")]
    options = {f"option {k}": v for k, v in config.flatten(row["config"]["algorithms"]).items()}
    return {**options, "plugins": plugins, "code": row.get("code", "")}


class Sorted(NamedTuple):
    """Rows that belong together, and what is said of the others."""

    kept: list[Row]
    lines: list[str]  # which runs are left out, and why
    notes: list[str]  # the same, shorter, for a caption


def sound(rows: Sequence[Row]) -> Sorted:
    """The rows that belong together: those whose recipe most of them have, of each method, whose options, and at each number of
    labels and seed, whose label split; no seed twice. The others are named, with what they disagree on.
    """
    said = Sorted([], [], [])
    kept = agreeing(rows, recipe_of, said)
    by_method = [[row for row in kept if row["algorithm"] == method] for method in dict.fromkeys(r["algorithm"] for r in kept)]
    kept = [row for group in by_method for row in agreeing(group, method_of, said)]
    by_place = [
        [row for row in kept if (row["labels"], row["seed"]) == place]
        for place in dict.fromkeys((row["labels"], row["seed"]) for row in kept)
    ]
    kept = [row for group in by_place for row in agreeing(group, lambda row: {"split_hash": row["split_hash"]}, said)]
    seen: dict[Hashable, Row] = {}
    twice = []
    for row in kept:
        if seen.setdefault((row["algorithm"], row["labels"], row["seed"]), row) is not row:
            twice.append(row)
    if twice:
        said.lines.append(f"{_and_more(twice)} there twice; the first is shown")
        said.notes.append(f"{counted(len(twice), 'run')} there twice")
    left = set(map(id, rows)) - {id(row) for row in seen.values()}
    said.kept.extend(row for row in rows if id(row) not in left)
    return said


def lost_beside(rows: Sequence[Row], lost: Sequence[Row], said: Sorted) -> list[Row]:
    """Runs that diverged and would belong to these had they not: each place once, and none that a finished run has."""
    recipe = json.dumps(recipe_of(rows[0]), sort_keys=True)
    methods = {row["algorithm"]: json.dumps(method_of(row), sort_keys=True) for row in reversed(rows)}
    taken = {(row["algorithm"], row["labels"], row["seed"]) for row in rows}
    splits = {(row["labels"], row["seed"]): row["split_hash"] for row in rows}
    kept, others = [], 0
    for row in lost:
        method, place = json.dumps(method_of(row), sort_keys=True), (row["algorithm"], row["labels"], row["seed"])
        same_split = splits.setdefault(place[1:], row["split_hash"]) == row["split_hash"]
        same_recipe = json.dumps(recipe_of(row), sort_keys=True) == recipe
        if not same_split or not same_recipe or methods.setdefault(row["algorithm"], method) != method:
            said.lines.append(
                f"{name_of(row)}, which diverged, is left out: other settings, data, labels or code than {name_of(rows[0])}"
            )
            others += 1
        elif place not in taken:
            taken.add(place)
            kept.append(row)
    if others:
        said.notes.append(f"{counted(others, 'run')} that diverged left out, other in settings, data, labels or code")
    return kept


def agreeing(rows: Sequence[Row], what: Callable[[Row], dict[str, Any]], said: Sorted) -> list[Row]:
    """Those whose facts most of them have; of runs that diverged none is counted while there are others."""
    facts = [what(row) for row in rows]
    keys = [json.dumps(fact, sort_keys=True) for fact in facts]
    votes = [key for key, row in zip(keys, rows, strict=True) if not results.is_lost(row)] or keys
    most = collections.Counter(votes).most_common(1)[0][0]
    place = keys.index(most)
    for key in dict.fromkeys(keys):
        if key != most:
            odd = [row for row, other in zip(rows, keys, strict=True) if other == key]
            mine, theirs = facts[keys.index(key)], facts[place]
            names = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
            differ = [f"{name} ({mine.get(name, 'none')}, {theirs.get(name, 'none')})" for name in names[:3]]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            said.lines.append(f"{_and_more(odd)} left out: other than {name_of(rows[place])} in {', '.join(differ)}{more}")
            said.notes.append(f"{counted(len(odd), 'run')} left out, other in {', '.join(names[:3])}{more}")
    return [row for row, key in zip(rows, keys, strict=True) if key == most]


def _and_more(rows: Sequence[Row]) -> str:
    more = f" and {len(rows) - 1} more are" if len(rows) > 1 else " is"
    return f"{name_of(rows[0])}{more}"


def counted(n: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {thing}{'s' * (n != 1)}"


def by_cell(rows: Sequence[Row]) -> dict[tuple[str, Any], list[Row]]:
    """Rows by (method, labels)."""
    cells: dict[tuple[str, Any], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["algorithm"], row["labels"]), []).append(row)
    return cells


def score(errors: Sequence[float]) -> Score:
    """Mean and sample standard deviation, in percent."""
    return Score(100 * statistics.mean(errors), 100 * statistics.stdev(errors) if len(errors) > 1 else None)


def difference(rows: Sequence[Row], reference: Sequence[Row]) -> Gain | None:
    """Mean difference of accuracy over the seeds and splits that both have, with its 95 % confidence interval (Student's t)."""
    other = {(row["seed"], row["split_hash"]): row["accuracy"] for row in reference}
    pairs = [100 * (row["accuracy"] - other[key]) for row in rows if (key := (row["seed"], row["split_hash"])) in other]
    if len(pairs) < 2:
        return None
    half = float(stdtrit(len(pairs) - 1, 0.975)) * statistics.stdev(pairs) / len(pairs) ** 0.5
    mean = statistics.mean(pairs)
    return Gain(mean, mean - half, mean + half, len(pairs))


def curve(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """Step, mean accuracy and its standard deviation, in percent, at the evaluations that all rows have."""
    scores = [{point["step"]: 100 * point["accuracy"] for point in row["evaluations"]} for row in rows]
    shared = sorted(set(scores[0]).intersection(*scores))
    points = {step: [of[step] for of in scores] for step in shared}
    return [(s, statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for s, v in points.items()]


def make_cell(rows: Sequence[Row], reference: Sequence[Row]) -> Cell:
    """The numbers of one method at one number of labels."""

    def errors(name: str) -> list[float]:
        return [1 - row[name] for row in rows]

    return Cell(
        len(rows),
        score(errors("accuracy")),
        score(errors("accuracy_median")),
        score(errors("accuracy_student")),
        score(errors("accuracy_oracle")),
        None if rows[0]["algorithm"] == "supervised" else difference(rows, reference),
        statistics.median(row["seconds"] for row in rows),
        curve(rows),
    )


def make_table(rows: Sequence[Row], notes: Sequence[str], published: Sequence[Published], lost: Sequence[Row] = ()) -> Table:
    """One table of rows that belong together, and of runs beside them that diverged."""
    cells, gone = by_cell(rows), by_cell(lost)
    labels = sorted({row["labels"] for row in (*rows, *lost)}, key=lambda count: float("inf") if count == "all" else count)
    first = {row["algorithm"]: cells.get((row["algorithm"], labels[0]), [row]) for row in rows}

    def order(method: str) -> tuple[bool, float]:  # labels alone first, then from the largest error to the smallest
        return method != "supervised", statistics.mean(row["accuracy"] for row in first[method])

    made = {
        method: {
            str(count): make_cell(cells[method, count], cells.get(("supervised", count), []))
            for count in labels
            if (method, count) in cells
        }
        for method in sorted(first, key=order)
    }
    made |= {method: {} for method, _ in gone if method not in made}
    row = rows[0]
    repeated = {
        "dataset": row["dataset"],
        "net": row["net"],
        "steps": row["steps"],
        "recipe": results.recipe_hash({k: v for k, v in row["config"].items() if k not in OWN}),
        "commit": row["commit"],
        "device": row["device"],
        "torch": row["versions"]["torch"],
    }
    title = f"{row['dataset']}, {row['net']}, {row['steps']} steps"
    counts = {(method, str(count)): len(group) for (method, count), group in gone.items()}
    return Table(title, [str(count) for count in labels], made, caption(rows, notes, lost), repeated, list(published), counts)


def caption(rows: Sequence[Row], notes: Sequence[str], lost: Sequence[Row] = ()) -> list[str]:
    """What a table was measured on, and what is missing from it."""
    row = rows[0]
    seeds = sorted({row["seed"] for row in rows})
    drawn = [row for row in rows if row["labels"] != "all"]
    splits, seeded = {row["split_hash"] for row in drawn}, {(row["labels"], row["seed"]) for row in drawn}
    own = "each with a label split of its own" if len(splits) == len(seeded) else f"over {len(splits)} label splits"
    versions = ", ".join(f"{name} {row['versions'][name]}" for name in ("ssl_zoo", "torch", "python"))
    times = ", ".join(
        f"{alg} {statistics.median(r['seconds'] for r in rows if r['algorithm'] == alg):.0f}"
        for alg in dict.fromkeys(r["algorithm"] for r in rows)
    )
    tested = sum(map(sum, row["confusion"]))
    held_out = f"{100 * row['config'].get('val_fraction', 0):g} % of the labelled images, held out"
    chosen = "the last evaluation" if row.get("selection", "last") == "last" else f"the evaluation that is best on {held_out},"
    scored = " of the student" if row["config"].get("evaluation", {}).get("net") == "student" else ""
    last = row.get("accuracy_median_of", 1)
    median = f"the last {last} evaluations" if last > 1 else "the last evaluation alone"
    lines = [
        f"{row['dataset']}, {row['net']}, {row['steps']} steps; error rate{scored} of {chosen} on {tested} test images, mean "
        f"± standard deviation over n runs (seeds {', '.join(map(str, seeds))}, {own}); median: of {median}; "
        "points: paired difference in accuracy to supervised, 95 % interval. "
        f"Seconds a run: {times}. {row['device']}; {versions}; "
        f"commit {commits(rows)}.",
    ]
    alone = {(row["labels"], row["seed"]) for row in rows if row["algorithm"] == "supervised"}
    others = {row["algorithm"] for row in rows if (row["labels"], row["seed"]) not in alone and row["algorithm"] != "supervised"}
    if others:
        lines += [
            "",
            f"Without a run of supervised on the same split, so without a pair, some runs of: {', '.join(sorted(others))}.",
        ]
    warned = sorted({f"{row['algorithm']} with seed {row['seed']}" for row in rows if row.get("warnings")})
    if warned:
        lines += ["", f"Warned while they ran that a loss term trained nothing (see their result.json): {', '.join(warned)}."]
    if lost:
        gone = ", ".join(
            f"{method} with {count} labels (seed{'s' * (len(group) > 1)} {', '.join(str(row['seed']) for row in group)})"
            for (method, count), group in by_cell(lost).items()
        )
        lines += ["", f"Diverged, and so in no mean, which flatters what is left: {gone}."]
    leaked = max(row.get("leaked_test_images", 0) for row in rows)
    if leaked:
        lines += ["", f"{leaked} of the test images are also training images: the score counts what was learnt by heart."]
    if notes:
        lines += ["", f"Partial: {'; '.join(notes)}."]
    return lines


def commits(rows: Sequence[Row]) -> str:
    """Those that rows were made with, shortened, each once."""
    parts = [(commit or "none").partition("-") for commit in dict.fromkeys(row["commit"] for row in rows)]
    return ", ".join(name[:10] + dash + dirty for name, dash, dirty in parts)


def read_published(dataset: str, net: str, labels: Collection[Any]) -> list[Published]:
    """Numbers of papers for a data set, a net and numbers of labels: those read in a source, and none that is marked unusable."""
    wanted = {str(count) for count in labels}
    found = []
    for entry in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        usable = entry.get("usable", True) and entry["verified"] and entry.get("kind") != "replication"  # which has no source
        if usable and entry["dataset"] == dataset and entry["net"] == SHORT.get(net) and str(entry["labels"]) in wanted:
            deviation = entry.get("error_std") if entry.get("std_verified", True) else None
            error = Score(entry["error_mean"], deviation)
            number = (entry["algorithm"], str(entry["labels"]), error, entry.get("runs"), protocol(entry), entry["source"])
            found.append(Published(*number))
    return found


def protocol(entry: Mapping[str, Any]) -> str:
    """What one must know of a published number to compare with it."""
    metric = str(entry.get("metric") or "evaluation not said").replace("_", " ")
    parts = [entry["net"], entry.get("net_note"), entry.get("augmentation"), metric, entry.get("kind")]
    parts += [f"{entry['steps']:,} steps"] if "steps" in entry else []
    parts += [f"unlabelled: {entry['unlabeled']}"] if entry["dataset"] == "svhn" and "unlabeled" in entry else []
    parts += [f"{entry['seen']} source" + (f" ({entry['seen_ref']})" if "seen_ref" in entry else "")] if "seen" in entry else []
    return ", ".join(filter(None, parts))


def make_tables(
    rows: Sequence[Row], problems: Sequence[str] = (), published: bool = False, lost: Sequence[Row] = ()
) -> tuple[list[Table], list[str]]:
    """A table for each data set and net; and every line about what is not in them.

    Args:
        rows: Of runs.
        problems: Lines about results that could not be read.
        published: Whether to set numbers of papers beside them.
        lost: Of runs that diverged.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["net"]), []).append(row)
    tables, said = [], list(problems)
    alone = collections.Counter(place for row in lost if (place := (row["dataset"], row["net"])) not in groups)
    said += [
        f"no table for {dataset} with {net}: {counted(count, 'run')}, all diverged" for (dataset, net), count in alone.items()
    ]
    for (dataset, net), group in groups.items():
        found = sound(group)
        gone = lost_beside(found.kept, [row for row in lost if (row["dataset"], row["net"]) == (dataset, net)], found)
        kept, lines, notes = found
        said += lines
        notes += [f"{counted(len(problems), 'result')} could not be read"] if problems else []
        methods, labels = ({row[name] for row in kept} for name in ("algorithm", "labels"))
        numbers = [n for n in read_published(dataset, net, labels) if n.method in methods] if published else []
        said += [f"no published number is known for {dataset} with {net} and these methods and numbers of labels"] * (
            published and not numbers
        )
        tables.append(make_table(kept, notes, numbers, gone))
    return tables, said


def insert(text: str, name: str, body: str) -> str:
    """Replace what stands between `<!-- table NAME -->` and `<!-- end -->` in a text.

    Raises:
        InputError: There is no such place.
    """
    pattern = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"there is no place for the table: put '<!-- table {name} -->' and '<!-- end -->' on lines of their own")
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text)


def insert_into(path: Path, name: str, body: str) -> None:
    """`insert`, in a file.

    Raises:
        InputError: There is no such file, or no such place in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        path.write_text(insert(text, name, body), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--into {path} cannot be used ({error}); give a Markdown file") from error
    except InputError as error:
        raise InputError(f"--into {path}: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    parser = config.Parser(prog="table.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, folders of them, or .jsonl files of rows")
    parser.add_argument("--format", choices=FORMATS, help="Markdown (unless said otherwise), CSV, LaTeX (booktabs), HTML")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of showing it")
    parser.add_argument("--published", action="store_true", help="numbers of papers beside ours, with protocol and source")
    parser.add_argument("--oracle", action="store_true", help="also the best score on the test set, which is not a result")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="also write the rows to a file, one a line")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the table into a Markdown file, at the place named after the first path"
    )
    try:
        flags = parser.parse_args(argv)
        if flags.into and (flags.out or flags.format not in (None, "md")):
            raise InputError("--into writes Markdown into a file; leave out --out and --format")
        rows, lost, problems, remarks = results.read_sound_rows(flags.paths)
        tables, said = make_tables(rows, problems, flags.published, lost)
        for line in (*said, *remarks):
            print(f"table.py: {one_line(InputError(line))}", file=sys.stderr)
        made = FORMATS[flags.format or "md"](tables, flags.oracle)
        if flags.jsonl:
            flags.jsonl.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *lost)), encoding="utf-8")
        if flags.into:
            insert_into(flags.into, flags.paths[0].as_posix(), made)
        elif flags.out:
            flags.out.write_text(f"{made}\n", encoding="utf-8")
        else:
            print(made)
        return 0
    except (InputError, OSError) as error:
        print(f"table.py: {one_line(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
