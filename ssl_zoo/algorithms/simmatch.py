"""SimMatch: two views of an image should be of one class, and alike to the same labelled images.

Zheng et al., CVPR 2022, arXiv:2203.06915. Written from the paper, sec. 3.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import WindowMean
from ssl_zoo.batch import Batch, Facts, Guess, Step, merge_repeats
from ssl_zoo.errors import between
from ssl_zoo.heads import Projection
from ssl_zoo.losses import cross_entropy, exact, row_cross_entropy, weighted_mean
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import ramp
from ssl_zoo.targets import align, gate, one_hot, probabilities


@ALGORITHMS.register("simmatch")
class SimMatch(AlgorithmBase):
    """SimMatch: the strong view learns the weak one's class and its similarities to the labelled images.

    Each informs the other: similarities count as much as the class of their labelled image is believed, and the
    pseudo-label is smoothed by the classes of the images that look alike. Predictions are divided by their mean of the
    last batches, this one included. The bank has one embedding for each labelled image, at random before its first
    visit.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1; ImageNet 10.
        instance_weight: Of the similarities' cross-entropy, which has no gate. Paper: 1; ImageNet 5.
        threshold: Least probability of a pseudo-label that counts, after smoothing. Paper: 0.95; ImageNet 0.7.
        alpha: Of an image's own prediction; the rest is the bank's. Paper: 0.9. 1: nothing is smoothed.
        temperature: Of both softmaxes over similarities. Paper: 0.1.
        bank_momentum: Of a labelled image's embedding in the bank, from visit to visit. Paper: 0.7.
        window: Batches whose mean the predictions are divided by. Paper: 32; ImageNet 256.
        ramp_length: Fraction of the run over which both weights rise, as a line. Paper: both are off for one epoch.
        embedding: Numbers of an image's embedding. Paper: 128.
    """

    views = ("weak", "strong")
    targets = (0,)
    weights = {"pseudo": "weight", "instance": "instance_weight"}
    gates = {"threshold": 0.0}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        instance_weight: float = 1.0,
        threshold: float = 0.95,
        alpha: float = 0.9,
        temperature: float = 0.1,
        bank_momentum: float = 0.7,
        window: int = 32,
        ramp_length: float = 0.05,
        embedding: int = 128,
    ):
        super().__init__(net, facts)
        self.weight, self.instance_weight = between("weight", weight, 0), between("instance_weight", instance_weight, 0)
        self.threshold, self.ramp_length = between("threshold", threshold, 0, 1), between("ramp_length", ramp_length, 0, 1)
        self.alpha, self.temperature = between("alpha", alpha, 0, 1), between("temperature", temperature, 1e-6)
        self.bank_momentum = between("bank_momentum", bank_momentum, 0, 1)
        self.head = Projection(net, between("embedding", embedding, 1))
        self.predictions = WindowMean(torch.full((facts.classes,), 1 / facts.classes), window)
        rows, order = facts.labeled.sort()
        self.register_buffer("bank", unit(torch.randn(len(rows), embedding)))  # (L, d)
        self.register_buffer("rows", rows, persistent=False)  # (L,) of the training set, in order
        self.register_buffer("labels", facts.labels[order], persistent=False)  # (L,) their classes

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        (labeled, weak, strong), hidden = self.student_outputs(batch.x, *batch.u)  # (B, K), (U, K) twice
        e_labeled, e_weak, e_strong = map(self.head, hidden)  # (B, d), (U, d) twice, of length 1
        predicted = probabilities(weak)  # (U, K), as all up to `kept` of no gradient
        mean = self.predictions.counted(predicted)  # (K,)
        own = align(predicted, torch.ones_like(mean), mean, floor=torch.finfo(mean.dtype).tiny)  # (U, K)
        near = self.similarities(e_weak.detach()).softmax(dim=1)  # (U, L)
        believed = near * own[:, self.labels]  # (U, L)
        believed = believed / believed.sum(dim=1, keepdim=True).clamp(min=torch.finfo(mean.dtype).tiny)
        with exact(near):
            others = near @ one_hot(self.labels, own.shape[1]).to(near.dtype)  # (U, K), of `near` before it is weighed
        q = self.alpha * own + (1 - self.alpha) * others  # (U, K)
        kept = gate(q.max(dim=1).values, self.threshold)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, q), kept)
        instance = row_cross_entropy(self.similarities(e_strong), believed).mean()
        rise = ramp(progress, "linear", self.ramp_length)
        total = supervised + rise * (self.weight * pseudo + self.instance_weight * instance)
        terms = {"supervised": supervised, "pseudo": pseudo, "instance": instance, "rise": rise}
        seen = {"predicted": predicted, "index": batch.x_index, "embedding": e_labeled.detach()}
        return Step(total, terms, seen, Guess(q, kept))

    def similarities(self, embedding: Tensor) -> Tensor:
        """Return (n, L) logits of embeddings (n, d): how alike each is to the labelled images."""
        with exact(embedding):
            return embedding @ self.bank.T / self.temperature

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.predictions.update(seen["predicted"])
        slot = torch.searchsorted(self.rows, seen["index"])  # (B,) places in the bank
        embedding = merge_repeats(slot, seen["embedding"])  # a row drawn twice counts one visit
        self.bank[slot] = unit(self.bank_momentum * self.bank[slot] + (1 - self.bank_momentum) * embedding).to(self.bank.dtype)


def unit(rows: Tensor) -> Tensor:
    """Return (n, d) rows, each of length 1."""
    return nn.functional.normalize(rows, dim=1)
