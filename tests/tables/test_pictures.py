"""What is in a picture, and that nets are asked as their runs did."""

import itertools
import json

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.cli import plot, run
from ssl_zoo.runs.restore import restore
from ssl_zoo.tables.pictures import confusion, curves, moons
from ssl_zoo.tables.pictures.figure import plain
from ssl_zoo.tables.pictures.labels import draw_labels
from ssl_zoo.tables.table import make_table, styles_in
from ssl_zoo.tables.variants import told_apart
from tests.tables.rows import row
from tests.tables.test_variants import grid


def test_labels_shows_errors_and_the_bound():
    from matplotlib import pyplot

    axes = pyplot.figure().subplots()
    table = make_table([row(labels=n, accuracy=a) for n, a in ((20, 0.7), (50, 0.8), ("all", 0.99))], [], [])
    draw_labels(table, axes, styles_in([table]))
    line = axes.containers[0].lines[0]
    assert line.get_xdata().tolist() == [20, 50] and line.get_ydata().tolist() == pytest.approx([30, 20])
    assert axes.lines[-1].get_ydata() == pytest.approx([1, 1])


def test_one_number_of_labels_has_a_marker_of_its_own_for_each_variant():
    """No line is drawn there that would tell them apart."""
    from matplotlib import pyplot

    (told,) = told_apart(grid())
    table = make_table(told, [], [])
    axes = pyplot.figure().subplots()
    draw_labels(table, axes, styles_in([table]))
    marks = [container.lines[0] for container in axes.containers]
    assert len({(mark.get_marker(), mark.get_color(), mark.get_fillstyle()) for mark in marks}) == len(table.cells) == 6
    assert {mark.get_linestyle() for mark in marks} == {"None"}


def test_a_method_without_steps_is_a_level_line_across_the_curves():
    """Its deviation, here of 40 points, is no part of the scale, and no marker hangs at step 0."""
    from matplotlib import pyplot

    apart = {0: 0.3, 1: 0.7}
    steps = [row(seed=s, evaluations=[{"step": k, "accuracy": 0.5} for k in (5, 10)], steps=10) for s in apart]
    once = [row("x", s, a, steps=0, evaluations=[{"step": 0, "accuracy": a}]) for s, a in apart.items()]
    figure = curves.picture_curves([[*steps, *once]])
    (axes,) = figure.axes
    curve, level = axes.lines
    assert curve.get_xdata().tolist() == [5, 10] and curve.get_linestyle() == "-"
    assert level.get_ydata() == pytest.approx([50, 50]) and level.get_xdata() == [0, 1], "from side to side"
    assert level.get_linestyle() == "--" and level.get_label() == "x (n = 2)" and axes.get_xlabel() == "step"
    assert len(axes.collections) == 1 and axes.get_ylim()[1] - axes.get_ylim()[0] < 10, "one band"
    pyplot.close(figure)
    figure = curves.picture_curves([once])
    (axes,) = figure.axes
    assert len(axes.lines) == 1 and axes.get_xlabel() == "no steps" and axes.get_xticks().size == 0
    pyplot.close(figure)


def test_moons_asks_the_net_as_the_run_did(tmp_path, monkeypatch):
    """With inputs that are normalised as its settings say."""
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", "moons", "--alg", "supervised", "--steps", "2", "--set", "input=unit"]
    assert run.main([*words, "--out", "runs/unit"]) == 0
    asked = []
    predict = moons.predict
    monkeypatch.setattr(
        moons, "predict", lambda net, plane, prepare, *more: asked.append(prepare) or predict(net, plane, prepare, *more)
    )
    assert plot.main(["runs", "--kind", "moons", "--out", "m.png"]) == 0
    ends = torch.tensor([[0, 255]], dtype=torch.uint8).view(1, 1, 1, 2)
    assert asked[0](ends).flatten().tolist() == [-1, 1]


def test_moons_restores_the_trained_nets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for alg in ("supervised", "meanteacher"):
        assert run.main(["--dataset", "moons", "--alg", alg, "--steps", "60", "--out", f"runs/{alg}"]) == 0
    folders, _ = moons.moons_of([tmp_path / "runs"], 0)
    assert [folder.name for folder in folders.values()] == [*folders] == ["supervised", "meanteacher"]
    _, inputs, trainer = restore(tmp_path / "runs/supervised")
    data, facts = inputs.data, inputs.facts
    assert trainer.start == 60 and len(facts.labeled) == 6 and data.images.shape == (1000, 1, 1, 2)
    assert plot.main(["runs", "--kind", "moons", "--out", "m.png"]) == 0 and (tmp_path / "m.png").stat().st_size > 10_000
    assert plot.main(["runs", "--kind", "moons", "--seed", "7", "--out", "n.png"]) == 2
    assert "no run's folder on the data set `moons` with seed 7" in capsys.readouterr().err


