"""The residual net of 26 layers with shake-shake regularisation, `shakeshake26`.

The large CIFAR-10 net of Mean Teacher.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.errors import between
from ssl_zoo.nets.base import ConvNet
from ssl_zoo.registry import NETS

STEM = 16  # channels
BLOCKS = 4  # in each of three stages: 1 + 3 * 4 * 2 convolutions in a row and the head are 26 layers


def shaken(a: Tensor, b: Tensor) -> Tensor:
    """alpha a + (1 - alpha) b, whose gradient is that of beta a + (1 - beta) b.

    Both alpha and beta are drawn from U(0, 1), drawn for each image.

    Args:
        a: (B, D, h, w), as is the result.
        b: The same shape and type.
    """
    alpha, beta = torch.rand(2, len(a), 1, 1, 1, device=a.device).to(a.dtype)  # the same stream in every precision
    return torch.lerp(b, a, beta) + (alpha - beta) * (a - b).detach()


class TwoSamplings(nn.Module):
    """Every second pixel from (0, 0) on, and every second from (1, 1) on, side by side as channels.

    Gastaldi: the second takes what lies one pixel before, from (-1, -1) on, so that its border is zeros; here: one
    pixel after, which at even sizes needs none. At odd sizes zeros stand for what would lie beyond the last row and
    column.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, 2C, H / 2, W / 2), rounded up."""
        return torch.cat([x[:, :, ::2, ::2], F.pad(x, (0, 1, 0, 1))[:, :, 1::2, 1::2]], dim=1)


class Block(nn.Module):
    """A shortcut and the mixture of two branches: ReLU, then twice 3x3 convolution and batch norm with a ReLU between.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Of the branches' first convolution and the shortcut: 1 or 2.
        bn_momentum: Weight of the newest batch in the running statistics.
        shake: Whether the mixture is random in training mode; the mean otherwise.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, bn_momentum: float, shake: bool):
        super().__init__()
        self.shake = shake

        def norm() -> nn.BatchNorm2d:
            return nn.BatchNorm2d(outputs, momentum=bn_momentum)

        def branch() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                norm(),
                nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
                norm(),
            )

        self.first, self.second = branch(), branch()
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:  # two groups: each half of the outputs sees one of the samplings
            self.shortcut = nn.Sequential(TwoSamplings(), nn.ReLU(), nn.Conv2d(2 * inputs, outputs, 1, groups=2), norm())
        elif inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), norm())

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H / stride, W / stride), rounded up."""
        active = F.relu(x)
        a, b = self.first(active), self.second(active)
        return self.shortcut(x) + (shaken(a, b) if self.shake and self.training else (a + b) / 2)


@NETS.register("shakeshake26")
class ShakeShake26(ConvNet):
    """ResNet-26 with shake-shake regularisation, 2x96d: 26,193,466 parameters at 3 channels and 10 classes.

    Any image size.

    Gastaldi 2017, arXiv:1705.07485, "shake-shake-image"; so used by Mean Teacher (arXiv:1703.01780). Every residual
    block has two branches. In training mode they are mixed at random, anew for each image, in the forward pass and,
    independently, in the backward pass; in evaluation mode the mixture is their mean. A pass without gradients in
    training mode is random, too.

    Three stages of four blocks: w, 2w, 4w channels at strides 1, 2, 2. As in Gastaldi's code, a ReLU precedes the
    average pool, and convolutions start from normal values over the fan out. Unlike there, the stem has no batch norm,
    the shortcut of the first block is one 1x1 convolution with batch norm, and the strided shortcuts' convolutions have
    a bias.

    Args:
        base_width: w, the channels of the first stage: 96, or 32 and 64 for the paper's smaller nets.
        shake: Whether the branches are mixed at random in training mode. Off: always their mean.
        bn_momentum: Weight of the newest batch in the running statistics.
        last_relu: The ReLU before the average pool. Off: as the Mean Teacher authors' PyTorch code, which has none.

    Raises:
        InputError: An option is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        image_size: tuple[int, int],
        *,
        base_width: int = 96,
        shake: bool = True,
        bn_momentum: float = 0.1,
        last_relu: bool = True,
    ):
        between("base_width", base_width, 1, 10_000)
        between("bn_momentum", bn_momentum, 0, 1)
        layers: list[nn.Module] = [nn.Conv2d(in_chans, STEM, 3, padding=1, bias=False)]
        channels = STEM
        for stage in range(3):
            for block in range(BLOCKS):
                before, channels = channels, base_width * 2**stage
                layers.append(Block(before, channels, 2 if stage and not block else 1, bn_momentum, shake))
        layers.append(nn.ReLU() if last_relu else nn.Identity())  # (B, D, h, w)
        super().__init__(nn.Sequential(*layers), nn.Linear(channels, num_classes), channels)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                for weight in module.weight.detach().chunk(module.groups):  # a group's fan out is its own
                    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
