"""The adversarial direction: exact, whatever the arithmetic of the net, with one draw of what the net draws."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssl_zoo.adversarial import adversarial_direction, random_direction, two_logits, unit
from ssl_zoo.ema import frozen_stats
from ssl_zoo.nets.small import SmallNet


def rounded(x):
    """To the 10 bits of TF32."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class Rounded(torch.autograd.Function):
    """Rounds what passes; the gradient passes as it is."""

    generate_vmap_rule = True
    forward = staticmethod(rounded)
    setup_context = staticmethod(lambda ctx, inputs, output: None)
    backward = staticmethod(lambda ctx, gradient: gradient)


class Tf32(nn.Conv2d):
    """A convolution as a GPU computes it unless it is told otherwise."""

    def forward(self, x):
        return self._conv_forward(Rounded.apply(x), Rounded.apply(self.weight), self.bias)


def cosine(one, other):
    return F.cosine_similarity(one.double().flatten(1), other.flatten(1)).mean().item()


@pytest.fixture(scope="module")
def trained():
    """A net after some steps, images, and their exact directions: by a difference in fp64, from the same start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = SmallNet(10, 3, (32, 32)).train()
        kinds = F.interpolate(torch.randn(10, 3, 8, 8), size=32, mode="bilinear")
        optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
        for _ in range(40):
            y = torch.randint(10, (32,))
            optimizer.zero_grad()
            F.cross_entropy(net(kinds[y] + 0.7 * torch.randn(32, 3, 32, 32)), y).backward()
            optimizer.step()
        images = kinds[:8] + 0.7 * torch.randn(8, 3, 32, 32)
    return net, images, direction(copy.deepcopy(net).double(), images.double(), xi=1e-6)


def direction(net, images, **options):
    """From the same random start in every precision."""
    torch.manual_seed(1)
    start = random_direction(images.float()).to(images.dtype)
    with pytest.MonkeyPatch.context() as patch, frozen_stats(net):
        patch.setattr("ssl_zoo.adversarial.random_direction", lambda images: start)
        return adversarial_direction(net, images, **options)


def test_the_exact_product_is_the_limit_of_differences(trained):
    net, images, exact = trained
    assert cosine(direction(copy.deepcopy(net).double(), images.double()), exact) > 1 - 1e-8
    assert cosine(direction(net, images), exact) > 0.9999


def test_a_difference_over_the_papers_step_is_rounding_noise(trained):
    net, images, exact = trained
    assert cosine(direction(net, images, xi=1e-2), exact) > 0.99
    assert cosine(direction(net, images, xi=1e-6), exact) < 0.7


def test_only_the_exact_product_survives_tf32(trained):
    net, images, exact = trained
    net = copy.deepcopy(net)
    for module in net.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = Tf32
    assert cosine(direction(net, images), exact) > 0.99
    assert cosine(direction(net, images, xi=1e-2), exact) < 0.9


def test_under_autocast_it_is_computed_in_full_precision(trained):
    net, images, exact = trained
    with torch.autocast("cpu", torch.bfloat16):
        assert cosine(direction(net, images), exact) > 0.9999 and cosine(direction(net, images, xi=1e-2), exact) > 0.99


def test_more_iterations_come_nearer_to_the_direction_of_most_change():
    """Of a linear net of three classes at uniform predictions: H = W' (1/3 - 1/9) W, whose first eigenvector is known."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    images = torch.zeros(4, 3, 2, 2)
    w = net[1].weight.detach()
    first = torch.linalg.eigh(w.T @ (torch.eye(3) / 3 - 1 / 9) @ w).eigenvectors[:, -1]
    near = [direction(net, images, iterations=n).flatten(1).matmul(first).abs().min().item() for n in (1, 3, 30)]
    assert near[0] < near[1] < near[2] and near[2] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("xi", [0.0, 1e-2])
def test_a_linear_net_of_two_classes_has_one_direction(xi):
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    w = (net[1].weight[0] - net[1].weight[1]).detach()
    found = direction(net, torch.randn(5, 3, 2, 2), xi=xi).flatten(1)
    torch.testing.assert_close(found.matmul(w).abs(), w.norm().expand(5), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_where_nothing_moves_the_prediction_the_direction_is_zero():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    nn.init.zeros_(net[1].weight)
    assert not direction(net, torch.randn(5, 3, 2, 2)).any()


def test_short_rows_have_length_1_too():
    torch.testing.assert_close(
        unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0], [30.0, 40.0]])), torch.tensor([[0.6, 0.8], [0, 0], [0.6, 0.8]])
    )


class Drops(nn.Module):
    """Dropout, noise, a batch norm: what differs from pass to pass."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.last = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(48, 4)

    def forward(self, x):
        x = self.drop(self.norm(x))
        return self.last((x + torch.randn_like(x)).flatten(1))


def test_dropout_is_the_same_in_both_passes_which_one_stacked_pass_does_not_give():
    torch.manual_seed(0)
    net, images = Drops().train(), torch.randn(6, 3, 4, 4)
    with frozen_stats(net):
        clean, same = two_logits(net, images, torch.zeros_like(images))
        first, second = net(torch.cat((images, images))).chunk(2)
        again, _ = two_logits(net, images, torch.zeros_like(images))
    assert torch.equal(clean, same) and not torch.equal(first, second)
    assert not torch.equal(clean, again), "the next step draws again"


def test_each_pass_has_its_own_batch_statistics():
    net, images = Drops().eval(), 3 * torch.randn(6, 3, 4, 4) + 1
    net.norm.train()
    net.forward = lambda x: net.last(net.norm(x).flatten(1))
    change = torch.full_like(images, 5.0)
    with frozen_stats(net):
        clean, changed = two_logits(net, images, change)
        torch.testing.assert_close(clean, net(images))
        torch.testing.assert_close(changed, net(images + change))
    assert net.norm.num_batches_tracked == 0


def test_a_net_that_drops_has_the_direction_of_what_it_dropped():
    """The mask of the net is read off its direction: a pixel that is dropped has no part in it."""
    torch.manual_seed(0)
    drop = nn.Dropout(0.5)
    net = nn.Sequential(nn.Flatten(), drop, nn.Linear(48, 2)).train()
    found = direction(net, torch.randn(6, 3, 4, 4)).flatten(1)
    assert 0.3 < (found == 0).float().mean() < 0.7
    whole = (net[2].weight[0] - net[2].weight[1]).detach() * (found != 0)
    torch.testing.assert_close(F.cosine_similarity(found, whole).abs(), torch.ones(6))
