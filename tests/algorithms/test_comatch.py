"""CoMatch against Li et al. 2021, arXiv:2011.11183: sec. 3 and algorithm 1, and numbers that follow by hand."""

import math

import numpy as np
import pytest
import torch

from ssl_zoo import ALGORITHMS, Facts, InputError
from tests.algorithms.by_hand import given, log, make
from tests.algorithms.embedded import HEAD, Pixels, images, make_embedded, project
from tests.algorithms.reference import Paper, cross_entropies, follow, norm, one_hot, softmax


class CoMatch(Paper):
    """CE + mean 1[max q >= tau] CE(q, p(s)) + mean CE(W, softmax(e e' / T)); q, W and the memory as algorithm 1 has them."""

    links = 0  # pairs of different images that were joined

    def start(self):
        self.window, self.bank = [], []  # means of batches; pairs (e, p), the newest last

    def believed(self, batch):
        s = self.switches
        p = softmax(self.logits(batch.u[0]))
        self.raw = p.mean(axis=0)
        self.p = norm(p / np.mean([*self.window, self.raw][-s.get("window", 32) :], axis=0))
        self.e, self.e_x = (project(self.w, x, 0.1) for x in (batch.u[0], batch.x))
        q = self.p
        if len(self.bank) == s.get("bank", 20):
            e, known = (np.array(part) for part in zip(*self.bank, strict=True))
            a = softmax(self.e @ e.T / s.get("T", 0.2))
            q = s.get("alpha", 0.9) * self.p + (1 - s.get("alpha", 0.9)) * a @ known
        joined = np.zeros((len(q), len(q)))
        for b in range(len(q)):
            for j in range(len(q)):
                together = q[b] @ q[j]
                joined[b, j] = 1 if b == j else together if together >= s.get("graph_threshold", 0.8) else 0
        self.links += int((joined > 0).sum()) - len(q)
        return q, q.max(axis=1) >= s["threshold"], norm(joined)

    def loss(self, w, batch, believed):
        q, kept, joined = believed
        s = self.switches
        one, two = (project(w, x, 0.1) for x in batch.u[1:])
        contrast = cross_entropies(one @ two.T / s.get("T", 0.2), joined).mean()
        pseudo = (kept * cross_entropies(self.logits(batch.u[1], w), q)).mean()
        return self.supervised(self.logits(batch.x, w), batch) + s.get("weight", 1) * pseudo + s.get("contrast", 1) * contrast

    def after(self, batch, believed):
        self.window.append(self.raw)
        self.bank += [*zip(self.e, self.p, strict=True), *zip(self.e_x, one_hot(batch.y), strict=True)]
        self.bank = self.bank[-self.switches.get("bank", 20) :]


SMALL = {"bank": 20, "embedding": 4, "threshold": 0.6}  # full after three of six steps of nine images


