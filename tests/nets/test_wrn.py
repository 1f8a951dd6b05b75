"""Wide ResNets: exact sizes, and the two things that set this variant apart."""

import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.nets.wrn import WideResNet
from ssl_zoo.registry import NETS
from tests.nets.toolkits import ToolkitNet, used


def parameters(name, num_classes=10, **options):
    with torch.device("meta"):
        return sum(p.numel() for p in NETS.create(name, num_classes, 3, (32, 32), **options).parameters())


@pytest.mark.parametrize(
    ("name", "num_classes", "conv_bias", "count"),
    [
        ("wrn28_2", 10, "none", 1_467_610),
        ("wrn28_2", 10, "stem", 1_467_626),
        ("wrn28_2", 10, "all", 1_469_642),
        ("wrn28_2", 100, "none", 1_479_220),
        ("wrn28_2", 100, "stem", 1_479_236),
        ("wrn28_3", 10, "none", 3_294_042),
        ("wrn28_3", 10, "stem", 3_294_058),
        ("wrn28_8", 10, "none", 23_354_842),
        ("wrn28_8", 100, "none", 23_401_012),
        ("wrn28_8", 100, "stem", 23_401_028),
        ("wrn28_8", 100, "all", 23_409_092),
        ("wrn37_2", 10, "none", 5_929_434),
        ("wrn37_2", 10, "stem", 5_929_450),
        ("wrn37_2", 10, "all", 5_933_770),
    ],
)
def test_parameter_counts(name, num_classes, conv_bias, count):
    assert parameters(name, num_classes, conv_bias=conv_bias) == count


@pytest.mark.parametrize("spelling", ["WRN-28-2", "wrn28_2", "wrn-28-2", "wrn_28_2", "WRN28-2"])
def test_spellings(spelling):
    entry = NETS.resolve(spelling)
    assert (entry.name, entry.target, entry.fixed) == ("wrn28_2", WideResNet, {"depth": 28, "width": 2})


@pytest.mark.parametrize("name", ["wrn30_2", "wrn4_1", "wrn5_1", "wrn28_0"])
def test_a_net_that_cannot_be(name):
    with pytest.raises(InputError, match=r"depth|width"):
        parameters(name)


def test_one_pixel_is_enough():
    net = NETS.create("wrn10_1", 2, 1, (1, 1)).eval()
    assert net(torch.zeros(3, 1, 1, 1)).shape == (3, 2)


@pytest.mark.parametrize(("name", "first_stride", "side"), [("wrn28_2", 1, 8), ("wrn37_2", 1, 4), ("wrn37_2", 2, 2)])
def test_strides(name, first_stride, side):
    with torch.device("meta"):
        net = NETS.create(name, 10, 3, (32, 32), first_stride=first_stride)
        assert net.forward_features(torch.empty(2, 3, 32, 32)).shape == (2, net.num_features, side, side)


def test_only_the_first_shortcut_starts_after_the_activation():
    net = NETS.create("wrn16_2", 10, 3, (32, 32)).eval()
    first, second, third = [block for block in net.features if hasattr(block, "shortcut")][:3]
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        y, active = first(x), first.activation(x)
        torch.testing.assert_close(y - first.residual(active), first.shortcut(active), rtol=0, atol=1e-5)
        torch.testing.assert_close(second(y) - second.residual(second.activation(y)), y, rtol=0, atol=1e-5)
    assert (first.active, second.active, third.active) == ("both", "residual", "residual")
    assert isinstance(third.shortcut, torch.nn.Conv2d)


TOOLKITS = {  # their convolutions with a bias, and epsilons of batch norm: in blocks, and the last one
    "kekmodel/FixMatch-pytorch": ("none", 1e-5, 1e-5),
    "TorchSSL": ("all", 1e-3, 1e-3),
    "USB": ("stem", 1e-5, 1e-3),
}


def with_weights_of(other, name, **options):
    """Our net, with the weights of another of the same layers in the same order."""
    net = NETS.create(name, 10, 3, (32, 32), **options)
    state = net.state_dict()
    assert [value.shape for value in state.values()] == [value.shape for value in other.state_dict().values()]
    net.load_state_dict(dict(zip(state, other.state_dict().values(), strict=True)))
    return net


@pytest.mark.parametrize("toolkit", TOOLKITS)
@pytest.mark.parametrize(("depth", "width"), [(28, 2), (10, 1)])
def test_weights_of_a_toolkit_give_its_logits(toolkit, depth, width):
    bias, eps, last_eps = TOOLKITS[toolkit]
    theirs = used(ToolkitNet(depth, width, 10, bias, eps, last_eps)).eval()
    options = {"conv_bias": bias, "bn_eps": eps, "last_bn_eps": last_eps, "transition": "raw"}
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def error(**changed):
        ours = with_weights_of(theirs, f"wrn{depth}_{width}", **options | changed).eval()
        with torch.no_grad():
            wanted = theirs(x)
            return float((ours(x) - wanted).abs().max() / wanted.abs().max())

    assert error() < 1e-4
    assert error(transition="activated") > 1e-2
    if eps != last_eps:
        assert error(last_bn_eps=None) > 1e-4


def test_raw_transitions_in_training():
    """The batch norms that nothing reads move their statistics, as in the toolkits, and have nothing to learn."""
    theirs = used(ToolkitNet(16, 2, 10, "none", 1e-5, 1e-5))
    ours = with_weights_of(theirs, "wrn16_2", bn_eps=1e-5, bn_momentum=0.001, transition="raw")
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for net in (ours, theirs):
        net(x).square().sum().backward()
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6, msg=name)
    pairs = list(zip(ours.named_parameters(), theirs.parameters(), strict=True))
    unread = [name for (name, mine), _ in pairs if not mine.requires_grad]
    assert unread == [f"features.{block}.activation.0.{kind}" for block in (3, 5) for kind in ("weight", "bias")]
    for (name, mine), other in pairs:
        if name in unread:
            assert mine.grad is other.grad is None
        else:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4 * float(other.grad.abs().max()), msg=name)


def test_transitions_that_are_none_of_the_two():
    with pytest.raises(InputError, match="transition = 'half'"):
        NETS.create("wrn10_1", 10, 3, (8, 8), transition="half")
    with pytest.raises(InputError, match="last_bn_eps = -1"):
        NETS.create("wrn10_1", 10, 3, (8, 8), last_bn_eps=-1)


def test_options_reach_the_layers():
    net = NETS.create("wrn10_1", 10, 3, (8, 8), drop_rate=0.2, bn_momentum=0.001, bn_eps=0.5, leaky_slope=0.3)
    keys = ("p", "momentum", "eps", "negative_slope")
    found = {(type(m).__name__, getattr(m, key)) for m in net.modules() for key in keys if hasattr(m, key)}
    assert found == {("Dropout", 0.2), ("BatchNorm2d", 0.001), ("BatchNorm2d", 0.5), ("LeakyReLU", 0.3)}


def test_initial_values():
    torch.manual_seed(0)
    net = NETS.create("wrn10_8", 10, 3, (32, 32), conv_bias="all")
    conv = net.features[-3].residual[-1]  # 512 -> 512, 3x3
    assert conv.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.002)
    assert net.head.weight.std().item() == pytest.approx((2 / (512 + 10)) ** 0.5, rel=0.05)
    assert not conv.bias.any()
    assert not net.head.bias.any()
