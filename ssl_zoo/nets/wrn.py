"""Wide residual nets, as semi-supervised papers use them: `wrn28_2`, `wrn28_8`, `wrn37_2`.

Zagoruyko & Komodakis, BMVC 2016, arXiv:1605.07146, in the variant of Oliver et al., NeurIPS 2018, arXiv:1804.09170:
LeakyReLU for ReLU, and the first shortcut starts after the first activation. PyTorch toolkits differ in two small
things. Both are options here (transition, last_bn_eps), so that weights of theirs give the same logits.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.nets.base import ConvNet
from ssl_zoo.registry import NETS

STEM = 16  # channels
Norm = Callable[[int], nn.Module]  # channels -> layer
Active = Literal["residual", "both", "none"]


def groups_and_blocks(depth: int) -> tuple[int, int]:
    """Groups, and residual blocks in each, of a net whose stem, 3x3 and shortcut convolutions number `depth`.

    g groups of n blocks have 1 + 2ng + g convolutions. Three groups: 6n + 4, the paper's. Four: 8n + 5, the field's
    "WRN-37-2".

    Raises:
        InputError: No n gives this depth.
    """
    for groups in (3, 4):
        blocks, rest = divmod(depth - 1 - groups, 2 * groups)
        if rest == 0 and blocks > 0:
            return groups, blocks
    raise InputError(f"no WRN has depth {depth}: give 6n + 4 (10, 16, 22, 28, 40) or, for four groups, 8n + 5 (13, 21, 29, 37)")


def _active(transition: str, first: bool, widens: bool) -> Active:
    """Return which branches of a block start after its first activation."""
    if transition == "raw" and not (first and widens):  # of width 1, the very first block widens nothing and is an ordinary one
        return "none" if widens else "residual"
    return "both" if first else "residual"


class Block(nn.Module):
    """Two 3x3 convolutions, each after batch norm and LeakyReLU, and a shortcut; 1x1 where the shape changes.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Of the first convolution and the shortcut.
        norm: Makes the batch norm of so many channels.
        slope: Of the LeakyReLU.
        drop_rate: Dropout before the second convolution.
        bias: Whether the convolutions have one.
        active: Which branches start after the first activation: the residual one, both (with the shortcut), or none.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: Norm, slope: float, drop_rate: float, bias: bool, active: Active
    ):
        super().__init__()
        self.active = active
        self.activation = nn.Sequential(norm(inputs), nn.LeakyReLU(slope))
        if active == "none":  # it is there for the order of a state dict; what nothing reads learns nothing
            self.activation.requires_grad_(False)
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias),
            norm(outputs),
            nn.LeakyReLU(slope),
            nn.Dropout(drop_rate),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        if self.active == "none":
            if self.training:
                with torch.no_grad():
                    self.activation[0](x)  # its running statistics move, as in the codes that have this, and nothing reads them
            return self.shortcut(x) + self.residual(x)
        activated = self.activation(x)
        return self.shortcut(activated if self.active == "both" else x) + self.residual(activated)


@NETS.register_family("wrn{depth}_{width}", r"wrn[-_]?(?P<depth>\d+)[-_](?P<width>\d+)", example="wrn28_2")
class WideResNet(ConvNet):
    """Wide ResNet of a depth (6n + 4, or 37 for STL-10) and a width factor: wrn28_2, wrn28_8, wrn37_2.

    Zagoruyko & Komodakis, arXiv:1605.07146, in the variant of Oliver et al., arXiv:1804.09170. Groups of 16k, 32k, 64k
    channels at strides 1, 2, 2; a depth of 8n + 5, such as 37, has a fourth of 128k, at stride 2. Any image size. At 3
    channels and 10 classes wrn28_2 has 1,467,610 parameters, wrn37_2 5,929,434.

    Args:
        depth: From the name: convolutions, those of the shortcuts included.
        width: From the name: the factor k.
        drop_rate: Dropout between the two 3x3 convolutions of a block.
        bn_momentum: Weight of the newest batch in the running statistics. The authors' 0.999 is 0.001 here.
        bn_eps: Added to the variance.
        last_bn_eps: Added to the variance in the last batch norm; null: as bn_eps. USB: 1e-3, with bn_eps 1e-5.
        leaky_slope: Of the LeakyReLU, for negative inputs.
        conv_bias: Which convolutions have a bias: none, the stem alone (USB), or all (TorchSSL, TensorFlow's default).
        first_stride: Of the first group, 1 or 2. For STL-10 it is 1 in the authors' code and 2 in TorchSSL and USB.
        transition: What the residual branch reads where a later group begins; the shortcut reads the input as it is.
            activated: the input after batch norm and LeakyReLU, as Oliver et al. raw: the input itself, as kekmodel's
            FixMatch, TorchSSL and USB (commit 5d09751); the scale and shift of that batch norm are then not trained.

    Raises:
        InputError: No net has this depth, or an option is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        image_size: tuple[int, int],
        *,
        depth: int,
        width: int,
        drop_rate: float = 0.0,
        bn_momentum: float = 0.1,
        bn_eps: float = 1e-3,
        leaky_slope: float = 0.1,
        conv_bias: Literal["none", "stem", "all"] = "none",
        first_stride: int = 1,
        last_bn_eps: float | None = None,
        transition: Literal["activated", "raw"] = "activated",
    ):
        groups, blocks = groups_and_blocks(depth)
        between("width", width, 1, 100)
        between("drop_rate", drop_rate, 0, 1)
        between("bn_momentum", bn_momentum, 0, 1)
        between("bn_eps", bn_eps, 0)
        between("leaky_slope", leaky_slope, 0)
        between("first_stride", first_stride, 1, 2)
        one_of("conv_bias", conv_bias, "none", "stem", "all")
        one_of("transition", transition, "activated", "raw")
        last_eps = bn_eps if last_bn_eps is None else between("last_bn_eps", last_bn_eps, 0)

        def norm(channels: int, eps: float = bn_eps) -> nn.BatchNorm2d:
            return nn.BatchNorm2d(channels, eps=eps, momentum=bn_momentum)

        layers: list[nn.Module] = [nn.Conv2d(in_chans, STEM, 3, padding=1, bias=conv_bias != "none")]
        channels = STEM
        for group in range(groups):
            for block in range(blocks):
                before, channels = channels, STEM * width * 2**group
                stride = 1 if block else 2 if group else first_stride
                active = _active(transition, first=group == block == 0, widens=before != channels)
                layers.append(Block(before, channels, stride, norm, leaky_slope, drop_rate, conv_bias == "all", active))
        layers += [norm(channels, last_eps), nn.LeakyReLU(leaky_slope)]  # (B, D, h, w)
        super().__init__(nn.Sequential(*layers), nn.Linear(channels, num_classes), channels)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # variance 2 / fan_out whatever the slope, as in all codes named above
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
