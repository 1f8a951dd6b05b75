"""What our own convolutional nets share: a map, its average, a linear head."""

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Images to logits by way of a feature map.

    Follows timm: `forward(x)` is `forward_head(forward_features(x))`, and a method that has a head of its own puts it
    on `forward_head(f, pre_logits=True)`.

    Args:
        features: Images (B, C, H, W) to a map (B, D, h, w).
        head: (B, D) to logits (B, K).
        num_features: D.
    """

    def __init__(self, features: nn.Module, head: nn.Module, num_features: int):
        super().__init__()
        self.features, self.head, self.num_features = features, head, num_features

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map (B, D, h, w) of images (B, C, H, W)."""
        return self.features(x)

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, K) of a feature map (B, D, h, w), or its average over the places, (B, D)."""
        pooled = f.mean(dim=(2, 3))  # (B, D)
        return pooled if pre_logits else self.head(pooled)
