"""SoftMatch against Chen et al. 2023, arXiv:2301.10921: its averages and weights, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import InputError
from tests.algorithms.by_hand import Fixed, by_hand, given, log, make
from tests.algorithms.reference import CLASSES, Paper, cross_entropies, follow, norm, one_hot, softmax

PROGRESS = torch.tensor(1.0)


class SoftMatch(Paper):
    """mu, sigma^2, p~ with this batch; weight 1, below mu exp(-(v - mu)^2 n^2 / (2 sigma^2)), v = max Norm(p / p~)."""

    def start(self):
        self.mu, self.var, self.p, self.x = 1 / CLASSES, 1.0, np.full(CLASSES, 1 / CLASSES), np.full(CLASSES, 1 / CLASSES)

    def believed(self, batch):
        m, n = self.switches["momentum"], self.switches.get("n", 2)
        q, own = softmax(self.logits(batch.u[0])), softmax(self.logits(batch.x))
        p, x = m * self.p + (1 - m) * q.mean(axis=0), m * self.x + (1 - m) * own.mean(axis=0)
        to = {"uniform": np.full(CLASSES, 1 / CLASSES), "labeled": x, "none": p}[self.switches.get("to", "uniform")]
        aligned = norm(q * (to + 1e-6) / (p + 1e-6))
        c = (aligned if self.switches.get("gaussian_aligned") else q).max(axis=1)
        mu, var = m * self.mu + (1 - m) * c.mean(), m * self.var + (1 - m) * c.var(ddof=1)
        v = aligned.max(axis=1)
        weight = np.where(v >= mu, 1, np.exp(-((v - mu) ** 2) * n**2 / (2 * var)))
        label = (aligned if self.switches.get("label_aligned") else q).argmax(axis=1)
        return one_hot(label), weight, mu, var, p, x

    def loss(self, w, batch, believed):
        q, weight = believed[:2]
        rows = weight * cross_entropies(self.logits(batch.u[1], w), q)
        over = weight.sum() if self.switches.get("over_kept") else len(rows)
        return self.supervised(self.logits(batch.x, w), batch) + self.switches.get("weight", 1.0) * rows.sum() / over

    def after(self, batch, believed):
        self.mu, self.var, self.p, self.x = believed[2:]

    def state(self):
        found = {"mean.value": np.array(self.mu), "variance.value": np.array(self.var), "shares.value": self.p}
        return {**found, "labeled_shares.value": self.x} if self.switches.get("to") == "labeled" else found


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"momentum": 0.999}, {"momentum": 0.999}),
        ({}, {}),
        ({"weight": 2.5}, {"weight": 2.5}),
        ({"n_sigma": 3.0}, {"n": 3}),
        ({"align_to": "labeled"}, {"to": "labeled"}),
        ({"align_to": "none"}, {"to": "none"}),
        ({"gaussian_of": "aligned"}, {"gaussian_aligned": True}),
        ({"label_of": "aligned"}, {"label_aligned": True}),
        ({"over": "kept"}, {"over_kept": True}),
        ({"joint_forward": False}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("softmatch", SoftMatch, {"momentum": 0.5, **options}, **{"momentum": 0.5, **switches})


def state(method, mean, variance, shares):
    """Put a running mean, variance and shares in the place of the initial ones."""
    for average, value in ((method.mean, mean), (method.variance, variance), (method.shares, shares)):
        average.value.copy_(torch.tensor(value))
    return method


def loss(method, *weak):
    """The loss of one labelled image and of unlabelled ones with these probabilities of their weak views."""
    batch = given(torch.zeros(1, 2), torch.tensor([0]), log(*weak), torch.zeros(len(weak), 2))
    return method.loss(batch, PROGRESS)


def test_weights_by_hand():
    """mu .8, sigma .1 and n 2: .9 and .8 and more count 1, .7 counts e^-2, .6 counts e^-8."""
    method = state(make("softmatch", 2, momentum=1.0), 0.8, 0.01, [0.5, 0.5])
    out = loss(method, (0.9, 0.1), (0.2, 0.8001), (0.7, 0.3), (0.4, 0.6))
    assert out.guess.weight.tolist() == pytest.approx([1, 1, math.exp(-2), math.exp(-8)], rel=1e-4)
    assert out.terms["pseudo"].item() == pytest.approx(math.log(2) * (2 + math.exp(-2) + math.exp(-8)) / 4, rel=1e-4)


def test_averages_by_hand():
    """m .9 and c = .9, .7: mu .9 * .5 + .1 * .8, the unbiased variance of c is .02, the shares are (.6, .4)."""
    method = make("softmatch", 2, momentum=0.9)
    out = loss(method, (0.9, 0.1), (0.3, 0.7))
    assert out.terms["mean"].item() == pytest.approx(0.53)
    assert out.terms["variance"].item() == pytest.approx(0.9 + 0.1 * 0.02)  # the biased variance is .01
    assert method.mean.value.item() == 0.5 and method.variance.value.item() == 1  # the loss writes nothing
    method.after_step(out.seen, PROGRESS)
    assert method.mean.value.item() == pytest.approx(0.53)
    assert method.variance.value.item() == pytest.approx(0.902)
    torch.testing.assert_close(method.shares.value, torch.tensor([0.51, 0.49]))


def test_averages_after_two_steps_of_one_batch():
    """start m^2 + (1 - m^2) v, for each of them."""
    method = make("softmatch", 2, momentum=0.9)
    for _ in range(2):
        method.after_step(loss(method, (0.9, 0.1), (0.3, 0.7)).seen, PROGRESS)
    assert method.mean.value.item() == pytest.approx(0.5 * 0.81 + 0.8 * 0.19)
    assert method.variance.value.item() == pytest.approx(0.81 + 0.02 * 0.19)
    torch.testing.assert_close(method.shares.value, torch.tensor([0.5 * 0.81 + 0.6 * 0.19, 0.5 * 0.81 + 0.4 * 0.19]))


def test_the_weight_is_of_the_aligned_prediction_and_the_mean_of_the_raw_one():
    """Shares (.8, .2): (.8, .2) is aligned to (.5, .5), so that c = .8 is at the mean of .8 and v = .5 below it."""
    method = state(make("softmatch", 2, momentum=1.0), 0.8, 0.09, [0.8, 0.2])
    weight = math.exp(-((0.5 - 0.8) ** 2) * 4 / (2 * 0.09))
    assert loss(method, (0.8, 0.2)).guess.weight.item() == pytest.approx(weight, rel=1e-4)

    for which, mean in (("raw", 0.8), ("aligned", 0.5)):
        method = state(make("softmatch", 2, momentum=0.0, gaussian_of=which), 0.1, 1.0, [0.1, 0.9])
        assert loss(method, (0.8, 0.2)).terms["mean"].item() == pytest.approx(mean, abs=1e-5)  # shares with m 0 are (.8, .2)


def test_the_label_is_of_the_raw_prediction():
    """Shares (.9, .1): (.7, .3) is aligned to (.2059, .7941), another class."""
    for which, target in (("raw", [1, 0]), ("aligned", [0, 1])):
        method = state(make("softmatch", 2, momentum=1.0, label_of=which), 0.5, 1.0, [0.9, 0.1])
        out = loss(method, (0.7, 0.3))
        assert out.guess.target.tolist() == [target]


def test_predictions_are_no_probabilities_of_probabilities():
    """A softmax too many makes (.9, .1) into (.690, .310); the mean with m 0 is .9."""
    assert loss(make("softmatch", 2, momentum=0.0), (0.9, 0.1)).terms["mean"].item() == pytest.approx(0.9)


def test_an_alignment_to_uniform_starts_as_none():
    """The shares start at 1 / K, not at the first batch: with m .999 a skewed first batch moves v by little."""
    out = loss(make("softmatch", 2), (0.99, 0.01), (0.99, 0.01))
    assert out.guess.weight.tolist() == [1, 1]


def test_a_batch_of_one_row_is_finite():
    assert loss(make("softmatch", 2, momentum=0.0), (0.9, 0.1)).total.isfinite()


def test_at_n_sigma_0_it_is_fixmatch_without_a_gate():
    case = {"weak": log((0.96, 0.04), (0.3, 0.7)), "strong": log((0.3, 0.7), (0.6, 0.4))}
    soft, hard = by_hand("softmatch", **case, n_sigma=0), by_hand("fixmatch", **case, threshold=0)
    torch.testing.assert_close(soft.total, hard.total)
    assert soft.guess.weight.tolist() == [1, 1]


def test_only_the_strong_view_learns():
    out = by_hand("softmatch", weak=log((0.9, 0.1), (0.6, 0.4)), strong=torch.zeros(2, 2), momentum=0.5)
    weak, strong = torch.autograd.grad(out.terms["pseudo"], Fixed.given[1:], allow_unused=True)
    assert weak is None or not weak.any()
    assert strong.abs().sum(dim=1).gt(0).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight", -1),
        ("n_sigma", -1),
        ("momentum", 1.5),
        ("align_to", "prior"),
        ("gaussian_of", "both"),
        ("label_of", "both"),
        ("over", "rows"),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("softmatch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), **{option: value})
