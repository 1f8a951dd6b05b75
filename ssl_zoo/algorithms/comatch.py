"""CoMatch: let what you believe of two images say how alike they are, and how alike they look say what to believe.

Li, Xiong & Hoi, ICCV 2021, arXiv:2011.11183. Written from the paper, sec. 3 and algorithm 1.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import Ring, WindowMean
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.errors import between
from ssl_zoo.heads import Projection
from ssl_zoo.losses import cross_entropy, exact, row_cross_entropy, weighted_mean
from ssl_zoo.ranks import gather_rows, gather_rows_grad, rank
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.targets import align, gate, one_hot, probabilities


@ALGORITHMS.register("comatch")
class CoMatch(AlgorithmBase):
    """CoMatch: pseudo-labels smoothed over images that look alike; a graph of them says which images should.

    Predictions are divided by their mean of the last batches, this one included: no prior of the labels. The graph
    joins every image with itself and with those of nearly the same pseudo-label; the embeddings of two strong views
    follow it.
    Until the bank is full nothing is smoothed: an empty slot knows nothing.

    Args:
        weight: Of the pseudo-labels' cross-entropy. Paper: 1.
        contrast_weight: Of the embeddings' cross-entropy with the graph. Paper: 1.
        threshold: Least probability of a pseudo-label that counts, after smoothing. Paper: 0.95.
        graph_threshold: Least product of two pseudo-labels that are joined. Paper: 0.8.
        alpha: Of an image's own prediction; the rest is the bank's. Paper: 0.9. 1: nothing is smoothed.
        temperature: Of both softmaxes over similarities. Paper: 0.2. USB has 0.5, and 0.2 in its recipes.
        bank: Images that it remembers, labelled ones with their labels. Paper: 2,560, of five steps of 64 + 448. USB:
            128 steps, and 5 in its recipes.
        window: Batches whose mean the predictions are divided by. Paper: 32.
        embedding: Numbers of an image's embedding. Paper: 64.
    """

    views = ("weak", "strong", "strong")
    targets = (0,)
    weights = {"pseudo": "weight", "contrast": "contrast_weight"}
    gates = {"threshold": 0.0, "bank": 20}  # a bank that is full after a step or two
    exempt = {"mean_over_rows": "each row is told from every other, so a second copy is one more to be told from"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.0,
        contrast_weight: float = 1.0,
        threshold: float = 0.95,
        graph_threshold: float = 0.8,
        alpha: float = 0.9,
        temperature: float = 0.2,
        bank: int = 2560,
        window: int = 32,
        embedding: int = 64,
    ):
        super().__init__(net, facts)
        self.weight, self.contrast_weight = between("weight", weight, 0), between("contrast_weight", contrast_weight, 0)
        self.threshold = between("threshold", threshold, 0, 1)
        self.graph_threshold = between("graph_threshold", graph_threshold, 0, 1)
        self.alpha, self.temperature = between("alpha", alpha, 0, 1), between("temperature", temperature, 1e-6)
        self.head = Projection(net, between("embedding", embedding, 1), slope=0.1)
        slots = between("bank", bank, 1)
        self.embeddings, self.beliefs = Ring(slots, embedding), Ring(slots, facts.classes)  # rows (M, d), (M, K)
        self.predictions = WindowMean(torch.full((facts.classes,), 1 / facts.classes), window)

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        (labeled, weak, strong, _), hidden = self.student_outputs(batch.x, *batch.u)  # (B, K), (U, K) thrice
        e_labeled, e_weak, e_strong, e_other = map(self.head, hidden)  # (B, d), (U, d) thrice, of length 1
        predicted = probabilities(weak)  # (U, K), as all below of no gradient
        mean = self.predictions.counted(predicted)  # (K,)
        own = align(predicted, torch.ones_like(mean), mean, floor=torch.finfo(mean.dtype).tiny)  # (U, K)
        q = self.smoothed(own, e_weak.detach())  # (U, K)
        kept = gate(q.max(dim=1).values, self.threshold)  # (U,)

        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = weighted_mean(row_cross_entropy(strong, q), kept)
        with exact(e_strong):
            alike = e_strong @ gather_rows_grad(e_other).T / self.temperature  # (U, R U)
        contrast = row_cross_entropy(alike, self.graph(q)).mean()
        total = supervised + self.weight * pseudo + self.contrast_weight * contrast
        terms = {"supervised": supervised, "pseudo": pseudo, "contrast": contrast}
        labels = {"labeled_embedding": e_labeled.detach(), "label": batch.y}
        seen = {"predicted": predicted, "own": own, "embedding": e_weak.detach(), **labels}
        return Step(total, terms, seen, Guess(q, kept))

    def smoothed(self, own: Tensor, embedding: Tensor) -> Tensor:
        """Return alpha times what is believed of images, plus the rest of what the bank believes of those like them."""
        with exact(own):
            alike = (embedding @ self.embeddings.rows.T / self.temperature).softmax(dim=1)  # (U, M)
            others = alike @ self.beliefs.rows  # (U, K)
        rest = (1 - self.alpha) * self.embeddings.full()  # 0 until the bank is full, as in the authors' code
        return (1 - rest) * own + rest * others

    def graph(self, q: Tensor) -> Tensor:
        """Return (U, R U): for each image the images of the whole batch that it is joined with, each row of sum 1."""
        everybody = gather_rows(q)  # (R U, K)
        place = torch.arange(len(q), device=q.device) + rank() * len(q)
        itself = one_hot(place, len(everybody)) > 0  # (U, R U)
        with exact(q):
            alike = q @ everybody.T
        joined = (alike * gate(alike, self.graph_threshold)).masked_fill(itself, 1.0)
        return joined / joined.sum(dim=1, keepdim=True)

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.predictions.update(seen["predicted"])
        known = one_hot(seen["label"], seen["own"].shape[1])
        self.embeddings.write(torch.cat((seen["embedding"], seen["labeled_embedding"])))
        self.beliefs.write(torch.cat((seen["own"], known)))  # what is believed before it is smoothed
