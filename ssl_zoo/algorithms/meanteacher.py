"""Mean Teacher: be consistent with a running average of yourself.

Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780. Written from the paper. Labelled and unlabelled images share one
forward pass, and so one set of batch statistics; the teacher keeps statistics of its own.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.ema import BatchNormPolicy, Teacher
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.heads import SecondHead
from ssl_zoo.losses import cross_entropy, full_precision, kl_divergence, squared_error
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp


@ALGORITHMS.register("meanteacher", "mean-teacher", "mt")
class MeanTeacher(AlgorithmBase):
    """Mean Teacher: the net's predictions should agree with those of its own running average.

    Args:
        weight: Of the consistency term. Paper: 100 M/N with its loss divided by the whole batch, which is 100 in this
            convention (labelled mean, mean over classes).
        ramp: Form of the weight's rise; the paper's is sigmoid.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 40,000 of 150,000 steps.
        decay: Of the average, reached from below: min(1 - 1 / (t + 1), decay) after t updates. Paper: 0.999, long runs.
        warmup_average: Start as a true average, as above; off: decay from the first update.
        count_initial: The true average counts the initial weights, as in the authors' PyTorch code.
            Off: min(1 - 1 / t, decay), as the tutorial, so the first update takes the student whole.
        teacher_bn: Where the teacher's running statistics come from: own passes, copy of the student's, or ema of them.
        space: What is compared; the paper's is probabilities.
            By the squared error; kl: by the divergence of the student's from the teacher's, which the paper tried.
        reduction: Of the squared error over the classes; the paper's is mean.
            The divergence is a sum by its nature.
        ce_denominator: Of the cross-entropy. labeled: the mean over B; batch: the sum over B + U, as the authors' code.
        scale_by_labeled_fraction: Multiply the weight by L/N, as in the paper (with ce_denominator batch).
        joint_forward: The student's images in one pass, as in the paper.
            Off: a pass each, and the labelled one moves the running statistics.
        consistency_on_labeled: Compare the predictions for the labelled images of the step too, as the paper does where
            they are not in the unlabelled stream.
        logit_distance: Weight of the squared difference of the logits of two heads. The first learns from labels, the
            second from the teacher's first; 0: one head for both. Paper, with shakeshake26: 0.01.
    """

    views = ("weak", "weak")
    targets = (1,)  # the teacher's view
    weights = {"consistency": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 100.0,
        ramp: RampForm = "sigmoid",
        ramp_length: float = 0.3,
        decay: float = 0.999,
        warmup_average: bool = True,
        count_initial: bool = True,
        teacher_bn: BatchNormPolicy = "own",
        space: Literal["probabilities", "logits", "kl"] = "probabilities",
        reduction: Literal["mean", "sum"] = "mean",
        ce_denominator: Literal["labeled", "batch"] = "labeled",
        scale_by_labeled_fraction: bool = False,
        joint_forward: bool = True,
        consistency_on_labeled: bool = False,
        logit_distance: float = 0.0,
    ):
        super().__init__(net, facts)
        self.weight = between("weight", weight, 0) * (len(facts.labeled) / facts.rows if scale_by_labeled_fraction else 1)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.space = one_of("space", space, "probabilities", "logits", "kl")
        self.reduction = one_of("reduction", reduction, "mean", "sum")
        if self.space == "kl" and self.reduction == "sum":
            raise InputError("reduction = sum is of the squared error, and space = kl has none; leave it out")
        self.ce_denominator = one_of("ce_denominator", ce_denominator, "labeled", "batch")
        self.joint_forward = joint_forward
        self.teacher = Teacher(net, decay, bn=teacher_bn, warmup=warmup_average, count_initial=count_initial)  # starts as a copy
        if consistency_on_labeled:
            self.labeled_views = ("weak", "weak")
        self.second_head, self.logit_distance = None, between("logit_distance", logit_distance, 0)
        if logit_distance > 0:
            self.second_head = SecondHead(net, facts.classes, "logit_distance", "leave logit_distance at 0")
            self.weights = {**self.weights, "distance": "logit_distance"}

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        forward = None if self.second_head is None else self.second_head.beside(self.net)
        logits = self.student_logits(batch.x, batch.u[0], joint=self.joint_forward, forward=forward)  # (B, K), (U, K)
        heads = (logits, logits) if self.second_head is None else zip(*(part.unbind(dim=1) for part in logits), strict=True)
        first, second = heads  # of labels, of the teacher
        other = full_precision(self.teacher(torch.cat((*batch.x_more, batch.u[1]))))  # (U, K) or (B + U, K); no gradient
        labeled, own = first[0], torch.cat(second) if batch.x_more else second[1]  # (B, K); the student's of the teacher's images
        predicted = own.softmax(dim=1) if self.space == "probabilities" else own
        target = other.softmax(dim=1) if self.space == "probabilities" else other

        images = len(batch.x) + len(batch.u[0]) if self.ce_denominator == "batch" else len(batch.x)
        supervised = cross_entropy(labeled, batch.y, images, self.class_weights)
        consistency = kl_divergence(predicted, target) if self.space == "kl" else squared_error(predicted, target, self.reduction)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * consistency
        terms = {"supervised": supervised, "consistency": consistency, "weight": weight}
        if self.second_head is not None:
            terms["distance"] = squared_error(torch.cat(first), torch.cat(second))
            total = total + self.logit_distance * terms["distance"]
        return Step(total, terms)

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.teacher.update(self.net)

    def eval_net(self) -> nn.Module:
        return self.teacher.net
