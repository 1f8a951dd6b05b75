"""What is in a picture, and that nets are asked as their runs did."""

import pytest
import torch

from ssl_zoo.cli import plot, run
from ssl_zoo.runs.restore import restore
from ssl_zoo.tables.pictures import moons
from ssl_zoo.tables.pictures.labels import draw_labels
from tests.tables.rows import row


def test_labels_shows_errors_and_the_bound():
    from matplotlib import pyplot

    axes = pyplot.figure().subplots()
    draw_labels([row(labels=n, accuracy=a) for n, a in ((20, 0.7), (50, 0.8), ("all", 0.99))], axes)
    line = axes.containers[0].lines[0]
    assert line.get_xdata().tolist() == [20, 50] and line.get_ydata().tolist() == pytest.approx([30, 20])
    assert axes.lines[-1].get_ydata() == pytest.approx([1, 1])


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
    assert [folder.name for folder in folders] == ["supervised", "meanteacher"]
    _, inputs, trainer = restore(tmp_path / "runs/supervised")
    data, facts = inputs.data, inputs.facts
    assert trainer.start == 60 and len(facts.labeled) == 6 and data.images.shape == (1000, 1, 1, 2)
    assert plot.main(["runs", "--kind", "moons", "--out", "m.png"]) == 0 and (tmp_path / "m.png").stat().st_size > 10_000
    assert plot.main(["runs", "--kind", "moons", "--seed", "7", "--out", "n.png"]) == 2
    assert "no run's folder on the data set `moons` with seed 7" in capsys.readouterr().err
