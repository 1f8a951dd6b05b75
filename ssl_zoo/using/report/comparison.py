"""What labels alone are worth, beside a run that also learnt from images without labels; or how that is found out."""

import os
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.config import LENGTHS
from ssl_zoo.data.arrays import NAME as ARRAYS
from ssl_zoo.errors import InputError
from ssl_zoo.pages.markup import Markup, element, joined, paragraph, percent
from ssl_zoo.runs.confusion import interval
from ssl_zoo.runs.model import read_model
from ssl_zoo.runs.row import RESULT, Row, is_lost, read_all_rows, uses_labels_alone
from ssl_zoo.settings import OWN_STEPS
from ssl_zoo.tables.folds import pool_folds
from ssl_zoo.tables.rows import recipe_of
from ssl_zoo.using.report.evidence import FOLD, Run
from ssl_zoo.using.report.summary import nearest_recipe

COMPARED = "-compared"  # after a run's name: the folder of the sweep that compares
ALONE, USUAL = "supervised", "meanteacher"  # the method that uses labels only, and one that is compared with it


class Begun(NamedTuple):
    """What is known of the trained net that a run began from."""

    said: str  # which it was, to go on with what that means
    clean: bool | None  # whether it learnt from none of the images without labels that this run has; None: not known


def begun_from(run: Run) -> Begun | None:
    """Return what the trained net that a run began from had learnt from; None: it began from none."""
    row = run.row
    if row["config"].get("initial") is None:
        return None
    try:
        before = read_model(run.folders[0].initial).about["row"]
    except InputError:  # it was removed, or never kept
        return Begun("It begins from a trained net, and what that one had learnt from is not known here", None)
    said = f"It begins from a net that {before.get('algorithm', 'another method')} had trained"
    if before.get("initial") is not None:
        return Begun(f"{said}, beginning from another net, of which nothing is known here", None)
    if before.get("dataset") != row["dataset"]:
        return Begun(f"{said} on other data ({before.get('dataset')})", True)
    if uses_labels_alone(before):
        return Begun(f"{said}, which uses no images without labels", True)
    if before.get("data_hash") == row["data_hash"]:
        return Begun(f"{said} with the same images without labels", False)
    return Begun(f"{said} with images without labels, and some of these may be the same", None)


def beside(run: Run, other: Row | None) -> Markup:
    """Return what labels alone are worth, or how that is found out.

    Args:
        run: To be reported.
        other: A run of labels alone, with all else the same, where there is one.
    """
    row, begun = run.row, begun_from(run)
    if uses_labels_alone(row):
        return joined(paragraph("This net learnt from labels alone. What images without labels add, this shows:"), _command(run))
    if other is None and begun is not None:
        return _from_a_net(run, begun)
    if other is None:
        said = "How much of that is owed to images without labels is not known yet. Labels alone, with the same settings:"
        then = "After that, this page shows it for the same seed, and a report of that folder for all seeds."
        return joined(paragraph(said), _command(run), paragraph(then, kind="soft"))
    (low, high), gain = interval(other["confusion"]), 100 * (row["accuracy"] - other["accuracy"])
    rest = "" if begun is None or begun.clean else f"{begun.said}. So the difference is only what they add to that net."
    return joined(
        paragraph(
            "With the same labels, settings and seed, labels alone (supervised) have an accuracy of ",
            element("strong", percent(other["accuracy"])),
            f" (95 % interval {100 * low:.1f} to {100 * high:.1f} %). The difference is {gain:+.1f} points.",
        ),
        paragraph(rest) if rest else "",
        paragraph("One pair of runs says little where labels are few. Over several seeds and label splits:"),
        _command(run),
    )


def _from_a_net(run: Run, begun: Begun) -> Markup:
    """How it is found out what images without labels add, where a run began from a trained net."""
    unknown = "How much of that is owed to images without labels is not known yet."
    same, anew = "Labels alone, from the same net:", "Both methods from the start, without that net:"
    if begun.clean:
        return joined(paragraph(f"{unknown} {begun.said}. {same}"), _command(run))
    if begun.clean is False:
        seen = f"{unknown} {begun.said}, so that a run of labels alone from it would have learnt from them too."
        return joined(paragraph(f"{seen} {anew}"), _command(run, True))
    known = joined(paragraph(f"If it had learnt from none of these images without labels: {same}"), _command(run))
    return joined(paragraph(f"{unknown} {begun.said}."), known, paragraph(f"Otherwise: {anew}"), _command(run, True))


def labels_alone(run: Run) -> Row | None:
    """Return the row of a run of labels alone, with all else the same, whose folder lies beside; None without one."""
    if uses_labels_alone(run.row):
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
    for row in pool_folds(rows)[0] if run.folds else rows:
        stepped = bool(row["steps"] and mine["steps"])  # of a baseline nothing follows from steps
        same = ("net", "dataset", "labels", "seed", "split_hash", *(["steps"] if stepped else []))
        alike = all(row[name] == mine[name] for name in same)  # type: ignore[literal-required]
        if alike and _recipe(row, stepped) == _recipe(mine, stepped):
            return row  # type: ignore[return-value]
    return None


def _compared(file: Path, run: Path) -> bool:
    """Whether a result is of a sweep that the command of a run's page makes."""
    return file.parent.parent.name == f"{run.name}{COMPARED}"


def _recipe(row: Row, stepped: bool) -> dict[str, Any]:
    """What two runs must share; how their number of steps came about is of no matter.

    Args:
        row: Of one of them.
        stepped: Whether both made steps, between which they were evaluated.
    """
    free = {*LENGTHS, *([] if stepped else ["evaluation.every", "device"])}  # threads are chosen otherwise without steps
    return {name: value for name, value in recipe_of(row).items() if name.removeprefix("setting ") not in free}


def _command(run: Run, anew: bool = False) -> Markup:
    """The command that compares.

    Args:
        run: To be reported.
        anew: Without the trained net that it began from.
    """
    row, out = run.row, os.path.normpath(run.path)
    if row["dataset"] == ARRAYS:
        return element("pre", element("code", f'ssl_zoo.run(dataclasses.replace(settings, alg="{ALONE}"), folder, data=data)'))
    other = USUAL if uses_labels_alone(row) else ALONE
    found = nearest_recipe(row) if other == USUAL else None  # whose options its own settings do not hold
    names = [*([found[0]] if found else []), str(run.folders[0].config)]
    source = " ".join(f"--recipe {shlex.quote(name)}" for name in names)
    of_one = row["config"].get("minutes") is not None or OWN_STEPS in row["config"]["algorithms"].get(row["algorithm"], {})
    more = f" --steps {row['steps'] or row['config']['steps']}" if of_one else ""  # which the other method would not have
    kept = run.folders[0].initial
    if anew:
        more += " --set initial=null"
    elif kept.exists():  # whatever became of the original
        more += f" --set {shlex.quote(f'initial={kept}')}"
    folds = row["config"].get("folds")
    if folds is not None:
        beside = f"{out if run.folds else os.path.dirname(os.path.abspath(out))}-{other}"
        words = f"ssl-zoo run {source} --alg {other} --folds {folds}{more} --out {shlex.quote(beside)}"
        return element("pre", element("code", words))
    algs = f"{ALONE},{USUAL if other == USUAL else row['algorithm']}"
    words = f"ssl-zoo sweep {source} --algs {algs} --seeds 0-2{more} --out {shlex.quote(f'{out}{COMPARED}')}"
    return element("pre", element("code", words))
