"""How many threads a run takes: the choice in exact numbers, and that a run keeps the number that it began with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import run
from ssl_zoo.runs import threads


@pytest.fixture(autouse=True)
def given_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def choice(seconds, most=4):
    """What is chosen where a step takes so long by the number of threads, and how long it takes to choose."""
    clock, steps = [0.0], []

    def step():
        steps.append(torch.get_num_threads())
        clock[0] += seconds(torch.get_num_threads(), len(steps))

    return threads.chosen(step, most, lambda: clock[0]), clock[0], steps


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (lambda n, k: 0.04, 1),  # no gain
        (lambda n, k: 0.04 / n, 4),
        (lambda n, k: 0.04 if n == 1 else 0.03, 1),  # a quarter less is not worth three cores
        (lambda n, k: 0.04 if n == 1 else 0.027, 4),
        (lambda n, k: 0.04 if n == 1 else 0.4, 1),  # they wait for a core that is busy
        (lambda n, k: 0.001 if n == 1 else 0.0002, 4),
        (lambda n, k: 3.0 / n, 4),  # large: not measured further
        (lambda n, k: 3.0, 4),
        (lambda n, k: (5.0 if k == 1 else 0.04) / n, 4),  # the first step allocates
    ],
)
def test_the_choice(seconds, found):
    assert choice(seconds)[0] == found


def test_it_costs_under_a_second_where_a_step_is_not_large():
    for one in (0.001, 0.04, 0.1, 0.24):
        for gain in (0.2, 0.9, 2.9):
            _, spent, _ = choice(lambda n, k, one=one, gain=gain: one if n == 1 else one * gain)
            assert spent < 2 * one + 2.9 * one + 0.6 + one * (1 + gain), (one, gain)
    _, spent, steps = choice(lambda n, k: 0.04 if n == 1 else 0.8)
    assert steps == [1, 1, 4] and spent < 1, "a busy core is known after one step"


def test_a_number_is_taken_as_it_is(tmp_path):
    words = ["--alg", "supervised", "--net", "smallnet", "--steps", "2", "--device", "cpu"]
    for number in (1, 2):
        assert run.main([*words, "--threads", str(number), "--out", str(tmp_path / str(number))]) == 0
        row = json.loads((tmp_path / str(number) / "result.json").read_text())
        assert row["threads"] == number and row["device"].endswith(f", {number} threads")


@pytest.mark.parametrize("bad", ["0", "-1", "many", "1.5", "2000"])
def test_bad_numbers(bad, tmp_path, capsys):
    assert run.main(["--threads", bad, "--out", str(tmp_path / "o")]) == 2
    assert "threads = " in capsys.readouterr().err


def test_a_run_resumes_with_the_number_that_it_began_with(tmp_path, monkeypatch, capsys):
    """Whatever is free by then: another number rounds otherwise. A number that is asked for comes before."""
    words = ["--alg", "meanteacher", "--net", "smallnet", "--steps", "4", "--device", "cpu", "--set", "evaluation.every=2"]
    monkeypatch.setattr(threads, "chosen", lambda step, most: 2)
    monkeypatch.setattr(threads, "free_cores", lambda: 8)
    torch.set_num_threads(8)
    out = tmp_path / "run"
    assert run.main([*words, "--out", str(out)]) == 0
    assert ", 2 threads, " in capsys.readouterr().out
    (out / "result.json").unlink()
    monkeypatch.setattr(threads, "chosen", lambda step, most: pytest.fail("measured"))
    assert run.main([*words, "--out", str(out)]) == 0
    assert json.loads((out / "result.json").read_text())["threads"] == 2
    (out / "result.json").unlink()
    assert run.main([*words, "--threads", "3", "--out", str(out)]) == 0
    row = json.loads((out / "result.json").read_text())
    assert row["threads"] == 3 and [part["device"].rpartition(", ")[2] for part in row["history"]] == ["2 threads", "3 threads"]


def test_measuring_leaves_the_run_as_it_is(tmp_path, monkeypatch):
    """The same bits with a number that was measured and one that was given."""
    words = ["--alg", "tempens", "--net", "wrn10_1", "--steps", "3", "--device", "cpu"]
    monkeypatch.setattr(threads, "free_cores", lambda: 2)
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "WORTH", 0.0)  # one it is, after all steps of the measurement
    assert run.main([*words, "--out", str(tmp_path / "auto")]) == 0
    assert run.main([*words, "--threads", "1", "--out", str(tmp_path / "one")]) == 0
    rows = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("auto", "one")]
    assert rows[0]["evaluations"] == rows[1]["evaluations"] and rows[0]["threads"] == rows[1]["threads"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="processors are counted and bound by Linux")
def test_one_core_is_one_thread(tmp_path):
    words = ["--alg", "supervised", "--net", "smallnet", "--steps", "2", "--device", "cpu", "--out", str(tmp_path / "o")]
    subprocess.run(["taskset", "-c", "0", sys.executable, "-m", "ssl_zoo", "run", *words], check=True, capture_output=True)
    assert json.loads(Path(tmp_path / "o/result.json").read_text())["threads"] == 1


def test_more_threads_are_not_timed_beyond_the_budget():
    """Rounds end when the time is spent, whatever they would still say."""
    _, spent, steps = choice(lambda n, k: 0.2 if n == 1 else 0.19)
    assert len(steps) == 4 and spent > threads.BUDGET


def test_a_method_that_cannot_be_copied_takes_one(monkeypatch):
    import threading
    from types import SimpleNamespace

    from ssl_zoo.device import machine

    monkeypatch.setattr(threads, "free_cores", lambda: 4)
    torch.set_num_threads(4)
    parts = SimpleNamespace(algorithm=threading.Lock(), pipeline=None)
    assert threads.settle(machine("cpu", "fp32"), parts, "auto").threads == 1
