"""A method on logits that a test chooses: the net gives each image the logits that are written in its pixels."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssl_zoo import ALGORITHMS, Batch, Facts, Step


class Fixed(nn.Module):
    """Logits (n, K) are the first K channels of images (n, C, 1, 1), times a parameter that is 1."""

    given: ClassVar[list[Tensor]] = []  # of the last call of `by_hand`: x, then the views; they require a gradient

    def __init__(self, classes: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.classes = self.num_features = classes
        self.head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        return x

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        return f.flatten(1)[:, : self.classes] * self.scale


def log(*rows: tuple[float, ...]) -> Tensor:
    """(n, K) logits of these probabilities."""
    return torch.tensor(rows).log()


def make(name: str, classes: int, rows: int = 10, **options: Any):
    """A method on such a net, of data with one labelled row for each class."""
    some = torch.arange(classes)
    return ALGORITHMS.create(name, net=Fixed(classes), facts=Facts(classes, rows, some, some, torch.arange(rows)), **options)


def given(x: Tensor, y: Tensor, *views: Tensor, more: tuple[Tensor, ...] = (), u_index: Tensor | None = None) -> Batch:
    """A batch whose images have these logits, (n, K) each. They require a gradient, and are kept in `Fixed.given`."""
    Fixed.given = [logits.clone().requires_grad_() for logits in (x, *views)]
    images = [logits[:, :, None, None] for logits in Fixed.given]
    index = torch.arange(len(views[0]) if views else 0) if u_index is None else u_index
    return Batch(images[0], y, torch.arange(len(y)), tuple(images[1:]), index, tuple(m[:, :, None, None] for m in more))


def by_hand(name: str, *, weak: Tensor, strong: Tensor | None = None, progress: float = 1.0, **options: Any) -> Step:
    """The loss of one labelled image, whose logits are 0, and unlabelled ones with these logits (U, K)."""
    classes = weak.shape[1]
    method = make(name, classes, **options)
    views = [weak] if strong is None else [weak, strong]
    batch = given(torch.zeros(1, classes), torch.zeros(1, dtype=torch.int64), *views)
    return method.loss(batch, torch.tensor(progress))
