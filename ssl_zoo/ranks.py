"""Facts about the whole batch when it is split over ranks. On one rank everything here is the identity.

The trainer calls `gather_rows` for a method's memory and `average_gradients` for its update. A method itself calls a
function of this file only where *this* step's loss needs this step's whole batch. Functional collectives, because these
compile.
"""

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as collectives
from torch import Tensor

# torch renamed both after 2.11, and the old names warn
_gather = getattr(collectives, "all_gather_single", None) or collectives.all_gather_tensor
_gather_grad = getattr(collectives, "all_gather_single_autograd", None) or collectives.all_gather_tensor_autograd


def ranks() -> int:
    """R, the number of processes that share a batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_rows(rows: Tensor) -> Tensor:
    """(n, ...) of each rank -> (R n, ...), in the order of the global batch; no gradient."""
    if ranks() == 1:
        return rows.detach()
    gathered = _gather(rows.detach().contiguous(), 0, dist.group.WORLD)
    return gathered.wait() if isinstance(gathered, collectives.AsyncCollectiveTensor) else gathered  # a plain tensor, to be kept


def gather_rows_grad(rows: Tensor) -> Tensor:
    """(n, ...) of each rank -> (R n, ...), in the order of the global batch.

    Gradient reaches the rows of every rank.
    """
    if ranks() == 1:
        return rows
    return _gather_grad(rows.contiguous(), 0, dist.group.WORLD)


def global_mean(rows: Tensor) -> Tensor:
    """(n, ...) -> (...), the mean over the rows of the global batch; no gradient."""
    return gather_rows(rows.mean(dim=0, keepdim=True)).mean(dim=0)


def global_mean_grad(rows: Tensor) -> Tensor:
    """(n, ...) -> (...), the mean over the rows of the global batch; gradient reaches the rows of every rank."""
    return gather_rows_grad(rows.mean(dim=0, keepdim=True)).mean(dim=0)


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over ranks, in one collective.

    A parameter that a rank did not use counts as zero; one that none used has no gradient, as on one rank.
    """
    if ranks() == 1:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = torch.tensor([float(p.grad is not None) for p in parameters], dtype=gradients[0].dtype)
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), used.to(gradients[0].device, non_blocking=True)])
    dist.all_reduce(flat)
    flat /= ranks()
    *means, shares = flat.split([*(p.numel() for p in parameters), len(parameters)])
    anywhere = [True] * len(parameters) if used.all() else (shares > 0).tolist()  # waits for the device only where it must
    for p, gradient, mean, wanted in zip(parameters, gradients, means, anywhere, strict=True):
        # In the parameter's own strides: the fused optimisers expect them.
        p.grad = gradient.copy_(mean.view(gradient.shape)) if wanted else None
