"""How many runs should share a device: the choice in exact numbers, and a real measurement of tiny runs."""

import os
import re
from pathlib import Path

import pytest

from ssl_zoo.cli import share as command
from ssl_zoo.errors import InputError, RunError
from ssl_zoo.sweeps import share

DIGITS = ["--device", "cpu", "--net", "smallnet", "--alg", "supervised"]


class Fake:
    """A copy whose device makes so many steps a second for so many copies, and holds so many at most."""

    def __init__(self, told, totals):
        self.told, self.totals = told, totals
        told.append("start")

    def prepare(self, threads):
        self.told.append(threads)

    def ready(self):
        if self.told.count("start") > max(self.totals):
            raise RunError("out of memory")
        self.told.append("ready")

    def go(self, seconds):
        self.told.append(f"go {seconds}")

    def rate(self):
        count = self.told.count("start")
        return self.totals[count] / count


@pytest.mark.parametrize(
    ("totals", "most", "measured", "best"),
    [
        ({1: 10, 2: 20, 4: 30, 8: 31, 16: 99}, 16, [1, 2, 4, 8], 4),  # eight make hardly more
        ({1: 10, 2: 10.5}, 16, [1, 2], 1),
        ({1: 10, 2: 8}, 2, [1, 2], 1),
        ({1: 10, 2: 19, 4: 36}, 16, [1, 2, 4], 4),  # there is no memory for eight
        ({1: 10, 2: 20, 4: 40, 6: 60}, 6, [1, 2, 4, 6], 6),
        ({1: 10}, 1, [1], 1),
    ],
)
def test_the_choice(totals, most, measured, best, capsys):
    told = []
    found = share.measured(lambda: Fake(told, totals), most, threads=4, seconds=3)
    assert found == pytest.approx({count: totals[count] for count in measured}) and share.best(found) == best
    rounds = ["start", 4, "ready", "go 3", "start", 2, 2, "ready", "ready", "go 3", "go 3", "start", "start", 1, 1, 1, 1]
    assert told[:17] == rounds[: len(told)], "all are ready before one begins"
    assert ("8 at a time do not run: out of memory" in capsys.readouterr().err) == (max(totals) == 4)


PLUGIN = """
import os, time
print("a line that is no answer")
from ssl_zoo import ALGORITHMS
from ssl_zoo.algorithms.supervised import Supervised

@ALGORITHMS.register("slow")
class Slow(Supervised):
    \"\"\"A step takes 20 ms; it says in which state it is, and dies of a second copy.\"\"\"

    calls = 0

    def loss(self, batch, progress):
        import torch
        Slow.calls += 1
        with open("log", "a") as log:
            devices = os.environ["CUDA_VISIBLE_DEVICES"]
            log.write(f"{os.getpid()} {Slow.calls} {torch.get_num_threads()} {self.training} {devices}\\n")
        if os.path.exists("die"):
            raise RuntimeError("no memory")
        time.sleep(0.02)
        return super().loss(batch, progress)
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Settings of a run whose steps take 20 ms, and where they leave word."""
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(PLUGIN)
    return ["--plugin", "slow.py", "--alg", "slow", "--net", "smallnet", "--device", "cpu", "--set", "batch.labeled=2"]


def left():
    """What the copies left: of each process, its calls with threads, mode and devices."""
    lines = [line.split() for line in Path("log").read_text().splitlines()]
    return {pid: [(calls, *rest) for own, calls, *rest in lines if own == pid] for pid in {line[0] for line in lines}}


def test_copies_make_steps_and_end(slow):
    found = share.measured_with(*command.settings_of(slow), "", most=2, threads=2, seconds=1.0)
    assert 0 < found[1] < 50 and 0 < found[2] < 100, "a step takes at least 20 ms"
    copies = left()
    assert sorted(len({call[1] for call in calls}) for calls in copies.values()) == [1, 2], "threads are shared out"
    assert {call[2] for calls in copies.values() for call in calls} == {"True"}, "in training mode"
    for pid in copies:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_copy_sees_its_device_alone(slow):
    share.measured_with(*command.settings_of(slow), "7", most=1, threads=1, seconds=0.05)
    assert {device for calls in left().values() for *_, device in calls} == {"7"}


def test_the_table(slow, capfd):
    assert command.main([*slow, "--most", "1", "--steps", "3"]) == 0  # and they go on after the last step of the run
    row = re.search(r"\| 1 \| (\d+\.\d) \| 1\.00 \|\n\nbest: 1 at a time", capfd.readouterr().out)
    assert float(row[1]) > 0


def test_a_copy_that_dies_is_told_of(slow):
    Path("die").touch()
    with pytest.raises(InputError, match=r"^a copy of the run makes no steps: RuntimeError: no memory$"):
        share.measured_with(*command.settings_of(slow), "", 1)


def test_a_copy_that_was_killed_is_told_of(slow):
    copy = share.Process(*command.settings_of(slow), "")
    copy.prepare(1)
    copy.ready()
    copy._process.kill()
    copy.go(1)
    with pytest.raises(RunError, match=r"^(it ended with status -9|a line that is no answer)$"):
        copy.rate()
    copy.close()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--most", "0"], "--most is 0"),
        (["--nett", "smallnet"], "unknown argument '--nett'; did you mean '--net'"),
        (["--net", "smallnot"], "no net is called 'smallnot'"),
        (["--device", "cuda:1"], "name it as CUDA_VISIBLE_DEVICES=1 and give --device cuda"),
        (["--list"], "--list, --print-config and --help are of run.py alone"),
    ],
)
def test_bad_input(argv, said, capsys):
    assert command.main(argv) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("share.py: ") and len(line.splitlines()) == 1


def test_a_copy_that_cannot_run_says_why(tmp_path):
    argv = [*DIGITS, "--dataset", "folder", "--data-root", str(tmp_path / "none")]
    with pytest.raises(InputError, match=r"^a copy of the run makes no steps: .*none"):
        share.measured_with(*command.settings_of(argv), "", 1)
