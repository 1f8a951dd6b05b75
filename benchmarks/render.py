"""A table of results as Markdown, CSV, LaTeX or one HTML page."""

import csv
import html
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Score(NamedTuple):
    """Mean and sample standard deviation of an error rate, in percent; no deviation for a single run."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


class Gain(NamedTuple):
    """Paired difference in accuracy to `supervised`, in points, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    n: int  # pairs

    def shown(self, runs: int) -> str:
        """In words; of how many pairs, where that is not the number of runs."""
        pairs = "" if self.n == runs else f", {self.n} pairs"
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}) points{pairs}"


class Cell(NamedTuple):
    """One method at one number of labels."""

    n: int
    error: Score  # of the last evaluation
    median: Score  # of the last few evaluations
    student: Score
    oracle: Score  # the best on the test set: not a result
    gain: Gain | None
    seconds: float  # median over runs
    curve: list[tuple[int, float, float]]  # step, mean accuracy in percent, standard deviation


class Published(NamedTuple):
    """A number from a paper."""

    method: str
    labels: str
    error: Score
    n: int | None
    protocol: str  # net, augmentation, which evaluation
    source: str


class Table(NamedTuple):
    """Methods by numbers of labels, on one data set and net, under one recipe."""

    title: str
    labels: list[str]
    cells: dict[str, dict[str, Cell]]  # method -> labels -> cell
    caption: list[str]  # what it was measured on; what was left out
    csv: dict[str, Any]  # what every line of the CSV repeats
    published: list[Published]
    lost: dict[tuple[str, str], int]  # (method, labels) -> how many runs diverged, which are in no cell

    def places(self) -> Iterator[tuple[str, str, Cell | None, int]]:
        """Method, labels, cell and how many runs diverged, where there are any runs."""
        for method, cells in self.cells.items():
            for labels in self.labels:
                cell, lost = cells.get(labels), self.lost.get((method, labels), 0)
                if cell is not None or lost:
                    yield method, labels, cell, lost


def markdown(tables: Sequence[Table], oracle: bool) -> str:
    """Methods down, numbers of labels across; in a cell the error rate, below it the paired difference."""
    blocks = []
    for table in tables:
        lines = [f"| error rate, % | {' | '.join(f'{labels} labels' for labels in table.labels)} |"]
        lines.append(f"| - |{' -: |' * len(table.labels)}")
        for method, cells in table.cells.items():
            shown = [_markdown_cell(cells.get(labels), table.lost.get((method, labels), 0), oracle) for labels in table.labels]
            lines.append(f"| {_md(method)} | {' | '.join(shown)} |")
        for name, *numbers in _published_rows(table):
            lines.append(f"| {_md(name).replace('; ', '<br>')} | {' | '.join(numbers)} |")
        head = [f"**{_md(table.title)}**", ""] if len(tables) > 1 else []
        blocks.append("\n".join([*head, *lines, "", *map(_md, table.caption)]))
    return "\n\n".join(blocks)


def _runs(cell: Cell | None, lost: int) -> str:
    """How many are in a cell, and how many are not because they diverged."""
    return f"n = {0 if cell is None else cell.n}" + (f", {lost} diverged" if lost else "")


def _markdown_cell(cell: Cell | None, lost: int, oracle: bool) -> str:
    if cell is None:
        return _runs(cell, lost) if lost else ""
    parts = [f"**{cell.error}**", f"median {cell.median.mean:.1f}, {_runs(cell, lost)}"]
    if cell.gain is not None:
        parts.append(cell.gain.shown(cell.n))
    if oracle:
        parts.append(f"oracle {cell.oracle}, not a result")
    return "<br>".join(parts)


