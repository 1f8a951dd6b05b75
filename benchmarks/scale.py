"""What grows with the number of images and of classes: python benchmarks/scale.py --out benchmarks/results/scale.json

Measures what ten million rows take, each part in a process of its own, and what does not fit here with fewer rows. From
what a row takes it computes the rest, up to a hundred million images, as `docs/scale.md` shows them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo import ALGORITHMS, NETS, Facts, device, provenance
from ssl_zoo.data import cache
from ssl_zoo.data.dataset import Dataset, digests_of, fingerprint
from ssl_zoo.data.folder import source_of
from ssl_zoo.data.leakage import contradictions, leaks, pictures, short_hashes
from ssl_zoo.data.texts import Texts
from ssl_zoo.data.walks import Walk

if __package__:
    from benchmarks import figures
else:
    import figures

ROWS, CLASSES = (1_000_000, 10_000_000, 100_000_000), (10, 100, 1000)
MANY, SOME, FEW = 10_000_000, 100_000, 20_000  # rows at which things are measured
BATCH = 448  # unlabelled images of a step
SIDE = 32
TOP = 8  # probabilities kept of each row, where not all are
STATUS = Path("/proc/self/status")
MEMORIES = [(k, top, dtype) for k in CLASSES for top in (0, TOP) for dtype in ("float32", "bfloat16") if top < k / 2]

Costs = dict[str, float]  # seconds; bytes held and at most, in all


def memory(field: str) -> int:
    """Bytes of this process's memory that the system says under a name."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def costs(work: Callable[[], object]) -> Costs:
    """What a piece of work takes: seconds, bytes that its result holds, and bytes at most on the way."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is what it is now
    before, began = memory("VmRSS"), time.perf_counter()
    kept = work()
    found = {"seconds": time.perf_counter() - began, "held": memory("VmRSS") - before, "peak": memory("VmHWM") - before}
    del kept
    return found


def seconds(work: Callable[[], object]) -> float:
    return costs(work)["seconds"]


def names_of(n: int) -> Iterator[str]:
    """Paths as a folder of classes has them."""
    return (f"unlabeled/part-{i // 1000:05d}/image-{i:09d}.jpg" for i in range(n))


def names() -> dict[str, Costs]:
    """Names in one buffer."""
    return {"names": costs(lambda: Texts.of(names_of(MANY)))}


def texts() -> dict[str, Costs]:
    """The same names as Python texts."""
    return {"texts": costs(lambda: tuple(names_of(MANY)))}


def walks() -> dict[str, Costs]:
    """The order of two epochs, and then the rows of a step."""
    walk = Walk(MANY, BATCH, 0, "unlabeled")
    found = {"order": costs(lambda: (walk._permutation(0), walk._permutation(1)))}
    steps = {}
    for rows in (*ROWS[:2], 50_000_000):
        walk = Walk(rows, BATCH, 0, "unlabeled")
        walk.places(0)
        steps[str(rows)] = min(seconds(lambda walk=walk, step=step: walk.places(step)) for step in range(1, 200))
    return {**found, "places": steps}


def start() -> dict[str, Costs]:
    """From a cache: its data set, their hash, and the leakage guard. The images are tiny, as nothing reads them."""
    with tempfile.TemporaryDirectory() as folder:
        file, draw = Path(folder) / "x.npz", np.random.default_rng(0)
        images, labels = draw.integers(0, 256, (MANY, 4, 6, 1), np.uint8), np.arange(MANY) % 10
        images[:500] = images[500:1000]  # of the test set too, so that some are to be looked at
        whole = Dataset("folder", images, labels, images[:1000], labels[:1000], tuple("abcdefghij"))
        cache.save(file, "", whole._replace(names=Texts.of(names_of(MANY + 1000))))
        del images, whole
        data: list[Dataset] = []
        found = {"load": costs(lambda: data.append(cache.load(file, "")))}  # type: ignore[arg-type]
        (kept,) = data
        digests = digests_of(kept)
        assert digests is not None

        def guard() -> None:
            trained, tested = pictures(kept.images, kept.test_images, known=digests.images)
            assert len(leaks(trained, tested)) == 1000
            assert len(contradictions(np.concatenate((trained, tested)), np.concatenate((kept.labels, kept.test_labels)))) == 0

        return {**found, "data_hash": costs(lambda: fingerprint(kept)), "guard": costs(guard)}


def listing() -> dict[str, Costs]:
    """A folder of files: each start looks at the size and time of all, and making the cache sorts them into classes."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names_of(SOME):
            file = Path(folder) / "train" / name.removeprefix("unlabeled/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        source_of(Path(folder), None)  # what it imports is held from now on
        listed = costs(lambda: source_of(Path(folder), None))
        return {"listing": listed, "layout": costs(lambda: source_of(Path(folder), None).layout())}


def digests() -> dict[str, float]:
    """Seconds for a row's share of the hashes, of images of the usual size."""
    images = np.random.default_rng(0).integers(0, 256, (FEW, SIDE, SIDE, 3), np.uint8)
    data = Dataset("noise", images, np.arange(FEW) % 10, images[:10], np.arange(10), tuple("abcdefghij"))
    return {
        "fingerprint": min(seconds(lambda: fingerprint(data)) for _ in range(3)) / FEW,
        "short_hashes": min(seconds(lambda: short_hashes(images)) for _ in range(3)) / FEW,
    }


def memory_of(classes: int, top: int, dtype: str) -> dict[str, float]:
    """Of Temporal Ensembling: a row's bytes of its memory, those held with the visits, and the seconds of an update."""
    rows = MANY if (top or classes) <= 100 else MANY // 10
    net = NETS.create("smallnet", classes, 3, (SIDE, SIDE))
    facts = Facts(classes, rows, torch.arange(classes), torch.arange(classes), torch.arange(rows))
    seen = {"index": torch.randint(0, rows, (BATCH,)), "probabilities": torch.rand(BATCH, classes).softmax(dim=1)}
    made: list[Any] = []

    def make() -> None:
        made.append(ALGORITHMS.create("tempens", net=net, facts=facts, memory_dtype=dtype, memory_top=top))
        for buffer in made[0].buffers():
            buffer.fill_(0)  # so that the system gives it

    held = costs(make)["held"]
    update = min(seconds(lambda: made[0].after_step(seen, torch.ones(()))) for _ in range(50))
    size = sum(buffer.nbytes for name, buffer in made[0].named_buffers() if name.startswith("memory"))
    return {"rows": rows, "bytes": size / rows, "held": held / rows, "update": update}


def memories() -> dict[str, dict[str, Any]]:
    """By classes, how many are kept of a row, and type; with ten million rows where that fits."""
    return {"memory": {f"{classes} {top} {dtype}": memory_of(classes, top, dtype) for classes, top, dtype in MEMORIES}}


PARTS = (names, texts, walks, start, listing, digests, memories)


def measured() -> dict[str, Any]:
    """All that is measured, each part in a process of its own, whose memory is not used already."""
    found: dict[str, Any] = {}
    for part in PARTS:
        code = f"import json; from benchmarks import scale; print(json.dumps(scale.{part.__name__}()))"
        root = str(Path(__file__).parent.parent)
        done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


def rows_of_table(m: dict[str, Any]) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """What is said, with bytes or with seconds for each row of the data. An asterisk: measured with fewer rows."""

    def share(part: str, kind: str) -> float:
        return m[part][kind] / (SOME if part in ("listing", "layout") else MANY)

    sizes = [
        ("pixels, in a mapped file or on the device *", SIDE * SIDE * 3),
        ("hashes, in that file *", 8),
        ("order of two epochs, on the host", share("order", "held")),
        ("rows, classes and visits, 8 bytes each *", 3 * 8),
        ("names of files, in one buffer", share("names", "held")),
        ("names of files, as Python texts", share("texts", "held")),
        ("start from the cache, at most", share("load", "peak")),
        ("start, leakage guard, at most", share("guard", "peak")),
        ("start, listing of a folder, at most *", share("listing", "peak")),
        ("making the cache, names in their classes, at most *", share("layout", "peak")),
    ]
    for name, of in m["memory"].items():
        classes, top, dtype = name.split()
        what = f"{classes} classes{f', the {top} largest' if int(top) else ''}, {dtype}{' *' if of['rows'] < MANY else ''}"
        sizes.append((f"memory of Temporal Ensembling, {what}", of["bytes"]))
    times = [
        ("making the cache, hash of the data *", m["fingerprint"]),
        ("making the cache, hashes of the images *", m["short_hashes"]),
        ("start, listing of a folder *", share("listing", "seconds")),
        ("start from the cache", share("load", "seconds")),
        ("start, hash of the data", share("data_hash", "seconds")),
        ("start, leakage guard", share("guard", "seconds")),
        ("a new order, at each epoch", share("order", "seconds") / 2),
    ]
    return sizes, times


def markdown(f: dict[str, Any]) -> str:
    """The tables of docs/scale.md."""
    m = f["measured"]
    sizes, times = rows_of_table(m)
    lines = []
    for unit, table, scale, digits in (("GB", sizes, 1e9, 2), ("seconds", times, 1, 1)):
        lines += [f"| {unit} | " + " | ".join(f"{n:,} images" for n in ROWS) + " |", "| - |" + " -: |" * len(ROWS)]
        lines += [f"| {name} | " + " | ".join(f"{each * n / scale:.{digits}f}" for n in ROWS) + " |" for name, each in table]
        lines.append("")
    steps = ", ".join(f"{int(n):,} rows {1e3 * cost:.3f} ms" for n, cost in m["places"].items())
    updates = ", ".join(f"{name} {1e3 * each['update']:.2f} ms" for name, each in m["memory"].items()).replace(" 0 ", " all ")
    return "\n".join(
        [
            *lines,
            f"Measured with {MANY:,} rows, and what a row takes multiplied; with an asterisk: with at most {MANY // 10:,}, or "
            "known from what a number takes.",
            "",
            f"The rows of a step of {BATCH} images, within an epoch: {steps}.",
            f"The update of Temporal Ensembling's memory, by classes and how many are kept: {updates}.",
            "",
            f"Images of {SIDE}x{SIDE} pixels, names of 40 characters. {f['device']}, torch {f['versions']['torch']}; "
            f"commit {(f['commit'] or 'none')[:10]}.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""

    def everything(flags: argparse.Namespace) -> figures.Figures:
        known = {
            "commit": provenance.commit(),
            "device": device.device_name(torch.device("cpu")),
            "versions": provenance.versions(),
        }
        return {"measured": measured(), **known}

    return figures.command(figures.parser("scale.py", __doc__), argv, everything, markdown)


if __name__ == "__main__":
    sys.exit(main())
