"""Weights of classes in the supervised loss, from how many labelled images each has."""

from typing import Literal, get_args

import numpy as np

from ssl_zoo.errors import between, one_of

ClassWeights = Literal["none", "balanced", "effective"]


def class_weights(kind: ClassWeights, labels: np.ndarray, num_classes: int, beta: float = 0.999) -> np.ndarray | None:
    """Return a weight for each class, larger for a rarer one.

    balanced: n / (K n_k), of n images of which n_k are of class k, as scikit-learn's `compute_class_weight`; the mean
    over the images is 1. effective: (1 - beta) / (1 - beta^n_k), one over the effective number of images, divided by
    its mean over the classes (Cui et al. 2019, arXiv:1901.05555, eq. 5 and sec. 4). K is the number of classes that
    have an image here; another class has weight 0.

    Example: of three images of one class and one of another, balanced is (2/3, 2).

    Args:
        kind: none, balanced or effective.
        labels: (n,) classes of the labelled images that are trained on.
        num_classes: Of the data set.
        beta: Of effective; at 0 all weights are 1, towards 1 they become those of balanced, up to a factor.

    Returns:
        (num_classes,) float32; None for none.

    Raises:
        InputError: An unknown kind, or a beta that is not from 0 to 0.9999999.
    """
    if one_of("class_weights", kind, *get_args(ClassWeights)) == "none":
        return None
    between("class_weights_beta", beta, 0, 0.9999999)
    count = np.bincount(labels, minlength=num_classes)
    some = count[count > 0]
    weights = np.zeros(num_classes)
    if kind == "balanced":
        weights[count > 0] = some.sum() / (len(some) * some)
    else:
        weights[count > 0] = (1 - beta) / (1 - beta**some)
        weights *= len(some) / weights.sum()
    return weights.astype(np.float32)
