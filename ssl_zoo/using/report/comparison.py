"""What labels alone are worth, beside a run that also learnt from images without labels; or how that is found out."""

import os
import shlex
from pathlib import Path
from typing import Any

from ssl_zoo.config import LENGTHS
from ssl_zoo.data.arrays import NAME as ARRAYS
from ssl_zoo.errors import InputError
from ssl_zoo.pages.markup import Markup, element, joined, paragraph, percent
from ssl_zoo.runs.confusion import interval
from ssl_zoo.runs.row import RESULT, Row, is_lost, read_all_rows
from ssl_zoo.settings import OWN_STEPS
from ssl_zoo.tables.folds import pool_folds
from ssl_zoo.tables.rows import recipe_of
from ssl_zoo.using.report.evidence import FOLD, Run
from ssl_zoo.using.report.summary import nearest_recipe

COMPARED = "-compared"  # after a run's name: the folder of the sweep that compares
ALONE, USUAL = "supervised", "meanteacher"  # the method that uses labels only, and one that is compared with it


def beside(run: Run, other: Row | None) -> Markup:
    """Return what labels alone are worth, or how that is found out.

    Args:
        run: To be reported.
        other: A run of labels alone, with all else the same, where there is one.
    """
    row = run.row
    if row["algorithm"] == ALONE:
        return joined(paragraph("This net learnt from labels alone. What images without labels add, this shows:"), _command(run))
    if other is None and row["config"].get("initial") is not None:
        said = (
            "How much of that is owed to images without labels is not known: it begins from a net that had learnt from such "
            "images before. This compares both methods from the start, on the labels that there are now:"
        )
        return joined(paragraph(said), _command(run))
    if other is None:
        said = "How much of that is owed to images without labels is not known yet. Labels alone, with the same settings:"
        then = "After that, this page shows it for the same seed, and a report of that folder for all seeds."
        return joined(paragraph(said), _command(run), paragraph(then, kind="soft"))
    (low, high), gain = interval(other["confusion"]), 100 * (row["accuracy"] - other["accuracy"])
    return joined(
        paragraph(
            "With the same labels, settings and seed, labels alone (supervised) have an accuracy of ",
            element("strong", percent(other["accuracy"])),
            f" (95 % interval {100 * low:.1f} to {100 * high:.1f} %). The difference is {gain:+.1f} points.",
        ),
        paragraph("One pair of runs says little where labels are few. Over several seeds and label splits:"),
        _command(run),
    )


def labels_alone(run: Run) -> Row | None:
    """Return the row of a run of labels alone, with all else the same, whose folder lies beside; None without one."""
    if run.row["algorithm"] == ALONE:
        return None
    place = Path(os.path.abspath(run.path))
    below = [file for file in place.parent.glob(f"*/*/{RESULT}") if FOLD.fullmatch(file.parent.name) or _compared(file, place)]
    files = [*place.parent.glob(f"*/{RESULT}"), *below]
    rows = []
    for file in sorted(files):
        try:
            rows += [row for row in read_all_rows([file]) if not is_lost(row) and row["algorithm"] == ALONE]
        except InputError:  # another's, perhaps
            continue
    mine = run.row
    same = ("net", "dataset", "labels", "seed", "split_hash", "steps")
    for row in pool_folds(rows)[0] if run.folds else rows:
        if all(row[name] == mine[name] for name in same) and _recipe(row) == _recipe(mine):  # type: ignore[literal-required]
            return row  # type: ignore[return-value]
    return None


def _compared(file: Path, run: Path) -> bool:
    """Whether a result is of a sweep that the command of a run's page makes."""
    return file.parent.parent.name == f"{run.name}{COMPARED}"


def _recipe(row: Row) -> dict[str, Any]:
    """What two runs must share; how their number of steps came about is of no matter."""
    return {name: value for name, value in recipe_of(row).items() if name.removeprefix("setting ") not in LENGTHS}


def _command(run: Run) -> Markup:
    """The command that compares."""
    row, out = run.row, os.path.normpath(run.path)
    if row["dataset"] == ARRAYS:
        return element("pre", element("code", f'ssl_zoo.run(dataclasses.replace(settings, alg="{ALONE}"), folder, data=data)'))
    other = USUAL if row["algorithm"] == ALONE else ALONE
    found = nearest_recipe(row) if other == USUAL else None  # whose options its own settings do not hold
    names = [*([found[0]] if found else []), str(run.folders[0].config)]
    source = " ".join(f"--recipe {shlex.quote(name)}" for name in names)
    folds = row["config"].get("folds")
    if folds is not None:
        beside = f"{out if run.folds else os.path.dirname(os.path.abspath(out))}-{other}"
        return element("pre", element("code", f"ssl-zoo run {source} --alg {other} --folds {folds} --out {shlex.quote(beside)}"))
    algs = f"{ALONE},{USUAL if row['algorithm'] == ALONE else row['algorithm']}"
    of_one = row["config"].get("minutes") is not None or OWN_STEPS in row["config"]["algorithms"].get(row["algorithm"], {})
    steps = f" --steps {row['steps']}" if of_one else ""  # which the other method would not have
    anew = " --set initial=null" if row["config"].get("initial") is not None else ""
    words = f"ssl-zoo sweep {source} --algs {algs} --seeds 0-2{steps}{anew} --out {shlex.quote(f'{out}{COMPARED}')}"
    return element("pre", element("code", words))
