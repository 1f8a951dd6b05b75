"""DeFixMatch: FixMatch, less what it would do to the labelled images, so that what is minimised is unbiased.

Schmutz et al., ICLR 2023, arXiv:2203.07512. Written from the paper.
"""

from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import gate, one_hot, probabilities


@ALGORITHMS.register("defixmatch")
class DeFixMatch(AlgorithmBase):
    """DeFixMatch: FixMatch's unsupervised loss of the unlabelled images, minus the same loss of the labelled ones.

    The difference is zero in the mean, whatever the pseudo-labels are worth: the risk stays the supervised one. It may
    be negative and has no lower bound, so `labeled_pseudo` is logged: what is taken off. Both losses are means over all
    rows; over the kept ones they would no longer cancel, so `over` is no option here.

    Args:
        weight: Of the debiased term. Paper: 0.5, without a ramp.
        threshold: Least probability of a pseudo-label that counts. Paper: 0.95.
        joint_forward: All images in one pass, as FixMatch.
            Off: a pass each, and the first labelled one moves the running statistics.
    """

    views = ("weak", "strong")
    labeled_views = ("weak", "strong")
    targets = (0,)
    weights = {"debiased": "weight"}
    gates = {"threshold": 0.0}
    exempt = {"weight_zero_is_supervised": "the supervised loss is of the weak and of the strong labelled view"}

    def __init__(self, net: nn.Module, facts: Facts, *, weight: float = 0.5, threshold: float = 0.95, joint_forward: bool = True):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.joint_forward = joint_forward

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        images = (batch.x, *batch.x_more, *batch.u)
        x_weak, x_strong, weak, strong = self.student_logits(*images, joint=self.joint_forward)  # (B, K) and (U, K), twice

        losses = [cross_entropy(labeled, batch.y, weight=self.class_weights) for labeled in (x_weak, x_strong)]
        supervised = sum(losses) / 2
        pseudo, guess = self.own(weak, strong)
        labeled_pseudo, _ = self.own(x_weak, x_strong)  # the labels of x are not used here
        debiased = pseudo - labeled_pseudo
        total = supervised + self.weight * debiased
        terms = {"supervised": supervised, "debiased": debiased, "labeled_pseudo": labeled_pseudo.detach()}
        return Step(total, terms, guess=guess)

    def own(self, weak: Tensor, strong: Tensor) -> tuple[Tensor, Guess]:
        """Return FixMatch's unsupervised loss of images, 0-dim, and what is believed of them.

        Args:
            weak: (n, K) logits of their weak views.
            strong: (n, K), of their strong ones.
        """
        confidence, label = probabilities(weak).max(dim=1)  # (n,) each, of no gradient
        kept = gate(confidence, self.threshold)  # (n,)
        return weighted_mean(row_cross_entropy(strong, label), kept), Guess(one_hot(label, weak.shape[1]), kept)
