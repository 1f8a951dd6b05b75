"""ReMixMatch against Berthelot et al. 2019, arXiv:1911.09785: algorithm 1, eq. 3 to 6, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ssl_zoo import ALGORITHMS, Batch, Facts, InputError
from ssl_zoo.algorithms.remixmatch import turned
from tests.algorithms.by_hand import Fixed, log
from tests.algorithms.reference import CLASSES, LABELS, Paper, cross_entropies, follow, norm, one_hot, softmax
from tests.conftest import TinyNet, make_batch


class ReMixMatch(Paper):
    """Cross-entropies of mixed labelled, mixed unlabelled and first strong images, and of turns; q aligned, then sharpened."""

    def start(self):
        self.batches, self.steps = [], 0  # means of guesses, the last ones

    def believed(self, batch):
        self.guess = softmax(self.logits(batch.u[0]))
        window = self.switches.get("window", 128)
        before = [] if self.switches.get("empty") else [np.full(CLASSES, 1 / CLASSES)] * window
        model = np.mean([*before, *self.batches][-window:] or [np.full(CLASSES, 1 / CLASSES)], axis=0)
        labels = one_hot(LABELS).mean(axis=0)
        q = norm(self.guess * (labels + 1e-6) / (model + 1e-6))
        return norm(q ** (1 / self.switches.get("temperature", 0.5)))

    def mixed(self, values, batch):
        share = np.maximum(batch.share, 1 - batch.share).reshape(-1, 1)
        return share * values + (1 - share) * values[batch.partner]

    def loss(self, w, batch, q):
        weak, *strong = batch.u
        images = self.mixed(np.concatenate([batch.x, *strong, weak]), batch)
        labels = self.mixed(np.concatenate([one_hot(batch.y), *[q] * len(batch.u)]), batch)
        z, n = self.logits(images, w), len(batch.x)
        rise = min(batch.progress / self.switches.get("length", 1 / 64), 1)
        loss = cross_entropies(z[:n], labels[:n] * self.switches.get("class_weights", [1.0] * 3)).mean()
        loss = loss + self.switches.get("weight", 1.5) * rise * cross_entropies(z[n:], labels[n:]).mean()
        loss = loss + self.switches.get("unmixed", 0.5) * rise * cross_entropies(self.logits(strong[0], w), q).mean()
        if "turn_weight" not in w:
            return loss
        turns = strong[0] @ w["turn_weight"].T + w["turn_bias"]  # an image of one pixel a channel is the same, turned
        return loss + self.switches.get("rotation", 0.5) * cross_entropies(turns, np.eye(4)[batch.turns]).mean()

    def after(self, batch, q):
        self.steps += 1
        self.batches = [*self.batches, self.guess.mean(axis=0)][-self.switches.get("window", 128) :]

    def state(self):
        return {"believed.count": np.array(self.steps + (not self.switches.get("empty")) * self.switches.get("window", 128))}


HEAD = {"turn_weight": "quarters.weight", "turn_bias": "quarters.bias"}


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"anchors": 1, "window": 2, "temperature": 0.25}, {"window": 2, "temperature": 0.25}),
        ({"anchors": 1, "window_start": "empty"}, {"empty": True}),
        ({"anchors": 2, "weight": 3.0, "ramp_length": 0.8}, {"weight": 3.0, "length": 0.8}),
        ({"anchors": 2, "unmixed_weight": 2.0, "rotation_weight": 2.0}, {"unmixed": 2.0, "rotation": 2.0}),
        ({"anchors": 2, "rotation_weight": 0.0}, {}),
        ({"anchors": 2, "passes": "interleaved"}, {}),
        ({"anchors": 2, "passes": "each"}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches, monkeypatch):
    draw = np.random.default_rng(5)

    def draws(batch, method, step):
        rows, place = len(batch.x) + sum(map(len, batch.u)), "ssl_zoo.algorithms.remixmatch"
        batch.share, batch.partner = draw.beta(0.75, 0.75, rows), draw.permutation(rows)
        batch.turns = draw.integers(4, size=len(batch.u[0]))
        monkeypatch.setattr(f"{place}.beta_draws", lambda rows, alpha, per: torch.from_numpy(batch.share))
        monkeypatch.setattr(f"{place}.partners", lambda rows: torch.from_numpy(batch.partner))
        monkeypatch.setattr(torch, "randint", lambda high, size, device: torch.from_numpy(batch.turns))

    head = HEAD if options.get("rotation_weight", 1) else {}
    follow("remixmatch", ReMixMatch, options, each=draws, parameters=head, **switches)


LABELED = torch.tensor([0, 0, 0, 1])  # classes of the labelled rows: shares (.75, .25)


def make(**options):
    facts = Facts(2, 10, torch.arange(4), LABELED, torch.arange(10))
    return ALGORITHMS.create("remixmatch", net=Fixed(2), facts=facts, **{"anchors": 1, "alpha": 0, **options})


def step(weak, *strong, method=None, **options):
    """The loss of one labelled image of class 0 whose logits are 0."""
    method = make(anchors=len(strong), **options) if method is None else method
    Fixed.given = [logits.clone().requires_grad_() for logits in (torch.zeros(1, 2), weak, *strong)]
    x, *u = [logits[:, :, None, None] for logits in Fixed.given]
    return method.loss(
        Batch(x, torch.zeros(1, dtype=torch.int64), torch.arange(1), tuple(u), torch.arange(len(weak))), torch.tensor(1.0)
    )


def test_by_hand():
    """p = (.6, .4), labels' shares (.75, .25), guesses' still (.5, .5): (.9, .2) over 1.1 / 2, then squared: 81 to 4.

    Not mixed, and with strong logits 0, each cross-entropy is log 2, that of the weak view apart.
    """
    out = step(log((0.6, 0.4)), torch.zeros(1, 2), torch.zeros(1, 2))
    q = 81 / 85
    torch.testing.assert_close(out.guess.target, torch.tensor([[q, 1 - q]]), rtol=1e-4, atol=0)
    assert out.guess.views == (0,) and out.guess.weight.tolist() == [1]
    weak = -q * math.log(0.6) - (1 - q) * math.log(0.4)
    assert out.terms["supervised"].item() == pytest.approx(math.log(2)) == out.terms["unmixed"].item()
    assert out.terms["mixed"].item() == pytest.approx((2 * math.log(2) + weak) / 3, rel=1e-4)
    parts = [out.terms[name].item() for name in ("supervised", "mixed", "unmixed", "rotation")]
    assert out.total.item() == pytest.approx(sum(a * b for a, b in zip(parts, (1, 1.5, 0.5, 0.5), strict=True)), rel=1e-5)


def test_guesses_are_aligned_before_they_are_sharpened():
    """Sharpened first: (.36, .16) over .52, times 3 to 1: 27 to 4, which is .871 and not .953."""
    target = step(log((0.6, 0.4)), torch.zeros(1, 2)).guess.target[0, 0].item()
    assert target == pytest.approx(81 / 85, abs=1e-4) and abs(target - 27 / 31) > 0.08


def test_where_guesses_have_the_labels_shares_they_are_sharpened_alone():
    method = make(window_start="empty")
    method.after_step({"guessed": torch.tensor([[0.75, 0.25]])}, torch.tensor(0.0))
    out = step(log((0.6, 0.4)), torch.zeros(1, 2), method=method)
    torch.testing.assert_close(out.guess.target, torch.tensor([[9 / 13, 4 / 13]]))


def test_shares_are_a_mean_of_the_last_batches_of_guesses_before_the_alignment():
    """Read before this batch is written: after guesses (.6, .4) and (.8, .2), shares (.7, .3); with a window of 1 (.8, .2)."""
    for window, share in ((128, 0.7), (1, 0.8)):
        method = make(window=window, window_start="empty")
        for p in (0.6, 0.8):
            out = step(log((p, 1 - p)), torch.zeros(1, 2), method=method)
            torch.testing.assert_close(out.seen["guessed"], torch.tensor([[p, 1 - p]]))  # not aligned, not sharpened
            method.after_step(out.seen, torch.tensor(0.0))
        odds = (0.75 / share) / (0.25 / (1 - share))
        target = step(log((0.5, 0.5)), torch.zeros(1, 2), method=method).guess.target[0, 0].item()
        assert target == pytest.approx(odds**2 / (1 + odds**2), rel=1e-4)


def test_the_window_begins_with_uniform_shares():
    """After a guess of (.8, .2) two batches have the mean (.65, .35)."""
    method = make(window=2)
    method.after_step({"guessed": torch.tensor([[0.8, 0.2]])}, torch.tensor(0.0))
    torch.testing.assert_close(method.believed.mean(), torch.tensor([0.65, 0.35]))


def test_guesses_are_of_the_weak_view_alone():
    one, other = (step(log((0.6, 0.4)), strong) for strong in (torch.zeros(1, 2), torch.tensor([[3.0, -3.0]])))
    assert torch.equal(one.guess.target, other.guess.target)


def test_every_view_learns_and_no_guess_does():
    """The weak view too, as it is mixed in: (p - q) over two rows; the first strong one also by itself."""
    out = step(log((0.6, 0.4)), torch.zeros(1, 2))
    q = 81 / 85
    weak, strong = torch.autograd.grad(out.terms["mixed"], Fixed.given[1:], retain_graph=True)
    torch.testing.assert_close(weak, torch.tensor([[0.6 - q, q - 0.6]]) / 2, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(strong, torch.tensor([[0.5 - q, q - 0.5]]) / 2, rtol=1e-3, atol=1e-6)
    weak, strong = torch.autograd.grad(out.terms["unmixed"], Fixed.given[1:], allow_unused=True)
    assert weak is None
    torch.testing.assert_close(strong, torch.tensor([[0.5 - q, q - 0.5]]), rtol=1e-3, atol=1e-6)


def test_the_ramp_is_of_both_guessed_terms_and_not_of_the_turns(facts):
    torch.manual_seed(0)
    method = ALGORITHMS.create("remixmatch", net=TinyNet(norm=False), facts=facts, anchors=1, ramp_length=0.5, alpha=0).train()
    out = method.loss(make_batch(2), torch.tensor(0.25))
    wanted = out.terms["supervised"] + 0.5 * (1.5 * out.terms["mixed"] + 0.5 * out.terms["unmixed"]) + 0.5 * out.terms["rotation"]
    torch.testing.assert_close(out.total, wanted)


def test_images_are_turned_each_by_its_own_number():
    images = torch.randn(4, 3, 5, 5)
    for image, k, way in zip(images, (2, 0, 3, 1), turned(images, torch.tensor([2, 0, 3, 1])), strict=True):
        assert torch.equal(way, torch.rot90(image, k, (1, 2)))


def test_turns_are_told_by_the_turned_image(monkeypatch):
    """A net that gives the sum of each row of pixels, and a head that asks for the place of the one bright pixel."""

    class Rows(nn.Module):
        num_features = 4

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward_features(self, x):
            return x * self.scale

        def forward_head(self, f, pre_logits=False):
            return f.flatten(1) if pre_logits else f.flatten(1)[:, :2]

        def forward(self, x):
            return self.forward_head(self.forward_features(x))

    facts = Facts(2, 10, torch.arange(4), LABELED, torch.arange(10))
    method = ALGORITHMS.create("remixmatch", net=Rows(), facts=facts, anchors=1)
    bright = torch.zeros(4, 1, 2, 2)
    bright[:, 0, 0, 0] = 50.0  # turned by 0, 1, 2, 3 quarters it is at the place 0, 2, 3, 1 of the flat image
    with torch.no_grad():
        method.quarters.weight.copy_(torch.eye(4)[[0, 2, 3, 1]])
        method.quarters.bias.zero_()
    for turns in ([0, 1, 2, 3], [3, 3, 0, 2]):
        monkeypatch.setattr(torch, "randint", lambda high, size, device, turns=turns: torch.tensor(turns))
        assert method.rotation(bright).item() < 1e-6
        monkeypatch.setattr("ssl_zoo.algorithms.remixmatch.turned", lambda images, turns: images.rot90(1, (-2, -1)))
        assert method.rotation(bright).item() > 1, "all turned alike are told apart from their numbers"
        monkeypatch.undo()


def test_images_that_are_not_square_need_no_turns(facts):
    batch = make_batch(2)
    batch = batch._replace(x=batch.x[..., :4], u=tuple(u[..., :4] for u in batch.u))
    with pytest.raises(InputError, match="5 x 4 cannot be turned"):
        ALGORITHMS.create("remixmatch", net=TinyNet(), facts=facts, anchors=1).loss(batch, torch.tensor(1.0))
    method = ALGORITHMS.create("remixmatch", net=TinyNet(), facts=facts, anchors=1, rotation_weight=0)
    assert "rotation" not in method.loss(batch, torch.tensor(1.0)).terms and not any(
        "quarters" in key for key in method.state_dict()
    )


def test_running_statistics_are_those_of_the_mixed_rows(facts):
    torch.manual_seed(0)
    method = ALGORITHMS.create("remixmatch", net=TinyNet(), facts=facts, alpha=0, anchors=2).train()
    alone, batch = TinyNet().train(), make_batch(3)
    alone.load_state_dict(method.net.state_dict())
    method.loss(batch, torch.tensor(1.0)), alone(torch.cat((batch.x, *batch.u)))
    torch.testing.assert_close(method.net.state_dict(), alone.state_dict())


def test_all_images_are_in_the_draw_and_how_shares_are_drawn_is_an_option(monkeypatch):
    asked = []
    inner = "ssl_zoo.algorithms.remixmatch.beta_draws"
    monkeypatch.setattr(inner, lambda rows, alpha, per: asked.append((len(rows), alpha, per)) or torch.ones(len(rows)))
    step(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, 2), alpha=0.75)
    step(torch.zeros(4, 2), torch.zeros(4, 2), alpha=0.5, share_per="batch")
    assert asked == [(13, 0.75, "row"), (9, 0.5, "batch")]


def test_a_mixture_is_nearer_to_its_own_image(monkeypatch):
    place, values = "ssl_zoo.algorithms.remixmatch", []
    monkeypatch.setattr(f"{place}.partners", lambda rows: torch.arange(len(rows)).flip(0))
    for share in (0.25, 0.75):
        monkeypatch.setattr(f"{place}.beta_draws", lambda rows, alpha, per, share=share: torch.full((len(rows),), share))
        values.append(step(log((0.6, 0.4)), torch.ones(1, 2)).terms["supervised"].item())
    assert values[0] == values[1]


def test_its_views_are_as_many_as_anchors():
    assert make(anchors=3).views == ("weak", "strong", "strong", "strong") and make(anchors=3).target_views() == ()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("weight", -1), ("unmixed_weight", -1), ("rotation_weight", -1), ("anchors", 0), ("temperature", 0), ("alpha", -1)),
        *(("window", 0), ("window_start", "full"), ("share_per", "image"), ("passes", "two"), ("ramp", "x")),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make(**{option: value})
