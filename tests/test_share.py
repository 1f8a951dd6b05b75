"""How many runs should share a device: the choice in exact numbers, and a real measurement of tiny runs."""

import re

import pytest

from benchmarks import share
from ssl_zoo.errors import InputError, RunError

DIGITS = ["--device", "cpu", "--net", "smallnet", "--alg", "supervised"]


class Fake:
    """A copy whose device makes so many steps a second for so many copies, and holds so many at most."""

    def __init__(self, told, totals):
        self.told, self.totals = told, totals
        told.append("start")

    def ready(self):
        if self.told.count("start") > max(self.totals):
            raise RunError("out of memory")
        self.told.append("ready")

    def begin(self, seconds, threads):
        self.told.append(threads)

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
def test_the_choice(totals, most, measured, best, monkeypatch):
    monkeypatch.setattr(share, "cores", lambda: 4)
    told = []
    found = share.measured(lambda: Fake(told, totals), most)
    assert found == pytest.approx({count: totals[count] for count in measured}) and share.best(found) == best
    assert told[:3] == ["start", "ready", 4] and told[3:8] == ["start", "ready", "ready", 2, 2][: len(told) - 3]


def test_copies_make_steps_and_end(capfd):
    assert share.main([*DIGITS, "--most", "1", "--steps", "3"]) == 0  # and go on after the last step of the run
    row = re.search(r"\| 1 \| (\d+\.\d) \| 1\.00 \|\n\nbest: 1 at a time", capfd.readouterr().out)
    assert float(row[1]) > 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--most", "0"], "--most is 0"),
        (["--nett", "smallnet"], "unknown argument '--nett'; did you mean '--net'"),
        (["--net", "smallnot"], "no net is called 'smallnot'"),
    ],
)
def test_bad_input(argv, said, capsys):
    assert share.main(argv) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("share.py: ") and len(line.splitlines()) == 1


def test_a_copy_that_cannot_run_says_why(tmp_path):
    argv = [*DIGITS, "--dataset", "folder", "--data-root", str(tmp_path / "none")]
    with pytest.raises(InputError, match=r"^a copy of the run makes no steps: .*none"):
        share.measured_with(argv, "", 1)
