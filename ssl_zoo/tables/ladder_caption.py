"""What stands below the tables of a ladder: what they were measured on, and how they are to be read."""

from collections.abc import Mapping, Sequence

from ssl_zoo.runs.confusion import images_in
from ssl_zoo.tables.captions import commits, in_a_row, versions_of
from ssl_zoo.tables.cells import FEWEST
from ssl_zoo.tables.rows import Row, data_of
from ssl_zoo.tables.scored import flattered, images_scored, of_each

Rungs = Mapping[str, Sequence[Row]]


def caption(rungs: Rungs, lost: Rungs) -> list[str]:
    """Return the lines below the tables.

    Args:
        rungs: Rows of runs that finished, by rung.
        lost: Rows of runs that diverged, by rung.
    """
    rows = [row for group in rungs.values() for row in group]
    if not rows:
        return ["No run finished: all diverged."]
    first = rows[0]
    devices = "; ".join(dict.fromkeys(row["device"] for row in rows))
    took = sorted(row["seconds"] for row in rows)
    uneven = of_each(rows, flattered)
    return [
        _protocol(rungs, _seeds(rungs), max(map(len, rungs.values()))) + _diverged(lost),
        *(["", uneven] if uneven else []),
        "",
        "The second table: means over runs, for the ratio of gradients the median, of steps in training mode. Over 0.95 is the "
        "student's largest probability for an unlabelled image; the share of the gradient is of all images that are compared, "
        "labelled ones too where a recipe compares them. The accuracy on unlabelled images is of the net that is scored, at "
        "evaluations.",
        "",
        f"A run took {took[len(took) // 2]:.0f} s (median; {took[0]:.0f} to {took[-1]:.0f}). {devices}; {first['precision']}; "
        f"{versions_of(rows)}; commit {commits(rows)}.",
    ]


def _protocol(rungs: Rungs, seeds: str, most: int) -> str:
    rows = [row for group in rungs.values() for row in group]
    first = rows[0]
    given = f", with {', '.join(first['set'])}" if first.get("set") else ""
    tested, last = images_in(first["confusion"]), max(row["accuracy_median_of"] for row in rows)
    nets = ", ".join(dict.fromkeys(row["net"] for row in rows))
    steps = " or ".join(map(str, sorted({row["steps"] for row in rows})))
    over = "mean ± standard deviation over runs" if most > 1 else "of one run each"
    splits, drawn = {row["split_hash"] for row in rows}, {row["seed"] for row in rows}
    over_splits = f", over {len(splits)} label split{'s' * (len(splits) > 1)}"
    own = "" if len(drawn) == 1 else ", each with a label split of its own" if len(splits) == len(drawn) else over_splits
    points = "Points are paired differences over the splits that both rungs have"
    if most >= FEWEST:
        points = (
            f"Means over different seeds are not comparable. {points}, from {FEWEST} pairs on with a 95 % interval (Student's "
            "t). It is not corrected for the number of rungs, so of twenty that change nothing one is expected to exclude 0."
        )
    else:
        points = f"{points}; so few have no interval."
    return (
        f"{data_of(first)}, {first['labels']} labels, {nets}, {steps} steps{given}. Accuracy of the last evaluation, "
        f"on {tested} {images_scored(first)}, {over}{own} (seed{'s' * (most > 1)} {seeds}); median: of the last {last} "
        f"evaluations. {points}{' S0 is labels alone with the recipe of A0.' * ('S0' in rungs)}"
    )


def _seeds(rungs: Rungs) -> str:
    """Return the seeds of all rungs; where they differ, those of each, the most usual last."""
    by_seeds: dict[str, list[str]] = {}
    for name, group in rungs.items():
        by_seeds.setdefault(in_a_row(sorted({row["seed"] for row in group})), []).append(name)
    largest = max(by_seeds, key=lambda seeds: len(by_seeds[seeds]))
    if len(by_seeds) == 1:
        return largest
    others = (f"{', '.join(names)}: {of}" for of, names in by_seeds.items() if of != largest)
    return "; ".join([*others, f"all others: {largest}"])


def _diverged(lost: Rungs) -> str:
    gone = ", ".join(
        f"{name} (seed{'s' * (len(of_it) > 1)} {', '.join(str(row['seed']) for row in of_it)})"
        for name, of_it in lost.items()
        if of_it
    )
    return f" Runs that diverged are in no mean, so means are too good: {gone}." if gone else ""
