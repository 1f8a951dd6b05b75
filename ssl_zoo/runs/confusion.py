"""What was taken for what: counts of the pairs of classes that occur, as a matrix grows with K squared.

And what they say beside the accuracy: how sure it is, whether unequal classes flatter it, and whether the net gives one
class to all images. The first rows have the matrix, which is read as well.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from ssl_zoo.runs.fields import Within

Count = Annotated[int, Within(0, 2**53)]
UNEQUAL = 1.5  # how many times as many images as the smallest class the largest may have, before classes are unequal
NEARLY_ALL = 0.95  # share of the images from which on one class is given to nearly all


class Pairs(TypedDict):
    """Images by their true class and the one that they were given; three lists of one length, a place for each pair."""

    classes: Annotated[int, Within(1)]  # K
    true: list[Count]
    predicted: list[Count]
    count: list[Count]


Confusion = Pairs | list[list[Count]]  # or a matrix, whose rows are true classes


def pairs_of(confusion: Confusion) -> Pairs:
    """Return the pairs that occur, whichever form they are in."""
    if not isinstance(confusion, list):
        return confusion
    places = {(i, j): count for i, line in enumerate(confusion) for j, count in enumerate(line) if count}
    return of_places(len(confusion), places)


def of_places(classes: int, places: Mapping[tuple[int, int], int]) -> Pairs:
    """Return counts of (true, predicted) as pairs, in order."""
    true, predicted = ([pair[k] for pair in sorted(places)] for k in (0, 1))
    return Pairs(classes=classes, true=true, predicted=predicted, count=[places[pair] for pair in sorted(places)])


def pooled(rows: Sequence[Mapping[str, Any]]) -> Pairs:
    """Return the pairs of several runs over the same classes."""
    found: Counter[tuple[int, int]] = Counter()
    for row in rows:
        pairs = pairs_of(row["confusion"])
        found.update(dict(zip(zip(pairs["true"], pairs["predicted"], strict=True), pairs["count"], strict=True)))
    return of_places(pairs_of(rows[0]["confusion"])["classes"], found)


def images_in(confusion: Confusion) -> int:
    """Return of how many images it is."""
    return sum(pairs_of(confusion)["count"])


def is_sound(confusion: Any) -> bool:
    """Return whether it holds what a type cannot say: a square, or pairs of classes that there are, each once."""
    if isinstance(confusion, list):
        return len(confusion) > 0 and all(len(line) == len(confusion) for line in confusion)
    true, predicted, count = (confusion[name] for name in ("true", "predicted", "count"))
    return (
        len(true) == len(predicted) == len(count)
        and len({*zip(true, predicted, strict=True)}) == len(count)
        and _below(true, confusion["classes"])
        and _below(predicted, confusion["classes"])
    )


def _below(places: Sequence[int], classes: int) -> bool:
    return max(places, default=0) < classes


def sizes(confusion: Confusion) -> list[int]:
    """Return how many of the scored images are of each class, (K,)."""
    return _totals(pairs_of(confusion), "true")


def _totals(pairs: Pairs, axis: str) -> list[int]:
    found = [0] * pairs["classes"]
    for k, count in zip(pairs[axis], pairs["count"], strict=True):  # type: ignore[literal-required]
        found[k] += count
    return found


def _right(pairs: Pairs) -> list[int]:
    """(K,) how many images of each class are right."""
    found = [0] * pairs["classes"]
    for true, predicted, count in zip(pairs["true"], pairs["predicted"], pairs["count"], strict=True):
        found[true] += count * (true == predicted)
    return found


def accuracy(confusion: Confusion) -> float:
    """Return the share of the images that are right."""
    pairs = pairs_of(confusion)
    return sum(_right(pairs)) / sum(pairs["count"])


def balanced(confusion: Confusion) -> float:
    """Return the mean over the classes that have images of the share that is right."""
    pairs = pairs_of(confusion)
    return statistics.fmean(right / size for right, size in zip(_right(pairs), sizes(pairs), strict=True) if size)


def recalls(confusion: Confusion) -> list[float | None]:
    """Return of each class the share of its images that is right, (K,); None of a class without images."""
    pairs = pairs_of(confusion)
    return [right / size if size else None for right, size in zip(_right(pairs), sizes(pairs), strict=True)]


def geometric_mean(confusion: Confusion) -> float:
    """Return the geometric mean of the recalls of the K classes that have images.

    A recall of 0 counts as 1/(100 K), so that one class does not hide what is said of the others, as in the code of
    DARP (arXiv:2007.08844) and ABC (arXiv:2110.10368).
    """
    found = [recall for recall in recalls(confusion) if recall is not None]
    return math.exp(statistics.fmean(math.log(recall or 1 / (100 * len(found))) for recall in found))


def in_a_tail(row: Mapping[str, Any]) -> bool:
    """Return whether a run learnt from a long tail of labelled or unlabelled images."""
    config = row.get("config", {})
    return row.get("split_draw", config.get("draw")) == "longtail" or (config.get("stream", {}).get("imbalance") or 1) > 1


def macro_f1(confusion: Confusion) -> float:
    """Return the mean F1 of the classes that have images."""
    pairs = pairs_of(confusion)
    counts = zip(_right(pairs), sizes(pairs), _totals(pairs, "predicted"), strict=True)
    return statistics.fmean(2 * right / (size + given) for right, size, given in counts if size)


def unequal(confusion: Confusion) -> bool:
    """Return whether the classes of the scored images are so unequal that their accuracy flatters."""
    count = sizes(confusion)
    return max(count) > UNEQUAL * min(count)


def majority(confusion: Confusion) -> tuple[int, float]:
    """Return the largest class, and the accuracy of giving it to every image."""
    count = sizes(confusion)
    return count.index(max(count)), max(count) / sum(count)


def given_to_all(confusion: Confusion) -> tuple[int, int] | None:
    """Return the class that is given to nearly all images, those of the other classes too, and to how many; or None.

    A net that finds the few images of a rare class gives nearly all images one class, and is right.
    """
    pairs = pairs_of(confusion)
    given, count = _totals(pairs, "predicted"), sizes(pairs)
    k = given.index(max(given))
    others = sum(count) - count[k]
    wrongly = given[k] - _right(pairs)[k]
    nearly_all = given[k] >= NEARLY_ALL * sum(given) and wrongly >= NEARLY_ALL * others > 0
    return (k, given[k]) if nearly_all else None


def interval(confusion: Confusion) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy over draws of as many images, as `wilson`."""
    pairs = pairs_of(confusion)
    return wilson(sum(_right(pairs)), sum(pairs["count"]))


def wilson(right: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy of which `right` of `n` images tell.

    Wilson 1927, doi:10.1080/01621459.1927.10502953, as in scipy's `binomtest(right, n).proportion_ci(method="wilson")`,
    whose import takes a second that whoever looks at a finished run need not wait. What another seed or label split
    would give is not in it.
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    middle = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
