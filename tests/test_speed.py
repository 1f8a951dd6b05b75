"""What is timed must be what is claimed. The times themselves are no test's business."""

import json
import os
import re
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import speed, timing
from benchmarks.plain import PlainMeanTeacher
from benchmarks.timing import decoding, starting, using
from ssl_zoo.data.augment import View
from ssl_zoo.runs import row as results
from ssl_zoo.tables.documents import insert

SMALL = speed.DIGITS._replace(rows=60, batch=(4, 6))
CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def data():
    return timing.random_data(SMALL)


@pytest.mark.parametrize(
    ("alg", "passes"),
    [
        ("supervised", [(4, True)]),
        ("pimodel", [(16, True)]),
        ("tempens", [(10, True)]),
        ("meanteacher", [(10, True), (6, False)]),
        ("fixmatch", [(16, True)]),
        ("pseudolabel", [(4, True), (6, True)]),
        ("adamatch", [(20, True), (8, True)]),
        ("comatch", [(22, True)]),
        ("ict", [(6, False), (4, True), (6, True)]),
        ("mixmatch", [(6, False), (6, False), (16, True)]),
        ("remixmatch", [(6, False), (58, True), (6, True), (6, True)]),
        ("vat", [(4, True), (6, True), (6, True)]),
    ],
)
def test_bare_makes_the_passes_of_a_step_and_nothing_else(alg, passes, data):
    bare = timing.Bare(timing.Ours(SMALL, alg, data, "cpu"))
    assert [(p.shape, p.grad) for p in bare.passes] == [((n, 1, 8, 8), grad) for n, grad in passes]
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in bare._inputs)
    before = [p.clone() for p in bare.trainer.algorithm.parameters()]
    gradients = []
    next(bare.trainer.algorithm.net.parameters()).register_hook(lambda gradient: gradients.append(1))
    bare.step()
    assert len(gradients) == sum(grad for _, grad in passes)
    assert all(p.grad is None for p in bare.trainer.algorithm.parameters())
    for p, was in zip(bare.trainer.algorithm.parameters(), before, strict=True):
        assert torch.equal(p, was)


def test_ours_makes_the_steps_of_a_run(data):
    ours = timing.Ours(SMALL, "meanteacher", data, "cpu")
    before = ours.trainer.algorithm.teacher.updates.item()
    ours.step(), ours.step()
    assert ours.trainer.algorithm.teacher.updates.item() == before + 2 and ours.done == 2


def test_the_parts_of_a_step_add_up_and_nothing_stays_wrapped(data, monkeypatch):
    ours = timing.Ours(SMALL, "meanteacher", data, "cpu")
    now = [0.0]
    monkeypatch.setattr(timing.parts.time, "perf_counter", lambda: now[0])

    def costs(owner, name, seconds):
        inner = getattr(owner, name)

        def call(*args, **kwargs):
            now[0] += seconds
            return inner(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for owner, name, seconds in (
        (ours.trainer.batches, "batch", 1),
        (View, "draw", 7),  # three views a step, within the batch
        (View, "apply", 10),  # all of them at once
        (ours.trainer.algorithm, "loss", 100),
        (ours.trainer.algorithm.teacher, "forward", 1000),  # within the loss
        (ours.trainer.algorithm, "after_step", 10_000),
        (ours.trainer, "log", 100_000),
    ):
        costs(owner, name, seconds)
    inner, step = View.apply, ours.trainer.optimizer.step
    parts = timing.breakdown(ours, 2)
    assert parts == {
        "sampling": 1,
        "augmentation": 31,
        "student and loss": 100,
        "teacher's pass": 1000,
        "backward": 0,
        "optimiser": 0,
        "state": 10_000,
        "logging": 100_000 / timing.LOG_EVERY,
        "rest": 0,
    }
    assert View.apply is inner and "backward" in vars(torch.Tensor) and ours.trainer.optimizer.step is step


def test_all_take_turns():
    order = []
    found = timing.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 3, 2, CPU, speed.tqdm(disable=True))
    assert order == ["a", "a", "b", "b"] * 4 and {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}


