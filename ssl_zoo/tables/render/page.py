"""Tables as one HTML page that holds all it needs: nothing in it comes from elsewhere."""

import html
from collections.abc import Sequence

from ssl_zoo.tables.render.curves import figure
from ssl_zoo.tables.table import Table, runs_in

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


def page(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return sortable tables, with a column of costs where that is asked for, and learning curves."""
    parts = []
    methods = dict.fromkeys(method for table in tables for method in table.cells)  # each has one colour on the whole page
    colors = dict(zip(methods, COLORS * len(methods), strict=False))
    for table in tables:
        heads = ["method", *table.heads(cost)]
        head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in heads)
        body = "".join(_row(table, method, oracle, cost) for method in table.cells)
        for name, *numbers in table.published_rows():
            empty = '<td data-value=""></td>' * cost
            found = "".join(f'<td data-value="{number.partition(" ")[0].strip(",")}">{number}</td>{empty}' for number in numbers)
            body += f'<tr class="published"><td data-value="{html.escape(name)}">{html.escape(name)}</td>{found}</tr>'
        curves = "".join(figure(table, labels, colors) for labels in table.labels)
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


def _row(table: Table, method: str, oracle: bool, cost: bool) -> str:
    made = f'<td data-value="{html.escape(method)}">{html.escape(method)}</td>'
    for count in table.labels:
        cell, lost = table.cells[method].get(count), table.lost.get((method, count), 0)
        if cell is None:
            made += f'<td data-value="">{f"<small>{runs_in(cell, lost)}</small>" if lost else ""}</td>'
            made += '<td data-value=""></td>' * cost
            continue
        more = [f"median {cell.median.mean:.1f}, {runs_in(cell, lost)}"]
        more += [f"balanced accuracy {cell.balanced}"] if cell.balanced else []
        more += [cell.gain.shown(cell.n)] if cell.gain else []
        more += [f"oracle {cell.oracle}, not a result"] if oracle else []
        small = "".join(f"<small>{html.escape(line)}</small>" for line in more)
        made += f'<td data-value="{cell.error.mean:.6f}">{cell.error}{small}</td>'
        if cost:
            spent = "".join(f"<small>{html.escape(line)}</small>" for line in cell.cost)
            made += f'<td data-value="{cell.seconds:.3f}">{spent}</td>'
    return f"<tr>{made}</tr>"
