import json
from pathlib import Path

import pytest

from benchmarks import plot, table
from ssl_zoo import InputError, results

ROOT = Path(__file__).parent.parent


def row(alg="supervised", seed=0, accuracy=0.8, **more):
    config = {"alg": alg, "net": "n", "steps": 5, "labels": 20, "seed": seed, "algorithms": {alg: {}}, "optimizer": {"lr": 0.1}}
    base = dict.fromkeys(results.ROW, 0) | {
        "algorithm": alg,
        "net": "n",
        "dataset": "d",
        "labels": 20,
        "seed": seed,
        "split_seed": seed,
        "split_hash": f"h{seed}",
        "accuracy": accuracy,
        "accuracy_student": accuracy,
        "error_rate": 1 - accuracy,
        "evaluations": [{"step": 5, "accuracy": accuracy}],
        "confusion": [[1, 2], [3, 4]],
        "device": "cpu",
        "versions": {"ssl_zoo": "0", "torch": "2", "python": "3"},
        "commit": "abc",
        "config": config,
    }
    return base | more


def test_numbers_done_by_hand():
    rows = [row(seed=0, accuracy=0.7), row(seed=1, accuracy=0.8), row("x", 0, 0.8), row("x", 1, 0.96)]
    lines = table.table(rows).splitlines()
    assert lines[2].startswith("| supervised | 20 | 75.0 ± 7.1 | 25.0 ± 7.1 | 75.0 ± 7.1 |  | 0 | 2 |")
    # differences 10 and 16: mean 13, s = 4.243, t(.975, 1) = 12.706, half = 38.1
    assert "| x | 20 | 88.0 ± 11.3 | 12.0 ± 11.3 | 88.0 ± 11.3 | +13.0 (-25.1 to +51.1) | 0 | 2 |" in lines[3]
    assert "10 test images" in lines[-1] and "seeds 0, 1" in lines[-1]


def test_differences_are_paired_by_split():
    rows = [row(seed=0, accuracy=0.7), row(seed=1, accuracy=0.8), row("x", 0, 0.8, split_hash="other"), row("x", 1, 0.96)]
    assert "| x | 20 | 88.0 ± 11.3 | 12.0 ± 11.3 | 88.0 ± 11.3 |  | 0 | 2 |" in table.table(rows)


def test_the_caption_says_when_splits_were_shared():
    one_each = table.table([row(seed=0), row(seed=1)])
    shared = table.table([row(seed=0), row(seed=1, split_hash="h0", split_seed=0)])
    assert "each with a label split of its own" in one_each and "over 1 label splits" in shared


def test_all_labels_come_last():
    rows = [row(labels="all", seed=0, accuracy=0.1), row(seed=0), row(labels=100, seed=0)]
    assert [line.split("|")[2].strip() for line in table.table(rows).splitlines()[2:5]] == ["20", "100", "all"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"config": row()["config"] | {"optimizer": {"lr": 0.2}}, "seed": 1}, r"setting optimizer.lr \(0.1, 0.2\)"),
        ({"commit": "def", "seed": 1}, r"commit \(abc, def\)"),
        ({"data_hash": "x", "seed": 1}, "data_hash"),
        ({"config": row()["config"] | {"algorithms": {"supervised": {"a": 1}}}, "seed": 1}, "different options of the method"),
        ({}, "one seed twice"),
    ],
)
def test_runs_that_differ_are_not_averaged(other, message):
    with pytest.raises(InputError, match=message):
        table.table([row(), row() | other])


def test_reading_rows(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/result.json").write_text(json.dumps(row(), indent=1))
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row(seed=1))}\n{json.dumps(row(seed=2))}\n")
    assert [r["seed"] for r in results.read_rows([tmp_path / "a", tmp_path / "rows.jsonl"])] == [0, 1, 2]
    (tmp_path / "half.jsonl").write_text('{"algorithm": "x"}\n{"alg')
    for path, message in {"half.jsonl": "half.jsonl:1 is not the row of a run", "none": "holds no finished run"}.items():
        with pytest.raises(InputError, match=message):
            results.read_rows([tmp_path / path])


def test_the_command(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(seed=s)) + "\n" for s in range(2)))
    readme = tmp_path / "README.md"
    name = (tmp_path / "rows.jsonl").as_posix()
    readme.write_text(f"a\n<!-- table {name} -->\nold\n<!-- end -->\nb\n")
    assert table.main([name, "--into", str(readme), "--jsonl", str(tmp_path / "copy.jsonl")]) == 0
    text = readme.read_text()
    assert "old" not in text and "| supervised | 20 |" in text and text.endswith("<!-- end -->\nb\n")
    assert (tmp_path / "copy.jsonl").read_text() == (tmp_path / "rows.jsonl").read_text()
    assert table.main([str(tmp_path / "none")]) == 2 and "holds no finished run" in capsys.readouterr().err
    assert plot.main([name, "--out", str(tmp_path / "c.png")]) == 0 and (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    assert plot.main([name, "--out", str(tmp_path / "c.nothing")]) == 2


def test_the_readmes_table_is_made_from_the_results_file(monkeypatch):
    """And its numbers carry the promise of the default recipe: every method above supervised, Mean Teacher by eight points."""
    monkeypatch.chdir(ROOT)
    name = "benchmarks/results/digits.jsonl"
    rows = results.read_rows([Path(name)])
    text = Path("README.md").read_text()
    assert table.insert(text, name, table.table(rows)) == text
    cells = table.by_cell(rows)
    mean = {alg: sum(r["accuracy"] for r in cells[alg, 20]) / 5 for alg in ("supervised", "pimodel", "tempens", "meanteacher")}
    assert all(len(cells[alg, 20]) == 5 for alg in mean)
    assert mean["meanteacher"] >= mean["supervised"] + 0.08 and min(mean["pimodel"], mean["tempens"]) > mean["supervised"]
