"""AdaMatch against Berthelot et al. 2022, arXiv:2106.04732: shares, threshold, loss, and numbers by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import ALGORITHMS, Batch, Facts, InputError
from tests.algorithms.by_hand import Fixed, given, log, make
from tests.algorithms.reference import CLASSES, Paper, cross_entropies, follow, norm, one_hot, softmax

PROGRESS = torch.tensor(1.0)


class AdaMatch(Paper):
    """y~ = Norm(p_uw p_L / p_U), kept where max y~ >= tau mean max p_xw; without batch norm no logit is drawn."""

    def start(self):
        self.own, self.running = np.full((2, CLASSES), 1 / CLASSES)
        self.means = [] if self.switches.get("empty") else [self.own] * self.switches.get("window", 128)

    def believed(self, batch):
        m = self.switches["momentum"]
        own, raw = softmax(self.logits(batch.x)), softmax(self.logits(batch.u[0]))
        shares = m * self.own + (1 - m) * own.mean(axis=0)
        running = m * self.running + (1 - m) * raw.mean(axis=0)
        last = [*self.means, raw.mean(axis=0)][-self.switches.get("window", 128) :]
        other = running if self.switches.get("by_running") else np.mean(last, axis=0)
        aligned = norm(raw * (shares + 1e-6) / (other + 1e-6))
        kept = aligned.max(axis=1) >= self.switches.get("threshold", 0.9) * own.max(axis=1).mean()
        target = aligned if self.switches.get("soft") else one_hot(aligned.argmax(axis=1))
        return target, kept.astype(float), shares, running, last

    def loss(self, w, batch, believed):
        q, kept = believed[:2]
        rows = kept * cross_entropies(self.logits(batch.u[1], w), q)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        length = self.switches.get("length", 0.5)
        rise = 0.5 - np.cos(min(np.pi, np.pi * batch.progress / length)) / 2 if length else 1
        labeled = [self.supervised(self.logits(x, w), batch) for x in (batch.x, *batch.x_more)]
        share = 1 if self.switches.get("summed") else len(labeled)
        return sum(labeled) / share + self.switches.get("weight", 1.0) * rise * rows.sum() / over

    def after(self, batch, believed):
        self.own, self.running, self.means = believed[2:]

    def state(self):
        found = {"labeled.value": self.own}
        return {**found, "unlabeled.value": self.running} if self.switches.get("by_running") else found


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"momentum": 0.999}, {"momentum": 0.999}),
        ({}, {}),
        ({"weight": 2.5, "threshold": 0.7}, {"weight": 2.5, "threshold": 0.7}),
        ({"ramp_length": 0.9}, {"length": 0.9}),
        ({"ramp": "constant"}, {"length": 0}),
        ({"window": 2}, {"window": 2}),
        ({"window": 2, "window_start": "empty"}, {"window": 2, "empty": True}),
        ({"window_start": "empty"}, {"empty": True}),
        ({"unlabeled_shares": "running"}, {"by_running": True}),
        ({"label": "soft"}, {"soft": True}),
        ({"interpolate": False}, {}),
        ({"strong_labeled": False}, {}),
        ({"labeled_reduction": "sum"}, {"summed": True}),
        ({"over": "kept"}, {"over_kept": True}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("adamatch", AdaMatch, {"momentum": 0.5, **options}, **{"momentum": 0.5, **switches})


def loss(method, weak, strong=None, x=((0.5, 0.5),), more=None):
    """The loss of labelled images of class 0 with probabilities `x`, and of unlabelled ones with those of `weak`."""
    x, weak = log(*x), log(*weak)
    strong = torch.zeros_like(weak) if strong is None else strong
    views = () if len(method.labeled_views) == 1 else (x if more is None else more,)
    return method.loss(given(x, torch.zeros(len(x), dtype=torch.int64), weak, strong, more=views), PROGRESS)


def test_alignment_by_hand():
    """p (.6, .4) with p_L (.5, .5) and p_U (.75, .25), this batch counted, is (1/3, 2/3): the label is class 1."""
    method = make("adamatch", 2, momentum=1.0, window_start="empty")
    out = loss(method, [(0.6, 0.4), (0.9, 0.1)])  # mean (.75, .25)
    assert out.guess.target.tolist() == [[0, 1], [1, 0]]
    assert out.guess.weight.tolist() == [1, 1]  # 2/3 and .75 are above .9 times .5
    method = make("adamatch", 2, momentum=1.0, window_start="empty", label="soft")
    out = loss(method, [(0.6, 0.4), (0.9, 0.1)], x=[(0.76, 0.24)])
    assert out.terms["threshold"].item() == pytest.approx(0.684) and out.guess.weight.tolist() == [0, 1]
    torch.testing.assert_close(out.guess.target, torch.tensor([[1 / 3, 2 / 3], [0.75, 0.25]]), rtol=1e-5, atol=0)


def test_the_threshold_is_relative_to_the_labelled_weak_views():
    """.9 times the mean of .9 and .6 is .675; the strong views of the labelled images are not read."""
    method = make("adamatch", 2, momentum=1.0)
    out = loss(method, [(0.7, 0.3), (0.3, 0.7)], x=[(0.9, 0.1), (0.4, 0.6)], more=log((0.5, 0.5), (0.5, 0.5)))
    assert out.terms["threshold"].item() == pytest.approx(0.675) and out.guess.weight.tolist() == [1, 1]


def test_predictions_are_over_the_classes_and_shares_one_for_each():
    """A softmax over the batch, or one number for the alignment, would leave the label as it was."""
    out = loss(make("adamatch", 3, momentum=1.0, window_start="empty"), [(0.4, 0.35, 0.25), (0.8, 0.1, 0.1)], x=[(0.4, 0.3, 0.3)])
    assert out.guess.target.argmax(dim=1).tolist() == [1, 0]  # .4 / .6 is less than .35 / .225


def test_shares_by_hand():
    """m .9 and p_xw (.9, .1): p_L (.54, .46). p_U is the mean of the batches so far, (.75, .25)."""
    method = make("adamatch", 2, momentum=0.9, window_start="empty")
    for weak in ([(0.6, 0.4)], [(0.9, 0.1)]):
        out = loss(method, weak, x=[(0.9, 0.1)])
        method.after_step(out.seen, PROGRESS)
    torch.testing.assert_close(method.labeled.value, torch.tensor([0.5 * 0.81 + 0.9 * 0.19, 0.5 * 0.81 + 0.1 * 0.19]))
    torch.testing.assert_close(method.unlabeled.mean(), torch.tensor([0.75, 0.25]))


def test_a_window_begins_with_uniform_shares():
    """Of four batches two were (.6, .4) and (.9, .1), and two of (.5, .5) are left: (.625, .375)."""
    method = make("adamatch", 2, window=4)
    for weak in ([(0.6, 0.4)], [(0.9, 0.1)]):
        method.after_step(loss(method, weak, x=[(0.9, 0.1)]).seen, PROGRESS)
    torch.testing.assert_close(method.unlabeled.mean(), torch.tensor([0.625, 0.375]))


def test_both_labelled_views_are_learned_from():
    """p (.9, .1) and (.5, .5) of class 0: half of -log .9 - log .5, or all of it; without the strong view -log .9."""
    case = {"weak": [(0.5, 0.5)], "x": [(0.9, 0.1)], "more": log((0.5, 0.5))}
    wanted = -math.log(0.9) - math.log(0.5)
    assert loss(make("adamatch", 2), **case).terms["supervised"].item() == pytest.approx(wanted / 2)
    assert loss(make("adamatch", 2, labeled_reduction="sum"), **case).terms["supervised"].item() == pytest.approx(wanted)
    assert loss(make("adamatch", 2, strong_labeled=False), **case).terms["supervised"].item() == pytest.approx(-math.log(0.9))


def test_the_weight_rises_as_a_cosine_over_half_a_run():
    method = make("adamatch", 2, weight=2.0)
    batch = given(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1, 2), more=(torch.zeros(1, 2),))
    weights = [method.loss(batch, torch.tensor(t)).terms["weight"].item() for t in (0.0, 0.125, 0.25, 0.5, 1.0)]
    assert weights == pytest.approx([0, 1 - math.sqrt(0.5), 1, 2, 2])


class Centred(Fixed):
    """Logits less their mean over the batch, as a batch norm would have it; counts the passes that move statistics."""

    def __init__(self, classes):
        super().__init__(classes)
        self.track_running_stats = True  # `frozen_stats` switches it off
        self.moved = []

    def forward_head(self, f, pre_logits=False):
        logits = super().forward_head(f)
        self.moved += [len(f)] if self.track_running_stats else []
        return logits - logits.mean(dim=0)


def centred(monkeypatch, rho, **options):
    """The supervised loss of two labelled images, at a given draw, with a net whose logits depend on the batch."""
    monkeypatch.setattr(torch, "rand_like", lambda t: rho.expand_as(t))
    facts = Facts(2, 10, torch.arange(2), torch.arange(2), torch.arange(10))
    method = ALGORITHMS.create("adamatch", net=Centred(2), facts=facts, **options)
    x, u = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[6.0, 0.0], [8.0, 0.0]])
    images = [rows[:, :, None, None] for rows in (x, u)]
    index = torch.arange(2)
    batch = Batch(images[0], index, index, (images[1], images[1]), index, (images[0],))
    return method, method.loss(batch, PROGRESS)


def test_the_labelled_logits_lie_between_those_of_the_two_passes(monkeypatch):
    """Alone the first class is centred by 1.5, with all others by 4.25; at rho .4 by what is between."""

    def wanted(shift):
        rows = torch.tensor([[2.0, 0.0], [1.0, 0.0]]) - torch.tensor(shift)
        return torch.nn.functional.cross_entropy(rows, torch.arange(2)).item()

    for rho, shift in ((0.0, [1.5, 0.0]), (1.0, [4.25, 0.0]), (0.4, [1.5 + 0.4 * 2.75, 0.0])):
        method, out = centred(monkeypatch, torch.tensor(rho))
        assert out.terms["supervised"].item() == pytest.approx(wanted(shift), rel=1e-5)
        assert method.net.moved == [8]  # only the pass of all images moves the running statistics
    method, out = centred(monkeypatch, torch.tensor(0.0), interpolate=False)
    assert out.terms["supervised"].item() == pytest.approx(wanted([4.25, 0.0]), rel=1e-5)


def test_a_number_is_drawn_for_each_logit(monkeypatch):
    drawn = []
    real = torch.rand_like
    monkeypatch.setattr(torch, "rand_like", lambda t: drawn.append(real(t)) or drawn[-1])
    method = make("adamatch", 3)
    loss(method, [(0.4, 0.3, 0.3)], x=[(0.4, 0.3, 0.3)] * 4)
    assert [t.shape for t in drawn] == [(4, 3), (4, 3)] and torch.cat(drawn).unique().numel() == 24


def test_without_alignment_and_interpolation_it_is_fixmatch_with_a_relative_threshold():
    """Equal shares on both sides leave predictions as they are; labelled images of confidence .8 at .9 give .72."""
    weak, strong, x = [(0.8, 0.2), (0.2, 0.8), (0.7, 0.3), (0.3, 0.7)], log(*[(0.3, 0.7)] * 4), [(0.8, 0.2), (0.2, 0.8)]
    one = loss(make("adamatch", 2, strong_labeled=False), weak, strong, x)
    two = make("fixmatch", 2, threshold=0.72)
    batch = given(log(*x), torch.zeros(2, dtype=torch.int64), log(*weak), strong)
    torch.testing.assert_close(one.total, two.loss(batch, PROGRESS).total)
    assert one.guess.weight.tolist() == [1, 1, 0, 0]


def test_only_labelled_logits_and_the_strong_view_learn():
    out = loss(make("adamatch", 2, threshold=0.0), [(0.9, 0.1), (0.3, 0.7)])
    x, weak, strong = torch.autograd.grad(out.terms["pseudo"], Fixed.given, allow_unused=True)
    assert all(part is None or not part.any() for part in (x, weak)) and strong.any()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight", -1),
        ("ramp", "steep"),
        ("ramp_length", 2),
        ("threshold", 1.5),
        ("momentum", 1.5),
        ("unlabeled_shares", "prior"),
        ("window", 0),
        ("window_start", "full"),
        ("label", "sharp"),
        ("labeled_reduction", "max"),
        ("over", "rows"),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("adamatch", 2, **{option: value})
