import pytest

from ssl_zoo.tables.table import make_tables
from tests.tables.rows import cells, row


def test_numbers_done_by_hand():
    rows = [row(seed=0, accuracy=0.7), row(seed=1, accuracy=0.8), row("x", 0, 0.8), row("x", 1, 0.96)]
    made, said = cells(rows)
    three, _ = cells([*rows, row(seed=2, accuracy=0.75), row("x", 2, 0.88)])
    one, two = made["supervised"]["20"], made["x"]["20"]
    assert list(made) == ["supervised", "x"] and not said and one.gain is None
    assert str(one.error) == "25.0 ± 7.1" and str(two.error) == "12.0 ± 11.3" and (one.n, two.n) == (2, 2)
    assert two.gain.shown(2) == "+13.0 points", "two pairs have no interval"
    # differences 10, 16 and 13: mean 13, s = 3, t(.975, 2) = 4.303, half = 7.45
    assert three["x"]["20"].gain.shown(3) == "+13.0 (+5.5 to +20.5) points"
    assert two.curve == [(5, pytest.approx(88.0), pytest.approx(11.3137, abs=1e-3))]


def test_median_student_and_oracle_stand_beside_the_last():
    given = {"accuracy_median": 0.7, "accuracy_student": 0.6, "accuracy_oracle": 0.9}
    made, _ = cells([row(**given)])
    assert [str(part) for part in made["supervised"]["20"][1:5]] == ["20.0", "30.0", "40.0", "10.0"]


def test_differences_are_paired_and_say_of_how_many_pairs():
    rows = [row(seed=s, accuracy=0.7 + s / 100) for s in range(2)] + [row("x", s, 0.9 + s / 100) for s in range(3)]
    (made,), said = make_tables(rows)
    cell = made.cells["x"]["20"]
    assert cell.n == 3 and cell.gain.n == 2 and not said
    assert cell.gain.shown(3) == "+20.0 points, 2 pairs" and cell.gain.shown(2).endswith(" points")
    assert "without a pair, some runs of: x." in made.caption[-1]
    (alone,), _ = make_tables([row("x", 0), row("x", 1)])
    assert alone.cells["x"]["20"].gain is None and "without a pair, all runs of: x." in alone.caption[-1]
    (whole,), _ = make_tables([row(), row("x")])
    assert "without a pair" not in "".join(whole.caption)
