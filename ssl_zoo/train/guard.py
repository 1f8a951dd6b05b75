"""A run-time guard against a loss term that does nothing: two published toolkits shipped one for years."""

from typing import Any

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Step

LOOKS = 5  # in a row at which a term must do nothing
SHARE = 0.1  # of the run that these must span: a memory may need an epoch to fill, a threshold some steps to be passed


class TermGuard:
    """Watches the unsupervised terms that a method declares, at log points.

    A term does nothing if it is exactly zero, or gives the net no gradient, while its weight is neither zero nor rising.

    Args:
        algorithm: Declares in `weights` which terms are unsupervised.
        steps: Of the run.
    """

    def __init__(self, algorithm: AlgorithmBase, steps: int):
        self.algorithm, self.steps = algorithm, steps
        self.terms: dict[str, dict[str, Any]] = {}  # what is known of each so far; plain numbers, part of the checkpoint
        self.warnings: list[str] = []

    def look(self, out: Step) -> dict[str, Tensor]:
        """Measure the terms of a step before its backward pass; 0-dim tensors, which the trainer reads with its other numbers.

        The gradient is first taken with respect to the last parameters of the net alone, which is almost free. Only where that
        is zero for long, and before any warning, is it taken with respect to all.
        """
        parameters = [p for p in self.algorithm.net.parameters() if p.requires_grad]
        measured = {}
        for term in self.algorithm.weights:
            value = out.terms.get(term)
            if value is None:  # not in every step
                continue
            suspect = self.terms.get(term, {}).get("looks", 0) >= LOOKS - 1
            measured[f"{term} factor"] = _largest(out.total, [value]) if value.requires_grad else torch.ones_like(value)
            measured[f"{term} pull"] = _largest(value, parameters if suspect else parameters[-2:])
            measured[f"{term} value"] = value.detach().abs()
        return {name: tensor.float() for name, tensor in measured.items()}

    def judge(self, done: int, measured: dict[str, float]) -> str | None:
        """Count what `look` measured after `done` updates; returns a warning, once a term."""
        for term in self.algorithm.weights:
            if f"{term} value" not in measured:
                continue
            value, pull, factor = (measured[f"{term} {what}"] for what in ("value", "pull", "factor"))
            known = self.terms.setdefault(term, {"looks": 0, "since": done, "factor": 0.0, "warned": False})
            idle = (value == 0 or pull == 0) and 0 < factor <= 1.001 * known["factor"]
            known["factor"] = factor
            if not idle:
                known["looks"], known["since"] = 0, done
                continue
            known["looks"] += 1
            if known["looks"] >= LOOKS and done - known["since"] >= SHARE * self.steps and not known["warned"]:
                known["warned"] = True
                self.warnings.append(self._warning(term, known["since"], done, value == 0))
                return self.warnings[-1]
        return None

    def _warning(self, term: str, since: int, done: int, zero: bool) -> str:
        what = "has been exactly zero" if zero else "has given the net no gradient"
        return (
            f"the term '{term}' {what} at every look from step {since} to {done}, with its full weight: it trains nothing. "
            "Likely causes: the student's logits are taken from the teacher, or detached; its two views show the same pixels; "
            "a threshold that no prediction passes; a memory of images that were not visited twice yet. "
            f"ssl_zoo.testing.check_algorithm({type(self.algorithm).__name__}) says which."
        )

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"terms": self.terms, "warnings": self.warnings}

    def load(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.terms, self.warnings = state["terms"], state["warnings"]


def _largest(value: Tensor, of: list[Tensor]) -> Tensor:
    """The largest entry of the gradient of a scalar; zero where there is none."""
    found = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True) if value.requires_grad else ()
    largest = [gradient.detach().abs().max().float() for gradient in found if gradient is not None]
    return torch.stack(largest).max() if largest else torch.zeros((), device=value.device)
