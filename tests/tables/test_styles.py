"""One look for each method, wherever it is drawn, that nobody takes for another's."""

import itertools

import numpy as np
import pytest

from ssl_zoo import ALGORITHMS
from ssl_zoo.tables.styles import COLORS, KNOWN, LINES, MARKERS, styles_of

# Machado, Oliveira & Fernandes 2009: how linear sRGB looks to who lacks one kind of cones
SEEN = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    parts = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear sRGB, in which a distance of 2.3 can just be seen."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_distance_is_that_of_cielab():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.02) and lab(linear("#000000")) == pytest.approx([0, 0, 0])
    assert lab(linear("#ff0000")) == pytest.approx([53.2, 80.1, 67.2], abs=0.1)


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_are_apart_for_all_eyes(eyes):
    apart = {
        pair: np.linalg.norm(np.subtract(*(lab(SEEN[eyes] @ linear(color)) for color in pair)))
        for pair in itertools.combinations(COLORS, 2)
    }
    assert min(apart.values()) > 15, min(apart, key=apart.get)


def test_colours_are_seen_on_white_and_on_black():
    for color in COLORS:
        bright = linear(color) @ XYZ[1]
        assert 1.05 / (bright + 0.05) > 2 and (bright + 0.05) / 0.05 > 2


def look(*methods):
    return styles_of({method: method for method in methods})


def test_every_method_of_ours_has_a_look_of_its_own():
    styles = look(*KNOWN)
    assert {style.color for style in styles.values()} == {*COLORS} and {style.marker for style in styles.values()} == {*MARKERS}
    assert len({style[:2] for style in styles.values()}) == len(KNOWN)
    ours = [name for name in ALGORITHMS.names() if ALGORITHMS.resolve(name).origin == "ssl_zoo"]
    assert {*ours} <= {*KNOWN}, "give it a place in KNOWN"


def test_a_look_does_not_depend_on_what_else_is_there():
    alone = {name: look(name)[name] for name in (*KNOWN, "mine", "yours")}
    together = look("yours", *reversed(KNOWN), "mine")
    assert together == alone and len({style[:2] for style in together.values()}) == len(together)


def test_names_that_would_look_alike_are_told_apart():
    many = look(*(f"method-{k}" for k in range(40)))
    assert len({style[:2] for style in many.values()}) == 40


def test_variants_share_the_look_and_differ_in_line_or_shade():
    called = {f"meanteacher, weight {k}": "meanteacher" for k in range(8)} | {"supervised": "supervised"}
    styles = styles_of(called)
    mine = [style for name, style in styles.items() if name != "supervised"]
    assert len({*mine}) == 8 and {style.marker for style in mine} == {look("meanteacher")["meanteacher"].marker}
    assert [style.line for style in mine] == [*LINES, *LINES] and len({style.color for style in mine}) == 2
    assert mine[0] == look("meanteacher")["meanteacher"] and styles["supervised"].line == "-"


def test_what_has_one_value_is_dashed_and_its_variants_are_told_apart():
    styles = [*styles_of({f"probe, size {k}": "probe" for k in range(4)}).values()]
    assert styles[0].level == styles[0]._replace(line="--") and len({style.level for style in styles}) == 4
