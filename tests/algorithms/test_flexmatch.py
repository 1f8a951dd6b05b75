"""FlexMatch against Zhang et al. 2021, arXiv:2110.08263: its marks, thresholds, loss, and numbers by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.batch import Facts
from ssl_zoo.registry import ALGORITHMS
from tests.algorithms.by_hand import Fixed, by_hand, given, log, make
from tests.algorithms.reference import CLASSES, ROWS, Paper, cross_entropies, follow, one_hot, softmax

PROGRESS = torch.tensor(1.0)


class FlexMatch(Paper):
    """sigma(c) = #{n: mark_n = c}, beta = sigma / max(max sigma, N - sum sigma), T = M(beta) tau."""

    def start(self):
        self.mark = np.full(ROWS, -1)

    def thresholds(self):
        sigma = np.array([(self.mark == c).sum() for c in range(CLASSES)], dtype=float)
        most = max(sigma.max(), (ROWS - 1) - sigma.sum()) if self.switches.get("warmup", True) else max(sigma.max(), 1)
        beta = sigma / most
        form = self.switches.get("mapping", "convex")
        return self.switches["threshold"] * {"convex": beta / (2 - beta), "linear": beta, "concave": np.log2(beta + 1)}[form]

    def believed(self, batch):
        p = softmax(self.logits(batch.u[0]))
        return p, (p.max(axis=1) >= self.thresholds()[p.argmax(axis=1)]).astype(float)

    def loss(self, w, batch, believed):
        p, kept = believed
        rows = kept * cross_entropies(self.logits(batch.u[1], w), one_hot(p.argmax(axis=1)))
        over = max(kept.sum(), 1) if self.switches.get("over_kept") else len(rows)
        return self.supervised(self.logits(batch.x, w), batch) + self.switches.get("weight", 1.0) * rows.sum() / over

    def after(self, batch, believed):
        for n, p in zip(batch.u_index, believed[0], strict=True):
            if p.max() >= self.switches["threshold"]:
                self.mark[n] = p.argmax()

    def state(self):
        return {"chosen": np.where(self.mark < 0, CLASSES, self.mark)}


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 2.5}, {"weight": 2.5}),
        ({"warmup": False}, {"warmup": False}),
        ({"mapping": "linear"}, {"mapping": "linear"}),
        ({"mapping": "concave", "warmup": False}, {"mapping": "concave", "warmup": False}),
        ({"over": "kept"}, {"over_kept": True}),
        ({"joint_forward": False}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    method, wanted = follow("flexmatch", FlexMatch, {"threshold": 0.9, **options}, threshold=0.9, **switches)
    assert 0 < (wanted.mark >= 0).sum() < ROWS  # some rows are marked and some are not
    np.testing.assert_allclose(method.thresholds().numpy(), wanted.thresholds(), rtol=1e-6)


def marked(*counts, rows=10, classes=2, **options):
    """A method whose rows have been marked, through `after_step`: so many with class 0, with class 1, ..."""
    method = make("flexmatch", classes, rows, **options)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    visit(method, torch.arange(len(labels)), sure(labels, classes))
    return method


def sure(labels, classes=2):
    """(n, K) one-hot predictions."""
    return torch.eye(classes)[labels]


def visit(method, index, probabilities):
    method.after_step({"index": index, "probabilities": probabilities}, PROGRESS)


@pytest.mark.parametrize(("warmup", "shares"), [(True, (1 / 3, 1 / 11)), (False, (1, 1 / 5))])
def test_thresholds_by_hand(warmup, shares):
    """Of 10 rows 3 are marked with class 0, 1 with class 1. With warm-up the 6 others are the most: beta .5 and 1/6."""
    method = marked(3, 1, warmup=warmup)
    torch.testing.assert_close(method.thresholds(), 0.95 * torch.tensor(shares))


def test_the_mappings_by_hand():
    """beta = (1, 1/3): linear 1/3, concave log2(4/3), convex 1/5."""
    for mapping, share in (("linear", 1 / 3), ("concave", math.log2(4 / 3)), ("convex", 1 / 5)):
        method = marked(3, 1, warmup=False, mapping=mapping)
        torch.testing.assert_close(method.thresholds(), 0.95 * torch.tensor([1, share]))


def test_the_mean_threshold_is_logged():
    batch = given(torch.zeros(1, 2), torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1, 2))
    assert marked(3, 1).loss(batch, PROGRESS).terms["threshold"].item() == pytest.approx(0.95 * (1 / 3 + 1 / 11) / 2)


