"""What stands below a table: what it was measured on, and what is missing from it. A number never travels alone."""

import statistics
from collections.abc import Sequence

from ssl_zoo.runs.confusion import images_in, majority, sizes, unequal
from ssl_zoo.settings import OWN_BATCH
from ssl_zoo.tables.rows import Row, by_cell, data_of


def caption(rows: Sequence[Row], notes: Sequence[str], lost: Sequence[Row] = ()) -> list[str]:
    """Return the lines below a table, with an empty one between any two.

    Args:
        rows: Of the runs in it.
        notes: Why others are left out.
        lost: Of runs that would be in it but diverged.
    """
    partial = f"Partial: {'; '.join(notes)}." if notes else ""
    lines = [_measured(rows)]
    said = (flattered(rows[0]), _own_batches(rows), _unpaired(rows), _warned(rows), _diverged(lost), _leaked(rows), partial)
    for line in said:
        lines += ["", line] if line else []
    return lines


def commits(rows: Sequence[Row]) -> str:
    """Return the commits that rows were made with, shortened, each once."""
    parts = [(commit or "none").partition("-") for commit in dict.fromkeys(row["commit"] for row in rows)]
    return ", ".join(name[:10] + dash + dirty for name, dash, dirty in parts)


def _measured(rows: Sequence[Row]) -> str:
    """Return data, net, protocol, seeds, cost, machine, versions and commit."""
    row = rows[0]
    seeds = sorted({row["seed"] for row in rows})
    drawn = [row for row in rows if row["labels"] != "all"]
    splits, seeded = {row["split_hash"] for row in drawn}, {(row["labels"], row["seed"]) for row in drawn}
    own = "each with a label split of its own" if len(splits) == len(seeded) else f"over {len(splits)} label splits"
    own = own if drawn else "all with the same labelled images"
    versions = ", ".join(f"{name} {row['versions'][name]}" for name in ("ssl_zoo", "torch", "python"))
    times = ", ".join(
        f"{alg} {statistics.median(r['seconds'] for r in rows if r['algorithm'] == alg):.0f}"
        for alg in dict.fromkeys(r["algorithm"] for r in rows)
    )
    tested = images_in(row["confusion"])
    held_out = f"{100 * row['config'].get('val_fraction', 0):g} % of the labelled images, held out"
    chosen = "the last evaluation" if row.get("selection", "last") == "last" else f"the evaluation that is best on {held_out},"
    scored = " of the student" if row["config"].get("evaluation", {}).get("net") == "student" else ""
    last = row.get("accuracy_median_of", 1)
    median = f"the last {last} evaluations" if last > 1 else "the last evaluation alone"
    return (
        f"{data_of(row)}, {row['net']}, {row['steps']} steps; error rate{scored} of {chosen} on {tested} "
        f"{images_scored(row)}, mean ± standard deviation over n runs (seeds {', '.join(map(str, seeds))}, {own}); "
        f"median: of {median}; points: paired difference in accuracy to supervised, 95 % interval. "
        f"Seconds a run: {times}. {row['device']}; {versions}; "
        f"commit {commits(rows)}."
    )


def images_scored(row: Row) -> str:
    """Say which images a row is of."""
    folds = row["config"].get("folds")
    if folds is not None:
        return f"labelled images, each scored once, by one of {folds} nets that had not seen it"
    others = {"held-out": "labelled images held out for it", "training": "labelled training images"}
    return others.get(row.get("scored", "test"), "test images")


def flattered(row: Row) -> str:
    """Say what an accuracy is worth where the classes of the scored images are of unequal size."""
    matrix = row["confusion"]
    if not unequal(matrix):
        return ""
    count, (_, alone) = sizes(matrix), majority(matrix)
    return (
        f"The classes of the {images_scored(row)} are unequal, from {min(count):,} to {max(count):,} images: the largest class, "
        f"given to all of them, has an error rate of {100 * (1 - alone):.1f} %. Balanced accuracy is the mean of the classes' "
        f"recalls; one class for all images has {100 / sum(map(bool, count)):.1f} %."
    )


def _own_batches(rows: Sequence[Row]) -> str:
    """Name methods that see another number of unlabelled images a step than the others, as their papers have it."""
    own = {
        row["algorithm"]: row["config"]["algorithms"][row["algorithm"]][OWN_BATCH]["unlabeled"]
        for row in rows
        if OWN_BATCH in row["config"]["algorithms"].get(row["algorithm"], {})
    }
    listed = ", ".join(f"{alg} {count}" for alg, count in sorted(own.items()))
    return f"Unlabelled images a step, where a method has its own number: {listed}." if own else ""


def _unpaired(rows: Sequence[Row]) -> str:
    alone = {(row["labels"], row["seed"]) for row in rows if row["algorithm"] == "supervised"}
    others = {row["algorithm"] for row in rows if (row["labels"], row["seed"]) not in alone and row["algorithm"] != "supervised"}
    if not others:
        return ""
    return f"Without a run of supervised on the same split, so without a pair, some runs of: {', '.join(sorted(others))}."


def _warned(rows: Sequence[Row]) -> str:
    warned = sorted({f"{row['algorithm']} with seed {row['seed']}" for row in rows if row.get("warnings")})
    if not warned:
        return ""
    return f"Warned while they ran that a loss term trained nothing (see their result.json): {', '.join(warned)}."


def _diverged(lost: Sequence[Row]) -> str:
    gone = ", ".join(
        f"{method} with {count} labels (seed{'s' * (len(group) > 1)} {', '.join(str(row['seed']) for row in group)})"
        for (method, count), group in by_cell(lost).items()
    )
    return f"Diverged, and so in no mean, which flatters what is left: {gone}." if gone else ""


def _leaked(rows: Sequence[Row]) -> str:
    leaked = max(row.get("leaked_test_images", 0) for row in rows)
    return f"{leaked} of the test images are also training images: the score counts what was learnt by heart." if leaked else ""
