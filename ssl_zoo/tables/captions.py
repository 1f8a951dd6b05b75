"""What stands below a table: what it was measured on, and what is missing from it. A number never travels alone."""

import collections
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_zoo.runs.confusion import images_in, in_a_tail, majority, sizes, unequal, wilson
from ssl_zoo.settings import OWN_BATCH, OWN_STEPS
from ssl_zoo.tables.cells import ALONE, MANY, difference, reference_of
from ssl_zoo.tables.origins import begun_from, from_plugins
from ssl_zoo.tables.rows import Row, by_cell, data_of, grouped, machines_of, recipe_name
from ssl_zoo.tables.variants import OPTIONS, called, differing, listed_names, shared_of, variant_of

COLLAPSED = "nearly all pseudo-labels are of"  # begins the warning of a run, which has no other mark of its kind


def caption(
    rows: Sequence[Row], notes: Sequence[str], lost: Sequence[Row] = (), each_class: bool = False, compared: bool = True
) -> list[str]:
    """Return the lines below a table, with an empty one between any two.

    Args:
        rows: Of the runs in it.
        notes: Why others are left out.
        lost: Of runs that would be in it but diverged.
        each_class: Whether the table says how each class was told.
        compared: Whether the table compares with supervised. Otherwise it says itself what was varied.
    """
    partial = f"Partial: {'; '.join(notes)}." if notes else ""
    lines = [_measured(rows, compared)]
    said = (
        _varied(rows, lost) if compared else "",
        _at_once(rows),
        _finite(rows),
        _drawn(rows),
        flattered(rows[0]),
        _of_classes(rows, each_class),
        _own_numbers(rows),
        begun_from(rows),
        from_plugins(rows),
        _unpaired(rows) if compared else "",
        _moved(rows),
        _warned(rows),
        _diverged(lost),
    )
    for line in (*said, _leaked(rows), partial):
        lines += ["", line] if line else []
    return lines


def commits(rows: Sequence[Row]) -> str:
    """Return the commits that rows were made with, shortened, each once."""
    parts = [(commit or "none").partition("-") for commit in dict.fromkeys(row["commit"] for row in rows)]
    return ", ".join(name[:10] + dash + dirty for name, dash, dirty in parts)


def _measured(rows: Sequence[Row], compared: bool) -> str:
    """Return data, net, protocol, seeds, what points are, cost, machine, versions, commit and recipe."""
    row, cells = rows[0], by_cell(rows)
    versions = ", ".join(f"{name} {row['versions'][name]}" for name in ("ssl_zoo", "torch", "python"))
    tested = images_in(row["confusion"])
    held_out = f"{100 * row['config'].get('val_fraction', 0):g} % of the labelled images, held out"
    chosen = "the last evaluation" if row.get("selection", "last") == "last" else f"the evaluation that is best on {held_out},"
    scored = " of the student" if row["config"].get("evaluation", {}).get("net") == "student" else ""
    last = max(row.get("accuracy_median_of", 1) for row in rows)  # what is fitted at once has one evaluation
    median = f"the last {last} evaluations" if last > 1 else "the last evaluation alone"
    over = "mean ± standard deviation over n runs" if any(len(group) > 1 for group in cells.values()) else "of one run each"
    return (
        f"{data_of(row)}, {row['net']}, {steps_of(rows)}; error rate{scored} of {chosen} on {tested} "
        f"{images_scored(row)}, {over} ({_seeds_and_splits(rows)}); median: of {median}{_paired(cells) if compared else ''}. "
        f"Seconds a run: {_of_each(rows, 'seconds')}; images seen: {_of_each(rows, 'images_seen')}. {row['device']}, "
        f"{_precisions(rows)}; {versions}; commit {commits(rows)}; recipe {recipe_name(row)}."
    )


def _precisions(rows: Sequence[Row]) -> str:
    """Return what the passes of the nets were computed in; more than one, where that was varied."""
    return " and ".join(sorted({row["precision"] for row in rows}))


