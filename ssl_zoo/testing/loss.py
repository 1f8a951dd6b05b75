"""Checks of the loss: its terms, where their gradients go, and what it may depend on."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.data.splits import draw_split
from ssl_zoo.nets.small import SmallNet
from ssl_zoo.registry import ALGORITHMS, DATASETS
from ssl_zoo.seeds import seed_global
from ssl_zoo.testing.subject import (
    Subject,
    close,
    differing,
    fail,
    gradients,
    loss,
    make_batch,
    snapshot,
    teachers,
    update,
)


def terms(subject: Subject) -> None:
    """`total` and every term are finite 0-dim float32 tensors, and total carries a gradient."""
    method = subject.make(norm=True)
    out = loss(method, make_batch(method, 9))
    if not isinstance(out, Step):
        fail(f"`loss` returned a {type(out).__name__}; return ssl_zoo.Step(total, terms, seen)")
    for name, value in {**out.terms, "total": out.total}.items():
        if not isinstance(value, Tensor):
            fail(f"'{name}' is a {type(value).__name__}, not a tensor; a number read from the device makes every step wait")
        if value.ndim:
            fail(f"'{name}' has shape {tuple(value.shape)}; a term is 0-dim: reduce it over the batch")
        if value.dtype != torch.float32:
            fail(f"'{name}' is {value.dtype}; losses are float32")
        if not value.isfinite():
            fail(f"'{name}' is {value.item()} on random images; look for a logarithm or a division without a floor")
    if not out.total.requires_grad:
        fail("`total` requires no gradient, so nothing would be trained; look for a detach() or a no_grad() around it")
    for name, rows in out.seen.items():
        if rows.requires_grad:
            fail(f"seen['{name}'] carries a gradient, which would keep the step's graph alive; detach it")
        if not rows.ndim or len(rows) not in (
            len(out_rows) for out_rows in (make_batch(method, 9).x, make_batch(method, 9).u_index)
        ):
            fail(f"seen['{name}'] has shape {tuple(rows.shape)}; its first axis must be B or U, which is gathered over ranks")


def total(subject: Subject) -> None:
    """`total` is the sum of the terms that carry a gradient, each unsupervised one times the weight that the method declares."""
    method = subject.warm()
    out = loss(method, make_batch(method, 9))
    unsupervised = subject.unsupervised(out)
    factors, rest = _factors(out)
    if not close(rest, torch.zeros(()), 0) and rest.abs() > 1e-4 * out.total.abs():
        fail(
            f"`total` is {out.total.item():.6g}, the weighted sum of the terms that carry a gradient "
            f"({', '.join(factors) or 'none does'}) is {(out.total - rest).item():.6g}; "
            "give every part of total its own name in Step.terms, as the very tensor that total is made of"
        )
    for term, factor in factors.items():
        if term not in unsupervised and abs(factor - 1) > 1e-5:
            fail(
                f"the term '{term}' enters total {factor:.6g} times; declare the option that is its weight, "
                f'`weights = {{"{term}": "..."}}`, or make the factor part of the term'
            )
    for term, option in subject.weights.items():
        if not factors.get(term):
            fail(f"the unsupervised term '{term}' carries no gradient or is no part of total; look for a detach() or a no_grad()")
        doubled = subject.warm(**{option: 2 * _value(subject, option)})
        other, _ = _factors(loss(doubled, make_batch(doubled, 9)))
        if abs(other.get(term, 0.0) / factors[term] - 2) > 1e-4:
            fail(
                f"with twice the option '{option}' the term '{term}' enters total {other.get(term, 0.0):.6g} times, "
                f"before {factors[term]:.6g}; total must be in proportion to the weight"
            )
        logged = out.terms.get(f"{term}_weight", out.terms.get(option))
        if logged is not None and not abs(float(logged) - factors[term]) <= 1e-4 * abs(factors[term]):
            fail(f"the weight of '{term}' is logged as {float(logged):.6g}, but the term enters total {factors[term]:.6g} times")
    ends = {"the first layer": method.net.first.weight, "the classifier": method.net.head.weight}
    for where, gradient in gradients(out.total, ends).items():
        if not gradient.abs().max() > 0:
            fail(f"`total` gives {where} no gradient; look for a detach() or a no_grad() between the net and the loss")


def term_gradients(subject: Subject) -> None:
    """Each unsupervised term alone moves the net, through every view that is not declared a target, and through no target."""
    method = subject.warm()
    batch = make_batch(method, 9)
    views = {
        f"u[{k}] ('{name}')": view.requires_grad_() for k, (name, view) in enumerate(zip(method.views, batch.u, strict=True))
    }
    out = loss(method, batch)
    learned = {name: torch.zeros(()) for name in views}
    for term, value in subject.unsupervised(out).items():
        net = dict(method.net.named_parameters())
        if not any(gradient.abs().max() > 0 for gradient in gradients(value, net).values()):
            fail(
                f"the term '{term}' ({value.item():.3g}) alone gives the net no gradient: it trains nothing. "
                "Are the student's logits taken from the teacher, or detached? A gate that is closed on a fresh net is opened by "
                "an option: check_algorithm(..., threshold=0)"
            )
        for name, gradient in gradients(value, views).items():
            learned[name] = torch.maximum(learned[name], gradient.abs().max())
    if views and not subject.weights:
        fail(
            "the method asks for unlabelled views but declares no unsupervised term; say which option weighs it: "
            '`weights = {"consistency": "weight"}`'
        )
    for k, (name, strength) in enumerate(learned.items()):
        if k in method.targets and strength > 0:
            fail(f"the view {name} is declared a target, but gradient flows through it; detach it, or take {k} out of `targets`")
        if k not in method.targets and not strength > 0:
            fail(
                f"no gradient flows through the view {name}, whichever unsupervised term; if it is a target only, declare it: "
                f"`targets = ({k},)`. If not, look for a detach(), a no_grad(), or another view used in its place"
            )


def teacher_gradients(subject: Subject) -> None:
    """No parameter or buffer of a teacher receives a gradient, and the optimiser would not find one."""
    method = subject.warm()
    loss(method, make_batch(method, 9)).total.backward()
    for name, (teacher, _) in teachers(method).items():
        for key, tensor in (*teacher.named_parameters(), *teacher.named_buffers()):
            if tensor.requires_grad or tensor.grad is not None:
                fail(
                    f"{name}.{key} requires a gradient, so the optimiser would train the teacher; "
                    "call requires_grad_(False) on it, or use ssl_zoo.ema.Teacher"
                )


def weight_zero_ignores_unlabeled(subject: Subject) -> None:
    """With every unsupervised weight at zero the update does not depend on the unlabelled images."""
    first, second = (subject.warm(**subject.without_weights()) for _ in range(2))
    batch = make_batch(first, 9)
    other = batch._replace(u=tuple(view.flip(0) * 3 + 1 for view in batch.u))
    for method, given in ((first, batch), (second, other)):
        loss(method, given).total.backward()
    _same_gradients(first, second, "at weight zero the update changes with the unlabelled images")


def weight_zero_is_supervised(subject: Subject) -> None:
    """With every unsupervised weight at zero the update is that of `supervised` (net without batch norm)."""
    method = subject.make(**subject.without_weights())
    supervised = Subject(ALGORITHMS.resolve("supervised"), {}).make()
    batch = make_batch(method, 9)
    loss(method, batch).total.backward()
    loss(supervised, batch._replace(u=(), u_index=batch.u_index[:0])).total.backward()
    _same_gradients(method, supervised, "at weight zero the update is not the supervised one")


def hidden_labels(subject: Subject) -> None:
    """A run on a real data set whose hidden labels are garbage is the same, bit for bit."""
    true, garbage = _run_on_digits(subject, False), _run_on_digits(subject, True)
    differ = differing(true, garbage)
    if differ:
        fail(f"{differ[0]} after three steps depends on labels of unlabelled images, which a method must never see")


def batch_untouched(subject: Subject) -> None:
    """Neither `loss` nor `after_step` changes the batch."""
    method = subject.warm()
    batch = make_batch(method, 9)
    before = copy.deepcopy(batch)
    out = loss(method, batch)
    out.total.backward()
    with torch.no_grad():
        method.after_step(out.seen)
    for field, now, then in zip(Batch._fields, batch, before, strict=True):
        if any(not torch.equal(a, b) for a, b in zip(tree_leaves(now), tree_leaves(then), strict=True)):
            fail(f"batch.{field} was modified in place; work on a copy, as every later reader of the batch sees the change")


def order(subject: Subject) -> None:
    """The loss and the state after a step do not depend on the order of the rows in the batch."""
    one, two = (subject.warm() for _ in range(2))
    batch = make_batch(one, 9)
    x, u = _turned(len(batch.x)), _turned(len(batch.u_index))
    turned = Batch(
        batch.x[x],
        batch.y[x],
        batch.x_index[x],
        tuple(v[u] for v in batch.u),
        batch.u_index[u],
        tuple(v[x] for v in batch.x_more),
    )
    first, second = update(one, batch), update(two, turned)
    for name, value in {**first.terms, "total": first.total}.items():
        other = second.total if name == "total" else second.terms[name]
        if not close(value, other):
            fail(
                f"'{name}' is {value.item():.6g}, and {other.item():.6g} with the rows in another order; does a row meet another?"
            )
    now = two.state_dict()
    for name, value in one.state_dict().items():
        if not close(value.double(), now[name].double(), 1e-4):
            fail(f"{name} after a step depends on the order of the rows in the batch")


def mean_over_rows(subject: Subject) -> None:
    """Every term is a mean over the rows: with each row twice in the batch it is the same."""
    method = subject.warm()
    batch = make_batch(method, 9)
    twice = Batch(*(tree_map(lambda rows: torch.cat((rows, rows)), part) for part in batch))
    one, two = loss(method, batch), loss(method, twice)
    for name, value in {**one.terms, "total": one.total}.items():
        other = two.total if name == "total" else two.terms[name]
        if not close(value, other):
            fail(
                f"'{name}' is {value.item():.6g}, and {other.item():.6g} with every row twice; take the mean over the rows, "
                "so that a weight does not depend on the batch size"
            )


def _turned(count: int) -> Tensor:
    """An order of the rows in which no two neighbours stay neighbours by chance of a rotation."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(5))


