"""What a step costs beyond the net's own arithmetic: python benchmarks/speed.py --out benchmarks/results/speed.json

One run, in which all take turns, so that whatever else the machine does meets all of them alike:

- ours: `Trainer.step`, all of it, with a log point's cost spread over the steps between two;
- bare: the same nets' forward and backward passes on tensors that were made before; no eager mode can be faster with
these.
  The overhead is ours over bare, in pairs that follow each other;
- compiled: the same steps with `--compile`, and the same passes as one compiled graph;
- all methods: each one's step over the passes that it needs itself, in fewer rounds;
- plain: Mean Teacher as a tutorial writes it (`plain.py`), with the same net, batch and threads.

Besides: where the time goes; what a view costs, beside PIL's of one image after the other; whether a step's cost
depends on the size of the data set; what predicting costs beyond the net's pass and beyond decoding; what a folder of
files costs beyond Pillow's decoding; what a default run takes, and a start. With --peers: the same methods of other
toolkits.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from ssl_zoo import ALGORITHMS, AUGMENTATIONS, files, provenance
from ssl_zoo.data.augment import View
from ssl_zoo.device import device_name, keep_freed_memory, pick_device
from ssl_zoo.errors import InputError
from ssl_zoo.runs.baselines import is_baseline

if __package__:
    from benchmarks import figures, timing
    from benchmarks.plain import view
else:
    import figures
    import timing
    from plain import view

METHODS = ("supervised", "pimodel", "tempens", "meanteacher")
ALL = [name for name in ALGORITHMS.names() if not is_baseline(name) and name != "finetune"]  # which is supervised
HERE = Path(__file__).parent

CIFAR = timing.Workload(
    "WRN-28-2, 32x32, 16 + 112 images a step", "wrn28_2", 32, 3, 50_000, (16, 112), {"translate": {"pixels": 4}, "flip": {}}, True
)
DIGITS = timing.Workload(
    "smallnet, 8x8, 20 + 44 images a step (the digits recipe's batch and views)",
    "smallnet",
    8,
    1,
    1297,
    (20, 44),
    {"affine": {"rotate": 15, "scale": 0.1, "shift": 1}},
)


def tiny(w: timing.Workload) -> timing.Workload:
    """The workload of --short in place of a large one. Its title, which heads tables, says so."""
    return w._replace(title=w.title.replace("WRN-28-2", "smallnet (--short)"), net="smallnet", rows=200)


def measure(w: timing.Workload, rounds: int, steps: int, device: str, compile_too: Sequence[str]) -> dict[str, Any]:
    """All methods on a workload, some of them compiled too."""
    data, where = timing.random_data(w), pick_device(device)
    cores = os.cpu_count() or 1
    ours = {alg: timing.Ours(w, alg, data, device) for alg in METHODS}
    contenders: dict[str, Callable[[], None]] = {}
    for alg, mine in ours.items():
        contenders |= {f"ours {alg}": mine.step, f"bare {alg}": timing.Bare(timing.Ours(w, alg, data, device)).step}
    at_once = len(ours) if where.type == "cuda" else 1  # a processor's memory may not do for all
    with multiprocessing.get_context("spawn").Pool(at_once, maxtasksperchild=1) as pool:
        asked = pool.starmap_async(timing.peak, [(w, alg, device) for alg in ours], chunksize=1)
        if where.type != "cuda":
            asked.wait()  # to compile needs the processor
        fast = {alg: timing.Ours(w, alg, data, device, compile=True) for alg in compile_too}
        for alg, mine in fast.items():
            graph = timing.BareGraph(timing.Ours(w, alg, data, device))
            for step in (mine.step, mine.step, graph.step):  # and compile
                step()
            contenders |= {f"compiled {alg}": mine.step, f"bare compiled {alg}": graph.step}
        peaks = dict(zip(ours, asked.get(), strict=True))
    if w.plain:  # with workers first, so that these fill their queues in the other's turn
        contenders |= {f"plain {n}": timing.plain(w, data, n, where).step for n in (cores, 0)}
    with tqdm(total=(rounds + 1) * len(contenders), desc=w.net, disable=None) as bar:
        found = timing.interleaved(contenders, rounds, steps, where, bar)
    methods = {alg: figures_of(alg, ours[alg], fast.get(alg), found, steps) | {"peak_memory": peaks[alg]} for alg in METHODS}
    meanteacher = [second + methods["meanteacher"]["parts"]["logging"] for second in found["ours meanteacher"]]
    plains = {
        name.partition(" ")[2]: {
            "step": timing.spread(seconds),
            "images_per_second": sum(w.batch) / statistics.median(seconds),
            "gain": timing.spread([theirs / own for theirs, own in zip(seconds, meanteacher, strict=True)]),
        }
        for name, seconds in found.items()
        if name.startswith("plain")
    }
    return {"title": w.title, "methods": methods, "plain": plains, "rounds": rounds, "steps": steps}


def zoo_of(rounds: int, steps: int, device: str, short: bool) -> dict[str, Any]:
    """Every method's step against the passes that it needs, and what its views take of it."""
    w = tiny(CIFAR) if short else CIFAR
    data, where = timing.random_data(w), pick_device(device)
    ours = {alg: timing.Ours(w, alg, data, device) for alg in ALL}
    contenders: dict[str, Callable[[], None]] = {}
    for alg, mine in ours.items():
        contenders |= {f"ours {alg}": mine.step, f"bare {alg}": timing.Bare(timing.Ours(w, alg, data, device)).step}
    with tqdm(total=(rounds + 1) * len(contenders), desc="all methods", disable=None) as bar:
        found = timing.interleaved(contenders, rounds, steps, where, bar)
    methods = {alg: figures_of(alg, ours[alg], None, found, steps) for alg in ALL}
    return {"title": w.title, "methods": methods, "rounds": rounds, "steps": steps}


