"""FixMatch against Sohn et al. 2020, arXiv:2001.07685: eq. 3 and 4, and numbers that follow by hand."""

import math

import pytest
import torch

from ssl_zoo import InputError
from tests.algorithms.by_hand import Fixed, by_hand, log
from tests.algorithms.reference import Paper, cross_entropies, follow, one_hot, softmax


class FixMatch(Paper):
    """l_s + lambda_u l_u, l_u = 1 / (mu B) sum over b of 1(max q_b >= tau) H(argmax q_b, p(A(u_b)))."""

    def believed(self, batch):
        q = softmax(self.logits(batch.u[0]) / self.switches.get("temperature", 1))
        kept = (q.max(axis=1) >= self.switches["threshold"]).astype(float)
        return one_hot(q.argmax(axis=1)), kept

    def loss(self, w, batch, believed):
        q, kept = believed
        rows = kept * cross_entropies(self.logits(batch.u[1], w), q)
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        weight = self.switches.get("weight", 1.0)
        return self.supervised(self.logits(batch.x, w), batch) + weight * rows.sum() / over


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"threshold": 0.8}, {"threshold": 0.8}),
        ({"threshold": 0.8, "weight": 2.5}, {"threshold": 0.8, "weight": 2.5}),
        ({"threshold": 0.0}, {"threshold": 0.0}),
        ({"threshold": 0.8, "over": "kept"}, {"threshold": 0.8, "over_kept": True}),
        ({"threshold": 0.95, "gate_temperature": 0.5}, {"threshold": 0.95, "temperature": 0.5}),
        ({"threshold": 0.8, "joint_forward": False}, {"threshold": 0.8}),
        ({"threshold": 0.8}, {"threshold": 0.8, "class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("fixmatch", FixMatch, options, **switches)


def test_by_hand():
    """p_w = (.96, .04), (.9, .1) and z_s = 0: one of two rows counts, with log 2."""
    out = by_hand("fixmatch", weak=log((0.96, 0.04), (0.9, 0.1)), strong=torch.zeros(2, 2))
    assert out.terms["pseudo"].item() == pytest.approx(0.5 * math.log(2))
    assert out.guess.weight.tolist() == [1, 0] and out.guess.target.tolist() == [[1, 0], [1, 0]]


def test_a_prediction_at_the_threshold_counts():
    out = by_hand("fixmatch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), threshold=0.5)
    assert out.guess.weight.tolist() == [1, 1]


def test_nothing_kept_is_zero_whatever_it_is_divided_by():
    for over in ("batch", "kept"):
        out = by_hand("fixmatch", weak=torch.zeros(2, 2), strong=torch.ones(2, 2), over=over)
        assert out.terms["pseudo"].item() == 0 and math.isfinite(out.total.item())


def test_over_the_kept_rows_a_term_is_larger_by_one_over_the_mask_rate():
    batch, kept = (
        by_hand("fixmatch", weak=log((0.96, 0.04), (0.9, 0.1)), strong=log((0.3, 0.7), (0.6, 0.4)), over=over).terms["pseudo"]
        for over in ("batch", "kept")
    )
    assert kept.item() == pytest.approx(2 * batch.item())


def test_only_the_strong_view_learns():
    out = by_hand("fixmatch", weak=log((0.96, 0.04), (0.9, 0.1)), strong=torch.zeros(2, 2))
    weak, strong = torch.autograd.grad(out.terms["pseudo"], Fixed.given, allow_unused=True)[1:]
    assert weak is None or not weak.any()
    torch.testing.assert_close(strong, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]))


@pytest.mark.parametrize(("option", "value"), [("threshold", 1.5), ("weight", -1), ("gate_temperature", 0), ("over", "rows")])
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("fixmatch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), **{option: value})
