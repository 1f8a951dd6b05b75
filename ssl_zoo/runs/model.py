"""The file of a trained net: all that is needed to use it, and nothing that runs.

`model.safetensors` holds the weights of the net that is reported and, where images are whitened, the matrix. Under the
metadata key `ssl_zoo` is one JSON text: the net and its options, classes in order, how an image becomes an input, and
where it all comes from. It is read without the training set, the recipe or the source that made it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor

from ssl_zoo import files
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.normalisation import Normalisation
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.calibration import Calibration
from ssl_zoo.runs.fields import Within, fits, missing_fields, wrong_fields
from ssl_zoo.runs.row import Row

KEY = "ssl_zoo"  # of the metadata
FORMAT = 1  # of what stands under it; a reader knows its own and older ones
NET, INPUT = "net.", "input."  # what the names of tensors begin with
LARGEST = 4096  # pixels of a side, channels, and a hundredth of the classes, that a file may ask for
Size = Annotated[int, Within(1, LARGEST)]


class NetPart(TypedDict):
    """Which net it is."""

    name: str
    options: dict[str, Any]
    channels: Size
    height: Size
    width: Size


class ImagePart(TypedDict):
    """How an image becomes what the net was trained on."""

    resize: Literal["none", "cover"]  # cover: bilinear until it just covers the size, then the centre; none: only that size
    depth: NotRequired[Annotated[int, Within(8, 16)]]  # bits that 16-bit grey images use
    input: dict[str, Any]  # kind, and shift and scale for some, as `Normalisation.values` has them


class About(TypedDict):
    """What stands under the metadata key."""

    format: int
    net: NetPart
    images: ImagePart
    classes: list[str]
    batch: Annotated[int, Within(1)]  # images of a pass, as they were when it was scored
    scores: dict[str, float | int | None]
    row: dict[str, Any]  # of the run, without its curves: method, recipe, seeds, hashes, versions
    calibration: NotRequired[Calibration]
    plugins: NotRequired[str]
    digest: NotRequired[str]  # of the tensors


class Model(NamedTuple):
    """A file's content, checked."""

    about: About
    state: dict[str, Tensor]  # of the net
    normalisation: Normalisation


CURVES = ("evaluations", "confusion", "history", "warnings", "classes")  # of a row, which a file of weights does not repeat


def write_model(
    path: Path,
    row: Row,
    state: Mapping[str, Tensor],
    normalisation: Normalisation,
    data: Dataset,
    calibration: Calibration,
) -> None:
    """Write the file, as a whole or not at all.

    Args:
        path: Of the file.
        row: Of the run.
        state: Of the net that is reported.
        normalisation: Of its images.
        data: Of the run; its classes and the size of its images are kept.
        calibration: Of its confidence.

    Raises:
        OSError: It cannot be written.
    """
    from safetensors.torch import save  # of no use to what only reads rows

    _, height, width, channels = data.images.shape
    settings = row["config"]
    about = About(
        format=FORMAT,
        net=NetPart(name=row["net"], options=settings["nets"][row["net"]], channels=channels, height=height, width=width),
        images=ImagePart(
            resize="cover" if settings["datasets"].get(row["dataset"], {}).get("image_size") else "none",
            input=normalisation.values(),
            depth=data.depth,
        ),
        classes=list(data.classes),
        batch=settings["evaluation"]["batch"],
        scores={name: row.get(name) for name in ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error")},
        row={name: value for name, value in row.items() if name not in CURVES},
        calibration=calibration,
        plugins=row.get("plugins", ""),
    )
    tensors = {f"{NET}{name}": _own(value) for name, value in state.items()}
    tensors |= {f"{INPUT}{name}": _own(value) for name, value in normalisation.tensors().items()}
    about["digest"] = _digest(tensors)
    content = save(tensors, {KEY: json.dumps(about)})
    files.replace(path, lambda file: file.write(content))


def _own(tensor: Tensor) -> Tensor:
    """A tensor as the format wants it: on the host, its numbers in order, in memory of its own."""
    return tensor.detach().cpu().contiguous().clone()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in hex digits."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def read_model(path: Path) -> Model:
    """Read and check the file. Nothing of it is run.

    Raises:
        InputError: It cannot be read, is cut short, is no file of ours, or is of a later version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise InputError(
                    f"{path} is no model of ssl_zoo: it has no '{KEY}' in its metadata; give a run's model.safetensors"
                )
            about = _about(path, text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a model ({one_line(error)}); copy it again, or train it again with `fresh=True`"
        ) from error
    if about.get("digest", "") not in ("", _digest(tensors)):
        raise InputError(f"{path} is damaged: its weights are not those that were written; copy it again")
    net = {name.removeprefix(NET): value for name, value in tensors.items() if name.startswith(NET)}
    more = {name.removeprefix(INPUT): value for name, value in tensors.items() if name.startswith(INPUT)}
    return Model(about, net, _normalisation(path, about, more))


def _about(path: Path, text: str) -> About:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its '{KEY}' is not JSON ({error}); copy it again") from error
    version = about.get("format") if isinstance(about, dict) else None
    if not fits(version, Annotated[int, Within(1)]):
        raise InputError(f"{path} is damaged: its '{KEY}' has no format; copy it again")
    if version > FORMAT:
        raise InputError(f"{path} is of format {version}, and this version of ssl_zoo reads {FORMAT}; update ssl_zoo")
    missing = missing_fields(about, About)
    wrong = next(wrong_fields(about, About), None)
    if wrong is not None:
        what = f"it lacks {', '.join(missing)}" if missing else f"its {wrong} is not what it should be"
        raise InputError(f"{path} is damaged: {what}; copy it again")
    if not 2 <= len(about["classes"]) <= 100 * LARGEST or len({*about["classes"]}) < len(about["classes"]):
        raise InputError(f"{path} is damaged: its classes are too few, too many, or twice the same; copy it again")
    return about


def _normalisation(path: Path, about: About, tensors: Mapping[str, Tensor]) -> Normalisation:
    values, net = about["images"]["input"], about["net"]
    numbers = net["height"] * net["width"] * net["channels"]

    def scaled() -> bool:
        return all(fits(values.get(name), kind) and len(values[name]) == net["channels"] for name, kind in _SCALING.items())

    known = {
        "channel": scaled,
        "unit": scaled,
        "image": lambda: True,
        "zca": lambda: (
            {name: tuple(part.shape) for name, part in tensors.items()} == {"mean": (numbers,), "matrix": (numbers, numbers)}
        ),
    }
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in known or not known[kind]():
        raise InputError(f"{path} is damaged: how its images are normalised does not fit their size; copy it again")
    return Normalisation.from_values(values, tensors)


_SCALING = {"shift": list[float], "scale": list[Annotated[float, Within(1e-12)]]}
