"""All of it: the steps of every toolkit that is installed, and ours, in turns."""

import functools
import importlib
import importlib.metadata
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from typing import Any

import torch
from tqdm import tqdm

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.device import keep_freed_memory, peak_memory, pick_device, pick_precision

from ..contenders import Ours, passes_of
from ..parts import breakdown
from ..turns import interleaved, spread
from ..workloads import Workload, random_data
from .contender import Peer, net_of
from .facts import facts_of, in_words
from .with_modssc import Modssc
from .with_semilearn import Semilearn

METHODS = ("meanteacher", "fixmatch")
TOOLKITS: dict[str, tuple[str, type[Peer]]] = {"semilearn": ("0.3.2", Semilearn), "modssc": ("1.2.2", Modssc)}  # as looked into


def peers_of(w: Workload, rounds: int, steps: int, device: str, fast: bool) -> dict[str, Any]:
    """Their steps beside ours, in fp32 and with the same net.

    Args:
        w: What is measured, with images of three channels.
        rounds: In which all take turns.
        steps: Of a turn.
        device: Where.
        fast: Measure ours compiled too.
    """
    data, where = random_data(w), pick_device(device)
    there, skipped = installed()
    methods = {alg: _method(w, alg, data, where, rounds, steps, there, fast) for alg in METHODS}
    return {
        "title": w.title,
        "rounds": rounds,
        "steps": steps,
        "versions": there,
        "skipped": skipped,
        "parameters": sum(p.numel() for p in net_of(w, data, where).parameters()),
        "methods": methods,
        "notes": _notes(w._replace(rows=min(w.rows, 2000)), where, there),
    }


def installed() -> tuple[dict[str, str], list[str]]:
    """Toolkits that can be measured with their versions, and of the others why not."""
    there, skipped = {}, []
    for name, (version, _) in TOOLKITS.items():
        if find_spec(name) is None:
            skipped.append(f"{name} is skipped: it is not installed (pip install {name}=={version})")
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # theirs, whatever it is, must not cost the others their figures
            skipped.append(f"{name} is skipped: it cannot be imported ({type(error).__name__}: {error})")
        else:
            there[name] = importlib.metadata.version(name)
    return there, skipped


def _method(
    w: Workload, alg: str, data: Dataset, where: torch.device, rounds: int, steps: int, there: dict[str, str], fast: bool
) -> dict[str, Any]:
    """The rows of one method."""
    ours = {f"ours, {name}": Ours(w, alg, data, str(where), **more) for name, more in _ours(where, fast).items()}
    logging = breakdown(ours["ours, fp32"], 5)["logging"]
    turns: dict[str, Callable[[], None]] = {name: functools.partial(_repeat, mine.step, steps) for name, mine in ours.items()}
    makers: dict[str, Any] = {name: (None, _ours(where, fast)[name.partition(", ")[2]]) for name in ours}
    for toolkit, version in there.items():
        for words, how in TOOLKITS[toolkit][1].rows.items():
            name = f"{toolkit} {version}, {words}"
            peer = TOOLKITS[toolkit][1](w, alg, data, where, **how)  # type: ignore[call-arg]
            turns[name], makers[name] = functools.partial(peer.turn, steps), (toolkit, how)
            if hasattr(peer, "views_of_a_step"):
                turns[f"{name}: views"] = functools.partial(_repeat, peer.views_of_a_step, steps)
    peaks = peaks_of([(toolkit, w, alg, str(where), how) for toolkit, how in makers.values()])
    with tqdm(total=(rounds + 1) * len(turns), desc=f"{alg}, peers", disable=None) as bar:
        found = {name: [s / steps for s in times] for name, times in interleaved(turns, rounds, 1, where, bar).items()}
    for name in ours:
        found[name] = [second + logging for second in found[name]]
    rows = {
        name: _row(found[name], found["ours, fp32"], w) | {"peak_memory": peak} for name, peak in zip(makers, peaks, strict=True)
    }
    for name in makers:
        if (views := found.get(f"{name}: views")) is not None:
            together = [step + made for step, made in zip(found[name], views, strict=True)]
            other = f"{name.partition(',')[0]}, views made in every step"
            rows[other] = _row(together, found["ours, fp32"], w) | {"peak_memory": None}
    return rows


def _ours(where: torch.device, fast: bool) -> dict[str, dict[str, Any]]:
    """Settings of ours by the words of their rows."""
    default = pick_precision(where, "auto")
    found: dict[str, dict[str, Any]] = {"fp32": {"precision": "fp32"}}
    found |= {} if default == "fp32" else {f"{default}, the default": {"precision": default}}
    return found | ({"fp32, compiled": {"precision": "fp32", "compile": True}} if fast else {})


def _repeat(step: Callable[[], None], steps: int) -> None:
    for _ in range(steps):
        step()


def _row(seconds: Sequence[float], ours: Sequence[float], w: Workload) -> dict[str, Any]:
    return {
        "step": spread(seconds),
        "images_per_second": sum(w.batch) / statistics.median(seconds),
        "ratio": spread([theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]),
    }


def peaks_of(asked: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """Bytes at most of each, in a process of its own, one after the other."""
    found = []
    for one in asked:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # whose processes may have workers
            found.append(pool.submit(peak, *one).result())
    return found


def peak(toolkit: str | None, w: Workload, alg: str, device: str, how: dict[str, Any]) -> int | None:
    """Bytes at most of this process, once it has made a few steps; toolkit None: ours."""
    data, where = random_data(w), pick_device(device)
    if toolkit is None:
        keep_freed_memory()  # as a run of ours does
        step: Callable[[], None] = Ours(w, alg, data, device, **how).step
    else:
        peer = TOOLKITS[toolkit][1](w, alg, data, where, whole=True, **how)  # type: ignore[call-arg]
        step = functools.partial(peer.turn, 1)
    _repeat(step, 3)
    return peak_memory(where)


def _notes(w: Workload, where: torch.device, there: dict[str, str]) -> list[str]:
    """What is to be known of the figures, and what each toolkit's step does, in words."""
    data = random_data(w)
    lines = ["All train our net in fp32; ours keeps it with channels last, theirs have it in torch's own layout"]
    lines += ["All have the same threads, and keep the memory that a step frees"]
    for alg in METHODS:
        seen = passes_of(Ours(w, alg, data, str(where), precision="fp32"))
        graded, free = (" + ".join(str(one.shape[0]) for one in seen if one.grad is grad) for grad in (True, False))
        lines.append(f"Ours, {alg}: a step passes {graded} images with a gradient" + (f" and {free} without" if free else ""))
        for toolkit, version in there.items():
            make = functools.partial(TOOLKITS[toolkit][1], w, alg, data, where)
            lines.append(f"{toolkit} {version}, {alg}: {'; '.join(in_words(facts_of(make)))}")
    for toolkit, version in there.items():
        notes = TOOLKITS[toolkit][1](w, METHODS[0], data, where).notes()  # type: ignore[call-arg]
        lines += [f"{toolkit} {version}: {note}" for note in notes]
    return lines
