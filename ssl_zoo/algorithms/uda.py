"""UDA: predict for a strongly augmented view what you predict, sharpened, for the weakly augmented one.

Xie et al., NeurIPS 2020, arXiv:1904.12848. Written from the paper, sec. 2, and its training signal annealing.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import gate, probabilities

Annealing = Literal["none", "linear", "exp", "log"]


@ALGORITHMS.register("uda")
class UDA(AlgorithmBase):
    """UDA: the sharpened prediction for a weakly augmented image is the soft target of its strongly augmented view.

    Args:
        weight: Of the soft targets' cross-entropy. Paper: 1.
        threshold: Probability above which a prediction counts, read before it is sharpened. Paper: 0.8.
            FixMatch's code has 0.95.
        temperature: Of the target. Paper: 0.4. FixMatch's code has 1; USB names 0.4 and computes as with 1.
        tsa: Form of training signal annealing: a labelled image counts only while its own label is no more probable
            than a bound that rises to 1. Paper: none for images.
            (TorchSSL, USB and LAMDA-SSL read the largest probability.)
        tsa_over: What the sum over labelled rows is then divided by. Paper: kept, the number of those that count.
            TorchSSL, USB and LAMDA-SSL have batch.
        over: What the sum over unlabelled rows is divided by. Paper: batch, all unlabelled rows of the step.
        joint_forward: All images in one pass.
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
        threshold: float = 0.8,
        temperature: float = 0.4,
        tsa: Annealing = "none",
        tsa_over: Literal["kept", "batch"] = "kept",
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.temperature = between("temperature", temperature, 1e-6)
        self.tsa = one_of("tsa", tsa, "none", "linear", "exp", "log")
        self.tsa_over, self.over = one_of("tsa_over", tsa_over, "kept", "batch"), one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        target = probabilities(weak, self.temperature)  # (U, K), of no gradient
        kept = gate(probabilities(weak).amax(dim=1), self.threshold, strict=True)  # (U,)

        supervised = self._supervised(labeled, batch.y, progress)
        pseudo = weighted_mean(row_cross_entropy(strong, target), kept, self.over)
        total = supervised + self.weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo}
        return Step(total, terms, guess=Guess(target, kept))

    def _supervised(self, labeled: Tensor, y: Tensor, progress: Tensor) -> Tensor:
        if self.tsa == "none":
            return cross_entropy(labeled, y, weight=self.class_weights)
        own = probabilities(labeled).gather(1, y[:, None])[:, 0]  # (B,) p(y | x)
        taught = 1 - gate(own, annealed(progress, self.tsa, labeled.shape[1]), strict=True)  # (B,)
        return weighted_mean(row_cross_entropy(labeled, y, self.class_weights), taught, self.tsa_over)


def annealed(progress: Tensor, form: Annealing, classes: int) -> Tensor:
    """Return the bound a (1 - 1 / K) + 1 / K, with a = t, e^(5 (t - 1)) or 1 - e^(-5 t), t the progress.

    Args:
        progress: 0-dim t.
        form: Of a: linear, exp or log.
        classes: K.

    Returns:
        0-dim. With K = 10 at t = .5: .550, .174 or .926.
    """
    rise = {"linear": progress, "exp": torch.exp(5 * (progress - 1)), "log": 1 - torch.exp(-5 * progress)}[form]
    return rise * (1 - 1 / classes) + 1 / classes
