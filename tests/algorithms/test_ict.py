"""ICT against Verma et al. 2019, arXiv:1903.03825: algorithm 1, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import ALGORITHMS, InputError
from tests.algorithms.by_hand import Fixed, by_hand, given, log, make
from tests.algorithms.reference import Paper, cross_entropies, follow, one_hot, softmax
from tests.conftest import B, TinyNet, make_batch


class ICT(Paper):
    """L_S + w(t) mean over u of the mean over k of (f(Mix(u_j, u_k)) - Mix(f'(u_j), f'(u_k)))^2, f' the average of f."""

    def start(self):
        self.teacher, self.updates = {name: value.copy() for name, value in self.w.items()}, 0

    def mixed(self, values, draw):
        share, partner = draw
        share = share.reshape(-1, 1)
        return share * values + (1 - share) * values[partner]

    def believed(self, batch):
        z = self.logits(batch.u[0], self.teacher)
        return (
            softmax(self.mixed(z, batch.draws[0])) if self.switches.get("of_logits") else self.mixed(softmax(z), batch.draws[0])
        )

    def loss(self, w, batch, believed):
        z = self.logits(self.mixed(batch.u[0], batch.draws[0]), w)
        if self.switches.get("cross_entropy"):
            consistency = cross_entropies(z, believed).mean()
        else:
            consistency = ((softmax(z) - believed) ** 2).mean()
        length = self.switches.get("length", 0.25)
        weight = self.switches.get("weight", 100.0) * np.exp(-5 * (1 - min(batch.progress / length, 1)) ** 2)
        if self.switches.get("labeled"):
            y = self.mixed(one_hot(batch.y), batch.draws[1])
            supervised = cross_entropies(self.logits(self.mixed(batch.x, batch.draws[1]), w), y).mean()
        else:
            supervised = self.supervised(self.logits(batch.x, w), batch)
        return supervised + weight * consistency

    def after(self, batch, believed):
        self.updates += 1
        d = min(1 - 1 / (self.updates + 1), self.switches.get("decay", 0.999))
        self.teacher = {name: d * self.teacher[name] + (1 - d) * value for name, value in self.w.items()}


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 7.0, "ramp_length": 0.5, "decay": 0.4}, {"weight": 7.0, "length": 0.5, "decay": 0.4}),
        ({"mix": "logits"}, {"of_logits": True}),
        ({"mix_labeled": True}, {"labeled": True}),
        ({"larger_first": True}, {"larger": True}),
        ({"distance": "cross_entropy", "weight": 1.0}, {"cross_entropy": True, "weight": 1.0}),
        ({"joint_forward": True}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches, monkeypatch):
    draw = np.random.default_rng(5)

    def draws(batch, method, step):
        """Of the unlabelled rows, then of the labelled ones. The teacher starts from the weights that the test gives the net."""
        if step == 0:
            method.teacher.net.load_state_dict(method.net.state_dict())
        drawn = [(draw.beta(1, 1, len(rows)), draw.permutation(len(rows))) for rows in (batch.u[0], batch.x)]
        shares, pairs = (iter([torch.from_numpy(pair[k]) for pair in drawn]) for k in (0, 1))
        monkeypatch.setattr("ssl_zoo.algorithms.ict.beta_draws", lambda rows, alpha, per: next(shares))
        monkeypatch.setattr("ssl_zoo.algorithms.ict.partners", lambda rows: next(pairs))
        larger = switches.get("larger")
        batch.draws = [(np.maximum(share, 1 - share) if larger else share, partner) for share, partner in drawn]

    method, paper = follow("ict", ICT, options, each=draws, **switches)
    for name, value in paper.teacher.items():
        np.testing.assert_allclose(method.teacher.net.head.get_parameter(name).numpy(), value, rtol=1e-6, atol=1e-7)


def pair(monkeypatch, share=0.75):
    """Each of two rows has the other as its partner, and this share of itself."""
    monkeypatch.setattr("ssl_zoo.algorithms.ict.beta_draws", lambda rows, alpha, per: torch.full((len(rows),), share))
    monkeypatch.setattr("ssl_zoo.algorithms.ict.partners", lambda rows: torch.arange(len(rows)).flip(0))


def test_by_hand(monkeypatch):
    """p' = (.8, .2), (.2, .8), a share of 3/4: targets (.65, .35) and its turn; logits 3/4 - 1/4 = half of log 4: 2 to 1."""
    pair(monkeypatch)
    out = by_hand("ict", weak=log((0.8, 0.2), (0.2, 0.8)))
    assert out.terms["consistency"].item() == pytest.approx((2 / 3 - 0.65) ** 2, rel=1e-4)


def test_mixed_logits_are_another_target(monkeypatch):
    """Of a linear net the softmax of mixed logits is its own prediction, so the authors' code has nothing to learn here."""
    pair(monkeypatch)
    out = by_hand("ict", weak=log((0.8, 0.2), (0.2, 0.8)), mix="logits")
    assert out.terms["consistency"].item() == pytest.approx(0, abs=1e-12)


