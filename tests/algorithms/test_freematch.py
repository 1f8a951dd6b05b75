"""FreeMatch against Wang et al. 2023, arXiv:2205.07246: its averages, thresholds and fairness, and numbers by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.algorithms.freematch import fairness
from tests.algorithms.by_hand import Fixed, by_hand, given, log, make
from tests.algorithms.reference import CLASSES, Paper, cross_entropies, follow, norm, one_hot, softmax

PROGRESS = torch.tensor(1.0)


class FreeMatch(Paper):
    """tau, p~ and h~ with this batch; tau(c) = p~(c) / max p~ tau; L_f = sum of Norm(p~ / h~) log Norm(p_ / h_)."""

    def start(self):
        self.tau, self.p, self.h = 1 / CLASSES, np.full(CLASSES, 1 / CLASSES), np.full(CLASSES, 1 / CLASSES)

    def believed(self, batch):
        q = softmax(self.logits(batch.u[0]))
        m, quantile = self.switches.get("momentum", 0.999), self.switches.get("quantile")
        level = q.max(axis=1).mean() if quantile is None else np.quantile(q.max(axis=1), quantile)
        tau = m * self.tau + (1 - m) * level
        p = m * self.p + (1 - m) * q.mean(axis=0)
        h = m * self.h + (1 - m) * one_hot(q.argmax(axis=1)).mean(axis=0)
        each = np.clip(p / p.max() * tau, self.switches.get("lowest", 0), self.switches.get("highest", 1))
        return one_hot(q.argmax(axis=1)), (q.max(axis=1) > each[q.argmax(axis=1)]).astype(float), tau, p, h

    def loss(self, w, batch, believed):
        q, kept, _, p, h = believed
        z = self.logits(batch.u[1], w)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(z)
        pseudo = (kept * cross_entropies(z, q)).sum() / over
        total = self.supervised(self.logits(batch.x, w), batch) + self.switches.get("weight", 1.0) * pseudo
        rows = softmax(z)[kept > 0]
        if not len(rows):
            return total
        bins = one_hot(rows.real.argmax(axis=1)).mean(axis=0)
        mean = np.array([a / b if b else 0 for a, b in zip(rows.mean(axis=0), bins, strict=True)])
        floored = np.array([b if b.real > 1e-12 else 1e-12 for b in norm(mean)])
        return total + self.switches.get("fairness", 0.05) * (norm(p / h) * np.log(floored)).sum()

    def after(self, batch, believed):
        self.tau, self.p, self.h = believed[2:]

    def state(self):
        return {"threshold.value": np.array(self.tau), "shares.value": self.p, "histogram.value": self.h}


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"momentum": 0.999}, {"momentum": 0.999}),
        ({}, {}),
        ({"weight": 2.5, "fairness_weight": 0.2}, {"weight": 2.5, "fairness": 0.2}),
        ({"fairness": "intended"}, {"fairness": -0.05}),
        ({"fairness": "none"}, {"fairness": 0.0}),
        ({"lowest": 0.9, "highest": 0.95}, {"lowest": 0.9, "highest": 0.95}),
        ({"quantile": 0.8}, {"quantile": 0.8}),
        ({"over": "kept"}, {"over_kept": True}),
        ({"joint_forward": False}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("freematch", FreeMatch, {"momentum": 0.5, **options}, **{"momentum": 0.5, **switches})


def test_by_hand():
    """m .9 and p_w = (.9, .1), (.7, .3): tau .53, shares (.53, .47), which are the thresholds of the classes too."""
    method = make("freematch", 2, momentum=0.9)
    batch = given(torch.zeros(1, 2), torch.tensor([0]), log((0.9, 0.1), (0.7, 0.3)), torch.zeros(2, 2))
    out = method.loss(batch, PROGRESS)
    assert out.terms["threshold"].item() == pytest.approx(0.53) and out.guess.weight.tolist() == [1, 1]
    assert method.threshold.value.item() == 0.5  # the loss writes nothing
    method.after_step(out.seen, PROGRESS)
    assert method.threshold.value.item() == pytest.approx(0.53)
    torch.testing.assert_close(method.shares.value, torch.tensor([0.53, 0.47]))
    torch.testing.assert_close(method.histogram.value, torch.tensor([0.55, 0.45]))


def test_averages_after_two_steps_of_one_batch():
    """.5 m^2 + (1 - m^2) v, for each of them."""
    method = make("freematch", 2, momentum=0.9)
    batch = given(torch.zeros(1, 2), torch.tensor([0]), log((0.9, 0.1), (0.7, 0.3)), torch.zeros(2, 2))
    for _ in range(2):
        method.after_step(method.loss(batch, PROGRESS).seen, PROGRESS)
    assert method.threshold.value.item() == pytest.approx(0.5 * 0.81 + 0.19 * 0.8)
    torch.testing.assert_close(method.histogram.value, torch.tensor([0.5 * 0.81 + 0.19, 0.5 * 0.81]))


def test_thresholds_have_this_batch_in_them():
    """c = .9, .52: the threshold moves from .5 to .521, so that the second row no longer counts."""
    out = by_hand("freematch", weak=log((0.9, 0.1), (0.52, 0.48)), strong=torch.zeros(2, 2), momentum=0.9)
    assert out.guess.weight.tolist() == [1, 0]


def test_a_rare_class_has_a_lower_threshold():
    """m 0, p_w = (.9, .1), (.9, .1), (.45, .55): tau .783, shares (.75, .25), so class 1 asks for .261."""
    out = by_hand("freematch", weak=log((0.9, 0.1), (0.9, 0.1), (0.45, 0.55)), strong=torch.zeros(3, 2), momentum=0.0)
    assert out.guess.weight.tolist() == [1, 1, 1]


def test_a_prediction_at_the_threshold_does_not_count():
    out = by_hand("freematch", weak=torch.zeros(2, 2), strong=torch.ones(2, 2))
    assert out.guess.weight.tolist() == [0, 0]


def test_the_limits_are_of_each_classes_threshold_and_not_of_their_mean():
    """m 0 as above: a lower limit of .6 lifts class 1's .261, so that .55 does not count; tau .783 is within."""
    weak = log((0.9, 0.1), (0.9, 0.1), (0.45, 0.55))
    out = by_hand("freematch", weak=weak, strong=torch.zeros(3, 2), momentum=0.0, lowest=0.6, highest=0.95)
    assert out.guess.weight.tolist() == [1, 1, 0] and out.terms["threshold"].item() == pytest.approx(2.35 / 3)


