"""Pictures are drawn, of the kind that was asked for, from what is sound."""

import json

import pytest
from matplotlib import pyplot

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


@pytest.fixture
def nets(tmp_path):
    """A file of rows of two nets and two data sets, one of which has another number of labels."""
    places = (("a", "d", 20), ("b", "d", 20), ("a", "e", 20), ("a", "e", 50))
    made = [
        row(alg, s, net=net, dataset=data, labels=n) for net, data, n in places for alg in ("supervised", "x") for s in (0, 1)
    ]
    (tmp_path / "nets.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))
    return str(tmp_path / "nets.jsonl")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written."""
    figures = []
    monkeypatch.setattr(plot, "save", lambda figure, *more, **words: figures.append(figure) or [])
    yield figures
    for figure in figures:
        pyplot.close(figure)


def titles(figure):
    return [" ".join(axes.get_title().split()) for axes in figure.axes]


def test_each_net_and_data_set_has_panels_of_its_own(nets, drawn, capsys):
    for kind in ("curves", "labels", "confusion"):
        assert plot.main([nets, "--kind", kind, "--out", "p.png"]) == 0
    assert capsys.readouterr().err == "", "nothing is left out"
    curves, labels, confusion = drawn
    assert titles(curves) == [
        f"{place}, 5 steps {n} labels" for place, n in (("d, a", 20), ("d, b", 20), ("e, a", 20), ("e, a", 50))
    ]
    assert titles(labels) == ["d, a, 5 steps", "d, b, 5 steps", "e, a, 5 steps"]
    assert len(titles(confusion)) == 8 and titles(confusion)[0] == "d, a supervised, 20 labels (n = 2)"
    assert all(len(axes.lines) == 2 for axes in curves.axes)


@pytest.mark.parametrize(
    ("words", "panels", "curves"),
    [
        (["--net", "b"], 1, 2),
        (["--labels", "20"], 3, 2),
        (["--labels", "50,20", "--net", "A"], 3, 2),
        (["--algs", "X"], 4, 1),
        (["--alg", "supervised", "--nets", "b"], 1, 1),
    ],
)
def test_some_of_the_runs(words, panels, curves, nets, drawn):
    assert plot.main([nets, "--out", "p.png", *words]) == 0
    assert [len(axes.lines) for axes in drawn[0].axes] == [curves] * panels


def test_a_method_looks_alike_whatever_stands_beside_it(nets, drawn):
    for words in ([], ["--algs", "x"]):
        assert plot.main([nets, "--out", "p.png", *words]) == 0
    both, alone = ({line.get_label(): line for line in figure.axes[0].lines} for figure in drawn)
    name = "x (n = 2)"
    assert {*both} == {"supervised (n = 2)", name} and {*alone} == {name}
    look = [(lines[name].get_color(), lines[name].get_marker(), lines[name].get_linestyle()) for lines in (both, alone)]
    assert look[0] == look[1] != (both["supervised (n = 2)"].get_color(), both["supervised (n = 2)"].get_marker(), "-")


def test_an_alias_of_a_method_is_the_method(tmp_path, drawn):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(alg)) + "\n" for alg in ("meanteacher", "supervised")))
    assert plot.main([str(tmp_path / "rows.jsonl"), "--algs", "Mean-Teacher", "--out", "p.png"]) == 0
    assert [line.get_label() for line in drawn[0].axes[0].lines] == ["meanteacher (n = 1)"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--net", "c"], "--nets c: no run of it is there; there are: a, b"),
        (["--labels", "21"], "--labels 21: no run of it is there; there are: 20, 50"),
        (["--labels", ""], "--labels is empty"),
        (["--algs", "supervise"], "did you mean 'supervised'?"),
        (["--net", "b", "--labels", "50"], "--labels 50: no run of it is there; there are: 20"),
    ],
)
def test_what_is_not_there_is_named(words, message, nets, capsys):
    assert plot.main([nets, "--out", "p.png", *words]) == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--kind", "pie"], "invalid choice: 'pie'"), (["--out", "c.nothing"], "--out c.nothing must end in .png or .svg")],
)
def test_bad_input(words, message, rows, capsys):
    assert plot.main([rows, "--out", "c.png", *words]) == 2 and message in capsys.readouterr().err
