import json

import pytest

from ssl_zoo import InputError
from ssl_zoo.runs import row as results
from tests.tables.rows import lost, row


@pytest.mark.parametrize("change", [{"diverged": 3}, {"steps": 0}, {"config": None}])
def test_what_is_no_row_of_a_run_that_diverged_is_refused(change, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(lost("x", 0, **change)))
    with pytest.raises(InputError, match="is not the row of a run"):
        results.read_all_rows([path])


def test_reading_rows(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/result.json").write_text(json.dumps(row(), indent=1))
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row(seed=1))}\n{json.dumps(row(seed=2))}\n")
    assert [r["seed"] for r in results.read_rows([tmp_path / "a", tmp_path / "rows.jsonl"])] == [0, 1, 2]
    (tmp_path / "half.jsonl").write_text('{"algorithm": "x"}\n{"alg')
    for path, message in {"half.jsonl": "half.jsonl:1 is not the row of a run", "none": "holds no finished run"}.items():
        with pytest.raises(InputError, match=message):
            results.read_rows([tmp_path / path])


@pytest.mark.parametrize(
    "config",
    [
        {"algorithms": {"x": 3}},
        {"algorithms": {"x": {"batch": 3}}},
        {"algorithms": {"x": {"batch": {"unlabeled": "many"}}}},
        {"algorithms": {}, "evaluation": 3},
        {"algorithms": {}, "val_fraction": "some"},
        {"algorithms": {}, "val_fraction": 2},
    ],
)
def test_settings_that_no_table_can_read_are_refused(config, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row(config=config)))
    with pytest.raises(InputError, match="its config cannot be"):
        results.read_all_rows([path])
