"""Labels that look wrong: images of which a net is sure that they are of another class."""

import importlib.util
import warnings
from typing import NamedTuple

import numpy as np

from ssl_zoo.using.report.evidence import Looked

EVEN = 0.5  # confidence of a class against all others together


class Suspects(NamedTuple):
    """Images whose label is to be looked at."""

    places: np.ndarray  # of the images that were looked at, the most suspicious first
    how: str  # they were found
    strong: bool  # whether the net had not seen these labels


def suspects(looked: Looked) -> Suspects:
    """Return the images whose label looks wrong.

    Those that a net had not seen are judged by confident learning (Northcutt et al. 2021, arXiv:1911.00068), where
    cleanlab is installed and all probabilities are at hand. Otherwise by confident disagreement, which is its first
    step. On images that were trained on the net repeats what it was told, so there only the second is tried.
    """
    unseen = not looked.trained_on.any()
    if unseen and looked.probabilities is not None and importlib.util.find_spec("cleanlab") is not None:
        return Suspects(_by_cleanlab(looked.labels, looked.probabilities), "confident learning (cleanlab)", True)
    return Suspects(confident_disagreement(looked), "confident disagreement", unseen)


def _by_cleanlab(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class has few images
        ranked = {"return_indices_ranked_by": "self_confidence", "n_jobs": 1}  # by itself, as the images are not many
        return np.asarray(find_label_issues(labels, probabilities, **ranked), dtype=np.int64)


def confident_disagreement(looked: Looked) -> np.ndarray:
    """Return images of which the net says, with confidence, another class than their label, the surest first.

    With confidence: at least as sure as it is, on average, of images with the label that it gives, and surer than of
    all other classes together. A class without such images has no average, and is not given.
    """
    classes = int(max(looked.labels.max(initial=0), looked.predicted.max(initial=0))) + 1
    count = np.bincount(looked.labels, minlength=classes)
    usual = np.bincount(looked.labels, looked.of_label, classes) / np.maximum(count, 1)
    usual[count == 0] = np.inf
    least = np.maximum(usual[looked.predicted], EVEN)
    places = np.flatnonzero(looked.wrong & (looked.confidence >= least))
    return places[np.argsort(looked.of_label[places], kind="stable")]