def test_a_share_below_a_half_is_turned_where_the_larger_is_first(monkeypatch):
    for share, larger, wanted in ((0.25, True, 0.75), (0.25, False, 0.25), (0.75, True, 0.75)):
        pair(monkeypatch, share)
        out = by_hand("ict", weak=log((0.8, 0.2), (0.5, 0.5)), larger_first=larger)
        theirs = [wanted * 0.8 + (1 - wanted) * 0.5, wanted * 0.5 + (1 - wanted) * 0.8]
        mine = [1 / (1 + 4**-s) for s in (wanted, 1 - wanted)]
        assert out.terms["consistency"].item() == pytest.approx(np.mean((np.array(theirs) - mine) ** 2), rel=1e-3)


def test_both_images_learn_and_the_teacher_gives_no_gradient(monkeypatch):
    """Through the mixture alone: the gradient of row 0 is 3/4 of that of its mixture and 1/4 of the other's."""
    pair(monkeypatch)
    out = by_hand("ict", weak=log((0.8, 0.2), (0.2, 0.8)))
    (u,) = torch.autograd.grad(out.terms["consistency"], Fixed.given[1:])
    slope = (2 / 3 - 0.65) * 2 * (2 / 3) * (1 / 3)  # mean over U and K: 2 (p - q) p (1 - p), twice, over 2 x 2, of one logit
    wanted = slope / 2 * (0.75 - 0.25)
    torch.testing.assert_close(u, torch.tensor([[wanted, -wanted], [-wanted, wanted]]), rtol=1e-3, atol=1e-7)


def test_how_shares_are_drawn_is_an_option(monkeypatch):
    asked = []
    monkeypatch.setattr("ssl_zoo.algorithms.ict.beta_draws", lambda rows, a, per: asked.append((a, per)) or torch.ones(len(rows)))
    by_hand("ict", weak=torch.zeros(2, 2))
    by_hand("ict", weak=torch.zeros(2, 2), alpha=0.1, share_per="batch")
    assert asked == [(1.0, "row"), (0.1, "batch")]


def test_labelled_images_are_mixed_by_draws_of_their_own(monkeypatch):
    rows = []
    monkeypatch.setattr("ssl_zoo.algorithms.ict.partners", lambda images: rows.append(len(images)) or torch.arange(len(images)))
    by_hand("ict", weak=torch.zeros(3, 2))
    by_hand("ict", weak=torch.zeros(3, 2), mix_labeled=True)
    assert rows == [3, 3, 1]


@pytest.mark.parametrize("joint", [False, True])
def test_without_mixing_it_is_mean_teacher_whose_two_views_are_one(facts, joint):
    runs = {}
    for name, options in (("ict", {"alpha": 0}), ("meanteacher", {"ramp_length": 0.25})):
        torch.manual_seed(0)
        method = ALGORITHMS.create(name, net=TinyNet(), facts=facts, joint_forward=joint, **options).train()
        optimizer = torch.optim.SGD(method.net.parameters(), 0.1)
        for step in range(3):
            batch = make_batch(1, seed=step)
            batch = batch._replace(u=batch.u * len(method.views))
            out = method.loss(batch, torch.tensor(step / 5))
            optimizer.zero_grad()
            out.total.backward()
            optimizer.step()
            method.after_step(out.seen, torch.tensor(step / 5))
        runs[name] = [out.total.detach(), *method.state_dict().values()]
    torch.testing.assert_close(runs["ict"], runs["meanteacher"])


def test_only_the_labelled_pass_moves_the_running_statistics(facts):
    for joint in (False, True):
        method = ALGORITHMS.create("ict", net=TinyNet(), facts=facts, joint_forward=joint).train()
        batch = make_batch(1)
        method.loss(batch, torch.tensor(1.0))
        alone = ALGORITHMS.create("ict", net=TinyNet(), facts=facts).train()
        alone.net.load_state_dict({**method.net.state_dict(), **{k: v for k, v in TinyNet().state_dict().items() if "norm" in k}})
        alone.net(batch.x)
        same = torch.allclose(alone.net.norm.running_mean, method.net.norm.running_mean)
        assert method.net.norm.num_batches_tracked == 1 and same != joint


def test_labels_are_of_the_labelled_images():
    """A labelled image that is told its class costs nothing, whatever the unlabelled ones are."""
    method = make("ict", 2)
    out = method.loss(
        given(torch.tensor([[50.0, 0.0]] * B), torch.zeros(B, dtype=torch.int64), torch.randn(3, 2)), torch.tensor(1.0)
    )
    assert out.terms["supervised"].item() == 0 and math.isfinite(out.total.item())


@pytest.mark.parametrize(
    ("option", "value"),
    [("alpha", -1), ("weight", -1), ("decay", 1.5), ("mix", "images"), ("distance", "kl"), ("share_per", "image"), ("ramp", "x")],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("ict", weak=torch.zeros(2, 2), **{option: value})
