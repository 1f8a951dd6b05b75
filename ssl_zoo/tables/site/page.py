"""The page: one file, in which every file of rows is a section, and every data set and net of it a table.

Its numbers and captions are those of `tables.table`, of which `ssl-zoo table` shows the same in other forms.
"""

from collections.abc import Sequence

from ssl_zoo.pages.document import page
from ssl_zoo.pages.markup import Markup, counted, element, joined, listed, name, paragraph, wide
from ssl_zoo.tables.captions import recipes_of
from ssl_zoo.tables.cells import Cell
from ssl_zoo.tables.published import Published
from ssl_zoo.tables.rows import Row, data_of, machines_of
from ssl_zoo.tables.scored import either, images_scored
from ssl_zoo.tables.site.commands import commands_of
from ssl_zoo.tables.site.script import SCRIPT, STYLE
from ssl_zoo.tables.site.settings import cell_places, runs_part
from ssl_zoo.tables.site.sources import Source
from ssl_zoo.tables.table import UNPUBLISHED, Table, runs_in
from ssl_zoo.tables.variants import called, variant_of

FILTERS = {"dataset": "Data set", "net": "Net", "labels": "Labels", "protocol": "Protocol"}
MOST_SAID = 50  # lines about what is not in the tables of a file
NO_RESULT = "chosen on the test set: not a result"


def site(sources: Sequence[Source], passed: Sequence[str] = ()) -> Markup:
    """Return the page.

    Args:
        sources: With their tables.
        passed: Lines about paths that are not on it.
    """
    runs = sum(len(one.found.rows) for one in sources)
    files = [_file(source, f"f{number}") for number, source in enumerate(sources)]
    body = joined(
        element("h1", "Results"),
        paragraph(
            f"{counted(runs, 'run')} from {counted(len(sources), 'source')}. Error rates in percent, of the last evaluation: "
            "mean ± standard deviation over runs. Below each table stand what it was measured on and, folded, every run in it."
        ),
        element("ul", *(_entry(source, f"f{number}") for number, source in enumerate(sources)), class_="contents"),
        listed(passed, kind="soft"),
        _machines(sources),
        _controls(),
        *files,
        element("div", id="chosen"),
    )
    return page("ssl_zoo: results", body, STYLE, SCRIPT)


def _entry(source: Source, place: str) -> Markup:
    titles = "; ".join(table.title for table in source.tables)
    return element("li", element("a", name(source.name, 80), href=f"#{place}"), f": {titles}" if titles else "")


def _machines(sources: Sequence[Source]) -> Markup:
    """Say that seconds of one table are not those of another, where machines differ."""
    rows = [row for source in sources for table in source.tables for row in table.rows]
    machines = dict.fromkeys(machine for row in rows for machine in machines_of(row))
    if len(machines) < 2:
        return Markup("")
    return paragraph(
        f"Seconds are of {len(machines)} machines, and compare within a table alone: ",
        joined(*(name(machine, 80) for machine in machines), between="; "),
        ".",
        kind="soft",
    )


def _controls() -> Markup:
    """What shows less, or more. The script fills the filters, and shows them; the switch needs none."""
    filters = [element("label", element("span", shown), element("select", id=f"filter-{key}")) for key, shown in FILTERS.items()]
    switch = element("input", type="checkbox", id="oracle", autocomplete="off")
    chooser = element("input", type="file", id="file", accept=".jsonl,.json", multiple="")
    return element(
        "div",
        element("div", *filters, class_="filters script", hidden=""),
        element("label", switch, f" Show the best score over evaluations, {NO_RESULT}", class_="switch"),
        element(
            "label",
            element("span", "Lay a file of rows beside these; it is read here and goes nowhere "),
            chooser,
            class_="script",
            hidden="",
        ),
        element("p", id="shown", role="status", class_="soft"),
        element("p", id="read", role="status", class_="warn"),
        class_="controls",
    )


def _file(source: Source, place: str) -> Markup:
    said = source.said[:MOST_SAID]
    said += [f"and {len(source.said) - MOST_SAID} lines more, which the command says"] * (len(source.said) > MOST_SAID)
    return element(
        "section",
        element("h2", "From ", name(source.name, 200)),
        listed((line for line in said if not line.startswith(UNPUBLISHED)), kind="warn"),
        listed((line for line in said if line.startswith(UNPUBLISHED)), kind="soft"),
        *(_table(table, f"{place}t{number}") for number, table in enumerate(source.tables)),
        class_="file",
        id=place,
    )


