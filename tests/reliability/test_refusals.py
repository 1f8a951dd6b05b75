"""What a folder that holds a run refuses, and that it stays as it was."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import soak
from ssl_zoo import provenance
from ssl_zoo.cli import run
from ssl_zoo.errors import BusyError
from ssl_zoo.runs.execute import execute
from ssl_zoo.runs.identity import differing
from ssl_zoo.train.checkpoint import Checkpoints
from tests.conftest import RUN

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
    monkeypatch.setattr(provenance, "code", lambda targets: "0123456789ab")
    status = run.main([*QUICK, "--steps", "4", "--out", str(folder)])
    error = capsys.readouterr().err
    if (folder / "result.json").exists():  # what is done is done; its row says with which commit
        assert status == 0
    else:
        assert (
            status == 2
            and "holds a run with other code of the method or net (code " in error
            and "now 0123456789ab); use another --out" in error
        )


def test_the_code_of_a_method_is_its_file_its_bases_and_the_formulas(monkeypatch, tmp_path):
    from pathlib import Path

    from ssl_zoo import ALGORITHMS, NETS

    targets = [ALGORITHMS.resolve("meanteacher").target, NETS.resolve("smallnet").target]
    before = provenance.code(targets)
    assert provenance.code([ALGORITHMS.resolve("pimodel").target, targets[1]]) != before
    assert provenance.code([targets[0], NETS.resolve("wrn28_2").target]) != before
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
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: inner(path) + b"\nx = 1" * (path.name == name))
        assert (provenance.code(targets) != before) == counts, name


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("x = 1  # why", True),
        ('"""Another docstring."""\n\n\nx = 1\n', True),
        ("x = (\n    1\n)", True),
        ("x = 2", False),
        ("x = '1'", False),
        ("x = True", False),
        ("y = 1", False),
        ("x = 1\n'a text that is no docstring'", False),
    ],
)
def test_comments_docstrings_and_layout_are_no_code(text, same, tmp_path):
    """A mended comment must not stop a sweep that is half done."""
    one, other = tmp_path / "a" / "m.py", tmp_path / "b" / "m.py"
    for path, content in ((one, '"""A module."""\nx = 1\n'), (other, text)):
        path.parent.mkdir()
        path.write_text(content)
    assert (provenance.code_of([one]) == provenance.code_of([other])) == same


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
        execute(run.read_settings(run.parse(argv[:-2])), tmp_path / "run")
    assert first.send(signal.SIGKILL) == -signal.SIGKILL
    again = soak.Run(argv, tmp_path / "log")
    while again.step < 0:
        assert again.wait(0.01) is None, (tmp_path / "log").read_text()
    assert again.send(signal.SIGTERM) == 143


@pytest.fixture
def half_done(tmp_path):
    """A run of three steps with a checkpoint and no result, and its command line."""
    argv = [*QUICK, "--steps", "3", "--out", str(tmp_path / "run")]
    assert run.main(argv) == 0
    (tmp_path / "run/result.json").unlink()
    return tmp_path / "run", argv


def refused(argv, capsys, status=2):
    """The one line of a run that is refused."""
    capsys.readouterr()
    assert run.main(argv) == status
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("run.py: ")]
    return line


def test_a_checkpoint_of_another_run(half_done, tmp_path, capsys):
    """Copied there by hand: its settings are not those of the folder."""
    folder, argv = half_done
    assert run.main([*argv[:-1], str(tmp_path / "other"), "--set", "optimizer.lr=0.5"]) == 0
    shutil.copy(tmp_path / "other/checkpoint.pt", folder / "checkpoint.pt")
    assert "holds a run with other settings (settings " in refused(argv, capsys)


def test_other_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for k in "ab":
            (tmp_path / "data" / part / k).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "data" / part / k / f"{i}.png")
    folder = ["--dataset", "folder", "--data-root", str(tmp_path / "data"), "--labels", "4", "--steps", "3"]
    argv = [*QUICK, *folder, "--out", str(tmp_path / "run")]
    assert run.main(argv) == 0
    (tmp_path / "run/result.json").unlink()
    Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "data/train/a/0.png")
    line = refused(argv, capsys)
    assert "holds a run with other images (data_hash " in line and "choose another --out, or give --fresh" in line


def test_all_that_differs_is_told_with_the_likeliest_reason_first():
    then = {"source": "a", "code": "b", "data_hash": "c", "split_hash": "d", "precision": "fp32"}
    now = then | {"source": "x", "data_hash": "y", "precision": "bf16", "plugins": ""}
    assert differing(then, then | {"plugins": ""}) == ""
    assert differing(then, now) == (
        "other images (data_hash c, now y), other code of ssl_zoo (source a, now x), another precision (precision fp32, now bf16)"
    )


def changed(folder, change):
    """Give a folder a whole checkpoint with another content."""
    checkpoints = Checkpoints(folder)
    state = checkpoints.load(torch.device("cpu"))
    change(state)
    checkpoints.save(state)
    checkpoints.wait()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("guard"), "has no usable guard"),
        (lambda s: s.update(step="3", skipped=None), "has no usable step, skipped"),
        (lambda s: s["algorithm"].popitem(), "does not fit the method and net"),
        (lambda s: s["optimizer"].pop("state"), "does not fit the method and net"),
        (lambda s: s["optimizer"]["state"].update({99: s["optimizer"]["state"][0]}), "does not fit the method and net"),
        (
            lambda s: s["optimizer"]["state"][0].update(exp_avg=torch.zeros(1)),
            r"\(exp_avg of the optimiser has the shape \(1,\)\)",
        ),
        (lambda s: s["optimizer"]["state"][0].pop("exp_avg_sq"), "does not fit the method and net"),
        (lambda s: s["optimizer"]["state"][0].update(exp_avg=3), "does not fit the method and net"),
    ],
)
def test_a_checkpoint_of_another_form(change, said, half_done, capsys):
    """Sound by its digest, which is no signature: nothing of it is trusted that a kernel would take for granted."""
    folder, argv = half_done
    changed(folder, change)
    assert re.search(said, refused(argv, capsys))


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"{", b"\xff", b"7", b"[" * 100_000])
def test_metrics_that_were_edited(line, half_done, capsys):
    folder, argv = half_done
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(line + b"\n" + content)
    assert "metrics.jsonl has a line that no run has written" in refused(argv, capsys, status=1)


def test_what_a_kill_left_before_anything_was_written_is_in_nobody_s_way(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.config.yaml.partial").write_text("alg: mea")
    assert run.main([*QUICK, "--steps", "2", "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("out", ["x" * 300, "/dev/null/run"], ids=["too long", "below a file"])
def test_an_out_that_cannot_be(out, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "choose another --out" in refused([*QUICK, "--steps", "2", "--out", out], capsys)


@pytest.mark.parametrize("root", ["x" * 300, "~nobody-of-this-name/x", "\0"])
def test_a_data_root_that_cannot_be(root, capsys, tmp_path):
    words = ["--dataset", "folder", "--data-root", root, "--labels", "4", "--out", str(tmp_path / "run")]
    assert root[:10].strip("\0") in refused([*QUICK, *words], capsys)


def test_a_split_file_without_end(capsys, tmp_path):
    (tmp_path / "split.json").write_text("[" * 100_000)
    words = ["--set", f"split_file={tmp_path / 'split.json'}", "--out", str(tmp_path / "run")]
    assert "split.json is not JSON" in refused([*QUICK, *words], capsys)


def test_settings_that_change_no_number_may_change(tmp_path, capsys):
    argv = [*QUICK, "--steps", "4", "--out", str(tmp_path / "run")]
    assert run.main(argv) == 0
    (tmp_path / "run/result.json").unlink()
    for words in (["--set", "checkpoint_seconds=5"], ["--strict"], ["--dataset", "digits", "--data-root", "elsewhere"]):
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
    command = [sys.executable, RUN, *QUICK, "--labels", "5000", "--out", "a/b"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 2
    assert list(tmp_path.iterdir()) == []
