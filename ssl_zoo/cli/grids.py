"""What the commands share that run many cells: flags, lists of numbers, signals, the plan and its end."""

import argparse
import contextlib
import functools
import re
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import plugins, recipes
from ssl_zoo.cli.display import Display
from ssl_zoo.cli.flags import add_data, add_machine, add_settings
from ssl_zoo.cli.parser import GRID, Parser, command, in_words, warn
from ssl_zoo.errors import FolderError, InputError, StaleError, one_of, shown
from ssl_zoo.settings import RunSettings
from ssl_zoo.sweeps.axes import MISSING, value_of
from ssl_zoo.sweeps.cells import Cell, sort
from ssl_zoo.sweeps.clock import Clock
from ssl_zoo.sweeps.drive import Drive, plan
from ssl_zoo.sweeps.engines import Engine
from ssl_zoo.sweeps.slots import Where, make_engine

ENGINES = ("local", "ray", "submitit")
MOST_SEEDS = 10_000  # in a range


def add_engine_flags(p: Parser) -> None:
    """Add what says where and how cells are run."""
    add_data(p)
    add_machine(p, "shares out the cores", "auto (every GPU, or the CPU if there is none), cpu or cuda")
    add_settings(p)
    p.add_argument("--engine", default="local", choices=ENGINES, help="processes on this machine, a Ray cluster, or SLURM")
    p.add_argument(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="of --engine submitit, what each job asks for: partition, timeout_min (60), gpus_per_node, cpus_per_task (1), "
        "mem_gb and all else of sbatch; at_once: jobs at a time; cluster=local: processes on this machine",
    )
    p.add_argument("--address", metavar="ADDRESS", help="of a Ray cluster to join; one is started on this machine otherwise")
    p.add_argument(
        "--jobs-per-device",
        type=jobs,
        metavar="K|auto",
        help="runs at a time on each GPU, or on the CPU, where it is one to a core unless said otherwise; auto: as many as make "
        "the most steps between them, measured at the start, as `share` does. A GPU of this machine gets auto, one of Ray's 1",
    )
    p.add_argument("--rerun-stale", action="store_true", help="train anew, in its place, what other code has made, or half made")
    p.add_argument(
        "--fresh",
        action="store_true",
        help="begin anew where a run's folder holds another, of other settings, data or code, which is moved aside, to "
        "<folder>.old-1; runs that are as asked for are kept, and go on",
    )
    p.add_argument("--dry-run", action="store_true", help="show the plan and the estimated time, and run nothing")


def jobs(text: str) -> int | str:
    """A number, or auto."""
    try:
        return text if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor auto") from error


def listed(text: str, flag: str) -> list[str]:
    """Return `a,b` as a list without repeats.

    Raises:
        InputError: Nothing in it.
    """
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise InputError(f"{flag} is empty; give one or more, separated by commas")
    return found


def seeds(text: str) -> list[int]:
    """Return `0-2,7` as numbers.

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


def cell_of(flags: argparse.Namespace, name: str, settings: RunSettings, out: Path, axes: Sequence[str] = ()) -> Cell:
    """Return a cell of that name below a folder, as flags ask for it.

    Args:
        flags: As parsed.
        name: Of the cell.
        settings: Of its run.
        out: The folder.
        axes: Dotted keys of the settings in which cells differ, beside method, net, labels and seed.
    """
    own = tuple(key for key in axes if value_of(settings, key) is not MISSING)
    log, plugins_named = out / "logs" / f"{name}.txt", tuple(flags.plugin)
    return Cell(name, settings, out / name, log, plugins_named, flags.rerun_stale, flags.fresh, own)


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
    made = [place for place in (out, *out.parents) if not place.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def make(cell: Cell, threads: int) -> int:
    """Make a cell's run in this process, as the command `run` does. Returns the exit status."""
    interrupted = "interrupted; it goes on from the last checkpoint, if there is one yet"
    return command("run.py", lambda: _made(cell, threads), interrupted, GRID)


def _made(cell: Cell, threads: int) -> int:
    from ssl_zoo.runs.execute import execute
    from ssl_zoo.runs.report import summary

    plugins.load(cell.plugins)
    make = functools.partial(execute, cell.settings, cell.path, axes=cell.axes, threads=threads, say=_say, warn=_warn)
    anew = cell.rerun_stale or cell.fresh
    try:
        row = make(fresh=anew and cell.stale, in_place=not cell.fresh)
    except (FolderError, StaleError) as error:
        if not (anew if isinstance(error, StaleError) else cell.fresh):
            raise
        row = make(fresh=True, in_place=not cell.fresh)
    print(shown(summary(row, cell.path)))
    return 0


