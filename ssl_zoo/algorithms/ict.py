"""ICT: predict for a mixture of two images the mixture of what your running average predicts for each.

Verma et al., IJCAI 2019, arXiv:1903.03825. Written from the paper, sec. 2 and algorithm 1.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.ema import BatchNormPolicy, Teacher
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, full_precision, row_cross_entropy, squared_error
from ssl_zoo.mixing import beta_draws, mixup, partners
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp
from ssl_zoo.targets import one_hot


@ALGORITHMS.register("ict", "interpolation-consistency")
class ICT(AlgorithmBase):
    """ICT: predictions for mixtures of two images should agree with mixtures of the running average's predictions.

    Args:
        weight: Of the consistency term (mean over classes). Paper: 100.
        ramp: Form of the weight's rise; the paper's is sigmoid.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 1/4. LAMDA-SSL has 1/64.
        alpha: Of Beta(alpha, alpha), from which shares are drawn; 0 mixes nothing. Paper: 1 (CIFAR-10), .1 (SVHN).
        share_per: Whether each row has a share of its own, or the batch has one, as in the authors' code.
        larger_first: Take max(share, 1 - share), so that a mixture is nearer to its own image. Paper: no.
            FixMatch's code: yes.
        mix: What of the teacher is mixed. Paper: probabilities. The authors' code mixes logits, then takes the softmax.
        mix_labeled: Mix labelled images and their labels too, as the authors' code. Paper: no.
        distance: Of predictions from their targets. Paper: squared_error. LAMDA-SSL has cross_entropy.
        decay: Of the average, reached from below as Mean Teacher's. Paper: 0.999.
        teacher_bn: Where the teacher's running statistics come from: own passes, copy of the student's, or ema of them.
        joint_forward: All the student's images in one pass. Off: a pass each, and the labelled one moves the running
            statistics.
    """

    views = ("weak",)
    weights = {"consistency": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 100.0,
        ramp: RampForm = "sigmoid",
        ramp_length: float = 0.25,
        alpha: float = 1.0,
        share_per: Literal["row", "batch"] = "row",
        larger_first: bool = False,
        mix: Literal["probabilities", "logits"] = "probabilities",
        mix_labeled: bool = False,
        distance: Literal["squared_error", "cross_entropy"] = "squared_error",
        decay: float = 0.999,
        teacher_bn: BatchNormPolicy = "own",
        joint_forward: bool = False,
    ):
        super().__init__(net, facts)
        self.weight, self.alpha = between("weight", weight, 0), between("alpha", alpha, 0)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.share_per, self.larger_first = one_of("share_per", share_per, "row", "batch"), larger_first
        self.mix, self.mix_labeled = one_of("mix", mix, "probabilities", "logits"), mix_labeled
        self.distance = one_of("distance", distance, "squared_error", "cross_entropy")
        self.teacher = Teacher(net, decay, bn=teacher_bn)  # starts as a copy; never receives a gradient
        self.classes, self.joint_forward = facts.classes, joint_forward

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        (u,) = batch.u
        other = full_precision(self.teacher(u))  # (U, K) of images that are not mixed; no gradient
        mixed, target = self.mixed(u, other.softmax(dim=1) if self.mix == "probabilities" else other)
        target = target if self.mix == "probabilities" else target.softmax(dim=1)  # (U, K)
        x, y = self.mixed(batch.x, one_hot(batch.y, self.classes)) if self.mix_labeled else (batch.x, batch.y)
        labeled, own = self.student_logits(x, mixed, joint=self.joint_forward)  # (B, K), (U, K)

        supervised = cross_entropy(labeled, y, weight=self.class_weights)
        squared = self.distance == "squared_error"
        consistency = squared_error(own.softmax(dim=1), target) if squared else row_cross_entropy(own, target).mean()
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * consistency
        return Step(total, {"supervised": supervised, "consistency": consistency, "weight": weight})

    def mixed(self, images: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mix each image, and what is known of it, with those of a partner, by one share."""
        share, partner = beta_draws(images, self.alpha, self.share_per), partners(images)
        share = torch.maximum(share, 1 - share) if self.larger_first else share  # (n,)
        return mixup(images, images[partner], share), mixup(known, known[partner], share)

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.teacher.update(self.net)

    def eval_net(self) -> nn.Module:
        return self.teacher.net
