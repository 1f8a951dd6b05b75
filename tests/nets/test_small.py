"""The small net."""

import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.nets.small import SmallNet
from ssl_zoo.registry import NETS


def test_parameter_count():
    # convolutions 144 + 5,760 + 28,800, batch norms 272, linear 810
    assert sum(p.numel() for p in SmallNet(10, 1, (28, 28)).parameters()) == 35_786


def test_alias():
    assert NETS.resolve("small").name == "smallnet"


def test_it_learns_a_batch_by_heart():
    torch.manual_seed(0)
    net, x, y = SmallNet(4, 1, (8, 8)), torch.randn(16, 1, 8, 8), torch.arange(16) % 4
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(40):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    assert (net(x).argmax(dim=1) == y).all()


def test_images_that_are_too_small():
    assert SmallNet(3, 1, (4, 4)).eval()(torch.zeros(1, 1, 4, 4)).shape == (1, 3)
    with pytest.raises(InputError, match="4x3 is too small"):
        SmallNet(3, 1, (4, 3))


def test_options_reach_the_layers():
    net = SmallNet(3, 1, (8, 8), drop_rate=0.2, bn_momentum=0.001)
    assert {m.p for m in net.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.001}
