"""What a method believes of unlabelled images, measured at log points: how much counts, is right, is of one class."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.batch import Guess

LOOKS = 5  # in a row at which one class must get nearly all rows
SHARE = 0.1  # of the run that these must span
NEARLY_ALL = 0.9  # of the rows that count
LEAST, BEYOND = 0.5, 0.25  # share of all rows of a step: at least, and beyond that of the class
CLASSES = 100  # up to which the share of each class is logged; of more, the largest alone


class Known(NamedTuple):
    """What is known of the training images' classes, and hidden from every method."""

    labels: np.ndarray  # (N,) classes of unlabelled rows, -1 where there is none, or it is a label of the run
    classes: tuple[str, ...]  # their names


class GuessGuard:
    """Measures the pseudo-labels of a step, and warns once when they have collapsed.

    Args:
        known: Of the training images; None: nothing, so that no pseudo-label can be called right.
        steps: Of the run.
        method: What its options are called by, for the warning.
        device: Of the guesses.
    """

    def __init__(self, known: Known | None, steps: int, method: str, device: torch.device):
        self.steps, self.method, self.classes = steps, method, known.classes if known else ()
        labels = known.labels if known is not None and (known.labels >= 0).any() else None
        self.labels = None if labels is None else torch.from_numpy(labels.astype(np.int64)).to(device)
        counts = np.bincount(labels[labels >= 0]) if labels is not None else np.zeros(0)
        self.expected = counts / max(counts.sum(), 1)  # shares of the classes, where they are known
        self.state: dict[str, Any] = {"looks": 0, "since": 0, "class": -1, "warned": False}
        self.warnings: list[str] = []

    def look(self, guess: Guess | None, index: Tensor) -> dict[str, Tensor]:
        """Measure what a method believes of the rows of a step.

        Args:
            guess: Of the step.
            index: (U,) its rows of the training set.

        Returns:
            0-dim tensors, which the trainer reads with its other numbers. Empty where a method believes nothing.
        """
        if guess is None:
            return {}
        weight, label = guess.weight.detach().float(), guess.target.detach().argmax(dim=1)  # (U,) each
        classes = guess.target.shape[1]
        share = torch.zeros(classes, device=weight.device).scatter_add_(0, label, weight) / len(weight)  # (K,)
        measured = {"guess/mask": weight.mean()}
        if self.labels is not None:
            true = self.labels[index]
            there = weight * (true >= 0)
            measured |= {"guess known": there.mean(), "guess right": (there * (true == label)).mean()}
        return measured | {f"guess share {k}": part for k, part in enumerate(share)}

    def numbers(self, measured: Mapping[str, float]) -> dict[str, float]:
        """Return what is logged of what `look` measured: mask, accuracy, and shares of the classes.

        The accuracy is that of the rows that count, by their weight, against labels that the method does not see; it is
        left out where no row counts or none is known. The shares are of all rows of the step.
        """
        if "guess/mask" not in measured:
            return {}
        shares = _shares(measured)
        found = {"guess/mask": measured["guess/mask"], "guess/largest_class": max(shares)}
        if measured.get("guess known", 0.0) > 0:
            found["guess/accuracy"] = measured["guess right"] / measured["guess known"]
        names = dict(enumerate(self.classes))
        each = {f"guess/class/{names.get(k, k)}": share for k, share in enumerate(shares)}
        return found | (each if len(shares) <= CLASSES else {})

    def judge(self, done: int, measured: Mapping[str, float]) -> list[str]:
        """Count what `look` measured after `done` updates; returns a warning, once in a run."""
        if "guess/mask" not in measured:
            return []
        shares, known = _shares(measured), self.state
        largest = int(np.argmax(shares))
        usual = self.expected[largest] if largest < len(self.expected) else 1 / len(shares)
        one_class = shares[largest] >= NEARLY_ALL * measured["guess/mask"]
        if not one_class or shares[largest] < max(LEAST, usual + BEYOND):  # of a class that is alone sure, or that is most images
            known |= {"looks": 0, "class": -1}
            return []
        if largest != known["class"]:
            known |= {"looks": 0, "since": done, "class": largest}
        known["looks"] += 1
        if known["warned"] or known["looks"] < LOOKS or done - known["since"] < SHARE * self.steps:
            return []
        known["warned"] = True
        self.warnings.append(self._warning(largest, known["since"], done))
        return self.warnings[-1:]

    def _warning(self, largest: int, since: int, done: int) -> str:
        name = f"'{self.classes[largest]}'" if largest < len(self.classes) else f"number {largest}"
        likely = "" if self.labels is not None else ", unless nearly all of your images are of it"
        return (
            f"nearly all pseudo-labels are of the class {name} at every look from step {since} to {done}: the method has "
            f"collapsed{likely}. Ways out: a smaller weight of its unsupervised terms, a longer ramp or a higher threshold, "
            f"where it has such an option (`algorithms.{self.method}.weight` and so on), or more labels."
        )

    def kept(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"state": self.state, "warnings": self.warnings}

    def load(self, kept: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.state, self.warnings = kept["state"], kept["warnings"]


def _shares(measured: Mapping[str, float]) -> list[float]:
    """The classes' shares, in their order."""
    return [value for name, value in measured.items() if name.startswith("guess share ")]
