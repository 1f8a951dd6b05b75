"""Tables that compare with another method than `supervised`."""

import csv
import io
import json

import pytest

from ssl_zoo.cli.table import main
from ssl_zoo.errors import InputError
from ssl_zoo.tables import render
from ssl_zoo.tables.table import make_tables
from tests.tables.rows import cells, lost, row
from tests.tables.test_variants import grid

AT = {"supervised": 0.5, "meanteacher": 0.7, "my_method": 0.74}
ROWS = [row(alg, seed, accuracy + seed / 100) for alg, accuracy in AT.items() for seed in range(3)]


def gains(rows, against):
    (made,), _ = make_tables(rows, against=against)
    return {name: of["20"].gain and round(of["20"].gain.mean, 6) for name, of in made.cells.items()}


def test_each_method_is_compared_with_the_one_that_is_named():
    assert gains(ROWS, "supervised") == {"supervised": None, "meanteacher": 20, "my_method": 24}
    assert gains(ROWS, "meanteacher") == {"supervised": -20, "meanteacher": None, "my_method": 4}
    assert gains(ROWS, "mean-teacher") == gains(ROWS, "Mean-Teacher") == gains(ROWS, "meanteacher"), "as everywhere"
    assert gains(ROWS, "my-method") == {"supervised": -24, "meanteacher": -4, "my_method": None}


def test_pairs_are_of_one_seed_and_those_without_are_named():
    (made,), _ = make_tables(
        [one for one in ROWS if (one["algorithm"], one["seed"]) != ("meanteacher", 1)], against="meanteacher"
    )
    cell = made.cells["my_method"]["20"]
    assert cell.gain.shown(cell.n) == "+4.0 points, 2 pairs"
    assert any(
        line == "Without a run of meanteacher on the same split, so without a pair, some runs of: my_method, supervised."
        for line in made.caption
    )
    assert "; points: paired difference in accuracy to meanteacher, + is better." in made.caption[0]


def test_a_variant_is_compared_with_that_of_the_same_shared_settings():
    """Of `m` those of one weight have a learning rate each; `supervised` is ten points behind, and weights count little."""
    rows = [one for one in grid() if one["config"]["algorithms"].get("m", {}).get("weight") != 100.0]
    assert gains(rows, "m") == {"supervised, lr 0.01": -11, "supervised, lr 0.1": -11, "m, lr 0.01": None, "m, lr 0.1": None}


def test_of_variants_of_the_method_itself_one_is_to_be_named():
    one = "m, weight 100, lr 0.1"
    with pytest.raises(InputError, match=r"several variants of m are there to compare with; name one of them: .*; m, weight 100"):
        make_tables(grid(), against="m")
    found = gains(grid(), one)
    assert found[one] is None and found["m, weight 10, lr 0.1"] == -9 and found["supervised, lr 0.1"] == -20
    assert found["m, weight 10, lr 0.01"] is None and found["supervised, lr 0.01"] is None, "of another learning rate"
    (made,), _ = make_tables(grid(), against=one)
    assert f"paired difference in accuracy to {one}, + is better." in made.caption[0]


def test_a_method_that_is_not_there_is_an_error_that_names_what_is():
    with pytest.raises(
        InputError, match="no run of 'fixmatch' is there to compare with; there are: supervised, meanteacher, my_me"
    ):
        make_tables(ROWS, against="fixmatch")
    with pytest.raises(InputError, match=r"no run of 'my_methd' is .*did you mean 'my_method'"):
        make_tables(ROWS, against="my_methd")
    with pytest.raises(InputError, match="no run of 'x' is"):
        make_tables(ROWS, lost=[lost("x", 0)], against="x")
    assert cells(ROWS[3:])[0]["my_method"]["20"].gain is None, "without supervised there is a table, as ever"


@pytest.mark.parametrize("form", render.FORMATS)
def test_every_format_shows_it_and_says_to_what(form):
    tables, _ = make_tables(ROWS, against="my_method")
    text = render.FORMATS[form](tables, False).replace("&nbsp;", " ").replace(r"my\_method", "my_method").replace("$", "")
    if form == "csv":
        lines = {line["method"]: line for line in csv.DictReader(io.StringIO(text))}
        assert float(lines["supervised"]["gain_mean"]) == pytest.approx(-24) and lines["my_method"]["gain_mean"] == ""
        assert {line["gain_to"] for line in lines.values()} == {"my_method"}
    else:
        assert "-24.0 (-24.0 to -24.0) points" in text and "paired difference in accuracy to my_method, + is better, 95" in text
        assert "to supervised" not in text and "against supervised" not in text


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    assert main(["rows.jsonl", "--against", "mean_teacher"]) == 0
    assert "+4.0 (+4.0 to +4.0) points" in capsys.readouterr().out
    assert main(["rows.jsonl", "--against", "no"]) == 2 and "there are: supervised" in capsys.readouterr().err
    for form in ("switches", "site"):
        assert main(["rows.jsonl", "--against", "meanteacher", "--format", form]) == 2
        assert "leave out --against" in capsys.readouterr().err
    (tmp_path / "page.md").write_text("<!-- table rows.jsonl against meanteacher -->\n<!-- end -->\n")
    assert main(["rows.jsonl", "--against", "meanteacher", "--into", "page.md"]) == 0
    assert "+4.0 (+4.0 to" in (tmp_path / "page.md").read_text(), "the plain table has a place of another name"
    assert main(["rows.jsonl", "--into", "page.md"]) == 2
