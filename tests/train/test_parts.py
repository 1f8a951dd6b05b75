"""Optimiser, device, evaluation and checkpoint."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from ssl_zoo import ALGORITHMS, InputError, device
from ssl_zoo.device import autocast, holds, pick_device
from ssl_zoo.settings import OptimizerSettings, ScheduleSettings
from ssl_zoo.train.evaluate import balanced_accuracy, calibration_error, confusion, predict, score
from ssl_zoo.train.optimizer import make_optimizer, set_lr

CPU = torch.device("cpu")


def test_decay_acts_on_matrices_alone_unless_asked(net, facts):
    method = ALGORITHMS.create("meanteacher", net=net, facts=facts)
    decayed, plain = make_optimizer(method, OptimizerSettings(weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"]) and all(p.ndim == 1 for p in plain["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(net.parameters()))  # the student's, not the teacher's
    (every,) = make_optimizer(method, OptimizerSettings(decay_all=True)).param_groups
    assert len(every["params"]) == len(list(net.parameters()))


def test_the_scale_of_a_weight_norm_does_not_decay():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
    decayed, plain = make_optimizer(layer, OptimizerSettings()).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2, 3, 3)]
    assert sorted(tuple(p.shape) for p in plain["params"]) == [(3,), (3, 1, 1, 1)]


def test_the_optimisers_are_the_ones_named(net):
    sgd = make_optimizer(net, OptimizerSettings(lr=0.2, momentum=0.8))
    assert (
        isinstance(sgd, torch.optim.SGD)
        and sgd.defaults["nesterov"]
        and sgd.defaults["momentum"] == 0.8
        and sgd.defaults["fused"]
    )
    adam = make_optimizer(net, OptimizerSettings(name="adamw", betas=(0.5, 0.9)))
    assert isinstance(adam, torch.optim.AdamW) and adam.defaults["betas"] == (0.5, 0.9) and adam.defaults["fused"]


def test_set_lr_reaches_every_group(net):
    optimizer = make_optimizer(net, OptimizerSettings())
    assert set_lr(optimizer, 0.4, ScheduleSettings(name="cosine"), 0.5) == pytest.approx(0.2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", "cpu:", "cuda:"])
def test_unknown_devices(name):
    with pytest.raises(InputError, match=f"device '{name}' is unknown"):
        pick_device(name)


def test_the_host_holds_what_a_file_holds_and_half_of_its_memory_anew(monkeypatch):
    assert holds(CPU, 10**18) and holds(CPU, 10**6, made=True) and not holds(CPU, 10**18, made=True)
    monkeypatch.setattr(device, "_available", lambda: 1000)
    assert holds(CPU, 500, made=True) and not holds(CPU, 501, made=True)


def test_cuda_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="torch sees 0 CUDA devices; use `device=cpu`"):
        pick_device("cuda")


def test_precision(monkeypatch):
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    with autocast(CPU, "bf16"):
        assert layer(x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert layer(x).dtype == torch.float32


def test_scores_in_numbers_done_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    labels = np.array([0, 0, 1, 1])
    scores = score(probabilities, labels)
    assert scores["accuracy"] == 0.75 and scores["balanced_accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert confusion(probabilities, labels) == {"classes": 2, "true": [0, 1, 1], "predicted": [0, 0, 1], "count": [2, 1, 1]}
    # each confidence in a bin of its own: |1 - .9|, |1 - .8|, |1 - .7|, |0 - .6|
    assert calibration_error(probabilities, labels) == pytest.approx((0.1 + 0.2 + 0.3 + 0.6) / 4)


def test_confusion_knows_every_class_even_where_none_occurs():
    found = confusion(np.eye(3)[[0, 0]], np.array([0, 1]))
    assert found == {"classes": 3, "true": [0, 1], "predicted": [0, 0], "count": [1, 1]}


def test_confusion_and_balanced_accuracy_are_scikit_learn_s():
    from sklearn import metrics

    random = np.random.default_rng(0)
    for classes, count in ((2, 1), (5, 40), (7, 300), (40, 25)):  # with classes that do not occur, or are never given
        labels = random.integers(0, classes, count)
        predicted = np.where(random.random(count) < 0.6, labels, random.integers(0, classes, count))
        found = confusion(np.eye(classes)[predicted], labels)
        matrix = np.zeros((classes, classes), int)
        matrix[found["true"], found["predicted"]] = found["count"]
        np.testing.assert_array_equal(matrix, metrics.confusion_matrix(labels, predicted, labels=range(classes)))
        with warnings.catch_warnings(action="ignore"):
            assert balanced_accuracy(predicted, labels) == metrics.balanced_accuracy_score(labels, predicted)


def test_scores_of_many_classes_take_no_room_for_all_pairs_of_them():
    """A matrix of them would be 8 TB."""
    labels = np.array([0, 999_999, 999_999])
    predicted = np.array([0, 0, 999_999])
    assert balanced_accuracy(predicted, labels) == 0.75


def test_predict_is_in_eval_mode_and_does_not_depend_on_the_batch(net):
    images = torch.randint(0, 256, (9, 5, 5, 2), dtype=torch.uint8)

    def prepare(chunk):
        return chunk.permute(0, 3, 1, 2).float()

    whole, parts = (predict(net.train(), images, prepare, n, torch.autocast("cpu", enabled=False)) for n in (9, 2))
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-6)
    assert net.norm.num_batches_tracked == 0


@pytest.mark.parametrize(("name", "number"), [("auto", 1), ("cuda", 1), ("cuda:0", 0)])
def test_a_gpu_has_its_number(name, number, monkeypatch):
    """As the tensors on it have: without one, torch's comparison of both is false."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert pick_device(name) == torch.device("cuda", number) and chosen == [torch.device("cuda", number)]
