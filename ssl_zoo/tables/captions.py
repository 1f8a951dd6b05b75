"""What stands below a table: what it was measured on, and what is missing from it. A number never travels alone."""

import collections
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssl_zoo.settings import OWN_BATCH, OWN_STEPS
from ssl_zoo.tables.cells import ALONE, difference, is_of, reference_of
from ssl_zoo.tables.origins import begun_from, from_plugins
from ssl_zoo.tables.rows import Row, by_cell, data_of, grouped, machines_of, recipe_name
from ssl_zoo.tables.scored import drawn, finite, flattered, leaked, of_classes, of_each, which_score
from ssl_zoo.tables.variants import OPTIONS, called, differing, listed_names, owner_of, shared_of, splitting_of, variant_of

COLLAPSED = "nearly all pseudo-labels are of"  # begins the warning of a run, which has no other mark of its kind


def caption(
    rows: Sequence[Row], notes: Sequence[str], lost: Sequence[Row] = (), each_class: bool = False, compared: str = ALONE
) -> list[str]:
    """Return the lines below a table, with an empty one between any two.

    Args:
        rows: Of the runs in it.
        notes: Why others are left out.
        lost: Of runs that would be in it but diverged.
        each_class: Whether the table says how each class was told.
        compared: With which method, or variant, the table compares. Where with none, it says itself what was varied.
    """
    partial = f"Partial: {'; '.join(notes)}." if notes else ""
    lines = [_measured(rows, compared)]
    said = (
        _varied(rows, lost, compared) if compared else "",
        _at_once(rows),
        finite(rows),
        of_each(rows, drawn),
        of_each(rows, flattered),
        of_classes(rows, each_class),
        _own_numbers(rows),
        begun_from(rows),
        from_plugins(rows),
        _unpaired(rows, compared) if compared else "",
        _moved(rows),
        _warned(rows),
        _diverged(lost),
    )
    for line in (*said, leaked(rows), partial):
        lines += ["", line] if line else []
    return lines


def commits(rows: Sequence[Row]) -> str:
    """Return the commits that rows were made with, shortened, each once."""
    parts = [(commit or "none").partition("-") for commit in dict.fromkeys(row["commit"] for row in rows)]
    return ", ".join(name[:10] + dash + dirty for name, dash, dirty in parts)


def recipes_of(rows: Sequence[Row]) -> str:
    """Return the hashes of what all runs of a table share: one, unless they differ in what changes no run."""
    return ", ".join(dict.fromkeys(map(recipe_name, rows)))


def _measured(rows: Sequence[Row], compared: str) -> str:
    """Return data, net, protocol, seeds, what points are, cost, machine, versions, commit and recipe."""
    row, cells = rows[0], by_cell(rows)
    counts = {row.get("accuracy_median_of", 1) for row in rows if row["steps"]} or {1}  # what is fitted at once has one
    last = " to ".join(map(str, dict.fromkeys((min(counts), max(counts)))))
    median = "the last evaluation alone" if last == "1" else f"the last {last} evaluations"
    over = "mean ± standard deviation over n runs" if any(len(group) > 1 for group in cells.values()) else "of one run each"
    return (
        f"{data_of(row)}, {row['net']}, {steps_of(rows)}; {which_score(rows)}, {over} ({_seeds_and_splits(rows)}); "
        f"median: of {median}{_paired(cells, compared) if compared else ''}. "
        f"Seconds a run (medians): {_of_each(rows, 'seconds')}; images seen: {_of_each(rows, 'images_seen')}. {row['device']}, "
        f"{_precisions(rows)}; {versions_of(rows)}; commit {commits(rows)}; recipe {recipes_of(rows)}."
    )


def versions_of(rows: Sequence[Row]) -> str:
    """Return versions; more than one of Python, where runs differ in it."""
    found = {name: dict.fromkeys(row["versions"][name] for row in rows) for name in ("ssl_zoo", "torch", "python")}
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.items())


def _precisions(rows: Sequence[Row]) -> str:
    """Return what the passes of the nets were computed in; more than one, where that was varied."""
    return " and ".join(sorted({row["precision"] for row in rows}))


def steps_of(rows: Sequence[Row]) -> str:
    """Return how many steps runs have, in words: where that was varied, from the fewest to the most."""
    counts = sorted({row["steps"] for row in rows} - {0}) or [0]  # some methods are fitted at once
    if counts == [0]:
        return "no steps"
    return f"{counts[0]} steps" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} steps"


