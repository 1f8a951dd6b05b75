"""Rows at equal steps -> a recipe in which every method has as many steps as it makes in the same time.

    python benchmarks/equal_seconds.py benchmarks/results/digits-zoo.jsonl --like fixmatch > equal.yaml
    python benchmarks/sweep.py --recipe digits --recipe equal.yaml ...

A table of equal seconds asks what a method's dearer steps are worth. Steps are counted, and not the seconds of the run
itself, so that a run gives the same numbers again on a busy machine.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_zoo.cli.parser import Parser, command, leave, path
from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.runs.row import read_rows
from ssl_zoo.tables.rows import grouped, machines_of


def steps_in_equal_seconds(rows: Sequence[Mapping[str, Any]], like: str) -> dict[str, int]:
    """Return how many steps each method makes in the seconds that one of them trained for.

    The seconds of a step are the median over the runs of a method. Methods that are fitted at once are left out.

    Args:
        rows: Of runs of one recipe, on one machine.
        like: The method whose seconds all get.

    Raises:
        InputError: There is no run of that method, or a row does not say how long it trained.
    """
    untimed = sum(bool(row["steps"]) and "seconds_training" not in row for row in rows)
    if untimed:
        raise InputError(f"{untimed} of {len(rows)} rows do not say how long they trained, as old ones; run again")
    like = ALGORITHMS.resolve(like).name
    trained = grouped([row for row in rows if row["steps"]], lambda row: row["algorithm"])
    if like not in trained:
        raise InputError(f"there is no run of '{like}' with steps; there are: {', '.join(sorted(trained)) or 'none'}")
    step = {alg: statistics.median(row["seconds_training"] / row["steps"] for row in runs) for alg, runs in trained.items()}
    seconds = step[like] * statistics.median(row["steps"] for row in trained[like])
    return {alg: max(1, round(seconds / each)) for alg, each in sorted(step.items())}


def recipe(rows: Sequence[Mapping[str, Any]], like: str) -> str:
    """Return the recipe as YAML, with where its numbers are from. Arguments as of `steps_in_equal_seconds`."""
    steps = steps_in_equal_seconds(rows, like)
    like = ALGORITHMS.resolve(like).name
    shared = {
        "nets": {row["net"] for row in rows},
        "data sets": {row["dataset"] for row in rows},
        "machines": {machine for row in rows for machine in machines_of(row)},
        "labelled images a step": {str(row["config"]["batch"]["labeled"]) for row in rows},
        "unlabelled images a step": {str(row["config"]["batch"]["unlabeled"]) for row in rows},
    }
    for what, found in shared.items():
        if len(found) > 1:
            listed = ", ".join(sorted(found))
            raise InputError(f"a step does not cost the same in all of these rows, of {what} {listed}; give one")
    net, machine = (shared[what].pop() for what in ("nets", "machines"))
    lines = [f"# Steps that every method makes in the seconds of {like}'s {steps[like]}, {net}, {machine}."]
    return "\n".join([*lines, "algorithms:", *(f"  {alg}: {{steps: {count}}}" for alg, count in steps.items())])


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description="Rows at equal steps -> a recipe of as many steps as a method makes in the same time.")
    p.add_argument("rows", nargs="+", type=path, metavar="FILE", help="rows of one net on one machine, or folders of runs")
    p.add_argument("--like", default="fixmatch", metavar="METHOD", help="whose seconds every method gets (%(default)s)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input."""

    def printed(flags: argparse.Namespace) -> int:
        print(recipe(read_rows(flags.rows), flags.like))
        return 0

    return command("equal_seconds.py", lambda: printed(parser("equal_seconds.py").parse_args(argv)))


if __name__ == "__main__":
    leave(main())
