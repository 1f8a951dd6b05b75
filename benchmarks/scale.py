"""What grows with the number of images and of classes: python benchmarks/scale.py --out benchmarks/results/scale.json

Measures what each row costs at sizes that fit here, and computes from that memory and time up to a hundred million
images, as `docs/scale.md` shows them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_zoo import ALGORITHMS, NETS, Facts, device, provenance
from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.leakage import hashes, leaks
from ssl_zoo.data.walks import Walk

if __package__:
    from benchmarks import figures
else:
    import figures

ROWS, CLASSES = (1_000_000, 10_000_000, 100_000_000), (10, 100, 1000)
BATCH = 448  # unlabelled images of a step
SIDE = 32


def held(work: Callable[[], object]) -> int:
    """Bytes of memory that what it returns holds."""

    def now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = now()
    kept = work()
    after = now()
    del kept
    return after - before


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def names_of(n: int) -> list[str]:
    """Paths as a folder of classes has them."""
    return [f"unlabeled/part-{i // 1000:05d}/image-{i:09d}.jpg" for i in range(n)]


def per_row() -> dict[str, float]:
    """Bytes a row, in a process of its own, whose memory is not used already."""
    n = 500_000
    return {"names": held(lambda: names_of(n)) / n, "leakage": held(lambda: {os.urandom(16): i for i in range(n)}) / n}


def measured() -> dict[str, Any]:
    """All that is measured."""
    n = 20_000
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)
    labels = np.arange(n) % 10
    data = Dataset("noise", images, labels, images[:10], labels[:10], tuple("abcdefghij"))
    epochs, steps = {}, {}
    for rows in (*ROWS[:2], 50_000_000):
        walk = Walk(rows, BATCH, 0, "unlabeled")
        epochs[str(rows)] = seconds(lambda walk=walk: walk.places(0))
        steps[str(rows)] = min(seconds(lambda walk=walk, step=step: walk.places(step)) for step in range(1, 200))
    memory = {}
    for classes in CLASSES:
        net = NETS.create("smallnet", classes, 3, (SIDE, SIDE))
        facts = Facts(classes, 1_000_000, torch.arange(classes), torch.arange(classes), torch.arange(1_000_000))
        for dtype in ("float32", "bfloat16"):
            method = ALGORITHMS.create("tempens", net=net, facts=facts, memory_dtype=dtype)
            index = torch.randint(0, facts.rows, (BATCH,))
            seen = {"index": index, "probabilities": torch.rand(BATCH, classes).softmax(dim=1)}
            given = (seen, torch.ones(()))
            method.after_step(*given)
            memory[f"{classes} {dtype}"] = {
                "bytes": method.memory.nbytes / facts.rows,
                "update": min(seconds(lambda method=method, given=given: method.after_step(*given)) for _ in range(20)),
            }
    code = "import json; from benchmarks import scale; print(json.dumps(scale.per_row()))"
    root = str(Path(__file__).parent.parent)
    alone = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    return {
        "image": SIDE * SIDE * 3,
        "epoch": epochs,
        "places": steps,
        "memory": memory,
        "row": json.loads(alone.stdout),
        "fingerprint": seconds(lambda: fingerprint(data)) / n,
        "leaks": seconds(lambda: leaks(hashes(images), hashes(images[:10]))) / n,
    }


def markdown(f: dict[str, Any]) -> str:
    """The tables of docs/scale.md."""
    m = f["measured"]
    last_rows = max(map(int, m["epoch"]))
    shuffle = m["epoch"][str(last_rows)] / last_rows
    parts: list[tuple[str, Callable[[int], float]]] = [
        ("pixels, in a mapped file or on the device", lambda n: n * m["image"]),
        ("order of two epochs, on the host", lambda n: 2 * 8 * n),
        ("rows, classes and visits, 8 bytes each", lambda n: 3 * 8 * n),
        ("names of files, on the host", lambda n: n * m["row"]["names"]),
        ("leakage guard, on the host, at the start", lambda n: n * m["row"]["leakage"]),
    ]
    for classes in CLASSES:
        for dtype in ("float32", "bfloat16"):
            each = m["memory"][f"{classes} {dtype}"]["bytes"]
            parts.append((f"memory of Temporal Ensembling, {classes} classes, {dtype}", lambda n, each=each: n * each))
    lines = ["| GB | " + " | ".join(f"{n:,} images" for n in ROWS) + " |", "| - |" + " -: |" * len(ROWS)]
    lines += [f"| {name} | " + " | ".join(f"{size(n) / 1e9:.2f}" for n in ROWS) + " |" for name, size in parts]
    times: list[tuple[str, Callable[[int], float]]] = [
        ("hash of the data, at the start", lambda n: n * m["fingerprint"]),
        ("leakage guard, at the start", lambda n: n * m["leaks"]),
        ("a new order, at each epoch", lambda n: n * shuffle),
    ]
    lines += ["", "| seconds | " + " | ".join(f"{n:,} images" for n in ROWS) + " |", "| - |" + " -: |" * len(ROWS)]
    lines += [f"| {name} | " + " | ".join(f"{cost(n):.1f}" for n in ROWS) + " |" for name, cost in times]
    steps = ", ".join(f"{int(n):,} rows {1e3 * cost:.3f} ms" for n, cost in m["places"].items())
    updates = ", ".join(f"{name} {1e3 * each['update']:.2f} ms" for name, each in m["memory"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"The rows of a step of {BATCH} images, within an epoch: {steps}.",
            f"The update of Temporal Ensembling's memory of 1,000,000 rows, by classes: {updates}.",
            "",
            f"Images of {SIDE}x{SIDE} pixels. {f['device']}, torch {f['versions']['torch']}; "
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
