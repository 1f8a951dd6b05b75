"""Tables as Markdown."""

from collections.abc import Sequence

from ssl_zoo.tables.cells import Cell
from ssl_zoo.tables.table import Table, runs_in


def markdown(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return methods down and numbers of labels across; in a cell the error rate, below it the paired difference.

    A column after those of each number of labels has what a run cost, where that is asked for.
    """
    blocks = []
    for table in tables:
        heads = table.heads(cost)
        lines = [f"| error rate, % | {' | '.join(heads)} |"]
        lines.append(f"| - |{' -: |' * len(heads)}")
        for method, cells in table.cells.items():
            shown = []
            for labels in table.labels:
                cell = cells.get(labels)
                shown.append(_cell(cell, table.lost.get((method, labels), 0), oracle))
                shown += ["<br>".join(cell.cost) if cell else ""] * cost
            lines.append(f"| {escaped(method)} | {' | '.join(shown)} |")
        for name, *numbers in table.published_rows():
            lines.append(
                f"| {escaped(name).replace('; ', '<br>')} | {(' |  | ' if cost else ' | ').join(numbers)} |{'  |' * cost}"
            )
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
    """Return a name or a line that stays in its place in Markdown, and of which no part is taken for a formula."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("$", "\\$")
