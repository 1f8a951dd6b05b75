"""The machine of a run: which device, which precision on it, how many threads, and its name. Decided once."""

import contextlib
import ctypes
import functools
import math
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from ssl_zoo.errors import InputError
from ssl_zoo.ranks import ranks


class Machine(NamedTuple):
    """What a run is made on."""

    device: torch.device
    precision: str  # bf16 or fp32
    threads: int  # of the CPU

    @property
    def name(self) -> str:
        """In words: the GPU, or the processor with its threads.

        How many of them, where several processes share a run.
        """
        return f"{ranks()} x {device_name(self.device)}" if ranks() > 1 else device_name(self.device)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Return the context of forward passes. No scaler is needed with bf16."""
        return autocast(self.device, self.precision)

    def with_threads(self, threads: int) -> "Machine":
        """Return the machine with this many threads, which torch uses from now on."""
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        return self._replace(threads=threads)


def machine(device: str, precision: str) -> Machine:
    """Return the machine that settings name; a GPU becomes the current one. Threads stay as they are.

    Args:
        device: auto, cpu, cuda or cuda:N.
        precision: auto, bf16 or fp32.

    Raises:
        InputError: There is no such device.
    """
    picked = pick_device(device)
    return Machine(picked, pick_precision(picked, precision), torch.get_num_threads())


@functools.cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    return (told_by(cpuinfo.read_text()) if cpuinfo.exists() else "") or platform.processor() or platform.machine()


def told_by(cpuinfo: str) -> str:
    """Return the processor's name in a text like /proc/cpuinfo; empty where there is none.

    Virtual machines often hide which of a family it is, as in `AMD EPYC`. Then its numbers say it, as two that round
    differently must not have one name.
    """
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(cpuinfo.splitlines()))}
    name = about.get("model name", "")
    numbers = [f"{label} {about[key]}" for label, key in (("family", "cpu family"), ("model", "model")) if key in about]
    hidden = name and not re.search(r"\d", name.partition("@")[0])  # but for its clock
    return f"{name} ({', '.join(numbers)})" if hidden and numbers else name


def device_name(device: torch.device) -> str:
    """Return what the device is, in words: the GPU's name, or the processor's with the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that torch held on a GPU, or this process in memory; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage starts with what the parent held when this process was made
        return next((1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` names; a GPU with its number, as the tensors on it have it.

    Raises:
        InputError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not number.isdecimal())):
        raise InputError(f"device '{name}' is unknown: auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device '{name}' was asked for, but torch sees {torch.cuda.device_count()} CUDA devices; use `device=cpu` or auto"
        )
    if kind == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda", int(number) if number else torch.cuda.current_device())
    torch.cuda.set_device(device)  # the global generator that a step seeds is that of the current device
    return device


def _fast_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere; before it, bf16 is emulated
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def holds(device: torch.device, size: int, made: bool = False) -> bool:
    """Whether a device has room for so many bytes and as many again, for all else.

    Args:
        device: Which.
        size: Bytes.
        made: Whether they are still to be made. Otherwise the host has room: they are there, or in a file that it maps.
    """
    if device.type == "cuda":
        return 2 * size <= torch.cuda.mem_get_info(device)[0]
    return not made or 2 * size <= _available()


def _available() -> float:
    """Bytes that the host has for a process now, as Linux estimates it; elsewhere no limit is known."""
    with contextlib.suppress(OSError):
        found = re.search(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return math.inf


def wait_for(device: torch.device) -> None:
    """Until it has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next step, where the C library is GNU's.

    By default that returns large blocks to the system, which hands them out again page by page, each filled with zeros:
    that is a tenth of a step of Mean Teacher. The most that is held at a time hardly changes.
    """
    with contextlib.suppress(OSError, AttributeError):  # another system, another library
        library = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD: no block gets a mapping of its own. Before 2.35 the library refuses more than 32 MB.
        if library.mallopt(-3, 1 << 30) or library.mallopt(-3, 1 << 25):
            library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD: the top of the heap is not given back


def pick_precision(device: torch.device, precision: str) -> str:
    """`bf16` or `fp32`: what `auto` means on this device, or what was asked for."""
    if precision == "auto":
        return "bf16" if _fast_in_bf16(device) else "fp32"
    return precision


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context of forward passes, for `bf16` or `fp32`. No scaler is needed with bf16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Use only operations that give the same bits every time; one that cannot raises an error which names it.

    On a CPU all that a run uses are so anyway. Must be entered before the first work on a GPU, or matrix products may
    differ.
    """
    if not enabled:  # torch's own call imports its compiler, which takes seconds
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