def _md(text: str) -> str:
    """A name or a line that stays in its place in Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _published_rows(table: Table) -> list[list[str]]:
    """Published numbers, one row for each method, protocol and source; a second number in a place gets a row of its own."""
    rows: list[tuple[str, dict[str, Published]]] = []
    for number in table.published:
        name = f"{number.method}, published: {number.source}; {number.protocol}"
        place = next((numbers for other, numbers in rows if other == name and number.labels not in numbers), None)
        if place is None:
            place = {}
            rows.append((name, place))
        place[number.labels] = number
    return [[name, *(_published(numbers.get(labels)) for labels in table.labels)] for name, numbers in rows]


def _published(number: Published | None) -> str:
    if number is None:
        return ""
    return f"{number.error}, n = {number.n}" if number.n else str(number.error)


def as_csv(tables: Sequence[Table], oracle: bool) -> str:
    """One line for each method and number of labels, in plain numbers."""
    rows: list[dict[str, Any]] = []
    for table in tables:
        for method, labels, cell, lost in table.places():
            row = {**table.csv, "method": method, "labels": labels, "n": 0 if cell is None else cell.n, "diverged": lost}
            if cell is None:
                rows.append({**row, "published": ""})
                continue
            scores = {"error": cell.error, "median": cell.median, "student": cell.student}
            for name, score in {**scores, **({"oracle": cell.oracle} if oracle else {})}.items():
                row |= {f"{name}_mean": f"{score.mean:.4f}", f"{name}_std": "" if score.std is None else f"{score.std:.4f}"}
            gain = [""] * 4 if cell.gain is None else [f"{number:.4f}" for number in cell.gain[:3]] + [cell.gain.n]
            row |= dict(zip(("gain_mean", "gain_low", "gain_high", "gain_n"), gain, strict=True))
            row |= {"seconds": f"{cell.seconds:.1f}"}
            rows.append({**row, "published": ""})
        for number in table.published:
            error = {"error_mean": number.error.mean, "error_std": "" if number.error.std is None else number.error.std}
            ours = {"dataset": table.csv["dataset"], "net": table.csv["net"]}  # and nothing else of what ours were made with
            paper = {"method": number.method, "labels": number.labels, "n": number.n}
            rows.append({**ours, **paper, **error, "published": f"{number.source}; {number.protocol}"})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def latex(tables: Sequence[Table], oracle: bool) -> str:
    """With booktabs' rules; below each method its median and number of runs and its paired differences, in a smaller size."""
    blocks = []
    for table in tables:
        width = 1 + len(table.labels)
        lines = [r"\begin{tabular}{l" + "r" * len(table.labels) + "}", r"\toprule"]
        lines.append(" & ".join(["error rate, \\%", *(f"{_tex(labels)} labels" for labels in table.labels)]) + r" \\")
        lines.append(r"\midrule")
        for method, cells in table.cells.items():
            found = [cells.get(labels) for labels in table.labels]
            lost = [table.lost.get((method, labels), 0) for labels in table.labels]

            def line(name: str, show: Callable[[Cell], str], found: Sequence[Cell | None] = found) -> str:
                return " & ".join([name, *("" if cell is None else show(cell) for cell in found)]) + r" \\"

            lines.append(line(_tex(method), lambda cell: _tex_score(cell.error)))
            lines.append(line(r"\quad\small median", lambda cell: rf"\small {cell.median.mean:.1f}, $n$ = {cell.n}"))
            if any(lost):
                lines.append(" & ".join([r"\quad\small diverged", *(rf"\small {n}" if n else "" for n in lost)]) + r" \\")
            if any(cell is not None and cell.gain is not None for cell in found):
                gains = line(r"\quad\small against supervised", lambda c: rf"\small {c.gain.shown(c.n)}" if c.gain else "")
                lines.append(gains)
            if oracle:
                lines.append(line(r"\quad\small oracle, not a result", lambda cell: rf"\small {_tex_score(cell.oracle)}"))
        if table.published:
            lines.append(r"\midrule")
            for name, *numbers in _published_rows(table):
                shown = " & ".join(_tex(number).replace("±", r"$\pm$") for number in numbers)
                lines.append(rf"\multicolumn{{{width}}}{{p{{.9\linewidth}}}}{{\footnotesize {_tex(name)}}} \\")
                lines.append(rf" & {shown} \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [f"% {' '.join(line.split())}" for line in (table.title, *table.caption) if line]
        blocks.append("\n".join(lines))
    return "\n\n".join(["% \\usepackage{booktabs}", *blocks])


def _tex_score(score: Score) -> str:
    return f"{score.mean:.1f}" if score.std is None else rf"{score.mean:.1f} $\pm$ {score.std:.1f}"


def _tex(text: str) -> str:
    escapes = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    escapes |= {letter: f"\\{letter}" for letter in "_&%#${}"}
    return "".join(escapes.get(letter, letter) for letter in " ".join(text.split()))


STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --grey: #777 }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.5rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; min-width: 100% }
th, td { padding: .45rem .8rem; text-align: right; white-space: nowrap; vertical-align: top }
th, td { border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas }
th button { font: inherit; font-weight: 600; border: 0; background: none; color: inherit; cursor: pointer; padding: 0 }
th[aria-sort=ascending] button::after { content: " \\2191" } th[aria-sort=descending] button::after { content: " \\2193" }
td small { display: block; color: var(--grey) } tr.published td { color: var(--grey) }
tr.published td:first-child { white-space: normal; min-width: 12rem; max-width: 24rem; font-size: .85rem }
figure { margin: 1rem 0 } svg { width: 100%; height: auto; max-width: 44rem } svg text { font-size: 12px; fill: currentColor }
p.caption { color: var(--grey); font-size: .9rem } .key { display: inline-block; margin-right: 1rem; white-space: nowrap }
.key i { display: inline-block; width: 1.2em; height: .3em; margin-right: .4em; vertical-align: middle }
@media (max-width: 40rem) { th, td { padding: .4rem .35rem } td small { font-size: .75rem } svg text { font-size: 20px } }
"""
SCRIPT = """
document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0], place = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  head.parentNode.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[place].dataset.value;
  const before = (a, b) => a === "" ? 1 : b === "" ? -1 : (isNaN(a) ? a.localeCompare(b) : a - b) * (up ? 1 : -1);
  [...body.rows].sort((a, b) => before(value(a), value(b))).forEach(row => body.append(row));
}));
"""
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")


def page(tables: Sequence[Table], oracle: bool) -> str:
    """One self-contained page: sortable tables and learning curves, without anything from elsewhere."""
    parts = []
    methods = dict.fromkeys(method for table in tables for method in table.cells)  # each has one colour on the whole page
    colors = dict(zip(methods, COLORS * len(methods), strict=False))
    for table in tables:
        heads = ["method", *(f"{labels} labels" for labels in table.labels)]
        head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in heads)
        body = "".join(_html_row(table, method, oracle) for method in table.cells)
        for name, *numbers in _published_rows(table):
            found = "".join(f'<td data-value="{number.partition(" ")[0].strip(",")}">{number}</td>' for number in numbers)
            body += f'<tr class="published"><td data-value="{html.escape(name)}">{html.escape(name)}</td>{found}</tr>'
        curves = "".join(_figure(table, labels, colors) for labels in table.labels)
        caption = "".join(f'<p class="caption">{html.escape(line)}</p>' for line in table.caption if line)
        parts.append(
            f'<h2>{html.escape(table.title)}</h2><p>Error rate in percent; click a column to sort.</p><div class="wide">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{caption}{curves}"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>ssl_zoo: results</title><style>{STYLE}</style></head><body><h1>Results</h1>{''.join(parts)}"
        f"<script>{SCRIPT}</script></body></html>"
    )


def _html_row(table: Table, method: str, oracle: bool) -> str:
    made = f'<td data-value="{html.escape(method)}">{html.escape(method)}</td>'
    for count in table.labels:
        cell, lost = table.cells[method].get(count), table.lost.get((method, count), 0)
        if cell is None:
            made += f'<td data-value="">{f"<small>{_runs(cell, lost)}</small>" if lost else ""}</td>'
            continue
        more = [f"median {cell.median.mean:.1f}, {_runs(cell, lost)}", *([cell.gain.shown(cell.n)] if cell.gain else [])]
        more += [f"oracle {cell.oracle}, not a result"] if oracle else []
        small = "".join(f"<small>{html.escape(line)}</small>" for line in more)
        made += f'<td data-value="{cell.error.mean:.6f}">{cell.error}{small}</td>'
    return f"<tr>{made}</tr>"


def _figure(table: Table, labels: str, colors: Mapping[str, str]) -> str:
    """Learning curves of every method at one number of labels: the mean with a band of one standard deviation."""
    curves = {method: cells[labels].curve for method, cells in table.cells.items() if labels in cells}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    low, high = max(0.0, min(m - d for _, m, d in points)), min(100.0, max(m + d for _, m, d in points))
    unit = next(size for size in (1, 2, 5, 10, 20, 25) if high - low <= 5 * size)
    low, high = unit * math.floor(low / unit), max(unit * math.ceil(high / unit), unit * math.floor(low / unit) + unit)
    last = max(step for step, *_ in points)

    def at(step: float, value: float) -> str:
        return f"{45 + 640 * step / last:.1f},{260 - 240 * (value - low) / max(high - low, 1e-9):.1f}"

    drawn, keys = "", ""
    for method, color in ((method, colors[method]) for method in curves):
        band = [at(s, m + d) for s, m, d in curves[method]] + [at(s, m - d) for s, m, d in reversed(curves[method])]
        line = " ".join(at(s, m) for s, m, _ in curves[method])
        name = html.escape(method)
        drawn += f'<polygon points="{" ".join(band)}" fill="{color}" opacity=".15"/>'
        drawn += f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"><title>{name}</title></polyline>'
        if len(curves[method]) < 10:  # a line through few points hides where they are, and through one it is none
            dots = (at(s, m).split(",") for s, m, _ in curves[method])
            drawn += "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in dots)
        keys += f'<span class="key"><i style="background:{color}"></i>{name}</span>'
    axes = "".join(_grid_line(at, value) for value in range(low, high + 1, unit))
    axes += "".join(f'<text x="{45 + 160 * k}" y="280" text-anchor="middle">{last * k // 4}</text>' for k in range(5))
    what = f"Test accuracy in percent against step, {labels} labels"
    return (
        f"<figure><figcaption>{html.escape(what)}</figcaption>"
        f'<svg viewBox="0 0 700 290" role="img" aria-label="{html.escape(what)}">'
        f"{axes}{drawn}</svg><div>{keys}</div></figure>"
    )


def _grid_line(at: Callable[[float, float], str], value: float) -> str:
    y = at(0, value).split(",")[1]
    line = f'<line x1="45" x2="685" y1="{y}" y2="{y}" stroke="currentColor" opacity=".2"/>'
    return f'{line}<text x="38" y="{float(y) + 4:.1f}" text-anchor="end">{value:.0f}</text>'


FORMATS = {"md": markdown, "csv": as_csv, "tex": latex, "html": page}
