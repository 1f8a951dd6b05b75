"""A run of a method without steps: features of the images, one fit, one evaluation."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from tqdm import tqdm

from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.device import Machine
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.heads import Features
from ssl_zoo.ranks import rank
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.evaluate import Evaluator, predict
from ssl_zoo.train.logs import RunLog, tag_of
from ssl_zoo.train.parallel import from_first
from ssl_zoo.train.trainer import Outcome


class Fitter:
    """In place of a trainer, where a method is fitted at once. A fit that was cut short begins anew.

    Args:
        algorithm: On the machine's device.
        batches: Holds the images.
        evaluator: Scores nets.
        settings: Of the run.
        machine: Where all of them are.
        folder: Of the run.
        identity: Of the run.
        quiet: Show no bar.
    """

    steps = start = 0  # updates of the net
    seconds_compiling: float | None = None

    def __init__(
        self,
        algorithm: Baseline,
        batches: Pipeline,
        evaluator: Evaluator,
        settings: RunSettings,
        machine: Machine,
        folder: Path,
        identity: Mapping[str, str] | None = None,
        quiet: bool = False,
    ):
        self.algorithm, self.batches, self.evaluator = algorithm, batches, evaluator
        self.settings, self.machine, self.device, self.quiet = settings, machine, machine.device, quiet
        self.warn: Callable[[str], None] = print
        self.identity = {**(identity or {}), "precision": machine.precision}
        self.folder, self.checkpoints = folder, Checkpoints(folder)
        self.history: list[dict[str, Any]] = []
        self.fit: dict[str, float] = {}  # what was found on the way
        facts = batches.facts
        stream = facts.unlabeled.cpu().numpy() if algorithm.uses_unlabeled else []
        hidden = np.setdiff1d(stream, facts.labeled.cpu().numpy()).astype(np.int64)
        self._rows = {"labeled": facts.labeled.cpu(), "unlabeled": torch.from_numpy(hidden)}

    @property
    def images_seen(self) -> int:
        """How many images it was fitted on, labelled or not."""
        return sum(map(len, self._rows.values()))

    def eval_net(self) -> nn.Module:
        """The net that is scored."""
        return self.algorithm.eval_net()

    def reported_state(self) -> dict[str, Tensor]:
        """Its state."""
        return self.eval_net().state_dict()

    def learn(self) -> list[str]:
        """Fit. Return what scikit-learn warned of.

        Raises:
            InputError: The method cannot be fitted on these images, or its features are not finite.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)  # as scikit-learn's of a fit that has not converged
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            labeled = self._features("labeled")
            unlabeled = self._features("unlabeled") if len(self._rows["unlabeled"]) else labeled[:0]
            with threadpool_limits(self.machine.threads):  # those of numpy and scikit-learn wait for busy cores, as torch's do
                self.fit = dict(self.algorithm.fit(labeled, self._labels(), unlabeled))
        return list(dict.fromkeys(one_line(str(warning.message)) for warning in caught))

    def run(self) -> Outcome:
        """Fit and score.

        Raises:
            InputError: As `learn`.
        """
        began = time.perf_counter()
        said = self.learn()
        fitted = time.perf_counter() - began
        scores, matrix = from_first(lambda: self.evaluator(self.eval_net(), self.eval_net()))
        if rank() == 0:
            log = RunLog(self.folder, settings=self.settings)
            log.write(0, {tag_of(name): value for name, value in scores.items()})
            log.close()
        return Outcome([{"step": 0, **scores}], 0, matrix, time.perf_counter() - began, fitted, said, 0)

    def _labels(self) -> np.ndarray:
        return self.batches.facts.labels.cpu().numpy()

    def _features(self, stream: str) -> np.ndarray:
        """(n, D) float32 of the images of a stream, without augmentation."""
        rows, size = self._rows[stream], self.settings.evaluation.batch
        net = Features(self.algorithm.net)
        images = self.batches.images
        context = self.machine.autocast()
        parts = []
        for chunk in self._watched(rows.split(size), stream):
            try:
                parts.append(predict(net, images[chunk.to(images.device)], self.evaluator.prepare, size, context, None))
            except FloatingPointError as error:
                raise InputError("the net's features of some images are not finite; give it other weights") from error
        return np.concatenate(parts)

    def _watched(self, chunks: tuple[Tensor, ...], stream: str) -> Iterator[Tensor]:
        hide = rank() > 0 or self.quiet or len(chunks) < 2
        words = "labelled" if stream == "labeled" else "unlabelled"
        return iter(tqdm(chunks, desc=f"features of {words} images", unit="batch", dynamic_ncols=True, disable=hide))
