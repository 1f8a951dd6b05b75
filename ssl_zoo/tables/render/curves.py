"""Learning curves as SVG, to stand in a page."""

import html
import math
from collections.abc import Callable, Mapping, Sequence

from ssl_zoo.tables.table import Table

At = Callable[[float, float], str]  # step and percent -> place in the picture


def figure(table: Table, labels: str, colors: Mapping[str, str]) -> str:
    """Return the learning curves of every method at one number of labels.

    The mean with a band of one standard deviation.
    """
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

    axes = "".join(_grid_line(at, value) for value in range(low, high + 1, unit))
    axes += "".join(f'<text x="{45 + 160 * k}" y="280" text-anchor="middle">{last * k // 4}</text>' for k in range(5))
    drawn = "".join(_curve(at, method, curve, colors[method]) for method, curve in curves.items())
    keys = "".join(
        f'<span class="line"><i style="background:{colors[method]}"></i>{html.escape(method)}</span>' for method in curves
    )
    what = f"Test accuracy in percent against step, {labels} labels"
    return (
        f"<figure><figcaption>{html.escape(what)}</figcaption>"
        f'<svg viewBox="0 0 700 290" role="img" aria-label="{html.escape(what)}">'
        f"{axes}{drawn}</svg><div>{keys}</div></figure>"
    )


def _curve(at: At, method: str, curve: Sequence[tuple[int, float, float]], color: str) -> str:
    band = [at(s, m + d) for s, m, d in curve] + [at(s, m - d) for s, m, d in reversed(curve)]
    line = " ".join(at(s, m) for s, m, _ in curve)
    drawn = f'<polygon points="{" ".join(band)}" fill="{color}" opacity=".15"/>'
    drawn += (
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"><title>{html.escape(method)}</title></polyline>'
    )
    if len(curve) < 10:  # a line through few points hides where they are, and through one it is none
        dots = (at(s, m).split(",") for s, m, _ in curve)
        drawn += "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in dots)
    return drawn


def _grid_line(at: At, value: float) -> str:
    y = at(0, value).split(",")[1]
    line = f'<line x1="45" x2="685" y1="{y}" y2="{y}" stroke="currentColor" opacity=".2"/>'
    return f'{line}<text x="38" y="{float(y) + 4:.1f}" text-anchor="end">{value:.0f}</text>'
