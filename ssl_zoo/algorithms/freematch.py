"""FreeMatch: as FixMatch, with thresholds that follow how sure the net is, overall and of each class.

Wang et al., ICLR 2023, arXiv:2205.07246. Written from the paper, algorithm 1.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import RunningMean
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.ranks import gather_rows, global_mean, global_mean_grad
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import class_thresholds, gate, one_hot, probabilities


@ALGORITHMS.register("freematch")
class FreeMatch(AlgorithmBase):
    """FreeMatch: the mean confidence is the threshold, lower for a class that is predicted less; and a fairness term.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1.
        fairness_weight: Paper: 0.01 for ImageNet, SVHN, CIFAR-10 with 10 labels, CIFAR-100 with 400 and STL-10 with 40;
            else 0.05. TorchSSL's configurations have 0.01 throughout, USB's 0.001.
        fairness: The sum over classes k of a_k log b_k, a of the running averages and b of this step's strong views,
            each over its histogram. as_printed: that sum is made small, as in the paper and in TorchSSL and USB, which
            drives b into a corner. intended: its negative is, a cross-entropy, which draws b to a, as the text of the
            paper has it. none: no such term, as in LAMDA-SSL.
        momentum: Of the running averages. Paper: 0.999.
        lowest: What a class's threshold is at least. Paper: 0; SVHN 0.9.
        highest: What a class's threshold is at most. Paper: 1; SVHN 0.95.
        quantile: Of a step's confidences: what the threshold is the average of; USB's code can take 0.8.
            Paper: None, their mean.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows of the step.
        joint_forward: All images in one pass, as in the authors' code.
            Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight", "fairness": "fairness_weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        fairness_weight: float = 0.05,
        fairness: Literal["as_printed", "intended", "none"] = "as_printed",
        momentum: float = 0.999,
        lowest: float = 0.0,
        highest: float = 1.0,
        quantile: float | None = None,
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.fairness_weight = between("weight", weight, 0), between("fairness_weight", fairness_weight, 0)
        self.fairness = one_of("fairness", fairness, "as_printed", "intended", "none")
        if self.fairness == "none":
            self.weights = {"pseudo": "weight"}
        self.lowest, self.highest = between("lowest", lowest, 0, 1), between("highest", highest, 0, 1)
        if lowest > highest:
            raise InputError(f"lowest = {lowest} is above highest = {highest}; no threshold is both")
        self.quantile = None if quantile is None else between("quantile", quantile, 0, 1)
        self.over = one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward
        uniform = torch.full((facts.classes,), 1 / facts.classes)
        self.threshold = RunningMean(uniform[0], momentum)  # tau, 0-dim
        self.shares = RunningMean(uniform, momentum)  # p~ (K,), of the predictions
        self.histogram = RunningMean(uniform, momentum)  # h~ (K,), of their classes

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        believed = probabilities(weak)  # (U, K), of no gradient
        confidence, label = believed.max(dim=1)  # (U,) each
        threshold = self.threshold.counted(self._level(gather_rows(confidence)))  # 0-dim, with this step, as all averages
        shares, hard = self.shares.counted(believed), one_hot(label, weak.shape[1])  # (K,), (U, K)
        thresholds = class_thresholds(shares, threshold).clamp(self.lowest, self.highest)  # (K,)
        kept = gate(confidence, thresholds[label], strict=True)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, label), kept, self.over)
        total = supervised + self.weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "threshold": threshold}
        if self.fairness != "none":
            agreement = fairness(strong, kept, shares, self.histogram.counted(hard))
            terms["fairness"] = agreement if self.fairness == "as_printed" else -agreement
            total = total + self.fairness_weight * terms["fairness"]
        return Step(total, terms, {"probabilities": believed}, Guess(hard, kept))

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        believed = seen["probabilities"]
        confidence, label = believed.max(dim=1)
        self.threshold.update(self._level(confidence))
        self.shares.update(believed)
        self.histogram.update(one_hot(label, believed.shape[1]))

    def _level(self, confidence: Tensor) -> Tensor:
        """Return rows, of all ranks, whose mean is what the threshold follows."""
        return confidence if self.quantile is None else confidence.quantile(self.quantile)[None]


def fairness(strong: Tensor, kept: Tensor, shares: Tensor, histogram: Tensor) -> Tensor:
    """Return the sum over k of a_k log b_k; 0 where no row is kept.

    a = Norm(shares / histogram), b the same of the kept rows' predictions for strong views, over all ranks. A class
    without a row in a histogram counts 0 there, and the logarithm is of 1e-12 at least, as in both public codes.

    Args:
        strong: (U, K) logits.
        kept: (U,), 1 or 0.
        shares: (K,) p~.
        histogram: (K,) h~.

    Returns:
        0-dim; gradient flows to `strong`.
    """
    hard = one_hot(strong.argmax(dim=1), strong.shape[1])  # (U, K)
    mean, bins = global_mean_grad(kept[:, None] * strong.softmax(dim=1)), global_mean(kept[:, None] * hard)  # (K,) each
    wanted, found = balanced(shares, histogram), balanced(mean, bins)  # a and b; the number of kept rows falls out of b
    return (wanted * found.clamp(min=1e-12).log()).sum() * (global_mean(kept) > 0)


def balanced(shares: Tensor, histogram: Tensor) -> Tensor:
    """Return Norm(shares / histogram), (K,) each, with 0 where the histogram is 0."""
    absent = ~(histogram > 0)  # (K,)
    ratio = (shares / histogram.masked_fill(absent, 1)).masked_fill(absent, 0)
    return ratio / ratio.sum().clamp(min=torch.finfo(ratio.dtype).tiny)