def test_the_plain_one_learns_and_its_teacher_is_the_average():
    """It must be a fair contender, not a broken one."""
    torch.manual_seed(0)
    labels = np.arange(40) % 2
    images = np.zeros((40, 12, 12, 3), np.uint8)
    images[labels == 1, :, :, 0] = 255
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    plain = PlainMeanTeacher(net, images, labels, np.arange(20), (10, 10), 0, CPU)
    weight, teacher = net[0].weight, plain.teacher[0].weight
    before = teacher.clone()
    plain.step()
    assert torch.allclose(teacher, 0.999 * before + 0.001 * weight, atol=1e-7) and not torch.equal(weight, before)
    for _ in range(100):
        plain.step()
    assert plain.losses[-1][0] < 0.75 * plain.losses[0][0]


FIGURES = {
    "device": "a processor, 2 threads",
    "cores": 2,
    "versions": {"ssl_zoo": "1", "torch": "2", "python": "3"},
    "commit": "0123456789abcdef",
    "workloads": {
        "one": {
            "title": "Work",
            "rounds": 3,
            "steps": 2,
            "methods": {
                "supervised": {
                    "step": {"median": 0.5, "min": 0.4, "max": 0.6},
                    "bare": {"median": 0.25, "min": 0.2, "max": 0.3},
                    "overhead": {"median": 0.021, "min": -0.01, "max": 0.05},
                    "images_per_second": 91.4,
                    "peak_memory": 3 * 2**20,
                    "parts": dict.fromkeys(timing.PARTS, 0.001),
                    "precision": "bf16",
                    "compiled": {
                        "step": {"median": 0.125, "min": 0.1, "max": 0.15},
                        "bare": {"median": 0.1, "min": 0.08, "max": 0.12},
                        "overhead": {"median": 0.25, "min": 0.2, "max": 0.3},
                        "seconds": 41.2,
                    },
                }
            },
            "plain": {
                "0": {
                    "step": {"median": 0.05, "min": 0.04, "max": 0.06},
                    "images_per_second": 50.0,
                    "gain": {"median": 2.5, "min": 2, "max": 3},
                }
            },
        }
    },
    "views": {
        "images": 9,
        **{
            name: {"median": t, "min": t, "max": t}
            for name, t in (("weak", 0.001), ("weak, PIL", 0.02), ("strong", 0.004), ("strong, PIL", 0.05))
        },
    },
    "rows": {"1000": {"median": 0.002, "min": 0.001, "max": 0.003}},
    "predict": [
        {
            "net": "smallnet",
            "side": 64,
            "size": [300, 400],
            "images": 50,
            "files": 20,
            "rounds": 3,
            "seconds": {
                name: {"median": t, "min": t, "max": t}
                for name, t in (("net", 0.05), ("memory", 0.0625), ("decoder", 2.0), ("files", 4.0))
            },
            "relative": {"memory": {"median": 0.8, "min": 0.7, "max": 0.9}, "files": {"median": 0.5, "min": 0.4, "max": 0.6}},
        }
    ],
    "decode": [
        {
            "title": "32x32",
            "files": 2000,
            "bytes": 9000,
            "rounds": 3,
            "seconds": {name: {"median": t, "min": t, "max": t} for name, t in (("loop", 0.5), ("threads", 1.0), ("ours", 0.4))},
            "relative": {"median": 0.8, "min": 0.7, "max": 0.9},
        }
    ],
    "default_run": {"wall": 30.0, "seconds": 20.0, "accuracy": 0.9, "peak_memory": 2**30},
    "starts": {"import torch": {"median": 2.0, "min": 2, "max": 2}, "run.py --list": {"median": 3.0, "min": 3, "max": 3}},
}


