"""Self-training: a classifier labels what it is sure of, and learns from that.

Yarowsky, ACL 1995, doi:10.3115/981658.981684, as scikit-learn's `SelfTrainingClassifier` has it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from ssl_zoo.algorithms.baseline import Features
from ssl_zoo.algorithms.linear import LinearBaseline
from ssl_zoo.batch import Facts
from ssl_zoo.errors import between
from ssl_zoo.registry import ALGORITHMS


@ALGORITHMS.register("selftraining", "self-training")
class SelfTraining(LinearBaseline):
    """scikit-learn's SelfTrainingClassifier around a logistic regression on features.

    Args:
        features: pixels: the image's values, whatever the net; net: what the last layer of a pretrained net gets.
        C: Inverse strength of the L2 penalty; null: chosen from 1e-4 to 1e4, by the log-loss in stratified
            cross-validation on the labelled images alone; 1 where a class has a single one.
        folds: Of the cross-validation, at most.
        threshold: Probability from which on a prediction becomes a label; scikit-learn's is 0.75.
        rounds: Of labelling, at most; scikit-learn's are 10.
    """

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        features: Features = "pixels",
        C: float | None = None,
        folds: int = 5,
        threshold: float = 0.75,
        rounds: int = 10,
    ):
        super().__init__(net, facts, features=features, C=C, folds=folds)
        self.threshold, self.rounds = between("threshold", threshold, 0, 0.999999), between("rounds", rounds, 1, 100_000)

    def fitted(self, C: float, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> tuple[Any, Mapping[str, float]]:
        from sklearn.semi_supervised import SelfTrainingClassifier

        if not len(unlabeled):
            return self.line(C).fit(labeled, labels), {"labelled": 0}
        found = SelfTrainingClassifier(self.line(C), threshold=self.threshold, max_iter=self.rounds)
        found.fit(np.concatenate((labeled, unlabeled)), np.concatenate((labels, np.full(len(unlabeled), -1))))
        return found.estimator_, {"labelled": int((found.labeled_iter_ > 0).sum())}
