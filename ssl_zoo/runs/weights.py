"""Pretrained weights of a run's net: whose they are, and how images become what they were trained on."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ssl_zoo.config import RESIZING
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.normalisation import Normalisation
from ssl_zoo.errors import InputError
from ssl_zoo.registry import NETS
from ssl_zoo.runs.baselines import net_of
from ssl_zoo.runs.model import Model
from ssl_zoo.settings import RunSettings

AUTO, WEIGHTS, CHANNEL = "auto", "weights", "channel"  # values of the setting `input`


def weights_of(settings: RunSettings) -> Any:
    """Return what is known of the pretrained weights of a run's net; None: it has none.

    It has a source, a license, the mean and std of each channel, the size (height, width) and the interpolation;
    of a file also whose weights its images are taken to be like.
    """
    options, entry = settings.nets[settings.net], NETS.resolve(settings.net)
    tell = getattr(entry.target, "weights", None)
    return None if tell is None or options.get("pretrained") in (None, AUTO) else tell(options, **entry.fixed)


def weights_identity(settings: RunSettings) -> dict[str, str]:
    """Return `weights_hash`, 12 hex digits of the file that weights come from, wherever it is; nothing without one."""
    path = settings.nets[settings.net].get("pretrained")
    if not isinstance(path, str) or path == AUTO:
        return {}
    try:
        return {"weights_hash": hashlib.sha256(Path(os.path.expanduser(path)).read_bytes()).hexdigest()[:12]}
    except OSError:  # the net's own words say so
        return {}


def known_of(settings: RunSettings, initial: Model | None = None) -> dict[str, str]:
    """Return what a row says of the weights, source and license; nothing where there are none.

    Of a run that begins from a trained net they are those that this one began from: a licence goes with them.
    """
    if net_of(settings)[0] != settings.net:  # a baseline on pixels, which makes no use of the net
        return {}
    if initial is not None:
        return dict(initial.about["row"].get("weights", {}))
    found = weights_of(settings)
    return {} if found is None else {"source": found.source, "license": found.license}


def input_kind(settings: RunSettings, initial: Model | None = None) -> str:
    """Return what a net gets of an image, where `auto` says that something else decides it."""
    if settings.input != AUTO:
        return settings.input
    if initial is not None:
        return str(initial.about["images"]["input"]["kind"])
    return CHANNEL if weights_of(settings) is None else WEIGHTS


def normalisation_of(settings: RunSettings, channels: int, initial: Model | None) -> Normalisation | None:
    """Return the normalisation that images get whatever they are; None: it is fitted on them.

    Grey images get the mean of what the weights had for three channels.

    Args:
        settings: Of the run.
        channels: C, of its images.
        initial: The trained net that it begins from.

    Raises:
        InputError: It is to be that of pretrained weights, and there are none.
    """
    if initial is not None:
        return initial.normalisation
    if input_kind(settings) != WEIGHTS:
        return None
    found = weights_of(settings)
    if found is None:
        raise InputError(
            f"input = weights normalises images as they were for pretrained weights, and {settings.net} begins from none; "
            "give `input=channel`"
        )
    shift, scale = (torch.tensor(part) for part in (found.mean, found.std))
    if channels != len(shift):
        shift, scale = (part.mean().expand(channels).clone() for part in (shift, scale))
    return Normalisation(WEIGHTS, shift, scale)


def beginning_with(settings: RunSettings, data: Dataset, initial: Model | None = None) -> Iterator[str]:
    """Yield lines about pretrained weights: whose they are, and what is otherwise than when they were trained."""
    known, kind = known_of(settings, initial), input_kind(settings, initial)
    if not known:
        return
    yield f"pretrained weights: {known['source']}; license: {known['license']}"
    if initial is not None:  # of which more is said, as how images were for that
        return
    found = weights_of(settings)
    if like := getattr(found, "like", ""):  # which a net of a plug-in need not say
        normalised = f": they are normalised as for {like}" if kind == WEIGHTS else ""
        yield f"how images were for these weights is not known{normalised}"
        return
    if kind != WEIGHTS:
        yield (
            f"input = {kind} gives the net other values than its weights were trained on; `input=weights` normalises images as "
            "they were then"
        )
    height, width = data.images.shape[1:3]
    if (height, width) != found.size:
        sides = "x".join(map(str, found.size))
        yield f"the weights were trained on images of {sides}, and these are {height}x{width} (height x width)"
    yield from resized_otherwise(settings, found.interpolation, "when the weights were trained")


def resized_otherwise(settings: RunSettings, before: str, when: str) -> Iterator[str]:
    """Yield a line where a run resizes images in another way than was done before.

    Args:
        settings: Of the run.
        before: The way then.
        when: That was, in words.
    """
    options = settings.datasets[settings.dataset]
    own = options.get("interpolation")
    if options.get("image_size") and own and own != before:
        same = f"; `datasets.{settings.dataset}.interpolation={before}` does as then" if before in RESIZING else ""
        yield f"images were resized {before} {when}, and these {own}{same}"
