"""Label spreading: labels flow along a graph of nearest neighbours.

Zhou et al., NIPS 2003, "Learning with local and global consistency", as scikit-learn's `LabelSpreading` has it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ssl_zoo.algorithms.baseline import Baseline, Features, scattered
from ssl_zoo.batch import Facts
from ssl_zoo.errors import InputError, between
from ssl_zoo.heads import Neighbours
from ssl_zoo.registry import ALGORITHMS


@ALGORITHMS.register("labelspreading", "label-spreading")
class LabelSpreading(Baseline):
    """scikit-learn's LabelSpreading on a graph of nearest neighbours.

    A new image gets the mean of what its nearest training images got, so what is kept is all their features. An image
    that no label reaches along the graph has no class; `unreached` counts them.
    Paper: a graph of Gaussian weights between all pairs. Ours: the nearest neighbours, scikit-learn's kernel="knn", as
    all pairs of 50,000 images take 20 GB.

    Args:
        features: pixels: the image's values, whatever the net; net: what the last layer of a pretrained net gets.
        neighbors: Of the graph, and of a new image; scikit-learn's are 7.
        alpha: Share that an image takes from its neighbours in each round; scikit-learn's is 0.2, the paper's 0.99.
        rounds: At most; scikit-learn's are 30.
    """

    remembers = True

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        features: Features = "pixels",
        neighbors: int = 7,
        alpha: float = 0.2,
        rounds: int = 30,
    ):
        super().__init__(net, facts, features=features)
        self.neighbors = between("neighbors", neighbors, 1, 10_000)
        self.alpha, self.rounds = between("alpha", alpha, 1e-6, 1 - 1e-6), between("rounds", rounds, 1, 100_000)
        self.memory: Neighbours | None = None

    def fit(self, labeled: np.ndarray, labels: np.ndarray, unlabeled: np.ndarray) -> Mapping[str, float]:
        """As `Baseline`."""
        from sklearn.semi_supervised import LabelSpreading as Spreading

        known = np.concatenate((labeled, unlabeled))
        if len(known) < self.neighbors:
            raise InputError(
                f"there are {len(known)} images, and neighbors = {self.neighbors}; give `algorithms.labelspreading.neighbors=1`"
            )
        found = Spreading(kernel="knn", n_neighbors=self.neighbors, alpha=self.alpha, max_iter=self.rounds)
        found.fit(known, np.concatenate((labels, np.full(len(unlabeled), -1))))
        shares = scattered(found.label_distributions_.T, found.classes_, self.classes, 0.0).T
        self.memory = Neighbours(self.net, len(known), known.shape[1], self.classes, self.neighbors)
        self.memory.remember(*(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (known, shares)))
        self.memory.to(next(self.net.parameters()).device)
        return {"rounds": int(found.n_iter_), "unreached": int((shares.sum(axis=1) == 0).sum())}

    def eval_net(self) -> nn.Module:
        """The images that it has learnt by heart."""
        return self.net if self.memory is None else self.memory
