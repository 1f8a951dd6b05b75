"""The 13-layer convolutional net of the semi-supervised papers of 2016 to 2019, with both of its normalisations."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.nets.base import ConvNet
from ssl_zoo.ranks import global_mean_grad, ranks
from ssl_zoo.registry import NETS


class GaussianNoise(nn.Module):
    """Adds noise of a standard deviation in training mode, drawn from the global generator.

    Args:
        std: Standard deviation, in the units of the input.
    """

    def __init__(self, std: float):
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same comes out."""
        return x + self.std * torch.randn_like(x) if self.training else x


class MeanOnlyBatchNorm(nn.Module):
    """Subtracts the batch's mean of each channel and adds a bias; does not divide. For weight-normalised layers.

    Salimans & Kingma, NeurIPS 2016, arXiv:1602.07868, section 2.3. Modes are those of torch's batch norm: in training
    mode the batch's mean is used, and moves the running one unless `track_running_stats` is off; in evaluation mode the
    running one is.

    Not a subclass of torch's: `SyncBatchNorm.convert_sync_batchnorm` would silently put a full batch norm in its place.

    Args:
        channels: C.
        momentum: Weight of the newest batch in the running mean.
    """

    def __init__(self, channels: int, momentum: float = 0.1):
        super().__init__()
        self.momentum, self.track_running_stats = momentum, True
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) or (B, C, H, W); the same comes out."""
        mean = self.running_mean
        if self.training:
            mean = x.mean(dim=(0, *range(2, x.ndim)), dtype=self.bias.dtype)  # (C,), in full precision under autocast too
            mean = global_mean_grad(mean[None]) if ranks() > 1 else mean
            if self.track_running_stats:
                self.running_mean.lerp_(mean.detach(), self.momentum)
        shift = (self.bias - mean).to(x.dtype)
        return x + shift.view(-1, *[1] * (x.ndim - 2))


@NETS.register("convnet13", "conv13", "cnn13")
class ConvNet13(ConvNet):
    """The papers' 13-layer net: 3,121,802 parameters at 3 channels and 10 classes.

    For 32x32 images; 4x4 or more will do.

    Laine & Aila, ICLR 2017, arXiv:1610.02242, appendix A; so used by Mean Teacher (arXiv:1703.01780), VAT and ICT.
    LeakyReLU after each convolution; two 2x2 max pools, each with dropout.

    Args:
        noise: Standard deviation of Gaussian noise on the input, in training mode.
        drop_rate: Dropout after each of the two max pools.
        norm: batch: affine batch norm, as in later papers. weight: weight norm with mean-only batch norm, as in the
            first.
        conv_bias: Whether the convolutions have a bias before their batch norm. With norm weight, the mean-only norm
            has it.
        bn_momentum: Weight of the newest batch in the running statistics. The paper's 0.999 is 0.001 here.
        leaky_slope: Of the LeakyReLU, for negative inputs.

    Raises:
        InputError: The images are smaller than 4x4, an option is out of range, or conv_bias with norm weight.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        image_size: tuple[int, int],
        *,
        noise: float = 0.15,
        drop_rate: float = 0.5,
        norm: Literal["batch", "weight"] = "batch",
        conv_bias: bool = False,
        bn_momentum: float = 0.1,
        leaky_slope: float = 0.1,
    ):
        if min(image_size) < 4:
            raise InputError(f"convnet13 halves images twice, so {image_size[0]}x{image_size[1]} is too small; give 4x4 or more")
        if one_of("norm", norm, "batch", "weight") == "weight" and conv_bias:
            raise InputError("convnet13: conv_bias belongs to norm=batch; with norm=weight the mean-only batch norm has the bias")
        for name, value in {"drop_rate": drop_rate, "bn_momentum": bn_momentum}.items():
            between(name, value, 0, 1)
        for name, value in {"noise": noise, "leaky_slope": leaky_slope}.items():
            between(name, value, 0)

        def layer(inputs: int, outputs: int, kernel: int, padding: int) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=conv_bias)
            nn.init.kaiming_normal_(conv.weight, a=leaky_slope)
            if norm == "weight":
                # paper: scale and bias set from the statistics of a first batch; here: from the initial weights, since
                # a pass that changes parameters could neither be resumed nor split over ranks
                return nn.Sequential(weight_norm(conv), MeanOnlyBatchNorm(outputs, bn_momentum), nn.LeakyReLU(leaky_slope))
            return nn.Sequential(conv, nn.BatchNorm2d(outputs, momentum=bn_momentum), nn.LeakyReLU(leaky_slope))

        # paper: none (8x8 -> 6x6, of 32x32 images); here: one where the map is smaller than the 3x3 kernel
        padding = 0 if min(image_size) // 4 >= 3 else 1
        features = nn.Sequential(
            GaussianNoise(noise),
            *(layer(inputs, 128, 3, 1) for inputs in (in_chans, 128, 128)),
            nn.MaxPool2d(2),
            nn.Dropout(drop_rate),
            *(layer(inputs, 256, 3, 1) for inputs in (128, 256, 256)),
            nn.MaxPool2d(2),
            nn.Dropout(drop_rate),
            layer(256, 512, 3, padding),
            layer(512, 256, 1, 0),
            layer(256, 128, 1, 0),  # (B, 128, H/4 - 2, W/4 - 2)
        )
        head: nn.Module = nn.Linear(128, num_classes, bias=norm == "batch")
        if norm == "weight":
            head = nn.Sequential(weight_norm(head), MeanOnlyBatchNorm(num_classes, bn_momentum))  # all 10 layers alike
        super().__init__(features, head, 128)
