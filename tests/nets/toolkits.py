"""The wide residual nets of PyTorch toolkits, written from a description of them, as a reference for `wrn28_2`.

A block normalises and activates its input. Where the number of channels stays, the result goes to the first convolution
and the input to the sum. Where it changes, both the first convolution and the shortcut read one tensor: in the first
group what was activated, in later groups the input itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ToolkitBlock(nn.Module):
    """One block. Its layers are made in the order of a toolkit's state dict."""

    def __init__(self, inputs: int, outputs: int, stride: int, first_group: bool, bias: bool, eps: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs, momentum=0.001, eps=eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias)
        self.norm2 = nn.BatchNorm2d(outputs, momentum=0.001, eps=eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=bias)
        self.widens, self.first_group = inputs != outputs, first_group
        if self.widens:
            self.projection = nn.Conv2d(inputs, outputs, 1, stride, 0, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.leaky_relu(self.norm1(x), 0.1)
        if not self.widens:
            read, summed = activated, x
        else:
            read = activated if self.first_group else x
            summed = self.projection(read)
        hidden = F.leaky_relu(self.norm2(self.conv1(read)), 0.1)
        return summed + self.conv2(hidden)


class ToolkitNet(nn.Module):
    """The whole net, of depth 6n + 4.

    Args:
        bias: Which convolutions have one: none (kekmodel), stem (USB), all (TorchSSL).
        eps: Of the batch norms in blocks.
        last_eps: Of the last one.
    """

    def __init__(self, depth: int, width: int, classes: int, bias: str, eps: float, last_eps: float):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=bias != "none")
        blocks, channels = [], 16
        for group in range(3):
            for number in range((depth - 4) // 6):
                outputs = 16 * width * 2**group
                stride = 2 if group and not number else 1
                blocks.append(ToolkitBlock(channels, outputs, stride, group == 0, bias == "all", eps))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels, momentum=0.001, eps=last_eps)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.leaky_relu(self.norm(self.blocks(self.stem(x))), 0.1)
        return self.head(maps.mean(dim=(2, 3)))


def used(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give a net weights and statistics as after training: none is what it is initially, and variances are small and large."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                size = module.weight.shape
                module.weight.copy_(torch.rand(size, generator=generator) + 0.5)
                module.bias.copy_(0.3 * torch.randn(size, generator=generator))
                module.running_mean.copy_(0.3 * torch.randn(size, generator=generator))
                module.running_var.copy_(10 ** (3 * torch.rand(size, generator=generator) - 2.5))
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=generator))
    return net
