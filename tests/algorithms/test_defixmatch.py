"""DeFixMatch against Schmutz et al. 2023, arXiv:2203.07512, and numbers that follow by hand."""

import math

import pytest
import torch

from ssl_zoo import InputError
from tests.algorithms.by_hand import Fixed, given, log, make
from tests.algorithms.reference import Paper, cross_entropies, follow, one_hot, softmax


class DeFixMatch(Paper):
    """1/2 (CE(y, x_w) + CE(y, x_s)) + lambda (H(u) - H(x)), H(S) = mean of 1[max q >= tau] CE(argmax q, p(s))."""

    def believed(self, batch):
        found = []
        for weak in (batch.u[0], batch.x):
            q = softmax(self.logits(weak))
            found.append((one_hot(q.argmax(axis=1)), q.max(axis=1) >= self.switches["threshold"]))
        return found

    def loss(self, w, batch, believed):
        strong = [self.logits(batch.u[1], w), self.logits(batch.x_more[0], w)]
        of_u, of_x = ((kept * cross_entropies(z, q)).mean() for z, (q, kept) in zip(strong, believed, strict=True))
        labeled = (self.supervised(self.logits(batch.x, w), batch) + self.supervised(strong[1], batch)) / 2
        return labeled + self.switches.get("weight", 0.5) * (of_u - of_x)


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({"threshold": 0.8}, {"threshold": 0.8}),
        ({"threshold": 0.0, "weight": 1.5}, {"threshold": 0.0, "weight": 1.5}),
        ({"threshold": 0.8, "joint_forward": False}, {"threshold": 0.8}),
        ({"threshold": 0.8}, {"threshold": 0.8, "class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    follow("defixmatch", DeFixMatch, options, **switches)


def lost(x, x_strong, weak, strong, **options):
    """The loss of one or two labelled images of class 0, and unlabelled ones."""
    batch = given(x, torch.zeros(len(x), dtype=torch.int64), weak, strong, more=(x_strong,))
    return make("defixmatch", 2, **options).loss(batch, torch.tensor(1.0))


SURE, UNSURE, FLAT = log((0.96, 0.04)), log((0.9, 0.1)), torch.zeros(1, 2)


def test_by_hand():
    """u: one of two rows counts, with log 2: .3466. x: its row counts, with -log .25: what is taken off."""
    out = lost(SURE, log((0.25, 0.75)), torch.cat((SURE, UNSURE)), torch.zeros(2, 2))
    assert out.terms["debiased"].item() == pytest.approx(0.5 * math.log(2) - math.log(4))
    assert out.terms["labeled_pseudo"].item() == pytest.approx(math.log(4))
    assert out.terms["supervised"].item() == pytest.approx((math.log(4) - math.log(0.96)) / 2)
    assert out.total.item() == pytest.approx(out.terms["supervised"].item() + 0.5 * out.terms["debiased"].item())
    assert out.guess.weight.tolist() == [1, 0] and out.guess.target.tolist() == [[1, 0], [1, 0]]


def test_of_the_same_images_nothing_is_left():
    x, strong = torch.cat((SURE, UNSURE)), log((0.3, 0.7), (0.6, 0.4))
    out = lost(x, strong, x, strong)
    assert out.terms["debiased"].item() == 0 and out.terms["labeled_pseudo"].item() == pytest.approx(-math.log(0.3) / 2)


def test_where_no_labelled_image_is_sure_it_is_fixmatch_on_two_labelled_views():
    weak, strong = torch.cat((SURE, UNSURE)), log((0.3, 0.7), (0.6, 0.4))
    out = lost(UNSURE, FLAT, weak, strong, weight=1.0)
    fix = make("fixmatch", 2).loss(given(UNSURE, torch.zeros(1, dtype=torch.int64), weak, strong), torch.tensor(1.0))
    assert out.terms["debiased"].item() == pytest.approx(fix.terms["pseudo"].item())


def test_what_is_taken_off_asks_for_no_label_and_is_logged_without_a_gradient():
    """The image is of class 0 and taken to be of class 1: its strong view is pushed from class 1, not from its own."""
    x = log((0.04, 0.96))
    out = lost(x, FLAT, SURE, FLAT)
    assert out.terms["labeled_pseudo"].item() == pytest.approx(math.log(2)) and not out.terms["labeled_pseudo"].requires_grad
    weak, strong = torch.autograd.grad(out.terms["debiased"], Fixed.given[1:], allow_unused=True)
    assert weak is None or not weak.any()
    torch.testing.assert_close(strong, torch.tensor([[-0.5, 0.5]]))


def test_its_mean_over_draws_of_labelled_images_is_the_supervised_risk():
    """Each of four images labelled in turn, all four unlabelled: the debiased terms cancel."""
    weak, strong = log((0.96, 0.04), (0.9, 0.1), (0.02, 0.98), (0.97, 0.03)), log((0.5, 0.5), (0.2, 0.8), (0.7, 0.3), (0.6, 0.4))
    each = [lost(weak[i : i + 1], strong[i : i + 1], weak, strong).terms["debiased"].item() for i in range(4)]
    assert sum(each) == pytest.approx(0, abs=1e-6) and max(map(abs, each)) > 0.1


@pytest.mark.parametrize(("option", "value"), [("threshold", 1.5), ("weight", -1)])
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("defixmatch", 2, **{option: value})
