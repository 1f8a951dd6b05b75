"""A grid of runs, resumable: python benchmarks/sweep.py --recipe digits --algs supervised,meanteacher --labels 20,50 --seeds 0-4

Every cell (method, net, number of labels, seed) is a run's folder under --out. Finished cells are skipped, half-done ones go on
from their checkpoint, failed ones are tried once more, unless their loss was not finite, which is an outcome. Several sweeps, on
one machine or many, may share an --out. A seed is also the seed of the label split, so at one seed every method gets the same
labels, batches and first view.
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from ssl_zoo import config, plugins, presets, results
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import BusyError, InputError, one_line
from ssl_zoo.settings import RunSettings

if __package__:
    from benchmarks import run, share
    from benchmarks.engines import Ended, Engine, Job, LocalEngine, RayEngine
else:
    import run
    import share
    from engines import Ended, Engine, Job, LocalEngine, RayEngine

MOST_SEEDS = 10_000  # in a range
BUSY, BAD_INPUT = 3, 2  # exit statuses of run.py
SWEPT = {"alg": "--algs", "net": "--nets", "labels": "--labels", "seed": "--seeds", "split_seed": "--seeds"}


class Cell(NamedTuple):
    """One run of the grid."""

    job: Job
    settings: RunSettings
    folder: Path

    @property
    def row(self) -> dict[str, Any] | None:
        """Its result, if it has one."""
        path = self.folder / results.RESULT
        return results.read_rows([path])[0] if path.exists() else None

    @property
    def diverged(self) -> str | None:
        """What was not finite, if it diverged. That is an outcome: to try until it gets through would choose among runs."""
        path = self.folder / results.LOST
        return results.read_all_rows([path])[0]["diverged"] if path.exists() and self.row is None else None

    @property
    def progress(self) -> tuple[int, float | None]:
        """The last step that was logged, and the last accuracy."""
        path, step, accuracy = self.folder / "metrics.jsonl", 0, None
        if path.exists():
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 20_000))
                for line in file.read().splitlines()[1:] if file.tell() > 20_000 else path.read_bytes().splitlines():
                    try:
                        entry = json.loads(line)
                    except json.JSONDecodeError:  # being written
                        continue
                    step, accuracy = entry["step"], entry.get("test/accuracy", accuracy)
        return step, accuracy


def parser() -> config.Parser:
    """The command line."""
    p = config.Parser(prog="sweep.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recipe", action="append", required=True, metavar="NAME|FILE", help="as for run.py; repeatable")
    p.add_argument("--preset", metavar="NAME", help=f"as for run.py: {', '.join(presets.names(run.PRESETS))}")
    p.add_argument("--budget", metavar="NAME", help="as for run.py, such as full")
    p.add_argument("--algs", required=True, metavar="A,B,...", help="methods")
    p.add_argument("--nets", metavar="N,...", help="nets; the recipe's unless said otherwise")
    p.add_argument("--labels", metavar="L,...", help="numbers of labelled images, or `all`; the recipe's unless said otherwise")
    p.add_argument("--seeds", default="0", metavar="S,A-B,...", help="seeds, each also that of the label split")
    p.add_argument("--steps", metavar="N", help="as for run.py")
    add_engine_flags(p)
    p.add_argument(
        "--out", type=Path, metavar="DIR", help="holds the cells; runs/sweep-<recipe>[-<preset>][-<budget>] unless said otherwise"
    )
    return p


def add_engine_flags(p: config.Parser) -> None:
    """What says where and how cells are run."""
    p.add_argument("--data-root", metavar="PATH", help="as for run.py")
    p.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="auto: every GPU, or the CPU if there is none"
    )
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for run.py; repeatable")
    p.add_argument("--plugin", action="append", default=[], metavar="FILE.py|MODULE", help="as for run.py; repeatable")
    p.add_argument("--engine", default="local", choices=("local", "ray"), help="processes on this machine, or a Ray cluster")
    p.add_argument("--address", metavar="ADDRESS", help="of a Ray cluster to join; one is started on this machine otherwise")
    p.add_argument(
        "--jobs-per-device",
        type=jobs,
        metavar="K|auto",
        help="runs at a time on each GPU, or on the CPU, where it is one to a core unless said otherwise; auto: as many as make "
        "the most steps between them, measured at the start, as share.py does. A GPU of this machine gets auto, one of Ray's 1",
    )
    p.add_argument("--dry-run", action="store_true", help="show the plan and the estimated time, and run nothing")


def jobs(text: str) -> int | str:
    """A number, or auto."""
    try:
        return text if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor auto") from error


def listed(text: str, flag: str) -> list[str]:
    """`a,b` as a list without repeats.

    Raises:
        InputError: Nothing in it.
    """
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise InputError(f"{flag} is empty; give one or more, separated by commas")
    return found


def seeds(text: str) -> list[int]:
    """`0-2,7` as numbers.

    Raises:
        InputError: Not of that form.
    """
    found: list[int] = []
    for part in listed(text, "--seeds"):
        match = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part)
        if match is None or not 0 <= int(match[2] or match[1]) - int(match[1]) < MOST_SEEDS:
            raise InputError(f"--seeds has '{part}'; give numbers and ranges of at most {MOST_SEEDS}, such as 0-4 or 0,3,7")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))


def grid(flags: argparse.Namespace, out: Path) -> list[Cell]:
    """Every cell, with its settings checked.

    Raises:
        InputError: A setting of any cell cannot be used.
    """
    given = [*(("--recipe", name) for name in flags.recipe), *(("--plugin", name) for name in flags.plugin)]
    given += [("--set", assignment) for assignment in flags.set]
    given += [
        (f"--{name.replace('_', '-')}", getattr(flags, name))
        for name in ("preset", "budget", "steps", "data_root")
        if getattr(flags, name) is not None
    ]
    given += [("--device", flags.device)] if flags.device != "auto" else []
    for assignment in flags.set:
        key = assignment.partition("=")[0].strip()
        if key in SWEPT:
            raise InputError(f"--set {key} would be overridden by the grid; give {SWEPT[key]}")
    shared = [word for pair in given for word in pair]
    default = run.read_settings(run.parse(shared))
    nets = listed(flags.nets, "--nets") if flags.nets is not None else [default.net]
    labels = listed(flags.labels, "--labels") if flags.labels is not None else [str(default.labels)]
    cells: dict[Path, Cell] = {}
    for seed, count, net, alg in itertools.product(seeds(flags.seeds), labels, nets, listed(flags.algs, "--algs")):
        own = ["--alg", alg, "--net", net, "--labels", count, "--seed", str(seed), "--split-seed", str(seed)]
        settings = run.read_settings(run.parse([*shared, *own]))
        name = f"{settings.alg}-{settings.net}-{settings.labels}-s{seed}".replace(":", "_")
        job = Job(name, (*shared, *own, "--out", str(out / name)), out / "logs" / f"{name}.txt")
        cells[out / name] = Cell(job, settings, out / name)
    return list(cells.values())


def split_cells(cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell], dict[str, str]]:
    """Cells with an outcome, those to be run, and those that cannot be, with the reason.

    Raises:
        InputError: None can be, for one reason.
    """
    done, todo, refused = [], [], {}
    known: dict[str, str | None] = {}  # what is wrong with the data and labels of settings, by these
    for cell in cells:
        try:
            run.prepare_folder(cell.folder, cell.settings)
            if cell.row is None:
                key = data_of(cell.settings)
                if key not in known:
                    known[key] = _problem_with_data(cell.settings)
                if known[key] is not None:
                    raise InputError(known[key])
            (todo if cell.row is None and cell.diverged is None else done).append(cell)
        except InputError as error:
            refused[cell.job.name] = str(error)
    if len(refused) == len(cells) and len({*refused.values()}) == 1:
        raise InputError(next(iter(refused.values())))
    return done, todo, refused


def data_of(settings: RunSettings) -> str:
    """What of the settings decides the data and the labels, as text."""
    parts = [settings.dataset, settings.data_root, settings.datasets, settings.labels, settings.val_fraction, settings.split_file]
    return json.dumps(parts, sort_keys=True, default=str)


def _problem_with_data(settings: RunSettings) -> str | None:
    try:
        _inputs(settings)
    except InputError as error:
        return str(error)
    return None


_loaded: dict[str, Dataset] = {}  # the last data set used


def _inputs(settings: RunSettings) -> run.Inputs:
    key = json.dumps([settings.dataset, settings.data_root, settings.datasets], sort_keys=True, default=str)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = run.load_data(settings)
    return run.choose_labels(settings, _loaded[key])


class Clock:
    """What a cell costs: as finished ones of its kind, or, where there are none, as a few steps of it take now."""

    def __init__(self, done: Sequence[Cell], threads: int):
        self.threads = threads
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self.unknown: dict[str, str] = {}  # methods that did not get through the measurement, with what they said
        for cell in done:
            self.learn(cell)

    def learn(self, cell: Cell) -> None:
        """Take a finished cell into account."""
        row = cell.row
        if row is not None:
            self._seconds.setdefault((row["algorithm"], row["net"]), []).append(row["seconds"] / row["steps"])

    def estimate(self, cell: Cell) -> float:
        """Seconds that a cell still takes."""
        key = (cell.settings.alg, cell.settings.net)
        if key not in self._seconds:
            try:
                self._seconds[key] = [self._measure(cell.settings)]
            except Exception as error:  # a method's own, which its cell will report; the others are still planned
                self._seconds[key] = [0.0]
                self.unknown[f"{cell.settings.alg} with {cell.settings.net}"] = one_line(error)
        known = sorted(self._seconds[key])
        return known[len(known) // 2] * (cell.settings.steps - cell.progress[0]) + 8  # the start of a process

    def _measure(self, settings: RunSettings) -> float:
        """Seconds of a step, with its share of the evaluations."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return run.seconds_per_step(settings, _inputs(settings))
        finally:
            torch.set_num_threads(before)


