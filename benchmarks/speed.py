"""What a step costs beyond the net's own arithmetic: python benchmarks/speed.py --out benchmarks/results/speed.json

One run, in which all take turns, so that whatever else the machine does meets all of them alike:

- ours: `Trainer.step`, all of it, with a log point's cost spread over the steps between two;
- bare: the same nets' forward and backward passes on tensors that were made before; no eager mode can be faster with these.
  The overhead is ours over bare, in pairs that follow each other;
- compiled: the same steps with `--compile`;
- plain: Mean Teacher as a tutorial writes it (`plain.py`), with the same net, batch and threads.

Besides: where the time goes; what a view costs, beside PIL's of one image after the other; whether a step's cost depends on the
size of the data set; what a default run takes, and a start.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from ssl_zoo import AUGMENTATIONS, config, files, results
from ssl_zoo.data.augment import View
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.device import autocast, keep_freed_memory, pick_device, wait_for
from ssl_zoo.train.logs import RunLog

if __package__:
    from benchmarks import figures, run
    from benchmarks.plain import PlainMeanTeacher, view
else:
    import figures
    import run
    from plain import PlainMeanTeacher, view

METHODS = ("supervised", "pimodel", "tempens", "meanteacher")
PARTS = ("sampling", "augmentation", "student and loss", "teacher's pass", "backward", "optimiser", "state", "logging", "rest")
PIECES = ("cifar", "digits", "views", "rows", "run", "starts")  # of all figures
LOG_EVERY = 50  # steps between two log points, as a setting's default
HERE = Path(__file__).parent


class Workload(NamedTuple):
    """A net and a batch to be measured with."""

    title: str
    net: str
    side: int  # of the square images
    channels: int
    rows: int
    batch: tuple[int, int]  # labelled, unlabelled
    views: dict[str, Any]
    plain: bool = False  # whether the plain implementation, which needs three channels, is measured too


CIFAR = Workload(
    "WRN-28-2, 32x32, 16 + 112 images a step", "wrn28_2", 32, 3, 50_000, (16, 112), {"translate": {"pixels": 4}, "flip": {}}, True
)
DIGITS = Workload(
    "smallnet, 8x8, 20 + 44 images a step (the digits recipe's batch and views)",
    "smallnet",
    8,
    1,
    1297,
    (20, 44),
    {"affine": {"rotate": 15, "scale": 0.1, "shift": 1}},
)


def random_data(w: Workload) -> Dataset:
    """Images of noise, of which the first 4,000 at most are labelled: what they show changes no time."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (w.rows, w.side, w.side, w.channels), np.uint8)
    labels = np.arange(w.rows) % 10
    return Dataset("noise", images, labels, images[:10], labels[:10], tuple(map(str, range(10))))


