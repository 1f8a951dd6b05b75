"""What `on_nan = skip` does: undo a step whose loss or gradient is not finite, and count it."""

import torch
from torch import Tensor, nn

from ssl_zoo.train.parallel import mean_of

MOST = 100  # steps without a finite gradient in a row, after which it gives up


class Skips:
    """Counts of the steps that were undone.

    Args:
        algorithm: The method.
        enabled: Whether any is; if not, every step counts as usable and nothing waits for the device.
    """

    def __init__(self, algorithm: nn.Module, enabled: bool):
        self.enabled, self._algorithm = enabled, algorithm
        self._parameters = [p for p in algorithm.parameters() if p.requires_grad]
        self._before: list[tuple[Tensor, Tensor]] = []
        self.count = self.in_a_row = 0

    def remember(self) -> None:
        """Copy what a forward pass writes: buffers of nets. Those of the method itself only `after_step` writes."""
        if self.enabled:
            self._before = [(buffer, buffer.clone()) for name, buffer in self._algorithm.named_buffers() if "." in name]

    def usable(self, total: Tensor) -> bool:
        """Return whether the loss and all gradients are finite. If not, the step is undone and counted.

        Waits for the device.

        Args:
            total: The loss, 0-dim.
        """
        if not self.enabled:
            return True
        norms = torch._foreach_norm([p.grad for p in self._parameters if p.grad is not None])
        total = mean_of(total.detach().float())  # the gradients are already those of all processes
        if bool(torch.stack([total, *norms]).isfinite().all()):
            self.in_a_row = 0
            return True
        for buffer, before in self._before:
            buffer.copy_(before)
        self.count += 1
        self.in_a_row += 1
        return False
