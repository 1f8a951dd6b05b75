"""A function as one compiled graph."""

import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from ssl_zoo.errors import InputError


def needs_compiler(device: torch.device) -> None:
    """Refuse a machine on which nothing can be compiled.

    Raises:
        InputError: It is a CPU without a C++ compiler.
    """
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX") or "g++", "clang++", "c++", "cl"))):
        raise InputError("`compile=True` needs a C++ compiler on the CPU, and none was found; install g++, or go on without it")


def compiled(function: Callable[..., Any], device: torch.device, fixed: bool = False) -> Callable[..., Any]:
    """The same function, compiled when it is first called, which takes up to a minute.

    On a GPU it is replayed as CUDA graphs.

    Of a loss the result is one node for autograd: what a term counts for cannot be told, and a second backward pass
    through CUDA graphs ends the process ("invalid device pointer", torch 2.11). So a step that is looked into is made
    without.

    One graph or an error: a function that falls apart into several would be slower than it looks. Inputs must not
    change in shape.

    Args:
        function: On tensors.
        device: Where they are.
        fixed: Whether it is a graph, which depends on nothing else: then nothing is looked at before each call, which
            takes as long as a small net's layer.
    """
    cuda = device.type == "cuda"
    options: dict[str, Any] = {
        "fallback_random": True,
        "triton.cudagraphs": cuda,
    }  # the former: draws as without, but for dropout's
    if fixed:
        options["guard_filter_fn"] = lambda guards: [False for _ in guards]
    inner = torch.compile(function, fullgraph=True, dynamic=False, options=options)
    if not cuda:
        logging.getLogger("torch.utils.cpp_extension").addFilter(_is_news)
        return inner

    def replayed(*args: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # what the step before returned may be written over
        return inner(*args)

    return replayed


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line that torch logs tells something: not that it finds no GPU, where none is asked for."""
    return not record.getMessage().startswith("No CUDA runtime is found")
