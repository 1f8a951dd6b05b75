"""PseudoLabel against Lee 2013, with FixMatch's threshold, and numbers that follow by hand."""

import math

import pytest
import torch

from ssl_zoo import InputError
from tests.algorithms.by_hand import Fixed, by_hand, log
from tests.algorithms.reference import Paper, cross_entropies, follow, one_hot, softmax


class PseudoLabel(Paper):
    """L + alpha(t) / U times the sum over m of 1(max p_m >= tau) H(argmax p_m, p_m): one view, on both sides."""

    def believed(self, batch):
        p = softmax(self.logits(batch.u[0]))
        kept = (p.max(axis=1) >= self.switches["threshold"]).astype(float)
        return one_hot(p.argmax(axis=1)), kept

    def loss(self, w, batch, believed):
        q, kept = believed
        rows = kept * cross_entropies(self.logits(batch.u[0], w), q)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        length = self.switches.get("length", 0.4)
        alpha = self.switches.get("weight", 1.0) * (min(batch.progress / length, 1) if length else 1)
        return self.supervised(self.logits(batch.x, w), batch) + alpha * rows.sum() / over


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"threshold": 0.8}, {"threshold": 0.8}),
        ({"threshold": 0.0, "weight": 3.0}, {"threshold": 0.0, "weight": 3.0}),
        ({"threshold": 0.8, "ramp_length": 0.7}, {"threshold": 0.8, "length": 0.7}),
        ({"threshold": 0.8, "ramp": "constant"}, {"threshold": 0.8, "length": 0}),
        ({"threshold": 0.8, "over": "kept"}, {"threshold": 0.8, "over_kept": True}),
        ({"threshold": 0.8, "joint_forward": True}, {"threshold": 0.8}),
        ({"threshold": 0.8}, {"threshold": 0.8, "class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("pseudolabel", PseudoLabel, options, **switches)


def test_by_hand():
    """p = (.96, .04), (.9, .1): one of two rows counts, with -log .96."""
    out = by_hand("pseudolabel", weak=log((0.96, 0.04), (0.9, 0.1)))
    assert out.terms["pseudo"].item() == pytest.approx(-0.5 * math.log(0.96), rel=1e-4)
    assert out.guess.weight.tolist() == [1, 0] and out.guess.target.tolist() == [[1, 0], [1, 0]]


def test_one_view_is_target_and_prediction():
    """The gradient of a kept row is p - q: it learns from the view that its target is made of."""
    out = by_hand("pseudolabel", weak=log((0.96, 0.04), (0.9, 0.1)))
    weak = torch.autograd.grad(out.terms["pseudo"], Fixed.given[1])[0]
    torch.testing.assert_close(weak, torch.tensor([[-0.02, 0.02], [0.0, 0.0]]))


def test_a_prediction_at_the_threshold_counts():
    assert by_hand("pseudolabel", weak=torch.zeros(1, 2), threshold=0.5).guess.weight.tolist() == [1]


def test_the_weight_rises_over_the_first_part_of_a_run():
    weights = [by_hand("pseudolabel", weak=torch.zeros(1, 2), progress=t, weight=3).terms["weight"].item() for t in (0, 0.2, 0.9)]
    assert weights == pytest.approx([0, 1.5, 3])


def test_over_the_kept_rows_a_term_is_larger_by_one_over_the_mask_rate():
    batch, kept = (
        by_hand("pseudolabel", weak=log((0.96, 0.04), (0.9, 0.1)), over=over).terms["pseudo"].item() for over in ("batch", "kept")
    )
    assert kept == pytest.approx(2 * batch)


@pytest.mark.parametrize(
    ("option", "value"), [("threshold", 1.5), ("weight", -1), ("ramp", "steep"), ("ramp_length", 2), ("over", "rows")]
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("pseudolabel", weak=torch.zeros(2, 2), **{option: value})
