"""A small ladder is climbed, gone on with and shown again."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from ssl_zoo.cli import ladder
from ssl_zoo.ladders import read_ladder
from ssl_zoo.tables.ladder import MEASURED
from ssl_zoo.tables.ladder_rows import collect

RESULTS = Path(__file__).parent.parent.parent / "benchmarks/results"


@pytest.mark.slow
def test_a_small_ladder(tmp_path, monkeypatch, capsys):
    """Climbed, gone on with, and shown again from its rows."""
    monkeypatch.chdir(tmp_path)
    argv = ["--rungs", "S0,A0", "--seeds", "0-1", "--scale", "0.02", "--device", "cpu", "--out", "out"]
    argv += ["--set", "datasets.digits.test_size=1600", "--set", "evaluation.unlabeled=20"]
    assert ladder.main([*argv, "--dry-run"]) == 0 and not Path("out").exists()
    assert ladder.main(argv) == 0
    rows = [json.loads(line) for line in Path("out/rows.jsonl").read_text().splitlines()]
    assert [(r["rung"], r["seed"]) for r in rows] == [("S0", 0), ("S0", 1), ("A0", 0), ("A0", 1)]
    splits = [r["split_hash"] for r in rows]
    assert splits[:2] == splits[2:] and splits[0] != splits[1], "a split for each seed, shared by the rungs"
    assert rows[0]["steps"] == len(rows[0]["evaluations"]) == 12
    assert [r["config"]["algorithms"]["meanteacher"]["weight"] for r in rows] == [0, 0, 1, 1]
    points = {name: [p["step"] for p in rows[2]["mechanism"] if name in p] for name in MEASURED}
    assert points == {name: [*range(1, 13)] for name in MEASURED}
    assert yaml.safe_load(Path("out/rungs/A0.yaml").read_text())["steps"] == 12
    made = Path("out/ladder.md").read_text()
    capsys.readouterr()
    assert ladder.main(argv) == 0 and "4 finished, 0 to run" in capsys.readouterr().out
    assert Path("out/ladder.md").read_text() == made
    assert ladder.main([*argv, "--rungs", "S0"]) == 0 and Path("out/ladder.md").read_text() == made, "of all runs in it"
    capsys.readouterr()
    Path("doc.md").write_text("a\n<!-- table out/rows.jsonl -->\nold\n<!-- end -->\nz\n")
    assert ladder.main(["--read", "out/rows.jsonl", "--into", "doc.md", "--picture", "again.png"]) == 0
    assert Path("doc.md").read_text() == f"a\n<!-- table out/rows.jsonl -->\n{made}<!-- end -->\nz\n"
    assert Path("again.png").stat().st_size > 10_000
    assert Path("out/ladder.png").read_bytes() == Path("again.png").read_bytes()
    # what no longer belongs there is named, and nothing is compared with it
    Path("out/A0-s1/metrics.jsonl").write_text("{torn")
    Path("out/A0-saved").mkdir()
    Path("out/A0-saved/result.json").write_text("{}")
    capsys.readouterr()
    assert ladder.main(argv) == 0
    said = capsys.readouterr().err
    assert "out/A0-s1 is left out: " in said and "out/A0-saved is left out: it is no run of a rung" in said
    assert len(Path("out/rows.jsonl").read_text().splitlines()) == 3
    assert ladder.main([*argv, "--scale", "0.04"]) == 2
    assert "out/rungs/S0.yaml is another recipe than S0 has now" in capsys.readouterr().err
    rungs = read_ladder("digits")
    other = rungs | {"S0": rungs["S0"]._replace(recipe=rungs["A0"].recipe)}
    rows, lines = collect(Path("out"), other, 0.02, argv[-3::2])
    assert [r["rung"] for r in rows] == ["A0"] and any(
        "S0 has another algorithms.meanteacher.weight now (1.0, not 0.0)" in line for line in lines
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--rungs", "A99"], "digits has no rung 'A99'"),
        (["--dataset", "moons"], "has no ladder for 'moons'; it has cifar10, cifar10-folder, digits"),
        (["--scale", "0"], "--scale is 0.0; it must be over 0"),
        (["--into", "x.md"], "--into and --picture need --read"),
        (["--read", "none.jsonl"], "none.jsonl"),
        (["--seeds", "a"], "--seeds has 'a'"),
        (["--set", "evaluation.unlabelled=1"], "has no option 'unlabelled'"),
        (["--set", "algorithms.meanteacher.weight=3"], "would change what S0 is, which sets algorithms.meanteacher.weight"),
        (["--rungs", "A0", "--set", "algorithms.meanteacher.weight=3"], "write it into a ladder of your own, for --ladder"),
        (["--set", "optimizer={lr: 1}"], "would change what A5 is, which sets optimizer.lr"),
        (["--set", "steps=7"], "give --scale"),
        (["--set", "net=smallnet"], "would change what every rung is"),
        (["--set", "algorithms.mean-teacher.weight=3"], "which sets algorithms.meanteacher.weight"),
        (["--out", ""], "--out is the folder you are in"),
        (["--ladder", "none.yaml"], "none.yaml"),
        (["--read", "none.jsonl", "--rungs", "A0"], "--rungs is for a ladder that is run"),
        (["--read", "none.jsonl", "--dry-run"], "--dry-run is for a ladder that is run"),
        (["--rungz", "A0"], "unknown argument '--rungz'; did you mean '--rungs'?"),
        (["--steps", "9"], "unknown argument '--steps'; did you mean --scale?"),
        (["--on-nan", "skip", "--val-fraction", "x"], "val_fraction = 'x' is not of the type float"),
        (["--device", "cuda:0"], "give --device cuda, with CUDA_VISIBLE_DEVICES=0"),
    ],
)
def test_bad_input(flags, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert ladder.main(flags) == 2
    line = capsys.readouterr().err
    assert says in line and line.startswith("ladder.py: ") and len(line.splitlines()) == 1
    assert not (tmp_path / "runs/ladder-digits/rows.jsonl").exists()


def test_what_cannot_be_read_or_written_into(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = RESULTS.parent / "results/ladder-digits.jsonl"
    Path("plain.md").write_text("no place for it\n")
    for argv, says in (
        (["--read", "none"], "none is not there; ladder.py writes rows.jsonl into its --out"),
        (["--read", "."], "rows.jsonl is not there"),
        (["--read", str(rows), "--into", "none.md"], "--into none.md cannot be used"),
        (["--read", str(rows), "--into", "plain.md"], "--into plain.md: there is no place for the table"),
    ):
        assert ladder.main(argv) == 2
        line = capsys.readouterr().err
        assert says in line and len(line.splitlines()) == 1
    Path("out").mkdir()
    Path("out/rows.jsonl").write_bytes(rows.read_bytes())
    assert ladder.main(["--read", "out"]) == 0
    once = capsys.readouterr().out
    Path("out/rows.jsonl").write_bytes(2 * rows.read_bytes())
    assert ladder.main(["--read", "out"]) == 0
    twice = capsys.readouterr()
    assert twice.out == once and f"{len(rows.read_text().splitlines())} rows left out" in twice.err


def test_a_ladder_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = {"dataset": "digits", "labels": 20, "alg": "meanteacher", "net": "smallnet", "steps": 4, "evaluation": {"every": 2}}
    rungs = {
        "B0": {"from": "base", "change": "nothing"},
        "B1": {"change": "weight 3", "set": {"algorithms": {"meanteacher": {"weight": 3}}}},
    }
    Path("mine.yaml").write_text(yaml.safe_dump({"digits": {"base": recipe, "rungs": rungs}}))
    assert ladder.main(["--ladder", "mine.yaml", "--seeds", "0", "--device", "cpu"]) == 0
    found = capsys.readouterr().out
    assert "| B1 | weight 3 | 1 |" in found and Path("runs/mine-digits/rows.jsonl").exists()


def test_rows_that_are_not_of_a_ladder(capsys):
    committed = RESULTS.parent / "results/digits.jsonl"
    assert ladder.main(["--read", str(committed)]) == 2
    assert "holds a run that is not of a ladder" in capsys.readouterr().err


def test_a_picture_without_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    committed = RESULTS.parent / "results/ladder-digits.jsonl"
    assert ladder.main(["--read", str(committed), "--picture", str(tmp_path / "x.png")]) == 2
    assert "ladder.py: pictures need matplotlib: pip install matplotlib" in capsys.readouterr().err


def test_a_ladder_without_its_data_leaves_nothing(tmp_path, monkeypatch, capsys):
    """Under whatever spelling of its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    argv = ["--dataset", "CIFAR-10", "--rungs", "S0", "--data-root", "nowhere/x", "--device", "cpu"]
    assert ladder.main(argv) == 2 and "cifar10 cannot be loaded from 'nowhere/x'" in capsys.readouterr().err
    assert not (tmp_path / "runs/ladder-cifar10").exists() and not (tmp_path / "nowhere").exists()
    (tmp_path / "runs/ladder-cifar10").mkdir(parents=True)
    assert ladder.main(argv) == 2 and (tmp_path / "runs/ladder-cifar10").exists()


def no_network(*args, **more):
    raise OSError("no network")
