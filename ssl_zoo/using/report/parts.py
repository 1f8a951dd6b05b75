"""Parts of a page about a run: classes, what is taken for what, how sure it is, and how it learnt."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo.pages.markup import (
    Markup,
    counted,
    element,
    folded,
    joined,
    listed,
    name,
    paragraph,
    percent,
    share,
    table,
    wide,
)
from ssl_zoo.runs.confusion import Pairs
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import Row
from ssl_zoo.using.report.evidence import Looked, Run
from ssl_zoo.using.report.summary import calibrated, per_class
from ssl_zoo.using.report.svg import Bin, Series, line_chart, reliability_chart

MATRIX = 30  # classes, up to which the whole matrix is shown
PAIRS = 30  # that are confused most, shown of more classes
IN_WORDS = 5  # of these, said before the matrix
SHOWN = 20  # classes, up to which their table is open at first
MOST_ROWS = 500  # of a table of classes
BINS = 15  # of confidence, as in Guo et al. 2017, arXiv:1706.04599
TERMS = 4  # of a loss
HIDDEN = ("train/weight", "train/lr")  # of what is logged while it trains: no loss


def classes_part(run: Run) -> Markup:
    """Return a table of the classes: labels, scored images, and how many of these are right."""
    rows = per_class(run)
    kept = sorted(sorted(rows, key=lambda row: (row[3] / row[2] if row[2] else 2, -row[2]))[:MOST_ROWS])
    known = run.labels is not None
    heads = ["class", *(["labels"] if known else []), "scored", "right", "share"]
    cells = [
        [name(run.trained.classes[k]), *([f"{labels:,}"] if known else []), f"{size:,}", f"{right:,}", share(right, size)]
        for k, labels, size, right in kept
    ]
    title = "Classes" if len(kept) == len(rows) else f"The {len(kept)} of {len(rows):,} classes of which least is right"
    return folded(f"{title} ({counted(len(rows), 'class', 'classes')})", table(title, heads, cells), shown=len(rows) <= SHOWN)


def confusion_part(pairs: Pairs, classes: Sequence[str]) -> Markup:
    """Return what is taken for what: a matrix, or, of many classes, the pairs that are confused most."""
    places = zip(pairs["true"], pairs["predicted"], pairs["count"], strict=True)
    counts = {(a, b): n for a, b, n in places if n}
    wrong = sorted(((n, a, b) for (a, b), n in counts.items() if a != b), key=lambda one: (-one[0], one[1:]))
    if not wrong:
        return paragraph("Nothing: every scored image is right.")
    size = np.bincount(pairs["true"], pairs["count"], len(classes))
    if len(classes) > MATRIX:
        rows = [
            [joined(name(classes[a], 24), " as ", name(classes[b], 24)), f"{n:,}", share(n, size[a])] for n, a, b in wrong[:PAIRS]
        ]
        first = (
            f"The {len(rows)} pairs that are confused most, of {len(wrong):,}, each with its share of the first class's images."
        )
        return joined(paragraph(first), table("pairs that are confused", ["pair", "images", "share"], rows))
    each = [joined(name(classes[a]), " as ", name(classes[b]), f" ({n:,})") for n, a, b in wrong[:IN_WORDS]]
    head = element("tr", element("th", "given →", scope="col"), *(element("th", name(one, 24), scope="col") for one in classes))
    body = [
        element(
            "tr",
            element("th", name(one, 24), scope="row"),
            *(_cell(counts.get((a, b), 0), size[a], a == b) for b in range(len(classes))),
        )
        for a, one in enumerate(classes)
    ]
    matrix = element("table", element("thead", head), element("tbody", *body), class_="matrix")
    return joined(
        paragraph("Most often wrong: ", joined(*each, between=", "), "."),
        wide("confusion matrix", matrix),
        paragraph("A row is a true class, a column what its images were given. The shade is the share of the row.", kind="soft"),
    )


def _cell(count: int, size: float, right: bool) -> Markup:
    part = count / size if size else 0.0
    kind = "right" if right else None if count else "none"
    shade = f"background: rgba(var(--shade), {0.65 * part:.2f})" if count else None
    return element("td", f"{count:,}", class_=kind, style=shade)


def bins_of(scored: Looked) -> list[Bin]:
    """Return the scored images by equal ranges of confidence."""
    place = np.minimum((scored.confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    confidence, right = (np.bincount(place, values, BINS) / np.maximum(count, 1) for values in (scored.confidence, ~scored.wrong))
    return [Bin(k / BINS, (k + 1) / BINS, int(count[k]), float(confidence[k]), float(right[k])) for k in range(BINS)]


def expected_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean over images of |share right - confidence| of their bin."""
    return sum(one.images * abs(one.right - one.confidence) for one in bins) / sum(one.images for one in bins)


