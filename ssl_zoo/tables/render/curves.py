"""Learning curves as SVG, to stand in a page."""

import html
import math
from collections.abc import Callable, Mapping, Sequence

from ssl_zoo.tables.styles import Style
from ssl_zoo.tables.table import Table

MARKS = 10  # of a curve, about
DASHES = {"-": "", "--": "8 4", ":": "2 4", "-.": "8 4 2 4"}
_ARM = 0.35  # half the width of a plus
SHAPES = {  # of markers, as polygons around 0 of a size of about 1
    "s": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "D": ((0, -1.1), (1.1, 0), (0, 1.1), (-1.1, 0)),
    "^": ((0, -1), (1, 0.8), (-1, 0.8)),
    "v": ((0, 1), (1, -0.8), (-1, -0.8)),
    "<": ((-1, 0), (0.8, 1), (0.8, -1)),
    ">": ((1, 0), (-0.8, 1), (-0.8, -1)),
    "P": (
        *((-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM)),
        *((_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)),
    ),
}
At = Callable[[float, float], str]  # step and percent -> place in the picture


def figure(table: Table, labels: str, styles: Mapping[str, Style]) -> str:
    """Return the learning curves of every method at one number of labels; nothing where no method has steps.

    The mean with a band of one standard deviation. A method without steps is a level dashed line without a band.
    """
    curves = {method: cells[labels].curve for method, cells in table.cells.items() if labels in cells}
    last = max((step for curve in curves.values() for step, *_ in curve), default=0)
    if not last:
        return ""
    for method in [method for method in curves if not table.cells[method][labels].steps]:
        curves[method] = [(step, mean, 0.0) for _, mean, _ in curves[method][-1:] for step in (0, last)]
        styles = {**styles, method: styles[method].level}
    points = [point for curve in curves.values() for point in curve]
    low, high = max(0.0, min(m - d for _, m, d in points)), min(100.0, max(m + d for _, m, d in points))
    unit = next(size for size in (1, 2, 5, 10, 20, 25) if high - low <= 5 * size)
    low, high = unit * math.floor(low / unit), max(unit * math.ceil(high / unit), unit * math.floor(low / unit) + unit)
    last = max(step for step, *_ in points)

    def at(step: float, value: float) -> str:
        return f"{45 + 640 * step / last:.1f},{260 - 240 * (value - low) / max(high - low, 1e-9):.1f}"

    axes = "".join(_grid_line(at, value) for value in range(low, high + 1, unit))
    axes += "".join(f'<text x="{45 + 160 * k}" y="280" text-anchor="middle">{last * k // 4}</text>' for k in range(5))
    drawn = "".join(_curve(at, method, curve, styles[method]) for method, curve in curves.items())
    keys = "".join(f'<span class="line">{_key(styles[method])}{html.escape(method)}</span>' for method in curves)
    what = f"Test accuracy in percent against step, {labels} labels"
    return (
        f"<figure><figcaption>{html.escape(what)}</figcaption>"
        f'<svg viewBox="0 0 700 290" role="img" aria-label="{html.escape(what)}">'
        f"{axes}{drawn}</svg><div>{keys}</div></figure>"
    )


def _curve(at: At, method: str, curve: Sequence[tuple[int, float, float]], style: Style) -> str:
    color = style.color
    band = [at(s, m + d) for s, m, d in curve] + [at(s, m - d) for s, m, d in reversed(curve)]
    places = [at(s, m) for s, m, _ in curve]
    drawn = f'<polygon points="{" ".join(band)}" fill="{color}" opacity=".15"/>'
    drawn += f"{_line(places, style)}<title>{html.escape(method)}</title></polyline>"
    return drawn + "".join(_mark(place, style) for place in places[:: -(-len(places) // MARKS)])


def _line(places: Sequence[str], style: Style) -> str:
    """A line, without its end."""
    dashes = f' stroke-dasharray="{DASHES[style.line]}"' if DASHES[style.line] else ""
    return f'<polyline points="{" ".join(places)}" fill="none" stroke="{style.color}" stroke-width="2"{dashes}>'


def _mark(place: str, style: Style) -> str:
    """A marker at a place."""
    x, y = map(float, place.split(","))
    if style.marker == "o":
        return f'<circle cx="{x}" cy="{y}" r="3.5" fill="{style.color}"/>'
    points = " ".join(f"{x + 4 * across:.1f},{y + 4 * down:.1f}" for across, down in SHAPES[style.marker])
    return f'<polygon points="{points}" fill="{style.color}"/>'


def _key(style: Style) -> str:
    """A piece of a curve, for the names below."""
    drawn = f"{_line(('0,6', '36,6'), style)}</polyline>{_mark('18,6', style)}"
    return f'<svg viewBox="0 0 36 12" aria-hidden="true">{drawn}</svg>'


def _grid_line(at: At, value: float) -> str:
    y = at(0, value).split(",")[1]
    line = f'<line x1="45" x2="685" y1="{y}" y2="{y}" stroke="currentColor" opacity=".2"/>'
    return f'{line}<text x="38" y="{float(y) + 4:.1f}" text-anchor="end">{value:.0f}</text>'
