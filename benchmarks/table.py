"""Run folders or files of rows -> a Markdown table: python benchmarks/table.py runs/digits-20 runs/digits-all

Rows that differ in anything but method, seed and number of labels are not put in one table.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from ssl_zoo import config, results
from ssl_zoo.errors import InputError

OWN = (
    "alg",
    "algorithms",
    "labels",
    "seed",
    "split_seed",
    "split_file",
    "data_root",
    "device",
)  # settings that may differ in a table
Row = Mapping[str, Any]


def check_alike(rows: Sequence[Row]) -> None:
    """Refuse to compare runs that differ in more than method, seed and labels.

    Raises:
        InputError: Names the two runs and what differs.
    """

    def shared(row: Row) -> dict[str, Any]:
        parts = row.get("plugins", "").split("; ")
        settings = {f"setting {k}": v for k, v in config.flatten(row["config"]).items() if k.split(".")[0] not in OWN}
        return (
            settings
            | {name: row[name] for name in ("data_hash", "device", "precision", "commit")}
            | {"torch": row["versions"]["torch"], "plugins": [part for part in parts if not part.startswith("algorithm ")]}
        )

    def named(row: Row) -> str:
        return f"{row['algorithm']} with {row['labels']} labels and seed {row['seed']}"

    first = shared(rows[0])
    for row in rows[1:]:
        other = shared(row)
        differ = [f"{k} ({first.get(k)}, {other.get(k)})" for k in sorted({*first, *other}) if first.get(k) != other.get(k)]
        if differ:
            raise InputError(
                f"{named(rows[0])} and {named(row)} cannot stand in one table: they differ in {', '.join(differ[:4])}"
            )
    for cell in by_cell(rows).values():
        own = {json.dumps(row["config"]["algorithms"], sort_keys=True) for row in cell}
        seeds = [(row["seed"], row["split_seed"]) for row in cell]
        if len(own) > 1:
            raise InputError(
                f"runs of {cell[0]['algorithm']} with {cell[0]['labels']} labels have different options of the method"
            )
        if len({row.get("plugins", "") for row in cell}) > 1:
            raise InputError(f"runs of {cell[0]['algorithm']} are of different versions of a plug-in; run all of them with one")
        if len({*seeds}) < len(seeds):
            raise InputError(f"{cell[0]['algorithm']} with {cell[0]['labels']} labels has one seed twice; give each run once")


def by_cell(rows: Sequence[Row]) -> dict[tuple[str, Any], list[Row]]:
    """Rows by (method, labels)."""
    cells: dict[tuple[str, Any], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["algorithm"], row["labels"]), []).append(row)
    return cells


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation, in percent."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def difference(rows: Sequence[Row], reference: Sequence[Row]) -> str:
    """Mean difference of accuracy over the seeds that both have, in points, with its 95 % confidence interval (Student's t)."""
    other = {(row["seed"], row["split_hash"]): row["accuracy"] for row in reference}
    pairs = [100 * (row["accuracy"] - other[key]) for row in rows if (key := (row["seed"], row["split_hash"])) in other]
    if len(pairs) < 2:
        return ""
    half = stats.t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    mean = statistics.mean(pairs)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, by number of labels and then accuracy, and a line that says what it was measured on."""
    check_alike(rows)
    cells = by_cell(rows)
    lines = [
        "| method | labels | accuracy % | error rate % | student % | against supervised, points (95 % CI) | seconds | n |",
        "| - | -: | -: | -: | -: | -: | -: | -: |",
    ]

    def order(key: tuple[str, Any]) -> tuple[float, float]:
        return (float("inf") if key[1] == "all" else key[1], statistics.mean(row["accuracy"] for row in cells[key]))

    for algorithm, labels in sorted(cells, key=order):
        cell = cells[algorithm, labels]
        reference = cells.get(("supervised", labels), []) if algorithm != "supervised" else []
        columns = (
            algorithm,
            labels,
            *(spread([row[name] for row in cell]) for name in ("accuracy", "error_rate", "accuracy_student")),
            difference(cell, reference),
            f"{statistics.median(row['seconds'] for row in cell):.0f}",
            len(cell),
        )
        lines.append(f"| {' | '.join(map(str, columns))} |")
    row = rows[0]
    seeds = sorted({row["seed"] for row in rows})
    drawn = [row for row in rows if row["labels"] != "all"]
    splits, seeded = {row["split_hash"] for row in drawn}, {(row["labels"], row["seed"]) for row in drawn}
    own = "each with a label split of its own" if len(splits) >= len(seeded) else f"over {len(splits)} label splits"
    versions = ", ".join(f"{name} {row['versions'][name]}" for name in ("ssl_zoo", "torch", "python"))
    commit = (
        f"commit {row['commit'][:10]}{'-dirty' if row['commit'].endswith('-dirty') else ''}" if row["commit"] else "no commit"
    )
    tested = sum(map(sum, row["confusion"]))
    lines += [
        "",
        f"{row['dataset']}, {row['net']}, {row['steps']} steps; the last evaluation on {tested} test images, mean ± standard "
        f"deviation over seeds {', '.join(map(str, seeds))}, {own}; seconds are medians. "
        f"{row['device']}; {versions}; {commit}.",
    ]
    warned = sorted({f"{row['algorithm']} with seed {row['seed']}" for row in rows if row.get("warnings")})
    if warned:
        lines += ["", f"Warned while they ran that a loss term trained nothing (see their result.json): {', '.join(warned)}."]
    return "\n".join(lines)


def insert(text: str, name: str, body: str) -> str:
    """Replace what stands between `<!-- table NAME -->` and `<!-- end -->` in a text.

    Raises:
        InputError: There is no such place.
    """
    pattern = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"there is no place for the table: put '<!-- table {name} -->' and '<!-- end -->' on lines of their own")
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    parser = config.Parser(prog="table.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="run folders, folders of them, or .jsonl files of rows")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="also write the rows to a file, one a line")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="put the table into a Markdown file, at the place named after the first path"
    )
    try:
        flags = parser.parse_args(argv)
        rows = results.read_rows(flags.paths)
        made = table(rows)
        if flags.jsonl:
            flags.jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        if flags.into:
            flags.into.write_text(
                insert(flags.into.read_text(encoding="utf-8"), flags.paths[0].as_posix(), made), encoding="utf-8"
            )
        else:
            print(made)
        return 0
    except (InputError, OSError) as error:
        print(f"table.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
