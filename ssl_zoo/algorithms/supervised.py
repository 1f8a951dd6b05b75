"""Supervised: labels alone. The lower bound of every table and, with all labels, its upper bound."""

from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Step
from ssl_zoo.losses import cross_entropy
from ssl_zoo.registry import ALGORITHMS


@ALGORITHMS.register("supervised")
class Supervised(AlgorithmBase):
    """Cross-entropy on the labelled images; unlabelled ones are not used."""

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        (labeled,) = self.student_logits(batch.x)
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        return Step(supervised, {"supervised": supervised})