def steps_of(rows: Sequence[Row]) -> str:
    """Return how many steps runs have, in words: where that was varied, from the fewest to the most."""
    counts = sorted({row["steps"] for row in rows} - {0}) or [0]  # some methods are fitted at once
    if counts == [0]:
        return "no steps"
    return f"{counts[0]} steps" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} steps"


def _varied(rows: Sequence[Row], lost: Sequence[Row]) -> str:
    """Say in which settings the variants of methods differ, and with what each is compared."""
    found = differing((*rows, *lost))
    if not found:
        return ""
    listed = "; ".join(f"{key}: {', '.join(values)}" for key, values in found.items())
    shared = [key for key in found if not key.startswith(f"{OPTIONS}.")]
    alike = f" A pair has the same {' and '.join(shared)}." if shared else ""
    return f"Varied, and named by their values: {listed}. All other settings of a method are the same in its rows.{alike}"


def _seeds_and_splits(rows: Sequence[Row]) -> str:
    """Return which seeds there are, and how many label splits: with all labels there is one."""
    seeds = sorted({row["seed"] for row in rows})
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    drawn = [row for row in rows if row["labels"] != "all"]
    splits, seeded = {row["split_hash"] for row in drawn}, {(row["labels"], row["seed"]) for row in drawn}
    if not drawn:
        return f"{named}, all with the same labelled images"
    if len(seeded) == 1:
        return f"{named}, one label split"
    numbers = {row["labels"] for row in drawn}
    some = " but for all labels" if len(drawn) < len(rows) else ""
    if len(splits) == len(seeded):
        return f"{named}, each with a label split of its own{some}"
    each = " at each number of labels" if len(numbers) > 1 else ""
    most = max(len({row["split_hash"] for row in drawn if row["labels"] == number}) for number in numbers)
    return f"{named}, over {most} label split{'s' * (most > 1)}{each}{some}"


def _paired(cells: Mapping[tuple[str, Any], Sequence[Row]]) -> str:
    """Return what points are, if there are any."""
    others = [(group, reference_of(group[0], cells)) for group in cells.values() if group[0]["algorithm"] != ALONE]
    gains = [gain for group, alone in others if (gain := difference(group, alone)) is not None]
    if not gains:
        return ""
    few = [gain for gain in gains if gain.low is None]
    interval = "" if len(few) == len(gains) else f", 95 % interval (Student's t{', from three pairs on' if few else ''})"
    return f"; points: paired difference in accuracy to supervised{interval}"


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


