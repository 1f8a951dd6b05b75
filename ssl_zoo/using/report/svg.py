"""Charts as SVG, to stand in a page: lines against steps, and a reliability diagram.

Each has a title and a description in words, for those who do not see it. Colours are the page's, so that it decides
what is right in the dark and in print.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ssl_zoo.pages.markup import Markup, element, joined, listed, name, percent

WIDE, HIGH = 360, 230  # of a chart; on a phone one unit is about one pixel
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 8, 34  # margins
MOST = 240  # points of a line: more than the screen shows
DASHES = (None, "7 3", "2 3", "9 3 2 3", "4 2", "1 3")  # of lines, by which they are told apart without colour
LEAST = 10.0  # percent that an axis of shares spans, at least
DOTTED = 12  # points, up to which each is marked


class Series(NamedTuple):
    """A line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]  # by step


class Bin(NamedTuple):
    """The images of one range of confidence."""

    low: float
    high: float
    images: int
    confidence: float  # mean, of 1
    right: float  # share of 1


class Frame(NamedTuple):
    """Where values are in a chart."""

    low: tuple[float, float]
    high: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a value."""
        across, up = ((v - a) / ((b - a) or 1) for v, a, b in zip((x, y), self.low, self.high, strict=True))
        return LEFT + across * (WIDE - LEFT - RIGHT), HIGH - BOTTOM - up * (HIGH - TOP - BOTTOM)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from at most `low` to at least `high`, at most so many steps apart."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    size = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power * most >= span * (1 - 1e-9))
    first = math.floor(low / size + 1e-9)
    count = max(1, math.ceil((high - first * size) / size - 1e-9))
    return [(first + k) * size for k in range(count + 1)]


def short(value: float) -> str:
    """Return a number as an axis shows it: 1.5M, 20k, 0.25."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (letter == "M" and abs(value) >= size):
            return f"{value / size:.4g}{letter}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def thinned(points: Sequence[tuple[float, float]], most: int = MOST) -> list[tuple[float, float]]:
    """Return at most so many points: the first and the last, and the means of what is between."""
    if len(points) <= most:
        return list(points)
    inner, parts = points[1:-1], most - 2
    cut = [inner[len(inner) * k // parts : len(inner) * (k + 1) // parts] for k in range(parts)]
    means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in cut]
    return [points[0], *means, points[-1]]


def line_chart(key: str, title: str, series: Sequence[Series], shares: bool = False) -> Markup:
    """Return lines with their names below, or nothing where no line has a point.

    Args:
        key: Of its elements' ids, which are its own on the page.
        title: What it shows.
        series: At most six lines; the order gives colour and dashes, also to those after one without a point.
        shares: Whether the values are in percent, from 0 to 100.
    """
    shown = [(place, line._replace(points=thinned(line.points))) for place, line in enumerate(series) if line.points]
    if not shown:
        return Markup("")
    xs, ys = ([point[k] for _, line in shown for point in line.points] for k in (0, 1))
    up = ticks(*(_span(ys) if shares else (min(ys), max(ys))))
    unit = " %" if shares else ""
    along = ticks(0, max(xs))
    frame = Frame((0, up[0]), (max(xs), up[-1]))
    said = "; ".join(
        f"{line.name}: {_value(line.points[0][1], unit)} at {line.points[0][0]:,.0f}"
        + (f", {_value(line.points[-1][1], unit)} at {line.points[-1][0]:,.0f}" if len(line.points) > 1 else "")
        for _, line in shown
    )
    drawn = joined(*(_line(frame, place, line) for place, line in shown))
    axes = _axes(frame, [x for x in along if x <= max(xs)], up, "steps", unit.strip())
    keys = listed((joined(_sample(place), name(line.name, 48)) for place, line in shown), kind="key")
    caption = element("figcaption", title)
    return element("figure", caption, drawing(key, title, f"By steps. {said}", axes, drawn), keys, class_="chart")


def _span(percents: Sequence[float]) -> tuple[float, float]:
    """Of an axis: all that there is, and at least so much that what is nearly alike looks so."""
    low, high = min(percents), max(percents)
    more = max(0.0, LEAST - (high - low))
    high = min(100.0, high + more / 2)
    low = max(0.0, min(low, high - LEAST))
    return low, max(high, low + LEAST) if more else high


def drawing(key: str, title: str, said: str, *content: str, height: int = HIGH) -> Markup:
    """Return an SVG with its title and description."""
    head = element("title", title, id=f"{key}-title"), element("desc", said, id=f"{key}-desc")
    box = f"0 0 {WIDE} {height}"
    return element("svg", *head, *content, viewBox=box, role="img", aria_labelledby=f"{key}-title {key}-desc")


def _value(value: float, unit: str) -> str:
    return f"{value:.3g}{unit}"


def _colour(place: int) -> str:
    return f"var(--c{place % len(DASHES) + 1})"


def _line(frame: Frame, place: int, line: Series) -> Markup:
    at = [frame.at(*point) for point in line.points]
    style = {"fill": "none", "stroke": _colour(place), "stroke_width": 2, "stroke_dasharray": DASHES[place % len(DASHES)]}
    drawn = element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in at), stroke_linejoin="round", **style)
    dots = at if len(at) <= DOTTED else at[-1:]
    return joined(drawn, *(element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.6, fill=_colour(place)) for x, y in dots))


