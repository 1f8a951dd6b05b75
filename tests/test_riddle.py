"""RIDDLE.md says nothing that its rows do not say."""

import re
from pathlib import Path

import pytest
import yaml

from benchmarks import ladder, table

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "benchmarks/RIDDLE.md").read_text()
ROWS = ROOT / "benchmarks/results/ladder-digits.jsonl"
PROSE = TEXT.partition("<!-- table")[0]
GAIN = re.compile(r"([SA][\w.-]*) over ([SA]\d+): ([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\), n = (\d+)")


@pytest.fixture(scope="module")
def rungs():
    kept, lines = ladder.sound(ladder.read_rows(ROWS))
    assert lines == []
    return kept


def test_the_tables_are_made_from_the_rows(rungs):
    assert table.insert(TEXT, "benchmarks/results/ladder-digits.jsonl", ladder.markdown(rungs)) == TEXT
    assert (ROOT / "benchmarks/results/ladder-digits.png").exists()


def test_the_rows_are_those_that_the_text_says(rungs):
    assert {len(rows) for name, rows in rungs.items() if name in ("S0", "A0", "A1", "A2")} == {10}
    assert {len(rows) for name, rows in rungs.items() if name not in ("S0", "A0", "A1", "A2")} == {5}
    assert list(rungs) == list(ladder.read_ladder("digits"))


def test_every_gain_in_the_text_is_that_of_its_rows(rungs):
    claims = GAIN.findall(PROSE)
    assert len(claims) == PROSE.count(", n = ") >= 15
    for one, other, *numbers in claims:
        found = ladder.shown(table.difference(rungs[one], rungs[other]))
        assert found == f"{numbers[0]} ({numbers[1]} to {numbers[2]}), n = {numbers[3]}", (one, other)


def test_what_is_said_to_be_shown_has_an_interval_without_zero():
    """And what is said not to be shown, one with it."""
    shown, _, rest = PROSE.partition("Not shown to matter")
    not_shown = rest.partition("\n\n")[0]
    for *_, low, high, _ in GAIN.findall(not_shown):
        assert float(low) <= 0 <= float(high)
    assert len(GAIN.findall(not_shown)) >= 3
    for one, other, _, low, high, _ in GAIN.findall(shown):
        assert float(low) > 0 or float(high) < 0, (one, other)


def test_every_measurement_in_the_text_is_in_the_table(rungs):
    made = ladder.markdown(rungs)
    quoted = re.findall(r"`((?:[\d.]+, ){3}[\d.]+)`", PROSE)
    assert len(quoted) == 6 and all(f"| {numbers} |" in made for numbers in quoted)


def test_the_published_numbers_are_in_their_file():
    known = {
        (e["algorithm"], e["net"], str(e["error_mean"]), e.get("metric", "not said"), e["source"])
        for e in yaml.safe_load((ROOT / "benchmarks/published.yaml").read_text())
        if e["dataset"] == "cifar10" and e["labels"] == 4000 and e["verified"] and e.get("usable", True)
    }
    lines = re.findall(r"^\| (supervised|meanteacher) \| (\S+) \| ([\d.]+) \| (.*) \| (.*) \|$", PROSE, re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        assert line in known or (line[4] == "the tutorial itself" and any(line[:3] == entry[:3] for entry in known)), line
