"""What evidence.sh asks of a GPU and of runs that were made there: python benchmarks/gpu/checks.py WHAT ...

parts: in this process, deterministic: images that stay on the host give the batches that images on the device give; a
    strong view
is the same twice; every net makes steps. runs: what the runs of a method in a folder say of each other.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import speed, timing
from ssl_zoo.cli import grids, ladder
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.device import deterministic, pick_device
from ssl_zoo.ladders import read_ladder
from ssl_zoo.sweeps import share
from ssl_zoo.sweeps.engines import FORKS, child, without_main
from ssl_zoo.tables.ladder import markdown, sound
from ssl_zoo.tables.ladder_rows import collect

NETS = ("smallnet", "mlp", "convnet13", "wrn28_2", "wrn13_1", "shakeshake26", "resnet18", "torchvision:mobilenet_v3_small")
EQUAL = ("det", "again", "resumed")


def attempt(what: str, work: Callable[[], str]) -> None:
    """A line that says how it went."""
    try:
        print(f"{what}: {work()}", flush=True)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())[:260]
        print(f"{what}: FAILED: {type(error).__name__}: {words} ({Path(place.filename).name}:{place.lineno})", flush=True)


def host(w: timing.Workload, data: Any, device: str) -> str:
    """Whether images that stay on the host give the batches that images on the device give."""
    ours = timing.Ours(w, "meanteacher", data, device)
    there: Pipeline = ours.trainer.batches  # type: ignore[assignment]
    here = Pipeline(
        torch.from_numpy(data.images),
        there.facts._replace(
            labeled=there.facts.labeled.cpu(), labels=there.facts.labels.cpu(), unlabeled=there.facts.unlabeled.cpu()
        ),
        there.views,
        unlabeled=there.names["unlabeled"],
        labeled=there.names["labeled"],
        batch_labeled=there.sizes["labeled"],
        batch_unlabeled=there.sizes["unlabeled"],
        seed=there.seed,
        device=pick_device(device),
        fetch=True,
    )
    same = []
    for step in (*range(20), 7, 8):
        a, b = there.batch(step), here.batch(step)
        same.append(all(map(torch.equal, (a.x, a.y, a.x_index, *a.u, a.u_index), (b.x, b.y, b.x_index, *b.u, b.u_index))))
    return "the same batches" if all(same) else f"DIFFERENT batches at {same.count(False)} of {len(same)} steps"


def parts(device: str, short: bool) -> None:
    """What is asked in this process."""
    w = speed.CIFAR._replace(rows=200, net="smallnet", views=speed.VIEWS["weak"])
    data = timing.random_data(w)

    attempt("images on the host", lambda: host(w, data, device))

    def strong() -> str:
        made = []
        for _ in range(2):
            ours = timing.Ours(w._replace(views=speed.VIEWS["strong"]), "meanteacher", data, device)
            made.append([ours.trainer.batches.batch(step).u[0] for step in range(5)])
        return "the same twice" if all(map(torch.equal, *made)) else "DIFFERENT"

    with deterministic(True):
        attempt("strong view, deterministic", strong)
    for enabled in (True, False):
        for net in NETS[:2] if short else NETS:

            def steps(net: str = net, enabled: bool = enabled) -> str:
                totals = []
                for _ in range(2):
                    with deterministic(enabled):
                        ours = timing.Ours(w._replace(net=net), "meanteacher", data, device)
                        for _ in range(4):
                            terms, _ = ours.trainer.step(ours.done, watch=True)
                            ours.done += 1
                        totals.append(float(terms["total"].detach()))
                return f"total {totals[0]:.6f} and {totals[1]:.6f} twice, {'same' if totals[0] == totals[1] else 'different'}"

            attempt(f"{net}, {'deterministic' if enabled else 'as it is'}", steps)


def row_of(folder: Path) -> dict[str, Any] | None:
    return json.loads((folder / "result.json").read_text()) if (folder / "result.json").exists() else None


def shown(folder: Path) -> str:
    """A run in a line, or what it said last."""
    row, log = row_of(folder), folder.with_name(f"{folder.name}.log")
    said = [line.strip() for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    if row is None:
        return f"NO RESULT: {' | '.join(said[-3:])[:600]}"
    compiling = f", first step {row['seconds_compiling']:.1f} s" if row["seconds_compiling"] else ""
    warned = f", {len(row['warnings'])} WARNINGS: {row['warnings'][0][:120]}" if row["warnings"] else ""
    memory = f"{row['peak_memory'] / 2**20:.0f} MB" if row["peak_memory"] else "memory unknown"
    other = [line[:160] for line in said if "Warning" in line]
    return (
        f"{100 * row['accuracy']:.1f} % (student {100 * row['accuracy_student']:.1f}), {row['steps']} steps in "
        f"{row['seconds_training']:.2f} s, all {row['seconds']:.2f} s{compiling}, {memory}, {row['precision']}, "
        f"{said[-1]}{warned}"
        f"{f'; said {len(other)} warnings: {other[0]}' if other else ''}"
    )


def totals(folder: Path) -> dict[int, float]:
    """The loss at every log point."""
    path = folder / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {point["step"]: point["train/total"] for point in found if point.get("train/total") is not None}


def apart(a: Path, b: Path, last: int) -> str:
    one, other = totals(a), totals(b)
    steps = [step for step in one if step in other and step <= last and step in (1, 2, 4, 6, 8, 10)]
    if not steps:
        return "nothing to compare"
    return ", ".join(f"step {s}: {abs(one[s] - other[s]) / max(abs(other[s]), 1e-9):.1e}" for s in steps)


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["algorithm"]


def same(a: Path, b: Path) -> str:
    if row_of(a) is None or row_of(b) is None:
        return "nothing to compare"
    one, other = state(a), state(b)
    apart = [name for name in one if not torch.equal(one[name], other[name])]
    alike = row_of(a)["evaluations"] == row_of(b)["evaluations"] and totals(a) == totals(b)  # type: ignore[index]
    return f"{'the same' if alike and not apart else 'DIFFERENT'} ({len(one) - len(apart)} of {len(one)} tensors bit for bit)"


def parity(root: Path, algs: Sequence[str]) -> None:
    for alg in algs:
        eager, fast = root / f"{alg}-ieee", root / f"{alg}-ieee-compile"
        close = apart(fast, eager, 10) if row_of(fast) else shown(fast)
        print(f"{alg} in fp32 without TF32, compiled against plain, relative difference of the loss: {close}")


def runs(root: Path, alg: str) -> None:
    for kind in ("plain", "compile", "det", "again", "resumed"):
        print(f"{alg} {kind}: {shown(root / f'{alg}-{kind}')}")
    at = {kind: root / f"{alg}-{kind}" for kind in ("plain", "compile", "det", "again", "resumed", "fp32", "ieee", "cpu")}
    log = at["resumed"].with_name(f"{alg}-resumed.log").read_text(errors="replace")
    ended = [line for line in log.splitlines() if "ended by" in line]
    print(f"{alg} deterministic twice: {same(at['det'], at['again'])}")
    print(f"{alg} deterministic, ended by a signal and gone on with: {same(at['det'], at['resumed'])}; {' '.join(ended)[-90:]}")
    print(f"{alg} compiled against plain, relative difference of the loss: {apart(at['compile'], at['plain'], 10)}")
    for kind, words in (("fp32", "fp32"), ("ieee", "fp32 without TF32")):
        row = row_of(at[kind])
        print(f"{alg} {words} against the CPU: {apart(at[kind], at['cpu'], 10) if row else shown(at[kind])}")


def busy(device: str) -> None:
    """How much of a step the GPU is at work: the time of its kernels, and their number, without anything beside it."""
    for net, alg in (("wrn28_2", "supervised"), ("wrn28_2", "meanteacher"), ("wrn28_3", "meanteacher")):
        w = speed.CIFAR._replace(net=net)
        ours = timing.Ours(w, alg, timing.random_data(w._replace(rows=5000)), device)
        for _ in range(5):
            ours.step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            timing.timed(ours.step, 10, ours.trainer.device)
        kernels = [
            event.time_range.elapsed_us()
            for event in seen.events()
            if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith("Optimizer.")
        ]
        work = sum(kernels) / 10 / 1000
        print(f"{alg} {net}, 16 + 112: {work:.1f} ms a step of {len(kernels) / 10:.0f} kernels", flush=True)


def words_of(device: str, *more: str) -> list[str]:
    """Of a command line of ladder.py, for compiled runs on the images that evidence.sh has unpacked."""
    words = ["--dataset", os.environ.get("LADDER", "cifar10"), "--data-root", "data/cifar10_jpeg", "--device", device]
    for assignment in ("dataset=folder", "compile=true", "evaluation.log_every=50"):  # a step that is logged is not compiled
        words += ["--set", assignment]
    return [*words, *more]


def rate(root: Path, rungs: Sequence[str], device: str, seconds: float = 8.0) -> None:
    """Steps a second of compiled rungs of the ladder, one alone and all at once; kept in a file."""
    flags = ladder.parser().parse_args(words_of(device, "--seeds", "0"))
    known = read_ladder(flags.dataset, flags.ladder)
    cells = ladder.cells_of(flags, [known[name] for name in rungs], root / "rate", root / "none")
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        copies: dict[str, share.Process] = {}
        for name, cell in zip(rungs, cells, strict=True):
            copies[name] = share.Process(cell.settings, cell.plugins, "0" if device == "cuda" else "")
            stack.callback(copies[name].close)
        for copy in copies.values():
            copy.prepare(4)
        for copy in copies.values():
            copy.ready()
        print(f"{len(copies)} compiled at once, the start included, in {time.perf_counter() - began:.0f} s", flush=True)
        first = copies[rungs[0]]
        first.go(2)
        print(f"{rungs[0]} alone: {first.rate():.1f} steps a second", flush=True)
        for copy in copies.values():
            copy.go(seconds)
        found = {name: copy.rate() for name, copy in copies.items()}
    for name, steps in found.items():
        print(f"{name} beside the others: {steps:.1f} steps a second", flush=True)
    (root / "rate.json").write_text(json.dumps(found))


def scale(root: Path, seconds: float) -> float:
    """Which share of a ladder's 82,000 steps fits, with the start, 40 evaluations and the measurements."""
    path = root / "rate.json"
    slowest = min(json.loads(path.read_text()).values()) if path.exists() else 20
    return round(max(0.001, 0.88 * (seconds - 110) * slowest / 82_000), 4)


