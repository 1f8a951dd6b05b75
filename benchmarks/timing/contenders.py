"""Whose steps are timed: a real run's, the bare passes of its nets, and the tutorial's way."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.device import keep_freed_memory, machine, peak_memory
from ssl_zoo.runs.assembly import build
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels
from ssl_zoo.train.compile import compiled

from .workloads import Workload, random_data, settings_of

if __package__ == "benchmarks.timing":
    from benchmarks.plain import PlainMeanTeacher
else:
    from plain import PlainMeanTeacher


class Ours:
    """Steps of a real run.

    Args:
        w: What is measured.
        alg: The method.
        data: Of the workload.
        device: Where.
        more: Further settings.
    """

    def __init__(self, w: Workload, alg: str, data: Dataset, device: str, **more: Any):
        settings = settings_of(w, alg, device, **more)
        with tempfile.TemporaryDirectory() as folder:  # nothing is written
            self.trainer = trainer_of(settings, choose_labels(settings, data), Path(folder))
        self.trainer.algorithm.train()
        self.done = 0

    def step(self) -> None:
        self.trainer.step(self.done)
        self.done += 1


class Pass(NamedTuple):
    """A forward pass that a step makes, and its backward pass where it has one."""

    net: nn.Module
    shape: tuple[int, ...]
    grad: bool


class Bare:
    """The passes that a method's step makes, on tensors that are there already, forward and backward."""

    def __init__(self, ours: Ours):
        self.trainer = ours.trainer
        self.passes = passes_of(ours)
        self._inputs = [
            torch.randn(p.shape, device=self.trainer.device).to(memory_format=torch.channels_last) for p in self.passes
        ]
        self._parameters = list(self.trainer.algorithm.parameters())

    def step(self) -> None:
        for one, x in zip(self.passes, self._inputs, strict=True):
            with torch.set_grad_enabled(one.grad), self.trainer.machine.autocast():
                logits = one.net(x)
            if one.grad:
                logits.backward(torch.ones_like(logits))
        for p in self._parameters:
            p.grad = None


class BareGraph(Bare):
    """The same passes as one compiled graph, as `--compile` makes a step: no compiled step can be faster."""

    def __init__(self, ours: Ours):
        super().__init__(ours)
        self._run: Callable[..., list[Tensor]] | None = None

    def step(self) -> None:
        if self._run is None:
            super().step()  # what is made once
            self._run = compiled(make_fx(self._passes)(*self._inputs), self.trainer.device, fixed=True)
        with torch.no_grad():
            self._run(*self._inputs)

    def _passes(self, *inputs: Tensor) -> list[Tensor]:
        found = []  # the gradients, or a compiler would leave out what they need
        for one, x in zip(self.passes, inputs, strict=True):
            with torch.set_grad_enabled(one.grad), self.trainer.machine.autocast():
                logits = one.net(x)
            if one.grad:
                used = [p for p in self._parameters if p.requires_grad]
                gradients = torch.autograd.grad(logits, used, torch.ones_like(logits), allow_unused=True)
                found += [gradient for gradient in gradients if gradient is not None]
            else:
                found.append(logits)
        return found


def passes_of(ours: Ours) -> list[Pass]:
    """The passes of one step through the student, and through every copy of it that the method keeps."""
    algorithm, found = ours.trainer.algorithm, []

    def noted(net: nn.Module) -> Callable[[Tensor], Tensor]:
        inner = net.forward_features  # which a method with a head of its own calls without `forward`

        def forward_features(x: Tensor) -> Tensor:
            found.append(Pass(net, tuple(x.shape), torch.is_grad_enabled()))
            return inner(x)

        return forward_features

    nets = [module for module in algorithm.modules() if type(module) is type(algorithm.net)]
    for net in nets:
        net.forward_features = noted(net)
    ours.step()
    for net in nets:
        del net.forward_features
    return found


def plain(w: Workload, data: Dataset, workers: int, device: torch.device) -> PlainMeanTeacher:
    """The tutorial's way, with the same net and batch."""
    settings = settings_of(w, "supervised", str(device))
    inputs = choose_labels(settings, data)
    here = machine(str(device), "fp32")
    net = build(settings, inputs.facts, data.images.shape[1:], here).net.to(memory_format=torch.contiguous_format)
    return PlainMeanTeacher(net, data.images, data.labels, inputs.split.rows, w.batch, workers, device)


def peak(w: Workload, alg: str, device: str) -> int | None:
    """Bytes at most, of a process of its own that makes a few steps."""
    keep_freed_memory()
    ours = Ours(w, alg, random_data(w), device)
    for _ in range(3):
        ours.step()
    return peak_memory(ours.trainer.device)
