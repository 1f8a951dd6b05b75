"""PseudoLabel: be told by your own sure prediction for an image what that image is.

Lee, ICML workshop 2013. Written from the paper, with the threshold of Sohn et al. 2020, arXiv:2001.07685.
"""

from typing import Literal

from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp
from ssl_zoo.targets import gate, one_hot, probabilities


@ALGORITHMS.register("pseudolabel", "pseudo-label")
class PseudoLabel(AlgorithmBase):
    """PseudoLabel: sure predictions are the labels of the very images that they are made for.

    Target and prediction come from one view. In every table since FixMatch's it has a threshold, and so has ours.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 3. Ours: 1, as the tables that people compare with.
        ramp: Form of the weight's rise; the paper's is linear.
        ramp_length: Length of the rise, as a fraction of the run. Tables since FixMatch's: 0.4.
        threshold: Least probability of a pseudo-label that counts. Paper: 0, every prediction counts.
            Ours: 0.95, as those tables.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows of the step.
        joint_forward: All images in one pass.
            Off: a pass each, and the labelled one moves the running statistics, as in FixMatch's code.
    """

    views = ("weak",)
    weights = {"pseudo": "weight"}
    gates = {"threshold": 0.0}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        ramp: RampForm = "linear",
        ramp_length: float = 0.4,
        threshold: float = 0.95,
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = False,
    ):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.over = one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K)
        confidence, label = probabilities(weak).max(dim=1)  # (U,) each, of no gradient
        kept = gate(confidence, self.threshold)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(weak, label), kept, self.over)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "weight": weight}
        return Step(total, terms, guess=Guess(one_hot(label, weak.shape[1]), kept))
