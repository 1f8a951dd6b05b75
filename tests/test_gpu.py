"""What is asked of a GPU, asked of the CPU: which files and lines come out, nothing twice, and never over the time."""

import json
import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.on_gpu import beside, checks, children, method, prepare, session, speed

ROOT = Path(__file__).parent.parent


def flags(out, minutes=1.0, **more):
    given = {"minutes": minutes, "small": True, "again": False, "seed": 0, "out": out, "began": session.time.monotonic()}
    return Namespace(**{**given, **more})


def made(tmp_path, **more):
    return session.Session(flags(tmp_path / "out", **more), torch.device("cpu"), tmp_path / "work")


def ask(out, work, *words):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CUDA_VISIBLE_DEVICES")}
    call = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--device", "cpu", "--small", "--out", str(out), *words]
    done = subprocess.run(call, env={**environment, "SSL_ZOO_WORK": str(work)}, capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_all_of_it_on_the_cpu_and_nothing_twice(tmp_path):
    out = tmp_path / "out"
    status, said = ask(out, tmp_path / "work", "--minutes", "14")
    assert status == 0, said
    rows = [json.loads(line) for line in (out / "checks.jsonl").read_text().splitlines()]
    asked = {("", "tests 1/1"), *((name, check) for name, known in checks.SMALL.items() for check in known)}
    assert {(row["method"], row["check"]) for row in rows} == asked and len(rows) == len(asked)
    assert all(row["ok"] and row["small"] and row["code"] and row["torch"] == torch.__version__.split("+")[0] for row in rows)
    for line in ("meanteacher twice: the same bits", "fixmatch killed: the same bits, killed in step 7, gone on with from 4"):
        assert line in said.splitlines()
    compiled = next(row for row in rows if row["check"] == "compiled")
    assert float(re.search(r"first step ([\d.]+) s", compiled["said"])[1]) > 0  # it was compiled
    (figures,) = out.glob("speed-small-*.json")
    assert json.loads(figures.read_text())["views"]["images"] == 8 and json.loads(figures.read_text())["of"] == ["views"]
    rungs, table = (
        [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()] for name in ("rungs", "table")
    )
    assert sorted((row["rung"], row["steps"]) for row in rungs) == [("A2", 8), ("S0", 8)]
    assert [(row["algorithm"], row["labels"], row["steps"]) for row in table] == [("meanteacher", 20, 8), ("fixmatch", 10, 8)]
    assert (out / "logs.tar.gz").exists() and "waits" not in said and "FAILED" not in said

    before = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".json", ".jsonl")}
    status, said = ask(out, tmp_path / "work", "--minutes", "5")
    lines = said.splitlines()
    assert status == 0 and sum(line.endswith("is there already; --again makes it anew") for line in lines) == len(lines) - 2
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".json", ".jsonl")}


@pytest.mark.slow
def test_a_limit_is_held_and_what_is_left_out_is_said(tmp_path):
    status, said = ask(tmp_path / "out", tmp_path / "work", "--minutes", "0.2")
    assert status == 0
    if "the time is over" in said:  # on a busy machine the start alone may take it
        assert "left out: checks, speed, rungs, table" in said or "checks: cut short: the time is over" in said
        return
    took, of = re.search(r"after (\d+) s of (\d+): there \(0\): nothing", said).groups()
    assert int(took) <= int(of) == 12
    for what in ("tests 1/1", "meanteacher", "speed views", "rungs", "table 20 labels: meanteacher"):
        assert re.search(rf"^{what}: left out: it takes \d+ s at least, and \d+ s are left$", said, re.MULTILINE), what
    assert "waits (7): tests 1/1, meanteacher" in said and {path.suffix for path in (tmp_path / "out").iterdir()} == {
        ".txt",
        ".gz",
    }


def test_a_process_over_its_time_is_ended(tmp_path):
    here = made(tmp_path)
    code = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"
    )
    tasks = [
        children.Task(name, seconds, lambda given, words=words: children.command("x", ["-c", words], here.logs / "x.txt", given))
        for name, seconds, words in (("long", 0.5, code), ("short", 60, "print('done')"))
    ]
    ended = [*children.together(here, tasks, 2, 0.1)]
    assert sorted((child.late, child.status) for child in ended) == [(False, 0), (True, -9)]
    assert next(child for child in ended if not child.late).says() == "done"


def test_the_time_of_a_start_counts(tmp_path):
    here, began = made(tmp_path), session.time.monotonic()

    def start(seconds):
        session.time.sleep(0.5)
        return children.command("x", ["-c", "import time; time.sleep(600)"], here.logs / "x.txt", seconds)

    (child,) = children.together(here, [children.Task("x", 1.0, start)], 1, 0.1)
    assert child.late and child.seconds <= 0.5 and session.time.monotonic() - began >= 1.0


def test_nothing_is_started_where_there_is_no_time(tmp_path):
    here = made(tmp_path, minutes=0.001)

    def start(seconds):
        raise AssertionError("it was started")

    assert [*children.together(here, [children.Task("piece", 10, start)], 1, 5)] == []
    assert (
        here.waits == ["piece"]
        and "piece: left out: it takes 5 s at least, and 0 s are left" in (here.out / "gpu.txt").read_text()
    )
    assert here.close() == 0


def test_what_is_known_is_of_this_device_and_whole(tmp_path):
    here = made(tmp_path)
    for row in ({"device": here.device, "a": 1}, {"device": f"{here.device}, 3 threads", "a": 2}, {"device": "another", "a": 3}):
        session.append(here.out / "x.jsonl", row)
    with (here.out / "x.jsonl").open("a") as file:
        file.write('{"device": "cut sh')
    assert [row["a"] for row in here.rows("x.jsonl")] == [1, 2]
    assert session.plain("NVIDIA H200") == "NVIDIA H200"
    assert made(tmp_path, again=True).rows("x.jsonl") == []