def settings_of(w: Workload, alg: str, device: str, **more: Any) -> RunSettings:
    """Settings of a run of a method on it."""
    given = {
        "alg": alg,
        "net": w.net,
        "labels": min(4000, w.rows // 10 * 5),
        "steps": 1_000_000,
        "device": device,
        "batch": dict(zip(("labeled", "unlabeled"), w.batch, strict=True)),
        "views": {"weak": w.views},
    }
    return config.resolve(given | more)


class Ours:
    """Steps of a real run.

    Args:
        w: What is measured.
        alg: The method.
        data: Of the workload.
        device: Where.
        more: Further settings.
    """

    def __init__(self, w: Workload, alg: str, data: Dataset, device: str, **more: Any):
        settings = settings_of(w, alg, device, **more)
        with tempfile.TemporaryDirectory() as folder:  # nothing is written
            self.trainer, _ = run.assemble(settings, run.choose_labels(settings, data), Path(folder), {})
        self.trainer.algorithm.train()
        self.done = 0

    def step(self) -> None:
        self.trainer.step(self.done)
        self.done += 1


class Pass(NamedTuple):
    """A forward pass that a step makes, and its backward pass where it has one."""

    net: nn.Module
    shape: tuple[int, ...]
    grad: bool


class Bare:
    """The passes that a method's step makes, on tensors that are there already, forward and, with a gradient, backward."""

    def __init__(self, ours: Ours):
        self.trainer = ours.trainer
        self.passes = passes_of(ours)
        self._inputs = [
            torch.randn(p.shape, device=self.trainer.device).to(memory_format=torch.channels_last) for p in self.passes
        ]
        self._parameters = list(self.trainer.algorithm.parameters())

    def step(self) -> None:
        for one, x in zip(self.passes, self._inputs, strict=True):
            with torch.set_grad_enabled(one.grad), autocast(self.trainer.device, self.trainer.precision):
                logits = one.net(x)
            if one.grad:
                logits.backward(torch.ones_like(logits))
        for p in self._parameters:
            p.grad = None


def passes_of(ours: Ours) -> list[Pass]:
    """The passes of one step through the student, and through every copy of it that the method keeps."""
    algorithm, found = ours.trainer.algorithm, []

    def note(net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(Pass(net, tuple(inputs[0].shape), torch.is_grad_enabled()))

    nets = [module for module in algorithm.modules() if type(module) is type(algorithm.net)]
    hooks = [net.register_forward_pre_hook(note) for net in nets]
    ours.step()
    for hook in hooks:
        hook.remove()
    return found


def plain(w: Workload, data: Dataset, workers: int, device: torch.device) -> PlainMeanTeacher:
    """The tutorial's way, with the same net and batch."""
    settings = settings_of(w, "supervised", str(device))
    inputs = run.choose_labels(settings, data)
    net = run.build(settings, inputs.facts, data.images.shape[1:], device).net.to(memory_format=torch.contiguous_format)
    return PlainMeanTeacher(net, data.images, data.labels, inputs.split.rows, w.batch, workers, device)


def timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds a step, over some steps."""
    wait_for(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return (time.perf_counter() - began) / steps


def interleaved(
    contenders: dict[str, Callable[[], None]], rounds: int, steps: int, device: torch.device, bar: tqdm
) -> dict[str, list[float]]:
    """Seconds a step of each contender in each round; one after the other in every round, after a turn that does not count."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, step in contenders.items():
            bar.set_postfix_str(name)
            seconds = timed(step, steps, device)
            bar.update()
            if turn:
                found[name].append(seconds)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


class Clock:
    """Seconds spent in parts of a step, by wrapping what the trainer calls. A part within a part counts for itself alone.

    Args:
        device: Where; on a GPU every part waits for the device, so that its time is its own, and all take a little longer.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inner = [0.0]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        wait_for(self.device)
        self._inner.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            wait_for(self.device)
            took = time.perf_counter() - began
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

    @contextlib.contextmanager
    def wrapped(self, owner: Any, name: str, part: str) -> Iterator[None]:
        """Within it, calls of `owner.name` count for a part."""
        inner, own = getattr(owner, name), name in vars(owner)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(part):
                return inner(*args, **kwargs)

        setattr(owner, name, call)
        try:
            yield
        finally:
            setattr(owner, name, inner) if own else delattr(owner, name)


def breakdown(ours: Ours, steps: int) -> dict[str, float]:
    """Seconds a step of each part. A log point is taken at every step, and counted as one in so many."""
    trainer, clock = ours.trainer, Clock(ours.trainer.device)
    teacher = getattr(trainer.algorithm, "teacher", None)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(contextlib.closing(RunLog(folder)))
        bar = stack.enter_context(tqdm(disable=True))
        for owner, name, part in (
            (trainer.batches, "batch", "sampling"),
            (View, "__call__", "augmentation"),
            (trainer.algorithm, "loss", "student and loss"),
            (Tensor, "backward", "backward"),
            (trainer.optimizer, "step", "optimiser"),
            (trainer.algorithm, "after_step", "state"),
            (trainer.guard, "look", "logging"),
        ):
            stack.enter_context(clock.wrapped(owner, name, part))
        if teacher is not None:
            stack.enter_context(clock.wrapped(teacher, "forward", "teacher's pass"))
        for _ in range(steps):
            with clock.part("rest"):
                terms, watched = trainer.step(ours.done, watch=True)
                ours.done += 1
            with clock.part("logging"):
                trainer.log(log, bar, ours.done, terms, watched)
    clock.seconds["logging"] /= LOG_EVERY
    return {part: seconds / steps for part, seconds in clock.seconds.items()}


def _peak(w: Workload, alg: str, device: str) -> int | None:
    """Bytes at most, of a process of its own that makes a few steps."""
    keep_freed_memory()
    ours = Ours(w, alg, random_data(w), device)
    for _ in range(3):
        ours.step()
    return results.peak_memory(ours.trainer.device)


def measure(w: Workload, rounds: int, steps: int, device: str, compile_too: Sequence[str]) -> dict[str, Any]:
    """All methods on a workload, some of them compiled too."""
    data, where = random_data(w), pick_device(device)
    cores = os.cpu_count() or 1
    ours = {alg: Ours(w, alg, data, device) for alg in METHODS}
    contenders: dict[str, Callable[[], None]] = {}
    for alg, mine in ours.items():
        contenders |= {f"ours {alg}": mine.step, f"bare {alg}": Bare(Ours(w, alg, data, device)).step}
    at_once = len(ours) if where.type == "cuda" else 1  # a processor's memory may not do for all
    with multiprocessing.get_context("spawn").Pool(at_once, maxtasksperchild=1) as pool:
        asked = pool.starmap_async(_peak, [(w, alg, device) for alg in ours], chunksize=1)
        if where.type != "cuda":
            asked.wait()  # to compile needs the processor
        fast = {alg: Ours(w, alg, data, device, compile=True) for alg in compile_too}
        for alg, mine in fast.items():
            mine.step()  # and compile
            contenders |= {f"compiled {alg}": mine.step}
        peaks = dict(zip(ours, asked.get(), strict=True))
    if w.plain:
        contenders |= {
            f"plain {n}": plain(w, data, n, where).step for n in (cores, 0)
        }  # so that workers fill their queues in its turn
    with tqdm(total=(rounds + 1) * len(contenders), desc=w.net, disable=None) as bar:
        found = interleaved(contenders, rounds, steps, where, bar)
    methods = {}
    for alg, mine in ours.items():
        parts = breakdown(mine, max(5, steps))
        logging = parts["logging"]
        seconds = [second + logging for second in found[f"ours {alg}"]]
        images = sum(mine.trainer.batches.sizes.values())  # type: ignore[attr-defined]
        methods[alg] = {
            "step": spread(seconds),
            "bare": spread(found[f"bare {alg}"]),
            "overhead": spread([own / bare - 1 for own, bare in zip(seconds, found[f"bare {alg}"], strict=True)]),
            "images": images,
            "images_per_second": images / statistics.median(seconds),
            "peak_memory": peaks[alg],
            "parts": parts,
            "precision": mine.trainer.precision,
        }
        if alg in fast:
            methods[alg]["compiled"] = {
                "step": spread([second + logging for second in found[f"compiled {alg}"]]),
                "seconds": fast[alg].trainer.seconds_compiling,
            }
    meanteacher = [second + methods["meanteacher"]["parts"]["logging"] for second in found["ours meanteacher"]]
    plains = {
        name.partition(" ")[2]: {
            "step": spread(seconds),
            "images_per_second": sum(w.batch) / statistics.median(seconds),
            "gain": spread([theirs / own for theirs, own in zip(seconds, meanteacher, strict=True)]),
        }
        for name, seconds in found.items()
        if name.startswith("plain")
    }
    return {"title": w.title, "methods": methods, "plain": plains, "rounds": rounds, "steps": steps}


def rows_of(sizes: Sequence[int], rounds: int, steps: int, device: str) -> dict[str, Any]:
    """Step time against the number of rows, with the method that keeps a memory of them all."""
    w = CIFAR._replace(net="smallnet", side=16)
    loads = [w._replace(rows=n) for n in sizes]
    contenders = {str(load.rows): Ours(load, "tempens", random_data(load), device).step for load in loads}
    with tqdm(total=(rounds + 1) * len(contenders), desc="rows", disable=None) as bar:
        found = interleaved(contenders, rounds, steps, pick_device(device), bar)
    return {name: spread(seconds) for name, seconds in found.items()}


VIEWS = {  # as configs/cifar10.yaml
    "weak": CIFAR.views,
    "strong": {**CIFAR.views, "randaugment": {}, "cutout": {}},
}


def views_of(count: int, rounds: int, steps: int, device: str) -> dict[str, Any]:
    """Seconds for a view of so many images at once, and with PIL and torchvision one after the other."""
    data, where = random_data(CIFAR._replace(rows=count)), pick_device(device)
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
        found = interleaved(contenders, rounds, steps, where, bar)
    return {"images": count, **{name: spread(seconds) for name, seconds in found.items()}}


def default_run(device: str) -> dict[str, Any]:
    """The run that is made where nothing is said, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "run.py"), "--device", device, "--out", f"{folder}/run"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall = time.perf_counter() - began
        row = json.loads(Path(folder, "run/result.json").read_text())
    return {"wall": wall, "seconds": row["seconds"], "accuracy": row["accuracy"], "peak_memory": row["peak_memory"]}


STARTS = {
    "import torch": ["-c", "import torch"],
    "import ssl_zoo": ["-c", "import ssl_zoo"],
    "run.py --list": [str(HERE / "run.py"), "--list"],
    "run.py --help": [str(HERE / "run.py"), "--help"],
}


def starts(rounds: int) -> dict[str, Any]:
    """Seconds to start, in turns."""

    def call(words: list[str]) -> Callable[[], None]:
        return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True) and None

    with tqdm(total=(rounds + 1) * len(STARTS), desc="starts", disable=None) as bar:
        contenders = {name: call(words) for name, words in STARTS.items()}
        found = interleaved(contenders, rounds, 1, torch.device("cpu"), bar)
    return {name: spread(seconds) for name, seconds in found.items()}


