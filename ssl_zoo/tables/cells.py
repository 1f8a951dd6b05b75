"""The numbers of one method at one number of labels: scores over seeds, paired differences, learning curves."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy.special import stdtrit

from ssl_zoo.runs.confusion import geometric_mean, in_a_tail, recalls, unequal
from ssl_zoo.tables.rows import Row, machines_of
from ssl_zoo.tables.variants import called, shared_of


class Score(NamedTuple):
    """Mean and sample standard deviation of an error rate or an accuracy, in percent. A single run has no deviation."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


ALONE = "supervised"  # the method that learns from labels alone, to which others are compared unless another is named
MANY = 20  # classes, of more than which a cell has not each recall
FEWEST = 3  # pairs of an interval: Student's t of two is thirteen deviations wide, and says nothing


class Gain(NamedTuple):
    """Paired difference in accuracy to another method, in points, with its 95 % confidence interval, if it has one."""

    mean: float
    low: float | None
    high: float | None
    n: int  # pairs

    @property
    def interval(self) -> str:
        """The interval in brackets, after a space; nothing where there is none."""
        return "" if self.low is None or self.high is None else f" ({self.low:+.1f} to {self.high:+.1f})"

    def shown(self, runs: int) -> str:
        """Return it in words. The number of pairs is said where it is not the number of runs."""
        pairs = "" if self.n == runs else f", {self.n} pairs"
        return f"{self.mean:+.1f}{self.interval} points{pairs}"


class Cell(NamedTuple):
    """One method at one number of labels."""

    n: int
    error: Score  # of the last evaluation
    median: Score  # of the last few evaluations
    student: Score
    oracle: Score  # the best on the test set: not a result
    gain: Gain | None
    steps: float  # median over runs, as are the next two
    images: float  # seen in training
    seconds: float
    machines: tuple[str, ...]  # where the runs were made
    curve: list[tuple[int, float, float]]  # step, mean accuracy in percent, standard deviation
    balanced: Score | None = None  # balanced accuracy, where the classes of the scored images are unequal
    geometric: Score | None = None  # geometric mean of the recalls; where these are, or what was learnt from, or it is asked for
    recalls: list[float | None] | None = None  # (K,) means over runs, percent, where it is asked for

    @property
    def of_classes(self) -> list[str]:
        """What is said of the classes, in words, a line each."""
        lines = [f"balanced accuracy {self.balanced}"] if self.balanced else []
        lines += [f"geometric mean {self.geometric}"] if self.geometric else []
        return lines + ([f"recalls {in_words(self.recalls)}"] if self.recalls else [])

    @property
    def cost(self) -> list[str]:
        """What a run cost, in words: steps, images seen, seconds, and that machines differ, where they do."""
        seconds = f"{self.seconds:,.{0 if self.seconds >= 10 else 1}f} s"  # some methods need no second
        steps = f"{self.steps:,.0f} steps" if self.steps else "no steps"
        numbers = [steps, f"{self.images:,.0f} images seen", seconds]
        return numbers + ([f"on {len(self.machines)} machines"] if len(self.machines) > 1 else [])


def score(errors: Sequence[float]) -> Score:
    """Return mean and sample standard deviation, in percent."""
    return Score(100 * statistics.mean(errors), 100 * statistics.stdev(errors) if len(errors) > 1 else None)


def balanced(rows: Sequence[Row]) -> Score | None:
    """Return the balanced accuracy, the mean of the classes' recalls, where the scored classes are unequal."""
    return score([row["balanced_accuracy"] for row in rows]) if unequal(rows[0]["confusion"]) else None


def geometric(rows: Sequence[Row], asked: bool) -> Score | None:
    """Return the geometric mean of the classes' recalls, where classes are unequal or it is asked for."""
    if not asked and not unequal(rows[0]["confusion"]) and not any(map(in_a_tail, rows)):
        return None
    return score([geometric_mean(row["confusion"]) for row in rows])


def mean_recalls(rows: Sequence[Row]) -> list[float | None]:
    """Return of each class the mean of its recalls over runs, in percent; None of a class without scored images."""
    found = zip(*(recalls(row["confusion"]) for row in rows), strict=True)
    return [None if None in of_class else 100 * statistics.fmean(of_class) for of_class in found]


def in_words(recalls: Sequence[float | None]) -> str:
    """Return recalls in the order of the classes, or, of many, three of them in the order of their size."""
    if len(recalls) <= MANY:
        return " ".join("-" if one is None else f"{one:.0f}" for one in recalls)
    known = sorted(one for one in recalls if one is not None)
    return f"from {known[0]:.0f} over {statistics.median(known):.0f} to {known[-1]:.0f}"


def difference(rows: Sequence[Row], reference: Sequence[Row]) -> Gain | None:
    """Return the mean difference of accuracy over the seeds and splits that both have.

    Its 95 % confidence interval is Student's t, from three pairs on. Fewer than two pairs are no difference.
    """
    other = {(row["seed"], row["split_hash"]): row["accuracy"] for row in reference}
    pairs = [100 * (row["accuracy"] - other[key]) for row in rows if (key := (row["seed"], row["split_hash"])) in other]
    if len(pairs) < 2:
        return None
    mean = statistics.mean(pairs)
    if len(pairs) < FEWEST:
        return Gain(mean, None, None, len(pairs))
    half = float(stdtrit(len(pairs) - 1, 0.975)) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return Gain(mean, mean - half, mean + half, len(pairs))


def is_of(row: Row, against: str) -> bool:
    """Return whether a run is of the method, or of the variant of one, to which others are compared."""
    return against in (row["algorithm"], called(row))


def reference_of(row: Row, cells: Mapping[tuple[str, Any], Sequence[Row]], against: str = ALONE) -> Sequence[Row]:
    """Return the runs that a run is compared with: of the same variant, where settings were varied.

    There are none where several variants would do.

    Args:
        row: Of the run.
        cells: Rows by method, as its variant is called, and number of labels.
        against: The method that is compared with, or what a variant of it is called.
    """
    found = [
        group
        for (_, labels), group in cells.items()
        if labels == row["labels"] and is_of(group[0], against) and shared_of(group[0]) == shared_of(row)
    ]
    return found[0] if len(found) == 1 else []


def curve(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """Return step, mean accuracy and its standard deviation, in percent, at the evaluations that all rows have."""
    scores = [{point["step"]: 100 * point["accuracy"] for point in row["evaluations"]} for row in rows]
    shared = sorted(set(scores[0]).intersection(*scores))
    points = {step: [of[step] for of in scores] for step in shared}
    return [(s, statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for s, v in points.items()]


def make_cell(rows: Sequence[Row], reference: Sequence[Row], each_class: bool = False, against: str = ALONE) -> Cell:
    """Return the numbers of one method at one number of labels.

    Args:
        rows: Of its runs.
        reference: Of the runs that they are compared with, at the same number of labels, as `reference_of` has them.
        each_class: Whether to say how each class was told.
        against: The method, or variant, that is compared with, and so has no difference itself.
    """

    def errors(name: str) -> list[float]:
        return [1 - row[name] for row in rows]

    return Cell(
        len(rows),
        score(errors("accuracy")),
        score(errors("accuracy_median")),
        score(errors("accuracy_student")),
        score(errors("accuracy_oracle")),
        None if is_of(rows[0], against) else difference(rows, reference),
        *(statistics.median(row[name] for row in rows) for name in ("steps", "images_seen", "seconds")),
        tuple(dict.fromkeys(machine for row in rows for machine in machines_of(row))),
        curve(rows),
        balanced(rows),
        geometric(rows, each_class),
        mean_recalls(rows) if each_class else None,
    )
