"""A second head on a net, for a method in which labels and a teacher's targets do not teach the same one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError


class SecondHead(nn.Linear):
    """A linear layer on what the net's own head gets.

    Args:
        net: Follows timm's convention.
        classes: K.

    Raises:
        InputError: The net does not say what its head gets.
    """

    def __init__(self, net: nn.Module, classes: int):
        lacks = [name for name in ("forward_features", "forward_head", "num_features") if not hasattr(net, name)]
        if lacks:
            raise InputError(
                f"logit_distance puts a second head on the net, but {type(net).__name__} has no {', '.join(lacks)}; "
                "follow timm's convention, or leave logit_distance at 0"
            )
        hidden = getattr(net, "head_hidden_size", None) or net.num_features  # as timm names what the head gets
        super().__init__(hidden, classes)

    def beside(self, net: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return the function from images (n, C, H, W) to logits (n, 2, K): of the net's own head, then of this one."""

        def both_heads(x: Tensor) -> Tensor:
            features = net.forward_features(x)
            hidden = net.forward_head(features, pre_logits=True)
            return torch.stack((net.forward_head(features), self(hidden)), dim=1)

        return both_heads