def _sample(place: int) -> Markup:
    """A piece of a line, for its name."""
    dashes = DASHES[place % len(DASHES)]
    line = element("line", x1=0, x2=36, y1=5, y2=5, stroke=_colour(place), stroke_width=3, stroke_dasharray=dashes)
    return element("svg", line, viewBox="0 0 36 10", aria_hidden="true")


def _axes(frame: Frame, along: Sequence[float], up: Sequence[float], across: str, unit: str) -> Markup:
    """Grid lines with their values, and what is counted along the bottom."""
    parts = []
    for value in up:
        x, y = frame.at(frame.low[0], value)
        parts.append(element("line", x1=f"{x:.1f}", x2=WIDE - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", stroke="var(--line)"))
        shown = short(value) + (f" {unit}" if unit and value == up[-1] else "")
        parts.append(element("text", shown, x=LEFT - 5, y=f"{y + 4:.1f}", text_anchor="end"))
    for value in along:
        x, y = frame.at(value, frame.low[1])
        parts.append(element("text", short(value), x=f"{x:.1f}", y=f"{y + 14:.1f}", text_anchor="middle"))
    middle = (LEFT + WIDE - RIGHT) / 2
    parts.append(element("text", across, x=f"{middle:.1f}", y=HIGH - 4, text_anchor="middle"))
    return joined(*parts)


def reliability_chart(key: str, bins: Sequence[Bin]) -> Markup:
    """Return how often a net is right at each confidence, beside how often it should be, and of how many images."""
    title = "How often it is right, by its confidence"
    frame, most = Frame((0, 0), (1, 1)), max((part.images for part in bins), default=1)
    parts = [_axes(frame, [0, 0.25, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.75, 1], "", "")]
    for part in bins:
        if not part.images:
            continue
        (left, top), (right, bottom) = frame.at(part.low, part.right), frame.at(part.high, 0)
        box = {"x": f"{left + 1:.1f}", "width": f"{right - left - 2:.1f}"}
        drawn = {"y": f"{top:.1f}", "height": f"{bottom - top:.1f}", "fill": "var(--c1)", "fill_opacity": 0.75}
        counted = 22 * part.images / most
        below = {"y": f"{HIGH + 34 - counted:.1f}", "height": f"{counted:.1f}", "fill": "var(--c6)"}
        x, y = frame.at(part.confidence, part.confidence)
        parts += [element("rect", **box, **drawn), element("rect", **box, **below)]
        parts.append(
            element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.5, fill="var(--paper)", stroke="var(--c2)", stroke_width=2)
        )
    (x1, y1), (x2, y2) = frame.at(0, 0), frame.at(1, 1)
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    parts.append(element("line", **ends, stroke="var(--c2)", stroke_width=1.5, stroke_dasharray="5 4"))
    parts.append(element("text", "confidence", x=(LEFT + WIDE - RIGHT) / 2, y=HIGH - 4, text_anchor="middle"))
    parts.append(element("text", "images", x=0, y=HIGH + 34))
    said = "; ".join(
        f"{part.low:.2f} to {part.high:.2f}: {percent(part.right)} of {part.images:,} right, mean confidence "
        f"{percent(part.confidence)}"
        for part in bins
        if part.images
    )
    keys = element(
        "p",
        "Bars: the share that is right. Dots on the dashed line: the mean confidence there. A bar below its dot is a net too "
        "sure of itself. The small bars: how many images.",
        class_="soft",
    )
    caption = element("figcaption", title)
    return element("figure", caption, drawing(key, title, said, *parts, height=HIGH + 40), keys, class_="chart")
