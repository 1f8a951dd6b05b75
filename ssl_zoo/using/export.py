"""A trained net for other programs: as ONNX, as a program of torch, or as its weights in one file."""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from ssl_zoo import files
from ssl_zoo.errors import InputError, one_of
from ssl_zoo.registry import is_ours
from ssl_zoo.runs.baselines import holds_images
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.model import KEY, read_model
from ssl_zoo.runs.trained import Trained, load
from ssl_zoo.settings import NO_OTHER_RUN
from ssl_zoo.using.beside import compare, sample_for
from ssl_zoo.using.formats import FORMATS, check_packages
from ssl_zoo.using.graph import ROOM, Graph, graph_of, other_sizes, said, trace

COPY = "safetensors"
NAMES = (*FORMATS, COPY)


class Exported(NamedTuple):
    """A file that was written, and how it was checked."""

    path: Path
    size: int  # bytes
    checked: str  # in words
    replaced: bool  # whether an earlier export was there
    holds_images: bool  # whether the net is made of its training images


def export(
    path: str | os.PathLike,
    out: str | os.PathLike | None = None,
    format: str | None = None,
    with_preprocessing: bool = False,
    dynamic_size: bool = False,
) -> Path:
    """Write a trained net as a file for other programs, and return where it is.

    The file is first run beside the net, with 1, 3 and 32 images at a time. Its metadata hold the classes in order and
    how an image becomes an input.

    Args:
        path: A run's folder, or its model.safetensors, wherever it was copied.
        out: The file; None: beside the model, with its name and the ending of the format.
        format: onnx, pt2 (what torch.export saves) or safetensors (the model's file as it is); None: what `out` ends
            in, or onnx.
        with_preprocessing: Take images (n, H, W, C) uint8 and give probabilities (n, K) float32. Otherwise: normalised
            images (n, C, H, W) float32, and logits (n, K) float32.
        dynamic_size: Take images of any height and width, not only those of training.

    Raises:
        InputError: The net, the format or the file cannot be used, or what the file gives is not what the net gives.
            Nothing is written then.
    """
    return exported(path, out, format, with_preprocessing, dynamic_size).path


def exported(
    path: str | os.PathLike,
    out: str | os.PathLike | None = None,
    format: str | None = None,
    with_preprocessing: bool = False,
    dynamic_size: bool = False,
) -> Exported:
    """Do what `export` does, and return how the file was checked."""
    given = None if out is None else Path(os.path.expanduser(out))
    name = _format(format, given)
    if name != COPY:
        check_packages(name)
    elif with_preprocessing or dynamic_size:
        unfit = "`with_preprocessing=True`" if with_preprocessing else "`dynamic_size=True`"
        raise InputError(f"{COPY} are the weights alone, without a graph; leave out {unfit}, or use `format=onnx`")
    trained = load(path, device="cpu", precision="fp32")
    model = Path(os.path.expanduser(path))
    model = RunFolder(model).model if model.is_dir() else model
    if given is None and name == COPY:
        raise InputError(f"the weights are in {model} already; say where the copy is to be, `out=FILE`")
    place = model.with_name(f"{model.name.removesuffix(f'.{COPY}')}.{name}") if given is None else given
    replaced = _check_place(place, name, model)
    if name == COPY:
        content, checked = model.read_bytes(), f"a copy of {model}, read and checked"
        files.replace(place, lambda file: _write_checked(file, content))
    else:
        content, checked = _made(trained, name, with_preprocessing, dynamic_size)
        files.replace(place, lambda file: file.write(content))
    return Exported(place, len(content), checked, replaced, holds_images(trained.about["net"]))


def _format(format: str | None, out: Path | None) -> str:
    """Which is meant."""
    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    name = one_of("format", format or (ending if ending in NAMES else "onnx"), *NAMES)
    if ending in NAMES and ending != name:
        raise InputError(f"{out} ends as {ending} and the format is {name}; make them agree")
    return name


