"""What a folder that holds a run refuses, and that it stays as it was."""

import json
import subprocess
import sys

import pytest

from benchmarks import run, soak
from ssl_zoo import plugins
from ssl_zoo.errors import BusyError

QUICK = ["--net", "smallnet", "--device", "cpu", "--set", "batch={labeled: 4, unlabeled: 4}", "--set", "evaluation.every=2"]


@pytest.fixture(scope="module", params=["half-done", "finished"])
def folder(request, tmp_path_factory):
    """A run of four steps, or one that ended after two of them."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert run.main([*QUICK, "--steps", "4", "--out", str(out)]) == 0
    if request.param == "half-done":
        (out / "result.json").unlink()
    return out


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split-seed", "1"], "split_seed 0 there and 1 here"),
        (["--labels", "30"], "labels 20 there and 30 here"),
        (["--steps", "5"], "steps 4 there and 5 here"),
        (["--set", "optimizer.lr=0.5"], "optimizer.lr 0.003 there and 0.5 here"),
        (["--alg", "pimodel"], "alg meanteacher there and pimodel here"),
        (["--set", "algorithms.meanteacher.weight=7"], "algorithms.meanteacher.weight 100.0 there and 7.0 here"),
        (["--set", "views.weak={}"], "views.weak.affine.rotate 15"),
        (["--set", "datasets.digits.test_size=400"], "datasets.digits.test_size 500 there and 400 here"),
        (["--val-fraction", "0.1"], "val_fraction 0.0 there and 0.1 here"),
        (["--net", "wrn10_1"], "net smallnet there and wrn10_1 here"),
    ],
)
def test_other_settings(folder, words, said, capsys):
    before = content(folder)
    status = run.main([*QUICK, "--steps", "4", *words, "--out", str(folder)])
    out, error = capsys.readouterr()
    assert status == 2 and out == "" and len(error.splitlines()) == 1
    assert said in error and "choose another --out" in error
    assert content(folder) == before


def test_other_code_of_the_method(folder, monkeypatch, capsys):
    monkeypatch.setattr(plugins, "code", lambda targets: "0123456789ab")
    status = run.main([*QUICK, "--steps", "4", "--out", str(folder)])
    error = capsys.readouterr().err
    if (folder / "result.json").exists():  # what is done is done; its row says with which commit
        assert status == 0
    else:
        assert status == 2 and "holds a run with another code" in error and "now 0123456789ab); use another --out" in error


def test_the_code_of_a_method_is_its_file_its_bases_and_the_formulas(monkeypatch, tmp_path):
    from pathlib import Path

    from ssl_zoo import ALGORITHMS, NETS

    targets = [ALGORITHMS.resolve("meanteacher").target, NETS.resolve("smallnet").target]
    before = plugins.code(targets)
    assert plugins.code([ALGORITHMS.resolve("pimodel").target, targets[1]]) != before
    assert plugins.code([targets[0], NETS.resolve("wrn28_2").target]) != before
    inner = Path.read_bytes
    for name, counts in {
        "meanteacher.py": True,
        "base.py": True,
        "losses.py": True,
        "ema.py": True,
        "small.py": True,
        "tempens.py": False,
        "new.py": False,
    }.items():
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: inner(path) + b"#" * (path.name == name))
        assert (plugins.code(targets) != before) == counts, name


def test_two_processes_on_one_folder(tmp_path, capsys):
    """The second is refused while the first runs, and one that was killed leaves nothing in the way."""
    import signal

    argv = [*QUICK, "--steps", "3000", "--out", str(tmp_path / "run")]
    first = soak.Run(argv, tmp_path / "log")
    while first.step < 0:
        assert first.wait(0.01) is None
    assert run.main(argv) == 3
    assert "another process is at work on" in capsys.readouterr().err
    with pytest.raises(BusyError):
        run.execute(run.read_settings(run.parse(argv[:-2])), tmp_path / "run")
    assert first.send(signal.SIGKILL) == -signal.SIGKILL
    again = soak.Run(argv, tmp_path / "log")
    while again.step < 0:
        assert again.wait(0.01) is None, (tmp_path / "log").read_text()
    assert again.send(signal.SIGTERM) == 143


def test_settings_that_change_no_number_may_change(tmp_path, capsys):
    argv = [*QUICK, "--steps", "4", "--out", str(tmp_path / "run")]
    assert run.main(argv) == 0
    (tmp_path / "run/result.json").unlink()
    for words in (["--set", "checkpoint_seconds=5"], ["--strict"], ["--data-root", "elsewhere"]):
        assert run.main([*argv, *words]) == 0, capsys.readouterr().err


def test_a_settings_file_that_was_cut_short_is_one_line(tmp_path, capsys):
    argv = [*QUICK, "--steps", "4", "--out", str(tmp_path / "run")]
    assert run.main(argv) == 0
    capsys.readouterr()
    record = tmp_path / "run/config.yaml"
    text = record.read_text()
    for broken in (text[: len(text) // 2], "", "{", "3"):
        record.write_text(broken)
        assert run.main(argv) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert json.loads((tmp_path / "run/result.json").read_text())["steps"] == 4


def test_no_shell_of_a_lock_is_left(tmp_path):
    """A run that is refused before it has begun leaves no folder."""
    command = [sys.executable, run.__file__, *QUICK, "--labels", "5000", "--out", "a/b"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 2
    assert list(tmp_path.iterdir()) == []