def shown(seconds: float) -> str:
    """A length of time in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Display:
    """One line that is redrawn on a terminal; in a log file, a line as each cell ends."""

    def __init__(self, cells: int, done: int):
        self.live = sys.stderr.isatty()
        self.bar = tqdm(total=cells, initial=done, unit="cell", dynamic_ncols=True, disable=not self.live, bar_format="{desc}")

    def show(self, done: int, total: int, running: Sequence[Cell], left: float) -> None:
        """Cells done, those running with their step and last accuracy, and the time left."""
        if not self.live:
            return
        parts = []
        for cell in running:
            step, accuracy = cell.progress
            score = "" if accuracy is None else f" {100 * accuracy:.1f} %"
            parts.append(f"{cell.job.name} {f'{step}/{cell.settings.steps}' if step else 'starts'}{score}")
        text = f"{done}/{total} cells, {shown(left)} left{': ' * bool(parts)}{', '.join(parts)}"
        self.bar.set_description_str(text[: max(20, (self.bar.ncols or 120) - 1)])

    def say(self, text: str) -> None:
        """A line that stays."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the line."""
        self.bar.close()


def drive(todo: Sequence[Cell], engine: Engine, clock: Clock, display: Display, done: int) -> dict[str, str]:
    """Run cells on an engine until each has an outcome or has failed twice; returns the failures with what they said."""
    waiting = collections.deque(todo)
    active: dict[Any, Cell] = {}
    failures: collections.Counter[str] = collections.Counter()
    failed: dict[str, str] = {}
    again: dict[str, float] = {}  # when to look at a cell that another sweep is at work on
    total = done + len(todo)
    while waiting or active:
        for _ in range(len(waiting)):
            cell = waiting.popleft()
            due = len(active) < engine.slots and again.get(cell.job.name, 0) <= time.monotonic()
            if due and run.is_locked(cell.folder):
                if cell.job.name not in again:
                    display.say(f"{cell.job.name} is being run by another process; waiting for it")
                again[cell.job.name] = time.monotonic() + 2
            elif due:
                active[engine.submit(cell.job)] = cell
                continue
            waiting.append(cell)
        if not active:
            time.sleep(0.5)
            continue
        for handle, ended in engine.ended(active, 0.5):
            cell = active.pop(handle)
            if ended.status == BUSY:
                again[cell.job.name] = time.monotonic() + 2
                waiting.append(cell)
                continue
            problem = _problem(cell, ended)
            if problem is not None and cell.diverged is not None:
                done += 1
                display.say(f"{done}/{total} {cell.job.name} diverged: {cell.diverged} (all of it: {cell.job.log})")
                continue
            if problem is None:
                done += 1
                clock.learn(cell)
                row = cell.row or {}
                display.say(f"{done}/{total} {cell.job.name}: accuracy {100 * row['accuracy']:.2f} % in {shown(row['seconds'])}")
                continue
            failures[cell.job.name] += 1
            if ended.status == BAD_INPUT or failures[cell.job.name] > 1:
                failed[cell.job.name] = problem
                display.say(f"failed: {cell.job.name}: {problem} (all of it: {cell.job.log})")
            else:
                display.say(f"{cell.job.name} failed and is tried once more: {problem}")
                waiting.append(cell)
        left = sum(clock.estimate(cell) for cell in (*waiting, *active.values())) / engine.slots
        display.show(done, total, list(active.values()), left)
    return failed


