"""Temporal Ensembling: be consistent with the running average of your past predictions for the same image.

Laine & Aila, ICLR 2017, arXiv:1610.02242, sec. 2.2 and algorithm 2.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step, merge_repeats
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.losses import cross_entropy, squared_error
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp


@ALGORITHMS.register("tempens", "temporal-ensembling", "te")
class TemporalEnsembling(AlgorithmBase):
    """Temporal Ensembling: the net's predictions should agree with the running average of its past ones for that image.

    The average is of probabilities of the training-mode pass. Paper: all rows are updated at the end of an epoch. Ours:
    a row is updated right after its visit, which is the same, as an epoch visits each row once. What is compared is
    always probabilities: an average of logits is another method.

    Args:
        weight: Of the consistency term. Paper: 30 M/N with its loss divided by the whole batch, which is 30 in this
            convention (labelled mean, mean over classes).
        ramp: Form of the weight's rise; the paper's is sigmoid.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 80 of 300 epochs.
        alpha: Of the average Z = alpha Z + (1 - alpha) z; its start from zero is corrected by 1 - alpha^visits. A row's
            first visit has no target and weight 0, as the paper's first epoch.
        reduction: Of the squared error over the classes; the paper's is mean.
        ce_denominator: Of the cross-entropy. labeled: the mean over B; batch: the sum over B + U, as the authors' code.
        scale_by_labeled_fraction: Multiply the weight by L/N, as in the paper (with ce_denominator batch).
        memory_dtype: Of the memory of N x K probabilities; bfloat16: half the room, eight bits of precision.
        memory_top: With many classes: of each row, the k largest probabilities are kept with their classes, and the
            rest is spread evenly over the others. A row takes k x (4 + 2) bytes, or k x (2 + 2) in bfloat16, in place
            of K x 4 or K x 2; a class takes 4 in place of 2 beyond 32,768 of them. With K - 1 or K nothing is lost. 0:
            all are kept.
        joint_forward: All images in one pass, as in the paper.
            Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak",)
    weights = {"consistency": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 30.0,
        ramp: RampForm = "sigmoid",
        ramp_length: float = 0.3,
        alpha: float = 0.6,
        reduction: Literal["mean", "sum"] = "mean",
        ce_denominator: Literal["labeled", "batch"] = "labeled",
        scale_by_labeled_fraction: bool = False,
        memory_dtype: Literal["float32", "bfloat16"] = "float32",
        memory_top: int = 0,
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight = between("weight", weight, 0) * (len(facts.labeled) / facts.rows if scale_by_labeled_fraction else 1)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.reduction = one_of("reduction", reduction, "mean", "sum")
        self.ce_denominator = one_of("ce_denominator", ce_denominator, "labeled", "batch")
        self.joint_forward = joint_forward
        dtype = getattr(torch, one_of("memory_dtype", memory_dtype, "float32", "bfloat16"))
        if not 0 <= memory_top <= facts.classes:
            most = f"{facts.classes}, which is how many classes there are; 0 keeps all"
            raise InputError(f"memory_top = {memory_top} is out of range: it must be from 0 to {most}")
        self.classes, self.top = facts.classes, memory_top
        self.register_buffer("memory", torch.zeros(facts.rows, self.top or facts.classes, dtype=dtype))  # Z (N, K), or (N, k)
        if self.top:
            small = torch.int16 if facts.classes <= 1 << 15 else torch.int32
            self.register_buffer("memory_classes", torch.zeros(facts.rows, self.top, dtype=small))  # (N, k)
        self.register_buffer("visits", torch.zeros(facts.rows, dtype=torch.int64))  # (N,)
        self.alpha = between("alpha", alpha, 0, 0.9999)  # at 1 nothing would ever enter the average

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, own = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K)
        predicted = own.softmax(dim=1)
        visits = self.visits[batch.u_index]  # (U,)
        correction = 1 - self.alpha ** visits.clamp(min=1)[:, None]  # of the start from zero
        target = (self._remembered(batch.u_index) / correction).to(own.dtype)  # (U, K)

        images = len(batch.x) + len(batch.u[0]) if self.ce_denominator == "batch" else len(batch.x)
        supervised = cross_entropy(labeled, batch.y, images, self.class_weights)
        consistency = squared_error(predicted, target, self.reduction, row_weight=(visits > 0).to(own.dtype))
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * consistency
        terms = {"supervised": supervised, "consistency": consistency, "weight": weight}
        return Step(total, terms, {"index": batch.u_index, "probabilities": predicted.detach()})

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        index = seen["index"]
        predicted = merge_repeats(index, seen["probabilities"])  # a row drawn twice counts one visit
        average = self.alpha * self._remembered(index).to(predicted.dtype) + (1 - self.alpha) * predicted  # (U, K)
        if self.top:
            average, classes = average.topk(self.top, dim=1)  # (U, k) each
            self.memory_classes[index] = classes.to(self.memory_classes.dtype)
        self.memory[index] = average.to(self.memory.dtype)
        self.visits[index] = self.visits[index] + 1

    def _remembered(self, index: Tensor) -> Tensor:
        """Z of some rows, (U, K): as it is kept, or what is left of its sum, in equal parts, where no class is kept."""
        kept = self.memory[index]
        if not self.top:
            return kept
        kept = kept.to(torch.promote_types(kept.dtype, torch.float32))  # (U, k)
        total = 1 - self.alpha ** self.visits[index][:, None]  # of a row of Z, as each prediction sums to 1
        rest = (total - kept.sum(dim=1, keepdim=True)).clamp(min=0) / max(self.classes - self.top, 1)  # (U, 1)
        return rest.to(kept.dtype).repeat(1, self.classes).scatter(1, self.memory_classes[index].long(), kept)
