"""State that methods keep of batches: running means, means of the last batches, a ring of the last rows.

All are modules of buffers, so `state_dict` has them. A method's `loss` calls what reads, its `after_step` what writes.
`counted` gives in `loss` what `update` will store, with this step's whole batch in it, over all ranks.
"""

import torch
from torch import Tensor, nn

from ssl_zoo.errors import between
from ssl_zoo.ranks import global_mean


class RunningMean(nn.Module):
    """An exponential moving average of what batches are in the mean: a = m a + (1 - m) mean.

    Args:
        start: What it is before the first batch, of any shape.
        momentum: m, in [0, 1].

    Raises:
        InputError: The momentum is out of range.
    """

    value: Tensor

    def __init__(self, start: Tensor, momentum: float):
        super().__init__()
        self.momentum = between("momentum", momentum, 0, 1)
        self.register_buffer("value", start.clone())

    def counted(self, rows: Tensor) -> Tensor:
        """Return the average with this batch in it. Writes nothing.

        Args:
            rows: (n, ...) of this rank; no gradient comes out.
        """
        return self._moved(global_mean(rows))

    def update(self, rows: Tensor) -> None:
        """Store the average with this batch in it.

        Args:
            rows: (n, ...) of all ranks, as `after_step` has them.
        """
        self.value.copy_(self._moved(rows.mean(dim=0)))

    def _moved(self, mean: Tensor) -> Tensor:
        return self.momentum * self.value + (1 - self.momentum) * mean.to(self.value.dtype)


class WindowMean(nn.Module):
    """The mean of the last batches' means, over as many as there were so far.

    Args:
        start: What it is before the first batch, of any shape.
        batches: W, how many it remembers.
        full: Whether it begins with W batches whose mean was `start`, which go one by one.

    Raises:
        InputError: It remembers none.
    """

    means: Tensor  # (W, ...)
    count: Tensor  # 0-dim int64, batches so far, with those that it began with
    start: Tensor

    def __init__(self, start: Tensor, batches: int, full: bool = False):
        super().__init__()
        between("window", batches, 1)
        self.register_buffer("means", start.expand(batches, *start.shape).clone() * full)
        self.register_buffer("count", torch.tensor(batches * full, dtype=torch.int64, device=start.device))
        self.register_buffer("start", start.clone())

    def mean(self) -> Tensor:
        """Return the mean without this batch; `start` where there was none."""
        filled = (self._places() < self.count).to(self.means.dtype)
        return torch.where(self.count > 0, self._sum(filled) / filled.sum().clamp(min=1), self.start)

    def counted(self, rows: Tensor) -> Tensor:
        """Return the mean with this batch in it, in the place of the oldest. Writes nothing.

        Args:
            rows: (n, ...) of this rank; no gradient comes out.
        """
        others = ((self._places() < self.count) & (self._places() != self.count % len(self.means))).to(self.means.dtype)
        return (self._sum(others) + global_mean(rows).to(self.means.dtype)) / (others.sum() + 1)

    def update(self, rows: Tensor) -> None:
        """Store this batch's mean in the place of the oldest.

        Args:
            rows: (n, ...) of all ranks, as `after_step` has them.
        """
        place = (self.count % len(self.means))[None]
        self.means.index_copy_(0, place, rows.mean(dim=0, keepdim=True).to(self.means.dtype))
        self.count += 1

    def _places(self) -> Tensor:
        return torch.arange(len(self.means), device=self.means.device)

    def _sum(self, weight: Tensor) -> Tensor:
        return (self.means * weight.view(-1, *[1] * (self.means.ndim - 1))).sum(dim=0)


class Ring(nn.Module):
    """The last rows that were written, and how many there are. Never reads the device.

    Args:
        slots: M, how many rows it keeps.
        shape: Of a row.

    Raises:
        InputError: It keeps none.
    """

    rows: Tensor  # (M, ...), zeros where nothing was written yet
    count: Tensor  # 0-dim int64, rows written so far

    def __init__(self, slots: int, *shape: int):
        super().__init__()
        between("slots", slots, 1)
        self.register_buffer("rows", torch.zeros(slots, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def filled(self) -> Tensor:
        """Return (M,) float32: 1 where a row was written."""
        return (torch.arange(len(self.rows), device=self.rows.device) < self.count).float()

    def full(self) -> Tensor:
        """Return 0-dim float32: 1 once every slot was written."""
        return (self.count >= len(self.rows)).float()

    def write(self, rows: Tensor) -> None:
        """Put rows in the places of the oldest; of more than M the last M.

        Args:
            rows: (n, ...) of all ranks, as `after_step` has them.
        """
        slots = len(self.rows)
        skipped = max(len(rows) - slots, 0)
        places = (self.count + torch.arange(skipped, len(rows), device=self.rows.device)) % slots
        self.rows.index_copy_(0, places, rows[skipped:].to(self.rows.dtype))
        self.count += len(rows)
