"""A sweep over any setting: which cells it has, what they are called, and what is refused."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_zoo.cli import plot, run, sweep, table
from ssl_zoo.sweeps.cells import named

ROOT = Path(__file__).parent.parent.parent
WEIGHT, LR = "algorithms.meanteacher.weight", "optimizer.lr"
BASE = ["--nets", "smallnet", "--steps", "20", "--device", "cpu"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def cells(*words):
    """The cells of a command line, by name."""
    found = sweep.cells_of(sweep.parser("sweep.py").parse_args([*BASE, *words]), Path("grid"))
    assert len({cell.path for cell in found}) == len(found)
    return {cell.name: cell for cell in found}


def values(cell, *names):
    return [getattr(cell.settings.optimizer, name) for name in names]


def test_another_methods_option_makes_no_more_cells():
    found = cells("--algs", "supervised,meanteacher", "--grid", f"{WEIGHT}=10,1e2", "--grid", f"{LR}=0.01,0.03", "--seeds", "0-1")
    assert sorted(found) == sorted(
        f"{name}-s{seed}"
        for seed in (0, 1)
        for lr in ("0.01", "0.03")
        for name in (
            f"supervised-smallnet-20-optimizer.lr={lr}",
            f"meanteacher-smallnet-20-weight=10-optimizer.lr={lr}",
            f"meanteacher-smallnet-20-weight=100-optimizer.lr={lr}",
        )
    )
    one = found["meanteacher-smallnet-20-weight=100-optimizer.lr=0.03-s1"]
    assert (one.settings.optimizer.lr, one.settings.options["weight"], one.settings.seed) == (0.03, 100, 1)
    assert one.axes == (WEIGHT, LR)
    assert found["supervised-smallnet-20-optimizer.lr=0.01-s0"].axes == (LR,)


def test_an_axis_that_changes_nothing_in_a_method_is_named(capsys):
    words = [*BASE, "--out", "grid", "--dry-run", "--seeds", "0", "--grid", "optimizer.lr=0.1,0.01"]
    assert sweep.main([*words, "--algs", "supervised,labelspreading,probe"]) == 0
    assert "--grid optimizer.lr changes nothing in labelspreading, probe, without steps" in capsys.readouterr().err
    assert sweep.main([*words, "--algs", "supervised"]) == 0 and "changes nothing" not in capsys.readouterr().err
    assert sweep.main([*words[:-1], "val_fraction=0,0.2", "--algs", "probe"]) == 0
    assert "changes nothing" not in capsys.readouterr().err


def test_a_grid_grows_by_cells_alone():
    before = cells("--grid", f"{LR}=0.01,0.03")
    after = cells("--grid", f"{LR}=0.1,0.03,0.01")
    assert before.items() < after.items() and len(after) == 3


def test_the_order_of_axes_is_of_no_matter():
    one = cells("--grid", f"{LR}=1,2", "--grid", "optimizer.weight_decay=0,1")
    other = cells("--grid", "optimizer.weight_decay=1,0", "--grid", f"{LR}=2,1")
    assert {*one} == {*other} and len(one) == 4


def test_settings_with_flags_of_their_own_keep_todays_names():
    grid = ("alg=supervised,mean-teacher", "net=smallnet,mlp", "labels=20,all", "seed=0,3")
    base = ["--steps", "20", "--device", "cpu"]
    asked = [word for text in grid for word in ("--grid", text)]
    flags = ["--algs", "supervised,mean-teacher", "--nets", "smallnet,mlp", "--labels", "20,all", "--seeds", "0,3"]
    made = [sweep.cells_of(sweep.parser("sweep.py").parse_args([*base, *words]), Path("grid")) for words in (asked, flags)]
    assert made[0] == made[1] and len(made[0]) == 16 and all(cell.name == named(cell.settings) for cell in made[0])


def test_a_view_is_a_value():
    found = cells("--grid", "views.weak={},{noise: {std: 0.5}},{flip: {}}")
    assert [cell.settings.views["weak"] for cell in found.values()] == [
        {},
        {"noise": {"std": 0.5}},
        {"flip": {"probability": 0.5}},
    ]
    deeper = cells("--grid", "views.weak.noise.std=0.1,0.2", "--set", "views.weak={noise: {std: 9}}")
    assert list(deeper) == [f"meanteacher-smallnet-20-views.weak.noise.std={std}-s0" for std in ("0.1", "0.2")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "lr=0.01,0.03"], "--grid lr: there is no such setting; did you mean --grid optimizer.lr=0.01,0.03?"),
        (["--grid", "weight=1,2"], "did you mean --grid algorithms.meanteacher.weight=1,2?"),
        (["--grid", "optmizer.lr=1"], "did you mean --grid optimizer.lr=1?"),
        (["--grid", "batch.labeld=1"], "did you mean 'labeled'"),
        (["--grid", "optimizer.lr=fast"], "optimizer.lr = 'fast' is not of the type float"),
        (["--grid", "optimizer.lr=-1"], "optimizer.lr"),
        (["--grid", "algorithms.pimodel.weight=1,2"], "no run here has that setting; name pimodel in --algs too"),
        (["--grid", "nets.mlp.width=1,2"], "no run here has that setting; name mlp in --nets too"),
        (["--grid", "views.strange.noise.std=1", "--grid", "views=1"], "set the same"),
        (["--grid", "steps=10,20"], "steps is given twice, by --steps and by --grid; keep one"),
        (["--grid", "net=mlp"], "net is given twice, by --nets and by --grid; keep one"),
        (["--grid", "seed=1", "--seeds", "0"], "seed is given twice, by --seeds and by --grid; keep one"),
        (["--grid", f"{LR}=1", "--set", f"{LR}=2"], "optimizer.lr is given twice, by --set and by --grid optimizer.lr; keep one"),
        (["--grid", "views.weak={}", "--set", "views.weak.noise.std=1"], "views.weak.noise.std is given twice"),
        (["--grid", "epochs=1,2"], "each is the length of a run; keep one"),
        (["--grid", "minutes=1,2"], "give each value a sweep and an --out of its own"),
        (["--grid", "threads=1,2"], "give each value a sweep and an --out of its own"),
        (["--grid", "recipe=digits,moons"], "--grid recipe: runs of a sweep do not differ in it; give each value a sweep"),
        (["--grid", "budget=small,full"], "--grid budget: runs of a sweep do not differ in it; give each value a sweep"),
        (["--grid", "split_seed=1,2"], "a seed is also that of the label split; give --seeds"),
        (["--grid", f"{LR}=1", "--grid", f"{LR}=2"], "--grid optimizer.lr is given twice; give all its values in one"),
    ],
)
def test_what_is_refused_is_one_line_and_nothing_is_written(words, message, capsys):
    assert sweep.main([*BASE, *words, "--out", "grid"]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1 and os.listdir() == []


def test_a_run_names_the_sweep(capsys):
    assert run.main(["--grid", f"{LR}=1,2", "--net", "mlp"]) == 2
    assert f"for all of them: python benchmarks/sweep.py --grid {LR}=1,2 --net mlp" in capsys.readouterr().err


def test_the_plan_names_the_axes(capsys):
    assert sweep.main([*BASE, "--grid", f"{LR}=0.01,0.03", "--dry-run"]) == 0
    assert "2 cells: 1 method x 1 net x 1 number of labels x 1 seed\noptimizer.lr: 0.01, 0.03\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_grid_that_a_signal_ended_goes_on_and_is_shown(capsys):
    """Two settings and two methods, ended by a real signal, gone on with, grown, tabled and drawn."""
    words = ["--algs", "supervised,meanteacher", "--grid", f"{WEIGHT}=10,100", "--grid", f"{LR}=0.01,0.003", "--seeds", "0-1"]
    command = [sys.executable, str(ROOT / "benchmarks/sweep.py"), *BASE, *words, "--out", "grid"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(Path("grid").glob("*/result.json")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert "ended by SIGTERM; the same command goes on" in process.communicate(timeout=60)[1] and process.returncode == 143
    before = {path: path.read_bytes() for path in Path("grid").glob("*/result.json")}
    assert 0 < len(before) < 12
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "12 of 12 cells are finished" in done.stdout and f"{len(before)} finished" in done.stdout
    assert all(path.read_bytes() == text for path, text in before.items())
    row = json.loads(Path("grid/meanteacher-smallnet-20-weight=10-optimizer.lr=0.01-s0/result.json").read_text())
    assert row["axes"] == [WEIGHT, LR] and row["config"]["optimizer"]["lr"] == 0.01
    command[command.index(f"{LR}=0.01,0.003")] = f"{LR}=0.003,0.01,0.03"
    grown = subprocess.run(command, capture_output=True, text=True)
    assert grown.returncode == 0 and "12 finished, 6 to run" in grown.stdout
    assert table.main(["grid", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(out)))
    assert err == "" and [line["method"] for line in lines[:3]] == [f"supervised, lr {lr}" for lr in ("0.003", "0.01", "0.03")]
    assert {line["method"] for line in lines[3:]} == {
        f"meanteacher, weight {weight}, lr {lr}" for weight in (10, 100) for lr in ("0.003", "0.01", "0.03")
    }
    assert all(line["n"] == "2" for line in lines) and [bool(line["gain_mean"]) for line in lines] == [False] * 3 + [True] * 6
    accuracy = {path.parent.name: json.loads(path.read_text())["accuracy"] for path in Path("grid").glob("*/result.json")}
    last = next(line for line in lines if line["method"] == "meanteacher, weight 100, lr 0.01")
    names = ("meanteacher-smallnet-20-weight=100-optimizer.lr=0.01", "supervised-smallnet-20-optimizer.lr=0.01")
    pairs = [100 * (accuracy[f"{names[0]}-s{s}"] - accuracy[f"{names[1]}-s{s}"]) for s in (0, 1)]
    assert float(last["gain_mean"]) == pytest.approx(sum(pairs) / 2, abs=1e-4), "to supervised of the same lr"
    assert plot.main(["grid", "--out", "curves.svg", "--algs", "meanteacher"]) == 0 and capsys.readouterr().err == ""
    assert Path("curves.svg").stat().st_size > 10_000
