"""Pi-model: two random views of an image should get one prediction.

Laine & Aila, ICLR 2017, arXiv:1610.02242, sec. 2.1 (Sajjadi et al. 2016, arXiv:1606.04586, for any number of views).
"""

from typing import Literal

from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.errors import between, one_of
from ssl_zoo.losses import cross_entropy, squared_error
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp


@ALGORITHMS.register("pimodel", "pi-model", "pi")
class PiModel(AlgorithmBase):
    """Pi-model: the net's predictions for two views of an image should agree.

    Args:
        weight: Of the consistency term. Paper: 100 M/N with its loss divided by the whole batch, which is 100 in this
            convention (labelled mean, mean over classes).
        ramp: Form of the weight's rise; the paper's is sigmoid.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 80 of 300 epochs.
        stop_gradient: Take the second view as a fixed target. Paper: no, gradient flows through both.
        space: What is compared; the paper's is probabilities.
        reduction: Of the squared error over the classes; the paper's is mean.
        ce_denominator: Of the cross-entropy. labeled: the mean over B; batch: the sum over B + U, as the authors' code.
        scale_by_labeled_fraction: Multiply the weight by L/N, as in the paper (with ce_denominator batch).
        joint_forward: All images in one pass. Paper: the whole mixed batch once for each view. Ours: one pass, for one
            set of batch statistics. Off: a pass each, and the labelled one moves the running statistics.
    """

    views = ("weak", "weak")
    weights = {"consistency": "weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 100.0,
        ramp: RampForm = "sigmoid",
        ramp_length: float = 0.3,
        stop_gradient: bool = False,
        space: Literal["probabilities", "logits"] = "probabilities",
        reduction: Literal["mean", "sum"] = "mean",
        ce_denominator: Literal["labeled", "batch"] = "labeled",
        scale_by_labeled_fraction: bool = False,
        joint_forward: bool = True,
    ):
        super().__init__(net, facts)
        self.weight = between("weight", weight, 0) * (len(facts.labeled) / facts.rows if scale_by_labeled_fraction else 1)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.space = one_of("space", space, "probabilities", "logits")
        self.reduction = one_of("reduction", reduction, "mean", "sum")
        self.ce_denominator = one_of("ce_denominator", ce_denominator, "labeled", "batch")
        self.joint_forward = joint_forward
        self.stop_gradient, self.targets = stop_gradient, (1,) if stop_gradient else ()

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        labeled, own, other = self.student_logits(batch.x, *batch.u, joint=self.joint_forward)  # (B, K), (U, K), (U, K)
        predicted = own.softmax(dim=1) if self.space == "probabilities" else own
        target = other.softmax(dim=1) if self.space == "probabilities" else other

        images = len(batch.x) + len(batch.u[0]) if self.ce_denominator == "batch" else len(batch.x)
        supervised = cross_entropy(labeled, batch.y, images, self.class_weights)
        consistency = squared_error(predicted, target.detach() if self.stop_gradient else target, self.reduction)
        weight = self.weight * ramp(progress, self.ramp, self.ramp_length)
        total = supervised + weight * consistency
        terms = {"supervised": supervised, "consistency": consistency, "weight": weight}
        return Step(total, terms)
