"""modssc: its methods' `fit`, and its views, by its own interface."""

import copy
import dataclasses
import time
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.data.dataset import Dataset

from ..workloads import Workload
from .contender import Peer, net_of


class Modssc(Peer):
    """Steps of modssc: a call of `fit` makes as many as its images are enough for.

    `fit` takes tensors of views, which are made once, before it.

    Args:
        w: What is measured. FixMatch needs a multiple of the labelled images of a step as unlabelled ones.
        alg: meanteacher or fixmatch.
        data: Of the workload.
        device: Where.
        weight: Of the unlabelled term.
        probe: Count that term as late in a run, and every image as sure.
        whole: Make the views of all images at once. Otherwise of those that a turn needs.
        rate: Of SGD, which a user brings along; as in its own settings for CIFAR-10.
    """

    rows = {"views made once, before training": {}}

    def __init__(
        self,
        w: Workload,
        alg: str,
        data: Dataset,
        device: torch.device,
        weight: float = 1.0,
        probe: bool = False,
        whole: bool = False,
        rate: float = 1e-4,
    ):
        self.w, self.device, self._data = w, device, data
        self.net = net_of(w, data, device)
        self.teacher = copy.deepcopy(self.net) if alg == "meanteacher" else None
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
        self._method, self._sizes = self._made(alg, weight, probe)
        self._labeled = self._tensor(slice(0, min(4000, w.rows // 10 * 5)))
        self._labels = torch.from_numpy(data.labels[: len(self._labeled)]).to(device)
        self._views: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
        if whole:
            self._views = self.views(w.rows)

    def _made(self, alg: str, weight: float, probe: bool) -> tuple[Any, tuple[int, int]]:
        """The method, and how many labelled and unlabelled images `fit` is given for each step."""
        from modssc.inductive import TorchModelBundle
        from modssc.inductive.methods.fixmatch import FixMatchMethod, FixMatchSpec
        from modssc.inductive.methods.mean_teacher import MeanTeacherMethod, MeanTeacherSpec

        bundle = TorchModelBundle(self.net, self.optimizer, self.teacher)
        labeled, unlabeled = self.w.batch
        if alg == "meanteacher":  # one batch size for both kinds: all the labelled images there are make up the smaller batch
            late = {"unsup_warm_up": 0.0} if probe else {}
            return MeanTeacherMethod(MeanTeacherSpec(bundle, lambda_u=weight, batch_size=unlabeled, **late)), (0, unlabeled)
        sure = {"p_cutoff": 0.0} if probe else {}
        spec = FixMatchSpec(bundle, lambda_u=weight, batch_size=labeled, mu=unlabeled // labeled, **sure)
        return FixMatchMethod(spec), (labeled, unlabeled)

    def _tensor(self, rows: slice) -> Tensor:
        """Images as a net takes them, (N, C, H, W)."""
        images = torch.from_numpy(self._data.images[rows]).to(self.device)
        return images.permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.25).contiguous()

    def views(self, count: int) -> tuple[Tensor, Tensor]:
        """A weak and a strong view of each of the first images, as in its own settings for CIFAR-10."""
        from modssc.data_augmentation import (
            AugmentationContext,
            AugmentationPlan,
            AugmentationStrategy,
            StepConfig,
            build_pipeline,
        )

        weak = (StepConfig("vision.random_crop_pad", {"padding": 4}), StepConfig("vision.random_horizontal_flip"))
        strong = (*weak, StepConfig("vision.cutout", {"frac": 0.25}))
        both = AugmentationStrategy(*(build_pipeline(AugmentationPlan(steps, "vision")) for steps in (weak, strong)))
        images = self._tensor(slice(0, count))
        pairs = [
            both.apply(image, ctx=AugmentationContext(seed=0, sample_id=row, modality="vision"))
            for row, image in enumerate(images)
        ]
        first, second = zip(*pairs, strict=True)
        return torch.stack(first), torch.stack(second)

    def views_of_a_step(self) -> None:
        """What a step would cost besides, were its views made in it."""
        self.views(self.w.batch[1])

    def turn(self, steps: int) -> None:
        if steps * self.w.batch[1] > self.w.rows:
            raise ValueError(f"{self.w.rows} images are not enough for {steps} steps of {self.w.batch[1]} that share none")
        self._fit(steps * self._sizes[1], steps * self._sizes[0] or self.w.batch[0])

    def _fit(self, unlabeled: int, labeled: int) -> None:
        """One call of `fit`, with the first images of each kind."""
        from modssc.inductive import DeviceSpec, InductiveDataset

        if len(self._views[0]) < unlabeled:
            self._views = self.views(unlabeled)
        weak, strong = (part[:unlabeled] for part in self._views)
        data = InductiveDataset(self._labeled[:labeled], self._labels[:labeled], None, weak, strong)
        self._method.fit(data, device=DeviceSpec("auto"))  # auto: where the tensors are

    def average(self) -> list[Tensor]:
        return [] if self.teacher is None else list(self.teacher.parameters())

    def nets(self) -> list[nn.Module]:
        return [self.net] if self.teacher is None else [self.net, self.teacher]

    def fresh(self) -> bool:
        """From what the net is given in two epochs of the same images."""
        given: list[Tensor] = []
        hook = self.net.register_forward_pre_hook(lambda net, args: given.append(args[0]))
        once = self._method.spec
        self._method.spec = dataclasses.replace(once, max_epochs=2)
        self.turn(1)
        self._method.spec = once
        hook.remove()
        half = len(given) // 2
        sums = [torch.cat(part).sum(dim=(1, 2, 3)).sort().values for part in (given[:half], given[half:])]
        return not torch.allclose(*sums)

    def notes(self) -> list[str]:
        from modssc.inductive.methods.mean_teacher import MeanTeacherSpec

        weak, strong = self.views(256)
        alike = (weak == strong).float().mean().item()
        frozen = "freezes" if MeanTeacherSpec().freeze_bn else "does not freeze"
        return [
            "`fit` takes tensors of views; an image keeps its two, and the labelled images have none",
            "it has no RandAugment; its strong view is the weak one with Cutout, as in its own settings for CIFAR-10",
            f"the two views of an image have {100 * alike:.0f} % of their values in common: they share their shift and flip",
            f"a call of `fit` takes {1000 * self._beginning():.1f} ms before its first pass, which are in each turn's time",
            "its Mean Teacher has one batch size for both kinds; here as many images are labelled as a step takes",
            f"its Mean Teacher {frozen} batch norm by default; {self._at_a_common_rate()}",
        ]

    def _at_a_common_rate(self, rate: float = 0.03, steps: int = 4) -> str:
        """What becomes of the weights with the rate of the other toolkit."""
        peer = Modssc(self.w, "meanteacher", self._data, self.device, rate=rate)
        for _ in range(steps):
            peer.turn(1)
        finite = all(p.isfinite().all() for p in peer.net.parameters())
        return f"with a learning rate of {rate} its weights are {'finite' if finite else 'not finite'} after {steps} steps"

    def _beginning(self) -> float:
        """Seconds of a call of `fit` before its first pass."""
        times: list[float] = []
        hook = self.net.register_forward_pre_hook(lambda net, args: times.append(time.perf_counter()))
        self.turn(1)
        times.clear()
        began = time.perf_counter()
        self.turn(1)
        hook.remove()
        return times[0] - began