def rungs(root: Path, names: Sequence[str], device: str, seconds: float, share_of_steps: float, seeds: str, into: Path) -> None:
    """Run compiled rungs of the ladder all at once, and write their rows as they come. What takes too long is ended."""
    out, began = root / "ladder", time.perf_counter()
    flags = ladder.parser().parse_args(words_of(device, "--seeds", seeds, "--scale", str(share_of_steps)))
    known = read_ladder(flags.dataset, flags.ladder)
    running = {}
    for cell in ladder.cells_of(flags, [known[name] for name in names], out / "rungs", out):
        environment = {"CUDA_VISIBLE_DEVICES": "0" if device == "cuda" else ""}
        running[cell.name] = FORKS.Process(target=child, args=(grids.make, cell, 4, environment))
        with without_main():
            running[cell.name].start()
    while running:
        time.sleep(1)
        late = time.perf_counter() - began > seconds
        for name, process in [*running.items()]:
            if late:
                process.terminate()
                process.join()
            if process.exitcode is not None:
                del running[name]
                took = time.perf_counter() - began
                print(f"{name}: status {process.exitcode} after {took:.0f} s{', ENDED' * late}", flush=True)
                rows, said = collect(out, known, flags.scale, flags.set)
                into.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for line in said:
        print(line)
    if rows:
        print(markdown(sound(rows)))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("parts", "runs", "others", "parity", "busy", "rate", "scale", "rungs"))
    p.add_argument("words", nargs="*")
    p.add_argument("--device", default="auto")
    p.add_argument("--short", action="store_true")
    flags = p.parse_args()
    if flags.what == "parts":
        parts(flags.device, flags.short)
    elif flags.what == "runs":
        runs(Path(flags.words[0]), flags.words[1])
    elif flags.what == "others":
        for name in flags.words[1:]:
            print(f"{name}: {shown(Path(flags.words[0]) / name)}")
    elif flags.what == "parity":
        parity(Path(flags.words[0]), flags.words[1:])
    elif flags.what == "rate":
        rate(Path(flags.words[0]), flags.words[1:], flags.device)
    elif flags.what == "busy":
        busy(flags.device)
    elif flags.what == "scale":
        print(scale(Path(flags.words[0]), float(flags.words[1])))
    else:
        root, into, seconds, share_of_steps, seeds, *names = flags.words
        rungs(Path(root), names, flags.device, float(seconds), float(share_of_steps), seeds, Path(into))


if __name__ == "__main__":
    sys.exit(main())