def _problem(cell: Cell, ended: Ended) -> str | None:
    if ended.status == 0:
        try:
            return None if cell.row is not None else "it ended without a result"
        except InputError as error:
            return str(error)
    died = f" (killed by signal {-ended.status})" if ended.status < 0 else ""
    return f"{ended.says}{died}"


def plan(cells: Sequence[Cell], todo: Sequence[Cell], refused: dict[str, str], clock: Clock, slots: int) -> Iterator[str]:
    """What will be run, and how long it should take."""
    kinds = {name: len({getattr(cell.settings, name) for cell in cells}) for name in ("alg", "net", "labels", "seed")}
    words = {
        "alg": ("method", "methods"),
        "net": ("net", "nets"),
        "labels": ("number of labels", "numbers of labels"),
        "seed": ("seed", "seeds"),
    }
    many = "s" * (len(cells) != 1)
    yield f"{len(cells)} cell{many}: {' x '.join(f'{count} {words[name][count != 1]}' for name, count in kinds.items())}"
    begun = sum(cell.progress[0] > 0 for cell in todo)
    finished = len(cells) - len(todo) - len(refused)
    lost = [cell for cell in cells if cell.job.name not in refused and cell.diverged is not None]
    if lost:
        yield f"{len(lost)} diverged before, such as {lost[0].job.name}; to try one again, remove its folder"
    yield f"{finished - len(lost)} finished, {len(todo)} to run ({begun} of them half-done), {slots} at a time"
    if todo:
        longest = max(map(clock.estimate, todo))
        yield f"estimated time: {shown(max(longest, sum(map(clock.estimate, todo)) / slots))}"
    for kind, reason in clock.unknown.items():
        yield f"no estimate for {kind}: {reason}"
    for name, reason in refused.items():
        yield f"cannot be run: {name}: {reason}"


