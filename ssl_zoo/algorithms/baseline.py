"""Baselines: methods without steps, fitted at once by scikit-learn on features of the images as they are.

They are what a semi-supervised method has to beat (arXiv:2503.09707), so they stand in every table: on the same label
splits, scored on the same images, by the same code.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.errors import InputError, one_of

Features = Literal["net", "pixels"]


class Baseline(AlgorithmBase):
    """A method that is fitted at once. Its net gives features, and stays as it is but for its last layer.

    Args:
        net: Images (n, C, H, W) -> logits (n, K), with timm's `forward_features` and `forward_head`.
        facts: What is known of the training set.
        features: What a classifier gets of an image: net, what the net's last layer gets, where the net has weights
            that it can be asked with; pixels, the normalised values of the image, whatever the net.

    Attributes:
        uses_unlabeled: Whether `fit` makes use of images without a label; otherwise it is given none.
        remembers: Whether the net that is scored is made of the features of all images.
        uses_class_weights: Whether `fit` weighs the classes by `class_weights`.
    """

    uses_unlabeled = True
    remembers = False
    uses_class_weights = False

    def __init__(self, net: nn.Module, facts: Facts, *, features: Features = "net"):
        super().__init__(net.requires_grad_(False), facts)
        self.features = one_of("features", features, "net", "pixels")
        self.classes = facts.classes

    def fit(self, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> Mapping[str, float]:
        """Learn from features.

        Args:
            labeled: (L, D) float32, of the labelled images.
            labels: (L,) their classes.
            unlabeled: (U, D) float32, of the images without a label; may be empty.

        Returns:
            What was found on the way, such as a strength of regularisation, for the run's row.

        Raises:
            InputError: It cannot be fitted on these.
        """
        raise NotImplementedError

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        """Nothing: there are no steps.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{type(self).__name__} is fitted at once and has no steps; call `fit`")


def scattered(values: np.ndarray, present: np.ndarray, classes: int, absent: float) -> np.ndarray:
    """Return values by class, (K', ...), as (K, ...).

    Args:
        values: One for each class that is present.
        present: (K',) which these are.
        classes: K.
        absent: The value of the others.
    """
    made = np.full((classes, *values.shape[1:]), absent, values.dtype)
    made[present] = values
    return made