def everything(
    device: str,
    short: bool,
    parts: Sequence[str] = PIECES,
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
    commit = results.commit()
    rounds, steps = (1, 1) if short else (rounds, 5 if where.type == "cuda" else 2)
    compile_too = () if short else compile_too
    sizes = (1000, 2000) if short else (1000, 30_000, 1_000_000)
    cifar = CIFAR._replace(net="smallnet", rows=200) if short else CIFAR
    known = {"device": results.device_name(where), "cores": os.cpu_count(), "versions": results.versions(), "commit": commit}
    found: figures.Figures = {**known, "workloads": {}, "views": None, "rows": None, "default_run": None, "starts": None}
    for part in parts:
        if part == "cifar":
            found["workloads"][part] = measure(cifar, rounds, steps, device, compile_too)
        elif part == "digits":
            found["workloads"][part] = measure(DIGITS, rounds, steps if short else 20, device, compile_too)
        elif part == "views":
            found["views"] = views_of(8 if short else sum(CIFAR.batch), rounds, steps, device)
        elif part == "rows":
            found["rows"] = rows_of(sizes, rounds, steps if short else 5, device)
        elif part == "run":
            found["default_run"] = None if short else default_run(device)
        else:
            found["starts"] = starts(1 if short else 5)
        keep(found)
    return found


def markdown(found: figures.Figures) -> str:
    """The figures as tables."""
    lines = []
    for work in found["workloads"].values():
        lines += [
            f"**{work['title']}**, {next(iter(work['methods'].values()))['precision']}:",
            "",
            "| | ms a step | images a second | bare net, ms | overhead | peak memory, MB | compiled, ms a step | after |",
            "| - | -: | -: | -: | -: | -: | -: | -: |",
        ]
        for alg, f in work["methods"].items():
            fast = f"{_ms(f['compiled']['step'])} | {f['compiled']['seconds']:.0f} s" if "compiled" in f else " | "
            peak = "" if f["peak_memory"] is None else f"{f['peak_memory'] / 2**20:.0f}"
            lines.append(
                f"| {alg} | {_ms(f['step'])} | {f['images_per_second']:.0f} | {_ms(f['bare'])} | "
                f"{_percent(f['overhead'])} | {peak} | {fast} |"
            )
        for workers, f in work["plain"].items():
            how = "in the training process" if workers == "0" else f"with {workers} workers"
            lines.append(
                f"| plain Mean Teacher, PIL {how}, fp32 | {_ms(f['step'])} | {f['images_per_second']:.0f} | | "
                f"{f['gain']['median']:.2f} times meanteacher ({f['gain']['min']:.2f} to {f['gain']['max']:.2f}) | | | |"
            )
        lines += ["", f"| ms a step | {' | '.join(PARTS)} |", f"| - |{' -: |' * len(PARTS)}"]
        for alg, f in work["methods"].items():
            lines.append(" | ".join((f"| {alg}", *(f"{1000 * f['parts'][part]:.2f}" for part in PARTS))) + " |")
        lines.append("")
    if made := found["views"]:
        lines.append(
            f"A view of {made['images']} images of 32x32 pixels: weak {_ms(made['weak'])} ms, with PIL {_ms(made['weak, PIL'])}; "
            f"strong (RandAugment and Cutout too) {_ms(made['strong'])} ms, with PIL {_ms(made['strong, PIL'])}."
        )
    if found["rows"]:
        sizes = "; ".join(f"{int(n):,} rows: {_ms(f)} ms" for n, f in found["rows"].items())
        lines.append(f"A step of Temporal Ensembling (smallnet, 16x16 pixels) against the size of the data set: {sizes}.")
    if found["starts"]:
        first = found["starts"]["import torch"]["median"]
        begin = ", ".join(f"{name} {f['median']:.2f} s ({f['median'] / first:.2f})" for name, f in found["starts"].items())
        lines.append(f"To start, and relative to torch alone: {begin}.")
    if found["default_run"]:
        run_ = found["default_run"]
        lines.append(
            f"The default run: {run_['wall']:.0f} s from the command to its end, {run_['seconds']:.0f} s of them in its loop, "
            f"{run_['peak_memory'] / 2**20:.0f} MB at most."
        )
    versions = found["versions"]
    turns = [work["rounds"] for work in found["workloads"].values()]
    rounds = f" of {turns[0]} rounds" if turns else ""
    lines += [
        "",
        f"Medians (least to most){rounds} of one run in which all take turns. {found['device']}, "
        f"{found['cores']} cores; ssl_zoo {versions['ssl_zoo']}, torch {versions['torch']}, python {versions['python']}; "
        f"commit {(found['commit'] or 'none')[:10]}.",
    ]
    return "\n".join(lines)


def _ms(f: dict[str, float]) -> str:
    digits = 0 if f["median"] > 0.1 else 1 if f["median"] > 0.01 else 2
    return f"{1000 * f['median']:.{digits}f} ({1000 * f['min']:.{digits}f} to {1000 * f['max']:.{digits}f})"


def _percent(f: dict[str, float]) -> str:
    return f"{100 * f['median']:+.1f} % ({100 * f['min']:+.1f} to {100 * f['max']:+.1f})"


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    p = figures.parser("speed.py", __doc__)
    p.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N")
    p.add_argument("--short", action="store_true", help="a minute with small nets, to see that it works; no figures to keep")
    p.add_argument(
        "--parts", default=",".join(PIECES), metavar="P,...", help=f"some of it alone, in this order: {', '.join(PIECES)}"
    )
    p.add_argument("--compiled", default=",".join(METHODS), metavar="A,...", help="which methods are measured compiled too")
    p.add_argument("--rounds", type=int, default=11, metavar="N", help="in which all take turns (11)")

    def measured(flags: argparse.Namespace) -> figures.Figures:
        parts, fast = ([word for word in words.split(",") if word] for words in (flags.parts, flags.compiled))
        for name, words, known in (("parts", parts, PIECES), ("compiled", fast, METHODS)):
            if unknown := [word for word in words if word not in known]:
                raise InputError(f"--{name} has '{unknown[0]}'; there are {', '.join(known)}")
        if flags.rounds < 1:
            raise InputError(f"--rounds is {flags.rounds}; it must be at least 1")

        def keep(found: figures.Figures) -> None:
            if flags.out:
                files.replace_text(flags.out, json.dumps(found, indent=1) + "\n")

        with tempfile.TemporaryDirectory() as empty:  # so that nothing is compiled already
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
            return everything(flags.device, flags.short, parts, fast, flags.rounds, keep)

    return figures.command(p, argv, measured, markdown)


if __name__ == "__main__":
    sys.exit(main())
