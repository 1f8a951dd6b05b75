import math

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.losses import cross_entropy, entropy, full_precision, kl_divergence, row_cross_entropy, squared_error, weighted_mean


def test_squared_error_of_one_zero_against_halves_is_a_quarter():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    assert squared_error(a, b) == 0.25
    assert squared_error(a, b, "sum") == 0.5


def test_squared_error_is_a_mean_over_rows_and_weighted_rows_keep_the_denominator():
    a, b = torch.tensor([[1.0, 0.0], [3.0, 1.0]]), torch.zeros(2, 2)
    assert squared_error(a, b) == (0.5 + 5) / 2
    assert squared_error(a, b, row_weight=torch.tensor([1.0, 0.0])) == 0.25


def test_squared_error_gives_gradient_to_both_sides():
    a, b = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    squared_error(a, b).backward()
    torch.testing.assert_close(a.grad, (2 * (a - b) / 6).detach())
    torch.testing.assert_close(b.grad, -a.grad)


def test_squared_error_refuses_to_broadcast_and_an_unknown_reduction():
    with pytest.raises(InputError, match=r"\(2, 3\) with \(1, 3\)"):
        squared_error(torch.zeros(2, 3), torch.zeros(1, 3))
    with pytest.raises(InputError, match="reduction = 'max'"):
        squared_error(torch.zeros(2, 3), torch.zeros(2, 3), "max")


def test_cross_entropy_by_its_denominators():
    logits, labels = torch.zeros(4, 10), torch.tensor([0, 1, 2, 3])
    assert cross_entropy(logits, labels).item() == pytest.approx(math.log(10))
    assert cross_entropy(logits, labels, denominator=16).item() == pytest.approx(math.log(10) / 4)


def test_cross_entropy_with_weights_of_classes():
    """Over the number of images, not over the sum of their weights: so two halves of a batch give what the whole gives."""
    logits, labels, weight = torch.randn(8, 3), torch.tensor([0, 0, 0, 0, 1, 2, 0, 1]), torch.tensor([0.5, 3.0, 2.0])
    each = -logits.log_softmax(dim=1)[torch.arange(8), labels] * weight[labels]
    whole = cross_entropy(logits, labels, weight=weight)
    torch.testing.assert_close(whole, each.mean())
    torch.testing.assert_close(cross_entropy(logits, labels, 16, weight), each.sum() / 16)
    halves = [cross_entropy(logits[part], labels[part], weight=weight) for part in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(sum(halves) / 2, whole)
    assert torch.equal(cross_entropy(logits, labels, weight=torch.ones(3)), cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("given", "wanted"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)]
)
def test_full_precision(given, wanted):
    assert full_precision(torch.zeros(1, dtype=given)).dtype == wanted


def test_kl_divergence_by_hand_and_only_from_the_target():
    p, q = torch.tensor([[0.5, 0.5], [0.2, 0.8]]), torch.tensor([[1.0, 0.0], [0.6, 0.4]])
    second = 0.6 * math.log(0.6 / 0.2) + 0.4 * math.log(0.4 / 0.8)
    found = kl_divergence(p.log(), q.clamp(min=1e-30).log())
    assert found.item() == pytest.approx((math.log(2) + second) / 2, rel=1e-5)
    assert kl_divergence(p.log() + 3, p.log()).abs() < 1e-7
    logits = p.log().requires_grad_()
    kl_divergence(logits, q.clamp(min=1e-30).log()).backward()
    torch.testing.assert_close(logits.grad, (p - q) / 2)


def test_row_cross_entropy_of_classes_is_the_one_hot_case():
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    rows = row_cross_entropy(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(rows, torch.tensor([math.log(1 + math.exp(-1)), math.log(1 + math.exp(3))], dtype=torch.float64))
    torch.testing.assert_close(row_cross_entropy(logits, torch.tensor([[1.0, 0], [1, 0]], dtype=torch.float64)), rows)
    soft = row_cross_entropy(logits[:1], torch.tensor([[0.25, 0.75]], dtype=torch.float64))
    assert soft.item() == pytest.approx(math.log(1 + math.exp(-1)) + 0.75)


def test_entropy_of_even_and_of_certain_predictions():
    rows = entropy(torch.tensor([[0.0, 0.0, 0.0], [1000.0, 0.0, 0.0], [-math.inf, 0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([math.log(3), 0.0, math.log(2)]))


def test_entropy_has_a_finite_gradient_where_a_prediction_is_certain():
    logits = torch.tensor([[200.0, -200.0], [0.0, 1.0]], requires_grad=True)
    entropy(logits).sum().backward()
    assert logits.grad.isfinite().all() and logits.grad[1].abs().max() > 0.1


def test_a_weighted_mean_by_its_denominators():
    rows, weight = torch.tensor([2.0, 4.0, 8.0, 1.0]), torch.tensor([1.0, 0.5, 0.0, 0.0])
    assert weighted_mean(rows, weight).item() == 1.0
    assert weighted_mean(rows, weight, "kept").item() == pytest.approx(4 / 1.5)
    assert weighted_mean(rows, torch.zeros(4), "kept").item() == 0.0
    with pytest.raises(InputError, match="over = 'rows'"):
        weighted_mean(rows, weight, "rows")
