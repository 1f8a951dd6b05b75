"""Dash: be told by those of your own predictions whose loss is small, and ask for a smaller one as you go.

Xu et al., ICML 2021, arXiv:2109.00650. Written from the paper, eq. 13 for what is kept.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import one_hot, probabilities


@ALGORITHMS.register("dash")
class Dash(AlgorithmBase):
    """Dash: unlabelled images count while their loss is at most a threshold, which falls in stages.

    The threshold of stage s is the larger of C gamma^-(s - 1) rho and `rho_min`. rho is the loss of the labelled images
    at the end of a warm-up on them alone; ours is a running mean of it, which stands still from then on. It is without
    class weights, as the losses that it is compared with. The pseudo-label is sharpened and soft until the threshold is
    `rho_min`, then hard.

    Args:
        weight: Of the pseudo-labels' cross-entropy, after the warm-up; 0 within it. Paper: 1.
        rho_scale: C. Paper: 1.0001.
        gamma: What the threshold is divided by from stage to stage. Paper: 1.27. The authors' code has 1.004.
        rho_min: Least threshold. Paper: 0.05.
        stages: In the whole run; a stage is 1 / `stages` of it, the first begins where the warm-up ends. USB: 102, of
            10,240 steps each in 2^20. The authors' code has one for each 65,536 images.
        temperature: Of the softmax of a soft pseudo-label. Authors' code: 0.5.
        loss_of: The view whose loss is compared with the threshold. Paper: strong. The authors' code and USB have weak.
        warmup: Fraction of the run on labels alone. 0: rho is log K, the loss of a guess.
        rho_momentum: Of rho's running mean over steps. USB's rho is the loss on its test set.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows. The authors' code has kept.
        joint_forward: All images in one pass, as FixMatch.
            Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight"}
    gates = {"rho_scale": 2e10}  # the threshold is still about 3 in the last stage

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        rho_scale: float = 1.0001,
        gamma: float = 1.27,
        rho_min: float = 0.05,
        stages: int = 102,
        temperature: float = 0.5,
        loss_of: Literal["strong", "weak"] = "strong",
        warmup: float = 0.05,
        rho_momentum: float = 0.9,
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.rho_scale = between("weight", weight, 0), between("rho_scale", rho_scale, 0)
        self.gamma, self.rho_min = between("gamma", gamma, 1), between("rho_min", rho_min, 0)
        self.stages, self.temperature = between("stages", stages, 1), between("temperature", temperature, 1e-6)
        self.loss_of, self.over = one_of("loss_of", loss_of, "strong", "weak"), one_of("over", over, "batch", "kept")
        self.warmup, self.rho_momentum = between("warmup", warmup, 0, 1), between("rho_momentum", rho_momentum, 0, 1)
        self.joint_forward = joint_forward
        self.register_buffer("rho", torch.tensor(math.log(facts.classes)))  # 0-dim

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        stage = (self.stages * (progress - self.warmup).clamp(min=0)).floor()  # s - 1
        falling = self.rho_scale * self.gamma**-stage * self.rho  # 0-dim
        soft, hard = probabilities(weak, self.temperature), one_hot(weak.argmax(dim=1), weak.shape[1])
        target = torch.where(falling > self.rho_min, soft, hard).to(weak.dtype)  # (U, K), of no gradient
        rows = row_cross_entropy(strong, target)  # (U,)
        judged = rows if self.loss_of == "strong" else row_cross_entropy(weak, target)
        rho = falling.clamp(min=self.rho_min)
        kept = (judged.detach() <= rho).to(rows.dtype)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(rows, kept, self.over)
        weight = self.weight * (progress >= self.warmup).to(rows.dtype)
        total = supervised + weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "weight": weight, "rho": rho}
        seen = {"labeled_loss": row_cross_entropy(labeled, batch.y).detach()}  # (B,)
        return Step(total, terms, seen, Guess(target, kept, (0, 1) if self.loss_of == "strong" else (0,)))

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        loss = seen["labeled_loss"].mean().to(self.rho.dtype)
        moved = self.rho_momentum * self.rho + (1 - self.rho_momentum) * loss
        self.rho.copy_(torch.where(progress < self.warmup, moved, self.rho))
