"""Tables as LaTeX, with booktabs' rules: each a float with its caption, ready to be included."""

import re
from collections.abc import Callable, Iterator, Sequence

from ssl_zoo.errors import printable
from ssl_zoo.tables.cells import Cell, Score, in_words
from ssl_zoo.tables.table import Table

LETTERS = {letter: f"\\{letter}" for letter in "_&%#${}"} | {  # what LaTeX takes for something else, or its usual fonts lack
    **{letter: f"{{{letter}}}" for letter in "[]*"},  # at the beginning of a row they would belong to the end of the last
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "…": r"\ldots{}",
}


def latex(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return a float for each table: its caption, with a short form for a list of tables, its label, and a tabular.

    A column after those of each number of labels has what a run cost, where that is asked for. Below a method, in a
    smaller size, its median, number of runs, what is said of the classes, and paired differences.
    """
    blocks = []
    for table, label in zip(tables, _labels(tables), strict=True):
        said = " ".join(line for line in table.caption if line)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption[{_escaped(table.title)}]{{{_escaped(said)}}}",
            rf"\label{{{label}}}",
        ]
        lines += [r"\begin{tabular}{l" + "r" * (1 + cost) * len(table.labels) + "}", r"\toprule"]
        lines.append(" & ".join(["error rate, \\%", *map(_escaped, table.heads(cost))]) + r" \\")
        lines.append(r"\midrule")
        for method in table.cells:
            lines += _method(table, method, oracle, cost)
        lines += _papers(table, cost)
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(["% in the preamble: \\usepackage{booktabs}", *blocks])


def _labels(tables: Sequence[Table]) -> Iterator[str]:
    """Yield what each table is referred to by: its data set and net, in letters that a label may have."""
    seen: dict[str, int] = {}
    for table in tables:
        name = re.sub("[^a-z0-9]+", "-", f"{table.csv['dataset']} {table.csv['net']}".lower()).strip("-")
        seen[name] = seen.get(name, 0) + 1
        yield f"tab:{name}" + (f":{seen[name]}" if seen[name] > 1 else "")


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
            line(
                rf"\quad\small against {_escaped(table.against)}",
                lambda c: rf"\small {_escaped(c.gain.shown(c.n))}" if c.gain else "",
            )
        )
    if oracle:
        lines.append(line(r"\quad\small oracle, not a result", lambda cell: rf"\small {_score(cell.oracle)}"))
    return lines


def _papers(table: Table, cost: bool) -> list[str]:
    """Return the lines of published numbers, whose long names have a line of their own."""
    width = 1 + (1 + cost) * len(table.labels)
    lines = [r"\midrule"] if table.published else []
    for name, *numbers in table.published_rows():
        shown = (" & & " if cost else " & ").join(_escaped(number) for number in numbers)
        lines.append(rf"\multicolumn{{{width}}}{{p{{.9\linewidth}}}}{{\footnotesize {_escaped(name)}}} \\")
        lines.append(rf" & {shown}{' &' if cost else ''} \\")
    return lines


def _score(score: Score) -> str:
    return f"{score.mean:.1f}" if score.std is None else rf"{score.mean:.1f} $\pm$ {score.std:.1f}"


def _escaped(text: str) -> str:
    """Return text for LaTeX, in one line: each letter is shown as itself, and signed numbers as such."""
    line = "".join(LETTERS.get(letter, letter) for letter in " ".join(printable(text).split()))
    return re.sub(r"(?<![^\s(])[+-]\d+(\.\d+)?", r"$\g<0>$", line).replace("--", "-{}-")
