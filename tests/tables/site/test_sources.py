"""Which paths hold rows, what they are called, and what is passed over."""

import json

import pytest

from ssl_zoo.errors import InputError
from ssl_zoo.tables.site.sources import read_sources
from tests.tables.rows import ROWS, lost, row


def put(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_each_file_is_alone_and_run_folders_beside_each_other_are_one(tmp_path):
    ours, theirs = put(tmp_path / "ours.jsonl", *ROWS), put(tmp_path / "theirs.jsonl", *ROWS)
    for number, one in enumerate(ROWS):
        put(tmp_path / f"runs/{number}/result.json", one)
    put(tmp_path / "runs/gone/diverged.json", lost("my_method", 7))
    runs = sorted((tmp_path / "runs").iterdir())
    sources, passed = read_sources([ours, theirs, *runs, ours], published=False)
    assert [source.name for source in sources] == [path.as_posix() for path in (ours, theirs, tmp_path / "runs")] and not passed
    assert [len(source.found.rows) for source in sources] == [4, 4, 4] and len(sources[2].found.lost) == 1
    assert all(len(source.tables) == 1 for source in sources) and sources[0].tables[0].cells == sources[2].tables[0].cells


def test_what_holds_no_rows_of_runs_is_passed_over_and_said(tmp_path):
    ladder = put(tmp_path / "ladder.jsonl", row(rung="S0", above=None, change="", scale=1.0, set=[]))
    speed = put(tmp_path / "speed.json", {"workloads": {}})
    sources, passed = read_sources([put(tmp_path / "a.jsonl", *ROWS), ladder, speed, tmp_path / "nowhere"], published=False)
    assert len(sources) == 1 and len(passed) == 3
    assert passed[0].startswith(f"{ladder} is passed over: its rows are of a ladder") and "`ssl-zoo ladder --read`" in passed[0]
    assert (
        passed[1].startswith(f"{speed} is passed over: it is not the row of a run: it lacks algorithm") and len(passed[1]) < 300
    )
    assert passed[2].startswith(f"{tmp_path / 'nowhere'} is passed over: it holds no finished run")
    with pytest.raises(InputError, match=r"no path holds rows of runs: .*ladder.*speed"):
        read_sources([ladder, speed], published=False)


def test_what_is_left_out_of_a_table_is_said(tmp_path):
    other = row(seed=5, precision="bf16")
    sources, _ = read_sources([put(tmp_path / "a.jsonl", *ROWS, other)], published=True)
    assert any("left out: other than" in line for line in sources[0].said)
    assert any("no published number" in line for line in sources[0].said)
