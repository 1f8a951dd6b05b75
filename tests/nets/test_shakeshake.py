"""The shake-shake net: exact sizes, what its gates do forwards and backwards, and its shortcuts."""

import pytest
import torch
from torch import nn

from ssl_zoo.nets.shakeshake import Block, ShakeShake26, TwoSamplings, shaken
from ssl_zoo.registry import NETS


class Fixed(nn.Module):
    """A branch whose output does not depend on its input."""

    def __init__(self, output):
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, x):
        return self.output


def block_of(a, b, shake=True):
    """A block with an identity shortcut, over two fixed branches."""
    block = Block(a.shape[1], a.shape[1], 1, bn_momentum=0.1, shake=shake)
    block.first, block.second = Fixed(a), Fixed(b)
    return block


def gates_of(images):
    """alpha, beta (images,) that seed 0 gives, as value and gradients show them; one for all channels and pixels of an image."""
    a, b = torch.ones(images, 2, 3, 1, requires_grad=True), torch.zeros(images, 2, 3, 1, requires_grad=True)
    torch.manual_seed(0)
    value = shaken(a, b)
    value.sum().backward()
    torch.testing.assert_close(a.grad + b.grad, torch.ones_like(a), rtol=0, atol=1e-6)
    for gate in (value, a.grad):
        torch.testing.assert_close(gate, gate[:, :1, :1].expand_as(gate), rtol=0, atol=1e-6)
    return value.detach()[:, 0, 0, 0], a.grad[:, 0, 0, 0]


@pytest.mark.parametrize(("num_classes", "count"), [(10, 26_193_466), (100, 26_228_116)])
def test_parameter_counts(num_classes, count):
    with torch.device("meta"):
        net = ShakeShake26(num_classes, 3, (32, 32))
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize("spelling", ["Shake-Shake-26", "ShakeShake26", "shake_shake_26"])
def test_spellings(spelling):
    assert NETS.resolve(spelling).name == "shakeshake26"


def test_the_value_lies_between_the_branches_and_the_gradient_has_a_gate_of_its_own():
    alpha, beta = (gate.view(-1, 1, 1, 1) for gate in gates_of(5))
    torch.manual_seed(1)
    a, b, grad = (torch.randn(5, 4, 3, 2, requires_grad=True) for _ in range(3))
    torch.manual_seed(0)  # that of the gates
    value = shaken(a, b)
    torch.testing.assert_close(value, alpha * a + (1 - alpha) * b, rtol=0, atol=1e-6)
    found = torch.autograd.grad(value, (a, b), grad)
    torch.testing.assert_close(found, (beta * grad, (1 - beta) * grad), rtol=0, atol=1e-6)


def test_the_gates_by_hand(monkeypatch):
    drawn = torch.tensor([[0.25, 0.5], [0.75, 0.0]])  # alpha and beta of two images
    monkeypatch.setattr(torch, "rand", lambda *shape, device: drawn.view(shape))
    a, b = torch.full((2, 1, 1, 1), 8.0, requires_grad=True), torch.full((2, 1, 1, 1), 4.0, requires_grad=True)
    value = shaken(a, b)
    value.sum().backward()
    assert value.flatten().tolist() == [5, 6]
    assert a.grad.flatten().tolist() == [0.75, 0]
    assert b.grad.flatten().tolist() == [0.25, 1]


def test_the_gates_are_uniform_and_independent():
    gates = torch.stack(gates_of(20_000))  # (2, images)
    assert gates.min() >= 0 and gates.max() <= 1
    for gate in gates:
        assert gate.mean().item() == pytest.approx(1 / 2, abs=0.01)
        assert gate.std().item() == pytest.approx(12**-0.5, abs=0.01)
        assert torch.corrcoef(torch.stack([gate[1:], gate[:-1]]))[0, 1].abs() < 0.03  # image by image
    assert torch.corrcoef(gates)[0, 1].abs() < 0.03  # forwards against backwards


