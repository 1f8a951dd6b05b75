"""The check of what a method believes of the unlabelled images: its pseudo-labels and how much each counts."""

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Guess, Step
from ssl_zoo.testing.loss import other_images
from ssl_zoo.testing.subject import (
    MOMENTS,
    Subject,
    TinyNet,
    close,
    fail,
    gradients,
    loss,
    make_batch,
    same_number,
)
from ssl_zoo.testing.ways import openings

SHIFTS = (30.0, -60.0)  # added to all logits, one after the other: some are above every threshold, some below


def guess(subject: Subject) -> None:
    """Pseudo-labels sum to 1, carry no gradient, are what the loss uses, and come from the views that they say."""
    method = subject.make()
    if loss(method, make_batch(method, 9)).guess is None:
        if method.gates:
            fail(
                "the method has gates but gives no guess, so nobody sees what they let pass: Step(..., guess=Guess(target, kept))"
            )
        if _tells_itself(subject):
            fail(
                "a strong view is told by the net's own prediction for a weak one, but the method gives no guess; declare what "
                "the method believes, Step(..., guess=Guess(target, kept)), or, if these are no pseudo-labels, say so: "
                'exempt = {"guess": "..."}'
            )
        return
    depends: set[int] = set()
    for one in openings(subject, momenta=True):
        method = one.warm()
        batch = make_batch(method, 9)
        for progress in MOMENTS:
            given = _given(loss(method, batch, progress), batch)
            _rejected_rows_do_not_pull(one, method, batch, progress)
            depends |= _views_of(method, batch, given, progress)
        _is_of_probabilities(one, batch)
    for k in given.views:
        if k not in depends:
            fail(f"`guess` says that it is made from u[{k}] ('{method.views[k]}'), but no other images there change it")
    _in_bf16(subject)


def _tells_itself(subject: Subject) -> bool:
    """Return whether a weak view is a target beside a strong one, and no teacher is asked."""
    method = subject.make()
    asked: list[str] = []
    for name in subject.teachers():
        method.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: asked.append(name))
    loss(method, make_batch(method, 9))
    return "strong" in method.views and "weak" in [method.views[k] for k in method.target_views()] and not asked


def _given(out: Step, batch: Batch) -> Guess:
    """Return the guess, after a look at its shape."""
    found, n = out.guess, len(batch.u_index)
    if found is None:
        fail("some calls of `loss` give a guess and some do not; whether there is one may depend on options only")
    for name, tensor in (("target", found.target), ("weight", found.weight)):
        if not isinstance(tensor, Tensor) or tensor.requires_grad:
            fail(f"the {name} of `guess` carries a gradient; what is believed is a constant: detach it")
        if tensor.dtype != torch.float32 or not tensor.isfinite().all() or (tensor < 0).any():
            fail(
                f"the {name} of `guess` is {tensor.dtype}, {tensor.flatten()[:4].tolist()}, ...; it is finite float32, at least 0"
            )
    if found.target.ndim != 2 or len(found.target) != n or found.weight.shape != (n,):
        fail(
            f"`guess` has a target {tuple(found.target.shape)} and a weight {tuple(found.weight.shape)}; of the unlabelled "
            "images they are (U, K) and (U,)"
        )
    sums = found.target.sum(dim=1)
    if not close(sums, torch.ones(n), 1e-4):
        fail(f"the rows of the target of `guess` sum to {sums.tolist()}; they are probabilities of classes")
    for k in found.views:
        if k not in range(len(batch.u)):
            fail(f"`guess` says that it is made from u[{k}], but `views` has the places 0 to {len(batch.u) - 1}")
    return found


def _views_of(method: AlgorithmBase, batch: Batch, given: Guess, progress: float) -> set[int]:
    """Return the views on which the guess depends, all of which it says."""
    depends = set()
    for k, name in enumerate(method.views):
        for views in other_images(batch.u, k):
            now = loss(method, batch._replace(u=views), progress).guess
            parts = [part for part in ("target", "weight") if not torch.equal(getattr(now, part), getattr(given, part))]
            if parts and k not in given.views:
                mask = "the mask" if parts == ["weight"] else "a pseudo-label"
                fail(
                    f"the {parts[0]} of `guess` changes with the images of u[{k}] ('{name}'), but its views are {given.views}; "
                    f"is {mask} taken from the {name} view?"
                )
            if "target" in parts and name == "strong" and "weak" in method.views:
                fail(
                    f"the target of `guess` changes with the images of u[{k}] ('strong'), though there is a weak view to say "
                    "what they are; is a pseudo-label taken from the strong view?"
                )
            depends |= {k} if parts else set()
    return depends


def _rejected_rows_do_not_pull(subject: Subject, method: AlgorithmBase, batch: Batch, progress: float) -> None:
    """There is a term through which a row of weight 0 moves nothing: the guess is what the loss uses."""
    views = {str(k): view.clone().requires_grad_() for k, view in enumerate(batch.u)}
    out = loss(method, batch._replace(u=tuple(views.values())), progress)
    rejected = out.guess.weight == 0
    pulled = {}
    for term, value in subject.unsupervised(out).items():
        rows = sum(gradient.abs().flatten(1).amax(dim=1) for gradient in gradients(value, views).values())
        pulled[term] = int(((rows > 0) & rejected).sum())
    if pulled and min(pulled.values()):
        fail(
            f"`guess` gives {int(rejected.sum())} of {len(rejected)} rows the weight 0, but through '{next(iter(pulled))}' "
            f"{next(iter(pulled.values()))} of these have a gradient; is the mask of the loss another one?"
        )


def _is_of_probabilities(subject: Subject, batch: Batch) -> None:
    """A constant added to all logits, which no softmax sees, changes neither terms nor guess."""
    method = subject.warm()
    before = loss(method, batch)
    for shift in SHIFTS:
        for net in method.modules():
            if isinstance(net, TinyNet):
                net.head.bias.data += shift
        after = loss(method, batch)
        trap = "with another number added to all logits, which no softmax sees,"
        for part in ("weight", "target"):
            if not close(getattr(before.guess, part), getattr(after.guess, part), 1e-3):
                fail(f"{trap} the {part} of `guess` changes; is a threshold on logits, or a target made of them?")
        for name, value in before.terms.items():
            if not same_number(name, before, after, 1e-3):
                fail(
                    f"{trap} '{name}' becomes {after.terms[name].item():.6g} instead of {value.item():.6g}; "
                    "are logits taken for probabilities?"
                )


def _in_bf16(subject: Subject) -> None:
    method = subject.warm(norm=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(method, make_batch(method, 9)).guess
    for name, tensor in (("target", found.target), ("weight", found.weight)):
        if tensor.dtype != torch.float32:
            use = "take the logits through ssl_zoo.losses.full_precision"
            fail(f"under bf16 autocast the {name} of `guess` is {tensor.dtype}; {use}")
