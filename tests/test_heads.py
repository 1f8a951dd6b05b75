"""Heads of a method's own: what they get of a net, and what they give."""

import pytest
import torch
from torch import nn

from ssl_zoo import Facts
from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.errors import InputError
from ssl_zoo.heads import Projection, hidden_size
from tests.conftest import K, TinyNet


def test_a_projection_by_hand():
    """(1, -1) through the identity, a slope of .1 and a sum and a difference: (.9, 1.1), of length 1; with ReLU (1, 1)."""
    net = TinyNet()
    net.num_features = 2
    for slope, wanted in ((0.1, [0.9, 1.1]), (0.0, [1.0, 1.0])):
        head = Projection(net, 2, slope)
        with torch.no_grad():
            head.first.weight.copy_(torch.eye(2)), head.first.bias.zero_()
            head.second.weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]])), head.second.bias.zero_()
        got = head(torch.tensor([[1.0, -1.0]]))
        torch.testing.assert_close(got, nn.functional.normalize(torch.tensor([wanted]), dim=1))


def test_a_projection_gives_vectors_of_length_one_and_learns():
    head = Projection(TinyNet(), 5, 0.1)
    made = head(torch.randn(7, 4))
    assert made.shape == (7, 5)
    torch.testing.assert_close(made.norm(dim=1), torch.ones(7))
    (made[:, 0].sum()).backward()
    assert all(p.grad.abs().max() > 0 for p in head.parameters())


def test_a_projection_is_not_rounded_by_autocast():
    head, hidden = Projection(TinyNet(), 5), torch.randn(7, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(hidden).dtype == torch.float32
        inside = head(hidden)
    assert torch.equal(inside, head(hidden))


def test_hidden_size_is_what_the_last_layer_gets():
    net = TinyNet()
    assert hidden_size(net) == 4 == net.forward_head(net.forward_features(torch.zeros(1, 2, 5, 5)), pre_logits=True).shape[1]
    net.head_hidden_size = 9  # as timm says it of a net with a layer between
    assert hidden_size(net) == 9


@pytest.mark.parametrize("make", [hidden_size, lambda net: Projection(net, 2)])
def test_a_net_that_does_not_say_is_refused_by_what_it_lacks(make):
    net = nn.Linear(2, 2)
    net.num_features = 2
    with pytest.raises(InputError, match="but Linear has no forward_features, forward_head; follow") as refused:
        make(net)
    assert "num_features" not in str(refused.value)


@pytest.mark.parametrize("norm", [False, True])
def test_outputs_of_a_method_are_its_nets_logits_and_what_the_last_layer_gets(norm):
    """One joint pass gives both; with batch norms it is one set of batch statistics and one update of the running ones."""
    some = torch.arange(K)
    method = AlgorithmBase(TinyNet(norm), Facts(K, 12, some, some, torch.arange(12)))
    x, *views = (torch.randn(n, 2, 5, 5) for n in (4, 6, 6))
    logits, hidden = method.student_outputs(x, *views)
    after = [buffer.clone() for buffer in method.net.buffers()]
    assert [rows.shape for rows in logits] == [(4, K), (6, K), (6, K)]
    assert [rows.shape for rows in hidden] == [(4, 4), (6, 4), (6, 4)]
    for rows, wanted in zip(logits, method.student_logits(x, *views), strict=True):
        assert torch.equal(rows, wanted)
    wanted = method.net.forward_head(method.net.forward_features(torch.cat((x, *views))), pre_logits=True)
    assert torch.equal(torch.cat(hidden), wanted)
    assert all(int(buffer) == 1 for buffer in after if buffer.dtype == torch.int64)


def test_outputs_of_a_method_are_in_full_precision_under_autocast():
    some = torch.arange(K)
    method = AlgorithmBase(TinyNet(), Facts(K, 12, some, some, torch.arange(12)))
    with torch.autocast("cpu", torch.bfloat16):
        logits, hidden = method.student_outputs(torch.randn(4, 2, 5, 5), torch.randn(6, 2, 5, 5))
    assert {rows.dtype for rows in (*logits, *hidden)} == {torch.float32}
