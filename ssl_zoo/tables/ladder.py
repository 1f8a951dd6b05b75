"""Rows of a ladder -> tables: what each change gains, and what the consistency term did meanwhile."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError
from ssl_zoo.runs.confusion import unequal
from ssl_zoo.runs.row import is_lost, read_all_rows
from ssl_zoo.tables import rows as rows_of
from ssl_zoo.tables.cells import Gain, difference, score
from ssl_zoo.tables.ladder_caption import caption
from ssl_zoo.tables.render.markdown import escaped
from ssl_zoo.tables.rows import Row, agreeing, counted, grouped, method_of, recipe_of

PARTS = (0.1, 0.25, 0.5, 1.0)  # of a run, at which the measurements are shown
BASES = ("S0", "A0")  # labels alone, and the tutorial: every rung is compared with these too
SCORES = {"accuracy_student": "of the student", "accuracy_median": "median of the last"}
MEASURED = {  # of metrics.jsonl, with a heading; all but two are shares of 1
    "mechanism/confidence": "largest probability, %",
    "mechanism/decided": "images over 0.95, %",
    "mechanism/logit_norm": "length of logits",
    "mechanism/gradient_ratio": "gradient, consistency / labels",
    "mechanism/decided_gradient": "its share from images over 0.95, %",
    "unlabeled/accuracy": "accuracy on unlabelled images, %",
}


class Sorted(NamedTuple):
    """Rows that belong together, by rung, and what is said of the others."""

    rungs: dict[str, list[Row]]  # of runs that finished
    lost: dict[str, list[Row]]  # of runs that diverged
    lines: list[str]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a ladder, also of runs that diverged.

    Args:
        path: A file of rows, or the folder of a ladder.

    Raises:
        InputError: It holds none, or others.
    """
    path = path / "rows.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} is not there; ladder.py writes rows.jsonl into its --out")
    rows = read_all_rows([path])
    if not rows:
        raise InputError(f"{path} holds no rows")
    for row in rows:
        if not isinstance(row.get("rung"), str) or not isinstance(row.get("mechanism"), list):
            raise InputError(f"{path} holds a run that is not of a ladder; ladder.py writes rows.jsonl into its --out")
    return rows


def sound(rows: Sequence[Row]) -> Sorted:
    """Return the rows that may be compared.

    They are of one data set, code, precision and share of the steps, and those of a rung have one recipe.
    """
    said = rows_of.Sorted([], [], [])
    found = Sorted({}, {}, said.lines)
    kept, twice = agreeing(rows, _shared, said), 0
    for name, of_it in grouped(kept, lambda row: row["rung"]).items():
        places: dict[tuple[int, str], Row] = {}
        for row in agreeing(of_it, lambda row: {**recipe_of(row), **method_of(row)}, said):
            place = (row["seed"], row["split_hash"])
            twice += place in places
            if place not in places or (is_lost(places[place]) and not is_lost(row)):  # one that finished has the place
                places[place] = row
        found.rungs[name] = [row for row in places.values() if not is_lost(row)]
        found.lost[name] = [row for row in places.values() if is_lost(row)]
    if twice:
        said.lines.append(f"{counted(twice, 'row')} left out: of a rung and a seed that are there twice")
    return found


def _shared(row: Row) -> dict[str, Any]:
    """Return what all runs of a ladder must share."""
    recipe = recipe_of(row)
    same = {name: row.get(name) for name in ("dataset", "labels", "scale", "set")}
    return same | {name: value for name, value in recipe.items() if not name.startswith("setting ") and name != "history"}


def at_part(row: Row, name: str, part: float) -> float | None:
    """Return a measurement at a share of the run: the last that was made until then."""
    found = [point[name] for point in row["mechanism"] if name in point and point["step"] <= part * row["steps"] + 1e-6]
    return found[-1] if found else None


def middle(name: str, values: Sequence[float]) -> float:
    """Return the mean of a measurement over runs; of a ratio the median, as it may be huge in one run."""
    return statistics.median(values) if name.endswith("ratio") else statistics.mean(values)


def shown(gain: Gain | None) -> str:
    """Return a paired difference in words."""
    return "" if gain is None else f"{gain.mean:+.1f}{gain.interval}, n = {gain.n}"


def accuracy(rows: Sequence[Row], name: str) -> str:
    """Return mean and standard deviation of an accuracy, in percent."""
    found = score([1 - row[name] for row in rows])
    return f"{100 - found.mean:.1f}" + ("" if found.std is None else f" ± {found.std:.1f}")


def markdown(found: Sorted) -> str:
    """Return the tables: what each rung gains, and what was measured on the way."""
    finished = {name: rows for name, rows in found.rungs.items() if rows}
    return "\n".join([*_gains(found, finished), "", *_measurements(finished), "", *map(escaped, caption(finished, found.lost))])


def _gains(found: Sorted, finished: dict[str, list[Row]]) -> list[str]:
    uneven = any(unequal(rows[0]["confusion"]) for rows in finished.values())
    scores = {"accuracy": "accuracy, %", **({"balanced_accuracy": "balanced accuracy, %"} if uneven else {}), **SCORES}
    heads = [*scores.values(), "points over the rung changed", *(f"over {base}" for base in BASES)]
    lines = [f"| rung | change | runs | {' | '.join(heads)} |", f"| - | - | -: |{' -: |' * len(heads)}"]
    for name, rows in found.rungs.items():
        gone = found.lost[name]
        if not rows:
            lines.append(f"| {escaped(name)} | {escaped(gone[0]['change'])} | 0, {len(gone)} diverged |{' |' * len(heads)}")
            continue
        above = rows[0]["above"]
        gain = difference(rows, finished[above]) if above in finished else None
        others = [base if base in finished and base not in (name, above) else None for base in BASES]
        cells = (
            escaped(name),
            escaped(rows[0]["change"]),
            f"{len(rows)}, {len(gone)} diverged" if gone else str(len(rows)),
            *(accuracy(rows, score) for score in scores),
            f"{escaped(above)}: {shown(gain)}" if gain else "",
            *("" if base is None else shown(difference(rows, finished[base])) for base in others),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _measurements(finished: dict[str, list[Row]]) -> list[str]:
    lines = [f"| at {', '.join(f'{100 * part:g}' for part in PARTS)} % of the run | {' | '.join(MEASURED.values())} |"]
    lines.append(f"| - |{' -: |' * len(MEASURED)}")
    for name, rows in finished.items():
        cells = []
        for key, heading in MEASURED.items():
            unit = 100 if heading.endswith("%") else 1
            numbers = []
            for part in PARTS:
                values = [value for row in rows if (value := at_part(row, key, part)) is not None]
                numbers.append(f"{unit * middle(key, values):.3g}" if values else "-")
            cells.append(", ".join(numbers))
        lines.append(f"| {escaped(name)} | {' | '.join(cells)} |")
    return lines
