"""A net that is small enough to try things on a CPU."""

from torch import nn

from ssl_zoo.errors import InputError, between
from ssl_zoo.nets.base import ConvNet
from ssl_zoo.registry import NETS

WIDTHS = (16, 40, 80)


@NETS.register("smallnet", "small")
class SmallNet(ConvNet):
    """Three convolutions, 35,786 parameters at 1 channel and 10 classes: quick on a CPU. From no paper.

    Each is 3x3, batch norm, LeakyReLU(0.1), with a 2x2 max pool between two; then global average and a linear layer.

    Args:
        drop_rate: Dropout before the second and the third convolution.
        bn_momentum: Weight of the newest batch in the running statistics.

    Raises:
        InputError: The images are smaller than 4x4, or an option is out of range.
    """

    def __init__(
        self, num_classes: int, in_chans: int, image_size: tuple[int, int], *, drop_rate: float = 0.0, bn_momentum: float = 0.1
    ):
        if min(image_size) < 4:
            raise InputError(f"smallnet halves images twice, so {image_size[0]}x{image_size[1]} is too small; give 4x4 or more")
        between("drop_rate", drop_rate, 0, 1)
        between("bn_momentum", bn_momentum, 0, 1)
        layers: list[nn.Module] = []
        for before, width in zip((in_chans, *WIDTHS), WIDTHS, strict=False):
            if layers:
                layers += [nn.MaxPool2d(2), nn.Dropout(drop_rate)]
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width, momentum=bn_momentum)]
            layers += [nn.LeakyReLU(0.1)]
        super().__init__(nn.Sequential(*layers), nn.Linear(WIDTHS[-1], num_classes), WIDTHS[-1])  # map (B, 80, H/4, W/4)
