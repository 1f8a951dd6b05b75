"""FlexMatch: as FixMatch, with a lower threshold for a class that fewer images are surely taken for.

Zhang et al., NeurIPS 2021, arXiv:2110.08263. Written from the paper, sec. 3 and algorithm 1.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Guess, Step, first_places, merge_repeats
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import gate, one_hot, probabilities


@ALGORITHMS.register("flexmatch")
class FlexMatch(AlgorithmBase):
    """FlexMatch: how many images a class was surely given, against the class with the most, scales its threshold.

    An image is marked with a class when its prediction is above the full threshold. A mark is replaced by the next one,
    and never removed. At the start no image is marked, all thresholds are 0, and every prediction counts: by design.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1.
        threshold: Of the class with the most marks, and of a mark. Paper: 0.95.
        warmup: Count the images without a mark as if these were one more class. Paper: yes.
        mapping: From a class's share of the largest count to its share of the threshold. Paper: convex, b / (2 - b).
            Its ablation also has linear, b, and concave, log(1 + b) / log 2.
        over: What the sum over rows is divided by. Paper: batch, all unlabelled rows of the step.
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
        warmup: bool = True,
        mapping: Literal["convex", "linear", "concave"] = "convex",
        over: Literal["batch", "kept"] = "batch",
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight, self.threshold = between("weight", weight, 0), between("threshold", threshold, 0, 1)
        self.warmup, self.mapping = warmup, one_of("mapping", mapping, "convex", "linear", "concave")
        self.over = one_of("over", over, "batch", "kept")
        self.joint_forward = joint_forward
        unmarked = facts.classes
        self.register_buffer("chosen", torch.full((facts.rows,), unmarked))  # (N,) int64, each row's mark
        counts = torch.zeros(facts.classes + 1, dtype=torch.int64)
        counts[unmarked] = len(facts.unlabeled)  # of the unlabelled stream, not of the data set
        self.register_buffer("counts", counts)  # (K + 1,), how many rows have each mark: sigma, then those with none

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, weak, strong = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K) twice
        believed = probabilities(weak)  # (U, K), of no gradient
        confidence, label = believed.max(dim=1)  # (U,) each
        thresholds = self.thresholds()  # (K,), by the marks before this step's
        kept = gate(confidence, thresholds[label])  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, label), kept, self.over)
        total = supervised + self.weight * pseudo
        terms = {"supervised": supervised, "pseudo": pseudo, "threshold": thresholds.mean()}
        seen = {"index": batch.u_index, "probabilities": believed}
        return Step(total, terms, seen, Guess(one_hot(label, weak.shape[1]), kept))

    def thresholds(self) -> Tensor:
        """Return (K,) float32, the threshold of each class: 0 for one that no image is marked with."""
        marked = self.counts[:-1]
        most = (self.counts if self.warmup else marked).max().clamp(min=1)
        share = marked / most  # (K,) beta
        if self.mapping == "convex":
            share = share / (2 - share)
        elif self.mapping == "concave":
            share = torch.log1p(share) / math.log(2)
        return self.threshold * share

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        index = seen["index"]
        confidence, label = merge_repeats(index, seen["probabilities"]).max(dim=1)  # (U,) each
        before = self.chosen[index]
        after = torch.where(confidence >= self.threshold, label, before)  # the full threshold, not that of the class
        self.chosen[index] = after
        once = (first_places(index) == torch.arange(len(index), device=index.device)).long()  # of a row's copies
        self.counts.scatter_add_(0, before, -once).scatter_add_(0, after, once)  # the work of U rows, not of N