def test_of_many_classes_those_that_are_confused_most_are_shown():
    from matplotlib import pyplot

    pairs = {"classes": 3000, "true": [7, 7, 9, 40, 50], "predicted": [7, 9, 9, 2999, 50], "count": [6, 2, 5, 1, 8]}
    rows = [row(seed=s, confusion=pairs, classes=[f"c{k}" for k in range(3000)]) for s in range(2)]
    assert confusion.most_confused(rows, 2) == [7, 9] and confusion.most_confused(rows, 4) == [7, 9, 40, 2999]
    assert confusion.shares(rows, [7, 9, 50]).tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]]
    assert confusion.shares(rows, [9, 2999]).tolist() == [[1, 0], [0, 0]], "no image of a class is no share"
    figure = confusion.picture_confusion([rows])
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert len(names) == 30 and names[-1] == "c2999" and {"c7", "c9", "c40"} < {*names}
    assert figure.get_suptitle() == "the 30 of 3,000 classes that are confused most"
    pyplot.close(figure)


def test_both_forms_give_one_picture():
    matrix, pairs = [[3, 1], [0, 4]], {"classes": 2, "true": [0, 0, 1], "predicted": [0, 1, 1], "count": [3, 1, 4]}
    for form in (matrix, pairs):
        assert confusion.shares([row(confusion=form), row(confusion=matrix)], [0, 1]).tolist() == [[0.75, 0.25], [0, 1]]
    with pytest.raises(InputError, match="different numbers of classes: 2, 3"):
        confusion.picture_confusion([[row(confusion=pairs), row(seed=1, confusion={**pairs, "classes": 3})]])


ODD = ["$x^2$", "$\\frac$", "a$b$ $", "bad\udcff", "two\nlines\tand a tab", "x" * 200, "_under", "\\", "caf\u00e9 \u732b", ""]


@pytest.mark.parametrize("kind", ["curves", "labels", "confusion"])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_any_name_can_be_drawn(kind, ending, tmp_path, capsys):
    """Of classes, methods, nets and data sets."""
    size = len(ODD)
    pairs = {"classes": size, "true": [0], "predicted": [1], "count": [2]}
    rows = [
        row(name, s, classes=ODD, confusion=pairs, net=net, dataset=net)
        for net in ["".join(ODD)]
        for name in ODD
        for s in range(2)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    assert plot.main([str(file), "--kind", kind, "--out", str(tmp_path / f"p.{ending}")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "its font lacks \u732b, shown as boxes" in said[0]


def test_a_name_is_shown_as_it_is():
    from matplotlib import cbook

    for name, shown in zip(ODD[:5], ["$x^2$", "$\\frac$", "a$b$ $", "bad\\udcff", "two lines and a tab"], strict=True):
        assert not cbook.is_math_text(plain(name)) and plain(name).replace("\\$", "$") == shown
    assert plain("x" * 79 + "yz") == "x" * 40 + "…" + "x" * 37 + "yz" and len(plain("x" * 200, 24)) == 24
    assert plain("_under") == " _under", "a line of that name would be left out of the legend"


def test_a_ladder_of_any_names_can_be_drawn(tmp_path):
    from ssl_zoo.tables.ladder import markdown, sound
    from ssl_zoo.tables.pictures.ladder import draw

    more = {"mechanism": [{"step": 5, "mechanism/confidence": 0.5}], "scale": 1, "set": [], "above": None}
    rows = [row(seed=s, rung=name, change=f"{name}|", dataset="d$_$|", **more) for name in ODD[:6] for s in range(2)]
    found = sound(rows)
    draw(found, tmp_path / "l.png")
    assert (tmp_path / "l.png").stat().st_size > 10_000
    lines = markdown(found).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines[:8]} == {10} and not any("$x^2$" in line for line in lines)


def test_the_name_of_a_panel_stays_above_it():
    """Variants have long names: no panel's is cut off, or runs into the next one's."""
    name = "meanteacher, weight 100, learning_rate 0.003, decay 0.99"
    rows = [row("m", called=f"{name}{k}") for k in range(4)]
    figure = confusion.picture_confusion([rows])
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    width = figure.get_window_extent().width
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes)) and boxes[0].x0 >= 0 and boxes[-1].x1 <= width
    assert name in figure.axes[0].get_title().replace("\n", " ") and "20 labels (n = 1)" in figure.axes[0].get_title()
