"""semilearn, the toolkit of USB: its algorithms, data sets and loaders, by its own interface."""

import contextlib
import inspect
import io
import itertools
import logging
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ssl_zoo.data.dataset import Dataset

from ..workloads import Workload
from .contender import Peer, net_of

EPOCH, STEPS = 1024, 1024 * 1024  # steps of an epoch and of a run, as in its settings for CIFAR-10


class Named(nn.Module):
    """Our net, answering as theirs do: logits and features by name."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.net.forward_head(self.net.forward_features(x), pre_logits=True)
        return {"logits": self.net.head(features), "feat": features}


class Semilearn(Peer):
    """Steps of semilearn, with its data set of CIFAR-10, its views and its loaders.

    Args:
        w: What is measured. The unlabelled images of a step are a multiple of the labelled.
        alg: meanteacher or fixmatch.
        data: Of the workload, in the place of CIFAR-10.
        device: Where.
        workers: Processes that load labelled images; twice as many load unlabelled ones.
        weight: Of the unlabelled term.
        probe: Count that term as late in a run, and every image as sure.
        whole: Of no effect: it has all images anyway.
    """

    rows = {"views in the training process": {"workers": 0}, "1 + 2 workers, its default": {"workers": 1}}

    def __init__(
        self,
        w: Workload,
        alg: str,
        data: Dataset,
        device: torch.device,
        workers: int = 0,
        weight: float = 1.0,
        probe: bool = False,
        whole: bool = False,
    ):
        import semilearn
        from semilearn.datasets import utils

        self.device = device
        config = semilearn.get_config(_settings(w, alg, device, workers, weight, probe))
        cifar = SimpleNamespace(data=data.images, targets=data.labels)
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch("torchvision.datasets.CIFAR10", lambda *args, **kwargs: cifar))
            stack.enter_context(mock.patch.object(utils, "base_dir", folder))  # beside its code, where it would write the split
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            self.algorithm: Any = semilearn.get_algorithm(
                config, lambda **asked: Named(net_of(w, data, device)), None, logging.getLogger("semilearn")
            )
        if device.type != "cuda":
            self._without_cuda()
        self.net, self.optimizer = self.algorithm.model, self.algorithm.optimizer
        self.net.train()
        self.algorithm.call_hook("before_run")
        self.algorithm.epoch = 0
        self.algorithm.it = STEPS // 2 if probe else 0
        self._batches = self._endless()

    def _without_cuda(self) -> None:
        """Leave out the two things that it does on a GPU alone: its clock, and moving each batch there."""
        self.algorithm.hooks_dict.pop("TimerHook")
        wanted = inspect.signature(self.algorithm.train_step).parameters
        self.algorithm.process_batch = lambda **batch: {name: batch[name] for name in wanted}

    def _endless(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        loaders = self.algorithm.loader_dict
        for _ in itertools.count():
            yield from zip(loaders["train_lb"], loaders["train_ulb"], strict=True)

    def turn(self, steps: int) -> None:
        algorithm = self.algorithm
        for _ in range(steps):
            labeled, unlabeled = next(self._batches)
            algorithm.call_hook("before_train_step")
            algorithm.out_dict, algorithm.log_dict = algorithm.train_step(**algorithm.process_batch(**labeled, **unlabeled))
            algorithm.call_hook("after_train_step")  # which takes the step, and moves the average
            algorithm.it += 1

    def average(self) -> list[Tensor]:
        return list(self.algorithm.ema.shadow.values())

    def fresh(self) -> bool:
        images = self.algorithm.dataset_dict["train_ulb"]
        return any(not torch.equal(images[row]["x_ulb_w"], images[row]["x_ulb_w"]) for row in range(8))

    def notes(self) -> list[str]:
        import semilearn

        own = semilearn.get_net_builder("wrn_28_2", False)(num_classes=10)
        found = [f"its own wrn_28_2, which is not used here, has {sum(p.numel() for p in own.parameters()):,} parameters"]
        if self.device.type != "cuda":
            found.append(
                "it trains on a GPU alone as it stands; here its TimerHook and its move of each batch there are left out"
            )
        return [*found, "the memory of its workers is not counted"]


def _settings(w: Workload, alg: str, device: torch.device, workers: int, weight: float, probe: bool) -> dict[str, Any]:
    """What is not as it is by default, or depends on what is measured."""
    labeled, unlabeled = w.batch
    ratio, rest = divmod(unlabeled, labeled)
    if rest:
        raise ValueError(f"semilearn needs a multiple of the {labeled} labelled images of a step, not {unlabeled} unlabelled")
    made = {
        "algorithm": alg,
        "dataset": "cifar10",
        "num_classes": 10,
        "num_labels": min(4000, w.rows // 10 * 5),
        "img_size": w.side,
    }
    made |= {"batch_size": labeled, "uratio": ratio, "num_workers": workers, "ulb_loss_ratio": weight}
    made |= {"epoch": STEPS // EPOCH, "num_train_iter": STEPS, "num_eval_iter": 5 * EPOCH, "num_log_iter": EPOCH // 4}
    made |= {"gpu": device.index, "rank": 0, "distributed": False, "world_size": 1}
    return made | ({"p_cutoff": 0.0} if probe else {})