def test_the_tables(tmp_path, capsys):
    (tmp_path / "speed.json").write_text(json.dumps(FIGURES))
    assert speed.main(["--read", str(tmp_path / "speed.json")]) == 0
    said = capsys.readouterr().out
    for part in (
        "| supervised | 500 (400 to 600) | 91 | 250 (200 to 300) | +2.1 % (-1.0 to +5.0) | 3 | 125 (100 to 150) | -50.0 % | "
        "100.0 (80.0 to 120.0) | +25.0 % (+20.0 to +30.0) | 41 |",
        "PIL in the training process, fp32 | 50.0 (40.0 to 60.0) | 50 | | 2.50 times meanteacher (2.00 to 3.00) | | | |",
        "A view of 9 images of 32x32 pixels: weak 1.00 (1.00 to 1.00) ms, with PIL 20.0 (20.0 to 20.0); "
        "strong (RandAugment and Cutout too) 4.00 (4.00 to 4.00) ms, with PIL 50.0 (50.0 to 50.0).",
        "1,000 rows: 2.00 (1.00 to 3.00) ms.",
        "run.py --list 3.00 s (1.50).",
        "| smallnet, 64x64 | 1,000 | 800 | 0.80 (0.70 to 0.90) | 10 | 5 | 0.50 (0.40 to 0.60) |",
        "The files are 20 JPEG photos of 400 x 300 pixels.",
        "| 32x32 | 2,000 | 4,000 | 2,000 | 5,000 | 0.80 (0.70 to 0.90) |",
        "30 s from the command to its end, 20 s of them in its loop, 1024 MB at most.",
        "a processor, 2 threads, 2 cores; ssl_zoo 1, torch 2, python 3; commit 0123456789.",
    ):
        assert part in said
    place = tmp_path / "README.md"
    place.write_text(f"a\n<!-- table {tmp_path}/speed.json -->\nold\n<!-- end -->\nz\n")
    assert speed.main(["--read", str(tmp_path / "speed.json"), "--into", str(place)]) == 0
    assert said.strip() in place.read_text() and "old" not in place.read_text()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--into", "x.md"], "--into needs --read"),
        (["--read", "none.json"], "--read none.json cannot be read (No such file or directory); speed.py --out FILE.json writes"),
        (["--read", "."], "--read . cannot be read (Is a directory); speed.py --out FILE.json writes"),
        (
            ["--read", "bad.json"],
            "bad.json holds no figures of speed.py (KeyError: 'workloads'); speed.py --out FILE.json writes",
        ),
        (["--read", "deep.json"], "deep.json holds no figures of speed.py (RecursionError"),
        (["--read", "good.json", "--into", "none.md"], "--into none.md cannot be used (No such file or directory)"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
        (["--parts", "views,wiews"], "--parts has 'wiews'; there are cifar, digits, zoo, views"),
        (["--compiled", "gan"], "--compiled has 'gan'; there are supervised"),
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--devise", "cpu"], "--help shows what can be given"),
    ],
)
def test_bad_input(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    shutil.copy(ROOT / "benchmarks/results/speed.json", "good.json")
    assert speed.main(argv) == 2
    line = capsys.readouterr().err
    assert said in line and line.startswith("speed.py: ") and len(line.splitlines()) == 1


def test_tables_of_a_short_measurement_are_headed_as_such():
    assert speed.tiny(speed.CIFAR).title == "smallnet (--short), 32x32, 16 + 112 images a step"
    assert speed.tiny(speed.CIFAR).net == "smallnet" and speed.CIFAR.title.startswith("WRN-28-2")


def test_some_of_it_is_kept_as_it_comes_and_shown_without_a_checkout(tmp_path, monkeypatch, capsys):
    made = {name: {"median": 0.001, "min": 0.001, "max": 0.001} for name in ("weak", "weak, PIL", "strong", "strong, PIL")}
    monkeypatch.setattr(speed, "views_of", lambda *asked: {"images": 9, **made})
    monkeypatch.setattr(speed.provenance, "commit", lambda: None)
    monkeypatch.setattr(speed, "rows_of", lambda *asked: 1 / 0)  # it is cut short
    out = tmp_path / "speed.json"
    with pytest.raises(ZeroDivisionError):
        speed.main(["--parts", "views,rows,starts", "--device", "cpu", "--out", str(out)])
    assert capsys.readouterr().err.splitlines()[-2:] == ["speed.py measures views, 1 of 3", "speed.py measures rows, 2 of 3"]
    assert speed.main(["--read", str(out)]) == 0
    said = capsys.readouterr().out
    assert "A view of 9 images" in said and "Medians (least to most) of one run" in said and said.endswith("commit none.\n")


@pytest.mark.slow
def test_a_short_measurement(monkeypatch, capsys):
    """All of it, with two tiny workloads."""
    monkeypatch.setattr(starting, "STARTS", {"import torch": ["-c", "pass"]})
    monkeypatch.setattr(speed, "CIFAR", speed.CIFAR._replace(side=8, batch=(4, 6)))
    monkeypatch.setattr(speed, "METHODS", ("supervised", "meanteacher"))
    monkeypatch.setattr(speed, "ALL", ["fixmatch", "meanteacher"])
    figures = speed.everything("cpu", short=True)
    shown = timing.markdown(json.loads(json.dumps(figures)))
    assert shown.count("| meanteacher |") == 5 and "WRN-28-2" not in shown and "**smallnet (--short), " in shown
    assert "speed.py measures cifar, 1 of 9\n" in capsys.readouterr().err
    zoo = figures["zoo"]["methods"]
    assert {*zoo} == {*speed.ALL} and timing.markdown(figures).count("| fixmatch |") == 1
    assert all(0 < f["parts"]["augmentation"] < f["step"]["max"] for f in zoo.values())
    for work in figures["workloads"].values():
        assert work["methods"].keys() == {*speed.METHODS}
        for found in work["methods"].values():
            assert found["images_per_second"] == pytest.approx(found["images"] / found["step"]["median"])
            assert found["peak_memory"] > 100 * 2**20
    (use,) = figures["predict"]
    assert use["seconds"].keys() == {"net", "memory", "decoder", "files"} and use["relative"].keys() == {"memory", "files"}
    small, photos = figures["decode"]
    assert (small["files"], photos["files"]) == (40, 6) and small["seconds"].keys() == {"loop", "threads", "ours"}
    best = min(small["seconds"][name]["median"] for name in ("loop", "threads"))  # of one round
    assert small["relative"]["median"] == pytest.approx(small["seconds"]["ours"]["median"] / best)
    assert set(figures["workloads"]["cifar"]["plain"]) == {"0", str(figures["cores"])} and figures["rows"].keys() == {
        "1000",
        "2000",
    }


def test_what_predicting_is_timed_beside_does_the_same_work(tmp_path):
    """The net alone gives the same logits, without softmax; the files are photos, of which no two kinds are equal."""
    w = speed.DIGITS._replace(side=8, channels=3)
    trained = using.trained_on_noise(w, "cpu", tmp_path / "run")
    images = np.random.default_rng(1).integers(0, 256, (120, 8, 8, 3), np.uint8)
    bare, seen = using.Bare(trained, images, CPU), []
    trained.net.register_forward_hook(lambda net, given, found: seen.append(found.float().softmax(dim=1)))
    bare()
    assert [len(part) for part in seen] == [50, 50, 20]
    np.testing.assert_allclose(torch.cat(seen).numpy(), trained.predict_proba(images, calibrated=False), atol=1e-6)
    paths = using.write_photos(tmp_path / "photos", 20, (60, 80))
    assert len({*paths}) == 20 and {Image.open(path).size for path in paths} == {(80, 60)}
    assert len({Path(path).read_bytes() for path in paths}) == using.KINDS


@pytest.mark.parametrize("side", [None, 12])
def test_all_ways_to_decode_a_folder_give_the_same_array(side, tmp_path, monkeypatch):
    """Ours with a cache that is empty each time, and gone after it."""
    paths = decoding.write_small(tmp_path / "small", 40, 16)
    assert len({Path(path).read_bytes() for path in paths}) == 40
    caches, load = [], decoding.folder
    monkeypatch.setenv("SSL_ZOO_CACHE", "mine")

    def folder(root, **options):
        caches.append(Path(os.environ["SSL_ZOO_CACHE"]))
        assert [*caches[-1].iterdir()] == []
        found = load(root, **options)
        assert [path.suffix for path in caches[-1].iterdir()] == [".npz"]
        return found

    monkeypatch.setattr(decoding, "folder", folder)
    ways = decoding.contenders(tmp_path / "small", paths, side)
    first, *others = [way() for way in (*ways.values(), ways["ours"])]
    assert first.shape == (40, side or 16, side or 16, 3) and all(np.array_equal(first, other) for other in others)
    assert len({*caches}) == 2 and not any(cache.exists() for cache in caches) and os.environ["SSL_ZOO_CACHE"] == "mine"


def test_the_tables_of_the_documents_are_made_from_the_results_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    name = "benchmarks/results/speed.json"
    figures = json.loads(Path(name).read_text())
    whole, few = Path("docs/speed.md").read_text(), Path("README.md").read_text()
    assert insert(whole, name, timing.markdown(figures)) == whole and not figures["commit"].endswith("-dirty")
    assert insert(few, f"{name} in brief", timing.brief(figures)) == few


def test_what_the_page_says_of_its_figures():
    page, figures = (ROOT / "docs/speed.md").read_text(), json.loads((ROOT / "benchmarks/results/speed.json").read_text())
    small, large = (figures["workloads"][name]["methods"] for name in ("digits", "cifar"))
    assert "takes 40 to 60 % more than its passes" in page
    assert all(0.40 <= f["overhead"]["median"] <= 0.60 for f in small.values())
    fast = [f for f in small.values() if "compiled" in f]
    assert "takes 4 to 12 % more than these passes" in page
    assert [round(100 * (f["compiled"]["step"]["median"] / f["bare"]["median"] - 1)) for f in fast] == [12, 4]
    saved = [f["step"]["median"] - f["compiled"]["step"]["median"] for f in fast]
    assert "it saves a quarter of each step" in page
    assert all(0.2 < less / f["step"]["median"] < 0.3 for less, f in zip(saved, fast, strict=True))
    assert "it pays from some ten thousand such" in page
    assert all(8_000 < f["compiled"]["seconds"] / less < 20_000 for less, f in zip(saved, fast, strict=True))
    assert "hardly any overhead" in page and all(large[name]["overhead"]["median"] < 0.05 for name in large)
    assert f"The default run takes {figures['default_run']['wall']:.0f} s here" in page


def test_few_numbers_for_a_readme(tmp_path, capsys):
    """They stand among all of them, and have a place of their own."""
    name = ROOT / "benchmarks/results/speed.json"
    place = tmp_path / "README.md"
    place.write_text(f"<!-- table {name} -->\nall\n<!-- end -->\n<!-- table {name} in brief -->\nold\n<!-- end -->\n")
    assert speed.main(["--read", str(name), "--brief", "--into", str(place)]) == 0
    assert speed.main(["--read", str(name), "--brief"]) == 0
    few = capsys.readouterr().out.strip()
    assert few in place.read_text() and "\nall\n" in place.read_text() and "\nold\n" not in place.read_text()
    numbers = re.findall(r"^\| [a-z].*? \| (.*) \|$", few, re.MULTILINE)
    whole = timing.markdown(json.loads(name.read_text()))
    wanted = [f"| {numbers[0]} |", numbers[1].replace(" times ", " times meanteacher "), f"The default run: {numbers[2]} from"]
    assert len(numbers) == 3 and all(part in whole for part in wanted)


def test_the_words_about_precision():
    """In bf16 and in fp32, over the same seeds and splits: means differ by less than their difference's standard error."""
    found = {}
    for name in ("digits", "digits-fp32"):
        rows = [row for row in results.read_rows([ROOT / f"benchmarks/results/{name}.jsonl"]) if row["labels"] != "all"]
        assert {row["precision"] for row in rows} == {"fp32" if "fp32" in name else "bf16"}
        for alg in speed.METHODS:
            errors = [100 * row["error_rate"] for row in rows if row["algorithm"] == alg]
            assert len(errors) == 5
            found[name, alg] = statistics.mean(errors), statistics.variance(errors) / 5
    lines = (ROOT / "docs/speed.md").read_text().splitlines()
    start = lines.index("| error rate, % | bf16 | fp32 |")
    assert [lines[start + 2 + place] for place in range(len(speed.METHODS))] == [
        f"| {alg} | {found['digits', alg][0]:.1f} | {found['digits-fp32', alg][0]:.1f} |" for alg in speed.METHODS
    ]
    for alg in speed.METHODS:
        (one, error), (other, more) = found["digits", alg], found["digits-fp32", alg]
        assert abs(one - other) < (error + more) ** 0.5, alg
