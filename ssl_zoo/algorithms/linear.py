"""Logistic regression on features, as scikit-learn fits it, written into the last layer of a net."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.baseline import Baseline, Features, scattered
from ssl_zoo.batch import Facts
from ssl_zoo.errors import between
from ssl_zoo.heads import last_layer

STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # of which cross-validation chooses C
DEFAULT = 1.0  # C where there is nothing to validate by: scikit-learn's
ABSENT = -30.0  # logit of a class that no label is of, below the lowest of the others


class LinearBaseline(Baseline):
    """A linear classifier on features, of which the last layer of the net becomes one.

    Args:
        net: As `Baseline` has it, with a linear last layer.
        facts: What is known of the training set.
        features: As `Baseline` has them.
        C: Inverse strength of the L2 penalty, on features whose deviations have a mean square of 1; null: chosen from
            1e-4 to 1e4, by the log-loss in stratified cross-validation on the labelled images alone.
        folds: Of the cross-validation, at most; never more than the images of the rarest class.

    Raises:
        InputError: The net has no such layer, or an option is out of range.
    """

    uses_class_weights = True

    def __init__(self, net: nn.Module, facts: Facts, *, features: Features = "net", C: float | None = None, folds: int = 5):
        super().__init__(net, facts, features=features)
        self.C = C if C is None else between("C", C, 1e-12)
        self.folds = between("folds", folds, 2, 1000)
        self._layer = [last_layer(net).requires_grad_(True)]  # in a list: it is a part of the net already

    def line(self, C: float) -> Any:
        """Return scikit-learn's classifier, not fitted yet."""
        from sklearn.linear_model import LogisticRegression

        weights = None if self.class_weights is None else dict(enumerate(self.class_weights.tolist()))
        return LogisticRegression(C=C, max_iter=1000, class_weight=weights)

    def chosen(self, labeled: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Return C, and in how many folds it was chosen; 0: in none, as it is given or a class has one image."""
        folds = min(self.folds, int(np.unique(labels, return_counts=True)[1].min()))
        if self.C is not None or folds < 2:
            return (DEFAULT if self.C is None else self.C), 0
        from sklearn.model_selection import GridSearchCV, StratifiedKFold

        apart = StratifiedKFold(folds, shuffle=True, random_state=0)
        found = GridSearchCV(self.line(DEFAULT), {"C": list(STRENGTHS)}, scoring="neg_log_loss", cv=apart, refit=False)
        return float(found.fit(labeled, labels).best_params_["C"]), folds

    def take(self, line: Any, mean: np.ndarray, scale: float) -> None:
        """Write what scikit-learn has fitted into the last layer.

        Softmax of a scaled and shifted line is softmax of a line: the net's probabilities are scikit-learn's.

        Args:
            line: As `line` returns, fitted.
            mean: (D,) that was taken from the features.
            scale: That they were divided by then.
        """
        weight, bias = (part.astype(np.float64) for part in (line.coef_, line.intercept_))
        if len(line.classes_) == 2:  # one line tells two classes apart: its logit is that of the second, and the first has 0
            weight, bias = np.concatenate((0 * weight, weight)), np.concatenate((0 * bias, bias))
        weight = weight / scale
        bias = bias - weight @ mean
        known = np.asarray(line.classes_)
        weight, bias = scattered(weight, known, self.classes, 0.0), scattered(bias, known, self.classes, bias.min() + ABSENT)
        (layer,) = self._layer
        with torch.no_grad():
            layer.weight.copy_(_as(weight, layer.weight))
            layer.bias.copy_(_as(bias, layer.bias))

    def fit(self, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> Mapping[str, float]:
        """As `Baseline`."""
        mean, scale = labeled.mean(axis=0, dtype=np.float64).astype(labeled.dtype), _scale(labeled)
        labeled, unlabeled = ((part - mean) / scale for part in (labeled, unlabeled))
        C, folds = self.chosen(labeled, labels)
        line, more = self.fitted(C, labeled, labels, unlabeled)
        self.take(line, mean, scale)
        return {"C": C, "folds": folds, **more}

    def fitted(self, C: float, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> tuple[Any, Mapping[str, float]]:
        """Return what `line` returns, fitted, and what else was found; arguments as of `fit`."""
        raise NotImplementedError


def _scale(features: np.ndarray) -> float:
    """One number for all (n, D) features; of each its own would blow up a pixel that is hardly ever lit."""
    return float(np.sqrt(features.var(axis=0, dtype=np.float64).mean())) or 1.0


def _as(values: np.ndarray, like: Tensor) -> Tensor:
    """Numbers in the type, place and shape of a parameter."""
    return torch.from_numpy(values).to(like).reshape(like.shape)
