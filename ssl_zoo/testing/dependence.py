"""Checks of what an update may depend on: not on hidden labels, not on the order of the batch, and the like."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.data.splits import draw_split
from ssl_zoo.nets.small import SmallNet
from ssl_zoo.registry import ALGORITHMS, DATASETS
from ssl_zoo.seeds import seed_global
from ssl_zoo.testing.subject import (
    LABELED,
    MOMENTS,
    K,
    N,
    Subject,
    close,
    differing,
    fail,
    loss,
    make_batch,
    refuse_nan,
    same_number,
    snapshot,
    update,
    visit,
)
from ssl_zoo.testing.ways import each_opening, neutrally, up_to_rounding


@neutrally
def weight_zero_ignores_unlabeled(subject: Subject) -> None:
    """With every unsupervised weight at zero the update does not depend on the unlabelled images."""
    for progress in MOMENTS:
        first, second = (subject.warm(subject.without_weights()) for _ in range(2))
        batch = make_batch(first, 9)
        other = batch._replace(u=tuple(view.flip(0) * 3 + 1 for view in batch.u))
        for method, given in ((first, batch), (second, other)):
            loss(method, given, progress).total.backward()
        _same_gradients(first, second, "at weight zero the update changes with the unlabelled images")


@neutrally
def weight_zero_is_supervised(subject: Subject) -> None:
    """With every unsupervised weight at zero the update is that of `supervised` (net without batch norm)."""
    for progress in MOMENTS:
        method = subject.make(subject.without_weights())
        supervised = Subject(ALGORITHMS.resolve("supervised"), {}).make()
        batch = make_batch(method, 9)
        loss(method, batch, progress).total.backward()
        loss(supervised, batch._replace(u=(), u_index=batch.u_index[:0])).total.backward()
        _same_gradients(method, supervised, "at weight zero the update is not the supervised one")


@neutrally
def class_weights(subject: Subject) -> None:
    """Labelled images count as often as the weight of their class says, as the `class_weights` of a run ask for."""
    use = "give them to the supervised loss: cross_entropy(logits, batch.y, weight=self.class_weights)"
    alone = subject.without_weights()

    def total(weights: list[float] | None, hidden: int | None = None) -> Tensor:
        method = subject.make(alone, class_weights=weights)
        batch = make_batch(method, 9)
        x, *more = (view.clone() for view in (batch.x, *batch.x_more))
        for view in (x, *more):
            view[batch.y == hidden] = 0.0
        return loss(method, batch._replace(x=x, x_more=tuple(more))).total.detach()

    plain, once, twice = total(None), total([0.5, 3.0, 1.0, 2.0]), total([1.0, 6.0, 2.0, 4.0])
    if not close(total([1.0] * K), plain):
        fail(f"with class weights of 1 the supervised loss is not what it is without; {use}")
    if close(once, plain, 1e-3) or not close(twice, 2 * once, 1e-4):
        fail(
            f"the supervised loss is {plain.item():.6g}, with class weights {once.item():.6g}, and with twice these "
            f"{twice.item():.6g}; it is in proportion to them, with no division by their sum: {use}"
        )
    for k in range(K):
        without = [0.0 if other == k else 1.0 for other in range(K)]
        if not close(total(without, hidden=k), total(without)):
            fail(f"with weight 0 for a class its images still change the supervised loss; {use}")


def hidden_labels(subject: Subject) -> None:
    """A run on a registered data set with garbage as hidden labels is the same, bit for bit, whoever asks for them."""
    states = [_run_on_digits(subject, garbage) for garbage in (False, True)]
    differ = differing(*states)
    if differ:
        refuse_nan(states[0])
        fail(f"{differ[0]} after three steps depends on labels of unlabelled images, which a method must never see")


def batch_untouched(subject: Subject) -> None:
    """Neither `loss` nor `after_step` changes the batch."""
    method = subject.warm()
    batch = make_batch(method, 9)
    before = copy.deepcopy(batch)
    visit(method, batch)
    for field, now, then in zip(Batch._fields, batch, before, strict=True):
        if any(not torch.equal(a, b) for a, b in zip(tree_leaves(now), tree_leaves(then), strict=True)):
            fail(f"batch.{field} was modified in place; work on a copy, as every later reader of the batch sees the change")


@neutrally
@each_opening(momenta=True)
@up_to_rounding
def order(subject: Subject) -> None:
    """The loss and the state after a step do not depend on the order of the rows in the batch."""
    one, two = subject.warm(), subject.warm()
    batch = make_batch(one, 9)
    x, u = (
        torch.tensor([5, 3, 1, 4, 0, 2]),
        torch.tensor([5, 9, 6, 8, 4, 7, 2, 0, 3, 1])[: len(batch.u_index)],
    )  # no neighbours stay, and of a row that stands twice the later comes first
    turned = Batch(
        *(tree_map(lambda rows, way=way: rows[way], part) for part, way in zip(batch, (x, x, x, u, u, x), strict=True))
    )
    first, second = loss(one, batch), loss(two, turned)
    for name, value in {**first.terms, "total": first.total}.items():
        if not same_number(name, first, second):
            other = second.total if name == "total" else second.terms[name]
            fail(f"'{name}' is {value.item():.6g}, and {other.item():.6g} in another order of the rows; does a row meet another?")
    update(one, batch), update(two, turned)
    now = two.state_dict()
    for name, value in one.state_dict().items():
        if (
            not name.endswith(tuple(key for key, _ in one.named_parameters()))
            and value.ndim
            and len(value) not in (N, LABELED, K)
        ):
            continue  # such as a queue, which is written in the order of the batch
        if not close(value.double(), now[name].double(), 1e-4):
            fail(f"{name} after a step depends on the order of the rows in the batch")


@neutrally
@each_opening
@up_to_rounding
def mean_over_rows(subject: Subject) -> None:
    """Every term and statistic is a mean over the rows: with each row twice in the batch it is the same."""
    method = subject.warm()
    batch = make_batch(method, 9)
    twice = Batch(*(tree_map(lambda rows: torch.cat((rows, rows)), part) for part in batch))
    one, two = loss(method, batch), loss(method, twice)
    for name, value in {**one.terms, "total": one.total}.items():
        if not same_number(name, one, two, 1e-4):  # what a variance has of U / (U - 1) is less, at a momentum of .999
            other = two.total if name == "total" else two.terms[name]
            fail(
                f"'{name}' is {value.item():.6g}, and {other.item():.6g} with every row twice; take the mean over the rows, so "
                "that a weight does not depend on the batch size"
            )
    for progress in (0.0, 1.0):
        first, second = subject.warm(), subject.warm()
        visit(first, batch, progress), visit(second, twice, progress)
        for name, value in first.named_buffers():
            statistic = value.is_floating_point() and (not value.ndim or len(value) == K)
            if statistic and not close(value, second.get_buffer(name), 1e-4):
                fail(f"{name} after a step is another with every row twice; what is kept of a batch is a mean over its rows")


def _same_gradients(one: AlgorithmBase, other: AlgorithmBase, complaint: str) -> None:
    theirs = dict(other.net.named_parameters())
    for name, p in one.net.named_parameters():
        mine, wanted = (torch.zeros_like(p) if q.grad is None else q.grad for q in (p, theirs[name]))
        if not close(mine, wanted):
            off = float((mine - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
            fail(f"{complaint}: the gradient of net.{name} is off by {off:.2g} of its largest entry")


@contextlib.contextmanager
def _digits_with(labels: np.ndarray) -> Iterator[None]:
    """Whoever asks the registry for the digits gets these labels of training images, a method's `loss` included."""
    entry = DATASETS.resolve("digits")

    def relabelled(root: Path, **options: int):
        return entry.target(root, **options)._replace(labels=labels)

    with DATASETS.replaced(entry._replace(target=relabelled)):
        yield


def _run_on_digits(subject: Subject, garbage: bool) -> dict[str, Tensor]:
    """The state after three steps on scikit-learn's digits through the real pipeline."""
    data = DATASETS.create("digits", Path())
    split = draw_split(data.name, data.labels, len(data.classes), 20, 0)
    rows = torch.arange(len(data.images))
    facts = Facts(len(data.classes), len(rows), torch.from_numpy(split.rows), torch.from_numpy(split.classes), rows)
    hidden = (data.labels + 1) % len(data.classes)
    hidden[split.rows] = split.classes
    with _digits_with(hidden if garbage else data.labels):
        seed_global(0)
        method = subject.entry.target(SmallNet(10, 1, (8, 8)), facts, **subject.entry.fixed, **subject.options).train()
        images = torch.from_numpy(data.images)
        views = dict.fromkeys({*method.views, *method.labeled_views}, View([], *channel_statistics(images)))
        sizes = {"batch_labeled": 8, "batch_unlabeled": 8}
        pipeline = Pipeline(images, facts, views, unlabeled=method.views, labeled=method.labeled_views, seed=0, **sizes)
        for step in range(3):
            update(method, pipeline.batch(step))
    return snapshot(method)
