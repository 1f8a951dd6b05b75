"""Dash against Xu et al. 2021, arXiv:2109.00650: eq. 13, its stages, and numbers that follow by hand."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from ssl_zoo import InputError
from tests.algorithms.by_hand import Fixed, given, log, make
from tests.algorithms.reference import CLASSES, Paper, cross_entropies, follow, one_hot, softmax


class Dash(Paper):
    """CE + lambda mean of 1[l <= rho_s] CE(q, p(s)), rho_s = max(C gamma^-(s - 1) rho, rho_min); lambda 0 in the warm-up."""

    shares: ClassVar[list[float]] = []  # of the rows that were kept, step by step

    def start(self):
        self.rho = np.log(CLASSES)

    def believed(self, batch):
        s = self.switches
        stage = np.floor(s.get("stages", 102) * max(batch.progress - s.get("warmup", 0.05), 0))
        falling = s.get("C", 1.0001) * s.get("gamma", 1.27) ** -stage * self.rho
        q = softmax(self.logits(batch.u[0]) / s.get("temperature", 0.5))
        if falling <= s.get("rho_min", 0.05):
            q = one_hot(q.argmax(axis=1))
        judged = cross_entropies(self.logits(batch.u[0 if s.get("weak") else 1]), q)
        kept = judged <= max(falling, s.get("rho_min", 0.05))
        self.shares.append(kept.mean())
        return q, kept, batch.progress >= s.get("warmup", 0.05)

    def loss(self, w, batch, believed):
        q, kept, on = believed
        rows = kept * cross_entropies(self.logits(batch.u[1], w), q)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        return self.supervised(self.logits(batch.x, w), batch) + on * self.switches.get("weight", 1.0) * rows.sum() / over

    def step(self, batch):
        self.labeled = cross_entropies(self.logits(batch.x), one_hot(batch.y)).mean()  # before the update
        return super().step(batch)

    def after(self, batch, believed):
        if batch.progress < self.switches.get("warmup", 0.05):
            m = self.switches.get("momentum", 0.9)
            self.rho = m * self.rho + (1 - m) * self.labeled

    def state(self):
        return {"rho": self.rho}


SLOW = {"stages": 6}  # in six steps no stage is passed over


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        (SLOW, SLOW),
        ({**SLOW, "gamma": 2.0, "rho_min": 0.4}, {**SLOW, "gamma": 2.0, "rho_min": 0.4}),
        ({**SLOW, "rho_scale": 2.0, "weight": 2.5}, {**SLOW, "C": 2.0, "weight": 2.5}),
        ({**SLOW, "loss_of": "weak", "temperature": 0.8}, {**SLOW, "weak": True, "temperature": 0.8}),
        ({**SLOW, "over": "kept"}, {**SLOW, "over_kept": True}),
        ({**SLOW, "warmup": 0.4, "rho_momentum": 0.5}, {**SLOW, "warmup": 0.4, "momentum": 0.5}),
        ({**SLOW, "rho_min": 1e9}, {**SLOW, "rho_min": 1e9}),
        ({**SLOW, "joint_forward": False}, SLOW),
        (SLOW, {**SLOW, "class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    Dash.shares = []
    follow("dash", Dash, options, **switches)
    if options == SLOW:
        assert any(0 < share < 1 for share in Dash.shares), "or the gate is not tested"


def lost(progress, weak=None, strong=None, rho=2.0, **options):
    """The loss of one unlabelled image, whose strong logits are 0 unless said."""
    method = make("dash", 2, **{"stages": 5, "warmup": 0.0, "rho_scale": 1.0, "gamma": 2.0, "rho_min": 0.3, **options})
    method.rho.fill_(rho)
    weak = log((0.9, 0.1)) if weak is None else weak
    batch = given(
        torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), weak, torch.zeros_like(weak) if strong is None else strong
    )
    return method.loss(batch, torch.tensor(progress))


def test_by_hand():
    """rho 2, C 1, gamma 2, rho_min .3: thresholds 2, 1, .5, .3, .3; a loss of log 2 counts in the first two stages."""
    steps = [lost((s + 0.5) / 5) for s in range(5)]
    assert [out.terms["rho"].item() for out in steps] == pytest.approx([2, 1, 0.5, 0.3, 0.3])
    assert [out.guess.weight.item() for out in steps] == [1, 1, 0, 0, 0]
    assert [out.terms["pseudo"].item() for out in steps] == pytest.approx([math.log(2)] * 2 + [0] * 3)


def test_a_pseudo_label_is_soft_and_sharpened_until_the_threshold_is_the_least():
    """(.9, .1) at temperature .5 is (.81, .01) / .82."""
    soft, hard = (lost(t).guess.target[0].tolist() for t in (0.5, 0.7))
    assert soft == pytest.approx([0.81 / 0.82, 0.01 / 0.82]) and hard == [1, 0]


def test_the_loss_that_is_compared_is_of_the_view_that_is_asked_for():
    """Of the weak view -log .9 = .105 passes .3, of the strong one log 2 = .693 does not."""
    weak, strong = (lost(0.9, loss_of=view) for view in ("weak", "strong"))
    assert weak.guess.weight.item() == 1 and weak.terms["pseudo"].item() == pytest.approx(math.log(2))
    assert strong.guess.weight.item() == 0 and strong.terms["pseudo"].item() == 0
    assert weak.guess.views == (0,) and strong.guess.views == (0, 1)


def test_a_loss_at_the_threshold_counts():
    assert lost(0.1, rho=math.log(2)).guess.weight.item() == 1


def test_over_the_kept_rows_a_term_is_larger_by_one_over_the_mask_rate():
    weak, strong = log((0.9, 0.1), (0.9, 0.1)), log((0.9, 0.1), (0.1, 0.9))
    batch, kept = (lost(0.9, weak, strong, over=over) for over in ("batch", "kept"))
    assert batch.guess.weight.tolist() == [1, 0]
    assert kept.terms["pseudo"].item() == pytest.approx(2 * batch.terms["pseudo"].item()) == pytest.approx(-math.log(0.9))
    nothing = lost(0.9, over="kept")
    assert nothing.terms["pseudo"].item() == 0 and math.isfinite(nothing.total.item())


def test_with_every_loss_small_enough_it_is_fixmatch_without_a_gate():
    weak, strong = log((0.6, 0.4), (0.2, 0.8)), log((0.9, 0.1), (0.7, 0.3))
    fix = make("fixmatch", 2, threshold=0.0)
    wanted = fix.loss(given(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), weak, strong), torch.tensor(1.0))
    assert lost(0.5, weak, strong, rho_min=1e9).total.item() == pytest.approx(wanted.total.item())


def test_the_warm_up_is_on_labels_alone_and_measures_what_the_first_stage_asks_for():
    """Labelled images of probability e^-3, whose loss is 3: rho moves to it from log 2 in two steps, and then stands still."""
    method = make("dash", 2, warmup=0.1, rho_momentum=0.5, rho_scale=1.0, stages=10)
    assert method.rho.item() == pytest.approx(math.log(2))
    sure = log((math.exp(-3), 1 - math.exp(-3)))
    wanted = math.log(2)
    for progress, counts in ((0.0, True), (0.05, True), (0.1, False), (0.5, False)):
        batch = given(sure, torch.zeros(1, dtype=torch.int64), log((0.9, 0.1)), torch.zeros(1, 2))
        out = method.loss(batch, torch.tensor(progress))
        assert out.terms["weight"].item() == (0 if counts else 1)
        assert out.total.item() == pytest.approx(3 + (0 if counts else 1) * out.terms["pseudo"].item())
        if not counts:
            assert out.terms["rho"].item() == pytest.approx(wanted * 1.27 ** -math.floor(10 * (progress - 0.1)))
        method.after_step(out.seen, torch.tensor(progress))
        wanted = (wanted + 3) / 2 if counts else wanted
        assert method.rho.item() == pytest.approx(wanted)


def test_what_is_compared_knows_no_class_weights():
    method = make("dash", 2, warmup=0.1, rho_momentum=0.0)
    method.class_weights = torch.tensor([5.0, 1.0])
    batch = given(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 2), torch.zeros(1, 2))
    out = method.loss(batch, torch.tensor(0.0))
    method.after_step(out.seen, torch.tensor(0.0))
    assert out.terms["supervised"].item() == pytest.approx(5 * math.log(2))
    assert method.rho.item() == pytest.approx(math.log(2))


def test_only_the_strong_view_of_a_kept_row_learns():
    out = lost(0.9, log((0.9, 0.1), (0.9, 0.1)), log((0.9, 0.1), (0.1, 0.9)))
    weak, strong = torch.autograd.grad(out.terms["pseudo"], Fixed.given[1:], allow_unused=True)
    assert weak is None or not weak.any()
    torch.testing.assert_close(strong, torch.tensor([[-0.05, 0.05], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight", -1),
        ("rho_scale", -1),
        ("gamma", 0.9),
        ("rho_min", -1),
        ("stages", 0),
        ("temperature", 0),
        ("loss_of", "both"),
        ("warmup", 1.5),
        ("rho_momentum", 1.5),
        ("over", "rows"),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("dash", 2, **{option: value})
