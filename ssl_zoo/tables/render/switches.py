"""What each setting that was varied changes: every variant of a method beside the method as its recipe has it."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError
from ssl_zoo.recipes import in_words
from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.cells import Gain, difference
from ssl_zoo.tables.render.markdown import code, escaped
from ssl_zoo.tables.rows import Row, by_cell, grouped
from ssl_zoo.tables.table import Table, runs_in
from ssl_zoo.tables.variants import OPTIONS, called, listed_names, owner_of, variant_of

CHANGE = "Change: paired difference in accuracy to the method's first line, over the same label splits"


class _Found(NamedTuple):
    """The variants of one table."""

    lines: dict[str, list[str]]  # what the method is called as its recipe has it -> what its variants are
    notes: list[str]  # what is not shown, and why


def switches(tables: Sequence[Table]) -> str:
    """Return Markdown: of each method that has variants a line as the recipe has it, then one for each variant.

    Args:
        tables: Of rows of a sweep with `--grid`, and of the same sweep without, into the same folder.

    Raises:
        InputError: Nothing was varied, or no method has runs without what was varied.
    """
    found = [_find(table) for table in tables]
    if not any(one.lines for one in found):
        more = "".join(f". {note.removesuffix('.')}" for note in dict.fromkeys(note for one in found for note in one.notes))
        raise InputError(
            "there is nothing to compare: it needs runs of a method with --grid KEY=VALUE, and runs of the same sweep without "
            f"--grid, in the same folder{more}"
        )
    shown = [(table, one) for table, one in zip(tables, found, strict=True) if one.lines or one.notes]
    return "\n\n".join(_block(table, one, len(shown) > 1) for table, one in shown)


def _find(table: Table) -> _Found:
    every = [*table.rows, *table.diverged]
    notes, lines = [], {}
    varied, diverged = [], []
    for method, rows in grouped(every, lambda row: row["algorithm"]).items():
        names = [name for name, of in table.algorithms.items() if of == method]
        if len(names) == 1:
            continue
        counts = collections.Counter(called(row) for row in rows if not row.get("axes"))
        finite = [name for name, _ in counts.most_common() if table.cells[name]]
        if not counts:
            varied.append(method)
        elif not finite:
            diverged.append(method)
        else:
            lines[finite[0]] = [name for name in names if name != finite[0]]
        if len(counts) > 1 and finite:
            notes.append(f"Without --grid {method} was run in {len(counts)} ways; its first line is {finite[0]}.")
    said = {"Without a run as the recipe has it, and so not here": varied}
    said |= {"Not here, as all runs as the recipe has it diverged": diverged}
    notes[:0] = [f"{why}: {listed_names(methods)}." for why, methods in said.items() if methods]
    return _Found({name: lines[name] for name in table.cells if name in lines}, notes)


def _block(table: Table, found: _Found, named: bool) -> str:
    groups = by_cell(table.rows)
    (usual, _), *_ = collections.Counter(len(rows) for rows in groups.values()).most_common()
    lines: list[str] = []
    gains: list[Gain] = []
    if found.lines:
        heads = [head for labels in table.labels for head in (f"error rate, %, {labels} labels", "change, points")]
        lines = [f"| method | setting | {' | '.join(heads)} |", f"| - | - |{' -: |' * len(heads)}"]
    for plain, variants in found.lines.items():
        method = table.algorithms[plain]
        first = next(row for row in table.rows if called(row) == plain)
        for name in (plain, *variants):
            row = next(row for row in (*table.rows, *table.diverged) if called(row) == name)
            what = "" if name == plain else "; ".join(_changed(method, first, row))
            changes = [_change(groups, plain, name, labels) for labels in table.labels]
            gains += [change for change in changes if change]
            both = zip(table.labels, changes, strict=True)
            cells = [text for labels, change in both for text in _cells(table, name, labels, change, usual)]
            lines.append(f"| {' | '.join([escaped(method) if name == plain else '', what, *cells])} |")
    inside = {table.algorithms[name] for name in found.lines}
    kept = [row for row in table.rows if row["algorithm"] in inside]
    lost = [row for row in table.diverged if row["algorithm"] in inside]
    said = [f"{_what_changes_are(gains)} n = {usual} where nothing else is said."] * bool(kept) + found.notes
    said += [line for line in caption(kept, table.notes, lost, compared="") if line] if kept else []
    head = [f"**{escaped(table.title)}**"] if named else []
    return "\n\n".join([*head, *(["\n".join(lines)] if lines else []), *map(escaped, said)])


def _changed(method: str, plain: Row, row: Row) -> Iterator[str]:
    """Every setting that differs: from what, to what. A view is one of them."""
    before, after = variant_of(plain), variant_of(row)
    views = [f"views.{key.split('.')[1]}" for key in (*before, *after) if key.startswith("views.")]
    keys = [key for key in (*before, *after) if not key.startswith("views.")]
    for key in dict.fromkeys((*keys, *views)):
        whole = [one["config"]["views"].get(key.removeprefix("views.")) for one in (plain, row)] if key in views else []
        old, new = whole or (before.get(key), after.get(key))
        if old != new:
            short = key.removeprefix(f"{OPTIONS}.{method}.") if owner_of(key) == method else key
            yield f"{code(short)}: {escaped(in_words(old))} → {escaped(in_words(new))}"


def _what_changes_are(gains: Sequence[Gain]) -> str:
    """What stands in the columns of changes, and what is bold there: only what has an interval."""
    few = [gain for gain in gains if gain.low is None]
    if len(few) == len(gains):
        return f"{CHANGE}."
    interval = f"with a 95 % interval (Student's t{', from three pairs on' if few else ''})"
    return f"{CHANGE}, {interval}. Bold: the interval leaves out zero. The more lines, the more of them do so by chance."


def _change(groups: Mapping[tuple[str, Any], Sequence[Row]], plain: str, name: str, labels: str) -> Gain | None:
    """The paired difference of a variant to the method as its recipe has it."""
    mine, first = (groups.get((one, int(labels) if labels.isdigit() else labels), []) for one in (name, plain))
    return difference(mine, first) if name != plain else None


def _cells(table: Table, name: str, labels: str, change: Gain | None, usual: int) -> tuple[str, str]:
    """The error rate of a variant at a number of labels, and the change."""
    cell, lost = table.cells[name].get(labels), table.lost.get((name, labels), 0)
    if cell is None:
        return (runs_in(cell, lost) if lost else ""), ""
    error = f"{cell.error}{f', {runs_in(cell, lost)}' if lost or cell.n != usual else ''}"
    if change is None:
        return error, ""
    text = change.shown(cell.n).replace(" points", "")
    return error, f"**{text}**" if change.low is not None and (change.low > 0 or change.high < 0) else text
