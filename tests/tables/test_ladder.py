"""Gains are of pairs, and rows that differ in what all share are left out by name."""

import pytest

from ssl_zoo.tables import ladder
from ssl_zoo.tables.pictures.ladder import draw


def row(rung, seed, accuracy, above=None, source="s", **measured):
    """One of a ladder, with two measurements."""
    points = [{"step": step, **{f"mechanism/{name}": value * step / 10 for name, value in measured.items()}} for step in (1, 10)]
    return {
        "rung": rung,
        "above": above,
        "change": f"change of {rung}",
        "algorithm": "meanteacher",
        "net": "n",
        "dataset": "digits",
        "labels": 20,
        "seed": seed,
        "split_hash": f"h{seed}",
        "data_hash": "d",
        "steps": 10,
        "accuracy": accuracy,
        "accuracy_student": accuracy - 0.01,
        "accuracy_median": accuracy - 0.02,
        "accuracy_median_of": 3,
        "confusion": [[50]],
        "device": "a processor",
        "precision": "fp32",
        "versions": {"ssl_zoo": "1", "torch": "2", "python": "3"},
        "commit": "0123456789abcdef",
        "source": source,
        "seconds": 12.0,
        "config": {"algorithms": {}, "steps": 10},
        "mechanism": points,
    }


def test_the_tables():
    rows = [row("S0", 0, 0.7), row("S0", 1, 0.6), row("A0", 0, 0.8, confidence=0.9), row("A0", 1, 0.7, confidence=0.7)]
    rows += [row("A1", 1, 0.75, "A0"), row("A1", 0, 0.83, "A0"), row("A1", 2, 0.1, "A0")]
    found = ladder.sound(rows)
    made = ladder.markdown(found).splitlines()
    assert found.lines == []
    assert "| S0 | change of S0 | 2 | 65.0 ± 7.1 | 64.0 ± 7.1 | 63.0 ± 7.1 |  |  | -10.0, n = 2 |" in made
    # pairs: 83 - 80 and 75 - 70 points; two have no interval, and seed 2 has no partner
    assert any(line.startswith("| A1 |") and "| A0: +4.0, n = 2 | +14.0, n = 2 |" in line for line in made)
    # with a third pair, 84 - 80: mean 4, standard error 0.577, times 4.303
    more = ladder.markdown(ladder.sound([*rows, row("A0", 2, 0.06)])).splitlines()
    assert any(line.startswith("| A1 |") and "| A0: +4.0 (+1.5 to +6.5), n = 3 |" in line for line in more)
    assert next(line for line in made if line.startswith("| A1 |")).endswith(" |  |"), "above is A0, which is not said twice"
    assert "| A0 | -, -, -, 80 | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - |" not in made
    assert "| A0 | 8, 8, 8, 80 | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - | -, -, -, - |" in made
    assert "A run took 12 s (median; 12 to 12)." in made[-1] and "commit 0123456789." in made[-1]
    assert any("(seeds A1: 0, 1, 2; all others: 0, 1); median: of the last 3 evaluations." in line for line in made)


def test_runs_that_diverged_are_counted_and_in_no_mean(tmp_path):
    def lost(rung, seed):
        scores = ("accuracy", "accuracy_student", "accuracy_median", "accuracy_median_of", "confusion", "seconds")
        return {k: v for k, v in row(rung, seed, 0, "S0").items() if k not in scores} | {"diverged": "the loss is not finite"}

    rows = [row("S0", 0, 0.7), row("S0", 1, 0.6), row("A0", 0, 0.8, "S0"), lost("A0", 1), lost("A1", 0), lost("A1", 1)]
    found = ladder.sound([lost("A0", 0), *rows, lost("A0", 0)])  # one that finished has the place
    assert found.lines == ["2 rows left out: of a rung and a seed that are there twice"]
    made = ladder.markdown(found).splitlines()
    assert any(line.startswith("| A0 | change of A0 | 1, 1 diverged | 80.0 | 79.0 | 78.0 |  |  |") for line in made)
    assert "| A1 | change of A1 | 0, 2 diverged | | | | | | |" in made and made[0].count("|") == made[4].count("|")
    assert not any(
        line.startswith("| A1 |") for line in made[6:]
    ) and "Runs that diverged are in no mean, so means are too good: A0 (seed 1), A1 (seeds 0, 1)." in "".join(made)
    pytest.importorskip("matplotlib")
    draw(found, tmp_path / "ladder.png")
    none = ladder.markdown(ladder.sound([lost("A1", 0)])).splitlines()
    assert "| A1 | change of A1 | 0, 1 diverged | | | | | | |" in none and none[-1].startswith("No run finished")