def _factors(out: Step) -> tuple[dict[str, float], Tensor]:
    """How often each term that carries a gradient enters total, and what of total they leave unexplained."""
    learned = {name: value for name, value in out.terms.items() if value.requires_grad}
    factors = gradients(out.total, learned)
    explained = sum((factors[name] * value for name, value in learned.items()), start=torch.zeros(()))
    return {name: float(factor) for name, factor in factors.items()}, (out.total - explained).detach()


def _value(subject: Subject, option: str) -> float:
    default = subject.entry.options[option].default if option in subject.entry.options else None
    value = subject.options.get(option, default)
    if not isinstance(value, int | float) or not value:
        fail(f"the weight '{option}' is {value!r}; it must be an option with a number other than zero as its default")
    return value


def _same_gradients(one: Any, other: Any, complaint: str) -> None:
    theirs = dict(other.net.named_parameters())
    for name, p in one.net.named_parameters():
        mine, wanted = (torch.zeros_like(p) if q.grad is None else q.grad for q in (p, theirs[name]))
        if not close(mine, wanted):
            off = float((mine - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
            fail(f"{complaint}: the gradient of net.{name} is off by {off:.2g} of its largest entry")


@contextlib.contextmanager
def _data_with(labels: np.ndarray) -> Iterator[None]:
    """Whoever asks the registry for a data set gets these labels of training images, `loss` included."""
    create = DATASETS.create
    DATASETS.create = lambda *given, **options: create(*given, **options)._replace(labels=labels)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del DATASETS.create


def _run_on_digits(subject: Subject, garbage: bool) -> dict[str, Tensor]:
    """The state after three steps on scikit-learn's digits through the real pipeline."""
    data = DATASETS.create("digits", Path())
    split = draw_split(data.name, data.labels, len(data.classes), 20, 0)
    rows = torch.arange(len(data.images))
    facts = Facts(len(data.classes), len(rows), torch.from_numpy(split.rows), torch.from_numpy(split.classes), rows)
    hidden = (data.labels + 1) % len(data.classes)
    hidden[split.rows] = split.classes
    with _data_with(hidden if garbage else data.labels):
        seed_global(0)
        method = subject.entry.target(SmallNet(10, 1, (8, 8)), facts, **subject.entry.fixed, **subject.options).train()
        images = torch.from_numpy(data.images)
        views = dict.fromkeys({*method.views, *method.labeled_views}, View([], *channel_statistics(images)))
        pipeline = Pipeline(
            images,
            facts,
            views,
            unlabeled=method.views,
            labeled=method.labeled_views,
            batch_labeled=8,
            batch_unlabeled=8,
            seed=0,
        )
        for step in range(3):
            update(method, pipeline.batch(step))
    return snapshot(method)
