"""What each setting that was varied changes: every variant of a method beside the method as its recipe has it."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_zoo.errors import InputError
from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.cells import Gain, difference
from ssl_zoo.tables.render.markdown import escaped
from ssl_zoo.tables.rows import Row, grouped
from ssl_zoo.tables.table import Table, runs_in
from ssl_zoo.tables.variants import OPTIONS, called, owner_of, shown

ABSENT = object()
CHANGE = (
    "Change: paired difference in accuracy to the method's first line, over the same label splits, with a 95 % interval "
    "(Student's t). Bold: the interval leaves out zero. The more lines, the more of them do so by chance."
)


def switches(tables: Sequence[Table], oracle: bool = False, cost: bool = False) -> str:
    """Return Markdown: of each method that has variants a line as the recipe has it, then one for each variant.

    Args:
        tables: Of rows of a sweep with `--grid`, and of the same sweep without, into the same folder.
        oracle: Not shown here.
        cost: Not shown here.

    Raises:
        InputError: Nothing was varied, or there is no run without what was varied.
    """
    blocks = [block for table in tables for block in _block(table, len(tables) > 1)]
    if not blocks:
        raise InputError(
            "there is nothing to compare: it needs runs of a method with --grid KEY=VALUE, and runs of the same sweep without "
            "--grid, in the same folder"
        )
    return "\n\n".join(blocks)


def _block(table: Table, named: bool) -> list[str]:
    groups = grouped(table.rows, called)
    as_it_stands = {row["algorithm"]: name for name, rows in groups.items() for row in rows if not row.get("axes")}
    variants = [name for name in table.cells if name != as_it_stands.get(table.algorithms[name])]
    alone = sorted({table.algorithms[name] for name in variants} - {*as_it_stands})
    variants = [name for name in variants if table.algorithms[name] in as_it_stands]
    if not variants:
        return []
    of_method = grouped(variants, table.algorithms.__getitem__)
    kept = [row for name in (*variants, *map(as_it_stands.__getitem__, of_method)) for row in groups.get(name, ())]
    lost = [row for row in table.diverged if row["algorithm"] in of_method]
    (usual, _), *_ = collections.Counter(cell.n for *_, cell, _ in table.places() if cell).most_common()
    heads = [head for labels in table.labels for head in (f"error rate, %, {labels} labels", "change, points")]
    lines = [f"| method | setting | {' | '.join(heads)} |", f"| - | - |{' -: |' * len(heads)}"]
    for method, names in of_method.items():
        plain = as_it_stands[method]
        for name in (plain, *names):
            what = "" if name == plain else _changed(method, table.variants[plain], table.variants[name])
            cells = [text for labels in table.labels for text in _cells(table, groups, plain, name, labels, usual)]
            lines.append(f"| {' | '.join([escaped(method) if name == plain else '', what, *cells])} |")
    said = [f"{CHANGE} n = {usual} where nothing else is said."]
    said += [f"Without a run as the recipe has it, and so not here: {', '.join(alone)}."] if alone else []
    said += caption(kept, table.notes, lost, compared=False)
    head = [f"**{escaped(table.title)}**", ""] if named else []
    return ["\n".join([*head, *lines, "", *(line for one in said if one for line in (escaped(one), ""))]).rstrip("\n")]


def _changed(method: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Every setting that differs: from what, to what."""
    names = [*dict.fromkeys((*before, *after))]
    parts = []
    for key in names:
        old, new = before.get(key, ABSENT), after.get(key, ABSENT)
        if old != new:
            short = key.removeprefix(f"{OPTIONS}.{method}.") if owner_of(key) == method else key
            parts.append(f"`{short}`: {_value(old)} → {_value(new)}")
    return escaped("; ".join(parts))


def _value(value: Any) -> str:
    return "not set" if value is ABSENT else shown(value)


def _cells(table: Table, groups: Mapping[str, Sequence[Row]], plain: str, name: str, labels: str, usual: int) -> tuple[str, str]:
    """The error rate of a variant at a number of labels, and the change."""
    cell, lost = table.cells[name].get(labels), table.lost.get((name, labels), 0)
    if cell is None:
        return (runs_in(cell, lost) if lost else ""), ""
    runs = f", {runs_in(cell, lost)}" if lost or cell.n != usual else ""
    if name == plain:
        return f"{cell.error}{runs}", ""
    of = [[row for row in groups[one] if str(row["labels"]) == labels] for one in (name, plain)]
    return f"{cell.error}{runs}", _bold(difference(*of), cell.n)


def _bold(change: Gain | None, runs: int) -> str:
    if change is None:
        return ""
    text = change.shown(runs).replace(" points", "")
    return f"**{text}**" if change.low is not None and (change.low > 0 or change.high < 0) else text
