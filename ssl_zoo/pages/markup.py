"""Elements of a page. What is not markup already is escaped when it goes into one: names are other people's text."""

import html
from collections.abc import Iterable, Sequence

from ssl_zoo.errors import one_line, printable

EMPTY = ("img", "input", "meta")  # elements without content
LONGEST = 40  # letters of a name


class Markup(str):
    """A text that is HTML."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Return a text as HTML: in one line, and no letter of it is markup, turns the line around, or cannot be written.

    A number is not parted from its percent sign.
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(printable(text).replace("\n", " ")).replace(" %", "&nbsp;%"))


def element(tag: str, *content: str, **attributes: str | int | float | None) -> Markup:
    """Return an element.

    Args:
        tag: Its name.
        content: Texts, which are escaped, and markup.
        attributes: With `class_` for class and `aria_label` for aria-label; those that are None are left out.
    """
    given = "".join(
        f' {name.strip("_").replace("_", "-")}="{escaped(str(value))}"' for name, value in attributes.items() if value is not None
    )
    inside = "".join(map(escaped, content))
    return Markup(f"<{tag}{given}>" if tag in EMPTY else f"<{tag}{given}>{inside}</{tag}>")


def joined(*parts: str, between: str = "") -> Markup:
    """Return parts as one, each escaped unless it is markup."""
    return Markup(escaped(between).join(map(escaped, parts)))


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a name in one line, cut in its middle where it is long."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most // 2]}…{line[len(line) - most + most // 2 + 1 :]}"


def name(text: str, most: int = LONGEST) -> Markup:
    """Return a name, which has its own direction of writing, and is shown whole where somebody points at it."""
    short = shortened(text, most)
    return element("bdi", short, title=None if short == text else text)


def file_name(path: str, most: int = 36) -> Markup:
    """Return a path as `name` does; it may go on in the next line after a folder."""
    short = shortened(path, most)
    pieces = joined(*short.split("/"), between=Markup("/<wbr>"))
    return element("bdi", pieces, title=None if short == path else path)


def percent(share: float) -> str:
    """Return a share in percent, to one digit."""
    return f"{100 * share:.1f} %"


def share(part: float, whole: float) -> str:
    """Return part / whole in percent; a dash where there is nothing."""
    return percent(part / whole) if whole else "-"


def counted(n: int, thing: str, things: str = "") -> str:
    """Return `1 image`, `2 images`."""
    return f"{n:,} {thing if n == 1 else things or f'{thing}s'}"


def paragraph(*content: str, kind: str | None = None) -> Markup:
    """Return a paragraph."""
    return element("p", *content, class_=kind)


def section(title: str, *content: str) -> Markup:
    """Return a part of the page; nothing where it has no content."""
    return element("section", element("h2", title), *content) if any(content) else Markup("")


def table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table in a box of its own, which scrolls where it is wider than the screen.

    Args:
        label: What it is of, for those who do not see it.
        heads: Of the columns; the first column names the rows.
        rows: Cells.
    """
    head = element("tr", *(element("th", one, scope="col") for one in heads))
    body = [element("tr", element("th", cells[0], scope="row"), *(element("td", cell) for cell in cells[1:])) for cells in rows]
    return wide(label, element("table", element("thead", head), element("tbody", *body)))


def wide(label: str, *content: str) -> Markup:
    """Return a box that scrolls sideways, so that the page does not; keys scroll it too."""
    return element("div", *content, class_="wide", tabindex=0, role="region", aria_label=label)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return names and what they stand for; a pair without the second is left out."""
    return element("dl", *(element("div", element("dt", what), element("dd", value)) for what, value in pairs if value))


def listed(items: Iterable[str], kind: str | None = None) -> Markup:
    """Return a list; nothing where there are no items."""
    found = [element("li", item) for item in items]
    return element("ul", *found, class_=kind) if found else Markup("")


def folded(summary: str, *content: str, shown: bool = False) -> Markup:
    """Return what opens when its summary is clicked.

    Args:
        summary: Always shown.
        content: Shown when it is open.
        shown: Whether it is open at first.
    """
    return element("details", element("summary", summary), *content, open="" if shown else None)
