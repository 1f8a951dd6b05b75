"""Whether the fields of a row hold what a type cannot say."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from ssl_zoo.runs.confusion import is_sound
from ssl_zoo.runs.fields import Share, fits
from ssl_zoo.settings import OWN_BATCH, OWN_STEPS


class Stream(TypedDict):
    """The section of a row's settings."""

    images: NotRequired[int | None]
    imbalance: NotRequired[float | None]
    order: NotRequired[str]
    mismatch: NotRequired[Share | None]


def _scores(evaluations: Sequence[Mapping[str, Any]]) -> bool:
    return len(evaluations) > 0 and all(
        fits(score, Share) for point in evaluations for name, score in point.items() if name != "step"
    )


def _numbers(points: Sequence[Mapping[str, Any]]) -> bool:
    return all(fits(value, float) and math.isfinite(value) for point in points for value in point.values())


def _settings(config: Mapping[str, Any]) -> bool:
    """Whether what tables look at is there, and of its type."""
    methods = config.get("algorithms")
    if not fits(methods, dict[str, dict[str, Any]]):
        return False
    return (
        all(fits(options.get(OWN_BATCH, {}), dict[str, int]) for options in methods.values())
        and all(fits(options.get(OWN_STEPS, 1), int) for options in methods.values())
        and fits(config.get("evaluation", {}), dict[str, Any])
        and fits(config.get("val_fraction", 0), Share)
        and fits(config.get("imbalance", 1), float)
        and fits(config.get("unlabeled_classes", []), list[str | int])
        and fits(config.get("stream", {}), Stream)
    )


ODD = {  # what a type cannot say
    "confusion": is_sound,
    "evaluations": _scores,
    "mechanism": _numbers,
    "versions": functools.partial(fits, kind=dict[str, str]),
    "config": _settings,
}
