"""What a run of a baseline has of its own: a net that need not be the recipe's, and weights that it needs."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.errors import InputError
from ssl_zoo.heads import Neighbours
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.runs.model import NetPart
from ssl_zoo.settings import RunSettings

ON_PIXELS = "linear"  # the net of a baseline that gets the pixels


def is_baseline(alg: str) -> bool:
    """Whether a method has no steps, and is fitted at once."""
    target = ALGORITHMS.resolve(alg).target
    return inspect.isclass(target) and issubclass(target, Baseline)


HOLDS = "holds its training images themselves, the unlabelled ones too: think of that before you share it"


def holds_images(net: Mapping[str, Any]) -> bool:
    """Return whether a model's net is a memory of pixels, from what the model's file says of it."""
    return "memory" in net and net["name"] == ON_PIXELS


def row_holds_images(row: Mapping[str, Any]) -> bool:
    """Return the same, from a run's row."""
    options = row.get("config", {}).get("algorithms", {}).get(row.get("algorithm"), {})
    fitted = options.get("features") == "pixels" and is_baseline(row["algorithm"])
    return fitted and ALGORITHMS.resolve(row["algorithm"]).target.remembers


def uses_unlabeled(method: Any) -> bool:
    """Whether a method, or its class, learns from images without a label.

    Its row says so too: `uses_labels_alone` reads it there.
    """
    declared = getattr(method, "uses_unlabeled", None)  # of a baseline, which has no views
    return bool(getattr(method, "views", True)) if declared is None else declared


def net_of(settings: RunSettings) -> tuple[str, dict[str, Any]]:
    """Return name and options of the net that is made: that of the settings, or `linear` for a baseline on pixels."""
    if is_baseline(settings.alg) and settings.options.get("features") == "pixels":
        return ON_PIXELS, {}
    return settings.net, settings.nets[settings.net]


def part_of(settings: RunSettings, net: nn.Module, image_shape: Sequence[int]) -> NetPart:
    """Return what a model file says of its net.

    Args:
        settings: Of the run.
        net: That is scored.
        image_shape: (H, W, C).
    """
    height, width, channels = image_shape
    name, options = net_of(settings)
    part = NetPart(name=name, options=options, channels=channels, height=height, width=width)
    if isinstance(net, Neighbours):
        rows, features = net.stored.shape
        part["memory"] = {"rows": rows, "width": features, "neighbors": net.neighbors}
    return part


def check_weights(settings: RunSettings) -> None:
    """Refuse a net of random weights for a method that needs others.

    Raises:
        InputError: It would begin from such.
    """
    name, alg = settings.net, settings.alg
    baseline = is_baseline(alg)
    needs = settings.options["features"] == "net" if baseline else getattr(ALGORITHMS.resolve(alg).target, "needs_weights", False)
    if not needs or settings.initial is not None or settings.nets[name].get("pretrained"):
        return
    own = f", or, where they can be had, `nets.{name}.pretrained=true`" if "pretrained" in settings.nets[name] else ""
    pixels = f"`algorithms.{alg}.features=pixels`" if baseline else "`alg=supervised`"
    raise InputError(
        f"the method '{alg}' needs a net with weights, and {name} would begin from random ones; give `initial=MODEL`, a trained "
        f"net, or {pixels}{own}"
    )
