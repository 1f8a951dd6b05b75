"""Long tails: numbers of images that fall geometrically from the first class to the last.

Of K classes, class k has n_1 gamma^(-(k-1)/(K-1)) images, so that the first has gamma times as many as the last
(Cui et al. 2019, arXiv:1901.05555, sec. 5.1). Of semi-supervised protocols this is the one of DARP (arXiv:2007.08844),
CReST (arXiv:2102.09559) and DASO (arXiv:2106.05682), which count n_1 and round down. Here the total is given.
"""

import bisect

import numpy as np


def longtail(total: int, gamma: float, classes: int) -> np.ndarray:
    """Return how many images each class has, `total` together, at least one each.

    n_1 is what the total makes it: the images go one by one to the class whose next one needs the smallest n_1, of
    equal ones to the earlier class. So a total to which the papers' rule comes gives the papers' numbers.

    Example: 1236 images of 10 classes with gamma 100 have n_1 = 500: 500, 299, 179, 107, 64, 38, 23, 13, 8, 5.

    Args:
        total: At least one for each class.
        gamma: How many times as many images the first class has as the last; 1 makes all equal, up to one.
        classes: K.

    Returns:
        (K,) int64, from the largest to the smallest.
    """
    share = gamma ** (-np.arange(classes) / max(classes - 1, 1))  # (K,) of n_1
    count = np.maximum(1, np.floor((total - classes) / share.sum() * share).astype(np.int64))  # at most the total
    while count.sum() < total:
        count[np.argmin((count + 1) / share)] += 1
    return count


def longest(gamma: float, available: np.ndarray) -> int:
    """Return the largest total of which no class needs more images than it has; 0 where a class has none.

    Args:
        gamma: As of `longtail`.
        available: (K,) images of each class, the first of which is to have the most.
    """
    least, most = len(available), int(available.sum())
    if available.min() == 0:
        return 0
    short = bisect.bisect_left(range(least, most + 1), True, key=lambda n: _is_short(n, gamma, available))
    return least + short - 1  # more images of the whole are never fewer of a class


def steepest(total: int, gamma: float, available: np.ndarray) -> float | None:
    """Return the largest gamma up to the one given, in steps of a tenth, of which no class needs more than it has.

    None where there is none.

    Args:
        total: As of `longtail`.
        gamma: Which a class has too few images for.
        available: (K,) images of each class.
    """
    tenths = range(10, int(10 * gamma) + 1)
    short = bisect.bisect_left(tenths, True, key=lambda tenth: _is_short(total, tenth / 10, available))
    return None if short == 0 else tenths[short - 1] / 10


def _is_short(total: int, gamma: float, available: np.ndarray) -> bool:
    return bool((longtail(total, gamma, len(available)) > available).any())