def protocol(rows: Sequence[Row], steps: int | str) -> str:
    """Return what must be the same before numbers of two tables can be compared, in words.

    Args:
        rows: Of the runs of a table.
        steps: Of those of its methods that have steps; empty where they have different numbers.
    """
    configs = [row["config"] for row in rows]
    best = "the evaluation that is best on held-out images"
    chosen = either("the last evaluation" if row.get("selection", "last") == "last" else best for row in rows)
    varied = steps == "" or any({"steps", "epochs"} & {*variant_of(row)} for row in rows)
    length = "steps varied" if varied else f"{steps:,} steps"
    parts = [length, f"{chosen} on {either(map(images_scored, rows))}"]
    students = {config.get("evaluation", {}).get("net") == "student" for config in configs}
    parts += [f"the student scored{' in some' * (len(students) > 1)}"] if True in students else []
    draws = [config["draw"] for config in configs if isinstance(config.get("draw"), str)]  # which first rows do not say
    parts += [f"labels drawn {either(draws)}"] if draws else []
    return "; ".join([*parts, either(row["precision"] for row in rows), f"recipe {recipes_of(rows)}"])


def _in_order(table: Table) -> list[Row]:
    """The runs of a table, those that diverged too, in the order of its cells."""
    cells = {(method, labels): place for place, (method, labels, *_) in enumerate(table.places())}
    return sorted([*table.rows, *table.diverged], key=lambda row: (cells[called(row), str(row["labels"])], row["seed"]))


def _table(table: Table, place: str) -> Markup:
    rows = _in_order(table)
    made, places = commands_of(rows), cell_places(place, rows)
    about = {
        "data_dataset": data_of(rows[0]),
        "data_net": rows[0]["net"],
        "data_protocol": protocol(table.rows, table.csv["steps"]),
    }
    uneven = any(cell is not None and cell.balanced for *_, cell, _ in table.places())
    heads = ["method", "labels", "error rate, %", "median", *["balanced accuracy, %"] * uneven, "runs", "points to supervised"]
    heads += ["steps", "images seen", "seconds a run"]
    lines = [_line(one, places, uneven) for one in table.places()] + [_paper(number, uneven) for number in table.published]
    oracle = [
        _row(method, labels, _number(str(cell.oracle), cell.oracle.mean), element("td", NO_RESULT))
        for method, labels, cell, _ in table.places()
        if cell is not None
    ]
    return element(
        "section",
        element("h3", table.title),
        _lines("results", heads, lines),
        *(paragraph(line, kind="soft") for line in table.caption if line),
        element(
            "div",
            element("h4", f"The best score over evaluations, {NO_RESULT}"),
            _lines(
                "best scores on the test set, which are no results", ["method", "labels", "error rate, %", "what it is"], oracle
            ),
            class_="oracle",
        ),
        *(element("pre", line) for line in made.lines),
        paragraph(made.said, kind="soft"),
        runs_part(place, rows),
        class_="one",
        **about,
    )


def _lines(label: str, heads: Sequence[str], rows: Sequence[Markup]) -> Markup:
    head = element("tr", *(element("th", one, scope="col") for one in heads))
    return wide(label, element("table", element("thead", head), element("tbody", *rows), class_="sorts results"))


def _row(method: str | Markup, labels: str, *cells: Markup, kind: str | None = None) -> Markup:
    count = element("td", labels, data_value="Infinity" if labels == "all" else None)
    return element("tr", element("th", method, scope="row"), count, *cells, class_=kind, data_labels=labels)


def _number(shown: str, value: float | None) -> Markup:
    """A cell that sorts by a number in full."""
    exact = "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")
    return element("td", shown, data_value=None if exact == shown else exact)


def _line(one: tuple[str, str, Cell | None, int], places: dict[tuple[str, str], str], uneven: bool) -> Markup:
    """One method at one number of labels."""
    method, labels, cell, lost = one
    link = element("a", runs_in(cell, lost), href=f"#{places[method, labels]}", aria_label=f"runs of {method}, {labels} labels")
    runs = _number(link, 0 if cell is None else cell.n)
    if cell is None:
        return _row(method, labels, *[element("td")] * (2 + uneven), runs, *[element("td")] * 4)
    balanced = [_number(str(cell.balanced or ""), cell.balanced.mean if cell.balanced else None)] * uneven
    cells = [
        _number(str(cell.error), cell.error.mean),
        _number(f"{cell.median.mean:.1f}", cell.median.mean),
        *balanced,
        runs,
        _number(cell.gain.shown(cell.n).replace(" points", "") if cell.gain else "", cell.gain.mean if cell.gain else None),
        _number(f"{cell.steps:,.0f}", cell.steps),
        _number(f"{cell.images:,.0f}", cell.images),
        _number(f"{cell.seconds:,.1f}", cell.seconds),
    ]
    return _row(method, labels, *cells)


def _paper(number: Published, uneven: bool) -> Markup:
    """A published number, which is not ours."""
    named = joined(number.method, element("small", f"published, not ours: {number.source}; {number.protocol}"))
    runs = element("td", f"n = {number.n}" if number.n else "", data_value=number.n or "")
    empty = [element("td")]
    cells = [_number(str(number.error), number.error.mean), *empty * (1 + uneven), runs, *empty * 4]
    return _row(named, number.labels, *cells, kind="published")
