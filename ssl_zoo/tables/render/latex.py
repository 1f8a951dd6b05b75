"""Tables as LaTeX, with booktabs' rules."""

from collections.abc import Callable, Sequence

from ssl_zoo.errors import printable
from ssl_zoo.tables.cells import Cell, Score, in_words
from ssl_zoo.tables.table import Table


def latex(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return a tabular for each table.

    A column after those of each number of labels has what a run cost, where that is asked for. Below a method, in a
    smaller size, its median, number of runs, what is said of the classes, and paired differences.
    """
    blocks = []
    for table in tables:
        lines = [r"\begin{tabular}{l" + "r" * (1 + cost) * len(table.labels) + "}", r"\toprule"]
        lines.append(" & ".join(["error rate, \\%", *map(_escaped, table.heads(cost))]) + r" \\")
        lines.append(r"\midrule")
        for method in table.cells:
            lines += _method(table, method, oracle, cost)
        lines += _papers(table, cost)
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [f"% {' '.join(line.split())}" for line in (table.title, *table.caption) if line]
        blocks.append("\n".join(lines))
    return "\n\n".join(["% \\usepackage{booktabs}", *blocks])


def _method(table: Table, method: str, oracle: bool, cost: bool) -> list[str]:
    """Return the lines of one method."""
    found = [table.cells[method].get(labels) for labels in table.labels]
    lost = [table.lost.get((method, labels), 0) for labels in table.labels]

    def line(name: str, show: Callable[[Cell], str], beside: Callable[[Cell], str] = lambda cell: "") -> str:
        shown = [of(cell) if cell else "" for cell in found for of in (show, beside)[: 1 + cost]]
        return " & ".join([name, *shown]) + r" \\"

    lines = [line(_escaped(method), lambda c: _score(c.error), lambda c: rf"\small {', '.join(c.cost)}")]
    lines.append(line(r"\quad\small median", lambda cell: rf"\small {cell.median.mean:.1f}, $n$ = {cell.n}"))
    if any(cell is not None and cell.balanced is not None for cell in found):
        lines.append(line(r"\quad\small balanced accuracy", lambda c: rf"\small {_score(c.balanced)}" if c.balanced else ""))
    if any(cell is not None and cell.geometric is not None for cell in found):
        lines.append(line(r"\quad\small geometric mean", lambda c: rf"\small {_score(c.geometric)}" if c.geometric else ""))
    if any(cell is not None and cell.recalls for cell in found):
        lines.append(line(r"\quad\small recalls", lambda c: rf"\small {in_words(c.recalls)}" if c.recalls else ""))
    if any(lost):
        shown = [text for n in lost for text in (rf"\small {n}" if n else "", "")[: 1 + cost]]
        lines.append(" & ".join([r"\quad\small diverged", *shown]) + r" \\")
    if any(cell is not None and cell.gain is not None for cell in found):
        lines.append(
            line(rf"\quad\small against {_escaped(table.against)}", lambda c: rf"\small {c.gain.shown(c.n)}" if c.gain else "")
        )
    if oracle:
        lines.append(line(r"\quad\small oracle, not a result", lambda cell: rf"\small {_score(cell.oracle)}"))
    return lines


def _papers(table: Table, cost: bool) -> list[str]:
    """Return the lines of published numbers, whose long names have a line of their own."""
    width = 1 + (1 + cost) * len(table.labels)
    lines = [r"\midrule"] if table.published else []
    for name, *numbers in table.published_rows():
        shown = (" & & " if cost else " & ").join(_escaped(number).replace("±", r"$\pm$") for number in numbers)
        lines.append(rf"\multicolumn{{{width}}}{{p{{.9\linewidth}}}}{{\footnotesize {_escaped(name)}}} \\")
        lines.append(rf" & {shown}{' &' if cost else ''} \\")
    return lines


def _score(score: Score) -> str:
    return f"{score.mean:.1f}" if score.std is None else rf"{score.mean:.1f} $\pm$ {score.std:.1f}"


def _escaped(text: str) -> str:
    escapes = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    escapes |= {letter: f"\\{letter}" for letter in "_&%#${}"}
    return "".join(escapes.get(letter, letter) for letter in " ".join(printable(text).split()))