def _varied(rows: Sequence[Row], lost: Sequence[Row], against: str) -> str:
    """Say in which settings the variants of methods differ, and with what each is compared."""
    every = [*rows, *lost]
    found = differing(every)
    lacking = {key for key in found if any(key not in variant_of(row) for row in _could(key, every))}
    varied = [key for key, values in found.items() if len(values) > 1 or key in lacking]
    same = "; ".join(f"{key}: {found[key][0]}" for key in found if key not in varied)
    said = [f"The same in all rows here, and varied elsewhere: {same}."] * bool(same)
    if varied:
        listed = "; ".join(f"{key}: {', '.join(found[key])}" for key in varied)
        shared = [key for key in varied if owner_of(key) is None]
        alike = f" A pair has the same {' and '.join(shared)}." if shared and _paired(by_cell(rows), against) else ""
        others = "All other settings of a method are the same in its rows."
        said.insert(0, f"Varied, and named by their values: {listed}. {others}{alike}")
    return " ".join(said)


def _could(key: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that could have a setting: all, but of an option those of its method."""
    return [row for row in rows if owner_of(key) in (None, row["algorithm"])]


def in_a_row(numbers: Iterable[int]) -> str:
    """Return sorted numbers with commas; of four or more that follow each other the first and the last."""
    runs: list[list[int]] = []
    for number in numbers:
        runs = [*runs[:-1], [*runs[-1], number]] if runs and number == runs[-1][-1] + 1 else [*runs, [number]]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in runs)


def _seeds_and_splits(rows: Sequence[Row]) -> str:
    """Return which seeds there are, and how many label splits: with all labels there is one."""
    seeds = sorted({row["seed"] for row in rows})
    named = f"seed{'s' * (len(seeds) > 1)} {in_a_row(seeds)}"
    groups = grouped(rows, lambda row: (row["labels"], splitting_of(row)))  # each may have other splits
    splits = {key: {row["split_hash"] for row in group} for key, group in groups.items()}
    drawn_by_seed = {key: group for key, group in groups.items() if key[0] != "all" or len(splits[key]) > 1}
    several = len({split for _, split in groups}) > 1
    if not drawn_by_seed:
        return f"{named}, all{' of a variant' if several else ''} with the same labelled images"
    some = " but for all labels" if len(drawn_by_seed) < len(groups) else ""
    each = " at each number of labels" if len({labels for labels, _ in drawn_by_seed}) > 1 else ""
    each += " of each variant" if several else ""
    if len({row["seed"] for group in drawn_by_seed.values() for row in group}) == 1:
        return f"{named}, one label split{each}{some}"
    if all(len(splits[key]) == len({row["seed"] for row in group}) for key, group in drawn_by_seed.items()):
        return f"{named}, each with a label split of its own{some}"
    counts = sorted(len(splits[key]) for key in drawn_by_seed)
    number = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{named}, over {number} label split{'s' * (counts[-1] > 1)}{each}{some}"


def _paired(cells: Mapping[tuple[str, Any], Sequence[Row]], against: str) -> str:
    """Return what points are, if there are any."""
    others = [(group, reference_of(group[0], cells, against)) for group in cells.values() if not is_of(group[0], against)]
    gains = [gain for group, alone in others if (gain := difference(group, alone)) is not None]
    if not gains:
        return ""
    few = [gain for gain in gains if gain.low is None]
    interval = "" if len(few) == len(gains) else f", 95 % interval (Student's t{', from three pairs on' if few else ''})"
    return f"; points: paired difference in accuracy to {against}, + is better{interval}"


def _of_each(rows: Sequence[Row], name: str) -> str:
    """Return the median of each method, over its cells from the least to the most; what half of them have, once."""
    shown = {}
    for alg, of_method in grouped(rows, lambda row: row["algorithm"]).items():
        cells = grouped(of_method, lambda row: (called(row), row["labels"])).values()
        medians = sorted(statistics.median(row[name] for row in group) for group in cells)
        ends = [f"{value:.1f}" if 0 < value < 1 else f"{value:,.0f}" for value in (medians[0], medians[-1])]
        shown[alg] = " to ".join(dict.fromkeys(ends))
    (usual, count), *_ = collections.Counter(shown.values()).most_common()
    if count == 1 or 2 * count < len(shown):
        return ", ".join(f"{alg} {value}" for alg, value in shown.items())
    others = ", ".join(f"{alg} {value}" for alg, value in shown.items() if value != usual)
    return f"{usual}, but {others}" if others else usual


def _at_once(rows: Sequence[Row]) -> str:
    """Say which methods have no steps, and of those which do not use the net."""
    fitted = {row["algorithm"]: row["config"]["algorithms"][row["algorithm"]].get("features") for row in rows if not row["steps"]}
    if not fitted:
        return ""
    pixels, frozen = ([alg for alg, features in fitted.items() if features == kind] for kind in ("pixels", "net"))
    on = [f"on the images' pixels, without the net: {', '.join(pixels)}"] * bool(pixels)
    on += [f"on frozen features of the net: {', '.join(frozen)}"] * bool(frozen)
    return f"Fitted at once by scikit-learn, without steps and augmentation, {'; '.join(on)}."


def _own_numbers(rows: Sequence[Row]) -> str:
    """Name methods with a number of steps, or of unlabelled images a step, that the others do not have."""
    of_each: dict[str, dict[str, int]] = {"Steps": {}, "Unlabelled images a step": {}}
    for row in rows:
        options, varied = row["config"]["algorithms"].get(row["algorithm"], {}), {*variant_of(row)}  # whose name says it
        prefix = f"{OPTIONS}.{row['algorithm']}."
        if OWN_STEPS in options and row["steps"] and prefix + OWN_STEPS not in varied:
            of_each["Steps"][called(row)] = options[OWN_STEPS]
        if OWN_BATCH in options and row.get("batch_unlabeled") and f"{prefix}{OWN_BATCH}.unlabeled" not in varied:
            of_each["Unlabelled images a step"][called(row)] = options[OWN_BATCH]["unlabeled"]
    return " ".join(
        f"{what}, where a method has its own number: {listed_names(f'{alg} {count}' for alg, count in sorted(own.items()))}."
        for what, own in of_each.items()
        if own
    )


def _unpaired(rows: Sequence[Row], against: str) -> str:
    cells = by_cell(rows)
    runs: dict[str, list[bool]] = {}  # of each method, which have no pair
    for (method, _), group in cells.items():
        alone = {row["seed"] for row in reference_of(group[0], cells, against)}
        if not is_of(group[0], against):
            runs.setdefault(method, []).extend(row["seed"] not in alone for row in group)
    every = [method for method in sorted(runs) if all(runs[method])]
    partly = [method for method in sorted(runs) if any(runs[method]) and method not in every]
    listed = [f"all runs of: {listed_names(every)}"] * bool(every)
    listed += [f"some runs of: {listed_names(partly)}"] * bool(partly)
    same = " with the same settings" if any(shared_of(row) != "{}" for row in rows) else ""
    if not listed:
        return ""
    return f"Without a run of {against} on the same split{same}, so without a pair, {'; and '.join(listed)}."


def _moved(rows: Sequence[Row]) -> str:
    machines = dict.fromkeys(machine for row in rows for machine in machines_of(row))
    return f"Seconds are of runs on more than one machine: {'; '.join(machines)}." if len(machines) > 1 else ""


def _warned(rows: Sequence[Row]) -> str:
    of: dict[str, set[str]] = {}  # what was wrong -> runs
    for row in rows:
        for line in row.get("warnings") or ():
            other = "a loss term trained nothing" if row["steps"] else "scikit-learn's fit may not have converged"
            what = f"that {'nearly all pseudo-labels were of one class' if COLLAPSED in line else other}"
            of.setdefault(what, set()).add(f"{called(row)} with seed {row['seed']}")
    said = (f"{what} (see their result.json): {listed_names(sorted(runs))}" for what, runs in sorted(of.items()))
    return " ".join(f"Warned while they ran {one}." for one in said)


def _diverged(lost: Sequence[Row]) -> str:
    gone = listed_names(
        f"{method} with {count} labels (seed{'s' * (len(group) > 1)} {', '.join(str(row['seed']) for row in group)})"
        for (method, count), group in by_cell(lost).items()
    )
    return f"Runs that diverged are in no mean, so means are too good: {gone}." if gone else ""