def test_at_the_start_every_prediction_counts():
    for warmup in (True, False):
        out = by_hand("flexmatch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), warmup=warmup)
        assert out.guess.weight.tolist() == [1, 1] and out.terms["pseudo"].item() == pytest.approx(math.log(2))


def test_rows_without_a_mark_are_those_of_the_unlabelled_stream():
    """Of 10 rows 6 are in the stream, 2 of them marked: 4 are not, and beta is 1/2. Of all rows 8 are not: 1/4."""
    some = torch.arange(2)
    facts = Facts(2, 10, some, some, torch.arange(4, 10))
    method = ALGORITHMS.create("flexmatch", net=Fixed(2), facts=facts)
    visit(method, torch.tensor([4, 5]), sure([0, 0]))
    torch.testing.assert_close(method.thresholds(), 0.95 * torch.tensor([1 / 3, 0]))


def test_the_warm_up_ends():
    """Once all rows are marked, unmarked ones are 0 and no class of their own."""
    torch.testing.assert_close(marked(6, 4).thresholds(), 0.95 * torch.tensor([1, 0.5]))
    torch.testing.assert_close(marked(6, 4).thresholds(), marked(6, 4, warmup=False).thresholds())


def test_a_mark_asks_for_the_full_threshold():
    """The threshold of class 1 is .19, so that .8 counts; it is below .95, so that the row is not marked."""
    method = marked(3, 1, warmup=False)
    batch = given(torch.zeros(1, 2), torch.tensor([0]), log((0.2, 0.8)), torch.zeros(1, 2), u_index=torch.tensor([9]))
    out = method.loss(batch, PROGRESS)
    method.after_step(out.seen, PROGRESS)
    assert out.guess.weight.tolist() == [1] and method.chosen[9] == 2
    assert method.counts.tolist() == [3, 1, 6]


def test_a_step_is_gated_by_the_marks_before_it():
    """With this step's marks counted the thresholds would be (.95, 0), without the warm-up, and .6 would not count."""
    out = by_hand("flexmatch", weak=log((0.96, 0.04), (0.6, 0.4)), strong=torch.zeros(2, 2), warmup=False)
    assert out.guess.weight.tolist() == [1, 1]


def test_a_mark_is_replaced_and_never_removed():
    method = marked(1)
    visit(method, torch.tensor([0]), torch.tensor([[0.4, 0.6]]))
    assert method.chosen[0] == 0
    visit(method, torch.tensor([0]), torch.tensor([[0.04, 0.96]]))
    assert method.chosen[0] == 1 and method.counts.tolist() == [0, 1, 9]


def test_with_equal_marks_and_none_missing_it_is_fixmatch():
    case = {"weak": log((0.96, 0.04), (0.9, 0.1)), "strong": log((0.3, 0.7), (0.6, 0.4))}
    batch = given(torch.zeros(1, 2), torch.tensor([0]), case["weak"], case["strong"])
    torch.testing.assert_close(marked(5, 5).loss(batch, PROGRESS).total, by_hand("fixmatch", **case).total)


def test_the_counts_are_those_of_the_marks_after_many_steps_with_repeated_rows():
    classes, rows = 4, 30
    method = make("flexmatch", classes, rows, threshold=0.5)
    torch.manual_seed(0)
    for _ in range(60):
        index = torch.randint(rows - 5, (12,))  # some rows are drawn twice, and some never
        visit(method, index, (2 * torch.randn(12, classes)).softmax(dim=1))
        assert torch.equal(method.counts, torch.bincount(method.chosen, minlength=classes + 1))
    assert method.counts.min() > 0


def test_a_row_drawn_twice_is_marked_by_the_mean_of_its_predictions():
    """(.99, .01) and (.8, .2) are .895 in the mean, below the threshold; (.99, .01) twice counts once."""
    method = make("flexmatch", 2)
    visit(method, torch.tensor([3, 3, 4, 4]), torch.tensor([[0.99, 0.01], [0.8, 0.2], [0.99, 0.01], [0.99, 0.01]]))
    assert method.chosen[3] == 2 and method.chosen[4] == 0
    assert method.counts.tolist() == [1, 0, 9]


@pytest.mark.parametrize(("option", "value"), [("threshold", 1.5), ("weight", -1), ("mapping", "steep"), ("over", "rows")])
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        by_hand("flexmatch", weak=torch.zeros(2, 2), strong=torch.zeros(2, 2), **{option: value})