def reliability_part(run: Run) -> Markup:
    """Return whether confidence can be believed."""
    how = calibrated(run.trained.about)
    if run.scored is None:
        known = None if run.folds else run.row.get("calibration_error")
        said = "" if known is None else f"The expected calibration error was {percent(known)} when it was scored. "
        return paragraph(f"{said}There is no diagram, as the images are not at hand. The net is {how}.")
    bins, looked = bins_of(run.scored), run.scored
    sure, right = float(looked.confidence.mean()), float((~looked.wrong).mean())
    over = "surer of itself than it should be" if sure > right else "less sure of itself than it could be"
    rows = [
        [f"{one.low:.2f} to {one.high:.2f}", f"{one.images:,}", percent(one.confidence), percent(one.right)]
        for one in bins
        if one.images
    ]
    heads = ["confidence", "images", "mean", "right"]
    return joined(
        paragraph(
            "The expected calibration error is ",
            element("strong", percent(expected_error(bins))),
            f", in {BINS} bins. On average it is {percent(sure)} sure and {percent(right)} right, so {over}. The net is {how}.",
        ),
        element("div", reliability_chart("reliability", bins), class_="charts"),
        folded("The same in numbers", table("reliability", heads, rows)),
    )


def curves_part(run: Run) -> Markup:
    """Return how it learnt: accuracies and losses against steps."""
    row = run.row
    scores = {"accuracy": f"accuracy, {'all folds' if run.folds else 'scored images'}"}
    scores |= {"validation_accuracy": "validation accuracy", "unlabeled_accuracy": "hidden labels of unlabelled images"}
    accuracy = [Series(said, points_of(row["evaluations"], key, 100)) for key, said in scores.items()]
    first = " of the first fold" if run.folds else ""
    terms = losses(run.folders[0])
    charts = (
        line_chart("accuracy", "Accuracy", accuracy, shares=True),
        line_chart("loss", f"Losses{first}, while training", [Series(said, points) for said, points in terms.items()]),
    )
    lost = "" if terms else paragraph("Of its losses there is no record: metrics.jsonl is gone, or not readable.")
    selected = row.get("selected_step", row["steps"])
    chosen = f"Reported is the evaluation at step {selected:,}, the best on the validation images."
    said = paragraph(chosen) if row.get("selection", "last") != "last" else ""
    return joined(element("div", *charts, class_="charts"), said, lost)


def points_of(entries: Sequence[Mapping[str, Any]], key: str, factor: float = 1.0) -> list[tuple[float, float]]:
    """Return the steps at which something was measured, with what it was."""
    return [(entry["step"], factor * entry[key]) for entry in entries if isinstance(entry.get(key), int | float)]


def losses(folder: RunFolder) -> dict[str, list[tuple[float, float]]]:
    """Return the terms of the loss by step, as they were logged; of a file that was cut short, what is there."""
    entries = _logged(folder.metrics)
    names = dict.fromkeys(key for entry in entries for key in entry if key.startswith("train/") and key not in HIDDEN)
    return {key.removeprefix("train/"): points_of(entries, key) for key in [*names][:TERMS]}


def _logged(path: Path) -> list[dict[str, Any]]:
    entries = []
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # cut short
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
    except OSError:
        return []
    return entries


def accuracies(rows: Mapping[str, Row]) -> list[Series]:
    """Return the accuracy of several runs against their steps."""
    return [Series(said, points_of(row["evaluations"], "accuracy", 100)) for said, row in rows.items()]


__all__ = ["accuracies", "classes_part", "confusion_part", "curves_part", "listed", "losses", "reliability_part"]