def test_fairness_of_equal_shares_and_histograms_is_minus_log_k():
    strong = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    value = fairness(strong, torch.ones(2), torch.tensor([0.3, 0.7]), torch.tensor([0.3, 0.7]))
    assert value.item() == pytest.approx(-math.log(2))


def test_fairness_by_hand():
    """p_s = (.9, .1), (.6, .4), (.2, .8): mean (1.7, 1.3) / 3 over (2, 1) / 3 is (.85, 1.3), b that over 2.15."""
    strong = log((0.9, 0.1), (0.6, 0.4), (0.2, 0.8))
    value = fairness(strong, torch.ones(3), torch.tensor([0.4, 0.6]), torch.tensor([0.5, 0.5]))
    assert value.item() == pytest.approx(0.4 * math.log(0.85 / 2.15) + 0.6 * math.log(1.3 / 2.15))


def test_fairness_is_of_the_kept_rows():
    shares, histogram = torch.tensor([0.4, 0.6]), torch.tensor([0.5, 0.5])
    strong = log((0.9, 0.1), (0.6, 0.4), (0.2, 0.8))
    one = fairness(strong, torch.tensor([1.0, 0.0, 1.0]), shares, histogram)
    torch.testing.assert_close(one, fairness(strong[[0, 2]], torch.ones(2), shares, histogram))
    assert abs(one - fairness(strong, torch.ones(3), shares, histogram)) > 0.01


def test_a_class_that_no_kept_row_gets_counts_nothing_in_b():
    """All rows are of class 0: b = (1, 0), and the floor of the logarithm is 1e-12."""
    strong = log((0.9, 0.1), (0.6, 0.4)).requires_grad_()
    half = torch.tensor([0.5, 0.5])
    value = fairness(strong, torch.ones(2), half, half)
    assert value.item() == pytest.approx(0.5 * math.log(1e-12), rel=1e-5)
    assert torch.autograd.grad(value, strong)[0].isfinite().all()


def test_as_printed_fairness_is_better_in_a_corner_and_as_intended_where_the_shares_agree():
    """With a = (.5, .5) a net of b = (.5, .5) has -log 2 as printed, a skewed one less, as it should not."""

    def term(which, *rows):
        method = make("freematch", 2, fairness=which, momentum=1.0)
        batch = given(torch.zeros(1, 2), torch.tensor([0]), log((0.9, 0.1), (0.1, 0.9)), log(*rows))
        return method.loss(batch, PROGRESS).terms["fairness"].item()

    even, skewed = ((0.9, 0.1), (0.1, 0.9)), ((0.99, 0.01), (0.45, 0.55))
    assert term("as_printed", *skewed) < term("as_printed", *even) == pytest.approx(-math.log(2))
    assert term("intended", *skewed) > term("intended", *even) == pytest.approx(math.log(2))


def test_nothing_kept_is_zero():
    for kind in ("as_printed", "intended"):
        out = by_hand("freematch", weak=torch.zeros(2, 2), strong=log((0.9, 0.1), (0.6, 0.4)), fairness=kind, over="kept")
        assert out.terms["fairness"].item() == 0 and out.terms["pseudo"].item() == 0
        gradient = torch.autograd.grad(out.total, Fixed.given[2])[0]
        assert math.isfinite(out.total.item()) and not gradient.any()


@pytest.mark.parametrize("term", ["pseudo", "fairness"])
def test_only_the_strong_view_learns(term):
    out = by_hand("freematch", weak=log((0.9, 0.1), (0.3, 0.7)), strong=log((0.8, 0.2), (0.4, 0.6)), momentum=0.5)
    weak, strong = torch.autograd.grad(out.terms[term], Fixed.given[1:], allow_unused=True)
    assert (weak is None or not weak.any()) and strong.any()


def test_without_fairness_there_is_no_such_term():
    method = make("freematch", 2, fairness="none")
    batch = given(torch.zeros(1, 2), torch.tensor([0]), log((0.9, 0.1)), torch.zeros(1, 2))
    assert "fairness" not in method.loss(batch, PROGRESS).terms and dict(method.weights) == {"pseudo": "weight"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weight": -1}, "weight"),
        ({"fairness_weight": -1}, "fairness_weight"),
        ({"fairness": "fair"}, "fairness"),
        ({"momentum": 1.5}, "momentum"),
        ({"lowest": -1}, "lowest"),
        ({"highest": 2}, "highest"),
        ({"lowest": 0.9, "highest": 0.5}, "lowest"),
        ({"quantile": 2}, "quantile"),
        ({"over": "rows"}, "over"),
    ],
    ids=str,
)
def test_what_it_refuses(options, named):
    with pytest.raises(InputError, match=named):
        by_hand("freematch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), **options)
