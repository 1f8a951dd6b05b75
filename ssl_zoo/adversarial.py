"""The small change of an image that moves a net's prediction most, and predictions for an image and its changed self.

Miyato et al. 2018, arXiv:1704.03976, sec. 3.2 and 3.3. All draws come from torch's global generator.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ssl_zoo.losses import exact, full_precision, kl_divergence

Forward = Callable[[Tensor], Tensor]


def unit(rows: Tensor) -> Tensor:
    """Return (n, ...) rows at length 1, however short they are; zeros stay zeros."""
    flat = rows.flatten(1)
    flat = flat / flat.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)  # a square would be 0
    return F.normalize(flat, dim=1).view(rows.shape)


def random_direction(images: Tensor) -> Tensor:
    """Draw (n, C, H, W) of length 1, uniform over directions."""
    return unit(torch.randn_like(images))


def two_logits(forward: Forward, images: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of images and of the changed images; what the net draws, such as dropout, is the same for both.

    A pass of its own: each has its own batch statistics. Call it under `frozen_stats`.

    Args:
        forward: The net: (n, C, H, W) -> (n, K).
        images: (n, C, H, W).
        change: (n, C, H, W), added.

    Returns:
        (n, K) twice, in fp32.
    """
    both = torch.stack((torch.zeros_like(change), change))
    clean, changed = torch.vmap(lambda r: forward(images + r), randomness="same")(both).unbind(dim=0)
    return full_precision(clean), full_precision(changed)


@torch.no_grad()
def adversarial_direction(forward: Forward, images: Tensor, *, xi: float = 0.0, iterations: int = 1) -> Tensor:
    """The direction in which the prediction for each image moves most: d <- H d of length 1, from a random d.

    H is the Hessian in r of KL(p(u) || p(u + r)) at r = 0. The papers' codes take H d as the gradient at r = xi d with
    xi = 1e-6. That is less than a rounding step of most pixels in fp32: on a trained net its cosine with H d is below
    .5. At 1e-2 it is .99 in fp32, but not where a GPU rounds convolutions to TF32. So the default is H d itself. There
    H = J' (diag p - p p') J, with J of the logits, and takes one pass of the net and three products with J.

    Args:
        forward: The net: (n, C, H, W) -> (n, K). Call it under `frozen_stats`.
        images: (n, C, H, W).
        xi: Step of the difference; 0: the exact product.
        iterations: How often.

    Returns:
        (n, C, H, W) of length 1 each, or 0 where no direction moves the prediction; no gradient.
    """
    d = random_direction(images)
    product = differenced if xi > 0 else curvature
    with exact(images), sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention cannot be differentiated twice
        for _ in range(iterations):
            d = unit(product(forward, images, xi * d if xi > 0 else d))
    return d


def differenced(forward: Forward, images: Tensor, r: Tensor) -> Tensor:
    """(n, C, H, W), the gradient of KL(p(u) || p(u + r)) in r."""

    def divergence(r: Tensor) -> Tensor:
        clean, changed = two_logits(forward, images, r)
        return kl_divergence(changed, clean.detach())

    return torch.func.grad(divergence)(r)


def curvature(forward: Forward, images: Tensor, d: Tensor) -> Tensor:
    """(n, C, H, W), H d of the divergence's Hessian H at no change. One pass, so dropout is the same in all of it."""
    logits, pull = torch.func.vjp(lambda u: full_precision(forward(u)), images)
    _, push = torch.func.vjp(lambda v: pull(v)[0], torch.zeros_like(logits))  # linear in v; its transpose is J
    p, (moved,) = logits.softmax(dim=1), push(d)  # (n, K), (n, K) = J d
    return pull(p * (moved - (p * moved).sum(dim=1, keepdim=True)))[0]
