"""SimMatch against Zheng et al. 2022, arXiv:2203.06915: sec. 3, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import ALGORITHMS, Facts, InputError
from tests.algorithms.by_hand import given, log, make
from tests.algorithms.embedded import HEAD, Pixels, images, make_embedded, project, unit
from tests.algorithms.reference import LABELED, LABELS, Paper, cross_entropies, follow, norm, softmax

START = unit(np.random.default_rng(3).normal(size=(len(LABELED), 4)))  # of the bank


class SimMatch(Paper):
    """CE + r (mean 1[max q >= tau] CE(q, p(s)) + mean CE(i^, i_s)); q, i^ and the bank as the paper's sec. 3 has them."""

    def start(self):
        self.window, self.bank = [], START.copy()

    def believed(self, batch):
        s = self.switches
        p = softmax(self.logits(batch.u[0]))
        self.raw = p.mean(axis=0)
        p = norm(p / np.mean([*self.window, self.raw][-s.get("window", 32) :], axis=0))
        i = softmax(project(self.w, batch.u[0], 0) @ self.bank.T / s.get("T", 0.1))
        calibrated, others = np.zeros_like(i), np.zeros_like(p)
        for place, label in enumerate(LABELS):
            calibrated[:, place] = i[:, place] * p[:, label]
            others[:, label] += i[:, place]
        q = s.get("alpha", 0.9) * p + (1 - s.get("alpha", 0.9)) * others
        self.e = project(self.w, batch.x, 0)
        return q, q.max(axis=1) >= s["threshold"], norm(calibrated), self.bank.copy()

    def loss(self, w, batch, believed):
        q, kept, target, bank = believed
        s = self.switches
        pseudo = (kept * cross_entropies(self.logits(batch.u[1], w), q)).mean()
        instance = cross_entropies(project(w, batch.u[1], 0) @ bank.T / s.get("T", 0.1), target).mean()
        rise = min(batch.progress / s.get("length", 0.05), 1)
        added = rise * (s.get("weight", 1) * pseudo + s.get("instance", 1) * instance)
        return self.supervised(self.logits(batch.x, w), batch) + added

    def after(self, batch, believed):
        self.window.append(self.raw)
        m = self.switches.get("momentum", 0.7)
        for row, e in zip(batch.x_index, self.e, strict=True):
            place = list(LABELED).index(row)
            self.bank[place] = unit((m * self.bank[place] + (1 - m) * e)[None])[0]

    def state(self):
        return {"bank": self.bank}


