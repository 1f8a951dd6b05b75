"""Confidence that means something: one temperature for a net's logits, from images that were held out to validate by.

Guo et al. 2017, arXiv:1706.04599. The test set is never used for it.
"""

import math
from typing import Annotated, TypedDict

import numpy as np

from ssl_zoo.runs.fields import Within
from ssl_zoo.train.evaluate import calibration_error

FEWEST = 50  # images held out, under which a temperature says more of these than of the net
Share = Annotated[float, Within(0, 1)]


class Calibration(TypedDict):
    """What a model file says of it. Of a net that is not calibrated the temperature is 1."""

    temperature: Annotated[float, Within(1e-6, 1e6)]
    images: Annotated[int, Within(0)]  # that it was found on
    error_before: Share | None  # expected calibration error on these
    error_after: Share | None
    why_not: str  # empty where it is calibrated


def uncalibrated(why_not: str, images: int = 0) -> Calibration:
    """Return that a net is not calibrated."""
    return Calibration(temperature=1.0, images=images, error_before=None, error_after=None, why_not=why_not)


def calibrate(logits: np.ndarray, labels: np.ndarray, trained_on: int = 0) -> Calibration:
    """Return the temperature under which the labels are most probable.

    Args:
        logits: (V, K) of held-out images.
        labels: (V,) their classes.
        trained_on: Labelled images that were not held out, of which some could be.
    """
    count = len(labels)
    if count < FEWEST:
        return uncalibrated(too_few(count, trained_on), count)
    if (logits.argmax(axis=1) == labels).all():  # the smaller the temperature the better, without an end
        return uncalibrated(f"all {count} images that were held out are right, which says nothing of how sure it may be", count)
    temperature = _temperature(logits.astype(np.float64), labels)
    before, after = (calibration_error(softmax(logits / t), labels) for t in (1.0, temperature))
    return Calibration(temperature=temperature, images=count, error_before=before, error_after=after, why_not="")


def too_few(count: int, trained_on: int) -> str:
    """Return why images that are held out are too few to calibrate by, and what holds out enough.

    Args:
        count: Of these.
        trained_on: Labelled images that were not held out.
    """
    share = math.ceil(100 * FEWEST / max(count + trained_on, 1)) / 100
    such = f"`val_fraction={share:g}` of the {count + trained_on}" if share <= 0.5 else f"`val_fraction=0.5` of {2 * FEWEST}"
    return f"that takes {FEWEST} labelled images held out for validation{f', not {count}' if count else ''}, such as {such}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, (n, K)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The minimum of the log loss over log T, within the bounds that scikit-learn has for it.

    scikit-learn's own, of CalibratedClassifierCV, wants an image of every class, and so grows with their square.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    below = logits - logits.max(axis=1, keepdims=True)  # (V, K), so that no power overflows
    right = below[np.arange(len(labels)), labels]  # (V,)

    def loss(log_temperature: float) -> float:
        sharpness = np.exp(-log_temperature)
        return float(np.mean(np.log(np.exp(sharpness * below).sum(axis=1)) - sharpness * right))

    return float(np.exp(minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-8}).x))
