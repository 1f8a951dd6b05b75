"""Tables of rows: methods and their variants down, numbers of labels across, one for each data set and net.

Runs that differ in anything but method, seed, number of labels and what was varied on purpose are never put in one
table.
"""

import collections
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ssl_zoo.tables.against import reference_named
from ssl_zoo.tables.captions import caption, recipes_of, steps_of
from ssl_zoo.tables.cells import ALONE, Cell, make_cell, reference_of
from ssl_zoo.tables.folds import pool_folds
from ssl_zoo.tables.published import Published, read_published
from ssl_zoo.tables.rows import Row, by_cell, counted, data_of, grouped, lost_beside, sound
from ssl_zoo.tables.styles import Style, styles_of
from ssl_zoo.tables.variants import called, in_order, told_apart, variant_of

UNPUBLISHED = "no published number is known"  # begins a line that is no warning


class Table(NamedTuple):
    """Methods by numbers of labels, on one data set and net, under one recipe."""

    title: str
    labels: list[str]
    cells: dict[str, dict[str, Cell]]  # method, as its variant is called -> labels -> cell
    caption: list[str]  # what it was measured on; what was left out
    csv: dict[str, Any]  # what every line of the CSV repeats
    published: list[Published]
    lost: dict[tuple[str, str], int]  # (method, labels) -> how many runs diverged, which are in no cell
    rows: list[Row]  # of the runs that are in cells
    diverged: list[Row]
    algorithms: dict[str, str]  # method, as its variant is called -> its registered name
    variants: dict[str, dict[str, Any]]  # the same -> settings that tell it from others, by dotted key
    notes: list[str]  # why runs were left out
    against: str = ALONE  # the method, or the variant of one, to which the others are compared

    def heads(self, cost: bool) -> list[str]:
        """Return what stands above the columns: a number of labels, and after it the cost where that is shown."""
        named = "cost" if len(self.labels) == 1 else "{} labels: cost"
        return [head for labels in self.labels for head in (f"{labels} labels", named.format(labels))[: 1 + cost]]

    def places(self) -> Iterator[tuple[str, str, Cell | None, int]]:
        """Yield method, labels, cell and how many runs diverged, where there are any runs."""
        for method, cells in self.cells.items():
            for labels in self.labels:
                cell, lost = cells.get(labels), self.lost.get((method, labels), 0)
                if cell is not None or lost:
                    yield method, labels, cell, lost

    def published_rows(self) -> list[list[str]]:
        """Return the published numbers, a row for each method, protocol and source.

        Its name, then a number for each column.

        A second number in a place gets a row of its own, so that none hides the other.
        """
        rows: list[tuple[str, dict[str, Published]]] = []
        for number in self.published:
            name = f"{number.method}, published: {number.source}; {number.protocol}"
            place = next((numbers for other, numbers in rows if other == name and number.labels not in numbers), None)
            if place is None:
                place = {}
                rows.append((name, place))
            place[number.labels] = number
        return [[name, *(str(numbers.get(labels, "")) for labels in self.labels)] for name, numbers in rows]


def styles_in(tables: Sequence[Table]) -> dict[str, Style]:
    """Return how each method of tables, or variant of one, is drawn in all of them."""
    return styles_of({name: method for table in tables for name, method in table.algorithms.items()})


def runs_in(cell: Cell | None, lost: int) -> str:
    """Return how many runs are in a cell, and how many are not because they diverged."""
    return f"n = {0 if cell is None else cell.n}" + (f", {lost} diverged" if lost else "")


