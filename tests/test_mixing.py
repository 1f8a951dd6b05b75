"""Mixtures: shares of the right law, pairs, and the passes over what comes out."""

import pytest
import torch
from torch import nn

from ssl_zoo.mixing import beta_draws, mixed_logits, mixup, partners
from tests.conftest import TinyNet


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.75, 1.0, 4.0, 100.0])
def test_shares_are_beta(alpha):
    """All of the law, by the greatest distance from its distribution function: above 1.95 / sqrt(n) once in 1,000."""
    from scipy.stats import beta, kstest

    torch.manual_seed(0)
    shares = beta_draws(torch.zeros(20_000), alpha).double().numpy()
    assert shares.min() >= 0 and shares.max() <= 1
    law = beta(alpha, alpha)
    # a float32 near 1 stands for all that round to it, which at a small alpha are many
    assert kstest(shares, lambda x: law.cdf(x + 1e-7)).statistic < 0.0138 + float(law.cdf(2e-7))


def test_extreme_uniform_numbers_make_shares(monkeypatch):
    """A uniform number of 0, and one next to 1, at an alpha whose powers overflow."""
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.tensor([[0, 1e-30, 1 - 6e-8, 0.5], [0.1, 0.6, 0.3, 0.25]]))
    for alpha in (1e-3, 0.1, 1.0, 1e4):
        shares = beta_draws(torch.zeros(4), alpha)
        assert shares.isfinite().all() and shares.min() >= 0 and shares.max() <= 1


def test_an_alpha_of_0_mixes_nothing_and_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert torch.equal(beta_draws(torch.zeros(5, 3), 0), torch.ones(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_share_per_row_or_one_for_the_batch():
    rows = torch.zeros(6, 2)
    assert len(beta_draws(rows, 1.0).unique()) == 6
    one = beta_draws(rows, 1.0, "batch")
    assert one.shape == (6,) and len(one.unique()) == 1


def test_partners_are_a_permutation():
    assert sorted(partners(torch.zeros(7, 2)).tolist()) == list(range(7))


def test_a_mixture_by_hand():
    one, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    torch.testing.assert_close(mixup(one, other, torch.tensor([0.75, 1.0])), torch.tensor([[0.75, 0.25], [1.0, 0.0]]))
    assert mixup(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), torch.tensor([0.75, 1.0]))[:, 0, 0, 0].tolist() == [0.25, 0]


def images(*sizes):
    return torch.randn(sum(sizes), 2, 5, 5, generator=torch.Generator().manual_seed(0)), list(sizes)


@pytest.mark.parametrize("passes", ["interleaved", "each"])
@pytest.mark.parametrize("sizes", [(4, 6, 6), (5, 7), (4,)])
def test_without_batch_norm_all_passes_give_the_same(passes, sizes):
    torch.manual_seed(0)
    net, (rows, sizes) = TinyNet(norm=False), images(*sizes)
    for one, other in zip(mixed_logits(net, rows, sizes, passes), mixed_logits(net, rows, sizes, "joint"), strict=True):
        torch.testing.assert_close(one, other)


class Seen(nn.Module):
    """Remembers what passed, and gives one logit: the image's number."""

    def __init__(self):
        super().__init__()
        self.passes, self.norm = [], nn.BatchNorm2d(1)

    def forward(self, x):
        self.norm(x)
        self.passes.append(x.flatten().tolist())
        return x.flatten(1)


def test_the_first_of_interleaved_passes_holds_all_kinds_and_each_passes_one_kind():
    rows = torch.arange(9.0).view(9, 1, 1, 1)  # three kinds
    net = Seen().train()
    logits = mixed_logits(net, rows, [3, 3, 3], "interleaved")
    assert net.passes == [[0, 4, 8], [3, 1, 5], [6, 7, 2]] and torch.cat(logits).flatten().tolist() == list(range(9))
    assert net.norm.num_batches_tracked == 1 and net.norm.running_mean.item() == pytest.approx(0.4)  # of 0, 4, 8
    net = Seen().train()
    logits = mixed_logits(net, rows, [2, 7], "interleaved")  # the last part has what is over
    assert net.passes == [[0, 5, 6, 7, 8], [2, 3, 4, 1]] and [*map(len, logits)] == [2, 7]
    assert torch.cat(logits).flatten().tolist() == list(range(9))
    net = Seen().train()
    mixed_logits(net, rows, [3, 3, 3], "each")
    assert net.passes == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] and net.norm.running_mean.item() == pytest.approx(0.1)
