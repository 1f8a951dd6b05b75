"""What differs between two runs is said, and nothing else."""

import json

import pytest

from ssl_zoo.cli import compare
from tests.tables.rows import lost, row


def write(tmp_path, name, **more):
    (tmp_path / name).mkdir()
    (tmp_path / name / "result.json").write_text(json.dumps(row(**more)))
    return str(tmp_path / name)


def test_equal_runs_have_nothing_to_tell(tmp_path, capsys):
    assert compare.main([write(tmp_path, "a"), write(tmp_path, "b")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["settings: the same", "split, data, code, device: the same", "versions: the same"]
    assert (
        "  accuracy: 80.00 % and 80.00 %, +0.00 points" in lines and lines[-1] == "  the same at all 1 evaluations that both have"
    )


def test_each_kind_of_difference(tmp_path, capsys):
    points = [[{"step": s, "accuracy": a + s / 100} for s in (5, 10)] for a in (0.5, 0.5)]
    points[1][1]["accuracy"] = 0.7
    settings = row()["config"] | {"optimizer": {"lr": 0.2}, "extra": 1}
    one = write(tmp_path, "a", evaluations=points[0])
    two = write(
        tmp_path,
        "b",
        evaluations=points[1],
        config=settings,
        split_hash="x",
        versions=row()["versions"] | {"torch": "3"},
        accuracy=0.9,
        error_rate=0.1,
        commit="d",
    )
    assert compare.main([one, two]) == 0
    out = capsys.readouterr().out
    for line in (
        "  optimizer.lr: 0.1 and 0.2",
        "  extra: not there and 1",
        "  split_hash: h0 and x",
        "  commit: abc and d",
        "  torch: 2 and 3",
        "  accuracy: 80.00 % and 90.00 %, +10.00 points",
        "  they part at step 10; the largest difference is +10.00 points, at step 10",
    ):
        assert line in out.splitlines(), line


@pytest.mark.parametrize("second", ["none", "."])
def test_bad_input(second, tmp_path, capsys):
    one = write(tmp_path, "a")
    write(tmp_path, "b")
    assert compare.main([one, str(tmp_path / second)]) == 2
    assert ("holds no finished run" if second == "none" else "holds 2 runs") in capsys.readouterr().err


def test_a_run_that_diverged_has_nothing_to_compare(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/diverged.json").write_text(json.dumps(lost("x", 0)))
    assert compare.main([str(tmp_path / "a"), write(tmp_path, "b")]) == 2
    assert "holds a run that diverged, and no result" in capsys.readouterr().err