def make_tables(
    rows: Sequence[Row],
    problems: Sequence[str] = (),
    published: bool = False,
    lost: Sequence[Row] = (),
    each_class: bool = False,
    against: str = ALONE,
) -> tuple[list[Table], list[str]]:
    """Return a table for each data set and net, and every line about what is not in them.

    Args:
        rows: Of runs.
        problems: Lines about results that could not be read.
        published: Whether to set numbers of papers beside them.
        lost: Of runs that diverged.
        each_class: Whether to say how each class was told.
        against: The method that others are compared with, or what the variant of one is called.

    Raises:
        InputError: No run is of that method, or its variants would have to be told apart.
    """
    rows, gaps = pool_folds(rows)
    rows, lost = told_apart(rows, lost)
    against = reference_named(against, rows)
    groups = grouped(rows, lambda row: (data_of(row), row["net"]))
    tables, said = [], [*problems, *gaps]
    alone = collections.Counter(place for row in lost if (place := (data_of(row), row["net"])) not in groups)
    said += [
        f"no table for {dataset} with {net}: {counted(count, 'run')}, all diverged" for (dataset, net), count in alone.items()
    ]
    for (dataset, net), group in groups.items():
        found = sound(group)
        gone = lost_beside(found.kept, [row for row in lost if (data_of(row), row["net"]) == (dataset, net)], found)
        kept, lines, notes = found
        said += lines
        notes += [f"{counted(len(problems), 'result')} could not be read"] if problems else []
        methods, labels = ({row[name] for row in kept} for name in ("algorithm", "labels"))
        numbers = [n for n in read_published(dataset, net, labels) if n.method in methods] if published else []
        said += [f"{UNPUBLISHED} for {dataset} with {net} and these methods and numbers of labels"] * (published and not numbers)
        tables.append(make_table(kept, notes, numbers, gone, each_class, against))
    return tables, said


def make_table(
    rows: Sequence[Row],
    notes: Sequence[str],
    published: Sequence[Published],
    lost: Sequence[Row] = (),
    each_class: bool = False,
    against: str = ALONE,
) -> Table:
    """Return one table of rows that belong together, and of runs beside them that diverged."""
    cells, gone = by_cell(rows), by_cell(lost)
    labels = sorted({row["labels"] for row in (*rows, *lost)}, key=lambda count: float("inf") if count == "all" else count)
    each = {called(row): row for row in (*lost, *rows)}
    made = {
        method: {
            str(count): make_cell(group, reference_of(group[0], cells, against), each_class, against)
            for count in labels
            if (group := cells.get((method, count)))
        }
        for method in in_rows(rows, labels[0])
    }
    made |= {method: {} for method, _ in gone if method not in made}
    row = rows[0]
    repeated = {
        "dataset": data_of(row),
        "net": row["net"],
        "steps": max(row["steps"] for row in rows) if len({row["steps"] for row in rows} - {0}) <= 1 else "",
        "recipe": recipes_of(rows),
        "commit": ", ".join(dict.fromkeys(row["commit"] or "" for row in rows)),
        "device": row["device"],
        "torch": row["versions"]["torch"],
    }
    title = f"{data_of(row)}, {row['net']}, {steps_of(rows)}"
    counts = {(method, str(count)): len(group) for (method, count), group in gone.items()}
    named, said = [str(count) for count in labels], caption(rows, notes, lost, each_class, against)
    algorithms = {method: each[method]["algorithm"] for method in made}
    variants = {method: dict(variant_of(each[method])) for method in made}
    return Table(
        title, named, made, said, repeated, list(published), counts, [*rows], [*lost], algorithms, variants, [*notes], against
    )


def in_rows(rows: Sequence[Row], labels: Any) -> list[str]:
    """Return methods in the order of a table's rows.

    Labels alone come first, then methods from the largest error to the smallest. The variants of one stay together.

    Args:
        rows: Of runs.
        labels: Whose errors count, where a method has them.
    """
    of_method = grouped(rows, lambda row: row["algorithm"])

    def order(method: str) -> tuple[bool, float, str]:
        first = [row for row in of_method[method] if row["labels"] == labels] or of_method[method][:1]
        return method != ALONE, statistics.mean(row["accuracy"] for row in first), method

    sorted_rows = [row for method in sorted(of_method, key=order) for row in sorted(of_method[method], key=in_order)]
    return list(dict.fromkeys(map(called, sorted_rows)))
