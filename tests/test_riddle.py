"""docs/riddle.md says nothing that its rows do not say."""

import re
import statistics
from pathlib import Path

import pytest
import yaml

from ssl_zoo.ladders import read_ladder
from ssl_zoo.tables import ladder
from ssl_zoo.tables.cells import difference
from ssl_zoo.tables.documents import insert

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/riddle.md").read_text()
ROWS = ROOT / "benchmarks/results/ladder-digits.jsonl"
JPEG = ROOT / "benchmarks/results/ladder-cifar10-jpeg.jsonl"
PROSE = TEXT.partition("<!-- table")[0]
GAIN = re.compile(r"([SA][\w.-]*) over ([SA][\w.-]*): ([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\), n = (\d+)")


@pytest.fixture(scope="module")
def found():
    made = ladder.sound(ladder.read_rows(ROWS))
    assert made.lines == []
    return made


@pytest.fixture(scope="module")
def rungs(found):
    return found.rungs


def test_the_tables_are_made_from_the_rows(found):
    assert insert(TEXT, "benchmarks/results/ladder-digits.jsonl", ladder.markdown(found)) == TEXT
    assert (ROOT / "benchmarks/results/ladder-digits.png").exists()


def test_the_rows_are_those_that_the_text_says(found):
    counts = {name: len(rows) + len(found.lost[name]) for name, rows in found.rungs.items()}
    assert counts == {name: 10 if name in ("S0", "A0", "A1", "A2") else 5 for name in read_ladder("digits")}
    assert len({row["source"] for rows in (*found.rungs.values(), *found.lost.values()) for row in rows}) == 1


def test_the_table_of_weights(found):
    """Accuracy on the splits that all of them have, or how many runs diverged."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PROSE.splitlines() if line.startswith("|")]
    (head,) = [row for row in rows if row[0] == "weight"]
    lines = [row for row in rows if row[0] in ("logits", "KL divergence", "probabilities")]
    assert len(lines) == 3
    special = {("logits", 1): "A0", ("probabilities", 1): "A1", ("probabilities", 100): "A2"}
    short = {"logits": "-logits", "KL divergence": "-kl", "probabilities": ""}
    shown = set()
    for space, *cells in lines:
        for weight, cell in zip(map(float, head[1:]), cells, strict=True):
            name = special.get((space, weight), f"A2{short[space]}-{weight:g}")
            if not cell:
                assert name not in found.rungs
                continue
            shown.add(name)
            lost = found.lost[name]
            scores = [100 * row["accuracy"] for row in found.rungs[name] if row["seed"] < 5]
            each = ", ".join(f"{score:.1f}" for score in sorted(scores))  # where a mean would hide that some collapsed
            wanted = each if min(scores, default=100) < 50 else f"{statistics.mean(scores):.1f}" if scores else ""
            assert cell == "; ".join(filter(None, [f"{len(lost)} diverged" if lost else "", wanted])), name
            assert len(lost) + len(scores) == 5
    assert shown == {"A0", "A1", *(name for name in found.rungs if name.startswith("A2"))}


def test_every_gain_in_the_text_is_that_of_its_rows(rungs):
    claims = GAIN.findall(PROSE)
    assert len(claims) == PROSE.count(", n = ") >= 15
    for one, other, *numbers in claims:
        found = ladder.shown(difference(rungs[one], rungs[other]))
        assert found == f"{numbers[0]} ({numbers[1]} to {numbers[2]}), n = {numbers[3]}", (one, other)


def test_what_is_said_to_be_shown_has_an_interval_without_zero():
    """And what is said not to be shown, one with it."""
    counted = {True: 0, False: 0}
    for part in re.split(r"\n\n|\n(?=- )", PROSE):
        shown = "not shown" not in part.casefold()
        for one, other, _, low, high, _ in GAIN.findall(part):
            assert (float(low) > 0 or float(high) < 0) == shown, (one, other)
            counted[shown] += 1
    assert counted[True] >= 15 and counted[False] >= 10


def test_student_and_teacher_are_as_close_as_the_text_says(rungs):
    """In the mean of every rung that has one."""
    for name, rows in rungs.items():
        collapsed = any(row["accuracy"] < 0.5 for row in rows)
        assert not rows or collapsed or abs(statistics.mean(row["accuracy"] - row["accuracy_student"] for row in rows)) < 0.01, (
            name
        )


def test_every_measurement_in_the_text_is_in_the_table(found):
    made = ladder.markdown(found)
    quoted = re.findall(r"`((?:[\d.]+, ){3}[\d.]+)`", PROSE)
    assert len(quoted) == 8 and all(f"| {numbers} |" in made for numbers in quoted)


def test_the_published_numbers_are_in_their_file():
    known = {
        (e["algorithm"], e["net"], str(e["error_mean"]), e.get("metric", "not said"), e["source"])
        for e in yaml.safe_load((ROOT / "ssl_zoo/tables/published.yaml").read_text())
        if e["dataset"] == "cifar10" and e["labels"] == 4000 and e["verified"] and e.get("usable", True)
    }
    lines = re.findall(r"^\| (supervised|meanteacher) \| (\S+) \| ([\d.]+) \| (.*) \| (.*) \|$", PROSE, re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        assert line in known or (line[4] == "the tutorial itself" and any(line[:3] == entry[:3] for entry in known)), line


def test_the_short_runs_on_cifar10_are_those_of_their_rows():
    found = ladder.sound(ladder.read_rows(JPEG))
    assert found.lines == [] and {name: len(rows) for name, rows in found.rungs.items()} == {"S0": 2, "A0": 2, "A2": 2}
    assert insert(TEXT, "benchmarks/results/ladder-cifar10-jpeg.jsonl", ladder.markdown(found)) == TEXT
    part = TEXT[TEXT.index("## CIFAR-10 in small") :].partition("<!-- table")[0]
    for name, rows in found.rungs.items():
        each = " | ".join(f"{100 * row['accuracy']:.1f}" for row in sorted(rows, key=lambda row: row["seed"]))
        assert f"| {name} | {each} |" in part
        settings = rows[0]["config"]
        passes = rows[0]["steps"] * settings["batch"]["labeled"] / rows[0]["labels"]
        assert (rows[0]["steps"], rows[0]["net"], f"{passes:.0f}") == (4800, "wrn10_2", "19")
    for name in ("A0", "A2"):
        gain = difference(found.rungs[name], found.rungs["S0"])
        assert gain.low <= 0 <= gain.high, "the text says that it is not shown"
