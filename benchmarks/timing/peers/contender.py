"""What another toolkit is given, and what is asked of it."""

import torch
from torch import Tensor, nn

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.device import machine
from ssl_zoo.runs.assembly import build
from ssl_zoo.runs.inputs import choose_labels

from ..workloads import Workload, settings_of


class Peer:
    """Steps of another toolkit's method, made as its own training makes them.

    Attributes:
        net: What it trains.
        optimizer: Its own.
        rows: How it is measured: the words of a table's row, and the arguments that make it so.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    rows: dict[str, dict[str, int]] = {}

    def turn(self, steps: int) -> None:
        """Make so many steps, views and all."""
        raise NotImplementedError

    def average(self) -> list[Tensor]:
        """Parameters of the net's running average, in the order of the net's; none: it keeps none."""
        raise NotImplementedError

    def nets(self) -> list[nn.Module]:
        """The nets through which it passes images."""
        return [self.net]

    def fresh(self) -> bool:
        """Whether an image has another view when it is met again."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What else is to be known of it, in words."""
        return []


def net_of(w: Workload, data: Dataset, device: torch.device) -> nn.Module:
    """Our net of a workload, in fp32 and torch's own layout, with the same initial weights each time."""
    settings = settings_of(w, "supervised", str(device), precision="fp32")
    facts = choose_labels(settings, data).facts
    net = build(settings, facts, data.images.shape[1:], machine(str(device), "fp32")).net
    return net.to(memory_format=torch.contiguous_format)
