"""Predictions of images, one after the other: a million need no more memory than a batch."""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo.device import cores
from ssl_zoo.runs.trained import Trained
from ssl_zoo.using.images import Item

AHEAD = 2  # batches that are decoded while the net is at work on a GPU; on the same cores they would only be in its way


class Prediction(NamedTuple):
    """What a net says of one image."""

    path: str
    label: int | None  # the true class, where it is known
    probabilities: np.ndarray | None  # (K,) float32; None where the image cannot be read
    error: str = ""  # why not
    learnt: bool | None = None  # whether the net was trained on it, with a label; None: nobody knows

    @property
    def best(self) -> int | None:
        """The most probable class."""
        return None if self.probabilities is None else int(self.probabilities.argmax())


def predictions(trained: Trained, items: Iterable[Item]) -> Iterator[Prediction]:
    """Yield a prediction of each image, in order. Images are prepared as training had them.

    Batches have the size that the run was scored with, so that its accuracy comes out again. Threads decode them, and
    if the net is on a GPU, they decode the next ones while it is at work.

    Args:
        trained: The net.
        items: Images.

    Raises:
        InputError: The net takes images that no file has, or its predictions are not finite.
    """
    trained.check_takes_files()
    ahead = 0 if trained.device.type == "cpu" else AHEAD
    with contextlib.ExitStack() as stack:
        pool = ThreadPoolExecutor(cores())
        stack.callback(pool.shutdown, cancel_futures=True)
        waiting: collections.deque[tuple[list[Item], list[Future[Any]]]] = collections.deque()
        for chunk in chunks(items, trained.about["batch"]):
            waiting.append((chunk, [pool.submit(_pixels, trained, item) for item in chunk]))
            if len(waiting) > ahead:
                yield from _of(trained, *waiting.popleft())
        while waiting:
            yield from _of(trained, *waiting.popleft())


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of so many items, and what is left. As itertools.batched, which Python 3.11 has not."""
    going = iter(items)
    while chunk := list(itertools.islice(going, size)):
        yield chunk


def _pixels(trained: Trained, item: Item) -> np.ndarray | str:
    """(H, W, C) uint8, or why there are none."""
    try:
        return trained.pixels_of(item.read())
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)


def _of(trained: Trained, chunk: list[Item], decoded: list[Future[Any]]) -> Iterator[Prediction]:
    pixels = [future.result() for future in decoded]
    sound = [image for image in pixels if not isinstance(image, str)]
    found = iter(trained.predict_proba(np.stack(sound)) if sound else ())
    known = trained.learnt(np.stack(sound)) if sound else None
    learnt = iter(known.tolist() if known is not None else [None] * len(sound))
    for item, image in zip(chunk, pixels, strict=True):
        if isinstance(image, str):
            yield Prediction(item.path, item.label, None, image)
        else:
            yield Prediction(item.path, item.label, next(found), learnt=next(learnt))
