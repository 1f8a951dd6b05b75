"""VAT against Miyato et al. 2018, arXiv:1704.03976: eq. 5 to 12 of a linear net, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ssl_zoo import ALGORITHMS, InputError
from tests.algorithms.by_hand import Fixed, by_hand, log
from tests.algorithms.reference import B, D, Paper, U, follow, log_softmax, softmax
from tests.conftest import TinyNet, make_batch


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class VAT(Paper):
    """CE + weight r(t) mean KL(p(u), p(u + r_adv)) + weight mean H(p(u)); r_adv = epsilon g / |g|.

    Of a linear net all is known in closed form: the gradient of KL(p || softmax z) in z is softmax z - p, and the
    Hessian in r is W' (diag p - p p') W.
    """

    def believed(self, batch):
        p, d, xi = softmax(self.logits(batch.u[0])), batch.start, self.switches.get("xi", 0)
        for _ in range(self.switches.get("iterations", 1)):
            if xi:
                g = (softmax(self.logits(batch.u[0] + xi * d)) - p) @ self.w["weight"]
            else:
                moved = d @ self.w["weight"].T
                g = (p * moved - p * (p * moved).sum(axis=1, keepdims=True)) @ self.w["weight"]
            d = unit(g)
        return log_softmax(self.logits(batch.u[0])), self.switches.get("epsilon", 6.0) * d

    def loss(self, w, batch, believed):
        clean, change = believed
        moved = log_softmax(self.logits(batch.u[0] + change, w))
        one, other = (moved, clean) if self.switches.get("reverse") else (clean, moved)
        smoothness = (np.exp(one) * (one - other)).sum(axis=1).mean()
        own = log_softmax(self.logits(batch.u[0], w))
        spread = -(np.exp(own) * own).sum(axis=1).mean()
        rise = min(batch.progress / self.switches["length"], 1) if "length" in self.switches else 1
        loss = self.supervised(self.logits(batch.x, w), batch) + self.switches.get("weight", 1.0) * rise * smoothness
        return loss + self.switches.get("entropy", 0) * spread


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 0.3, "ramp": "linear", "epsilon": 0.7}, {"weight": 0.3, "length": 0.4, "epsilon": 0.7}),
        ({"ramp": "linear", "ramp_length": 0.8}, {"length": 0.8}),
        ({"entropy_weight": 0.6}, {"entropy": 0.6}),
        ({"xi": 1e-2}, {"xi": 1e-2}),
        ({"xi": 2.0}, {"xi": 2.0}),
        ({"iterations": 3}, {"iterations": 3}),
        ({"iterations": 2, "xi": 1e-1}, {"iterations": 2, "xi": 1e-1}),
        ({"divergence_from": "perturbed"}, {"reverse": True}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches, monkeypatch):
    draw = np.random.default_rng(5)

    def start(batch, method, step):
        batch.start = unit(draw.normal(size=(U, D)))
        d = torch.from_numpy(batch.start).view(U, D, 1, 1)
        monkeypatch.setattr("ssl_zoo.adversarial.random_direction", lambda images: d)

    follow("vat", VAT, options, each=start, spread=0.5, **switches)


class Two(nn.Module):
    """A linear net of two classes that are told by the first pixel: logits (x, -x) of images (n, 4, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * torch.stack((x[:, 0, 0, 0], -x[:, 0, 0, 0]), dim=1)


def smoothness(facts, epsilon=1.0, **options):
    torch.manual_seed(0)
    method = ALGORITHMS.create("vat", net=Two(), facts=facts, epsilon=epsilon, **options).train()
    batch = make_batch(1)._replace(x=torch.zeros(B, 4, 1, 1), y=torch.tensor([0, 1, 0, 1]), u=(torch.zeros(6, 4, 1, 1),))
    return method.loss(batch, torch.tensor(1.0))


def test_by_hand(facts):
    """At (.5, .5) a step of 1 along the first pixel gives logits (1, -1): KL = log 2 (cosh 1) - log 2 = log cosh 1."""
    assert smoothness(facts).terms["smoothness"].item() == pytest.approx(math.log(math.cosh(1)), rel=1e-5)
    assert smoothness(facts, 0.5).terms["smoothness"].item() == pytest.approx(math.log(math.cosh(0.5)), rel=1e-5)


def test_the_reverse_divergence_is_another_number(facts):
    """KL of sigmoid(2) = .8808 from .5: log 2 - H(.8808)."""
    p = 1 / (1 + math.exp(-2))
    wanted = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    out = smoothness(facts, divergence_from="perturbed")
    assert out.terms["smoothness"].item() == pytest.approx(wanted, rel=1e-5)
    assert abs(wanted - math.log(math.cosh(1))) > 0.1


def test_a_length_of_0_costs_nothing(facts):
    assert smoothness(facts, 0.0).terms["smoothness"].item() == 0


def test_the_clean_prediction_is_a_constant(monkeypatch):
    """p(u) = (.8, .2), u + r at (.5, .5): the gradient in the perturbed logits is (.5 - .8, .5 - .2), and u has no other."""
    monkeypatch.setattr("ssl_zoo.algorithms.vat.adversarial_direction", lambda net, u, **options: -u.detach())
    out = by_hand("vat", weak=log((0.8, 0.2)), epsilon=1.0)
    (u,) = torch.autograd.grad(out.terms["smoothness"], Fixed.given[1:])
    torch.testing.assert_close(u, torch.tensor([[-0.3, 0.3]]))


def test_the_entropy_is_of_the_clean_prediction_and_made_smaller():
    out = by_hand("vat", weak=log((0.8, 0.2)), entropy_weight=0.5, weight=0.0)
    wanted = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert out.terms["entropy"].item() == pytest.approx(wanted, rel=1e-5)
    assert out.total.item() == pytest.approx(math.log(2) + 0.5 * wanted, rel=1e-5)
    assert "entropy" not in by_hand("vat", weak=log((0.8, 0.2))).terms


class Dropping(TinyNet):
    """TinyNet with dropout, and nothing that its pixels change."""

    def __init__(self):
        super().__init__(norm=False)
        self.drop = nn.Dropout(0.5)

    def forward_features(self, x):
        return self.drop(super().forward_features(x))


def test_dropout_alone_is_no_change(facts):
    """With a length of 0 both passes are one; two draws of dropout would differ."""
    torch.manual_seed(0)
    net = Dropping()
    method = ALGORITHMS.create("vat", net=net, facts=facts, epsilon=0.0).train()
    batch = make_batch(1)
    assert method.loss(batch, torch.tensor(1.0)).terms["smoothness"].item() == 0
    with torch.no_grad():
        assert not torch.equal(net(batch.u[0]), net(batch.u[0]))


def test_only_the_labelled_pass_moves_the_running_statistics(facts):
    torch.manual_seed(0)
    method, alone, batch = ALGORITHMS.create("vat", net=TinyNet(), facts=facts).train(), TinyNet().train(), make_batch(1)
    alone.load_state_dict(method.net.state_dict())
    method.loss(batch, torch.tensor(1.0)), alone(batch.x)
    torch.testing.assert_close(method.net.state_dict(), alone.state_dict())


@pytest.mark.parametrize(
    ("option", "value"),
    [("weight", -1), ("entropy_weight", -1), ("epsilon", -1), ("xi", -1), ("iterations", 0), ("divergence_from", "both")],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("vat", weak=torch.zeros(2, 2), **{option: value})


def test_a_batch_norm_that_processes_share_is_refused(facts, monkeypatch):
    """Torch's gathering of rows is no part of its function transforms."""
    monkeypatch.setattr("ssl_zoo.algorithms.vat.ranks", lambda: 2)
    batch, moment = make_batch(1), torch.tensor(1.0)
    with pytest.raises(InputError, match="use one process"):
        ALGORITHMS.create("vat", net=TinyNet(), facts=facts).loss(batch, moment)
    ALGORITHMS.create("vat", net=TinyNet(norm=False), facts=facts).loss(batch, moment)