@pytest.mark.parametrize(
    ("options", "switches"),
    [
        ({}, {}),
        ({"weight": 2.5, "contrast_weight": 0.5}, {"weight": 2.5, "contrast": 0.5}),
        ({"threshold": 0.0, "alpha": 0.4, "temperature": 0.5}, {"threshold": 0.0, "alpha": 0.4, "T": 0.5}),
        ({"graph_threshold": 0.3}, {"graph_threshold": 0.3}),
        ({"window": 2, "bank": 7}, {"window": 2, "bank": 7}),
        ({"bank": 100}, {"bank": 100}),
        ({}, {"class_weights": [0.5, 2.0, 1.5]}),
    ],
    ids=str,
)
def test_it_is_the_papers(options, switches):
    CoMatch.links = 0
    method, paper = follow(
        "comatch", CoMatch, {**SMALL, **options}, parameters=HEAD, spread=2.0, **{"threshold": 0.6, **switches}
    )
    assert paper.links > 0, "or the graph is not tested"
    filled = len(paper.bank)
    for ring, part in ((method.embeddings, 0), (method.beliefs, 1)):
        places = np.arange(54 - filled, 54) % len(ring.rows)  # 54 images were written, one after the other
        np.testing.assert_allclose(ring.rows.numpy()[places], np.array([row[part] for row in paper.bank]), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(method.predictions.mean().numpy(), np.mean(paper.window[-method.predictions.means.shape[0] :], 0))


def two_views(weak, e_weak, e_one=None, e_two=None, strong=None):
    """A batch of these weak logits and embeddings, and of two strong views."""
    strong, e_one = torch.zeros_like(weak) if strong is None else strong, e_weak if e_one is None else e_one
    return images((weak, e_weak), (strong, e_one), (strong, e_one if e_two is None else e_two))


A, B = [1.0, 0.0], [0.0, 1.0]
BALANCED = log((0.8, 0.2), (0.2, 0.8))  # so that the mean of the batch is uniform
ONE = torch.tensor(1.0)


def remembered(bank, beliefs, **options):
    """A method whose bank is full of these embeddings and beliefs."""
    method = make_embedded("comatch", [0, 1], bank=len(bank), **options)
    method.embeddings.write(torch.tensor(bank))
    method.beliefs.write(torch.tensor(beliefs))
    return method


def test_smoothing_by_hand():
    """T = 1 / log 3: an embedding that is the first of two orthogonal ones gives them 3/4 and 1/4. alpha .5: (.775, .225)."""
    method = remembered([A, B], [A, B], alpha=0.5, temperature=1 / math.log(3))
    q = method.loss(two_views(BALANCED, torch.tensor([A, B])), ONE).guess.target
    torch.testing.assert_close(q, torch.tensor([[0.775, 0.225], [0.225, 0.775]]))


def test_until_the_bank_is_full_an_images_own_prediction_stands():
    """(.96, .04) passes .95; with alpha .9 and a bank that knows nothing it would be .914, and never pass."""
    batch = two_views(log((0.96, 0.04), (0.04, 0.96)), torch.tensor([A, B]))
    out = make_embedded("comatch", [0, 1], bank=3).loss(batch, ONE)
    torch.testing.assert_close(out.guess.target, torch.tensor([[0.96, 0.04], [0.04, 0.96]]))
    assert out.guess.weight.tolist() == [1, 1]
    uniform = remembered([A, B], [[0.5, 0.5]] * 2)
    assert uniform.loss(batch, ONE).guess.target[0].tolist() == pytest.approx([0.914, 0.086])
    assert uniform.loss(batch, ONE).guess.weight.tolist() == [0, 0]


def test_predictions_are_divided_by_their_mean_with_this_batch_in_it():
    """(.9, .1), (.6, .4): mean (.75, .25), so (3/4, 1/4) and (1/3, 2/3); a prior of labels has no part in it."""
    method = make_embedded("comatch", [0, 0, 0, 1])
    batch = two_views(log((0.9, 0.1), (0.6, 0.4)), torch.tensor([A, B]))
    out = method.loss(batch, ONE)
    torch.testing.assert_close(out.guess.target, torch.tensor([[0.75, 0.25], [1 / 3, 2 / 3]]))
    method.after_step(out.seen, ONE)
    torch.testing.assert_close(method.predictions.mean(), torch.tensor([0.75, 0.25]))
    again = method.loss(two_views(log((0.25, 0.75), (0.25, 0.75)), torch.tensor([A, B])), ONE)  # the mean is now (.5, .5)
    torch.testing.assert_close(again.guess.target, torch.tensor([[0.25, 0.75]] * 2))


def test_the_bank_remembers_what_is_believed_before_it_is_smoothed_and_labels():
    method = remembered([A, B, A], [A, B, A], alpha=0.1)
    batch = two_views(BALANCED, torch.tensor([B, A]))
    out = method.loss(batch, ONE)
    method.after_step(out.seen, ONE)
    assert (out.guess.target[0] - torch.tensor([0.8, 0.2])).abs().max() > 0.3
    torch.testing.assert_close(method.beliefs.rows, torch.tensor([[0.8, 0.2], [0.2, 0.8], [1.0, 0.0]]))
    torch.testing.assert_close(method.embeddings.rows, torch.tensor([B, A, A]))
    assert method.beliefs.count.item() == method.embeddings.count.item() == 6


def test_two_images_of_one_class_are_joined_by_hand():
    """q twice (1, 0), once (0, 1): rows (1/2, 1/2, 0) twice and (0, 0, 1)."""
    method = make_embedded("comatch", [0, 1])
    graph = method.graph(torch.tensor([A, A, B]))
    torch.testing.assert_close(graph, torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))


