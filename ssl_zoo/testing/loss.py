"""Checks of the loss: its terms, where their gradients go, and what it may depend on."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.data.splits import draw_split
from ssl_zoo.nets.small import SmallNet
from ssl_zoo.registry import ALGORITHMS, DATASETS
from ssl_zoo.seeds import seed_global
from ssl_zoo.testing.subject import (
    MOMENTS,
    B,
    N,
    Subject,
    U,
    close,
    differing,
    fail,
    gradients,
    loss,
    make_batch,
    snapshot,
    update,
    visit,
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
        if not rows.ndim or len(rows) not in (B, U):
            fail(f"seen['{name}'] has shape {tuple(rows.shape)}; its first axis must be B or U, which is gathered over ranks")


def total(subject: Subject) -> None:
    """`total` is the sum of the terms that carry a gradient, each unsupervised one times the weight that the method declares.

    In value and in gradient, early and late in a run; and every parameter that the optimiser receives gets a gradient from it.
    """
    for progress in MOMENTS:
        _total_at(subject, progress)
    method = subject.warm()
    trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
    for name, gradient in gradients(loss(method, make_batch(method, 9)).total, trained).items():
        if not gradient.abs().max() > 0:
            fail(f"`total` gives {name} no gradient, though it is to be trained; look for a detach() or a no_grad() on the way")


def _total_at(subject: Subject, progress: float) -> None:
    method = subject.warm()
    out = loss(method, make_batch(method, 9), progress)
    unsupervised = subject.unsupervised(out)
    learned = {name: value for name, value in out.terms.items() if value.requires_grad}
    factors = {name: factor.detach() for name, factor in gradients(out.total, learned).items()}
    for term in subject.weights:
        if not factors.get(term):
            fail(f"the unsupervised term '{term}' carries no gradient or is no part of total; look for a detach() or a no_grad()")
        if factors[term] < 0:
            fail(f"the term '{term}' enters total {float(factors[term]):.6g} times, so that it is made larger; is a sign wrong?")
    for term, factor in factors.items():
        if term not in unsupervised and factor == 0:
            fail(f"the term '{term}' carries a gradient but is no part of total; detach it if it is a measurement")
        if term not in unsupervised and abs(factor - 1) > 1e-5:
            fail(
                f"the term '{term}' enters total {float(factor):.6g} times at progress {progress}; declare the option that is "
                f'its weight, `weights = {{"{term}": "..."}}`, or make the factor part of the term'
            )
    made = sum((factors[name] * value for name, value in learned.items()), start=torch.zeros(()))
    net = dict(method.net.named_parameters())
    explained = gradients(made, net)
    hidden = any(not close(gradient, explained[name], 1e-4) for name, gradient in gradients(out.total, net).items())
    if hidden or (out.total - made).abs() > 1e-4 * out.total.abs():
        fail(
            f"at progress {progress} `total` is {out.total.item():.6g}, the weighted sum of the terms that carry a gradient "
            f"({', '.join(factors) or 'none does'}) is {made.item():.6g}{', and has another gradient' if hidden else ''}; "
            "give every part of total its own name in Step.terms, as the very tensor that total is made of"
        )
    for term, option in subject.weights.items():
        half = subject.warm({option: _value(subject, option) / 2})
        again = loss(half, make_batch(half, 9), progress)
        other = float(gradients(again.total, {term: again.terms[term]})[term])
        if abs(other / float(factors[term]) - 0.5) > 1e-4:
            fail(
                f"with half the option '{option}' the term '{term}' enters total {other:.6g} times, before "
                f"{float(factors[term]):.6g}; total must be in proportion to the weight"
            )
        logged = out.terms.get(f"{term}_weight", out.terms.get(option))
        if logged is not None and not close(logged.detach(), factors[term], 1e-4):
            fail(
                f"at progress {progress} the weight of '{term}' is logged as {float(logged):.6g}, but the term enters total "
                f"{float(factors[term]):.6g} times"
            )


def views_used(subject: Subject) -> None:
    """Every view that the method asks for, targets included, changes the loss."""
    method = subject.warm()
    batch = make_batch(method, 9)
    before = loss(method, batch)
    for stream, given, names in (("u", batch.u, method.views), ("x_more", batch.x_more, method.labeled_views[1:])):
        for k, name in enumerate(names):
            others = [(*given[:k], images, *given[k + 1 :]) for images in (given[k].roll(1, 0), -given[k], 2 * given[k] + 1)]
            if all(close(before.total, loss(method, batch._replace(**{stream: views})).total, 1e-7) for views in others):
                fail(f"other images in the view {stream}[{k}] ('{name}') leave the loss as it was; is another used in its place?")


def term_gradients(subject: Subject) -> None:
    """Each unsupervised term alone moves the net, through every view that is not declared a target, and through no target."""
    for progress in MOMENTS:
        _term_gradients_at(subject, progress)


def _term_gradients_at(subject: Subject, progress: float) -> None:
    method = subject.warm()
    batch = make_batch(method, 9)
    views = {f"u[{k}] ('{name}')": u.requires_grad_() for k, (name, u) in enumerate(zip(method.views, batch.u, strict=True))}
    if views and not subject.weights:
        fail(
            "the method asks for unlabelled views but declares no unsupervised term; say which option weighs it: "
            '`weights = {"consistency": "weight"}`'
        )
    out = loss(method, batch, progress)
    learned = {name: torch.zeros(()) for name in views}
    for term, value in subject.unsupervised(out).items():
        net = dict(method.net.named_parameters())
        if not any(gradient.abs().max() > 0 for gradient in gradients(value, net).values()):
            fail(
                f"the term '{term}' ({value.item():.3g}) alone gives the net no gradient: it trains nothing. Are the student's "
                "logits taken from the teacher, or detached? A gate that is closed on a fresh net is opened by an option: "
                "check_algorithm(..., threshold=0)"
            )
        for name, gradient in gradients(value, views).items():
            learned[name] = torch.maximum(learned[name], gradient.abs().max())
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
    for name in subject.teachers():
        teacher = method.get_submodule(name)
        for key, tensor in (*teacher.named_parameters(), *teacher.named_buffers()):
            if tensor.requires_grad or tensor.grad is not None:
                fail(
                    f"{name}.{key} requires a gradient, so the optimiser would train the teacher; "
                    "call requires_grad_(False) on it, or use ssl_zoo.ema.Teacher"
                )


def weight_zero_ignores_unlabeled(subject: Subject) -> None:
    """With every unsupervised weight at zero the update does not depend on the unlabelled images."""
    for progress in MOMENTS:
        first, second = (subject.warm(subject.without_weights()) for _ in range(2))
        batch = make_batch(first, 9)
        other = batch._replace(u=tuple(view.flip(0) * 3 + 1 for view in batch.u))
        for method, given in ((first, batch), (second, other)):
            loss(method, given, progress).total.backward()
        _same_gradients(first, second, "at weight zero the update changes with the unlabelled images")


def weight_zero_is_supervised(subject: Subject) -> None:
    """With every unsupervised weight at zero the update is that of `supervised` (net without batch norm)."""
    for progress in MOMENTS:
        method = subject.make(subject.without_weights())
        supervised = Subject(ALGORITHMS.resolve("supervised"), {}).make()
        batch = make_batch(method, 9)
        loss(method, batch, progress).total.backward()
        loss(supervised, batch._replace(u=(), u_index=batch.u_index[:0])).total.backward()
        _same_gradients(method, supervised, "at weight zero the update is not the supervised one")


def hidden_labels(subject: Subject) -> None:
    """A run on a registered data set whose hidden labels are garbage is the same, bit for bit, whoever asks for the data."""
    differ = differing(_run_on_digits(subject, False), _run_on_digits(subject, True))
    if differ:
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


def order(subject: Subject) -> None:
    """The loss and the state after a step do not depend on the order of the rows in the batch."""
    one, two = subject.warm(), subject.warm()
    batch = make_batch(one, 9)
    x, u = (
        torch.tensor([3, 0, 4, 1, 5, 2]),
        torch.tensor([5, 0, 6, 1, 7, 2, 8, 3, 9, 4])[: len(batch.u_index)],
    )  # no neighbours stay
    turned = Batch(
        *(tree_map(lambda rows, way=way: rows[way], part) for part, way in zip(batch, (x, x, x, u, u, x), strict=True))
    )
    first, second = update(one, batch), update(two, turned)
    for name, value in {**first.terms, "total": first.total}.items():
        other = second.total if name == "total" else second.terms[name]
        if not close(value, other):
            fail(
                f"'{name}' is {value.item():.6g}, and {other.item():.6g} in another order of the rows; does a row meet another? "
                "(A method that draws at random for each row says so in `exempt`)"
            )
    now = two.state_dict()
    for name, value in one.state_dict().items():
        if not name.endswith(tuple(key for key, _ in one.named_parameters())) and (not value.ndim or len(value) != N):
            continue  # such as a queue, which is written in the order of the batch
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
                f"'{name}' is {value.item():.6g}, and {other.item():.6g} with every row twice; take the mean over the rows, so "
                "that a weight does not depend on the batch size. (A method that draws at random says so in `exempt`)"
            )


def _value(subject: Subject, option: str) -> float:
    default = subject.entry.options[option].default if option in subject.entry.options else None
    value = subject.options.get(option, default)
    if not isinstance(value, int | float) or not value:
        fail(f"the weight '{option}' is {value!r}; it must be an option with a number other than zero as its default")
    return value


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
