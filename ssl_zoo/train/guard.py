"""Guards while a run goes on: against a loss term that does nothing, and one that is not finite; ways out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Step
from ssl_zoo.settings import RunSettings

LOOKS = 5  # in a row at which a term must do nothing
SHARE = 0.1  # of the run that these must span: a memory may need an epoch to fill, a threshold some steps to be passed
ROUNDING = 1e-6  # the largest gradient of a divergence of equals, which is zero but for rounding
ABSENT = 0.5  # of the run, for a term that is no part of total: its weight may be scheduled to start late


class TermGuard:
    """Watches the unsupervised terms that a method declares, at log points.

    A term does nothing if it gives the net no gradient or is no part of total, while its weight is not rising. Its
    value says nothing alone: a term may be negative, and pass through zero. One whose weight is set to zero is not
    watched.

    Args:
        algorithm: Declares in `weights` which terms are unsupervised.
        steps: Of the run.
        options: Of the method, as they are set.
    """

    def __init__(self, algorithm: AlgorithmBase, steps: int, options: Mapping[str, Any]):
        self.algorithm, self.steps = algorithm, steps
        self.watched = [term for term, option in algorithm.weights.items() if options.get(option) != 0]
        self.terms: dict[str, dict[str, Any]] = {}  # what is known of each so far; plain numbers, part of the checkpoint
        self.warnings: list[str] = []

    def look(self, out: Step) -> dict[str, Tensor]:
        """Measure the terms of a step before its backward pass.

        0-dim tensors, which the trainer reads with its other numbers.

        The gradient is first taken with respect to the last parameters of the net alone, which is almost free. Only
        where that is zero for long, and before any warning, is it taken with respect to all.
        """
        parameters = [p for p in self.algorithm.net.parameters() if p.requires_grad]
        measured = {}
        for term in self.watched:
            value = out.terms.get(term)
            if value is None:  # not in every step
                continue
            suspect = self.terms.get(term, {}).get("looks", 0) >= LOOKS - 1
            measured[f"{term} factor"] = _largest(out.total, [value]) if value.requires_grad else torch.ones_like(value)
            measured[f"{term} pull"] = _largest(value, parameters if suspect else parameters[-2:])
            measured[f"{term} value"] = value.detach().abs()
        return {name: tensor.float() for name, tensor in measured.items()}

    def judge(self, done: int, measured: dict[str, float]) -> list[str]:
        """Count what `look` measured after `done` updates; returns new warnings, one a term in a run."""
        new = []
        for term in self.watched:
            if f"{term} value" not in measured:
                continue
            value, pull, factor = (measured[f"{term} {what}"] for what in ("value", "pull", "factor"))
            known = self.terms.setdefault(term, {"looks": 0, "since": done, "factor": None, "warned": False})
            before, known["factor"] = known["factor"], factor
            still = pull == 0 or (value == 0 and pull <= ROUNDING)
            idle = before is not None and factor <= 1.001 * before and (still or factor == 0)
            if not idle:
                known["looks"], known["since"] = 0, done
                continue
            known["looks"] += 1
            share = ABSENT if factor == 0 else SHARE
            if known["looks"] >= LOOKS and done - known["since"] >= share * self.steps and not known["warned"]:
                known["warned"] = True
                idle_by = "been exactly zero" if value == 0 else "given the net no gradient"
                what = "been no part of total" if factor == 0 else idle_by
                new.append(self._warning(term, what, known["since"], done))
        self.warnings += new
        return new

    def _warning(self, term: str, what: str, since: int, done: int) -> str:
        return (
            f"the term '{term}' has {what} at every look from step {since} to {done}, with its full weight: it trains nothing. "
            "Likely causes: a threshold that no prediction passes yet, of which `guess/mask` tells; the student's logits are "
            "taken from the teacher, or detached; its two views show the same pixels; a memory of images that were not visited "
            f"twice yet; a term logged detached.{self._check()}"
        )

    def _check(self) -> str:
        """Where to look further in a method that is not ours."""
        cls = type(self.algorithm)
        ours = cls.__module__.partition(".")[0] == "ssl_zoo"
        return "" if ours else f" ssl_zoo.testing.check_algorithm({cls.__name__}) finds what is wrong with a method."

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"terms": self.terms, "warnings": self.warnings}

    def load(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.terms, self.warnings = state["terms"], state["warnings"]


class FiniteGuard:
    """At which step each term was first not finite, counted on the device, so that no step waits for it.

    Args:
        steps: Of the run.
        device: Of the terms.
    """

    def __init__(self, steps: int, device: torch.device):
        self._past = steps + 1
        self._never = torch.tensor(float(self._past), dtype=torch.float64, device=device)
        self._first: dict[tuple[str, ...], Tensor] = {}  # by the names of a step's terms: (terms,) first steps

    def look(self, done: int, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of a step into account, each a scalar."""
        names = tuple(terms)
        values = torch.stack([term.detach().float() for term in terms.values()])
        here = torch.full_like(self._never, done)  # a plain number would be copied to the device, which waits
        now = torch.where(values - values == 0, self._never, here)  # x - x is NaN where x is not finite
        before = self._first.get(names)
        self._first[names] = now if before is None else torch.minimum(before, now)

    def found(self, together: Callable[[Tensor], Tensor] = lambda first: first) -> dict[str, int]:
        """The terms that were not finite, each with the first step. Waits for the device.

        Args:
            together: From the first steps of this process to those of all.
        """
        found: dict[str, int] = {}
        for names, first in self._first.items():
            for name, step in zip(names, together(first).tolist(), strict=True):
                if step < self._past:
                    found[name] = min(int(step), found.get(name, int(step)))
        return found


def weights_not_finite(module: nn.Module) -> str | None:
    """Return the name of the first parameter that is not finite, if there is one. Waits for the device."""
    weights = dict(module.named_parameters())
    finite = torch.stack([p.isfinite().all() for p in weights.values()]).tolist()
    return None if all(finite) else [*weights][finite.index(False)]


def ways_out(settings: RunSettings, precision: str, weighted: Sequence[str], skip: bool) -> str:
    """Return what can be done where a loss, a weight or a prediction is not finite.

    Args:
        settings: Of the run.
        precision: That it was made in.
        weighted: Terms of the method's loss that have a weight.
        skip: Whether it would help to skip steps: not where every loss and gradient was finite.
    """
    ways = ["lower optimizer.lr" + (" or the method's weight" if weighted else "")]
    ways.append("set optimizer.clip" if settings.optimizer.clip is None else "lower optimizer.clip")
    if precision == "bf16":
        ways.append("give `precision=fp32`")
    if skip and settings.on_nan != "skip":
        ways.append("give `on_nan=skip`")
    return f"{', '.join(ways[:-1])}, or {ways[-1]}"


def _largest(value: Tensor, of: list[Tensor]) -> Tensor:
    """The largest entry of the gradient of a scalar; zero where there is none."""
    found = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True) if value.requires_grad else ()
    largest = [gradient.detach().abs().max().float() for gradient in found if gradient is not None]
    return torch.stack(largest).max() if largest else torch.zeros((), device=value.device)
