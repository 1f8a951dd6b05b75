"""Checks of the loss: its terms, what total is made of, and where the gradients go."""

import torch
from torch import Tensor

from ssl_zoo.batch import Step
from ssl_zoo.testing.subject import (
    MOMENTS,
    B,
    Subject,
    U,
    close,
    fail,
    gradients,
    loss,
    make_batch,
    parts,
)
from ssl_zoo.testing.ways import each_opening, openings


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
    """`total` is the sum of the terms that carry a gradient, each unsupervised one times its declared weight.

    In value and in gradient, early and late in a run; and every parameter that the optimiser receives gets a gradient
    from it.
    """
    for progress in MOMENTS:
        _total_at(subject, progress)
    moved: set[str] = set()
    for one in openings(subject):
        method = one.warm()
        trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
        found = gradients(loss(method, make_batch(method, 9)).total, trained)
        moved |= {name for name, gradient in found.items() if gradient.abs().max() > 0}
    for name in trained:
        if name not in moved:
            fail(f"`total` gives {name} no gradient, though it is to be trained; look for a detach() or a no_grad() on the way")


@each_opening
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
            fail(
                f"the term '{term}' enters total {float(factors[term]):.6g} times, so that it is made larger; is a sign wrong? "
                "(What is to be made larger, such as an entropy, is a term with a minus sign)"
            )
    for term, factor in factors.items():
        if term not in unsupervised and factor == 0:
            fail(f"the term '{term}' carries a gradient but is no part of total; detach it if it is a measurement")
        if term not in unsupervised and abs(factor - 1) > 1e-5:
            fail(
                f"the term '{term}' enters total {float(factor):.6g} times at progress {progress}; declare the option that is "
                f'its weight, `weights = {{"{term}": "..."}}`, or make the factor part of the term'
            )
    added = parts(out)
    made = sum(added.values(), start=torch.zeros(()))
    size = sum((part.detach().abs() for part in added.values()), start=torch.zeros(()))  # not |total|: parts may cancel
    net = dict(method.net.named_parameters())
    explained = gradients(made, net)
    hidden = any(not close(gradient, explained[name], 1e-4) for name, gradient in gradients(out.total, net).items())
    if hidden or (out.total - made).abs() > 1e-4 * size:
        fail(
            f"at progress {progress} `total` is {out.total.item():.6g}, the weighted sum of the terms that carry a gradient "
            f"({', '.join(factors) or 'none does'}) is {made.item():.6g}{', and has another gradient' if hidden else ''}; "
            "give every part of total its own name in Step.terms, as the very tensor that total is made of"
        )
    _weights_are_proportional(subject, progress, out, factors)


def _weights_are_proportional(subject: Subject, progress: float, out: Step, factors: dict[str, Tensor]) -> None:
    """With half the option a term enters total half as often; what is logged as its weight is how often it enters."""
    for term, option in subject.weights.items():
        half = subject.warm({option: _value(subject, option) / 2})
        again = loss(half, make_batch(half, 9), progress)
        other = float(gradients(again.total, {term: again.terms[term]})[term])
        if abs(other / float(factors[term]) - 0.5) > 1e-4:
            fail(
                f"with half the option '{option}' the term '{term}' enters total {other:.6g} times, before "
                f"{float(factors[term]):.6g}; total must be in proportion to the weight"
            )
        named = out.terms.get(option) if option not in subject.weights else None  # a term may be called as its option
        logged = out.terms.get(f"{term}_weight", named)
        if logged is not None and not close(logged.detach(), factors[term], 1e-4):
            fail(
                f"at progress {progress} the weight of '{term}' is logged as {float(logged):.6g}, but the term enters total "
                f"{float(factors[term]):.6g} times"
            )


def views_used(subject: Subject) -> None:
    """Every view that the method asks for, targets included, changes the loss."""
    used: set[tuple[str, int]] = set()
    for one in openings(subject):
        method = one.warm()
        batch = make_batch(method, 9)
        before = loss(method, batch)
        views = [("u", k, name) for k, name in enumerate(method.views)]
        views += [("x_more", k, name) for k, name in enumerate(method.labeled_views[1:])]
        for stream, k, _ in views:
            for others in other_images(getattr(batch, stream), k):
                if not close(before.total, loss(method, batch._replace(**{stream: others})).total, 1e-7):
                    used.add((stream, k))
                    break
    for stream, k, name in views:
        if (stream, k) not in used:
            closed = (
                "" if method.gates else " Or is a gate closed on a fresh net? Declare what opens it, gates = {'threshold': 0.0}"
            )
            fail(
                f"other images in the view {stream}[{k}] ('{name}') leave the loss as it was; is another used in its place?"
                f"{closed}"
            )


def other_images(views: tuple[Tensor, ...], k: int) -> list[tuple[Tensor, ...]]:
    """Return the views with other images in the place of view k, in several ways."""
    return [(*views[:k], images, *views[k + 1 :]) for images in (views[k].roll(1, 0), -views[k], 2 * views[k] + 1)]


def term_gradients(subject: Subject) -> None:
    """Each unsupervised term alone moves the net, through every view but the declared targets, through no target.

    What must move does so with the gates as they are or open; what must not does so in neither case.
    """
    for progress in MOMENTS:
        found = [_strengths(one, progress) for one in openings(subject)]
        moved, learned = ({name: max(one[k][name] for one in found) for name in found[0][k]} for k in (0, 1))
        _what_must_move_does(subject, moved, learned)


def _strengths(subject: Subject, progress: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return the largest gradient that each term gives the net, and that any term gives each view."""
    method = subject.warm()
    batch = make_batch(method, 9)
    views = {f"u[{k}] ('{name}')": u.requires_grad_() for k, (name, u) in enumerate(zip(method.views, batch.u, strict=True))}
    if views and not subject.weights:
        fail(
            "the method asks for unlabelled views but declares no unsupervised term; say which option weighs it: "
            '`weights = {"consistency": "weight"}`'
        )
    out = loss(method, batch, progress)
    moved, learned = {}, dict.fromkeys(views, 0.0)
    for term, value in subject.unsupervised(out).items():
        net = dict(method.net.named_parameters())
        moved[term] = max((float(gradient.abs().max()) for gradient in gradients(value, net).values()), default=0.0)
        for name, gradient in gradients(value, views).items():
            learned[name] = max(learned[name], float(gradient.abs().max()))
    return moved, learned


def _what_must_move_does(subject: Subject, moved: dict[str, float], learned: dict[str, float]) -> None:
    targets = subject.make().target_views()
    for term, strength in moved.items():
        if not strength > 0:
            fail(
                f"the term '{term}' alone gives the net no gradient: it trains nothing. Are the student's logits taken from the "
                "teacher, or detached? If a gate is closed on a fresh net, declare what opens it, "
                'gates = {"threshold": 0.0}, or open it: check_algorithm(..., threshold=0)'
            )
    for k, (name, strength) in enumerate(learned.items()):
        if k in targets and strength > 0:
            fail(f"the view {name} is declared a target, but gradient flows through it; detach it, or take {k} out of `targets`")
        if k not in targets and not strength > 0:
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


def _value(subject: Subject, option: str) -> float:
    default = subject.entry.options[option].default if option in subject.entry.options else None
    value = subject.options.get(option, default)
    if not isinstance(value, int | float) or not value:
        fail(f"the weight '{option}' is {value!r}; it must be an option with a number other than zero as its default")
    return value
