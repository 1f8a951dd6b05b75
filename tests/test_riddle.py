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
SAID = TEXT.partition("<!-- table")[0]  # all but what is generated as a whole
CLAIM = re.compile(
    r"^\| ([SA][\w.-]*) over ([SA][\w.-]*) \| [^|]+ \| ([+-][\d.]+) \| ([+-][\d.]+) to ([+-][\d.]+) \| (\d+) \| (yes|no) \|$",
    re.MULTILINE,
)
QUOTED = re.compile(r"([+-]\d+\.\d+) points \(([SA][\w.-]*) over ([SA][\w.-]*)\)")


def cells(line):
    """Of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def gain_of(rungs, one, other):
    """A paired difference, and whether it is shown, as the page writes them."""
    found = difference(rungs[one], rungs[other])
    mean, low, high = (f"{number:+.1f}" for number in (found.mean, found.low, found.high))
    return mean, low, high, str(found.n), "yes" if float(low) > 0 or float(high) < 0 else "no"


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
    rows = [cells(line) for line in SAID.splitlines() if line.startswith("|")]
    (head,) = [row for row in rows if row[0] == "weight"]
    lines = [row for row in rows if row[0] in ("logits", "KL divergence", "probabilities")]
    assert len(lines) == 3
    special = {("logits", 1): "A0", ("probabilities", 1): "A1", ("probabilities", 100): "A2"}
    short = {"logits": "-logits", "KL divergence": "-kl", "probabilities": ""}
    shown = set()
    for space, *scores_of in lines:
        for weight, cell in zip(map(float, head[1:]), scores_of, strict=True):
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


def test_every_gain_is_that_of_its_rows(rungs):
    """And is said to be shown where its interval excludes 0, and only there."""
    claims = CLAIM.findall(SAID)
    assert len(claims) == len({claim[:2] for claim in claims}) == 48
    assert len(re.findall(r"[+-]\d[\d.]* to [+-]?\d", SAID)) == len(claims), "no interval stands elsewhere"
    for one, other, *numbers in claims:
        assert gain_of(rungs, one, other) == tuple(numbers), (one, other)
    shown = [claim[-1] for claim in claims]
    assert shown.count("yes") == 23 and shown.count("no") == 25


def test_every_gain_in_a_sentence_is_in_a_table():
    known = {(mean, one, other) for one, other, mean, *_ in CLAIM.findall(SAID)}
    sentences = " ".join(line for line in SAID.splitlines() if not line.startswith("|"))
    assert {*QUOTED.findall(sentences)} <= known
    assert len(re.findall(r"(?<!\w)[+-]\d+\.\d", sentences)) == len(QUOTED.findall(sentences)) == 3, "a gain that says of what"


def test_what_is_not_shown_to_matter_stands_apart():
    (part,) = re.findall(r"^### What is not shown to matter\n(.*?)^###", SAID, re.DOTALL | re.MULTILINE)
    assert {claim[-1] for claim in CLAIM.findall(part)} == {"no"} and len(CLAIM.findall(part)) == 17


def test_what_changed_names_arms_that_were_run(rungs):
    (part,) = re.findall(r"^## What changed since.*?^## ", SAID, re.DOTALL | re.MULTILINE)
    arms = re.findall(r"\| (A0-[a-z]+)(?:, the other way round)? \|$", part, re.MULTILINE)
    assert {*arms} == {name for name in rungs if name.startswith("A0-")} == {one for one, *_ in CLAIM.findall(part)}
    scores = sorted(100 * row["accuracy"] for row in rungs["A2-1000"])
    broken = sorted(100 * row["accuracy"] for row in rungs["A2-3000"])
    said = f"the five runs with weight 1000 end between {scores[0]:.0f} and {scores[-1]:.0f} %, those with 3000 between "
    assert f"{said}{broken[0]:.0f} and {broken[-1]:.0f} %" in " ".join(SAID.split())


def test_student_and_teacher_are_as_close_as_the_text_says(rungs):
    """In the mean of every rung that has one."""
    for name, rows in rungs.items():
        collapsed = any(row["accuracy"] < 0.5 for row in rows)
        assert not rows or collapsed or abs(statistics.mean(row["accuracy"] - row["accuracy_student"] for row in rows)) < 0.01, (
            name
        )


def test_every_measurement_is_that_of_its_rung(found):
    """The page shows a part of the generated table of measurements: some rungs, some columns."""
    made = [cells(line) for line in ladder.markdown(found).partition("| at 10,")[2].splitlines() if line.startswith("|")]
    head = ["rung", *ladder.MEASURED.values()]
    whole = {rung: dict(zip(head, [rung, *numbers], strict=True)) for rung, *numbers in made}
    lines = [cells(line) for line in SAID.splitlines() if line.startswith("|")]
    (start,) = (number for number, line in enumerate(lines) if line[0] == "rung" and line[1] in head)
    shown = [line for line in lines[start + 2 :] if re.match(r"[\d.-]+, ", line[1])]
    assert [line[0] for line in shown] == ["S0", "A0", "A1", "A2", "A2-logits-30", "A10", "A10-logits-1", "A10-logits-50"]
    for line in shown:
        assert line == [whole[line[0]][column] for column in lines[start]]
    assert len(lines[start]) == 4
    quoted = re.findall(r"(?<=[|`] )(?:[\d.]+, ){3}[\d.]+(?= [|`])", SAID)
    assert len(quoted) == 8 * 3 - 1, "none stands elsewhere; labels alone have no consistency gradient"


def test_the_published_numbers_are_in_their_file():
    known = {
        (e["algorithm"], e["net"], str(e["error_mean"]), e.get("metric", "not said"), e["source"])
        for e in yaml.safe_load((ROOT / "ssl_zoo/tables/published.yaml").read_text())
        if e["dataset"] == "cifar10" and e["labels"] == 4000 and e["verified"] and e.get("usable", True)
    }
    lines = re.findall(r"^\| (supervised|meanteacher) \| (\S+) \| ([\d.]+) \| (.*) \| (.*) \|$", SAID, re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        assert line in known or (line[4] == "the tutorial itself" and any(line[:3] == entry[:3] for entry in known)), line


def test_what_one_gpu_ran_is_what_its_rows_say():
    rows = ladder.read_rows(ROOT / "benchmarks/results/gpu/rungs.jsonl")
    part = TEXT[TEXT.index("## CIFAR-10 at a fourteenth") :].partition("<!-- table")[0]
    assert [row["rung"] for row in rows] == ["S0", "A0", "A2", "A10"] and {row["steps"] for row in rows} == {6093}
    assert 82_000 / 14.5 < 6093 < 82_000 / 13
    for row in rows:
        assert f"| {row['rung']} | {100 * row['accuracy']:.1f} | {100 * row['accuracy_student']:.1f} |" in part
    s0, a0, a2, a10 = rows
    assert a10["accuracy"] - max(row["accuracy"] for row in (s0, a0, a2)) > 0.095
    assert a10["accuracy_student"] < max(row["accuracy_student"] for row in (s0, a0, a2))
    assert a10["config"]["batch"]["labeled"] == 4 * a0["config"]["batch"]["labeled"]
    assert ladder.markdown(ladder.sound(rows)).count("| A2 | 37.1, 44.2, 49.3, 52.4 | 0, 0, 0, 0 |") == 1


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
        assert gain.low is None and 0 < gain.mean < 1.5, "the text says that it is not shown, and how much it is"
