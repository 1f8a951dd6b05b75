"""What was made with other code says so, and is trained anew only where that is asked for."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo import provenance
from ssl_zoo.cli import run, sweep
from ssl_zoo.train.checkpoint import Checkpoints

QUICK = ["--net", "smallnet", "--device", "cpu", "--steps", "4", "--set", "evaluation.every=2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made_with(folder, **code):
    """Let a run's row and checkpoint say that other code made them."""
    path = Path(folder, "result.json")
    if path.exists():
        path.write_text(json.dumps(json.loads(path.read_text()) | code))
    checkpoints = Checkpoints(Path(folder))
    state = checkpoints.load(torch.device("cpu"))
    state["identity"] |= code
    checkpoints.save(state)
    checkpoints.wait()


def test_a_finished_run_of_other_code_says_so(capsys):
    argv = [*QUICK, "--alg", "supervised", "--out", "o"]
    assert run.main(argv) == 0
    capsys.readouterr()
    assert run.main(argv) == 0 and "other code" not in capsys.readouterr().err
    made_with("o", source="0123456789ab")
    accuracy = json.loads(Path("o/result.json").read_text())["accuracy"]
    assert run.main(argv) == 0
    out, error = capsys.readouterr()
    said = f"WARNING: o/result.json was made with other code of ssl_zoo (source 0123456789ab, now {provenance.source()})"
    assert f"{said}; --fresh trains it anew" in error and f"accuracy {100 * accuracy:.2f} %" in out
    assert run.main([*argv, "--fresh"]) == 0
    assert json.loads(Path("o/result.json").read_text())["source"] == provenance.source()
    capsys.readouterr()
    assert run.main(argv) == 0 and "other code" not in capsys.readouterr().err


def test_a_run_of_a_version_that_had_fewer_settings(capsys):
    """A setting that has come since then stands at its default there; so the run is of other code, not of other settings."""
    argv = [*QUICK, "--alg", "meanteacher", "--out", "o"]
    assert run.main(argv) == 0
    kept = yaml.safe_load(Path("o/config.yaml").read_text())
    del kept["schedule"]["factors"], kept["algorithms"]["meanteacher"]["count_initial"]
    Path("o/config.yaml").write_text(yaml.safe_dump(kept))
    made_with("o", source="0123456789ab")
    capsys.readouterr()
    assert run.main(argv) == 0 and "other code of ssl_zoo" in capsys.readouterr().err
    assert run.main([*argv, "--set", "algorithms.meanteacher.count_initial=false"]) == 2
    said = "other settings (algorithms.meanteacher.count_initial True there and False here)"
    assert said in capsys.readouterr().err
    assert run.main([*argv, "--fresh"]) == 0


def test_a_half_done_run_of_other_code_does_not_go_on(capsys):
    argv = [*QUICK, "--alg", "supervised", "--out", "o"]
    assert run.main(argv) == 0
    Path("o/result.json").unlink()
    made_with("o", code="0123456789ab")
    capsys.readouterr()
    assert run.main(argv) == 2
    assert "other code of the method or net (code 0123456789ab" in (said := capsys.readouterr().err)
    assert said.strip().endswith("use another --out, or --fresh to train it anew")
    assert run.main([*argv, "--fresh"]) == 0
    assert "from step 0" in capsys.readouterr().out and Path("o.old-1/config.yaml").exists()


@pytest.mark.slow
def test_a_sweep_says_what_is_stale_and_trains_it_anew_when_asked(capfd):
    argv = ["--recipe", "digits", "--algs", "supervised", "--nets", "smallnet", "--seeds", "0-2", "--steps", "4", "--out", "g"]
    argv += ["--set", "evaluation.every=2", "--device", "cpu"]
    assert sweep.main(argv) == 0
    cells = [Path(f"g/supervised-smallnet-20-s{seed}") for seed in range(3)]
    made_with(cells[0], source="0123456789ab")
    Path(cells[1], "result.json").unlink()
    made_with(cells[1], source="0123456789ab")
    times = [path.stat().st_mtime_ns for path in (cells[0] / "result.json", cells[2] / "result.json")]
    capfd.readouterr()
    assert sweep.main(argv) == 1
    out, error = capfd.readouterr()
    assert "2 finished, of these 1 with other code, 1 to run (1 of them half-done)" in out and "--rerun-stale" in out
    assert "holds a run with other code of ssl_zoo" in error
    assert times == [path.stat().st_mtime_ns for path in (cells[0] / "result.json", cells[2] / "result.json")]
    assert sweep.main([*argv, "--rerun-stale"]) == 0
    out, _ = capfd.readouterr()
    assert "1 finished, 2 to run" in out and "3 of 3 cells are finished" in out
    rows = [json.loads((cell / "result.json").read_text()) for cell in cells]
    assert {row["source"] for row in rows} == {provenance.source()}
    assert times[1] == (cells[2] / "result.json").stat().st_mtime_ns, "what is not stale is not touched"
    assert not list(Path("g").glob("*.old-*")), "nor does what is trained anew fill the disk"
