"""MixMatch against Berthelot et al. 2019, arXiv:1905.02249: algorithm 1, eq. 2 to 11, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import ALGORITHMS, InputError
from tests.algorithms.by_hand import Fixed, given, log, make
from tests.algorithms.reference import Paper, cross_entropies, follow, norm, one_hot, softmax
from tests.conftest import TinyNet, make_batch


class MixMatch(Paper):
    """L_X + lambda_U L_U over X', U' = MixUp of X, U with shuffled W; q = Sharpen(mean over k of p(u_k), T) for every u_k."""

    def believed(self, batch):
        q = np.mean([softmax(self.logits(u)) for u in batch.u], axis=0)
        return norm(q ** (1 / self.switches.get("temperature", 0.5)))

    def mixed(self, values, batch):
        share = np.maximum(batch.share, 1 - batch.share).reshape(-1, 1)
        return share * values + (1 - share) * values[batch.partner]

    def loss(self, w, batch, q):
        images = self.mixed(np.concatenate([batch.x, *batch.u]), batch)
        labels = self.mixed(np.concatenate([one_hot(batch.y), *[q] * len(batch.u)]), batch)
        z, n = self.logits(images, w), len(batch.x)
        y = labels[:n] * self.switches.get("class_weights", [1.0] * 3)
        error = ((softmax(z[n:]) - labels[n:]) ** 2).sum(axis=1).mean() / (1 if self.switches.get("sum") else 3)
        rise = min(batch.progress / self.switches.get("length", 1 / 64), 1)
        return cross_entropies(z[:n], y).mean() + self.switches.get("weight", 75.0) * rise * error


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 5.0, "ramp_length": 0.4, "alpha": 0.5}, {"weight": 5.0, "length": 0.4, "alpha": 0.5}),
        ({"guesses": 3, "temperature": 0.25}, {"temperature": 0.25}),
        ({"guesses": 1, "temperature": 1.0}, {"temperature": 1.0}),
        ({"reduction": "sum", "weight": 5.0}, {"sum": True, "weight": 5.0}),
        ({"passes": "interleaved"}, {}),
        ({"passes": "each"}, {}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches, monkeypatch):
    draw = np.random.default_rng(5)

    def draws(batch, method, step):
        rows = len(batch.x) + sum(map(len, batch.u))
        batch.share, batch.partner = draw.beta(0.75, 0.75, rows), draw.permutation(rows)
        monkeypatch.setattr("ssl_zoo.algorithms.mixmatch.beta_draws", lambda rows, a, per: torch.from_numpy(batch.share))
        monkeypatch.setattr("ssl_zoo.algorithms.mixmatch.partners", lambda rows: torch.from_numpy(batch.partner))

    follow("mixmatch", MixMatch, options, each=draws, **switches)


def step(*views, x=((0.0, 0.0),), progress=1.0, **options):
    """The loss of one labelled image of class 0, and unlabelled ones with these logits in each view."""
    x = torch.tensor(x)
    batch = given(x, torch.zeros(len(x), dtype=torch.int64), *views)
    return make("mixmatch", x.shape[1], guesses=len(views), **options).loss(batch, torch.tensor(progress))


def draw(monkeypatch, share, partner):
    monkeypatch.setattr("ssl_zoo.algorithms.mixmatch.beta_draws", lambda rows, alpha, per: torch.full((len(rows),), share))
    monkeypatch.setattr("ssl_zoo.algorithms.mixmatch.partners", lambda rows: torch.tensor(partner))


def test_by_hand_without_mixing():
    """p = (.9, .1), (.7, .3): mean (.8, .2), q = (.9412, .0588); CE log 2, the error's mean over views and classes."""
    out = step(log((0.9, 0.1)), log((0.7, 0.3)), alpha=0)
    q = 16 / 17
    torch.testing.assert_close(out.guess.target, torch.tensor([[q, 1 - q]]))
    assert out.guess.views == (0, 1) and out.guess.weight.tolist() == [1]
    assert out.terms["supervised"].item() == pytest.approx(math.log(2))
    assert out.terms["consistency"].item() == pytest.approx(((q - 0.9) ** 2 + (q - 0.7) ** 2) / 2, rel=1e-5)
    assert out.total.item() == pytest.approx(math.log(2) + 75 * ((q - 0.9) ** 2 + (q - 0.7) ** 2) / 2, rel=1e-5)


def test_predictions_are_averaged_before_they_are_sharpened():
    """Sharpened first, (.9, .1) and (.7, .3) would be (.988, .012) and (.845, .155): mean .916."""
    target = step(log((0.9, 0.1)), log((0.7, 0.3)), alpha=0).guess.target[0, 0].item()
    assert target == pytest.approx(0.9412, abs=1e-4) and abs(target - 0.916) > 0.02


