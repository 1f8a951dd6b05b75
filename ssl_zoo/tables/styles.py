"""How methods are drawn: each in a colour and a marker of its own, the same in every picture and page.

Variants of one method share both and differ in the line. The colours stay apart in dichromatic vision (Machado et al.
2009), and on white as on black; the markers tell methods apart without any colour.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

COLORS = ("#666666", "#e69f00", "#009e73", "#0072b2", "#bc470b", "#ff81bd", "#6dbbf7", "#671599")
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "P")  # as matplotlib calls them
LINES = ("-", "--", ":", "-.")
KNOWN = (  # a new one stands at the end, so that the others keep their look
    *("supervised", "pimodel", "tempens", "meanteacher", "labelspreading", "selftraining", "probe", "finetune"),
    *("fixmatch", "flexmatch", "freematch", "softmatch", "adamatch", "mixmatch", "remixmatch", "uda"),
    *("pseudolabel", "vat", "ict", "defixmatch", "dash", "comatch", "simmatch"),
)


class Style(NamedTuple):
    """Of one curve."""

    color: str
    marker: str
    line: str

    @property
    def level(self) -> "Style":
        """The same of a method that has one value and no curve: dashed, so that it is not taken for one."""
        return self._replace(line=LINES[(LINES.index(self.line) + 1) % len(LINES)])


def styles_of(called: Mapping[str, str]) -> dict[str, Style]:
    """Return a style for each method or variant of one.

    A method's colour and marker follow from its name alone. Only where two methods that this package does not know
    would look alike, the later one by name takes the next look that is free.

    Args:
        called: The registered name of each method, by what it or its variant is called, in the order of a table.
    """
    looks = _looks(called.values())
    count: dict[str, int] = {}
    styles = {}
    for name, method in called.items():
        variant = count[method] = count.get(method, -1) + 1
        color, marker = looks[method]
        styles[name] = Style(_lighter(color, variant // len(LINES)), marker, LINES[variant % len(LINES)])
    return styles


def _looks(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each method: pairs of their own for known ones, in turn, and other pairs for others."""
    count = len(COLORS)  # as many as there are markers, which are one further in each round of colours
    looks = {name: (COLORS[k % count], MARKERS[(k + k // count) % count]) for k, name in enumerate(KNOWN)}
    pairs = [(color, marker) for color in COLORS for marker in MARKERS if (color, marker) not in looks.values()]
    for method in sorted({*methods} - {*KNOWN}):
        first = zlib.crc32(method.encode(errors="backslashreplace")) % len(pairs)
        turns = [*pairs[first:], *pairs[:first]]
        looks[method] = next((pair for pair in turns if pair not in looks.values()), pairs[first])
    return looks


def _lighter(color: str, times: int) -> str:
    """A colour half-way to white, so many times, but never white."""
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return f"#{''.join(f'{round(255 - (255 - part) * 0.55 ** min(times, 2)):02x}' for part in parts)}"
