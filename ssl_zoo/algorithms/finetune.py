"""Finetune: labels alone, from pretrained weights. What practice does without any semi-supervised method.

Kornblith et al., CVPR 2019, arXiv:1805.08974, sec. 4.
"""

from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Step
from ssl_zoo.losses import cross_entropy
from ssl_zoo.registry import ALGORITHMS


@ALGORITHMS.register("finetune", "fine-tune")
class Finetune(AlgorithmBase):
    """Cross-entropy on the labelled images, from pretrained weights; unlabelled images are not used.

    It is `supervised`, step by step, but refuses to begin from random weights.
    """

    needs_weights = True

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        (labeled,) = self.student_logits(batch.x)
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        return Step(supervised, {"supervised": supervised})