def test_by_hand_with_mixing(monkeypatch):
    """x = (0, 0) of class 0, u = log (.8, .2): q = (.9412, .0588), temperature .5. With a share of .75 of itself:

    x' = .25 log (.8, .2), y' = .75 (1, 0) + .25 q; u' = .75 log (.8, .2), q' = .75 q + .25 (1, 0).
    """
    draw(monkeypatch, 0.75, [1, 0])
    out = step(log((0.8, 0.2)))
    q, p, pu = 16 / 17, 1 / (1 + 4**-0.25), 1 / (1 + 4**-0.75)
    y, qu = 0.75 + 0.25 * q, 0.75 * q + 0.25
    assert out.terms["supervised"].item() == pytest.approx(-y * math.log(p) - (1 - y) * math.log(1 - p), rel=1e-5)
    assert out.terms["consistency"].item() == pytest.approx((pu - qu) ** 2, rel=1e-4)


def test_a_mixture_is_nearer_to_its_own_image(monkeypatch):
    """A share of .25 counts as .75; without the maximum (LAMDA-SSL) images and their rows' labels would change places."""
    values = []
    for share in (0.25, 0.75):
        draw(monkeypatch, share, [1, 0])
        values.append(step(log((0.8, 0.2))).terms["supervised"].item())
    assert values[0] == values[1]
    draw(monkeypatch, 1.0, [1, 0])
    assert step(log((0.8, 0.2))).terms["supervised"].item() == pytest.approx(math.log(2))  # itself alone, not its partner


def test_a_sum_over_classes_is_as_many_times_the_mean():
    mean, total = (step(log((0.9, 0.1)), log((0.7, 0.3)), alpha=0, reduction=r).terms["consistency"] for r in ("mean", "sum"))
    assert total.item() == pytest.approx(2 * mean.item())


def test_guesses_carry_no_gradient():
    """Not mixed, u learns from its own prediction alone: 2 (p - q) p (1 - p) over U K = 2 for each of two logits."""
    out = step(log((0.8, 0.2)), alpha=0)
    (u,) = torch.autograd.grad(out.terms["consistency"], Fixed.given[1:])
    slope = 2 * (0.8 - 16 / 17) * 0.8 * 0.2
    torch.testing.assert_close(u, torch.tensor([[slope, -slope]]), rtol=1e-4, atol=1e-7)


def test_all_images_are_in_the_draw_and_how_shares_are_drawn_is_an_option(monkeypatch):
    asked = []
    inner = "ssl_zoo.algorithms.mixmatch.beta_draws"
    monkeypatch.setattr(inner, lambda rows, alpha, per: asked.append((len(rows), alpha, per)) or torch.ones(len(rows)))
    step(torch.zeros(4, 2), torch.zeros(4, 2))
    step(torch.zeros(4, 2), alpha=0.5, share_per="batch")
    assert asked == [(9, 0.75, "row"), (5, 0.5, "batch")]


def test_running_statistics_are_those_of_the_mixed_rows(facts):
    """Of one pass, and not of the guesses: in it are all rows, which a permutation that mixes nothing leaves as they are."""
    torch.manual_seed(0)
    method, alone, batch = (
        ALGORITHMS.create("mixmatch", net=TinyNet(), facts=facts, alpha=0).train(),
        TinyNet().train(),
        make_batch(2),
    )
    alone.load_state_dict(method.net.state_dict())
    method.loss(batch, torch.tensor(1.0)), alone(torch.cat((batch.x, *batch.u)))
    torch.testing.assert_close(method.net.state_dict(), alone.state_dict())


def test_guesses_are_made_with_batch_statistics(facts):
    torch.manual_seed(0)
    method, batch = ALGORITHMS.create("mixmatch", net=TinyNet(), facts=facts, temperature=1.0).train(), make_batch(2)
    with torch.no_grad():
        wanted = sum(TinyNet.forward(method.net.train(), u).softmax(dim=1) for u in batch.u) / 2
    torch.testing.assert_close(method.loss(batch, torch.tensor(1.0)).guess.target, wanted)


@pytest.mark.parametrize("passes", ["joint", "interleaved", "each"])
def test_passes_differ_with_batch_norm_alone(facts, passes):
    """Without mixing, so that the passes alone can differ."""
    totals = []
    for name in (passes, "joint"):
        torch.manual_seed(0)
        method = ALGORITHMS.create("mixmatch", net=TinyNet(), facts=facts, alpha=0, passes=name).train()
        totals.append(method.loss(make_batch(2), torch.tensor(1.0)).total.item())
        assert method.net.norm.num_batches_tracked == 1
    assert (totals[0] == totals[1]) == (passes == "joint")


@pytest.mark.parametrize(
    ("option", "value"),
    [("weight", -1), ("alpha", -1), ("temperature", 0), ("share_per", "image"), ("passes", "two"), ("reduction", "max")],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("mixmatch", 2, **{option: value})


def test_it_guesses_from_one_view_at_least(facts):
    with pytest.raises(InputError, match="guesses"):
        make("mixmatch", 2, guesses=0)
    assert make("mixmatch", 2, guesses=3).views == ("weak",) * 3
