"""A line: softmax regression on the values of an image."""

from torch import Tensor, nn

from ssl_zoo.heads import without_autocast
from ssl_zoo.registry import NETS


@NETS.register("linear")
class Linear(nn.Module):
    """One linear layer on the values of the image, always in fp32. What baselines on pixels are kept as."""

    def __init__(self, num_classes: int, in_chans: int, image_size: tuple[int, int]):
        super().__init__()
        self.num_features = in_chans * image_size[0] * image_size[1]
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The values, (B, C * H * W)."""
        return x.flatten(1)

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, K) of the values, or these."""
        if pre_logits:
            return f
        with without_autocast(f):
            return self.head(f.to(self.head.weight.dtype))
