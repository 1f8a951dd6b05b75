"""Scores of a net on labelled images."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo.losses import full_precision
from ssl_zoo.train.guesses import Known


@torch.no_grad()
def predict(
    net: nn.Module,
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    batch: int,
    context: contextlib.AbstractContextManager,
    temperature: float | None = 1.0,
) -> np.ndarray:
    """Class probabilities of images, in eval mode.

    Leaves `net` in eval mode: the caller knows which parts were training.

    Args:
        net: Images (n, C, H, W) -> logits (n, K).
        images: (T, H, W, C) as stored, on the net's device or on the host.
        prepare: Stored images (n, H, W, C) -> net inputs (n, C, H, W), without augmentation.
        batch: Images per pass.
        context: Autocast or nothing.
        temperature: What logits are divided by; None: the logits themselves are returned.

    Returns:
        (T, K) float32.

    Raises:
        FloatingPointError: Some are not finite, and so are no scores.
    """
    net.eval()
    device = next(net.parameters()).device
    parts = []
    for chunk in images.split(batch):
        with context:
            logits = net(prepare(chunk.to(device)))
        logits = full_precision(logits)
        parts.append(logits if temperature is None else (logits / temperature).softmax(dim=1))
    found = torch.cat(parts).cpu().numpy()
    if not np.isfinite(found).all():
        raise FloatingPointError("predictions are not finite")
    return found


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: over equal bins of confidence, the weighted mean of |accuracy - confidence|.

    Guo et al. 2017, arXiv:1706.04599, eq. 3.

    Args:
        probabilities: (T, K).
        labels: (T,) classes.
        bins: Number of bins; 15 in the paper.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, weights=right, minlength=bins) - np.bincount(place, weights=confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 (fractions of 1) and calibration error.

    Balanced accuracy and F1 are means over the classes that have images.

    Args:
        probabilities: (T, K).
        labels: (T,) classes.
    """
    from sklearn import metrics  # a second to import, and of no use to --list and --help

    predicted, present = probabilities.argmax(axis=1), np.unique(labels)
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
        "macro_f1": float(metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "calibration_error": calibration_error(probabilities, labels),
    }


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes that occur of the share of their images that is right.

    As scikit-learn's, without its matrix of all pairs of classes.

    Args:
        predicted: (T,) classes.
        labels: (T,) classes.
    """
    there = np.bincount(labels)
    right = np.bincount(labels[predicted == labels], minlength=len(there))
    return float(np.mean(right[there > 0] / there[there > 0]))


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How many images of each class were given which: the pairs that occur, as a matrix of all grows with K squared.

    Args:
        probabilities: (T, K).
        labels: (T,) classes.

    Returns:
        "classes": K; "true", "predicted", "count": lists of one length, sorted by true class, then by predicted one.
    """
    classes = probabilities.shape[1]
    pairs, counts = np.unique(labels * classes + probabilities.argmax(axis=1), return_counts=True)
    true, predicted = np.divmod(pairs, classes)
    return {"classes": classes, "true": true.tolist(), "predicted": predicted.tolist(), "count": counts.tolist()}


def chosen(evaluations: Sequence[Mapping[str, float]], selection: str) -> int:
    """Which evaluation is reported: the last, or the best on the validation images, of equal ones the latest.

    Args:
        evaluations: In order.
        selection: last or validation.
    """
    places = range(len(evaluations))
    return places[-1] if selection == "last" else max(places, key=lambda i: (evaluations[i]["validation_accuracy"], i))


class Evaluator:
    """Scores the student and the net that a method wants scored.

    Args:
        images: (T, H, W, C) as stored, the test set, on the device or on the host.
        labels: (T,) classes.
        hidden_images: (T', H, W, C) as stored, some unlabelled training images whose labels are known but hidden; may
            be empty.
        hidden_labels: (T',) their classes.
        validation_images: (V, H, W, C) as stored, labelled images that are held out from training; may be empty.
        validation_labels: (V,) their classes.
        prepare: Stored images -> net inputs.
        batch: Images per pass.
        context: Autocast or nothing.
        known: Of all training images: for what a method believes of them while it is trained.
    """

    def __init__(
        self,
        images: Tensor,
        labels: np.ndarray,
        hidden_images: Tensor,
        hidden_labels: np.ndarray,
        validation_images: Tensor,
        validation_labels: np.ndarray,
        prepare: Callable[[Tensor], Tensor],
        batch: int,
        context: contextlib.AbstractContextManager,
        known: Known | None = None,
    ):
        self.images, self.labels, self.known = images, labels, known
        self.hidden_images, self.hidden_labels = hidden_images, hidden_labels
        self.validation_images, self.validation_labels = validation_images, validation_labels
        self.prepare = prepare
        self._settings: dict[str, Any] = {"prepare": prepare, "batch": batch, "context": context}

    def __call__(self, net: nn.Module, student: nn.Module) -> tuple[dict[str, float], dict[str, Any]]:
        """Return scores of `net`, with the student's accuracy, and what was taken for what on the test images."""
        probabilities = predict(net, self.images, **self._settings)
        scores = score(probabilities, self.labels)
        if student is net:
            scores["accuracy_student"] = scores["accuracy"]
        else:
            scores["accuracy_student"] = score(predict(student, self.images, **self._settings), self.labels)["accuracy"]
        if len(self.hidden_labels):
            scores["unlabeled_accuracy"] = self._accuracy(net, self.hidden_images, self.hidden_labels)
        if len(self.validation_labels):
            scores["validation_accuracy"] = self._accuracy(net, self.validation_images, self.validation_labels)
        return scores, confusion(probabilities, self.labels)

    def held_out_logits(self, net: nn.Module, state: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (V, K) of the images to validate by, and their classes (V,).

        Args:
            net: Which is left as it is.
            state: The weights that it has meanwhile.
        """
        if not len(self.validation_labels):
            return np.empty((0, 1), np.float32), self.validation_labels
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net.load_state_dict(state)
        try:
            return predict(net, self.validation_images, **self._settings, temperature=None), self.validation_labels
        finally:
            net.load_state_dict(before)

    def _accuracy(self, net: nn.Module, images: Tensor, labels: np.ndarray) -> float:
        return float((predict(net, images, **self._settings).argmax(axis=1) == labels).mean())
