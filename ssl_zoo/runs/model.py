"""The file of a trained net: all that is needed to use it, and nothing that runs.

`model.safetensors` holds the weights of the net that is reported and, where images are whitened, the matrix. Its
metadata `ssl_zoo` is a JSON text: the net, classes in order, how an image becomes an input, and where all comes from.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo import files
from ssl_zoo.data.dataset import Dataset, contents
from ssl_zoo.data.leakage import VALUES
from ssl_zoo.data.normalisation import Normalisation
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.calibration import Calibration
from ssl_zoo.runs.fields import Within, fits, missing_fields, wrong_fields
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import Row

KEY = "ssl_zoo"  # of the metadata
FORMAT = 1  # of what stands under it; a reader knows its own and older ones
NET, INPUT = "net.", "input."  # what the names of tensors begin with
LEARNT = "learnt"  # name of the tensor that tells which images were trained on with a label
LARGEST = 4096  # pixels of a side, channels, and a hundredth of the classes, that a file may ask for
Size = Annotated[int, Within(1, LARGEST)]


class NetPart(TypedDict):
    """Which net it is."""

    name: str
    options: dict[str, Any]
    channels: Size
    height: Size
    width: Size
    memory: NotRequired[dict[str, Annotated[int, Within(1, 2**31)]]]  # around it, images known by heart: rows, width, neighbors


class ImagePart(TypedDict):
    """How an image becomes what the net was trained on."""

    resize: Literal["none", "cover"]  # cover: bilinear until it just covers the size, then the centre; none: only that size
    interpolation: NotRequired[Literal["bilinear", "bicubic"]]  # of resizing; bilinear where it is not said
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
    learnt: Tensor | None = None  # (L,) int64, sorted `marks` of the images that were trained on with a label; None: not known

    @property
    def hash(self) -> str:
        """32 hex digits over all that its predictions depend on: weights, net, classes, how images become inputs."""
        said = [self.about[name] for name in ("net", "images", "classes", "batch")]  # type: ignore[literal-required]
        digest = self.about.get("digest") or _digest(_tensors(self))
        return hashlib.sha256(json.dumps([digest, *said], sort_keys=True).encode()).hexdigest()[:32]


CURVES = ("evaluations", "confusion", "history", "warnings", "classes")  # of a row, which a file of weights does not repeat


def write_model(
    path: Path,
    row: Row,
    net: NetPart,
    state: Mapping[str, Tensor],
    normalisation: Normalisation,
    data: Dataset,
    calibration: Calibration,
    rows: np.ndarray,
) -> None:
    """Write the file, as a whole or not at all.

    Args:
        path: Of the file.
        row: Of the run.
        net: Which one is reported.
        state: Of the net that is reported.
        normalisation: Of its images.
        data: Of the run; its classes and the size of its images are kept.
        calibration: Of its confidence.
        rows: Of the data's images, those that were trained on with a label.

    Raises:
        OSError: It cannot be written.
    """
    settings, options = row["config"], row["config"]["datasets"].get(row["dataset"], {})
    about = About(
        format=FORMAT,
        net=net,
        images=ImagePart(
            resize="cover" if options.get("image_size") else "none",
            interpolation=options.get("interpolation", "bilinear"),
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
    told = data.images[0].size > VALUES  # smaller images may be equal by chance
    learnt = torch.from_numpy(np.sort(marks(data.images[row] for row in rows))) if told else None
    write_again(path, Model(about, {**state}, normalisation, learnt))


def marks(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return numbers, (n,) int64: the same for images (H, W, C) uint8 of the same pixels, hardly ever for others."""
    return np.frombuffer(b"".join(content[:8] for content in contents(images)), dtype="<i8").astype(np.int64)


def write_again(path: Path, model: Model) -> None:
    """Write a model, as a whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    from safetensors.torch import save  # of no use to what only reads rows

    tensors = _tensors(model)
    content = save(tensors, {KEY: json.dumps({**model.about, "digest": _digest(tensors)})})
    files.replace(path, lambda file: file.write(content))


def _tensors(model: Model) -> dict[str, Tensor]:
    """All of a file, by their names there."""
    net = {f"{NET}{name}": _own(value) for name, value in model.state.items()}
    images = {f"{INPUT}{name}": _own(value) for name, value in model.normalisation.tensors().items()}
    return net | images | ({} if model.learnt is None else {LEARNT: _own(model.learnt)})


def _own(tensor: Tensor) -> Tensor:
    """A tensor as the format wants it: on the host, its numbers in order, in memory of its own."""
    return tensor.detach().cpu().contiguous().clone()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in hex digits."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy() if tensor.numel() else b"")
    return found.hexdigest()


def model_file(path: str | os.PathLike) -> Path:
    """Return the model at a path: a finished run's folder, or such a file wherever it was copied.

    Raises:
        InputError: There is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a {type(path).__name__} is no path; give a run's folder, or its model.safetensors")
    given = Path(os.path.expanduser(path))
    if not given.exists():
        raise InputError(f"there is no '{given}'; give a run's folder, or its model.safetensors")
    return _file_of(RunFolder(given)) if given.is_dir() else given


def _file_of(folder: RunFolder) -> Path:
    """The model in a run's folder."""
    if folder.model.exists() and folder.result.exists():
        return folder.model
    if (what := folder.diverged()) is not None:
        raise InputError(f"the run in {folder} diverged ({what}), so there is no trained net; train it anew with other settings")
    if folder.result.exists():
        raise InputError(
            f"the run in {folder} left no {folder.model.name}: a version of ssl_zoo without it made it; train it anew there "
            "with `fresh=True`"
        )
    if folder.config.exists():
        raise InputError(f"the run in {folder} is not finished; what began it resumes it")
    folds = [RunFolder(file.parent) for file in folder.path.glob(f"fold-*/{folder.config.name}") if file.parent.suffix == ""]
    if folds:
        first = min(folds, key=lambda fold: (not fold.model.exists(), len(fold.path.name), fold.path.name))
        raise InputError(f"{folder} holds a run in folds, each with a net of its own; give one of them, such as {first}")
    raise InputError(f"{folder} is not the folder of a run; give one, or a model.safetensors")


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
    learnt = tensors.get(LEARNT)
    if learnt is not None and (learnt.dtype != torch.int64 or learnt.dim() != 1):
        raise InputError(f"{path} is damaged: its {LEARNT} is not what it should be; copy it again")
    return Model(about, net, _normalisation(path, about, more), learnt)


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
        "weights": scaled,
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


def check_state(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Refuse a state of other names, shapes or types than a net's; torch itself lets some names be missing.

    Raises:
        LookupError: A name is missing, or is no part of the net.
        ValueError: A shape or type is another.
    """
    own = net.state_dict()
    for name in {*own} ^ {*state}:
        raise LookupError(f"{name} is {'not in the file' if name in own else 'no part of the net'}")
    for name, value in own.items():
        if value.shape != state[name].shape:
            raise ValueError(f"{name} is {tuple(state[name].shape)} in the file and {tuple(value.shape)} in the net")
        if value.dtype != state[name].dtype:
            raise ValueError(f"{name} is of {state[name].dtype} in the file and of {value.dtype} in the net")


_SCALING = {"shift": list[float], "scale": list[Annotated[float, Within(1e-12)]]}
