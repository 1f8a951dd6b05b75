"""What a confusion matrix says beside the accuracy.

How sure the accuracy is, whether unequal classes flatter it, and whether the net gives one class to all images. Rows
are true classes, columns predicted ones.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Confusion = Sequence[Sequence[int]]
UNEQUAL = 1.5  # how many times as many images as the smallest class the largest may have, before classes are unequal
NEARLY_ALL = 0.95  # share of the images from which on one class is given to nearly all


def sizes(confusion: Confusion) -> list[int]:
    """Return how many of the scored images are of each class."""
    return [sum(line) for line in confusion]


def unequal(confusion: Confusion) -> bool:
    """Return whether the classes of the scored images are so unequal that their accuracy flatters."""
    count = sizes(confusion)
    return max(count) > UNEQUAL * min(count)


def majority(confusion: Confusion) -> tuple[int, float]:
    """Return the largest class, and the accuracy of giving it to every image."""
    count = sizes(confusion)
    return count.index(max(count)), max(count) / sum(count)


def one_class(confusion: Confusion) -> int | None:
    """Return the class that is given to nearly all images, those of the other classes too; None if there is none.

    A net that finds the few images of a rare class gives nearly all images one class, and is right.
    """
    given = [sum(column) for column in zip(*confusion, strict=True)]
    k = given.index(max(given))
    others = sum(sizes(confusion)) - sum(confusion[k])
    wrongly = given[k] - confusion[k][k]
    nearly_all = given[k] >= NEARLY_ALL * sum(given) and wrongly >= NEARLY_ALL * others > 0
    return k if nearly_all else None


def interval(confusion: Confusion) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy over draws of as many images.

    Wilson 1927, doi:10.1080/01621459.1927.10502953, as in scipy's `binomtest(right, n).proportion_ci(method="wilson")`,
    whose import takes a second that whoever looks at a finished run need not wait. What another seed or label split
    would give is not in it.
    """
    right, n = sum(line[k] for k, line in enumerate(confusion)), sum(sizes(confusion))
    z = statistics.NormalDist().inv_cdf(0.975)
    middle = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(confusion: Confusion) -> float:
    """Return the share of the images that are right."""
    return sum(line[k] for k, line in enumerate(confusion)) / sum(sizes(confusion))


def balanced(confusion: Confusion) -> float:
    """Return the mean over classes, of those that have images, of the share that is right."""
    return statistics.fmean(line[k] / sum(line) for k, line in enumerate(confusion) if sum(line))


def pooled(rows: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the sum of the matrices of several runs over the same classes."""
    matrices = [row["confusion"] for row in rows]
    return [[sum(cells) for cells in zip(*lines, strict=True)] for lines in zip(*matrices, strict=True)]