def _finite(rows: Sequence[Row]) -> str:
    """Say how well so many images tell an error rate, whatever the number of runs."""
    if rows[0].get("scored") == "training":
        return ""
    count = images_in(rows[0]["confusion"])
    errors = sorted(1 - statistics.mean(row["accuracy"] for row in group) for group in by_cell(rows).values())
    each = []
    for error in dict.fromkeys((errors[0], errors[-1])):
        low, high = wilson((1 - error) * count, count)
        each.append(f"{100 * error:.1f} % as {100 * (1 - high):.1f} to {100 * (1 - low):.1f} %")
    return (
        f"The {count:,} images that are scored are themselves a sample: they tell an error rate of {' and one of '.join(each)} "
        "(95 %, Wilson), however many runs there are. Runs that score the same images share this error, so that a difference "
        "between methods has less of it."
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


def _drawn(rows: Sequence[Row]) -> str:
    """Say of which classes the images of rows are; where variants differ in that, of each."""
    said = {drawn(row): called(row) for row in reversed(rows)}
    if len(said) == 1:
        return next(iter(said))
    names = {text: listed_names(dict.fromkeys(called(row) for row in rows if drawn(row) == text)) for text in reversed(said)}
    return " ".join(f"Of {names[text]}: {text}" for text in names if text)


def drawn(row: Row) -> str:
    """Say which classes the labelled and unlabelled images are of, where it is not as many of each."""
    config, stream = row["config"], row["config"].get("stream", {})
    said = ["The labels are a long tail, as a split file has them."] * (row.get("split_draw") == "longtail")
    if config.get("draw") == "longtail" and config.get("split_file") is None:
        rounded = "rounded down, and at least one of each class"
        said.append(f"The labels are a long tail with an imbalance of {config['imbalance']:g}, {rounded}.")
    if stream.get("imbalance") is not None:
        largest = "last" if stream.get("order") == "reversed" else "first"
        tail = f"a long tail with an imbalance of {stream['imbalance']:g}, the most of the {largest} class"
        said.append(f"The unlabelled images are {'as many of each class' if stream['imbalance'] == 1 else tail}.")
    if stream.get("images") is not None:
        said.append(f"Of those without a label, {stream['images']:,} are used.")
    if outside := config.get("unlabeled_classes"):
        share = "" if stream.get("mismatch") is None else f", {100 * stream['mismatch']:g} % of those without a label"
        said.append(f"Classes that are only among the unlabelled images{share}, and not scored: {', '.join(map(str, outside))}.")
    return " ".join(said)


def _of_classes(rows: Sequence[Row], each_class: bool) -> str:
    """Say what is shown of the classes."""
    row, matrix = rows[0], rows[0]["confusion"]
    if not each_class and not unequal(matrix) and not any(map(in_a_tail, rows)):
        return ""
    mean = "The geometric mean is of the classes' recalls, of which one of 0 counts as 1/(100 K) with K classes."
    names = row.get("classes") or []
    order = f" in the order of the classes ({', '.join(names)})" if names else ""
    many = len(sizes(matrix)) > MANY
    each = f" Recalls are means over the runs, in percent{': the least, the median, the most' if many else order}."
    return mean + (each if each_class else "")


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


def _unpaired(rows: Sequence[Row]) -> str:
    cells = by_cell(rows)
    runs: dict[str, list[bool]] = {}  # of each method, which have no pair
    for (method, _), group in cells.items():
        alone = {row["seed"] for row in reference_of(group[0], cells)}
        if group[0]["algorithm"] != ALONE:
            runs.setdefault(method, []).extend(row["seed"] not in alone for row in group)
    every = [method for method in sorted(runs) if all(runs[method])]
    partly = [method for method in sorted(runs) if any(runs[method]) and method not in every]
    listed = [f"all runs of: {listed_names(every)}"] * bool(every)
    listed += [f"some runs of: {listed_names(partly)}"] * bool(partly)
    same = " with the same settings" if any(shared_of(row) != "{}" for row in rows) else ""
    if not listed:
        return ""
    return f"Without a run of supervised on the same split{same}, so without a pair, {'; and '.join(listed)}."


def _moved(rows: Sequence[Row]) -> str:
    machines = dict.fromkeys(machine for row in rows for machine in machines_of(row))
    return f"Seconds are of runs on more than one machine: {'; '.join(machines)}." if len(machines) > 1 else ""


def _warned(rows: Sequence[Row]) -> str:
    of: dict[str, set[str]] = {}  # what was wrong -> runs
    for row in rows:
        for line in row.get("warnings") or ():
            other = "a loss term trained nothing" if row["steps"] else "scikit-learn's fit may not have converged"
            what = "nearly all pseudo-labels were of one class" if COLLAPSED in line else other
            of.setdefault(what, set()).add(f"{called(row)} with seed {row['seed']}")
    said = (f"that {what} (see their result.json): {listed_names(sorted(runs))}" for what, runs in sorted(of.items()))
    return " ".join(f"Warned while they ran {one}." for one in said)


def _diverged(lost: Sequence[Row]) -> str:
    gone = listed_names(
        f"{method} with {count} labels (seed{'s' * (len(group) > 1)} {', '.join(str(row['seed']) for row in group)})"
        for (method, count), group in by_cell(lost).items()
    )
    return f"Diverged, and so in no mean, which flatters what is left: {gone}." if gone else ""


def _leaked(rows: Sequence[Row]) -> str:
    leaked = max(row.get("leaked_test_images", 0) for row in rows)
    return f"{leaked} of the test images are also training images: the score counts what was learnt by heart." if leaked else ""
