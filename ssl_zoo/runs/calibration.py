"""Confidence that means something: one temperature for a net's logits, from images that were held out to validate by.

Guo et al. 2017, arXiv:1706.04599. The test set is never used for it.
"""

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


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Return the temperature under which the labels are most probable.

    Args:
        logits: (V, K) of held-out images.
        labels: (V,) their classes.
    """
    count = len(labels)
    if count < FEWEST:
        some = f"{count} labelled images were held out to validate by, and it takes {FEWEST}"
        few = some if count else "no labelled images were held out to validate by"
        return uncalibrated(f"{few}; `val_fraction` holds some out", count)
    if (logits.argmax(axis=1) == labels).all():  # the smaller the temperature the better, without an end
        return uncalibrated(f"all {count} images that were held out are right, which says nothing of how sure it may be", count)
    temperature = _temperature(logits.astype(np.float64), labels)
    before, after = (calibration_error(softmax(logits / t), labels) for t in (1.0, temperature))
    return Calibration(temperature=temperature, images=count, error_before=before, error_after=after, why_not="")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, (n, K)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """By scikit-learn, which is given a classifier whose decision is what it is asked about."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None = None) -> "Given":
            self.classes_ = np.unique(labels)
            return self

        def decision_function(self, logits: np.ndarray) -> np.ndarray:
            two = logits.shape[1] == 2  # of which scikit-learn takes x, for (-x, x)
            return (logits[:, 1] - logits[:, 0]) / 2 if two else logits

        def predict(self, logits: np.ndarray) -> np.ndarray:
            return logits.argmax(axis=1)

    # scikit-learn wants an image of every class: those that have none get one that does not count
    lacking = np.setdiff1d(np.arange(logits.shape[1]), labels)
    every = np.concatenate((logits, np.zeros((len(lacking), logits.shape[1]))))
    weight = np.concatenate((np.ones(len(labels)), np.zeros(len(lacking))))
    whole = [(np.arange(len(every)), np.arange(len(every)))]  # nothing is fitted but the temperature, so nothing is left out
    found = CalibratedClassifierCV(Given(), method="temperature", cv=whole, ensemble=False)
    found.fit(every, np.concatenate((labels, lacking)), sample_weight=weight)
    return 1 / float(found.calibrated_classifiers_[0].calibrators[0].beta_)
