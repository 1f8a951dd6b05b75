"""One finished run -> one row: what was run, on what, and how it scored. Of a run that diverged: that it did.

A row is a mapping, as it stands in `result.json` and in a file of rows. Its type is declared once: the writer fills it,
the reader checks it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

from ssl_zoo import files
from ssl_zoo.errors import InputError
from ssl_zoo.registry import near_miss
from ssl_zoo.runs.confusion import Confusion
from ssl_zoo.runs.fields import Share, Within, declared, fits, missing_fields
from ssl_zoo.runs.sound import ODD

RESULT, LOST = "result.json", "diverged.json"  # files of a run's folder, each with one row
OLD = ".old-"  # and a number, after the name of a run's folder that was moved aside
FROM = "read_from"  # what `read_sound_rows` puts into a row: its folder, or its file and line
# sections of settings that change nothing in a method that is fitted at once, whose rows have 0 steps
OF_STEPS = ("steps", "epochs", "batch", "optimizer", "schedule", "views", "evaluation", "eval_ema")
Seconds = Annotated[float, Within(0)]
Count = Annotated[int, Within(0)]
Step = Annotated[int, Within(1)]


class Versions(TypedDict):
    """Of packages."""

    ssl_zoo: str
    torch: str
    python: str


class Evaluation(TypedDict):
    """Scores after a number of steps, each from 0 to 1."""

    step: Count  # 0 of a method without steps
    accuracy: Share


class Point(TypedDict):
    """Measurements of the mechanism after a number of steps."""

    step: Step


class Known(TypedDict):
    """What every row has, also that of a run that diverged; what is not required is younger, or not always known."""

    algorithm: str
    net: str
    dataset: str
    labels: Annotated[int, Within(1)] | Literal["all"]
    seed: int
    split_seed: int
    split_hash: str
    data_hash: str
    precision: str
    device: str
    versions: Versions
    commit: str | None
    config: dict[str, Any]
    axes: NotRequired[list[str]]  # settings that a sweep varied, of those that this run has, by dotted key
    batch_unlabeled: NotRequired[Annotated[int, Within(1)] | None]  # U; null for a method without unlabelled views
    code: NotRequired[str]
    initial: NotRequired[str]  # hash of the trained net that it began from
    history: NotRequired[list[dict[str, Any]]]  # the machines of a run that moved, each with its first step
    plugins: NotRequired[str]
    recipe_hash: NotRequired[str]
    source: NotRequired[str]
    threads: NotRequired[Annotated[int, Within(1)]]
    weights: NotRequired[dict[str, str]]  # pretrained ones: source, license
    weights_hash: NotRequired[str]  # of the file that they come from
    above: NotRequired[str | None]  # as what follows: of a ladder
    change: NotRequired[str]
    mechanism: NotRequired[list[Point]]
    rung: NotRequired[str]
    scale: NotRequired[Seconds]
    set: NotRequired[list[str]]


class LostRow(Known):
    """Of a run that diverged."""

    steps: Step
    diverged: str  # what was not finite, and since when


class Row(Known):
    """Of a run that finished."""

    steps: Count  # updates of the net; 0 of a method without any
    accuracy: Share
    accuracy_student: Share
    accuracy_median: Share
    accuracy_median_of: Step
    accuracy_oracle: Share  # the best on the test set: never a headline
    error_rate: Share
    balanced_accuracy: Share
    macro_f1: Share
    confusion: Confusion
    evaluations: list[Evaluation]
    images_seen: Count
    seconds: Seconds
    images_per_second: Seconds
    calibration_error: NotRequired[Share]
    fit: NotRequired[dict[str, float]]  # of a method without steps, what was found on the way
    classes: NotRequired[list[str]]
    cut_images: NotRequired[Count]  # without a label, that the unlabelled stream left out
    geometric_mean: NotRequired[Share]
    labeled_in_unlabeled: NotRequired[bool]
    leaked_test_images: NotRequired[Count]
    parameters: NotRequired[Count]
    peak_memory: NotRequired[Count | None]
    recalls: NotRequired[list[Share | None]]  # (K,); null of a class without scored images
    scored: NotRequired[Literal["test", "held-out", "training"]]  # test set, labelled images held out, or trained on
    seconds_compiling: NotRequired[Seconds | None]
    seconds_training: NotRequired[Seconds]
    selected_step: NotRequired[Count]
    selection: NotRequired[str]
    skipped_images: NotRequired[Count]
    skipped_steps: NotRequired[Count]
    split_draw: NotRequired[str]  # of a split file: how its labels were shared among the classes
    unlabeled_accuracy: NotRequired[Share]
    validation_accuracy: NotRequired[Share]
    warnings: NotRequired[list[str]]


class Found(NamedTuple):
    """Rows, and lines about what stood beside them."""

    rows: list[Row]
    lost: list[LostRow]  # of runs that diverged, which are no result, but count: without them a mean flatters
    problems: list[str]  # what could not be read
    remarks: list[str]  # what is odd about rows that could, and what was passed over


_ASIDE = re.compile(rf"{re.escape(OLD)}\d+$")


def write_json(path: Path, row: Mapping[str, Any]) -> None:
    """Write a mapping with a line for each key, as a whole or not at all."""
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in row.items())
    files.replace_text(path, f"{{\n{lines}\n}}\n")


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Return the rows of finished runs, not diverged ones, from run folders, those below too, and files of rows.

    Raises:
        InputError: Nothing there, or something that is not a row.
    """
    return [row for row in read_all_rows(paths) if not is_lost(row)]  # type: ignore[misc]


