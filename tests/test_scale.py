"""The figures of docs/scale.md come from a results file, and the tables say what the figures say."""

import json
import mmap
from pathlib import Path

import pytest

from benchmarks import scale
from ssl_zoo.tables.documents import insert

ROOT = Path(__file__).parent.parent


def test_the_document_is_made_from_the_results_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    name = "benchmarks/results/scale.json"
    figures = json.loads(Path(name).read_text())
    text = Path("docs/scale.md").read_text()
    assert insert(text, name, scale.markdown(figures)) == text and not figures["commit"].endswith("-dirty")
    memory = figures["measured"]["memory"]
    for classes in scale.CLASSES:
        assert memory[f"{classes} float32"]["bytes"] == 4 * classes and memory[f"{classes} bfloat16"]["bytes"] == 2 * classes


def test_what_a_row_costs_is_multiplied_by_the_rows():
    figures = {
        "device": "d",
        "versions": {"torch": "2"},
        "commit": None,
        "measured": {
            "image": 1000,
            "epoch": {"1000": 1.0, "2000": 4.0},  # of which the larger counts
            "places": {"1000": 1e-3},
            "memory": {f"{k} {d}": {"bytes": k, "update": 1e-3} for k in scale.CLASSES for d in ("float32", "bfloat16")},
            "row": {"names": 100, "leakage": 10},
            "fingerprint": 1e-6,
            "leaks": 2e-6,
        },
    }
    made = scale.markdown(figures)
    for line in (
        "| pixels, in a mapped file or on the device | 1.00 | 10.00 | 100.00 |",
        "| names of files, on the host | 0.10 | 1.00 | 10.00 |",
        "| memory of Temporal Ensembling, 1000 classes, float32 | 1.00 | 10.00 | 100.00 |",
        "| hash of the data, at the start | 1.0 | 10.0 | 100.0 |",
        "| a new order, at each epoch | 2000.0 | 20000.0 | 200000.0 |",
    ):
        assert line in made.splitlines()


def test_what_is_held_is_seen():
    def pages():  # not from the allocator, which may give what earlier tests have freed
        memory = mmap.mmap(-1, 50 << 20)
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1
        return memory

    assert 0.9 < scale.held(pages) / (50 << 20) < 1.3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--into", "x.md"], "--into needs --read"),
        (["--read", "none.json"], "No such file"),
        (["--read", "bad.json"], "holds no figures of scale.py"),
    ],
)
def test_bad_input(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    assert scale.main(argv) == 2
    line = capsys.readouterr().err
    assert line.startswith("scale.py: ") and said in line and len(line.splitlines()) == 1
