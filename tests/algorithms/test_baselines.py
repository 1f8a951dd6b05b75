"""Baselines: each is what scikit-learn fits, number by number, and refuses what it cannot be fitted on."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from ssl_zoo import ALGORITHMS, NETS, Facts, InputError
from ssl_zoo.heads import Features, Neighbours, last_layer
from ssl_zoo.testing import check_algorithm
from tests.conftest import BASELINES, TinyNet, make_batch

SHAPE = (1, 3, 3)  # C, H, W of an image
D = 9


def points(classes=3, labeled=12, unlabeled=40, test=50, seed=0):
    """Clouds of images around a centre for each class: labelled ones with classes, unlabelled ones, others."""
    draw = np.random.default_rng(seed)
    centres = 1.5 * draw.standard_normal((classes, D))
    y = np.arange(labeled) % classes
    hidden, asked = (draw.integers(0, classes, count) for count in (unlabeled, test))
    parts = [(centres[k] + draw.standard_normal((len(k), D))).astype(np.float32) for k in (y, hidden, asked)]
    return parts[0], y, parts[1], parts[2]


def fitted(name, x, y, u, classes=3, weights=None, **options):
    torch.manual_seed(0)
    net = NETS.create("linear", classes, *SHAPE[:1], SHAPE[1:])
    rows = len(x) + len(u)
    facts = Facts(classes, rows, torch.arange(len(x)), torch.from_numpy(y), torch.arange(rows), weights)
    method = ALGORITHMS.create(name, net=net, facts=facts, features="pixels", **options)
    return method, method.fit(x, y, u)


@torch.no_grad()
def probabilities(method, x):
    return method.eval_net()(torch.from_numpy(x).view(-1, *SHAPE)).softmax(dim=1).numpy()


class OneScale(TransformerMixin, BaseEstimator):
    """Features of the labelled images less their mean, over the root of the mean of their variances."""

    def __init__(self, x=None):
        self.x = x

    def fit(self, x, y=None):
        x = x if self.x is None else self.x
        self.mean_ = x.mean(axis=0, dtype=float).astype(x.dtype)
        self.scale_ = float(np.sqrt(x.var(axis=0, dtype=float).mean()))
        return self

    def transform(self, x):
        return (x - self.mean_) / self.scale_


def line(C, x=None, **more):
    return make_pipeline(OneScale(x), LogisticRegression(C=C, max_iter=1000, **more))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_probe_is_scikit_learns_logistic_regression(classes):
    x, y, u, t = points(classes, labeled=6 * classes)
    method, found = fitted("probe", x, y, u, classes, C=0.3)
    np.testing.assert_allclose(probabilities(method, t), line(0.3).fit(x, y).predict_proba(t), atol=2e-6)
    assert found == {"C": 0.3, "folds": 0}


def test_a_constant_feature_and_a_scale_change_nothing():
    x, y, u, t = points()
    x[:, 2] = t[:, 2] = 7
    method, _ = fitted("probe", x, y, u, C=1.0)
    other, _ = fitted("probe", 100 * x + 3, y, u, C=1.0)
    np.testing.assert_allclose(probabilities(method, t), probabilities(other, 100 * t + 3), atol=1e-4)
    np.testing.assert_allclose(probabilities(method, t), line(1.0).fit(x, y).predict_proba(t), atol=2e-6)


def test_a_pixel_that_is_hardly_ever_lit_is_not_blown_up():
    """As where it is scaled by its own deviation over few images."""
    x, y, u, t = points()
    x[:, 2], t[:, 2] = 0, 1
    x[0, 2] = 0.001
    without, _ = fitted("probe", x * (np.arange(D) != 2), y, u, C=1.0)
    method, _ = fitted("probe", x, y, u, C=1.0)
    np.testing.assert_allclose(probabilities(method, t), probabilities(without, t), atol=1e-2)


def test_class_weights_are_those_of_the_data():
    x, y, u, t = points()
    weights = torch.tensor([0.2, 1.0, 5.0])
    method, _ = fitted("probe", x, y, u, weights=weights, C=1.0)
    theirs = line(1.0, class_weight={0: weights[0].item(), 1: 1.0, 2: 5.0}).fit(x, y).predict_proba(t)
    np.testing.assert_allclose(probabilities(method, t), theirs, atol=2e-6)
    assert abs(probabilities(fitted("probe", x, y, u, C=1.0)[0], t) - theirs).max() > 0.05


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_without_a_label_gets_no_image(name):
    """As where validation took its only one."""
    x, y, u, t = points()
    y = np.where(y == 1, 3, y)
    method, _ = fitted(name, x, y, u, classes=4)
    found = probabilities(method, t)
    assert found.shape == (50, 4) and found[:, 1].max() < 1e-8
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_strength_is_chosen_by_the_labels_alone():
    x, y, u, _ = points(labeled=30)
    _, found = fitted("probe", x, y, u)
    assert found["folds"] == 5 and found["C"] in [10.0**power for power in range(-4, 5)]
    assert fitted("probe", x, y, -9 * u)[1] == found
    noise = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    assert fitted("probe", noise, y, u)[1]["C"] < found["C"]  # of what says nothing the penalty is to leave little


@pytest.mark.parametrize(("each", "folds"), [(1, 0), (2, 2), (3, 3), (7, 5)])
def test_there_are_never_more_folds_than_images_of_a_class(each, folds):
    x, y, u, _ = points(labeled=3 * each)
    _, found = fitted("probe", x, y, u)
    assert found["folds"] == folds and (folds or found["C"] == 1)
    assert fitted("probe", x, y, u, folds=2)[1]["folds"] == min(folds, 2)


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_selftraining_is_scikit_learns(threshold):
    x, y, u, t = points()
    method, found = fitted("selftraining", x, y, u, C=1.0, threshold=threshold)
    both, labels = np.concatenate((x, u)), np.concatenate((y, np.full(len(u), -1)))
    theirs = SelfTrainingClassifier(line(1.0, x), threshold=threshold, max_iter=10).fit(both, labels)
    np.testing.assert_allclose(probabilities(method, t), theirs.predict_proba(t), atol=2e-6)
    assert found["labelled"] == (theirs.transduction_ >= 0).sum() - len(x) > 0


def test_selftraining_without_unlabelled_images_is_probe():
    x, y, _, t = points()
    alone = np.empty((0, 1), np.float32)
    np.testing.assert_array_equal(
        probabilities(fitted("selftraining", x, y, alone)[0], t), probabilities(fitted("probe", x, y, alone)[0], t)
    )


@pytest.mark.filterwarnings("ignore:max_iter", "ignore:invalid value")  # scikit-learn's, of its own numbers
@pytest.mark.parametrize("options", [{}, {"neighbors": 3, "alpha": 0.9}])
def test_labelspreading_is_scikit_learns(options):
    x, y, u, t = points(labeled=9, unlabeled=200)
    method, found = fitted("labelspreading", x, y, u, **options)
    both, labels = np.concatenate((x, u)), np.concatenate((y, np.full(len(u), -1)))
    own = {"n_neighbors": options.get("neighbors", 7), "alpha": options.get("alpha", 0.2)}
    theirs = LabelSpreading(kernel="knn", **own).fit(both, labels)
    known = theirs.predict_proba(t)
    reached = np.isfinite(known).all(axis=1)  # of an image that no label reaches, theirs are not numbers
    assert reached.sum() >= 25
    np.testing.assert_allclose(probabilities(method, t)[reached], known[reached], atol=1e-6)
    assert found == {"rounds": theirs.n_iter_}


def test_what_no_label_reaches_is_as_likely_one_as_another():
    memory = Neighbours(NETS.create("linear", 2, 1, (1, 1)), rows=3, width=1, classes=2, neighbors=2)
    memory.remember(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]))
    found = memory(torch.tensor([0.4, 9.0, 60.0]).view(3, 1, 1, 1)).softmax(dim=1)
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.5, 0.5]]))
    memory.shares.zero_()
    torch.testing.assert_close(memory(torch.zeros(1, 1, 1, 1)).softmax(dim=1), torch.tensor([[0.5, 0.5]]))


def test_fewer_images_than_neighbours_are_refused():
    x, y, _, _ = points(labeled=6)
    alone = np.empty((0, D), np.float32)
    with pytest.raises(InputError, match=r"there are 6 images.*`algorithms.labelspreading.neighbors=1`"):
        fitted("labelspreading", x, y, alone)
    method, _ = fitted("labelspreading", x, y, alone, neighbors=1)
    assert (probabilities(method, x).argmax(axis=1) == y).all()


def test_the_last_layer_is_what_features_go_to(net):
    x = torch.randn(4, 2, 5, 5)
    hidden = Features(net)(x)
    torch.testing.assert_close(last_layer(net)(hidden), net(x))
    with pytest.raises(InputError, match="a Flatten has no `forward_features` and `forward_head`"):
        Features(torch.nn.Flatten())
    with pytest.raises(InputError, match="a Conv2d does not end in a linear layer with a bias"):
        last_layer(torch.nn.Conv2d(1, 1, 1))


def test_a_probe_changes_nothing_of_its_net_but_the_last_layer(net, facts):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    method = ALGORITHMS.create("probe", net=net, facts=facts)
    x, y, u, _ = points(labeled=12)
    method.fit(x[:, :4], y, u[:, :4])
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert {name for name, value in method.named_parameters() if value.requires_grad} == {"net.head.weight", "net.head.bias"}


@pytest.mark.parametrize("name", BASELINES)
def test_there_is_no_loss_to_check(name, net, facts):
    method = ALGORITHMS.create(name, net=net, facts=facts)
    with pytest.raises(InputError, match="is fitted at once and has no steps; call `fit`"):
        method.loss(make_batch(0), torch.zeros(()))
    with pytest.raises(InputError, match=f"{name} is fitted at once and has no loss to check"):
        check_algorithm(name)


def test_finetune_is_supervised_from_other_weights(facts):
    batch, found = make_batch(0), []
    for name in ("finetune", "supervised"):
        torch.manual_seed(0)
        found.append(ALGORITHMS.create(name, net=TinyNet(), facts=facts).loss(batch, torch.zeros(())).total)
    assert torch.equal(*found)
