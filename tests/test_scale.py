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
    for classes, top, dtype in scale.MEMORIES:
        each = (top * 2 if top else 0) + (top or classes) * (4 if dtype == "float32" else 2)
        found = memory[f"{classes} {top} {dtype}"]
        assert found["bytes"] == each and found["held"] == pytest.approx(each + 8, rel=0.1)  # with the visits
    assert {memory[f"1000 {scale.TOP} {dtype}"]["rows"] for dtype in ("float32", "bfloat16")} == {scale.MANY}


def test_what_a_row_costs_is_multiplied_by_the_rows():
    many, some = ({"seconds": n * 1e-6, "held": n * 100, "peak": n * 10} for n in (scale.MANY, scale.SOME))
    memory = {f"{k} {top} {d}": {"rows": scale.MANY // k, "bytes": k, "update": 1e-3} for k, top, d in scale.MEMORIES}
    figures = {
        "device": "d",
        "versions": {"torch": "2"},
        "commit": None,
        "measured": {
            **dict.fromkeys(("order", "names", "texts", "load", "data_hash", "guard"), many),
            **dict.fromkeys(("listing", "layout"), some),
            "places": {"1000": 1e-3},
            "memory": memory,
            "fingerprint": 1e-6,
            "short_hashes": 2e-6,
        },
    }
    made = scale.markdown(figures)
    for line in (
        "| pixels, in a mapped file or on the device * | 3.07 | 30.72 | 307.20 |",
        "| names of files, in one buffer | 0.10 | 1.00 | 10.00 |",
        "| start, leakage guard, at most | 0.01 | 0.10 | 1.00 |",
        "| start, listing of a folder, at most * | 0.01 | 0.10 | 1.00 |",
        "| memory of Temporal Ensembling, 1000 classes, the 8 largest, float32 * | 1.00 | 10.00 | 100.00 |",
        "| making the cache, hashes of the images * | 2.0 | 20.0 | 200.0 |",
        "| start, listing of a folder * | 1.0 | 10.0 | 100.0 |",
        "| a new order, at each epoch | 0.5 | 5.0 | 50.0 |",  # two were measured
    ):
        assert line in made.splitlines()
    memory["1000 8 float32"]["rows"] = scale.MANY
    assert "1000 classes, the 8 largest, float32 | 1.00" in scale.markdown(figures)


@pytest.mark.skipif(not scale.STATUS.exists(), reason="Linux says what a process holds")
def test_what_is_held_and_what_was_held_on_the_way_are_seen():
    def pages(size):  # not from the allocator, which may give what earlier tests have freed
        memory = mmap.mmap(-1, size)
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1
        return memory

    def work():
        pages(100 << 20).close()
        return pages(50 << 20)

    found = scale.costs(work)
    assert 0.9 < found["held"] / (50 << 20) < 1.3 and 0.9 < found["peak"] / (100 << 20) < 1.3 and found["seconds"] > 0


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