def test_an_image_is_joined_with_itself_however_unsure_it_is():
    """q = (.6, .4): q q' = .52 is below .8, and is not what stands on the diagonal; (.95, .05) twice: .905 / 1.905."""
    method = make_embedded("comatch", [0, 1])
    graph = method.graph(torch.tensor([[0.6, 0.4], [0.95, 0.05], [0.95, 0.05]]))
    other = 0.905 / 1.905
    torch.testing.assert_close(graph, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1 - other, other], [0.0, other, 1 - other]]))
    assert method.graph(torch.tensor([A, [0.8, 0.2]]))[0, 1] > 0, "at the threshold they are joined"


def test_contrast_by_hand():
    """Two images of different classes, embeddings apart: -log of e^(1/T) / (e^(1/T) + 1)."""
    out = make_embedded("comatch", [0, 1], temperature=0.5).loss(two_views(BALANCED, torch.tensor([A, B])), ONE)
    assert out.terms["contrast"].item() == pytest.approx(math.log1p(math.exp(-2)))
    crossed = two_views(BALANCED, torch.tensor([A, B]), e_two=torch.tensor([B, A]))
    assert make_embedded("comatch", [0, 1], temperature=0.5).loss(crossed, ONE).terms["contrast"].item() == pytest.approx(
        math.log1p(math.exp(2))
    )


def test_the_first_strong_view_learns_the_pseudo_label_and_both_learn_the_graph():
    e = torch.tensor([[0.8, 0.6], [0.3, 0.7]])
    out = make_embedded("comatch", [0, 1], threshold=0.0).loss(two_views(BALANCED, e), ONE)
    pseudo = torch.autograd.grad(out.terms["pseudo"], Pixels.given, retain_graph=True)
    assert [bool(g.any()) for g in pseudo] == [False, False, True, False]
    assert not pseudo[2][:, 2:].any()
    contrast = torch.autograd.grad(out.terms["contrast"], Pixels.given)
    assert [bool(g.any()) for g in contrast] == [False, False, True, True]
    assert not contrast[2][:, :2].any()


def test_without_smoothing_and_graph_it_is_fixmatch_with_soft_targets():
    """Predictions whose mean is uniform; the target is the prediction, not its class."""
    weak, strong = log((0.96, 0.04), (0.04, 0.96)), log((0.7, 0.3), (0.4, 0.6))
    method = remembered([A, B], [B, B], alpha=1.0, contrast_weight=0.0)
    out = method.loss(two_views(weak, torch.tensor([A, B]), strong=strong), ONE)
    rows = -(weak.exp() * strong.log_softmax(dim=1)).sum(dim=1)
    assert out.terms["pseudo"].item() == pytest.approx(rows.mean().item())
    fix = make("fixmatch", 2).loss(given(torch.zeros(1, 2), torch.tensor([0]), weak, strong), ONE)
    torch.testing.assert_close(out.guess.weight, fix.guess.weight)
    torch.testing.assert_close(out.terms["supervised"], fix.terms["supervised"])


def test_a_net_without_features_is_refused():
    some = torch.arange(2)
    with pytest.raises(InputError, match="forward_features"):
        ALGORITHMS.create("comatch", net=torch.nn.Linear(2, 2), facts=Facts(2, 10, some, some, torch.arange(10)))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("weight", -1),
        ("contrast_weight", -1),
        ("threshold", 1.5),
        ("graph_threshold", 1.5),
        ("alpha", 1.5),
        ("temperature", 0),
        ("bank", 0),
        ("window", 0),
        ("embedding", 0),
    ],
)
def test_what_it_refuses(option, value):
    with pytest.raises(InputError, match=option):
        make("comatch", 2, **{option: value})