def test_a_check_is_known_by_its_code(tmp_path, monkeypatch):
    here = made(tmp_path)
    code = checks.code_of(["fixmatch"], "smallnet")
    row = {"method": "fixmatch", "check": "plain", "code": code, "ok": True}
    session.append(here.out / checks.FILE, {**here.known, **row})
    assert [*checks.known(here)] == [("fixmatch", "plain", code)]
    assert checks.code_of(["meanteacher"], "smallnet") != code != checks.code_of(["fixmatch"], "wrn28_2")
    monkeypatch.setattr(checks.provenance, "source", lambda: "another")
    assert checks.code_of(["fixmatch"], "smallnet") not in {key[2] for key in checks.known(here)}


def test_failures_are_told(tmp_path):
    log = (
        "tests/gpu/test_x.py::test_a[one] PASSED [ 50%]\ntests/gpu/test_x.py::test_a[two] FAILED [100%]\n"
        "FAILED tests/gpu/test_x.py::test_a[two] - RuntimeError: no\n"
    )
    assert checks.outcomes(log) == (1, ["tests/gpu/test_x.py::test_a[two] - RuntimeError: no"])
    assert checks.outcomes(log.rpartition("FAILED")[0]) == (1, ["tests/gpu/test_x.py::test_a[two]"])  # cut short
    here = made(tmp_path)
    here.failed("fixmatch plain", "no")
    assert here.close() == 1


def test_a_method_that_fails_a_check_is_asked_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(method.Method, "plain", lambda self: 1 / 0)
    monkeypatch.setattr(method, "CLOSE", -1.0)
    plan = method.Plan("pimodel", "smallnet", "cpu", 4, str(tmp_path / "runs"))
    method.ask(plan, ("plain", "twice", "cpu"), {"method": "pimodel"}, str(tmp_path / "rows.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["check"], row["ok"]) for row in rows] == [("plain", False), ("twice", True), ("cpu", False)]
    assert rows[0]["said"].startswith("ZeroDivisionError") and rows[2]["said"].startswith(
        "the first loss is not the CPU's: 0.0e+00"
    )


def test_parts_of_the_speed_are_kept_together_and_of_one_code(tmp_path, monkeypatch):
    here = made(tmp_path)
    found = {"device": "d", "workloads": {"cifar": 1}, "views": None, "rows": None}
    speed._keep(here, "cifar", found)
    speed._keep(here, "views", {**found, "workloads": {}, "views": 2})
    kept = json.loads((here.out / speed.file_of(here)).read_text())
    assert (kept["workloads"], kept["views"], kept["rows"], kept["of"]) == ({"cifar": 1}, 2, None, ["cifar", "views"])
    monkeypatch.setattr(speed.provenance, "source", lambda: "another")
    speed._keep(here, "rows", {**found, "workloads": {}, "rows": 3})
    kept = json.loads((here.out / speed.file_of(here)).read_text())
    assert (kept["workloads"], kept["views"], kept["rows"], kept["of"]) == ({}, None, 3, ["rows"])


def test_how_many_steps_fit(tmp_path):
    here = made(tmp_path, minutes=10, small=False)
    most = beside.fit(here, 20.0, 82_000, None)
    assert 0.8 * 20 * 500 < most < 20 * 520
    assert beside.fit(here, 20.0, 1000, None) == 1000 and beside.fit(here, 20.0, 82_000, 5000) == 5000
    assert beside.fit(here, 20.0, 82_000, 50_000) == pytest.approx(most, rel=0.01)


def test_a_rate_that_takes_too_long_to_measure_is_given_up(tmp_path, monkeypatch):
    class Stuck:
        def __init__(self, *given):
            self.closed = beside.threading.Event()

        def prepare(self, threads):
            pass

        def ready(self):
            assert self.closed.wait(60)
            raise beside.RunError("it ended with status -9")

        def close(self):
            self.closed.set()

    here = made(tmp_path, minutes=10)
    monkeypatch.setattr(beside.share, "Process", Stuck)
    monkeypatch.setattr(beside, "LIMIT", 0.1)
    cell = Namespace(name="cell", settings=None, plugins=())
    assert beside.rates(here, "rungs", [cell]) == {} and here.waits == ["rungs"] and here.bad == []


def test_every_method_is_asked():
    names = checks.methods()
    assert names[:4] == ["supervised", "pimodel", "tempens", "meanteacher"] and len(names) == len({*names}) == 19


@pytest.mark.parametrize("words", [[], ["--minutes", "0"], ["--minutes", "1", "--only", "chekcs"], ["--prepare", "nowhere"]])
def test_bad_input(words, capsys):
    with pytest.raises(SystemExit) as error:
        gpu.parse(words)
    assert error.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("gpu.py: error: ")


def test_what_goes_along(tmp_path, monkeypatch, capsys):
    root, archive = tmp_path / "checkout", tmp_path / "images.tar.xz"
    archive.write_bytes(b"images")
    run = subprocess.run

    def git(*words):
        return run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout

    root.mkdir()
    git("init", "-q")
    (root / "code.py").write_text("1\n")
    git("add", "code.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    monkeypatch.setattr(prepare.subprocess, "run", lambda words, **more: run(["true"] if "pip" in words else words, **more))
    assert prepare.prepare(archive, root) == prepare.prepare(archive, root) == 0
    assert (root / ".gpu/src/code.py").exists() and (root / ".gpu/images.tar.xz").read_bytes() == b"images"
    assert git("status", "--porcelain") == "" and "gpu.py --minutes" in capsys.readouterr().out
