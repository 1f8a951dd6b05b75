"""What the unsupervised terms do to a net while it learns: the measurements that tell one explanation from another."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Step
from ssl_zoo.losses import full_precision
from ssl_zoo.train.parallel import mean_of

DECIDED = 0.95  # the largest probability from which on an image counts as decided


class Mechanism:
    """Measures a step. Costs two more backward passes.

    Args:
        algorithm: Declares in `weights` which terms are unsupervised. What concerns single images is known of a method
            that takes its logits from `student_logits` or `student_outputs`.
    """

    def __init__(self, algorithm: AlgorithmBase):
        self.algorithm = algorithm
        self._logits: list[Tensor] = []  # of all images that the student saw
        self._first: Tensor | None = None  # those of them that are of the first unlabelled view, as it is

    @contextlib.contextmanager
    def watching(self, batch: Batch) -> Iterator[None]:
        """Within it, the student's logits are kept.

        Args:
            batch: Of the step.
        """
        self._logits, self._first = [], None
        inner = {name: getattr(self.algorithm, name) for name in ("student_logits", "student_outputs")}

        def keep(name: str, *images: Any, **kwargs: Any) -> Any:
            made = inner[name](*images, **kwargs)
            self._logits = made if name == "student_logits" else made[0]
            first = [logits for given, logits in zip(images, self._logits, strict=False) if batch.u and given is batch.u[0]]
            self._first = first[0] if first else None
            return made

        for name in inner:
            setattr(self.algorithm, name, functools.partial(keep, name))
        try:
            yield
        finally:
            for name in inner:
                delattr(self.algorithm, name)

    def measure(self, out: Step) -> dict[str, Tensor]:
        """What happens in a step whose loss was made while it was watched, before its backward pass.

        Args:
            out: What `loss` returned.

        Returns:
            0-dim tensors, of the batch of all processes: over the first view of the unlabelled images, `confidence`,
            the mean of the largest probability, `decided`, the share of images in which it is over 0.95, and
            `logit_norm`, the mean length of the logits, in training mode; `gradient_ratio`, the length of the
            unsupervised terms' gradient over that of the rest of the loss, with respect to all parameters;
            `decided_gradient`, the share that decided images have in the unsupervised gradient with respect to the
            logits, measured in lengths. Those that cannot be known are left out.
        """
        found: dict[str, Tensor] = {}
        seen, first, self._logits, self._first = self._logits, self._first, [], None  # not kept until the next measurement
        if first is not None:
            logits = _of_labels(first)
            largest = logits.softmax(dim=1).amax(dim=1)
            found["confidence"] = largest.mean()
            found["decided"] = (largest > DECIDED).float().mean()
            found["logit_norm"] = logits.norm(dim=1).mean()
        unsupervised = self._unsupervised(out)
        if unsupervised is None:
            return found
        parameters = [p for p in self.algorithm.parameters() if p.requires_grad]
        found["gradient_ratio"] = _length(unsupervised, parameters) / _length(out.total - unsupervised, parameters)
        if seen and unsupervised.requires_grad:
            pulls = torch.autograd.grad(unsupervised, seen, retain_graph=True, allow_unused=True)
            lengths = torch.zeros(2, device=out.total.device)  # of decided images, of all
            for logits, pull in zip(seen, pulls, strict=True):
                if pull is not None:
                    each = pull.float().flatten(1).norm(dim=1)  # (n,)
                    decided = _of_labels(logits).softmax(dim=1).amax(dim=1) > DECIDED
                    lengths += torch.stack(((each * decided).sum(), each.sum()))
            lengths = mean_of(lengths)
            found["decided_gradient"] = lengths[0] / lengths[1]
        return found

    def _unsupervised(self, out: Step) -> Tensor | None:
        """The declared terms, each times what it counts for in the total."""
        terms = [out.terms[term] for term in self.algorithm.weights if term in out.terms and out.terms[term].requires_grad]
        if not terms:
            return None
        factors = torch.autograd.grad(out.total, terms, retain_graph=True, allow_unused=True)
        return sum(
            (factor.detach() * term for factor, term in zip(factors, terms, strict=True) if factor is not None),
            start=torch.zeros_like(out.total),
        )


def _of_labels(logits: Tensor) -> Tensor:
    """(n, K), without gradient, of (n, K), or of (n, heads, K), whose first head is that of the labels."""
    return full_precision(logits.detach() if logits.ndim == 2 else logits.detach()[:, 0])


def _length(value: Tensor, parameters: list[Tensor]) -> Tensor:
    """Of the gradient of a scalar with respect to all of them, its mean over processes; zero where there is none."""
    if not value.requires_grad:
        return torch.zeros_like(value)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    parts = [torch.zeros_like(p) if part is None else part for p, part in zip(parameters, found, strict=True)]
    return mean_of(torch.cat([part.float().flatten() for part in parts])).norm()
