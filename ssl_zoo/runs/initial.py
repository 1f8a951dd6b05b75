"""The trained net that a run begins from, so that at step 0 its net gives that one's predictions.

The run keeps a copy of it in its folder: what becomes of the original then is nothing to a run that has begun.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.baselines import check_weights, net_of
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.model import Model, check_state, marks, model_file, read_model, write_again
from ssl_zoo.runs.weights import resized_otherwise
from ssl_zoo.settings import RunSettings

SHOWN = 8  # classes in a message


def initial_of(settings: RunSettings, folder: RunFolder | None = None) -> Model | None:
    """Return the trained net that a run begins from; None: it begins from none.

    Args:
        settings: Of the run.
        folder: Of the run, whose copy counts, once it has begun.

    Raises:
        InputError: There is no such net, or it is none of this run's kind; or the method needs one.
    """
    check_weights(settings)
    if settings.initial is None:
        return None
    kept = folder is not None and folder.initial.exists()
    try:
        model = _read(folder.initial if kept else model_file(settings.initial), settings)  # type: ignore[union-attr]
        _check(model, settings)
    except InputError as error:
        raise InputError(f"a run cannot begin from '{settings.initial}': {error}") from error
    return model


def _read(path: Path, settings: RunSettings) -> Model:
    """The model in a file; where it is none, say where weights of another program are given."""
    try:
        return read_model(path)
    except InputError as error:
        if "pretrained" not in settings.nets[settings.net]:
            raise
        other = f"`nets.{settings.net}.pretrained={settings.initial}`"
        raise InputError(f"{error}; weights that another program saved are given as {other}") from error


def _check(model: Model, settings: RunSettings) -> None:
    """Refuse another net, or another form of its images."""
    net, kind = model.about["net"]["name"], model.about["images"]["input"]["kind"]
    if "memory" in model.about["net"]:
        raise InputError("it is a memory of images, with nothing to train; give a run of another method")
    if net != settings.net and net_of(settings)[0] == settings.net:  # else it makes no use of the net
        raise InputError(f"it is of the net {net}, and this run trains {settings.net}; give `net={net}`")
    if settings.input not in ("auto", kind):
        raise InputError(f"its images are normalised as input = {kind}, and here input = {settings.input}; give `input={kind}`")


def check_images(model: Model, settings: RunSettings, data: Dataset) -> None:
    """Refuse images that the net and its normalisation cannot take.

    Raises:
        InputError: They have another number of channels; or another size, where images are whitened.
    """
    part, (height, width, channels) = model.about["net"], data.images.shape[1:]
    had, wanted = (height, width, channels), (part["height"], part["width"], part["channels"])
    if channels != wanted[2] or (model.about["images"]["input"]["kind"] == "zca" and had != wanted):
        here, there = (" x ".join(map(str, size)) for size in (had, wanted))
        raise InputError(
            f"a run cannot begin from '{settings.initial}': it takes images of {there}, and these are {here} (height x width x "
            "channels); make them alike"
        )


def put_weights(net: nn.Module, model: Model, classes: Sequence[str], make: Callable[[int], nn.Module], name: str) -> None:
    """Give a net the weights of a trained one. What belongs to a class goes by the class's name.

    Where the classes are the same, in the same order, that is the whole net. Otherwise a new class keeps the weights
    that it was drawn with, and those of a class that is no more are left out.

    Args:
        net: With weights as they were drawn.
        model: The trained one.
        classes: Names, of the net's.
        make: Returns a net of so many classes, otherwise the same.
        name: Of the trained one, for messages.

    Raises:
        InputError: The weights do not fit.
    """
    own, state, before = net.state_dict(), dict(model.state), model.about["classes"]
    try:
        if list(classes) != before:
            with torch.random.fork_rng(devices=[]):  # what the method draws after this is what it draws without
                other = make(len(classes) + 1).state_dict()
            for tensor in _of_classes(own, other):
                state[tensor] = _by_name(own[tensor], state[tensor], classes, before)
        check_state(net, state)
        net.load_state_dict(state)
    except (RuntimeError, ValueError, LookupError) as error:
        options = ", ".join(f"{key}={value}" for key, value in model.about["net"]["options"].items() if key != "pretrained")
        raise InputError(
            f"a run cannot begin from '{name}': its weights do not fit ({one_line(error)[:300]}); give the net what it had: "
            f"images of {model.about['net']['height']}x{model.about['net']['width']}, and the options {options or 'none'}"
        ) from error


def _of_classes(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """The tensors whose shape another number of classes changes."""
    return [name for name, value in own.items() if value.shape != other[name].shape]


def _by_name(drawn: Tensor, trained: Tensor, classes: Sequence[str], before: Sequence[str]) -> Tensor:
    """(K, ...) with the rows of a trained (K', ...) for the classes that it knows."""
    if len(drawn) != len(classes) or trained.shape != (len(before), *drawn.shape[1:]):
        return drawn  # of no form that is known: all of it is new
    made, place = drawn.clone(), {name: k for k, name in enumerate(before)}
    for k, name in enumerate(classes):
        if name in place:
            made[k] = trained[place[name]].to(made)
    return made


def keep(model: Model | None, folder: RunFolder) -> None:
    """Copy what a run begins from, if it does, into its folder.

    Raises:
        RunError: The folder cannot be written.
    """
    if model is not None:
        with folder.writing():
            write_again(folder.initial, model)


def beginning_from(settings: RunSettings, model: Model, data: Dataset) -> Iterator[str]:
    """Yield lines about what a run begins from."""
    row, classes, before = model.about["row"], data.classes, model.about["classes"]
    right = f", {100 * row['accuracy']:.2f} % of its {row.get('scored', 'test')} images right" if "accuracy" in row else ""
    yield one_line(
        f"begins from the weights of {settings.initial} ({settings.net} by {row.get('algorithm', 'another method')}{right}), and "
        "normalises images as it does"
    )
    size, here = (model.about["net"]["height"], model.about["net"]["width"]), data.images.shape[1:3]
    if size != here:
        there, now = ("x".join(map(str, sides)) for sides in (size, here))
        yield f"it was trained on images of {there}, and these are {now} (height x width)"
    images = model.about["images"]
    if images.get("resize") == "cover":
        yield from resized_otherwise(settings, images.get("interpolation", "bilinear"), "for it")
    new, gone = ([name for name in these if name not in {*those}] for these, those in ((classes, before), (before, classes)))
    if new:
        yield one_line(f"new classes, whose weights of the last layer are drawn: {_shown(new)}")
    if gone:
        yield one_line(f"classes that are no more, whose weights are left out: {_shown(gone)}")


def learnt_by_heart(model: Model | None, data: Dataset) -> Iterator[str]:
    """Yield a line where images are scored that the net which a run begins from was trained on, with a label."""
    if model is None or model.learnt is None:
        return
    count = int(np.isin(marks(data.test_images), model.learnt.numpy()).sum())
    if count:
        yield (
            f"{count:,} of {len(data.test_images):,} images that are scored were trained on with a label by the net that this "
            "run begins from, which may have learnt them by heart; scores are sound where its test images are the test part of a "
            "folder or table"
        )


def _shown(names: Sequence[str]) -> str:
    return f"{', '.join(names[:SHOWN])}{' and more' if len(names) > SHOWN else ''}"
