"""Heads: a second one on a net, one that is a memory of images, and what a net gives its last layer."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError

LEAST = 1e-9  # probability of a class that no neighbour has, so that its logarithm is finite


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Return what keeps numbers within it as precise as they are; devices without memory have nothing to keep."""
    return contextlib.nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


class Features(nn.Module):
    """What a net gives its last layer.

    Args:
        net: Follows timm's convention.

    Raises:
        InputError: The net does not say what its last layer gets.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        if not all(callable(getattr(net, name, None)) for name in ("forward_features", "forward_head")):
            raise InputError(f"a {type(net).__name__} has no `forward_features` and `forward_head`, as timm's nets have")
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, D) of images (n, C, H, W)."""
        return self.net.forward_head(self.net.forward_features(x), pre_logits=True)


def last_layer(net: nn.Module) -> nn.Linear:
    """Return the linear layer from features to logits: the last one of a net that follows timm's convention.

    Raises:
        InputError: There is none, with a bias.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
    own = getattr(net, "get_classifier", None)  # timm's nets say it
    found = own() if callable(own) else (layers[-1] if layers else None)
    if not isinstance(found, nn.Linear) or found.bias is None:
        raise InputError(f"a {type(net).__name__} does not end in a linear layer with a bias; choose another net")
    return found


class Neighbours(nn.Module):
    """A memory of images: a new one gets the mean of what is known of its nearest.

    Args:
        net: Gives features; follows timm's convention.
        rows: N, of the memory.
        width: D, of the features.
        classes: K.
        neighbors: How many of them.
    """

    stored: Tensor  # (N, D), features of the images
    shares: Tensor  # (N, K), what is known of their classes

    def __init__(self, net: nn.Module, rows: int, width: int, classes: int, neighbors: int):
        super().__init__()
        self.net, self.neighbors = net, neighbors
        self.register_buffer("stored", torch.zeros(rows, width))
        self.register_buffer("shares", torch.zeros(rows, classes))

    def remember(self, features: Tensor, shares: Tensor) -> None:
        """Take these features (N, D) and shares (N, K) into the memory."""
        self.stored.copy_(features)
        self.shares.copy_(shares)

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of probabilities (n, K) of images (n, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The net's."""
        return self.net.forward_features(x)

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logarithms of probabilities (n, K) of the net's features, or these (n, D) as its last layer gets them."""
        features = self.net.forward_head(f, pre_logits=True)
        if pre_logits:
            return features
        with without_autocast(f):
            same = "use_mm_for_euclid_dist"  # whatever n is, so that no batch size has distances of its own
            apart = torch.cdist(features.to(self.stored.dtype), self.stored, compute_mode=same)  # (n, N)
            nearest = apart.topk(self.neighbors, dim=1, largest=False).indices  # (n, k)
            shares = self.shares[nearest].sum(dim=1)  # (n, K)
            return (shares / shares.sum(dim=1, keepdim=True).clamp(min=LEAST)).clamp(min=LEAST).log()


def hidden_size(net: nn.Module, asked: str = "the method has a head of its own", way: str = "take another method") -> int:
    """Return D, how many numbers the net's last layer gets of an image.

    Args:
        net: Follows timm's convention.
        asked: Why it is asked for, for the message.
        way: What else can be done.

    Raises:
        InputError: The net does not follow timm's convention.
    """
    lacks = [name for name in ("forward_features", "forward_head", "num_features") if not hasattr(net, name)]
    if lacks:
        raise InputError(f"{asked}, but {type(net).__name__} has no {', '.join(lacks)}; follow timm's convention, or {way}")
    return getattr(net, "head_hidden_size", None) or net.num_features  # as timm names what the head gets


class Projection(nn.Module):
    """A head of two layers from what the net's last layer gets to vectors of length 1, for similarities.

    Args:
        net: Follows timm's convention.
        size: d, numbers of a vector.
        slope: Of the activation below zero, 0 for ReLU.

    Raises:
        InputError: The net does not say what its last layer gets.
    """

    def __init__(self, net: nn.Module, size: int, slope: float = 0.0):
        super().__init__()
        hidden = hidden_size(net)
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, size)
        self.slope = slope

    def forward(self, hidden: Tensor) -> Tensor:
        """(n, D) to (n, d), each row of length 1, in fp32."""
        with without_autocast(hidden):
            made = self.second(nn.functional.leaky_relu(self.first(hidden), self.slope))
            return nn.functional.normalize(made, dim=1)


class SecondHead(nn.Linear):
    """A linear layer on what the net's own head gets.

    Args:
        net: Follows timm's convention.
        classes: K.
        asked: Which option asks for it, for the message.
        way: What else can be done.

    Raises:
        InputError: The net does not say what its head gets.
    """

    def __init__(self, net: nn.Module, classes: int, asked: str, way: str):
        super().__init__(hidden_size(net, f"{asked} puts a second head on the net", way), classes)

    def beside(self, net: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return the function from images (n, C, H, W) to logits (n, 2, K): of the net's own head, then of this one."""

        def both_heads(x: Tensor) -> Tensor:
            features = net.forward_features(x)
            hidden = net.forward_head(features, pre_logits=True)
            return torch.stack((net.forward_head(features), self(hidden)), dim=1)

        return both_heads
