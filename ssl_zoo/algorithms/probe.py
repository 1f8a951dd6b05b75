"""Probe: logistic regression on frozen features of a pretrained net.

What a pretrained net is worth without being trained (Kornblith et al., CVPR 2019, arXiv:1805.08974, sec. 4; Radford et
al. 2021, arXiv:2103.00020, app. A.3).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssl_zoo.algorithms.linear import LinearBaseline
from ssl_zoo.registry import ALGORITHMS


@ALGORITHMS.register("probe", "linear-probe")
class Probe(LinearBaseline):
    """Logistic regression on the labelled images' frozen features; unlabelled ones are not used.

    Fitted by scikit-learn. Paper: C by images held out to validate by. Ours: by cross-validation on the labels alone,
    as few are to be had. Paper: features as they are. Ours: less their mean and divided by one number, so that one
    range of C suits every net.

    Args:
        features: net: what the last layer of a pretrained net gets; pixels: the image's values, whatever the net.
        C: Inverse strength of the L2 penalty; null: chosen from 1e-4 to 1e4, by the log-loss in stratified
            cross-validation on the labelled images alone; 1 where a class has a single one.
        folds: Of the cross-validation, at most.
    """

    uses_unlabeled = False

    def fitted(self, C: float, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> tuple[Any, Mapping[str, float]]:
        return self.line(C).fit(labeled, labels), {}