def read_all_rows(paths: Sequence[Path]) -> list[Row | LostRow]:
    """As `read_rows`, with those of runs that diverged, of which `is_lost` tells."""
    return [_row(text, where) for path in paths for text, where in _texts(path)]


def is_lost(row: Mapping[str, Any]) -> bool:
    """Return whether it is the row of a run that diverged."""
    return "diverged" in row


def uses_labels_alone(row: Mapping[str, Any]) -> bool:
    """Return whether a run's method uses no images without a label, whatever there are of them."""
    return row.get("batch_unlabeled", 0) is None or row.get("algorithm") == "supervised"  # of which old rows do not say so


def read_sound_rows(paths: Sequence[Path]) -> Found:
    """As `read_rows`, but what cannot be read is named, and the rest is used. Each row knows where it is from.

    Raises:
        InputError: No row of a finished run is there.
    """
    found = Found([], [], [], [])
    unknown: dict[str, list[str]] = {}
    for path in paths:
        try:
            for text, where in _texts(path):
                _sort(text, where, found, unknown)
        except InputError as error:
            found.problems.append(str(error))
    aside = [file.parent for path in paths if path.is_dir() for file in results_below(path, aside=True)]
    if aside:
        more = f" and {len(aside) - 1} more" if len(aside) > 1 else ""
        found.remarks.append(f"{aside[0]}{more}: moved aside, and so left out; to read one, name it")
    for name, places in sorted(unknown.items()):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        near = near_miss(name, [*declared(Row)])
        found.remarks.append(f"{places[0]}{more}: the field '{name}' is unknown; {near}it is not used")
    if not found.rows:
        raise InputError(_why_none(found))
    return found


def _sort(text: str, where: str, found: Found, unknown: dict[str, list[str]]) -> None:
    """Put one row where it belongs."""
    try:
        row = _row(text, where)
    except InputError as error:
        found.problems.append(str(error))
        return
    (found.lost if is_lost(row) else found.rows).append(row)  # type: ignore[arg-type]
    for name in row.keys() - declared(Row).keys() - declared(LostRow).keys():
        unknown.setdefault(name, []).append(where)
    row[FROM] = str(Path(where).parent) if where.endswith((RESULT, LOST)) else where  # type: ignore[literal-required]


def _why_none(found: Found) -> str:
    if found.problems:
        return found.problems[0]
    if found.lost:
        some = f"all {len(found.lost)} runs" if len(found.lost) > 1 else "the run"
        return f"{some} there diverged: {found.lost[0]['diverged']}"
    return "no finished run is there"


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """The text of every row at a path, with where it stands."""
    try:
        found = results_below(path) if path.is_dir() else [path]
        if not found or not path.exists():
            raise InputError(f"{path} holds no finished run; give a run's folder, a folder of them, or a .jsonl file of rows")
        for file in found:
            text = file.read_text(encoding="utf-8", errors="replace")
            if file.suffix == ".jsonl":
                lines = enumerate(text.split("\n"), start=1)
                yield from ((line, f"{file}:{number}") for number, line in lines if line.strip())
            else:
                yield text, str(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def results_below(folder: Path, aside: bool = False) -> list[Path]:
    """Return the files with a row in a folder and below it, but for runs that were moved aside below it.

    Args:
        folder: May itself be one that was moved aside.
        aside: Return those alone instead.
    """
    lost = (file for file in folder.rglob(LOST) if not (file.parent / RESULT).exists())
    found = sorted([*folder.rglob(RESULT), *lost])
    return [file for file in found if aside == any(map(_ASIDE.search, file.relative_to(folder).parts))]


def _row(text: str, where: str) -> Row | LostRow:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        way_out = "; remove it and give the run's command again" if where.endswith((RESULT, LOST)) else ""
        raise InputError(f"{where} is not JSON ({error}){way_out}") from error
    problem = _problem(row)
    if problem is not None:
        raise InputError(f"{where} is not the row of a run: {problem}")
    return row


def _problem(row: Any) -> str | None:
    """What is wrong with a row, in words."""
    lost = isinstance(row, dict) and is_lost(row)
    kind = LostRow if lost else Row
    missing = missing_fields(row if isinstance(row, dict) else {}, kind)
    if missing:
        return f"it lacks {', '.join(missing)}"
    wrong = next((name for name, hint in declared(kind).items() if name in row and not fits(row[name], hint)), None)
    wrong = wrong or next((name for name in ODD if name in row and not ODD[name](row[name])), None)
    if wrong is not None:
        shown = json.dumps(row[wrong])
        return f"its {wrong} cannot be {shown if len(shown) <= 60 else f'{shown[:60]} ...'}"
    if not lost and abs(1 - row["accuracy"] - row["error_rate"]) > 1e-6:
        return "its error_rate is not 1 - accuracy"
    return None
