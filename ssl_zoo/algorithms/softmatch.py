"""SoftMatch: as FixMatch, with a weight that falls off for less sure predictions in place of a threshold.

Chen et al., ICLR 2023, arXiv:2301.10921. Written from the paper, algorithm 1.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import RunningMean
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.ranks import global_mean, ranks
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import align, one_hot, probabilities, truncated_gaussian


@ALGORITHMS.register("softmatch")
class SoftMatch(AlgorithmBase):
    """SoftMatch: a pseudo-label counts 1 if it is surer than the average, less by a Gaussian if not.

    What the Gaussian weighs is aligned first: divided by the running mean of the predictions, so that no class is
    favoured. Its mean and variance, and the pseudo-label, are of the predictions as they are.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1.
        n_sigma: How fast the weight falls: it is e^(-n^2 / 2) one standard deviation below the mean. Paper: 2. 0: every
            prediction counts 1.
        momentum: Of the running mean, variance and shares. Paper: 0.999.
        align_to: The shares that predictions are aligned to. Paper: uniform. TorchSSL has labeled, the running mean of
            the predictions for labelled images. none: no alignment.
        gaussian_of: What the running mean and variance are of. Paper: raw predictions. USB has aligned.
        label_of: What the pseudo-label is the class of. Paper: raw predictions. LAMDA-SSL has aligned.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows of the step.
        joint_forward: All images in one pass, as in the authors' code.
            Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        n_sigma: float = 2.0,
        momentum: float = 0.999,
        align_to: Literal["uniform", "labeled", "none"] = "uniform",
        gaussian_of: Literal["raw", "aligned"] = "raw",
        label_of: Literal["raw", "aligned"] = "raw",
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.n_sigma = between("weight", weight, 0), between("n_sigma", n_sigma, 0)
        self.align_to = one_of("align_to", align_to, "uniform", "labeled", "none")
        self.gaussian_of = one_of("gaussian_of", gaussian_of, "raw", "aligned")
        self.label_of = one_of("label_of", label_of, "raw", "aligned")
        self.over = one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward
        uniform = torch.full((facts.classes,), 1 / facts.classes)
        self.mean = RunningMean(uniform[0], momentum)  # mu, 0-dim
        self.variance = RunningMean(torch.ones(()), momentum)  # sigma^2, 0-dim
        self.shares = RunningMean(uniform, momentum)  # p~ (K,)
        if self.align_to == "labeled":
            self.labeled_shares = RunningMean(uniform, momentum)  # (K,)

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        raw, own = probabilities(weak), probabilities(labeled)  # (U, K), (B, K), of no gradient
        aligned = self._aligned(raw, own)  # (U, K)
        read = (aligned if self.gaussian_of == "aligned" else raw).amax(dim=1)  # (U,)
        mean = self.mean.counted(read)  # 0-dim, this step counted, as are the others
        variance = self.variance.counted(squares(read, global_mean(read), len(read) * ranks()))
        row_weight = truncated_gaussian(aligned.amax(dim=1), mean, variance, self.n_sigma)  # (U,)
        label = (aligned if self.label_of == "aligned" else raw).argmax(dim=1)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, label), row_weight, self.over)
        total = supervised + self.weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "mean": mean, "variance": variance}
        seen = {"probabilities": raw, "read": read} | ({"labeled": own} if self.align_to == "labeled" else {})
        return Step(total, terms, seen, Guess(one_hot(label, weak.shape[1]), row_weight))

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        read = seen["read"]
        self.mean.update(read)
        self.variance.update(squares(read, read.mean(), len(read)))
        self.shares.update(seen["probabilities"])
        if self.align_to == "labeled":
            self.labeled_shares.update(seen["labeled"])

    def _aligned(self, raw: Tensor, own: Tensor) -> Tensor:
        """Return predictions (U, K) with the shares that they should have; `own` (B, K) are of labelled images."""
        if self.align_to == "none":
            return raw
        uniform = torch.full_like(self.shares.value, 1 / raw.shape[1])
        wanted = self.labeled_shares.counted(own) if self.align_to == "labeled" else uniform  # (K,)
        return align(raw, wanted, self.shares.counted(raw))


def squares(values: Tensor, mean: Tensor, rows: int) -> Tensor:
    """Return what has the unbiased variance as its mean over all rows: (v - mean)^2 n / (n - 1).

    Args:
        values: (U,) of this rank.
        mean: 0-dim, of all ranks.
        rows: n, of all ranks.
    """
    return (values - mean).square() * (rows / max(rows - 1, 1))