def figures_of(
    alg: str, mine: timing.Ours, fast: timing.Ours | None, found: dict[str, list[float]], steps: int
) -> dict[str, Any]:
    """One method on a workload.

    Args:
        alg: The method.
        mine: Its steps.
        fast: The same, compiled; None: they were not measured.
        found: Seconds a step of all contenders.
        steps: At least, for the parts of a step.
    """
    parts = timing.breakdown(mine, max(5, steps))
    logging = parts["logging"]
    seconds = [second + logging for second in found[f"ours {alg}"]]
    images = sum(mine.trainer.batches.sizes.values())  # type: ignore[attr-defined]
    method = {
        "step": timing.spread(seconds),
        "bare": timing.spread(found[f"bare {alg}"]),
        "overhead": timing.spread([own / bare - 1 for own, bare in zip(seconds, found[f"bare {alg}"], strict=True)]),
        "images": images,
        "images_per_second": images / statistics.median(seconds),
        "parts": parts,
        "precision": mine.trainer.machine.precision,
    }
    if fast is not None:
        steps_, passes = [second + logging for second in found[f"compiled {alg}"]], found[f"bare compiled {alg}"]
        method["compiled"] = {
            "step": timing.spread(steps_),
            "bare": timing.spread(passes),
            "overhead": timing.spread([own / bare - 1 for own, bare in zip(steps_, passes, strict=True)]),
            "seconds": fast.trainer.seconds_compiling,
            "whole": fast.trainer.graph is not None and fast.trainer.graph.loss is None,
        }
    return method


def rows_of(sizes: Sequence[int], rounds: int, steps: int, device: str) -> dict[str, Any]:
    """Step time against the number of rows, with the method that keeps a memory of them all."""
    w = CIFAR._replace(net="smallnet", side=16)
    loads = [w._replace(rows=n) for n in sizes]
    contenders = {str(load.rows): timing.Ours(load, "tempens", timing.random_data(load), device).step for load in loads}
    with tqdm(total=(rounds + 1) * len(contenders), desc="rows", disable=None) as bar:
        found = timing.interleaved(contenders, rounds, steps, pick_device(device), bar)
    return {name: timing.spread(seconds) for name, seconds in found.items()}


VIEWS = {  # as configs/cifar10.yaml
    "weak": CIFAR.views,
    "strong": {**CIFAR.views, "randaugment": {}, "cutout": {}},
}


def views_of(count: int, rounds: int, steps: int, device: str) -> dict[str, Any]:
    """Seconds for a view of so many images at once, and with PIL and torchvision one after the other."""
    data, where = timing.random_data(CIFAR._replace(rows=count)), pick_device(device)
    images, rows = torch.from_numpy(data.images).to(where), torch.arange(count, device=where)
    pictures = [Image.fromarray(image) for image in data.images]
    generator, mean = torch.Generator(where).manual_seed(0), torch.full((3,), 0.5, device=where)
    contenders: dict[str, Callable[[], Any]] = {}
    for name, given in VIEWS.items():
        ours = View([AUGMENTATIONS.create(step, **options) for step, options in given.items()], mean, mean)
        theirs = view(CIFAR.side, strong=name == "strong")
        contenders |= {
            name: lambda ours=ours: ours(images, rows, generator, count, slice(None)),
            f"{name}, PIL": lambda theirs=theirs: torch.stack([theirs(picture) for picture in pictures]).to(where),
        }
    with tqdm(total=(rounds + 1) * len(contenders), desc="views", disable=None) as bar:
        found = timing.interleaved(contenders, rounds, steps, where, bar)
    return {"images": count, **{name: timing.spread(seconds) for name, seconds in found.items()}}


PREDICTED = {  # nets whose predictions are timed, with the images of a part that are in memory
    "small": (DIGITS._replace(side=64, channels=3), 2000),
    "large": (CIFAR, 1000),
}


