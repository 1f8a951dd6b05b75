"""Tables as CSV, in plain numbers. No text of it is a formula to a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ssl_zoo.recipes import in_words
from ssl_zoo.tables.cells import Cell, Score
from ssl_zoo.tables.table import Table

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that a spreadsheet may run


def as_csv(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return one line for each method and number of labels."""
    rows = [row for table in tables for row in (*_ours(table, oracle, cost), *_papers(table))]
    text = io.StringIO()
    rows = [{_guarded(key): _guarded(value) for key, value in row.items()} for row in rows]
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, as predictions have it. A number may begin with a sign."""
    if not isinstance(value, str) or not value.lstrip("'").startswith(FORMULA):
        return value
    return value if re.fullmatch(r"[+-][\d.]+(e[+-]?\d+)?", value) else f"'{value}"


def _ours(table: Table, oracle: bool, cost: bool) -> Iterator[dict[str, Any]]:
    for method, labels, cell, lost in table.places():
        place = {**table.csv, "method": method, "labels": labels, "n": 0 if cell is None else cell.n, "diverged": lost}
        if any(table.variants.values()):
            place |= {"algorithm": table.algorithms[method], **{k: in_words(v) for k, v in table.variants[method].items()}}
        yield {**place, **({} if cell is None else _numbers(cell, oracle, cost)), "gain_to": table.against, "published": ""}


def _numbers(cell: Cell, oracle: bool, cost: bool) -> dict[str, Any]:
    scores = {"error": cell.error, "median": cell.median, "student": cell.student}
    scores |= {"balanced_accuracy": cell.balanced} if cell.balanced else {}
    scores |= {"geometric_mean": cell.geometric} if cell.geometric else {}
    scores |= {"oracle": cell.oracle} if oracle else {}
    numbers: dict[str, Any] = {}
    for name, score in scores.items():
        numbers |= {f"{name}_mean": f"{score.mean:.4f}", f"{name}_std": "" if score.std is None else f"{score.std:.4f}"}
    numbers |= {f"recall_{k}": "" if one is None else f"{one:.4f}" for k, one in enumerate(cell.recalls or ())}
    gain = (
        [""] * 4 if cell.gain is None else ["" if number is None else f"{number:.4f}" for number in cell.gain[:3]] + [cell.gain.n]
    )
    numbers |= dict(zip(("gain_mean", "gain_low", "gain_high", "gain_n"), gain, strict=True))
    spent = {"steps": f"{cell.steps:.0f}", "images_seen": f"{cell.images:.0f}", "machines": "; ".join(cell.machines)}
    return {**numbers, "seconds": f"{cell.seconds:.1f}", **(spent if cost else {})}


def _papers(table: Table) -> Iterator[dict[str, Any]]:
    ours = {"dataset": table.csv["dataset"], "net": table.csv["net"]}  # and nothing else of what ours were made with
    for number in table.published:
        paper = {"method": number.method, "labels": number.labels, "n": number.n}
        yield {**ours, **paper, **_as_printed(number.error), "published": f"{number.source}; {number.protocol}"}


def _as_printed(error: Score) -> dict[str, Any]:
    """Return the digits that a paper prints, with none added."""
    return {"error_mean": error.mean, "error_std": "" if error.std is None else error.std}
