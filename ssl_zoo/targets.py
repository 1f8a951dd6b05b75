"""Targets and row weights as pure functions: what a pseudo-label method takes images to be, and how much each counts.

No gradient comes out of any of them, whatever goes in.
"""

import torch
from torch import Tensor

from ssl_zoo.errors import between
from ssl_zoo.losses import full_precision


def probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return softmax(logits / T), of no gradient.

    Args:
        logits: (n, K).
        temperature: T, above 0.

    Returns:
        (n, K), in fp32 at least.
    """
    return (full_precision(logits.detach()) / temperature).softmax(dim=1)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return (n, K) float32 of (n,) int64 classes."""
    return torch.zeros(len(labels), classes, device=labels.device).scatter_(1, labels[:, None], 1.0)


def gate(confidence: Tensor, threshold: float | Tensor, strict: bool = False) -> Tensor:
    """Return 1 where a row's confidence is at least its threshold, else 0.

    Args:
        confidence: (n,).
        threshold: One for all rows, 0-dim or a number, or (n,).
        strict: A confidence that equals its threshold gives 0.

    Returns:
        (n,) of the type of `confidence`.
    """
    confidence = confidence.detach()
    return (confidence > threshold if strict else confidence >= threshold).to(confidence.dtype)


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """Return p^(1 / T) over its sum, computed in logarithms (Berthelot et al. 2019, arXiv:1905.02249, eq. 7).

    Example: (.8, .2) at T = .5 is (.9412, .0588). T = 1 leaves p as it is, T near 0 is one-hot.

    Args:
        p: (n, K) probabilities.
        temperature: T, above 0.

    Returns:
        (n, K).

    Raises:
        InputError: The temperature is not above 0.
    """
    between("temperature", temperature, 1e-6)
    p = p.detach()
    return (p.clamp(min=torch.finfo(p.dtype).tiny).log() / temperature).softmax(dim=1)


def align(p: Tensor, target: Tensor, model: Tensor, floor: float = 1e-6) -> Tensor:
    """Distribution alignment: move the classes' shares from what a model predicts to what they should be.

    p (target + floor) / (model + floor), over its sum (Berthelot et al. 2019, arXiv:1911.09785, sec. 3.1). Where both
    shares are the same it leaves p as it is. Example: (.6, .4) with target (.5, .5) and model (.75, .25) is (1/3, 2/3).

    Args:
        p: (n, K) probabilities.
        target: (K,) shares that the classes should have, or of no prior: ones.
        model: (K,) shares that they have among predictions.
        floor: Keeps the quotient finite for a class that is never predicted.

    Returns:
        (n, K).
    """
    aligned = p.detach() * ((target.detach() + floor) / (model.detach() + floor))
    return aligned / aligned.sum(dim=1, keepdim=True)


def truncated_gaussian(confidence: Tensor, mean: Tensor, variance: Tensor, n_sigma: float) -> Tensor:
    """Row weights that fall off below a mean: 1 from it on, exp(-(c - mean)^2 n^2 / (2 variance)) below.

    Chen et al. 2023, arXiv:2301.10921, eq. 6. Example: c = mean - sigma with n = 2 gives e^-2 = .1353; n = 0 gives 1.

    Args:
        confidence: (n,).
        mean: 0-dim.
        variance: 0-dim, sigma squared.
        n_sigma: n.

    Returns:
        (n,) in [0, 1].
    """
    below = (confidence.detach() - mean.detach()).clamp(max=0)
    floor = torch.finfo(confidence.dtype).tiny  # a variance of 0 makes it a gate at the mean
    return torch.exp(-below.square() * n_sigma**2 / (2 * variance.detach().clamp(min=floor)))


def class_thresholds(status: Tensor, threshold: float | Tensor) -> Tensor:
    """One threshold for each class, lower for a class that is learned less: threshold status / max status.

    Args:
        status: (K,) how far each class is learned, at least 0; all 0 gives 0.
        threshold: Of the class that is learned best.

    Returns:
        (K,).
    """
    status = status.detach()
    most = status.max()
    return threshold * status / torch.where(most > 0, most, torch.ones_like(most))  # a plain 1 waits for a GPU