def test_half_precision_keeps_its_type_and_its_gates():
    alpha, beta = gates_of(7)
    a = torch.ones(7, 1, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    torch.manual_seed(0)
    value = shaken(a, torch.zeros_like(a))
    assert value.dtype == torch.bfloat16
    value.sum().backward()
    torch.testing.assert_close(value.flatten().float(), alpha, rtol=0, atol=0.01)
    torch.testing.assert_close(a.grad.flatten().float(), beta, rtol=0, atol=0.01)


def test_a_block_mixes_its_branches_in_training_mode():
    x, shape = torch.randn(3, 2, 2, 2), (3, 2, 2, 2)
    block = block_of(torch.ones(shape), torch.zeros(shape))
    alpha, beta = (gate.view(-1, 1, 1, 1).expand(shape) for gate in gates_of(3))
    torch.manual_seed(0)
    y = block(x)
    y.sum().backward()
    torch.testing.assert_close(y - x, alpha, rtol=0, atol=1e-6)
    torch.testing.assert_close(block.first.output.grad, beta, rtol=0, atol=1e-6)
    torch.testing.assert_close(block.second.output.grad, 1 - beta, rtol=0, atol=1e-6)


def test_a_pass_without_gradients_is_random_too():
    block, x = block_of(torch.ones(3, 1, 1, 1), torch.zeros(3, 1, 1, 1)), torch.zeros(3, 1, 1, 1)
    alpha, _ = gates_of(3)
    torch.manual_seed(0)
    with torch.no_grad():
        torch.testing.assert_close(block(x).flatten(), alpha, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("training", "shake"), [(False, True), (True, False), (False, False)])
def test_the_mean_otherwise(training, shake):
    a, b, x = (torch.randn(3, 2, 2, 2) for _ in range(3))
    block = block_of(a, b, shake).train(training)
    y = block(x)
    y.sum().backward()
    assert torch.equal(y, x + (a + b) / 2)
    assert (block.first.output.grad == 0.5).all() and (block.second.output.grad == 0.5).all()


def test_without_shake_training_is_deterministic():
    net, x = ShakeShake26(10, 3, (8, 8), base_width=4, shake=False), torch.randn(4, 3, 8, 8)
    before = torch.get_rng_state()
    torch.testing.assert_close(net(x), net(x), rtol=0, atol=0)
    assert torch.equal(before, torch.get_rng_state())


def test_every_block_draws_its_own_gates(monkeypatch):
    drawn, rand = [], torch.rand
    monkeypatch.setattr(torch, "rand", lambda *shape, device: drawn.append(rand(*shape, device=device)) or drawn[-1])
    ShakeShake26(10, 3, (8, 8), base_width=4)(torch.randn(4, 3, 8, 8))
    assert len(torch.cat(drawn).unique()) == 12 * 2 * 4  # blocks, directions, images


@pytest.mark.parametrize(
    ("size", "expected"), [((32, 32), (8, 8)), ((17, 23), (5, 6)), ((2, 3), (1, 1)), ((1, 5), (1, 2)), ((1, 1), (1, 1))]
)
def test_strides(size, expected):
    net, shapes = ShakeShake26(10, 3, size, base_width=4), []
    for layer in net.features:
        layer.register_forward_hook(lambda _layer, _args, y: shapes.append(tuple(y.shape[1:])))
    net(torch.randn(2, 3, *size)).sum().backward()
    half = tuple(-(-side // 2) for side in size)
    wide = [(4, *size)] * 4 + [(8, *half)] * 4 + [(16, *expected)] * 4
    assert shapes == [(16, *size), *wide, (16, *expected)]  # stem, blocks, ReLU
    assert net.num_features == 16


@pytest.mark.parametrize(
    ("size", "plain", "shifted"),
    [
        ((4, 4), [[11, 13], [31, 33]], [[22, 24], [42, 44]]),
        ((3, 5), [[11, 13, 15], [31, 33, 35]], [[22, 24, 0], [0, 0, 0]]),
        ((1, 1), [[11]], [[0]]),
    ],
)
def test_the_second_sampling_is_shifted_by_one_pixel(size, plain, shifted):
    rows, columns = torch.arange(1, size[0] + 1), torch.arange(1, size[1] + 1)
    x = (10 * rows[:, None] + columns).view(1, 1, *size)  # the pixel of row 2, column 4 is 24
    assert TwoSamplings()(torch.cat([x, 100 + x], dim=1))[:, ::2].tolist() == [[plain, shifted]]


def test_shortcuts():
    blocks = [layer for layer in ShakeShake26(10, 3, (8, 8), base_width=4).features if isinstance(layer, Block)]
    assert [i for i, block in enumerate(blocks) if not isinstance(block.shortcut, nn.Identity)] == [0, 4, 8]
    assert [type(layer) for layer in blocks[0].shortcut] == [nn.Conv2d, nn.BatchNorm2d]
    assert blocks[0].shortcut[0].bias is None
    assert [type(layer) for layer in blocks[4].shortcut] == [TwoSamplings, nn.ReLU, nn.Conv2d, nn.BatchNorm2d]


def test_each_half_of_a_strided_shortcut_sees_one_of_the_samplings():
    shortcut, x = Block(4, 8, 2, bn_momentum=0.1, shake=True).eval().shortcut, torch.rand(1, 4, 6, 6, requires_grad=True)
    for half, start in zip(shortcut(x).split(4, dim=1), (0, 1), strict=True):
        (grad,) = torch.autograd.grad(half.sum(), x, retain_graph=True)
        seen = torch.zeros(6, 6, dtype=torch.bool)
        seen[start::2, start::2] = True
        assert torch.equal(grad[0].any(dim=0), seen)


def test_a_block_starts_with_a_relu_and_its_identity_does_not():
    block, x = Block(4, 4, 1, bn_momentum=0.1, shake=True).eval(), torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(block(x) - x, block(x.relu()) - x.relu(), rtol=0, atol=1e-6)
        assert not torch.allclose(block(x) - x, block(x.abs()) - x.abs())


def test_a_relu_precedes_the_pooling():
    net, x = ShakeShake26(10, 3, (8, 8), base_width=4).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert net.features[:-1](x).min() < 0
        torch.testing.assert_close(net.forward_features(x), net.features[:-1](x).relu(), rtol=0, atol=0)


def test_options_reach_the_layers():
    net = ShakeShake26(10, 3, (8, 8), base_width=6, shake=False, bn_momentum=0.001)
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.001}
    assert {m.shake for m in net.modules() if isinstance(m, Block)} == {False}
    assert [block.first[0].out_channels for block in net.features[1:-1]] == [6] * 4 + [12] * 4 + [24] * 4


def test_initial_values():
    torch.manual_seed(0)
    net = ShakeShake26(10, 3, (8, 8), base_width=64)
    widening, grouped = net.features[9].second[0], net.features[9].shortcut[2]
    assert widening.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)  # 128 -> 256, 3x3
    assert grouped.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)  # two of 128 -> 128, 1x1
    assert not grouped.bias.any()
    assert not net.head.bias.any()


def test_the_last_relu_may_be_left_out():
    """As in the PyTorch code of Mean Teacher's authors: the pool then averages what the last block adds up, of either sign."""
    x = torch.randn(2, 3, 8, 8)
    nets = [NETS.create("shakeshake26", 10, 3, (8, 8), base_width=4, last_relu=last).eval() for last in (True, False)]
    nets[1].load_state_dict(nets[0].state_dict())
    with torch.no_grad():
        one, other = (net.forward_features(x) for net in nets)
    assert other.min() < 0 and torch.equal(one, other.relu())
