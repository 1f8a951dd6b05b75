"""The check that a method learns what it believes: its unsupervised terms teach its pseudo-labels, and those alone."""

import torch

from ssl_zoo.batch import Step
from ssl_zoo.testing.subject import MOMENTS, Subject, TinyNet, fail, gradients, loss, make_batch
from ssl_zoo.testing.ways import neutrally, openings

SURE = 20.0  # added to the logit of one class, far above what is left of the others
CLASS = 2  # the class
ZERO = 0.05  # what is left of a term where nothing is left to learn


@neutrally
def learns_guess(subject: Subject) -> None:
    """What is learned is the guess: each row that counts pulls, towards it, until the net is sure of it."""
    method = subject.make()
    if loss(method, make_batch(method, 9)).guess is None:  # the check `guess` says whether there must be one
        return
    ways = [_exact(one) for one in openings(subject)]
    for progress in MOMENTS:
        _rows_that_count_pull(ways[0], progress)
    for one in reversed(ways):
        _a_sure_net_is_content(one, gates=bool(method.gates), opened=one is not ways[0])
    _learns_towards_it(ways[-1])


def _exact(subject: Subject) -> Subject:
    """Return the method in float64, where no softmax of a TinyNet is exactly sure; as it is, if it cannot run there."""
    double = subject._replace(double=True)
    try:
        method = double.warm()
        loss(method, make_batch(method, 9))
    except Exception:  # the method's own; float32 has smaller numbers to tell from zero, and is all that is promised
        return subject
    return double


def _rows_that_count_pull(subject: Subject, progress: float) -> None:
    method = subject.warm()
    batch = make_batch(method, 9)
    views = {str(k): view.clone().requires_grad_() for k, view in enumerate(batch.u)}
    out = loss(method, batch._replace(u=tuple(views.values())), progress)
    pull = torch.zeros_like(out.guess.weight)
    for value in subject.unsupervised(out).values():
        for gradient in gradients(value, views).values():
            pull += (gradient.flatten(1) != 0).any(dim=1)
    counted = out.guess.weight > 0.5
    idle = int((counted & (pull == 0)).sum())
    if idle:
        fail(
            f"`guess` gives {int(counted.sum())} of {len(pull)} rows a weight above .5, but {idle} of these move nothing through "
            "any unsupervised term; is the mask of the loss another one, or stricter?"
        )


def _a_sure_net_is_content(subject: Subject, *, gates: bool, opened: bool) -> None:
    """Where the net is sure of one class for every image, so is the guess, and some term has nothing left to learn."""
    sure = "with a net that is sure of one class for every image"
    before, out, never = (_with(subject, added) for added in (None, SURE, -SURE))
    target, weight = out.guess.target, out.guess.weight
    share, least = (float(of.guess.target.detach()[:, CLASS].mean()) for of in (out, never))
    if share < least - 0.1:  # the same: made of something else than the net's logits, such as of what is near
        fail(f"{sure} {share:.0%} of `guess` is that class, and {least:.0%} with one that rules it out; is a label an argmin?")
    let_pass = opened or (not gates and before.guess.weight.any())  # a gate half open may let nothing pass
    if let_pass and not weight.any():
        fail(f"{sure} `guess` gives every row the weight 0; is the gate inverted?")
    left = {name: float(value.detach()) for name, value in subject.unsupervised(out).items()}
    if (target[:, CLASS] > 0.999).all() and min(map(abs, left.values()), default=0.0) > ZERO:
        shown = ", ".join(f"'{name}' is {value:.4g}" for name, value in left.items())
        fail(
            f"{sure}, as is its guess, no unsupervised term is about 0: {shown}; is a softmax taken twice, a logarithm left out, "
            "or another class learned than the guess says?"
        )


def _with(subject: Subject, added: float | None) -> Step:
    """Return the loss of nets that see little in images, with a number added to one class's logit; None: as it is."""
    method = subject.warm()
    for net in method.modules():
        if isinstance(net, TinyNet) and added is not None:
            net.head.weight.data *= 0.01  # not zero: who compares rows with their mean finds them different
            net.head.bias.data[CLASS] += added
    return loss(method, make_batch(method, 9))


def _learns_towards_it(subject: Subject) -> None:
    """A small step down some term, in the images that learn, makes the net believe the guess more."""
    method = subject.warm()
    batch = make_batch(method, 9)
    views = {str(k): view.clone().requires_grad_() for k, view in enumerate(batch.u)}
    out = loss(method, batch._replace(u=tuple(views.values())))
    terms = subject.unsupervised(out)
    head = {name: p for name, p in method.net.named_parameters() if name.startswith("head.")}
    if not any(gradient.any() for value in terms.values() for gradient in gradients(value, head).values()):
        return  # a head of the method's own learns
    learned = {k: view for k, view in views.items() if int(k) not in method.target_views()}
    logs = [method.net(view).log_softmax(dim=1) for view in learned.values()]
    told = -sum((out.guess.weight[:, None] * out.guess.target * log).sum() for log in logs)
    wanted = gradients(told, learned)
    found = {name: gradients(value, learned) for name, value in terms.items()}
    falls = {name: float(sum((of[k] * wanted[k]).sum() for k in learned)) for name, of in found.items()}
    if max(falls.values(), default=1.0) <= 0 and any(gradient.any() for gradient in wanted.values()):
        fail(
            f"a small step down {' or '.join(map(repr, falls))} makes the net believe its guess less; is a sign wrong, "
            "or another label learned than the guess says?"
        )
