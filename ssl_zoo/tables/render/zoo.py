"""Tables as Markdown that also says what each method is: its idea in a line, and its paper."""

from collections.abc import Sequence

from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.tables.citations import papers
from ssl_zoo.tables.render.markdown import escaped, markdown
from ssl_zoo.tables.table import Table


def zoo(tables: Sequence[Table], oracle: bool, cost: bool = False) -> str:
    """Return the Markdown of tables with two more columns behind the methods' names."""
    return markdown(tables, oracle, cost, {"its idea": idea, "paper": papers})


def idea(method: str) -> str:
    """The first line of a method's docstring without its name; empty where the method, of a plug-in, is not there."""
    try:
        entry = ALGORITHMS.resolve(method)
    except InputError:
        return ""
    title, _, rest = entry.summary.partition(": ")
    try:
        named = ALGORITHMS.resolve(title.replace(" ", "-")).target is entry.target
    except InputError:
        named = False
    text = escaped(rest if named else entry.summary).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}"
