"""MixMatch: learn from mixtures of all images, with your own sharpened mean prediction as the unlabelled ones' label.

Berthelot et al., NeurIPS 2019, arXiv:1905.02249. Written from the paper, sec. 3 and algorithm 1.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, squared_error
from ssl_zoo.mixing import PASSES, Passes, beta_draws, mixed_logits, mixup, partners
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp
from ssl_zoo.targets import one_hot, probabilities, sharpen


@ALGORITHMS.register("mixmatch")
class MixMatch(AlgorithmBase):
    """MixMatch: labelled and unlabelled images are mixed, and so are their labels and guessed labels.

    Args:
        weight: Of the consistency term (mean over classes). Paper: 75 (CIFAR-10), 250 (SVHN). TorchSSL, USB: 100.
        ramp: Form of the weight's rise; the paper's is linear.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 16,384 of 2^20 steps. TorchSSL, USB: .4.
        guesses: Views of an unlabelled image whose mean prediction is its label. Paper: 2.
        temperature: That the mean is sharpened by; 1 leaves it as it is. Paper: .5.
        alpha: Of Beta(alpha, alpha), from which shares are drawn; 0 mixes nothing. Paper: .75. TorchSSL, USB: .5.
        share_per: Whether each row has a share of its own, as in the paper, or the batch has one, as in TorchSSL
            and USB.
        reduction: Of the squared error over the classes; the paper's is mean.
        passes: Of the student. Authors' code: interleaved, parts of all kinds; USB: each kind apart. Ours: joint, for
            one set of batch statistics, which is what the authors' order is after.
    """

    weights = {"consistency": "weight"}
    views = ("weak", "weak")

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 75.0,
        ramp: RampForm = "linear",
        ramp_length: float = 1 / 64,
        guesses: int = 2,
        temperature: float = 0.5,
        alpha: float = 0.75,
        share_per: Literal["row", "batch"] = "row",
        reduction: Literal["mean", "sum"] = "mean",
        passes: Passes = "joint",
    ):
        super().__init__(net, facts)
        self.weight, self.alpha = between("weight", weight, 0), between("alpha", alpha, 0)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.views = ("weak",) * between("guesses", guesses, 1)
        self.temperature = between("temperature", temperature, 1e-6)
        self.share_per = one_of("share_per", share_per, "row", "batch")
        self.reduction, self.passes = one_of("reduction", reduction, "mean", "sum"), one_of("passes", passes, *PASSES)
        self.classes = facts.classes

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        with torch.no_grad(), frozen_stats(self.net):
            guessed = torch.stack([probabilities(self.net(u)) for u in batch.u]).mean(dim=0)  # (U, K)
        target = sharpen(guessed, self.temperature)  # (U, K), the same for every view

        images = torch.cat((batch.x, *batch.u))  # (B + guesses U, C, H, W)
        labels = torch.cat((one_hot(batch.y, self.classes), *[target] * len(batch.u)))  # (B + guesses U, K)
        share, partner = beta_draws(images, self.alpha, self.share_per), partners(images)
        share = torch.maximum(share, 1 - share)  # nearer to its own image than to its partner's
        images, labels = mixup(images, images[partner], share), mixup(labels, labels[partner], share)
        labeled, *unlabeled = mixed_logits(self.net, images, [len(batch.x), *map(len, batch.u)], self.passes)
        y, q = labels[: len(batch.x)], labels[len(batch.x) :]  # mixed

        supervised = cross_entropy(labeled, y, weight=self.class_weights)
        consistency = squared_error(torch.cat(unlabeled).softmax(dim=1), q, self.reduction)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * consistency
        terms = {"supervised": supervised, "consistency": consistency, "weight": weight}
        guess = Guess(target, torch.ones_like(target[:, 0]), tuple(range(len(batch.u))))
        return Step(total, terms, guess=guess)