def make_engine(flags: argparse.Namespace, todo: Sequence[Cell]) -> tuple[Engine | None, int, int]:
    """The engine (none for a dry run on Ray's account), how many runs at a time, and the threads of each."""
    gpus = 0 if flags.device == "cpu" else torch.cuda.device_count()
    if flags.device == "cuda" and not gpus and flags.engine == "local":
        raise InputError("--device cuda: there is no GPU here; --device cpu runs on the processor")
    asked = flags.jobs_per_device
    if isinstance(asked, int) and asked < 1:
        raise InputError(f"--jobs-per-device is {asked}; it must be at least 1")
    if flags.address is not None and flags.engine != "ray":
        raise InputError("--address is that of a Ray cluster; add --engine ray")
    if flags.engine == "ray" and asked == "auto":
        raise InputError("--jobs-per-device auto is measured on this machine; with --engine ray give a number")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # which GPUs are ours, where somebody has said so
    devices = (visible.split(",")[:gpus] if visible else [str(k) for k in range(gpus)]) or [""]
    each = (1 if gpus else share.cores()) if asked is None else asked
    if asked == "auto" or (asked is None and gpus > 0 and flags.engine == "local"):
        each = jobs_of(flags, todo, devices, gpus > 0)
    threads = max(1, share.cores() // (each * len(devices)))
    if flags.engine == "ray" and not flags.dry_run:
        engine: Engine = RayEngine(flags.address, flags.device, asked, threads)
        return engine, engine.slots, engine.threads
    if flags.dry_run:
        return None, each * len(devices), threads
    engine = LocalEngine(devices, each, threads)
    return engine, engine.slots, threads


def jobs_of(flags: argparse.Namespace, todo: Sequence[Cell], devices: Sequence[str], gpu: bool) -> int:
    """How many runs share a device: for each method and net what was found before in this folder, or what is measured now.

    All of them share devices, so the smallest number counts; also that of one with no cell left, so that the others go on as
    they began: on a CPU another number of threads would be another rounding.
    """
    if not todo:
        return 1
    if flags.dry_run:
        print("how many runs share a device is measured at the start; this plan is for one")
        return 1
    name = torch.cuda.get_device_name(0) if gpu else "cpu"
    kept = todo[0].folder.parent / "jobs.json"  # beside the cells, so that these go on as they began
    try:
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    except ValueError as error:
        raise InputError(f"{kept} is not JSON ({error}); remove it, and it is measured again") from error
    before = [number for kind, number in known.items() if kind.endswith(f" on {name}")]
    most, works = min([share.MOST, *(before or [-(-len(todo) // len(devices))])]), bool(before)
    kinds = {f"{cell.settings.alg} with {cell.settings.net} on {name}": cell for cell in reversed(todo)}
    for kind, cell in reversed(kinds.items()):
        if kind in known:
            print(f"{kind}: {known[kind]} at a time, as measured before ({kept})")
            continue
        if most == 1:
            break
        print(f"measuring how many runs at a time make the most steps: {kind}", flush=True)
        try:
            found = share.measured_with(cell.job.argv, devices[0], most, max(1, share.cores() // len(devices)))
        except InputError as error:  # the cell itself will say so, and others may run
            print(one_line(error), file=sys.stderr)
            continue
        print(", ".join(f"{count}: {rate:.1f} steps/s" for count, rate in found.items()), flush=True)
        if max(found) > share.best(found) or share.best(found) == share.MOST:  # otherwise there were only so few cells
            known[kind] = share.best(found)
            kept.parent.mkdir(parents=True, exist_ok=True)
            results.write_json(kept, known)
        most, works = min(most, share.best(found)), True
    return most if works else 1


class Stopped(KeyboardInterrupt):
    """A signal asked the sweep to end."""

    number = signal.SIGINT


def stop(number: int, frame: Any) -> None:
    """Handler of the signals that end a sweep."""
    stopped = Stopped()
    stopped.number = signal.Signals(number)
    raise stopped


def command(who: str, work: Callable[[contextlib.ExitStack], int]) -> int:
    """Do what runs a grid, within what ends its runs. Returns the exit status: that of the work; 2: bad input; 128 + n: ended by
    signal n.

    Args:
        who: Says what is said.
        work: Given what is to be left at the end, whatever happens.
    """
    if threading.current_thread() is threading.main_thread():  # a shell lets its background jobs, and their runs, ignore SIGINT
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), stop)
    try:
        with contextlib.ExitStack() as engines:
            return work(engines)
    except (InputError, BusyError, OSError) as error:
        print(f"{who}: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "number", signal.SIGINT)
        print(f"{who}: ended by {number.name}; the same command goes on", file=sys.stderr)
        return 128 + number


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 1: some cells failed; 2: bad input; 128 + n: ended by signal n."""
    return command("sweep.py", lambda engines: sweep(parser().parse_args(sys.argv[1:] if argv is None else argv), engines))


def sweep(flags: argparse.Namespace, engines: contextlib.ExitStack) -> int:
    """Plan the grid and run it."""
    plugins.load(flags.plugin)
    more = filter(None, [flags.preset, flags.budget])
    out = flags.out or Path("runs") / "-".join(["sweep", Path(flags.recipe[-1]).stem, *more])
    check_out(out)
    cells = grid(flags, out)
    missing = run_cells(cells, flags, engines)
    if flags.dry_run:
        return 1 if missing else 0
    shown = (
        f"; a table: python benchmarks/table.py {out}" if any(cell.job.name not in missing and cell.row for cell in cells) else ""
    )
    print(f"{outcomes(cells, missing)}, in {out}/{shown}")
    return say_missing(missing)


def outcomes(cells: Sequence[Cell], missing: Mapping[str, str]) -> str:
    """How many cells finished, and how many diverged."""
    lost = sum(cell.job.name not in missing and cell.diverged is not None for cell in cells)
    more = f" and {lost} diverged" if lost else ""
    return f"{len(cells) - len(missing) - lost} of {len(cells)} cells are finished{more}"


def check_out(out: Path) -> None:
    """Refuse an output that cannot be a folder.

    Raises:
        InputError: Something else is there, or on the way.
    """
    if out.resolve() == Path.cwd():
        raise InputError("--out is the folder you are in, which many folders would spill into; give one of their own")
    blocked = next((place for place in (out, *out.parents) if place.exists()), out)
    if not blocked.is_dir():
        raise InputError(f"--out {out}: {blocked} is not a folder; choose another --out")


def run_cells(cells: Sequence[Cell], flags: argparse.Namespace, engines: contextlib.ExitStack) -> dict[str, str]:
    """Show the plan and run what has no result yet; on a dry run, only show it.

    Args:
        cells: All of the grid.
        flags: device, engine, address, jobs_per_device, dry_run.
        engines: Ends what still runs, whatever happens.

    Returns:
        For each cell that has no outcome, by name, the reason; on a dry run, for each that cannot be run.
    """
    done, todo, refused = split_cells(cells)
    engine, slots, threads = make_engine(flags, todo)
    if engine is not None:
        engines.callback(close, engine)
    clock = Clock(done, threads)
    for line in plan(cells, todo, refused, clock, slots):
        print(line, flush=True)
    if engine is None:
        return refused
    display = Display(len(cells) - len(refused), len(done))
    try:
        return {**refused, **drive(todo, engine, clock, display, len(done))}
    finally:
        display.close()


def say_missing(missing: dict[str, str]) -> int:
    """Name the cells that have no outcome. Returns the exit status: 0 where all have one, otherwise 1."""
    for name, reason in missing.items():
        print(f"not finished: {name}: {reason}", file=sys.stderr)
    return 1 if missing else 0


def close(engine: Engine) -> None:
    """End what still runs: with a checkpoint, or, when asked a second time, at once."""
    try:
        engine.close()
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        engine.kill()
        raise


if __name__ == "__main__":
    sys.exit(main())
