"""Tables as Markdown."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ssl_zoo.tables.cells import Cell
from ssl_zoo.tables.table import Table, runs_in

NOTHING: Mapping[str, Callable[[str], str]] = MappingProxyType({})


def markdown(
    tables: Sequence[Table], oracle: bool, cost: bool = False, about: Mapping[str, Callable[[str], str]] = NOTHING
) -> str:
    """Return methods down and numbers of labels across; in a cell the error rate, below it the paired difference.

    A column after those of each number of labels has what a run cost, where that is asked for.

    Args:
        tables: To be shown.
        oracle: Whether to show the best score on the test set, which is not a result.
        cost: Whether to show what a run cost.
        about: Of each further column behind the name what it says of a method, by its registered name.
    """
    blocks = []
    for table in tables:
        heads = table.heads(cost)
        lines = [f"| {' | '.join(['error rate, %', *about, *heads])} |"]
        lines.append(f"| -{' | -' * len(about)} |{' -: |' * len(heads)}")
        for method, cells in table.cells.items():
            shown = []
            for labels in table.labels:
                cell = cells.get(labels)
                shown.append(_cell(cell, table.lost.get((method, labels), 0), oracle))
                shown += ["<br>".join(cell.cost) if cell else ""] * cost
            told = [say(table.algorithms[method]) for say in about.values()]
            lines.append(f"| {' | '.join([escaped(method), *told, *shown])} |")
        for name, *numbers in table.published_rows():
            first, gap = escaped(name).replace("; ", "<br>"), " |  | " if cost else " | "
            lines.append(f"| {first}{' | ' * len(about)} | {gap.join(numbers)} |{'  |' * cost}")
        head = [f"**{escaped(table.title)}**", ""] if len(tables) > 1 else []
        blocks.append("\n".join([*head, *lines, "", *map(escaped, table.caption)]))
    return "\n\n".join(blocks)


def _cell(cell: Cell | None, lost: int, oracle: bool) -> str:
    if cell is None:
        return runs_in(cell, lost) if lost else ""
    parts = [f"**{cell.error}**", f"median {cell.median.mean:.1f}, {runs_in(cell, lost)}"]
    parts += cell.of_classes
    if cell.gain is not None:
        parts.append(cell.gain.shown(cell.n))
    if oracle:
        parts.append(f"oracle {cell.oracle}, not a result")
    return "<br>".join(parts)


def escaped(text: str) -> str:
    """Return a name or a line as Markdown shows it in its place: no part is a formula, a link, a picture or code.

    An underscore within a word and brackets that no address follows mean nothing there, and stay alone.
    """
    line = re.sub(r"[\\|$`*]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))
    return line.replace("<", "&lt;")


def code(text: str) -> str:
    """Return a name in the letters of code, for a place in a table."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
