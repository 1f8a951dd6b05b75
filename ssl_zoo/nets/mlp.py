"""A perceptron, for points and other images of a few numbers."""

from torch import Tensor, nn

from ssl_zoo.errors import between
from ssl_zoo.registry import NETS


@NETS.register("mlp")
class Perceptron(nn.Module):
    """Two hidden layers with batch norm and ReLU, for the two moons and other small inputs. From no paper.

    Args:
        width: Of the hidden layers.
        bn_momentum: Weight of the newest batch in the running statistics.
    """

    def __init__(
        self, num_classes: int, in_chans: int, image_size: tuple[int, int], *, width: int = 64, bn_momentum: float = 0.1
    ):
        super().__init__()
        between("width", width, 1, 10_000)
        between("bn_momentum", bn_momentum, 0, 1)
        layers: list[nn.Module] = [nn.Flatten()]
        for before in (in_chans * image_size[0] * image_size[1], width):
            layers += [nn.Linear(before, width), nn.BatchNorm1d(width, momentum=bn_momentum), nn.ReLU()]
        self.features, self.head, self.num_features = nn.Sequential(*layers), nn.Linear(width, num_classes), width

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last hidden layer, (B, width)."""
        return self.features(x)

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, K) of the hidden layer, or the layer itself."""
        return f if pre_logits else self.head(f)
