"""UDA against Xie et al. 2020, arXiv:1904.12848, with training signal annealing, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.algorithms.uda import annealed
from tests.algorithms.by_hand import Fixed, by_hand, given, log, make
from tests.algorithms.reference import CLASSES, Paper, cross_entropies, follow, one_hot, softmax


class UDA(Paper):
    """CE + lambda / U sum over u of 1(max p > beta) H(softmax(z / tau), p(A(u))); CE of rows with p(y|x) <= eta."""

    def believed(self, batch):
        z = self.logits(batch.u[0])
        kept = (softmax(z).max(axis=1) > self.switches["threshold"]).astype(float)
        own = softmax(self.logits(batch.x))[np.arange(len(batch.y)), batch.y]
        a = {
            "linear": batch.progress,
            "exp": np.exp((batch.progress - 1) * 5),
            "log": 1 - np.exp(-batch.progress * 5),
            "none": 1.0,
        }[self.switches.get("tsa", "none")]
        taught = (own <= a * (1 - 1 / CLASSES) + 1 / CLASSES).astype(float)
        return softmax(z / self.switches.get("temperature", 0.4)), kept, taught

    def loss(self, w, batch, believed):
        q, kept, taught = believed
        rows = kept * cross_entropies(self.logits(batch.u[1], w), q)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        weight = np.array(self.switches.get("class_weights", [1.0] * CLASSES))[batch.y]
        labeled = taught * weight * cross_entropies(self.logits(batch.x, w), one_hot(batch.y))
        by_number = self.switches.get("tsa", "none") != "none" and not self.switches.get("tsa_over_batch")
        of = max(taught.sum(), 1) if by_number else len(labeled)
        return labeled.sum() / of + self.switches.get("weight", 1.0) * rows.sum() / over


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 2.5}, {"weight": 2.5}),
        ({"temperature": 1.0}, {"temperature": 1.0}),
        ({"over": "kept"}, {"over_kept": True}),
        ({"joint_forward": False}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
        ({"tsa": "linear"}, {"tsa": "linear"}),
        ({"tsa": "exp"}, {"tsa": "exp"}),
        ({"tsa": "log"}, {"tsa": "log"}),
        ({"tsa": "log", "tsa_over": "batch"}, {"tsa": "log", "tsa_over_batch": True}),
        ({"tsa": "log"}, {"tsa": "log", "class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("uda", UDA, {"threshold": 0.7, **options}, threshold=0.7, **switches)


def test_by_hand_and_the_temperature_is_read():
    """p_w = (.8, .2) at tau .5 is (.9412, .0588); with z_s = (1, 0) that gives .3721. Without tau: .5133."""
    case = {"weak": log((0.8, 0.2)), "strong": torch.tensor([[1.0, 0.0]]), "threshold": 0.7}
    assert by_hand("uda", **case, temperature=0.5).terms["pseudo"].item() == pytest.approx(0.3721, abs=5e-5)
    assert by_hand("uda", **case, temperature=1.0).terms["pseudo"].item() == pytest.approx(0.5133, abs=5e-5)


def test_the_gate_reads_the_prediction_before_it_is_sharpened():
    """p_w = (.7, .3) at tau .4 is (.893, .107), above the threshold of .8; the prediction itself is below."""
    out = by_hand("uda", weak=log((0.7, 0.3)), strong=torch.zeros(1, 2))
    assert out.guess.target.amax().item() > 0.8
    assert out.guess.weight.tolist() == [0] and out.terms["pseudo"].item() == 0


def test_a_prediction_at_the_threshold_does_not_count():
    assert by_hand("uda", weak=torch.zeros(1, 2), strong=torch.zeros(1, 2), threshold=0.5).guess.weight.tolist() == [0]


def test_only_the_strong_view_learns_and_is_not_sharpened():
    """The gradient of the strong logits is p_s - q, with p_s at temperature 1."""
    out = by_hand("uda", weak=log((0.8, 0.2)), strong=torch.zeros(1, 2), threshold=0.7, temperature=0.5)
    weak, strong = torch.autograd.grad(out.terms["pseudo"], Fixed.given[1:], allow_unused=True)
    assert weak is None or not weak.any()
    torch.testing.assert_close(strong, torch.tensor([[0.5 - 16 / 17, 0.5 - 1 / 17]]))


def test_near_temperature_0_it_is_fixmatch():
    case = {"weak": log((0.96, 0.04), (0.9, 0.1)), "strong": log((0.3, 0.7), (0.6, 0.4)), "threshold": 0.95}
    sharp, hard = by_hand("uda", **case, temperature=1e-3), by_hand("fixmatch", **case)
    torch.testing.assert_close(sharp.total, hard.total)
    torch.testing.assert_close(sharp.guess.target, hard.guess.target)


def test_the_bound_of_the_annealing():
    half = torch.tensor(0.5)
    assert [annealed(half, form, 10).item() for form in ("linear", "exp", "log")] == pytest.approx(
        [0.550, 0.174, 0.926], abs=5e-4
    )
    for form in ("linear", "log"):
        assert annealed(torch.tensor(0.0), form, 10).item() == pytest.approx(0.1)


def labeled_loss(**options):
    """Labelled predictions p(y|x) of .9, .5 and .1, at half a run: of two classes the linear bound is .75."""
    method = make("uda", 2, tsa="linear", **options)
    batch = given(log((0.9, 0.1), (0.5, 0.5), (0.1, 0.9)), torch.tensor([0, 0, 0]), torch.zeros(1, 2), torch.zeros(1, 2))
    return method.loss(batch, torch.tensor(0.5)).terms["supervised"].item()


def test_annealing_reads_the_probability_of_the_label_and_divides_by_the_rows_that_are_left():
    """Of .9, .5, .1 the last two are left. By the largest probability, .9, .5, .9, it would be the second alone."""
    assert labeled_loss() == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert labeled_loss(tsa_over="batch") == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 3)


def test_a_label_at_the_bound_is_learned_from():
    """At the start the bound is 1 / K, and p(y|x) of a net without an opinion too."""
    method = make("uda", 2, tsa="linear")
    out = method.loss(given(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1, 2)), torch.tensor(0.0))
    assert out.terms["supervised"].item() == pytest.approx(math.log(2))


def test_annealing_that_leaves_no_row_gives_0():
    method = make("uda", 2, tsa="exp")
    out = method.loss(given(log((0.9, 0.1)), torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1, 2)), torch.tensor(0.0))
    assert out.terms["supervised"].item() == 0 and math.isfinite(out.total.item())


@pytest.mark.parametrize(
    ("option", "value"),
    [("threshold", 1.5), ("weight", -1), ("temperature", 0), ("tsa", "cosine"), ("tsa_over", "rows"), ("over", "rows")],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("uda", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), **{option: value})
