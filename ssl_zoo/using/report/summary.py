"""The first parts of a page about a run: how good it is, and what was trained on what."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssl_zoo import config, recipes
from ssl_zoo.errors import InputError
from ssl_zoo.pages.markup import Markup, counted, element, facts, folded, joined, listed, name, paragraph, percent
from ssl_zoo.runs.confusion import balanced, geometric_mean, images_in, in_a_tail, interval, unequal
from ssl_zoo.runs.report import one_class
from ssl_zoo.runs.row import Row, uses_labels_alone
from ssl_zoo.runs.settled import FEW
from ssl_zoo.settings import NO_OTHER_RUN
from ssl_zoo.tables.captions import commits
from ssl_zoo.tables.rows import data_of
from ssl_zoo.tables.scored import drawn, flattered, images_scored
from ssl_zoo.using.report.evidence import Run

RECIPES = {"folder": ("photos", "folder")}  # of data sets that have more than one
ITS_OWN = {*NO_OTHER_RUN, "alg", "net", "dataset", "seed", "split_seed", "fold", "folds", "split_file"}  # no recipe's business


def answer(run: Run, other: Row | None) -> Markup:
    """Return how good the net is, and what is to be known before that is believed.

    Args:
        run: To be reported.
        other: A run of labels alone, with all else the same, where there is one.
    """
    row, n = run.row, images_in(run.confusion)
    low, high = interval(run.confusion)
    labels = "all labels" if row["labels"] == "all" else counted(row["labels"], "label")
    said = joined(
        name(row["algorithm"]),
        " on pixels" if _on_pixels(row) else joined(" with ", name(row["net"])),
        " learnt from ",
        labels,
        " of ",
        name(data_of(row)),
        f". It is right about {round(n * row['accuracy']):,} of {n:,} {images_scored(as_told(run))}: an accuracy of ",
        element("strong", percent(row["accuracy"])),
        f", with a 95 % interval of {100 * low:.1f} to {100 * high:.1f} % for that number of images.",
    )
    warnings = listed([*row.get("warnings", ()), *_doubts(row)], kind="warn")
    flatters = flattered(as_told(run))
    also = paragraph(flatters, kind="soft") if flatters else ""
    spread = paragraph("Another seed, or other labelled images, would give another number; how far off is not in the interval.")
    return joined(paragraph(said, kind="answer"), _tiles(run, other), warnings, also, spread)


def as_told(run: Run) -> Row:
    """Return the row as it is told of: that of a single fold as one of a run with images held out."""
    return run.row if run.folds else {**run.row, "config": {**run.row["config"], "folds": None}}  # type: ignore[typeddict-item]


def _fold(run: Run) -> str:
    count = run.row["config"].get("folds")
    return (
        "" if run.folds or count is None else f": fold {run.row['config']['fold']} of {count}; the folder above has a page of all"
    )


def _tiles(run: Run, other: Row | None) -> Markup:
    """The numbers, large."""
    row, (low, high) = run.row, interval(run.confusion)
    own = {} if run.folds else row  # a pooled row has these of the first fold
    shown = unequal(run.confusion) or in_a_tail(row)
    gain = None if other is None else 100 * (row["accuracy"] - other["accuracy"])
    found = [
        (percent(row["accuracy"]), f"accuracy; {100 * low:.1f} to {100 * high:.1f} %"),
        (percent(balanced(run.confusion)) if unequal(run.confusion) else "", "balanced accuracy, as classes are unequal"),
        (percent(geometric_mean(run.confusion)) if shown else "", "geometric mean of the classes' shares right"),
        ("" if gain is None else f"{gain:+.1f}", "points against labels alone, one run of each"),
        (percent(own["validation_accuracy"]) if "validation_accuracy" in own else "", "validation accuracy"),
        (percent(row["accuracy_student"]) if row["accuracy_student"] != row["accuracy"] else "", "accuracy of its student"),
        (percent(own["calibration_error"]) if "calibration_error" in own else "", "calibration error, as it was scored"),
    ]
    tiles = [element("div", element("b", value), element("span", what)) for value, what in found if value]
    return element("div", *tiles, class_="tiles")


def _doubts(row: Row) -> Iterator[str]:
    """What makes the score say little."""
    yield from one_class(row)
    if 0 < row["steps"] < FEW:
        yield f"it made {row['steps']:,} steps, which teach little: give more `steps` or `minutes`"
    without = row["config"].get("nets", {}).get(row["net"], {}).get("pretrained") is False and not _on_pixels(row)
    if without and row["config"].get("initial") is None:
        yield "the net began from random weights, as no pretrained ones were used; with few labels these would help most"
    if row.get("scored") == "training":
        yield "the scored images are those that it was trained on: the score says nothing of others"
    if row.get("leaked_test_images"):
        leaked = f"{row['leaked_test_images']:,} of the scored images are also training images"
        yield f"{leaked}: the score counts what was learnt by heart"


def made_of(run: Run) -> Markup:
    """Return what was trained on what."""
    row = run.row
    made = row["config"]["evaluation"] if isinstance(row["config"].get("evaluation"), dict) else {}
    size = run.trained.about["net"]
    versions = ", ".join(f"{package} {number}" for package, number in row["versions"].items())
    total = None if run.labels is None else int(run.labels.sum())
    kept = row["config"].get("val_fraction", 0)
    return facts(
        [
            ("method", joined(name(row["algorithm"]), ", scored: its student" if made.get("net") == "student" else "")),
            ("net", _net(row)),
            ("began from", _began_from(row)),
            ("data", joined(name(data_of(row)), f", {size['height']} x {size['width']} x {size['channels']}")),
            ("classes", f"{len(run.trained.classes):,}"),
            ("labels", "" if total is None else f"{total:,}{_of_folds(run)}"),
            ("which images", drawn(row)),
            ("for validation", f"{100 * kept:g} % of the labelled images, held out" if kept else ""),
            ("without a label", _unlabeled(run)),
            ("scored", f"{images_in(run.confusion):,} {images_scored(as_told(run))}{_fold(run)}"),
            ("steps", f"{_steps(row)}{' each' if run.folds else ''}, {counted(row['images_seen'], 'image')} seen"),
            ("time", f"{_time(row['seconds'])}{f', for {run.folds} nets' if run.folds else ''}"),
            ("machine", joined(row["device"], f", {row['precision']}")),
            ("seed", f"{row['seed']}, of the label split {row['split_seed']}"),
            ("versions", versions),
            ("commit", commits([row]) if row["commit"] else ""),
            ("recipe", str(row.get("recipe_hash", ""))),
        ]
    )


def _on_pixels(row: Row) -> bool:
    """Whether it was fitted at once on the values of the images, without the net."""
    return not row["steps"] and row["config"]["algorithms"][row["algorithm"]].get("features") == "pixels"


def _net(row: Row) -> Markup:
    count = f", {row['parameters']:,} parameters" if row.get("parameters") else ""
    return joined("none" if _on_pixels(row) else name(row["net"]), count)


def _steps(row: Row) -> str:
    return f"{row['steps']:,}" if row["steps"] else "none, it was fitted at once"


def _began_from(row: Row) -> str:
    """Which weights it began from, where there was a choice."""
    weights = "pretrained weights: {source}; license: {license}".format(**row["weights"]) if "weights" in row else ""
    if row["config"].get("initial") is not None:
        return "; ".join(part for part in (f"the trained net {row['config']['initial']}", weights) if part)
    options = row["config"].get("nets", {}).get(row["net"], {})
    if weights:
        return weights
    if _on_pixels(row) or "pretrained" not in options:
        return ""
    return "pretrained weights" if options["pretrained"] else "random weights"


def _of_folds(run: Run) -> str:
    return f"; each net learnt from those of {run.folds - 1} of {run.folds} parts" if run.folds else ""


def _unlabeled(run: Run) -> str:
    if run.unlabeled is None:
        return ""
    unused = uses_labels_alone(run.row) and run.unlabeled > 0
    return f"{counted(run.unlabeled, 'image')}{', of which the method makes no use' if unused else ''}"


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def nearest_recipe(row: Row) -> tuple[str, dict[str, tuple[Any, Any]]] | None:
    """Return the recipe of its data set that a run is nearest to, and what is other, by setting; None without one."""
    own = recipes.flatten(row["config"])
    found: list[tuple[str, dict[str, tuple[Any, Any]]]] = []
    for recipe in RECIPES.get(row["dataset"], (row["dataset"],)):
        try:
            values = {key: row["config"][key] for key in ("alg", "net", "dataset")}
            usual = recipes.flatten(config.plain(config.settle(config.gather([recipe]), values)))
        except (InputError, LookupError):  # of a plug-in, or without a recipe
            continue
        names = [key for key in sorted({*own, *usual}) if key.split(".")[0] not in ITS_OWN]
        keys = [key for key in names if own.get(key) != usual.get(key) and usual.get(key) != "auto"]
        found.append((recipe, {key: (own.get(key, "none"), usual.get(key, "none")) for key in keys}))
    return min(found, key=lambda one: len(one[1])) if found else None


def differences(row: Row) -> Markup:
    """Return in which settings it is other than the recipe of its data set, where that can be told."""
    found = nearest_recipe(row)
    if found is None:
        return Markup("")
    recipe, differ = found
    if not differ:
        return paragraph(f"All settings are those of the recipe {recipe}.", kind="soft")
    lines = [
        joined(element("code", key), f": {_shown(mine)}, in the recipe {_shown(usual)}") for key, (mine, usual) in differ.items()
    ]
    return folded(f"{counted(len(differ), 'setting differs', 'settings differ')} from the recipe {recipe}", listed(lines))


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:80]} …"


def calibrated(about: Mapping[str, Any]) -> str:
    """Return whether the confidences were made to fit, in words."""
    found = about.get("calibration")
    if not isinstance(found, Mapping) or not isinstance(found.get("temperature"), int | float):
        return "not calibrated: the confidences are the net's own"
    if found.get("why_not"):
        return f"not calibrated: {found['why_not']}"
    images = found.get("images")
    of = f" on {counted(images, 'image')}" if isinstance(images, int) else ""
    return f"calibrated{of}: the net's outputs are divided by a temperature of {found['temperature']:.3g}"


def per_class(run: Run) -> list[tuple[int, int, int, int]]:
    """Return of each class: its number, labels, scored images, and how many of these are right."""
    pairs, count = run.confusion, len(run.trained.classes)
    true, predicted, number = (np.array(pairs[key], dtype=np.int64) for key in ("true", "predicted", "count"))  # type: ignore[literal-required]
    size = np.bincount(true, number, count).astype(int)
    right = np.bincount(true[true == predicted], number[true == predicted], count).astype(int)
    labels = np.full(count, -1) if run.labels is None else run.labels
    return [(k, int(labels[k]), int(size[k]), int(right[k])) for k in range(count)]