@pytest.mark.parametrize(
    ("name", "value"), [("labels", 40), ("scale", 0.5), ("set", ["a=1"]), ("precision", "bf16"), ("data_hash", "x")]
)
def test_rows_that_differ_in_what_all_share_are_left_out(name, value):
    rows = [row("S0", 0, 0.7), row("A0", 0, 0.8), {**row("A0", 1, 0.8), name: value}]
    kept, _, lines = ladder.sound(rows)
    assert [len(group) for group in kept.values()] == [1, 1] and len(lines) == 1 and name in lines[0]


def test_rows_of_a_rung_that_differ_in_their_recipe_are_left_out():
    odd = row("A0", 2, 0.9)
    odd["config"] = {"algorithms": {}, "steps": 10, "net": "other"}
    kept, _, lines = ladder.sound([row("A0", 0, 0.8), row("A0", 1, 0.8), odd])
    assert len(kept["A0"]) == 2 and "setting net" in lines[0]


def test_an_odd_row_takes_no_place_from_a_sound_one():
    odd = row("A0", 0, 0.1)
    odd["config"] = {"algorithms": {}, "steps": 10, "net": "other"}
    found = ladder.sound([odd, *(row("A0", seed, 0.8) for seed in range(3))])
    assert [r["accuracy"] for r in found.rungs["A0"]] == [0.8, 0.8, 0.8] and len(found.lines) == 1


def test_rows_of_another_code_are_left_out_by_name():
    kept, _, lines = ladder.sound([row("S0", 0, 0.7), row("A0", 0, 0.8), row("A0", 1, 0.8, source="other")])
    assert [len(group) for group in kept.values()] == [1, 1]
    assert (
        len(lines) == 1
        and "seed 1 is left out: other than meanteacher with 20 labels and seed 0 in source (other, s)" in lines[0]
    )


def test_balanced_accuracy_where_classes_are_unequal():
    uneven = [row("S0", s, 0.95) | {"confusion": [[19, 0], [1, 0]], "balanced_accuracy": 0.5} for s in range(2)]
    lines = ladder.markdown(ladder.sound(uneven)).splitlines()
    assert lines[0].startswith("| rung | change | runs | accuracy, % | balanced accuracy, % | of the student |")
    assert lines[1].count("|") == lines[0].count("|") == lines[2].count("|")
    assert lines[2].startswith("| S0 | change of S0 | 2 | 95.0 ± 0.0 | 50.0 ± 0.0 | 94.0 ± 0.0 |")
    assert any("unequal, from 1 to 19 images" in line for line in lines)
    assert "balanced" not in ladder.markdown(ladder.sound([row("S0", s, 0.95) for s in range(2)]))


def test_what_is_below_the_tables_follows_from_the_rows():
    def below(*rows):
        return ladder.markdown(ladder.sound(rows))

    two = [row("A0", seed, 0.8) for seed in (0, 1)]
    assert "each with a label split of its own (seeds 0, 1)" in below(*two)
    shared = below(*({**one, "split_hash": "h"} for one in two))
    assert "over 1 label split (seeds 0, 1)" in shared and "of its own" not in shared
    sentence = "S0 is labels alone with the recipe of A0."
    assert sentence not in below(*two) and sentence in below(*two, row("S0", 0, 0.7))
    assert "python 3;" in below(*two)
    assert "python 3 and 4;" in below(two[0], {**two[1], "versions": {"ssl_zoo": "1", "torch": "2", "python": "4"}})
    assert "A run took 12 s" in below(*two) and "A run took 3 s" in below({**two[0], "seconds": 3.0})
