"""AdaMatch: as FixMatch, with aligned predictions and a threshold relative to how sure the net is of labelled images.

Berthelot et al., ICLR 2022, arXiv:2106.04732, in its semi-supervised form. Written from the paper, sec. 3.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import RunningMean, WindowMean
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, full_precision, row_cross_entropy, weighted_mean
from ssl_zoo.ranks import global_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp
from ssl_zoo.targets import align, gate, one_hot, probabilities


@ALGORITHMS.register("adamatch")
class AdaMatch(AlgorithmBase):
    """AdaMatch: predictions get the class shares of those for labelled images, and count if they are as sure as these.

    All images share one pass. The labelled ones also have a pass without the others, and their logits are drawn between
    the two, so that the batch statistics of neither are relied on.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1.
        ramp: Form of the weight's rise; the paper's is cosine. USB has constant.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 0.5.
        threshold: Least probability of a pseudo-label that counts, as a share of the mean confidence for the labelled
            images of the step. Paper: 0.9. USB has 0.95.
        momentum: Of the running class shares of labelled images. Paper: 0.999.
        unlabeled_shares: Of unlabelled images. window: the mean of the last batches, as in the authors' code.
            running: as those of labelled images, as in USB.
        window: How many batches that is. Authors' code: 128.
        window_start: What stands for batches before the first. Authors' code: uniform shares. empty: nothing.
        label: The pseudo-label. hard: the class of the aligned prediction, as in the authors' code. soft: that
            prediction.
        interpolate: Draw the labelled logits between the two passes. Paper: yes. USB: no.
        strong_labeled: Labelled images have a strongly augmented view too. Paper: yes. USB: no.
        labeled_reduction: Of the cross-entropies of the two labelled views: mean, as in the authors' code, or sum.
        over: What the sum over unlabelled rows is divided by. Paper: batch, all unlabelled rows of the step.
    """

    views = ("weak", "strong")
    labeled_views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight"}
    gates = {"threshold": 0.0}
    exempt = {"weight_zero_is_supervised": "the strong view of labelled images is learned from too"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        ramp: RampForm = "cosine",
        ramp_length: float = 0.5,
        threshold: float = 0.9,
        momentum: float = 0.999,
        unlabeled_shares: Literal["window", "running"] = "window",
        window: int = 128,
        window_start: Literal["uniform", "empty"] = "uniform",
        label: Literal["hard", "soft"] = "hard",
        interpolate: bool = True,
        strong_labeled: bool = True,
        labeled_reduction: Literal["mean", "sum"] = "mean",
        over: Literal["batch", "kept"] = "batch",
    ):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.label, self.interpolate = one_of("label", label, "hard", "soft"), interpolate
        self.labeled_views = ("weak", "strong") if strong_labeled else ("weak",)
        self.labeled_reduction = one_of("labeled_reduction", labeled_reduction, "mean", "sum")
        self.over = one_of("over", over, "batch", "kept")
        uniform = torch.full((facts.classes,), 1 / facts.classes)
        self.labeled = RunningMean(uniform, momentum)  # p_L (K,)
        full = one_of("window_start", window_start, "uniform", "empty") == "uniform"
        running = one_of("unlabeled_shares", unlabeled_shares, "window", "running") == "running"
        self.unlabeled = RunningMean(uniform, momentum) if running else WindowMean(uniform, window, full)  # p_U (K,)

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        *labeled, weak, strong = self._logits(batch)  # (B, K) for each labelled view, (U, K) twice
        own, raw = probabilities(labeled[0]), probabilities(weak)  # (B, K), (U, K), of no gradient
        aligned = align(raw, self.labeled.counted(own), self.unlabeled.counted(raw))  # (U, K), both with this step
        confidence, label = aligned.max(dim=1)  # (U,) each
        target = one_hot(label, weak.shape[1]).to(aligned.dtype) if self.label == "hard" else aligned  # (U, K)
        threshold = self.threshold * global_mean(own.amax(dim=1))  # 0-dim
        kept = gate(confidence, threshold)  # (U,)

        supervised = sum(cross_entropy(logits, batch.y, weight=self.class_weights) for logits in labeled)
        supervised = supervised / len(labeled) if self.labeled_reduction == "mean" else supervised
        pseudo = weighted_mean(row_cross_entropy(strong, target), kept, self.over)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "weight": weight, "threshold": threshold}
        seen = {"labeled": own, "unlabeled": raw}
        return Step(total, terms, seen, Guess(target, kept))

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.labeled.update(seen["labeled"])
        self.unlabeled.update(seen["unlabeled"])

    def _logits(self, batch: Batch) -> list[Tensor]:
        """Return the logits of the labelled views and of the unlabelled ones, the labelled drawn between two passes."""
        x = (batch.x, *batch.x_more)
        together = self.student_logits(*x, *batch.u)
        if not self.interpolate:
            return together
        with frozen_stats(self.net):
            alone = full_precision(self.net(torch.cat(x))).chunk(len(x))
        drawn = [torch.lerp(one, both, torch.rand_like(one)) for one, both in zip(alone, together, strict=False)]
        return [*drawn, *together[len(x) :]]  # a number was drawn for each logit
