"""Which products of matrices a loss makes itself in bf16, beside those of the layers of its nets and heads."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = frozenset(("mm", "addmm", "bmm", "baddbmm", "mv", "dot"))


class Products(TorchDispatchMode):
    """Within it, products in bf16 that are made while no submodule of a method runs are noted, by their shapes.

    Those of a gradient are not, which are the layers' as well.

    Args:
        method: Its nets and heads are submodules.
    """

    def __init__(self, method: nn.Module):
        super().__init__()
        self.rounded: list[str] = []
        self.depth = 0  # how many submodules are running
        self.method = method
        self.hooks: list[Any] = []

    def __enter__(self) -> "Products":
        for module in self.method.modules():
            if module is not self.method:
                self.hooks += [module.register_forward_pre_hook(self._enters), module.register_forward_hook(self._leaves)]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self.hooks:
            hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        rows = [one for one in args if isinstance(one, Tensor)]
        own = not self.depth and torch._C._current_graph_task_id() == -1  # neither a layer's nor the autograd engine's
        if own and func.overloadpacket.__name__ in PRODUCTS and any(one.dtype == torch.bfloat16 for one in rows):
            self.rounded.append(" by ".join(str(tuple(one.shape)) for one in rows[-2:]))
        return func(*args, **(kwargs or {}))

    def _enters(self, *_: Any) -> None:
        self.depth += 1

    def _leaves(self, *_: Any) -> None:
        self.depth -= 1