def from_the_same_start(batch, method, step):
    """The bank of both sides."""
    if step == 0:
        method.bank.copy_(torch.from_numpy(START))


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 2.5, "instance_weight": 0.5}, {"weight": 2.5, "instance": 0.5}),
        ({"threshold": 0.0, "alpha": 0.4, "temperature": 0.5}, {"threshold": 0.0, "alpha": 0.4, "T": 0.5}),
        ({"window": 2, "bank_momentum": 0.3}, {"window": 2, "momentum": 0.3}),
        ({"ramp_length": 0.6}, {"length": 0.6}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    options = {"threshold": 0.6, "embedding": 4, **options}
    switches = {"threshold": 0.6, **switches}
    method, paper = follow("simmatch", SimMatch, options, parameters=HEAD, each=from_the_same_start, **switches)
    window = paper.window[-method.predictions.means.shape[0] :]
    np.testing.assert_allclose(method.predictions.mean().numpy(), np.mean(window, axis=0))


A, B = [1.0, 0.0], [0.0, 1.0]
BALANCED = log((0.6, 0.4), (0.4, 0.6))  # so that the mean of the batch is uniform
ONE = torch.tensor(1.0)
THIRD = 1 / math.log(3)  # a temperature at which similarities of 1 and 0 are 3/4 and 1/4


def with_bank(bank, labels, **options):
    """A method whose labelled images have these embeddings and classes."""
    method = make_embedded("simmatch", labels, **options)
    method.bank.copy_(torch.tensor(bank))
    return method


def test_by_hand():
    """Similarities (3/4, 1/4) and p (.6, .4): their target (.45, .1) / .55, and q = (.675, .325) at alpha .5.

    The classes of the bank are of the similarities themselves: of the weighed ones q would be (.709, .291).
    """
    method = with_bank([A, B], [0, 1], alpha=0.5, temperature=THIRD, threshold=0.0)
    out = method.loss(images((BALANCED, torch.tensor([A, B])), (torch.zeros(2, 2), torch.tensor([B, A]))), ONE)
    torch.testing.assert_close(out.guess.target, torch.tensor([[0.675, 0.325], [0.325, 0.675]]))
    wanted = -(0.45 / 0.55) * math.log(0.25) - (0.1 / 0.55) * math.log(0.75)
    assert out.terms["instance"].item() == pytest.approx(wanted)
    assert out.terms["pseudo"].item() == pytest.approx(math.log(2))
    assert out.total.item() == pytest.approx(math.log(2) * 2 + wanted)


def test_labelled_images_of_one_class_leave_the_similarities_as_they_are():
    """All of class 1: their target is the weak view's similarities, and what the bank believes is class 1."""
    method = with_bank([A, B, A], [1, 1, 1], alpha=0.0, temperature=THIRD)
    out = method.loss(images((BALANCED, torch.tensor([A, A])), (BALANCED, torch.tensor([A, A]))), ONE)
    assert out.guess.target.tolist() == [[0, 1], [0, 1]]
    i = torch.tensor([3 / 7, 1 / 7, 3 / 7])
    assert out.terms["instance"].item() == pytest.approx(-(i * i.log()).sum().item())


def test_a_class_with_two_labelled_images_gets_what_both_have():
    method = with_bank([A, A, B], [0, 0, 1], alpha=0.0, temperature=THIRD)
    out = method.loss(images((BALANCED, torch.tensor([A, B])), (BALANCED, torch.tensor([A, B]))), ONE)
    torch.testing.assert_close(out.guess.target, torch.tensor([[6 / 7, 1 / 7], [2 / 5, 3 / 5]]))


def test_predictions_are_divided_by_their_mean_with_this_batch_in_it():
    """(.9, .1), (.6, .4): mean (.75, .25), so (3/4, 1/4) and (1/3, 2/3)."""
    method = with_bank([A, B], [0, 1], alpha=1.0)
    out = method.loss(images((log((0.9, 0.1), (0.6, 0.4)), torch.tensor([A, B])), (BALANCED, torch.tensor([A, B]))), ONE)
    torch.testing.assert_close(out.guess.target, torch.tensor([[0.75, 0.25], [1 / 3, 2 / 3]]))


def test_the_similarities_have_no_gate():
    method = with_bank([A, B], [0, 1], threshold=1.0)
    out = method.loss(images((BALANCED, torch.tensor([A, B])), (BALANCED, torch.tensor([B, A]))), ONE)
    assert out.guess.weight.tolist() == [0, 0] and out.terms["pseudo"].item() == 0 and out.terms["instance"].item() > 1


def test_each_row_of_the_bank_has_length_one_and_moves_to_the_newest_embedding():
    """unit(.7 (1, 0) + .3 (0, 1)) = (.919, .394); made of length 1 over the images, as a column, it would be another."""
    method = with_bank([A, B, B], [0, 1, 1])
    weak = (BALANCED, torch.tensor([A, B]))
    x = (torch.zeros(2, 2), torch.tensor([B, [0.6, 0.8]]))
    out = method.loss(images(weak, weak, x=x, y=(0, 1), rows=(0, 2)), ONE)
    method.after_step(out.seen, ONE)
    moved = torch.tensor([[0.7, 0.3], [0.0, 1.0], [0.18, 0.94]])
    torch.testing.assert_close(method.bank, moved / moved.norm(dim=1, keepdim=True))
    torch.testing.assert_close(method.bank.norm(dim=1), torch.ones(3))


def test_the_bank_is_of_unit_vectors_at_the_start():
    torch.manual_seed(0)
    bank = make("simmatch", 2).bank
    assert bank.shape == (2, 128) and bank.std() > 0.01
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(2))


