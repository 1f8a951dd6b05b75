"""Pictures are drawn, of the kind that was asked for, from what is sound."""

import json

import pytest

from ssl_zoo.cli import plot
from tests.tables.rows import row


@pytest.fixture
def rows(tmp_path):
    """A file of rows: two methods, two numbers of labels and all, two seeds; and one row that cannot be read."""
    made = [row(alg, s, 0.7 + s / 10, labels=n) for alg in ("supervised", "x") for s in range(2) for n in (20, 50, "all")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made) + "{")
    return str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("kind", ["curves", "labels", "confusion"])
@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_of_each_kind(kind, ending, begins, rows, tmp_path, capsys):
    out = tmp_path / f"{kind}.{ending}"
    assert plot.main([rows, "--kind", kind, "--out", str(out)]) == 0 and out.read_bytes().startswith(begins)
    assert "rows.jsonl:13 is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--kind", "pie"], "invalid choice: 'pie'"), (["--out", "c.nothing"], "--out c.nothing must end in .png or .svg")],
)
def test_bad_input(words, message, rows, capsys):
    assert plot.main([rows, "--out", "c.png", *words]) == 2 and message in capsys.readouterr().err
