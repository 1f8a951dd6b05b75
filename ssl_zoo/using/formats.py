"""The files that a graph can become, how each is run, and how one of ours is known."""

import importlib.util
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from ssl_zoo.errors import InputError
from ssl_zoo.registry import is_ours
from ssl_zoo.runs.model import KEY
from ssl_zoo.using.graph import ROOM, Graph, said

LARGEST = (1 << 31) - (1 << 24)  # bytes of weights in an ONNX file: protobuf ends at 2 GiB
Runner = Callable[[Tensor], np.ndarray]  # images -> what the file gives of them


class Format(NamedTuple):
    """A kind of file.

    Args:
        packages: That it needs beside torch, with the extra that installs them.
        write: From a program, its graph and the metadata to the file's content.
        run: From that content to what it computes.
        is_ours: Whether a file that is there has our metadata.
    """

    packages: tuple[str, ...]
    write: Callable[[ExportedProgram, Graph, Mapping[str, str]], bytes]
    run: Callable[[bytes], Runner]
    is_ours: Callable[[Path], bool]


def check_packages(name: str) -> None:
    """Look for what a format needs.

    Args:
        name: Of the format.

    Raises:
        InputError: It is not installed; the message names the extra.
    """
    for package in FORMATS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(f'{name} needs the package {package}: `pip install "ssl_zoo[{name}]"`')


# ONNX


def _write_onnx(program: ExportedProgram, graph: Graph, metadata: Mapping[str, str]) -> bytes:
    """Return the file, without what tells of this machine.

    Raises:
        InputError: The exporter has no such operation, or the file would be too large.
    """
    import onnx

    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > LARGEST:
        raise InputError(f"the weights have {size / 1e9:.1f} GB and an ONNX file at most {LARGEST / 1e9:.1f}; use `format=pt2`")
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own parts
            made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["images"], output_names=[graph.output])
            model = made.model_proto  # type: ignore[union-attr]
    except Exception as error:  # an operation that has no counterpart
        if is_ours(error):
            raise
        raise InputError(f"torch's exporter cannot make ONNX of it ({said(error)}); use `format=pt2`") from error
    finally:
        logger.setLevel(before)
    _name_axes(model, graph)
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer, model.graph):
        del part.metadata_props[:]  # stack traces, with files of this machine
    del model.graph.value_info[:]  # shapes of what lies between, by torch's names for the axes
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _name_axes(model: Any, graph: Graph) -> None:
    """Give the axes that may have any length their names in place of torch's."""
    for value, axes in ((model.graph.input[0], graph.axes), (model.graph.output[0], ("n",))):
        for axis, length in zip(axes, value.type.tensor_type.shape.dim, strict=False):
            if axis in ("n", *ROOM) and length.dim_param:
                length.dim_param = axis


def _run_onnx(content: bytes) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images.numpy()})[0]


def _is_our_onnx(path: Path) -> bool:
    import onnx

    try:
        return any(entry.key == KEY for entry in onnx.load_model(path, load_external_data=False).metadata_props)
    except Exception:  # protobuf's, of any other file
        return False


# pt2


def _write_pt2(program: ExportedProgram, graph: Graph, metadata: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=dict(metadata))
    return file.getvalue()


def _run_pt2(content: bytes) -> Runner:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda images: module(images).numpy()


def _is_our_pt2(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"extra/{KEY}") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


FORMATS = {
    "onnx": Format(("onnx", "onnxscript", "onnxruntime"), _write_onnx, _run_onnx, _is_our_onnx),
    "pt2": Format((), _write_pt2, _run_pt2, _is_our_pt2),
}