def _say(line: str) -> None:
    print(shown(in_words(line, GRID)), flush=True)


def _warn(line: str) -> None:
    warn(line, GRID)


class Stopped(KeyboardInterrupt):
    """A signal asked the sweep to end."""

    number = signal.SIGINT


def stop(number: int, frame: Any) -> None:
    """Handle the signals that end a sweep."""
    stopped = Stopped()
    stopped.number = signal.Signals(number)
    raise stopped


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Let a process's main thread handle signals that end a sweep so. Returns how each was handled before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
    return {number: signal.signal(number, handler) for number in numbers}


def many(prog: str, work: Callable[[contextlib.ExitStack], int], known: Collection[str] = GRID) -> int:
    """Do what runs a grid, within what ends its runs. Returns the exit status.

    Args:
        prog: Says what is said.
        work: Given what is to be left at the end, whatever happens.
        known: Settings with a flag of their own there.
    """
    before = _handle(stop)  # a shell lets its background jobs, and their runs, ignore SIGINT

    def within() -> int:
        try:
            with contextlib.ExitStack() as engines:
                status = work(engines)
        except KeyboardInterrupt:
            _handle(signal.SIG_IGN)  # all has ended, and a second signal comes too late
            raise
        for number, handler in before.items():  # of a program that goes on
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        return status

    status = command(prog, within, "ended by {signal}; the same command goes on", known)
    return 2 if status == 3 else status  # of a folder that is another's, which no cell is


def run_cells(
    cells: Sequence[Cell], flags: argparse.Namespace, engines: contextlib.ExitStack, known: Collection[str] = GRID
) -> dict[str, str]:
    """Show the plan and run what has no result yet; on a dry run, only show it.

    Args:
        cells: All of the grid.
        flags: device, engine, address, jobs_per_device, dry_run.
        engines: Ends what still runs, whatever happens.
        known: As for `many`.

    Returns:
        For each cell that has no outcome, by name, the reason; on a dry run, for each that cannot be run.
    """
    where = where_of(flags)
    found = sort(cells)
    slots = make_engine(where, found.todo, make)
    if slots.engine is not None:
        engines.callback(close, slots.engine)
    clock = Clock(found.done, slots.threads)
    for line in plan(cells, found, clock, slots.count):
        print(shown(in_words(line, known)), flush=True)
    if found.stale:
        print("--rerun-stale trains anew what other code has made", flush=True)
    if slots.engine is None:
        return found.refused
    display = Display(len(cells) - len(found.refused), len(found.done))
    try:
        first = {reason: name for name, reason in reversed(found.refused.items())}
        refused = {name: why if first[why] == name else f"as {first[why]}" for name, why in found.refused.items()}
        return {**refused, **Drive(found.todo, slots.engine, clock, display, len(found.done)).run()}
    finally:
        display.close()


def where_of(flags: argparse.Namespace) -> Where:
    """Return where cells run, as flags ask for it.

    Raises:
        InputError: There is no such device, or it is one GPU of many.
    """
    device = flags.device or "auto"
    if device.startswith("cuda:"):
        raise InputError(
            f"--device {device}: runs are shared out among the GPUs that are seen; give --device cuda, with "
            f"CUDA_VISIBLE_DEVICES={device[5:]} before the command"
        )
    one_of("--device", device, "auto", "cpu", "cuda")
    return Where(device, flags.engine, flags.address, flags.jobs_per_device, flags.dry_run, _pairs(flags.slurm))


def _pairs(text: str | None) -> dict[str, Any]:
    """What --slurm gives."""
    found = {}
    for pair in (text or "").split(",") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"--slurm has '{pair}'; give KEY=VALUE with commas between them, such as partition=gpu,timeout_min=240"
            )
        found[key.strip().replace("-", "_")] = recipes.parse_yaml(value, "--slurm")
    return found


def say_missing(missing: dict[str, str], known: Collection[str] = GRID) -> int:
    """Name the cells that have no outcome. Returns the exit status: 0 where all have one, otherwise 1."""
    for name, reason in missing.items():
        print(f"not finished: {name}: {in_words(reason, known)}", file=sys.stderr)
    return 1 if missing else 0


def close(engine: Engine) -> None:
    """End what still runs: with a checkpoint, or, when asked a second time, at once."""
    try:
        engine.close()
    except KeyboardInterrupt:
        _handle(signal.SIG_IGN)
        engine.kill()
        raise
