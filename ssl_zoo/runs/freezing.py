"""Parts of a net that are not trained."""

import functools

from torch import nn

from ssl_zoo.errors import InputError
from ssl_zoo.heads import last_layer

Norm = nn.modules.batchnorm._BatchNorm


class Frozen:
    """Mixed into the class of a batch norm: it stays in evaluation mode, and normalises by its running statistics."""

    def train(self, mode: bool = True) -> nn.Module:
        """In no mode but that of evaluation."""
        return super().train(False)  # type: ignore[misc]


@functools.cache
def _frozen(kind: type[nn.Module]) -> type[nn.Module]:
    """A class that is another kind of nothing but its mode; one for each, so that types compare."""
    return type(f"{kind.__name__}Frozen", (Frozen, kind), {})


def freeze(net: nn.Module, name: str, what: str) -> None:
    """Freeze a part of a net. To be called before it is copied. State and names stay as they are.

    Args:
        net: The net.
        name: Its registered name.
        what: none; body, all but the last layer; or bn, its batch norms.

    Raises:
        InputError: There is no such part, or it has adapters, which are a part of the body.
    """
    if what == "none":
        return
    norms = [module for module in net.modules() if isinstance(module, Norm)]
    if what == "bn" and not norms:
        raise InputError(f"{name} has no batch norm to freeze; give `optimizer.freeze=none`")
    if what == "body" and any("lora_" in path for path, _ in net.named_parameters()):
        raise InputError(f"{name} trains its adapters, which are in the body; give `optimizer.freeze=none`, or leave lora out")
    for norm in norms:
        norm.requires_grad_(False)
        norm.__class__ = _frozen(type(norm))
        norm.train()
    if what == "body":
        trained = {id(p) for p in last_layer(net).parameters()}
        for p in net.parameters():
            p.requires_grad_(id(p) in trained)