def _check_place(place: Path, name: str, model: Path) -> bool:
    """Return whether an earlier export is there.

    Args:
        place: Where the file is to be.
        name: Of its format.
        model: What is exported.

    Raises:
        InputError: It cannot be there, or something else is.
    """
    if place.is_dir():
        raise InputError(f"{place} is a folder; give a file, such as {place / f'model.{name}'}")
    if not place.parent.is_dir():
        raise InputError(f"there is no folder {place.parent} for {place.name}; make it, or give another place")
    if place.exists() and place.samefile(model):
        raise InputError(f"{place} is the model itself; give another place")
    folder = RunFolder(place.parent)
    if folder.uses(place.name) and folder.holds_a_run():
        raise InputError(f"{place} is a file of the run in {folder}; give another place")
    if not place.exists():
        return False
    ours = _run_in(place) if name == COPY else FORMATS[name].is_ours(place)
    if not ours:
        raise InputError(f"{place} is there, and is no earlier export as {name}; give another place, or remove it")
    if name == COPY and ours != _run_in(model):
        raise InputError(f"{place} is there, and is the net of another run; give another place, or remove it")
    return True


def _run_in(place: Path) -> dict[str, Any]:
    """Of which run a file holds the net; empty where it holds none."""
    try:
        about = read_model(place).about
    except InputError:
        return {}
    row = about["row"]
    settings = {name: value for name, value in row.get("config", {}).items() if name not in (*NO_OTHER_RUN, "initial")}
    known = {name: row.get(name) for name in ("data_hash", "split_hash", "initial", "plugins")}
    return {"net": about["net"], "classes": about["classes"], "settings": settings, **known}


def _write_checked(file: BinaryIO, content: bytes) -> None:
    """Write a model's file, and read it before it gets its name."""
    file.write(content)
    file.flush()
    read_model(Path(file.name))


def _made(trained: Trained, name: str, with_preprocessing: bool, dynamic_size: bool) -> tuple[bytes, str]:
    """The content of a file that was run beside the net, and how far they were apart."""
    height, width = trained.image_size
    if dynamic_size and with_preprocessing and trained.normalisation.kind == "zca":
        raise InputError(
            f"the run whitens images (input = zca) by a matrix for {height}x{width} pixels; leave out `dynamic_size=True`, or "
            "`with_preprocessing=True`"
        )
    sizes = other_sizes(trained) if dynamic_size else []
    graph = graph_of(trained, with_preprocessing)
    content = FORMATS[name].write(trace(graph, trained, dynamic_size), graph, _metadata(trained, graph, dynamic_size))
    sample = sample_for(trained)
    try:
        apart = compare(FORMATS[name].run(content), graph, trained, sample, sizes)
    except Exception as error:  # of another library, which runs the file
        if is_ours(error) and not isinstance(error, InputError):
            raise
        what = str(error) if isinstance(error, InputError) else f"it cannot be run ({said(error)})"
        others = " or ".join(other for other in NAMES if other != name)
        others += ", or leave out `dynamic_size=True`" if dynamic_size else ""
        raise InputError(f"the file as {name} is of no use, and is not written: {what}; take {others}") from error
    near = f"within {apart:.1e} of" if apart else "equal to"
    return content, f"{graph.output} {near} the net's on {sample.words}"


def _metadata(trained: Trained, graph: Graph, dynamic_size: bool) -> dict[str, str]:
    """What a file says of itself: texts in JSON."""
    net = trained.about["net"]
    lengths = {"n": "n", "channels": net["channels"]}
    lengths |= {axis: axis if dynamic_size else net[axis] for axis in ROOM}
    pixels = graph.dtype == torch.uint8
    values = {
        KEY: trained.about,
        "classes": trained.classes,
        "input": {
            "name": "images",
            "type": "uint8" if pixels else "float32",
            "shape": [lengths[axis] for axis in graph.axes],
            "axes": graph.axes,
            "values": "pixels from 0 to 255" if pixels else "normalised as images.input of ssl_zoo says",
        },
        "output": {"name": graph.output, "type": "float32", "shape": ["n", len(trained.classes)]},
    }
    return {key: json.dumps(value) for key, value in values.items()}