def test_a_row_that_stands_twice_in_a_batch_moves_once_to_its_mean():
    method = with_bank([A, B], [0, 1], bank_momentum=0.5)
    weak = (BALANCED, torch.tensor([A, B]))
    x = (torch.zeros(2, 2), torch.tensor([A, B]))
    method.after_step(method.loss(images(weak, weak, x=x, y=(1, 1), rows=(1, 1)), ONE).seen, ONE)
    moved = torch.tensor([0.25, 0.75])
    torch.testing.assert_close(method.bank, torch.stack((torch.tensor(A), moved / moved.norm())))


def test_labelled_rows_may_come_in_any_order():
    facts = Facts(2, 10, torch.tensor([7, 2, 5]), torch.tensor([0, 1, 1]), torch.arange(10))
    method = ALGORITHMS.create("simmatch", net=Pixels(2, 2), facts=facts, embedding=2, bank_momentum=0.0, alpha=0.0)
    method.head = make_embedded("simmatch", [0, 1]).head
    weak = (BALANCED, torch.tensor([A, B]))
    x = (torch.zeros(3, 2), torch.tensor([A, B, B]))
    method.after_step(method.loss(images(weak, weak, x=x, y=(0, 1, 1), rows=(7, 2, 5)), ONE).seen, ONE)
    found = method.loss(images(weak, weak), ONE).guess.target
    torch.testing.assert_close(found, torch.tensor([A, B]), atol=2e-4, rtol=0)


def test_only_the_strong_view_learns():
    method = with_bank([A, B], [0, 1], threshold=0.0)
    e = torch.tensor([[0.8, 0.6], [0.3, 0.7]])
    out = method.loss(images((BALANCED, e), (torch.zeros(2, 2), e.flip(0))), ONE)
    pseudo = torch.autograd.grad(out.terms["pseudo"], Pixels.given, retain_graph=True)
    assert [bool(g.any()) for g in pseudo] == [False, False, True] and not pseudo[2][:, 2:].any()
    instance = torch.autograd.grad(out.terms["instance"], Pixels.given)
    assert [bool(g.any()) for g in instance] == [False, False, True] and not instance[2][:, :2].any()


def test_both_weights_rise_together():
    weak = (BALANCED, torch.tensor([A, B]))
    totals = []
    for progress in (0.0, 0.05, 0.1, 1.0):
        method = with_bank([A, B], [0, 1], threshold=0.0, ramp_length=0.1)
        out = method.loss(images(weak, weak), torch.tensor(progress))
        totals.append((out.total - out.terms["supervised"]).item() / (out.terms["pseudo"] + out.terms["instance"]).item())
    assert totals == pytest.approx([0, 0.5, 1, 1])


def test_without_smoothing_and_similarities_it_is_fixmatch_with_soft_targets():
    weak, strong = log((0.96, 0.04), (0.04, 0.96)), log((0.7, 0.3), (0.4, 0.6))
    method = with_bank([A, B], [0, 1], alpha=1.0, instance_weight=0.0)
    out = method.loss(images((weak, torch.tensor([A, B])), (strong, torch.tensor([A, B]))), ONE)
    rows = -(weak.exp() * strong.log_softmax(dim=1)).sum(dim=1)
    assert out.terms["pseudo"].item() == pytest.approx(rows.mean().item())
    fix = make("fixmatch", 2).loss(given(torch.zeros(1, 2), torch.tensor([0]), weak, strong), ONE)
    torch.testing.assert_close(out.guess.weight, fix.guess.weight)
    assert out.total.item() == pytest.approx(fix.terms["supervised"].item() + rows.mean().item())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight", -1),
        ("instance_weight", -1),
        ("threshold", 1.5),
        ("alpha", 1.5),
        ("temperature", 0),
        ("bank_momentum", 1.5),
        ("window", 0),
        ("ramp_length", 1.5),
        ("embedding", 0),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("simmatch", 2, **{option: value})
