"""A step on a GPU: the CPU's numbers, no wait for the device, no more memory than before, compiled as not compiled."""

import contextlib
import functools

import pytest
import torch
from torch._dynamo.utils import counters

from ssl_zoo import AUGMENTATIONS
from ssl_zoo.data import randaugment
from ssl_zoo.testing.draws import drawn, neutral_draws
from tests.conftest import FROM_RANDOM
from tests.gpu.tiny import EVERY, Waits, held, trainer


class Moved:
    """Batches of a pipeline elsewhere, taken to a device."""

    def __init__(self, batches, device):
        self.sizes, self._batches, self._device = batches.sizes, batches, device

    def batch(self, step):
        return torch.utils._pytree.tree_map(lambda t: t.to(self._device), self._batches.batch(step))


def apart(a, b):
    """How far one tensor is from another, relative to its length."""
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


@pytest.mark.gpu("meanteacher", "fixmatch", "vat")
@pytest.mark.parametrize("alg", FROM_RANDOM)
def test_a_step_is_that_of_the_cpu(alg, device, exact):
    """From the same batch; what a method draws at random is the same number in both, as generators differ."""
    there, here = (trainer(alg, where, precision="fp32") for where in (device, "cpu"))
    there.batches = Moved(here.batches, device)
    with neutral_draws(), drawn():
        (one, _), (other, _) = there.step(0), here.step(0)
    assert {name: apart(one[name], other[name]) for name in other if apart(one[name], other[name]) > 1e-5} == {}
    gradients = [
        torch.cat([p.grad.flatten().cpu() for p in t.algorithm.parameters() if p.grad is not None]) for t in (there, here)
    ]
    assert gradients[1].norm() > 0 and apart(*gradients) < 1e-4


@pytest.mark.gpu("fixmatch")
@pytest.mark.parametrize("alg", FROM_RANDOM)
def test_compiled_steps_are_the_others_to_rounding(alg, device, exact, request):
    if device == "cpu" and not request.config.getoption("--gpu-device"):
        pytest.skip("tests/train/test_compile.py asks it of the CPU")
    plain, fast, said = trainer(alg, device, precision="fp32"), trainer(alg, device, precision="fp32", compile=True), []
    fast.warn = said.append
    counters.clear()
    for step in range(5):
        (one, _), (other, _) = plain.step(step), fast.step(step)
        assert apart(other["total"], one["total"]) < 1e-4 * (1 + step), step
    for (name, one), other in zip(plain.algorithm.named_parameters(), fast.algorithm.parameters(), strict=True):
        assert apart(other, one) < 1e-2, name
    assert said == [] and fast.graph.loss is None, "all of a step is compiled"
    assert counters["inductor"]["cudagraph_skips"] == 0, "and it is replayed"
    if device == "cuda":
        with no_wait(device):
            fast.step(5)


@contextlib.contextmanager
def no_wait(device):
    """Within it, whatever waits for the device is an error."""
    if device == "cpu":
        with Waits():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """On the CPU too, all operations on all images."""
    monkeypatch.setattr(randaugment, "apply_operations", functools.partial(randaugment.apply_operations, grouped=False))


@pytest.mark.gpu(*FROM_RANDOM)
@pytest.mark.parametrize("alg", FROM_RANDOM)
def test_no_step_waits(alg, device, as_on_a_gpu):
    made = trainer(alg, device)
    for step in range(2):
        made.step(step)
    with no_wait(device):
        for step in range(2, 5):
            made.step(step)


OPTIONS = {
    "average": {"eval_ema": 0.99},
    "adamw": {"optimizer": {"name": "adamw"}},
    "clip": {"optimizer": {"clip": 1.0}},
    "kept": {"alg": "fixmatch", "algorithms": {"fixmatch": {"over": "kept"}}},
    "annealed": {"alg": "uda", "algorithms": {"uda": {"tsa": "linear"}}},
    "quantile": {"alg": "freematch", "algorithms": {"freematch": {"quantile": 0.8}}},
    "class_weights": {"class_weights": "balanced", "draw": "proportional"},
    "every_augmentation": {"alg": "meanteacher", "views": {"weak": EVERY}},
}


@pytest.mark.gpu(*OPTIONS)
@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_waits(name, device, as_on_a_gpu):
    options = {"alg": "pimodel", **OPTIONS[name]}
    made = trainer(options.pop("alg"), device, **options)
    for step in range(2):
        made.step(step)
    with no_wait(device):
        made.step(2)


@pytest.mark.gpu("item", "where", "mask", "tensor")
@pytest.mark.parametrize("how", ["item", "where", "mask", "tensor"])
def test_a_wait_is_noticed(how, device):
    """What the two tests above rest on."""
    x = torch.arange(4.0, device=device)
    ways = {
        "item": lambda: x[0].item(),
        "where": lambda: torch.where(x > 1, x, 0.0),
        "mask": lambda: x[x > 1],
        "tensor": lambda: torch.tensor([1.0, 2.0], device=device),
    }
    with pytest.raises((RuntimeError, AssertionError)), no_wait(device):
        ways[how]()


def test_every_augmentation_is_asked():
    names = {AUGMENTATIONS.resolve(name).name for name in AUGMENTATIONS.names()}
    assert {*EVERY} == names


@pytest.mark.gpu("tempens")
@pytest.mark.parametrize("alg", FROM_RANDOM)
def test_memory_does_not_grow(alg, device):
    made = trainer(alg, device, steps=30)
    for step in range(12):  # over two epochs, whose orders are kept
        made.step(step)
    before, peaks = held(device), []
    for start in (12, 17):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for step in range(start, start + 5):
            made.step(step)
        peaks.append(torch.cuda.max_memory_allocated() if device == "cuda" else held(device))
    assert peaks[1] <= peaks[0] and held(device) <= before
