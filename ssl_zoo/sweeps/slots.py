"""How many runs at a time, on which devices, with how many threads each."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch

from ssl_zoo.device import cores
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.runs.fields import Within, fits
from ssl_zoo.runs.row import write_json
from ssl_zoo.sweeps import share
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.engines import Engine, LocalEngine, Make

JOBS = "jobs.json"  # beside the cells: how many share a device, as measured


class Where(NamedTuple):
    """Where cells run, as asked for."""

    device: str = "auto"  # auto, cpu or cuda
    engine: str = "local"  # or ray, or submitit
    address: str | None = None  # of a Ray cluster
    jobs_per_device: int | str | None = None  # a number, auto, or what is usual there
    dry_run: bool = False
    slurm: Mapping[str, Any] = {}  # what jobs of submitit ask for


class Slots(NamedTuple):
    """What was made of that."""

    engine: Engine | None  # none for a dry run
    count: int  # runs at a time
    threads: int  # of each


def make_engine(where: Where, todo: Sequence[Cell], make: Make) -> Slots:
    """Return the engine, how many runs at a time, and the threads of each.

    Args:
        where: As asked for.
        todo: Cells to be run.
        make: What makes one.

    Raises:
        InputError: What is asked for is not there.
    """
    gpus = 0 if where.device == "cpu" else torch.cuda.device_count()
    _check(where, gpus)
    if where.engine == "submitit":
        return _of_slurm(where, todo, make)
    asked = where.jobs_per_device
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # which GPUs are ours, where somebody has said so
    devices = (visible.split(",")[:gpus] if visible else [str(k) for k in range(gpus)]) or [""]
    each = (1 if gpus else cores()) if asked is None else asked
    if asked == "auto" or (asked is None and gpus > 0 and where.engine == "local"):
        each = jobs_of(where.dry_run, todo, devices, gpus > 0)
    assert isinstance(each, int)
    threads = max(1, cores() // (each * len(devices)))
    if where.dry_run:
        return Slots(None, each * len(devices), threads)
    if where.engine == "ray":
        from ssl_zoo.sweeps.ray import RayEngine

        engine = RayEngine(make, where.address, where.device, asked if isinstance(asked, int) else None, threads)
        return Slots(engine, engine.slots, engine.threads)
    return Slots(LocalEngine(make, devices, each, threads), each * len(devices), threads)


def _of_slurm(where: Where, todo: Sequence[Cell], make: Make) -> Slots:
    from ssl_zoo.sweeps import slurm

    count, threads = slurm.asked_for(where.slurm, len(todo))
    if where.dry_run or not todo:
        return Slots(None if where.dry_run else LocalEngine(make, [""], 1, 1), count, threads)
    return Slots(slurm.SlurmEngine(make, todo[0].path.parent / slurm.KEPT, where.slurm, count, threads), count, threads)


def _check(where: Where, gpus: int) -> None:
    asked = where.jobs_per_device
    if where.device == "cuda" and not gpus and where.engine == "local":
        raise InputError("--device cuda: there is no GPU here; --device cpu runs on the processor")
    if isinstance(asked, int) and asked < 1:
        raise InputError(f"--jobs-per-device is {asked}; it must be at least 1")
    if where.address is not None and where.engine != "ray":
        raise InputError("--address is that of a Ray cluster; add --engine ray")
    if where.slurm and where.engine != "submitit":
        raise InputError("--slurm is of jobs of SLURM; add --engine submitit")
    if where.engine == "submitit" and asked is not None:
        raise InputError("--jobs-per-device is of GPUs and processors seen here; with --engine submitit give --slurm at_once=N")
    if where.engine == "ray" and asked == "auto":
        raise InputError("--jobs-per-device auto is measured on this machine; with --engine ray give a number")


def jobs_of(dry_run: bool, todo: Sequence[Cell], devices: Sequence[str], gpu: bool) -> int:
    """Return how many runs share a device.

    For each method and net what was found before in this folder, or what is measured now.

    All of them share devices, so the smallest number counts; also that of one with no cell left, so that the others go
    on as they began: on a CPU another number of threads would be another rounding.
    """
    if not todo:
        return 1
    if dry_run:
        print("how many runs share a device is measured at the start; this plan is for one")
        return 1
    name = torch.cuda.get_device_name(0) if gpu else "cpu"
    kept = todo[0].path.parent / JOBS
    try:
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    except ValueError as error:
        raise InputError(f"{kept} is not JSON ({error}); remove it, and it is measured again") from error
    if not fits(known, dict[str, Annotated[int, Within(1)]]):
        raise InputError(f"{kept} does not hold numbers of runs by kind; remove it, and they are measured again")
    before = [number for kind, number in known.items() if kind.endswith(f" on {name}")]
    most, works = min([share.MOST, *(before or [-(-len(todo) // len(devices))])]), bool(before)
    stepped = [cell for cell in reversed(todo) if not is_baseline(cell.settings.alg)]
    kinds = {f"{cell.settings.alg} with {cell.settings.net} on {name}": cell for cell in stepped}
    for kind, cell in reversed(kinds.items()):
        if kind in known:
            print(f"{kind}: {known[kind]} at a time, as measured before ({kept})")
            continue
        if most == 1:
            break
        found = _measured(kind, cell, devices, most)
        if not found:
            continue
        if max(found) > share.best(found) or share.best(found) == share.MOST:  # otherwise there were only so few cells
            known[kind] = share.best(found)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, known)
        most, works = min(most, share.best(found)), True
    return most if works else 1


def _measured(kind: str, cell: Cell, devices: Sequence[str], most: int) -> dict[int, float]:
    """Steps a second for each number of copies; nothing of a cell that does not run, which will say so itself."""
    print(f"measuring how many runs at a time make the most steps: {kind}", flush=True)
    try:
        found = share.measured_with(cell.settings, cell.plugins, devices[0], most, max(1, cores() // len(devices)))
    except InputError as error:
        print(one_line(error))
        return {}
    print(", ".join(f"{count}: {rate:.1f} steps/s" for count, rate in found.items()), flush=True)
    return found
