"""What is measured with: a net, a batch, and images of noise."""

from typing import Any, NamedTuple

import numpy as np

from ssl_zoo import config
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.settings import RunSettings


class Workload(NamedTuple):
    """A net and a batch to be measured with."""

    title: str
    net: str
    side: int  # of the square images
    channels: int
    rows: int
    batch: tuple[int, int]  # labelled, unlabelled
    views: dict[str, Any]
    plain: bool = False  # whether the plain implementation, which needs three channels, is measured too


def random_data(w: Workload) -> Dataset:
    """Images of noise, of which the first 4,000 at most are labelled: what they show changes no time."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (w.rows, w.side, w.side, w.channels), np.uint8)
    labels = np.arange(w.rows) % 10
    return Dataset("noise", images, labels, images[:10], labels[:10], tuple(map(str, range(10))))


def settings_of(w: Workload, alg: str, device: str, **more: Any) -> RunSettings:
    """Settings of a run of a method on it."""
    given = {
        "alg": alg,
        "net": w.net,
        "labels": min(4000, w.rows // 10 * 5),
        "steps": 1_000_000,
        "device": device,
        "batch": dict(zip(("labeled", "unlabeled"), w.batch, strict=True)),
        "views": {"weak": w.views, "strong": {**w.views, "randaugment": {}, "cutout": {}}},
    }
    return config.resolve(given | more)