def predictions_of(short: bool, rounds: int, device: str) -> list[dict[str, Any]]:
    """Predicting, beside what cannot be done without."""
    where = pick_device(device)
    if short:
        return [timing.measure_use(PREDICTED["small"][0]._replace(side=8), 20, 4, (60, 80), rounds, where)]
    return [timing.measure_use(w, images, 200, timing.PHOTO, rounds, where) for w, images in PREDICTED.values()]


def decoding_of(short: bool, rounds: int) -> list[dict[str, Any]]:
    """Decoding folders of image files, beside Pillow alone."""
    return timing.measure_decoding(*((40, 6, (60, 80), 8) if short else (20_000, 100, timing.PHOTO, 96)), rounds)


USUAL = ("cifar", "digits", "zoo", "views", "rows", "predict", "decode", "run", "starts")
PIECES = (*USUAL, "peers")  # of all figures; the last only where it is asked for


def everything(
    device: str,
    short: bool,
    parts: Sequence[str] = USUAL,
    compile_too: Sequence[str] = METHODS,
    rounds: int = 11,
    keep: Callable[[figures.Figures], None] = lambda found: None,
) -> figures.Figures:
    """All figures, or some of them.

    Args:
        device: Where.
        short: Whether all is tiny.
        parts: Which, in the order in which they are measured.
        compile_too: Methods that are measured compiled too.
        rounds: In which all take turns.
        keep: Given what there is after each of them, for whoever is cut short.
    """
    where = pick_device(device)
    keep_freed_memory()  # as a run does; the plain way has the good of it too
    rounds, steps = (1, 1) if short else (rounds, 5 if where.type == "cuda" else 2)
    compile_too = () if short else compile_too
    sizes = (1000, 2000) if short else (1000, 30_000, 1_000_000)
    cifar = tiny(CIFAR) if short else CIFAR
    known = {"device": device_name(where), "cores": os.cpu_count(), "versions": provenance.versions()}
    found: figures.Figures = {**known, "commit": provenance.commit(), "workloads": {}}
    found |= dict.fromkeys(("zoo", "views", "rows", "predict", "decode", "default_run", "starts", "peers"))
    ways: dict[str, Callable[[], Any]] = {
        "cifar": lambda: measure(cifar, rounds, steps, device, compile_too),
        "digits": lambda: measure(DIGITS, rounds, steps if short else 20, device, compile_too),
        "zoo": lambda: zoo_of(min(rounds, 5), steps, device, short),
        "views": lambda: views_of(8 if short else sum(CIFAR.batch), rounds, steps, device),
        "rows": lambda: rows_of(sizes, rounds, steps if short else 5, device),
        "predict": lambda: predictions_of(short, rounds, device),
        "decode": lambda: decoding_of(short, rounds),
        "run": lambda: None if short else timing.default_run(device),
        "starts": lambda: timing.starts(1 if short else 5),
        "peers": lambda: timing.peers_of(cifar, rounds, steps, device, bool(compile_too)),
    }
    for number, part in enumerate(parts, start=1):
        print(f"speed.py measures {part}, {number} of {len(parts)}", file=sys.stderr, flush=True)
        (found["workloads"] if part in ("cifar", "digits") else found)[{"run": "default_run"}.get(part, part)] = ways[part]()
        keep(found)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    p = figures.parser("speed.py", __doc__)
    p.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    p.add_argument("--short", action="store_true", help="a minute with small nets, to see that it works; no figures to keep")

    p.add_argument(
        "--parts", default=",".join(USUAL), metavar="P,...", help=f"some of it alone, in this order: {', '.join(PIECES)}"
    )
    p.add_argument("--peers", action="store_true", help="other toolkits too, those of semilearn and modssc that are installed")
    p.add_argument("--compiled", default=",".join(METHODS), metavar="A,...", help="which methods are measured compiled too")
    p.add_argument("--rounds", type=int, default=11, metavar="N", help="in which all take turns (11)")

    def measured(flags: argparse.Namespace) -> figures.Figures:
        parts, fast = ([word for word in words.split(",") if word] for words in (flags.parts, flags.compiled))
        for name, words, known in (("parts", parts, PIECES), ("compiled", fast, METHODS)):
            if unknown := [word for word in words if word not in known]:
                raise InputError(f"--{name} has '{unknown[0]}'; there are {', '.join(known)}")
        parts += ["peers"] if flags.peers and "peers" not in parts else []
        if flags.rounds < 1:
            raise InputError(f"--rounds is {flags.rounds}; it must be at least 1")

        def keep(found: figures.Figures) -> None:
            if flags.out:
                files.replace_text(flags.out, json.dumps(found, indent=1) + "\n")

        with tempfile.TemporaryDirectory() as empty:  # so that nothing is compiled already
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
            return everything(flags.device, flags.short, parts, fast, flags.rounds, keep)

    return figures.command(p, argv, measured, timing.markdown, timing.brief)


if __name__ == "__main__":
    sys.exit(main())
