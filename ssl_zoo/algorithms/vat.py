"""VAT: predict the same for an image and for its neighbour on which you would differ most.

Miyato et al., TPAMI 2018, arXiv:1704.03976. Written from the paper, sec. 3.
"""

from typing import Literal

from torch import Tensor, nn

from ssl_zoo.adversarial import adversarial_direction, two_logits
from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.losses import cross_entropy, entropy, full_precision, kl_divergence
from ssl_zoo.ranks import ranks
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp


@ALGORITHMS.register("vat")
class VAT(AlgorithmBase):
    """VAT: predictions should not change along the direction in which they change most.

    What the net draws, such as dropout, is the same in the clean and the perturbed pass.

    Args:
        weight: Of the divergence, summed over classes. Paper: 1. Oliver et al. and FixMatch's code have .3.
        ramp: Form of the weight's rise. Paper: none, which is constant. Oliver et al.: sigmoid.
            FixMatch's code: linear.
        ramp_length: Length of the rise, as a fraction of the run. Oliver et al.: .4.
        entropy_weight: Of the entropy of predictions, which is to be made small. Paper: 0 for VAT, 1 for VAT+EntMin.
            Oliver et al. and FixMatch's code have .06.
        epsilon: Length of the change, over a whole image, in the units that the net sees. Oliver et al. have 6, for
            SVHN 1, at 32x32x3; for other sizes scale it by the root of the number of values.
        xi: Step of the difference that finds the direction. Paper: a small number, 1e-6 in all codes, which in fp32 is
            rounding noise. 0: its limit, by products of derivatives, which TF32 and dropout do not disturb.
            1e-2: for a net with a layer that torch cannot differentiate twice (torch then says so).
        iterations: Of the power method. Paper: 1.
        divergence_from: Whose KL divergence from the other's prediction is taken. Paper: clean, KL(clean || perturbed).
            Oliver et al. and FixMatch's code have KL(perturbed || clean). The clean one is a constant in both.
    """

    views = ("weak",)
    weights = {"smoothness": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        ramp: RampForm = "constant",
        ramp_length: float = 0.4,
        entropy_weight: float = 0.0,
        epsilon: float = 6.0,
        xi: float = 0.0,
        iterations: int = 1,
        divergence_from: Literal["clean", "perturbed"] = "clean",
    ):
        super().__init__(net, facts)
        self.weight, self.epsilon = between("weight", weight, 0), between("epsilon", epsilon, 0)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.xi, self.iterations = between("xi", xi, 0), between("iterations", iterations, 1)
        self.divergence_from = one_of("divergence_from", divergence_from, "clean", "perturbed")
        self.entropy_weight = between("entropy_weight", entropy_weight, 0)
        if entropy_weight > 0:
            self.weights = {**self.weights, "entropy": "entropy_weight"}

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        if ranks() > 1 and any(hasattr(module, "track_running_stats") for module in self.net.modules()):
            raise InputError(
                "vat cannot differentiate batch norms that several processes share; use one process, or a net without batch norm"
            )
        (u,) = batch.u
        labeled = full_precision(self.net(batch.x))  # (B, K)
        with frozen_stats(self.net):  # further passes
            change = self.epsilon * adversarial_direction(self.net, u, xi=self.xi, iterations=self.iterations)
            clean, perturbed = two_logits(self.net, u, change)  # (U, K) each
        target = clean.detach()

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        from_clean = self.divergence_from == "clean"
        smoothness = kl_divergence(perturbed, target) if from_clean else kl_divergence(target, perturbed)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * smoothness
        terms = {"supervised": supervised, "smoothness": smoothness, "weight": weight}
        if self.entropy_weight > 0:
            terms["entropy"] = entropy(clean).mean()
            total = total + self.entropy_weight * terms["entropy"]
        return Step(total, terms)
