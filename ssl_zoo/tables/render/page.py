"""Tables as one HTML page that holds all it needs: nothing in it comes from elsewhere."""

from collections.abc import Iterator, Sequence

from ssl_zoo.pages.document import page as document
from ssl_zoo.pages.markup import Markup, element, joined, paragraph, wide
from ssl_zoo.pages.sorting import SORT
from ssl_zoo.tables.render.curves import figure
from ssl_zoo.tables.table import Table, runs_in, styles_in

STYLE = """
figure svg { max-width: 44rem } figure svg text { font-size: 12px; fill: currentColor }
.line { display: inline-block; margin-right: 1rem; white-space: nowrap }
figure .line svg { width: 2.2em; height: .8em; margin-right: .4em; vertical-align: middle }
@media (max-width: 40rem) { figure svg text { font-size: 20px } }
"""


def page(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return sortable tables, with a column of costs where that is asked for, and learning curves."""
    styles = styles_in(tables)
    parts = [element("h1", "Results")]
    for table in tables:
        heads = element("tr", *(element("th", name, scope="col") for name in ("method", *table.heads(cost))))
        rows = joined(*(_row(table, method, oracle, cost) for method in table.cells), *_papers(table, cost))
        made = element("table", element("thead", heads), element("tbody", rows), class_="sorts")
        said = [paragraph(line, kind="soft") for line in table.caption if line]
        curves = [Markup(figure(table, labels, styles)) for labels in table.labels]
        parts += [element("h2", table.title), paragraph("Error rate in percent; click a column to sort.")]
        parts += [wide("error rates of methods", made), *said, *curves]
    return document("ssl_zoo: results", joined(*parts), STYLE, SORT)


def _row(table: Table, method: str, oracle: bool, cost: bool) -> Markup:
    made = [element("td", method)]
    for count in table.labels:
        cell, lost = table.cells[method].get(count), table.lost.get((method, count), 0)
        if cell is None:
            made += [element("td", element("small", runs_in(cell, lost)) if lost else "", data_value="")]
            made += [element("td")] * cost
            continue
        more = [f"median {cell.median.mean:.1f}, {runs_in(cell, lost)}"]
        more += cell.of_classes
        more += [cell.gain.shown(cell.n)] if cell.gain else []
        more += [f"oracle {cell.oracle}, not a result"] if oracle else []
        made.append(element("td", str(cell.error), *_small(more), data_value=f"{cell.error.mean:.6f}"))
        made += [element("td", *_small(cell.cost), data_value=f"{cell.seconds:.3f}")] if cost else []
    return element("tr", *made)


def _small(lines: Sequence[str]) -> Iterator[Markup]:
    return (element("small", line) for line in lines)


def _papers(table: Table, cost: bool) -> Iterator[Markup]:
    """The rows of published numbers."""
    for name, *numbers in table.published_rows():
        cells = [element("td", name)]
        for number in numbers:
            cells += [element("td", number, data_value=number.partition(" ")[0].strip(",")), *[element("td")] * cost]
        yield element("tr", *cells, class_="published")
