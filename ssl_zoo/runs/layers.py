"""Layers whose gradient torch gets wrong in bf16 on a CPU: found in a net, and run in fp32 there.

torch's gradient of a convolution's weight in bf16 is memory that nobody wrote where the input is smaller than the
stride and padded (torch 2.11 to 2.14, oneDNN): a 3x3 kernel of stride 2 on a 1x1 map, as deep in a ResNet that is given
small images. Which shapes go wrong may differ between processors, so every convolution is taken that has a stride over
1 and an input smaller than its kernel or its stride.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError, one_line
from ssl_zoo.registry import is_ours


class InFp32:
    """Mixed into the class of a layer: its forward pass leaves autocast. State and names stay as they are."""

    def forward(self, input: Tensor) -> Tensor:
        """Of any type; fp32 comes out."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())  # type: ignore[misc]


@functools.cache
def _in_fp32(kind: type[nn.Module]) -> type[nn.Module]:
    """A class that is of another kind in nothing but the precision of its pass; one for each, so that types compare."""
    return type(f"{kind.__name__}InFp32", (InFp32, kind), {})


def settle_precision(net: nn.Module, name: str, image_shape: Sequence[int], device: torch.device, precision: str) -> None:
    """Let a net run such layers in fp32, if this machine computes in bf16 on a CPU. To be called before it is copied.

    Draws nothing and moves no state.

    Args:
        net: Of this device.
        name: Its registered name.
        image_shape: (H, W, C).
        device: Which.
        precision: bf16 or fp32.

    Raises:
        InputError: The net cannot take such images.
    """
    if device.type != "cpu" or precision != "bf16":
        return
    try:
        found = suspects(net, image_shape)
    except Exception as error:
        if is_ours(error):
            raise
        raise cannot_take(name, image_shape, error) from error
    for module in found.values():
        module.__class__ = _in_fp32(type(module))


def in_fp32(net: nn.Module) -> list[str]:
    """Return the names of the layers that run in fp32 whatever the precision of the run."""
    return [name for name, module in net.named_modules() if isinstance(module, InFp32)]


def suspects(net: nn.Module, image_shape: Sequence[int]) -> dict[str, nn.Conv2d]:
    """Return the convolutions whose gradient may be wrong in bf16, by name, in the order of the net.

    One pass of an image of zeros, in evaluation mode.

    Args:
        net: On the CPU.
        image_shape: (H, W, C).
    """
    convolutions = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    found: set[nn.Module] = set()

    def look(module: nn.Conv2d, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        (x,) = (*given, *named.values())
        if any(map(_is_narrow, x.shape[-2:], module.kernel_size, module.stride, module.dilation)):
            found.add(module)

    height, width, channels = image_shape
    hooks = [module.register_forward_pre_hook(look, with_kwargs=True) for module in convolutions.values()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()), _evaluating(net):
            net(torch.zeros(1, channels, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: module for name, module in convolutions.items() if module in found}


def _is_narrow(size: int, kernel: int, stride: int, dilation: int) -> bool:
    """Whether a dimension of an input is smaller than what a strided kernel spans there, or than the stride."""
    return stride > 1 and kernel > 1 and size < max(dilation * (kernel - 1) + 1, stride)


@contextlib.contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Within it, a net is in evaluation mode; then each part is again in the mode that it had."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def cannot_take(name: str, image_shape: Sequence[int], error: Exception) -> InputError:
    """Return in a line that a net cannot take images of a size.

    Args:
        name: Of the net, as it is registered.
        image_shape: (H, W, C).
        error: What its pass ended in.
    """
    height, width, _ = image_shape
    reason = one_line(next(iter(str(error).splitlines()), ""))[:300] or type(error).__name__
    return InputError(f"{name} cannot take {height}x{width} images ({reason}); resize them or choose another net")
