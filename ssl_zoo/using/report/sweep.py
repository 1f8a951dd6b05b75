"""Parts of a page about a sweep: which method is best and by how much, tables, every run, and curves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo.errors import InputError
from ssl_zoo.pages.markup import Markup, counted, element, joined, listed, name, paragraph, percent, section, table
from ssl_zoo.runs.confusion import images_in, interval, unequal
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import Found, Row, read_all_rows, results_below
from ssl_zoo.tables.cells import Cell
from ssl_zoo.tables.folds import pool_folds
from ssl_zoo.tables.rows import data_of, grouped, name_of
from ssl_zoo.tables.table import Table, make_tables, runs_in
from ssl_zoo.tables.variants import called, in_order, told_apart
from ssl_zoo.using.report.comparison import ALONE
from ssl_zoo.using.report.parts import accuracies, losses
from ssl_zoo.using.report.svg import Series, line_chart

MOST_ROWS = 500  # of the table of runs
LINES = 6  # of a chart
TERM = "total"  # of the losses, which all methods have


def sweep_parts(path: Path, found: Found) -> Markup:
    """Return the parts of a page about many runs.

    Args:
        path: Of the folder that holds theirs.
        found: Their rows.
    """
    tables, said = make_tables(found.rows, found.problems, lost=found.lost)
    if not tables:
        raise InputError(f"no run is left for a report: {said[-1]}")
    rows, _ = pool_folds(found.rows)
    rows, lost = told_apart(rows, found.lost)
    return joined(
        *(_answer(one) for one in tables),
        listed([*said, *found.remarks], kind="warn"),
        *(section(joined("Methods: ", one.title), _table(one)) for one in tables),
        section("Curves", _curves(path, rows)),
        section("Runs", _runs(rows, lost)),
    )


UNTOLD = ", not distinguishable from zero"


def _answer(made: Table) -> Markup:
    """Which method is best, and whether images without labels helped, at each number of labels."""
    lines = []
    for labels in made.labels:
        cells = {method: cells[labels] for method, cells in made.cells.items() if labels in cells}
        if not cells:
            continue
        least = min(cell.error.mean for cell in cells.values())
        best = [method for method, cell in cells.items() if f"{cell.error.mean:.1f}" == f"{least:.1f}"]
        *first, last = (element("strong", name(method)) for method in best)
        parts = "; " if any(", " in method for method in best) else ", "  # variants have commas of their own
        lines.append(
            joined(
                element("b", "all labels" if labels == "all" else counted(int(labels), "label")),
                ": ",
                joined(*([joined(*first, between=parts), " and "] if first else []), last),
                f" {'have' if len(best) > 1 else 'has'} the lowest error rate, {cells[best[0]].error.mean:.1f} %.",
                listed(_gains(made, cells)),
            )
        )
    return joined(paragraph(name(made.title, 80), kind="answer"), listed(lines))


def _gains(made: Table, cells: Mapping[str, Cell]) -> Iterator[Markup]:
    """What each method adds to labels alone, in points, where the runs are paired."""
    if ALONE not in map(made.algorithms.get, cells):
        yield Markup(f"No run of labels alone ({ALONE}) is there, to which it could be compared.")
        return
    alone = True
    for method, cell in cells.items():
        if cell.gain is not None:
            low, high = cell.gain.low, cell.gain.high
            few = low is None or high is None
            verdict = ", from too few runs to tell it from zero" if few else "" if low > 0 or high < 0 else UNTOLD
            yield joined(name(method), f" against labels alone: {cell.gain.shown(cell.n)}{verdict}")
            alone = False
    if alone and len(cells) > 1:
        yield Markup("One pair of runs has no interval: more seeds have.")


def _table(made: Table) -> Markup:
    rows = []
    for method in made.cells:
        cells = [name(method)]
        for labels in made.labels:
            cell, lost = made.cells[method].get(labels), made.lost.get((method, labels), 0)
            small = [] if cell is None and not lost else [runs_in(cell, lost)]
            if cell is not None:
                small.insert(0, f"median {cell.median.mean:.1f}")
                small += [f"balanced accuracy {cell.balanced}"] if cell.balanced else []
                small += [cell.gain.shown(cell.n)] if cell.gain else []
            error = "" if cell is None else str(cell.error)
            cells.append(joined(error, *(element("small", line) for line in small)))
        rows.append(cells)
    heads = ["error rate, %", *("all labels" if labels == "all" else f"{labels} labels" for labels in made.labels)]
    said = [paragraph(line, kind="soft") for line in made.caption if line]
    return joined(table("error rates of methods", heads, rows), *said)


def _runs(rows: Sequence[Row], lost: Sequence[Any]) -> Markup:
    """A row for each run."""
    heads = ["method", "net", "data", "labels", "seed", "accuracy", "95 % interval", "images", "steps", "seconds"]
    uneven = any(unequal(row["confusion"]) for row in rows)
    heads[7:7] = ["balanced"] if uneven else []
    order = sorted(rows, key=lambda row: (data_of(row), row["net"], str(row["labels"]).zfill(9), called(row), row["seed"]))
    cells = []
    for row in order[:MOST_ROWS]:
        low, high = interval(row["confusion"])
        cells.append(
            [
                joined(name(called(row), 60), element("small", "warned") if row.get("warnings") else ""),
                name(row["net"], 24),
                name(data_of(row), 24),
                str(row["labels"]),
                str(row["seed"]),
                percent(row["accuracy"]),
                f"{100 * low:.1f} to {100 * high:.1f}",
                *([percent(row["balanced_accuracy"])] if uneven else []),
                f"{images_in(row['confusion']):,}",
                f"{row['steps']:,}",
                f"{row['seconds']:.0f}",
            ]
        )
    more = f"The first {MOST_ROWS} of {len(rows):,} runs." if len(rows) > MOST_ROWS else ""
    gone = [f"{name_of(row)} diverged: {row['diverged']}" for row in lost]
    return joined(paragraph(more) if more else "", table("runs", heads, cells), listed(gone))


def _curves(path: Path, rows: Sequence[Row]) -> Markup:
    """The first seed of each method, where the most methods and runs are."""
    cells = grouped(rows, lambda row: (data_of(row), row["net"], row["labels"]))
    if not cells:
        return Markup("")
    (data, net, labels), cell = max(cells.items(), key=lambda one: (len({*map(called, one[1])}), len(one[1])))
    seeds = grouped(cell, lambda row: row["seed"])
    seed = max(sorted(seeds), key=lambda seed: len({*map(called, seeds[seed])}))
    chosen: dict[str, Any] = {}
    for row in sorted(seeds[seed], key=lambda row: (row["algorithm"] != ALONE, row["algorithm"], in_order(row))):
        chosen.setdefault(called(row), row)
    methods = len({row["algorithm"] for row in chosen.values()})
    some = f"{len(chosen)} methods" if methods == len(chosen) else f"{len(chosen)} variants of {counted(methods, 'method')}"
    more = f", the first {LINES} of {some}" if len(chosen) > LINES else ""
    chosen = dict([*chosen.items()][:LINES])
    folders = _folders(path, chosen)
    terms = [Series(method, losses(folders[method]).get(TERM, []) if method in folders else []) for method in chosen]
    said = f"Seed {seed} with {labels} labels, "
    charts = (
        line_chart("accuracy", "Accuracy on the scored images", accuracies(chosen), shares=True),
        line_chart("loss", "Total loss, which each method defines for itself", terms),
    )
    return joined(paragraph(said, name(data), ", ", name(net), f"{more}."), element("div", *charts, class_="charts"))


def _folders(path: Path, chosen: Mapping[str, Any]) -> dict[str, RunFolder]:
    """The folders that rows are from, by method and variant; of folds, the first."""
    keys = ("algorithm", "net", "dataset", "labels", "seed", "split_seed", "steps", "recipe_hash")
    wanted = [([row.get(key) for key in keys], method) for method, row in chosen.items()]
    found: dict[str, RunFolder] = {}
    for file in results_below(path):
        if len(found) == len(wanted):
            break
        try:
            (row,) = read_all_rows([file])
        except InputError:
            continue
        mine = [row.get(key) for key in keys]
        method = next((method for theirs, method in wanted if mine == theirs), None)
        if method is not None:
            found.setdefault(method, RunFolder(file.parent))
    return {method: found[method] for method in chosen if method in found}
