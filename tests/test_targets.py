"""Targets and row weights in closed form; no gradient comes out of any."""

import math

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.targets import align, class_thresholds, gate, one_hot, probabilities, sharpen, truncated_gaussian


def p(*rows, grad=False):
    return torch.tensor(rows, dtype=torch.float64, requires_grad=grad)


def close(found, *rows):
    torch.testing.assert_close(found, p(*rows), rtol=0, atol=1e-4)


def test_none_gives_a_gradient():
    rows, share = p((0.8, 0.2), (0.4, 0.6), grad=True), p(0.7, 0.3, grad=True)
    one = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    made = {
        "probabilities": probabilities(rows),
        "gate": gate(rows.amax(dim=1), 0.5),
        "sharpen": sharpen(rows, 0.5),
        "align": align(rows, share, share.flip(0)),
        "truncated_gaussian": truncated_gaussian(rows.amax(dim=1), one, one, 2.0),
        "class_thresholds": class_thresholds(share, 0.9),
    }
    assert [name for name, value in made.items() if value.requires_grad] == []


def test_probabilities_by_temperature_and_in_full_precision():
    close(probabilities(p((0.8, 0.2)).log()), (0.8, 0.2))
    close(probabilities(p((0.8, 0.2)).log(), 0.5), (0.9412, 0.0588))
    assert probabilities(torch.zeros(1, 3, dtype=torch.bfloat16)).dtype == torch.float32


def test_one_hot():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_gate_opens_at_its_threshold():
    confidence = torch.tensor([0.94, 0.95, 0.96])
    assert gate(confidence, 0.95).tolist() == [0, 1, 1] and gate(confidence, 0.0).tolist() == [1, 1, 1]
    assert gate(confidence, torch.tensor([0.9, 0.99, 0.96])).tolist() == [1, 0, 1]
    assert gate(confidence, torch.tensor(0.955)).tolist() == [0, 0, 1]


def test_sharpen_by_hand_and_at_its_ends():
    close(sharpen(p((0.8, 0.2)), 0.5), (0.9412, 0.0588))
    close(sharpen(p((0.8, 0.2)), 1.0), (0.8, 0.2))
    close(sharpen(p((0.5, 0.3, 0.2)), 1e-3), (1.0, 0.0, 0.0))
    close(sharpen(p((1.0, 0.0)), 0.5), (1.0, 0.0))
    assert sharpen(torch.tensor([[0.9, 0.1]]), 1e-6).isfinite().all()
    with pytest.raises(InputError, match="temperature"):
        sharpen(p((0.8, 0.2)), 0.0)


def test_align_by_hand():
    close(align(p((0.6, 0.4)), p(0.5, 0.5), p(0.75, 0.25)), (1 / 3, 2 / 3))
    close(align(p((0.6, 0.4)), p(0.9, 0.1), p(0.9, 0.1)), (0.6, 0.4))
    never = align(p((0.6, 0.4)), p(0.5, 0.5), p(1.0, 0.0))
    assert never.isfinite().all() and never[0, 1] > 0.999


def test_the_truncated_gaussian_by_hand():
    mean, variance = torch.tensor(0.7), torch.tensor(0.01)
    found = truncated_gaussian(torch.tensor([0.9, 0.7, 0.6, 0.5]), mean, variance, 2.0)
    torch.testing.assert_close(found, torch.tensor([1.0, 1.0, math.exp(-2), math.exp(-8)]))
    assert truncated_gaussian(torch.tensor([0.1, 0.9]), mean, variance, 0.0).tolist() == [1, 1]
    assert truncated_gaussian(torch.tensor([0.6, 0.8]), mean, torch.tensor(0.0), 2.0).tolist() == [0, 1]


def test_class_thresholds_by_hand():
    torch.testing.assert_close(class_thresholds(torch.tensor([0.53, 0.47]), 0.53), torch.tensor([0.53, 0.47]))
    torch.testing.assert_close(class_thresholds(torch.tensor([3.0, 1.0, 0.0]), 0.9), torch.tensor([0.9, 0.3, 0.0]))
    assert class_thresholds(torch.zeros(2), 0.9).tolist() == [0, 0]
