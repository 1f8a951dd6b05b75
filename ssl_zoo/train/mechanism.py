"""What the unsupervised terms do to a net while it learns: the measurements that tell one explanation from another."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Step
from ssl_zoo.losses import full_precision

DECIDED = 0.95  # the largest probability from which on an image counts as decided


class Mechanism:
    """Measures a step, of any method whose student is called on whole images. Costs two more backward passes.

    Args:
        algorithm: Declares in `weights` which terms are unsupervised.
    """

    def __init__(self, algorithm: AlgorithmBase):
        self.algorithm = algorithm
        self._logits: list[Tensor] = []  # of the student's passes

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, what the student puts out is kept."""
        self._logits = []

        def keep(net: torch.nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            if out.requires_grad:
                self._logits.append(out)

        hook = self.algorithm.net.register_forward_hook(keep)
        try:
            yield
        finally:
            hook.remove()

    def measure(self, out: Step, batch: Batch) -> dict[str, Tensor]:
        """What happens in a step whose loss was made while it was watched, before its backward pass.

        Args:
            out: What `loss` returned.
            batch: Of the step.

        Returns:
            0-dim tensors: over the first view of the unlabelled images, `confidence`, the mean of the largest probability,
            `decided`, the share of images in which it is over 0.95, and `logit_norm`, the mean length of the logits, in training
            mode; `gradient_ratio`, the length of the unsupervised terms' gradient over that of the rest of the loss, with
            respect to all parameters; `decided_gradient`, the share that decided images have in the unsupervised gradient with
            respect to the logits, measured in lengths. Those that cannot be known are left out.
        """
        found: dict[str, Tensor] = {}
        unsupervised = self._unsupervised(out)
        if not self._logits:
            return found
        logits = full_precision(torch.cat([part.detach() for part in self._logits]))  # labelled rows stand first
        largest = logits.softmax(dim=1).amax(dim=1)
        if batch.u:
            rows = slice(len(batch.x), len(batch.x) + len(batch.u[0]))
            found["confidence"] = largest[rows].mean()
            found["decided"] = (largest[rows] > DECIDED).float().mean()
            found["logit_norm"] = logits[rows].norm(dim=1).mean()
        if unsupervised is None:
            return found
        parameters = [p for p in self.algorithm.parameters() if p.requires_grad]
        found["gradient_ratio"] = _length(unsupervised, parameters) / _length(out.total - unsupervised, parameters)
        parts = torch.autograd.grad(unsupervised, self._logits, retain_graph=True, allow_unused=True)
        lengths = torch.cat(
            [
                torch.zeros(len(value), device=value.device) if part is None else part.float().norm(dim=1)
                for value, part in zip(self._logits, parts, strict=True)
            ]
        )
        found["decided_gradient"] = (lengths * (largest > DECIDED)).sum() / lengths.sum()
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


def _length(value: Tensor, parameters: list[Tensor]) -> Tensor:
    """Of the gradient of a scalar with respect to all of them; zero where there is none."""
    if not value.requires_grad:
        return torch.zeros_like(value)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([part.float().norm() for part in found if part is not None]).norm()
