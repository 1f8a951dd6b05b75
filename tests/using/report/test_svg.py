"""Charts: values are where they belong, and are said in words."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ssl_zoo.train.evaluate import calibration_error
from ssl_zoo.using.report import svg
from ssl_zoo.using.report.evidence import Looked
from ssl_zoo.using.report.parts import bins_of, expected_error
from ssl_zoo.using.report.svg import Bin, Series, line_chart, reliability_chart, short, thinned, ticks


def parsed(chart):
    return ElementTree.fromstring(chart.replace("&nbsp;", " "))


def test_ticks_are_round_and_cover_what_is_shown():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1]) and ticks(81.2, 83) == pytest.approx([81, 81.5, 82, 82.5, 83])
    assert ticks(0, 0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1][: len(ticks(0, 0))]) and ticks(0, 600) == [0, 200, 400, 600]
    for low, high in ((0, 1e-9), (-3, 7), (99.99, 100), (0, 1048576), (5, 5)):
        found = ticks(low, high)
        assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-9 * abs(high) and 2 <= len(found) <= 8


def test_numbers_of_an_axis():
    assert [short(x) for x in (0, 0.25, 83, 1200, 20_000, 2_500_000)] == ["0", "0.25", "83", "1,200", "20k", "2.5M"]


def test_a_long_line_keeps_its_ends_and_its_mean():
    points = [(float(x), float(x % 7)) for x in range(10_001)]
    found = thinned(points)
    assert len(found) == svg.MOST and found[0] == points[0] and found[-1] == points[-1]
    assert np.mean([y for _, y in found]) == pytest.approx(np.mean([y for _, y in points]), abs=0.05)
    assert thinned(points[:5]) == points[:5]


def test_points_are_where_their_values_are():
    chart = parsed(line_chart("k", "Loss", [Series("one", [(0, 0.0), (50, 1.0), (100, 0.5)]), Series("two", [(100, 0.25)])]))
    lines = chart.findall(".//polyline")
    assert len(lines) == 2
    (left, bottom), (middle, top), (right, half) = (map(float, at.split(",")) for at in lines[0].get("points").split())
    assert (left, right, top, bottom) == (svg.LEFT, svg.WIDE - svg.RIGHT, svg.TOP, svg.HIGH - svg.BOTTOM)
    assert middle == (left + right) / 2 and half == (top + bottom) / 2
    assert len({line.get("stroke-dasharray") for line in lines}) == len({line.get("stroke") for line in lines}) == 2
    assert line_chart("k", "none", [Series("one", [])]) == ""


def test_a_line_has_the_colour_of_its_place_though_those_before_it_have_no_points():
    """So that a method has one colour in all charts of a page."""
    one, other, absent = Series("one", [(0, 1.0), (1, 2.0)]), Series("other", [(0, 2.0), (1, 3.0)]), Series("absent", [])
    both, alone = (parsed(line_chart("k", "Loss", lines)) for lines in ([one, other], [absent, other]))
    mine, only = both.findall(".//polyline")[1], alone.find(".//polyline")
    assert (mine.get("stroke"), mine.get("stroke-dasharray")) == (only.get("stroke"), only.get("stroke-dasharray"))
    (key,) = alone.findall(".//ul/li")
    assert key.find(".//line").get("stroke") == only.get("stroke") and "absent" not in ElementTree.tostring(alone, "unicode")


def test_a_chart_says_what_it_shows():
    chart = parsed(line_chart("k", "A <title>", [Series("<b>", [(1, 10.0), (9, 80.5)])], shares=True))
    drawing = chart.find("svg")
    assert drawing.get("role") == "img" and drawing.get("aria-labelledby") == "k-title k-desc"
    assert drawing.find("title").text == "A <title>" and "<b>: 10 % at 1, 80.5 % at 9" in drawing.find("desc").text
    assert drawing.find("title").get("id") == "k-title" and drawing.find("desc").get("id") == "k-desc"


def test_what_is_nearly_alike_looks_so():
    """An axis of shares spans ten points at least, and no more than there are."""
    for values in ((99.1, 99.2), (0.1, 0.2), (50.0, 50.0)):
        chart = parsed(line_chart("k", "t", [Series("s", [*enumerate(values, start=1)])], shares=True))
        shown = [text.text.removesuffix(" %") for text in chart.findall(".//text") if text.get("text-anchor") == "end"]
        low, high = float(shown[0]), float(shown[-1])
        assert high - low >= 10 and low >= 0 and high <= 100 and low <= min(values) and high >= max(values)


def looked(probabilities, labels):
    probabilities, labels = np.array(probabilities, np.float32), np.array(labels)
    predicted, n = probabilities.argmax(axis=1), len(labels)
    return Looked(
        labels,
        predicted,
        probabilities.max(axis=1),
        probabilities[np.arange(n), labels],
        probabilities,
        (),
        lambda i: np.zeros((8, 8, 1), np.uint8),
        np.zeros(n, bool),
    )


def test_the_calibration_error_is_that_of_the_score():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4) / 2, 500)
    labels = rng.integers(0, 4, 500)
    bins = bins_of(looked(p, labels))
    assert expected_error(bins) == pytest.approx(calibration_error(p.astype(np.float32), labels), abs=1e-6)
    assert len(bins) == 15 and sum(one.images for one in bins) == 500


def test_the_reliability_of_four_images():
    bins = bins_of(looked([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [1.0, 0.0]], [0, 1, 1, 0]))
    filled = {k: one for k, one in enumerate(bins) if one.images}
    assert {k: (one.images, one.right) for k, one in filled.items()} == {12: (1, 1.0), 13: (2, 0.5), 14: (1, 1.0)}
    assert expected_error(bins) == pytest.approx((0.2 + 2 * 0.4) / 4)
    chart = parsed(reliability_chart("r", bins))
    bars = [bar for bar in chart.findall(".//rect") if bar.get("fill") == "var(--c1)"]
    assert [float(bar.get("height")) for bar in bars] == [188, 94, 188]
    assert "0.87 to 0.93: 50.0 % of 2 right, mean confidence 90.0 %" in chart.find("svg/desc").text
    assert reliability_chart("r", [Bin(0, 1, 0, 0, 0)])
