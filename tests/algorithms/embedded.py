"""What tests of methods with embeddings share: images whose logits and embeddings are in their pixels, and the head in numpy."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo import ALGORITHMS, Batch, Facts

HEAD = {  # of a transcription's parameters, those of the head by their names in the method
    "first": "head.first.weight",
    "first_bias": "head.first.bias",
    "second": "head.second.weight",
    "second_bias": "head.second.bias",
}


def unit(v):
    """Each row of length 1, in numpy; holomorphic, for complex steps."""
    return v / np.sqrt((v * v).sum(axis=1, keepdims=True))


def project(w, x, slope):
    """(n, d) of what the last layer gets: two layers, between them z or slope z where z < 0; each row of length 1."""
    z = x @ w["first"].T + w["first_bias"]
    return unit(np.where(z.real > 0, z, slope * z) @ w["second"].T + w["second_bias"])


class Pixels(nn.Module):
    """The first K channels are an image's logits, times a parameter that is 1; the others are what the last layer gets."""

    given: ClassVar[list[Tensor]] = []  # of the last call of `images`: x, then the views; they require a gradient

    def __init__(self, classes: int, size: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.classes, self.num_features = classes, size

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        return x

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        return f.flatten(1)[:, self.classes :] if pre_logits else f.flatten(1)[:, : self.classes] * self.scale


class Unit(nn.Module):
    """A head that only makes length 1."""

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.normalize(hidden, dim=1)


def make_embedded(name: str, labels: list[int], size: int = 2, classes: int = 2, **options: Any):
    """A method on such a net, with such a head, of data whose first rows have these labels."""
    known = torch.tensor(labels)
    facts = Facts(classes, 10, torch.arange(len(known)), known, torch.arange(10))
    method = ALGORITHMS.create(name, net=Pixels(classes, size), facts=facts, embedding=size, **options)
    method.head = Unit()
    return method


def images(*views: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor] | None = None, y=(0,), rows=None) -> Batch:
    """A batch of these (logits, embeddings) of each view; of one labelled image that says nothing unless they are given."""
    nothing = (torch.zeros(1, views[0][0].shape[1]), torch.tensor([[1.0, *[0.0] * (views[0][1].shape[1] - 1)]]))
    Pixels.given = [torch.cat(parts, dim=1).requires_grad_() for parts in (x or nothing, *views)]
    first, *others = (pixels[:, :, None, None] for pixels in Pixels.given)
    rows = torch.arange(len(y)) if rows is None else torch.tensor(rows)
    return Batch(first, torch.tensor(y), rows, tuple(others), torch.arange(len(others[0])))
