"""FixMatch: be told by your own sure prediction for an image what its strongly augmented view is.

Sohn et al., NeurIPS 2020, arXiv:2001.07685. Written from the paper, sec. 2.2 and algorithm 1.
"""

from typing import Literal

from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import gate, one_hot, probabilities


@ALGORITHMS.register("fixmatch")
class FixMatch(AlgorithmBase):
    """FixMatch: sure predictions for weakly augmented images are the labels of their strongly augmented views.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1, without a ramp, as the gate is one.
        threshold: Least probability of a pseudo-label that counts. Paper: 0.95; ImageNet 0.7.
        gate_temperature: Of the softmax that the gate reads. Paper: 1. LAMDA-SSL: 0.5, so .95 is .81 of two classes.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows of the step. ModSSC has kept.
        joint_forward: All images in one pass, as in the authors' code.
            Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight"}
    gates = {"threshold": 0.0}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        threshold: float = 0.95,
        gate_temperature: float = 1.0,
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.gate_temperature = between("gate_temperature", gate_temperature, 1e-6)
        self.over = one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        confidence, label = probabilities(weak, self.gate_temperature).max(dim=1)  # (U,) each, of no gradient
        kept = gate(confidence, self.threshold)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, label), kept, self.over)
        total = supervised + self.weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo}
        return Step(total, terms, guess=Guess(one_hot(label, weak.shape[1]), kept))
