"""One run on several processes, as torchrun starts them: each makes its part of every batch.

Together they compute what one would:

    torchrun --nproc-per-node=2 benchmarks/run.py --alg meanteacher --net wrn28_2

Every process holds the whole state, because gradients are averaged and a method's rows are gathered before they change anything.
So the first one alone writes, and a run may go on with another number of processes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.ranks import gather_rows_grad, rank, ranks

T = TypeVar("T")


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Within it, a process that torchrun has started knows the others. Otherwise nothing happens.

    Args:
        device: As the settings have it.

    Raises:
        InputError: There are more processes than GPUs on this machine.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        here, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if here >= count:
            raise InputError(f"there are more processes on this machine than its {count} GPUs; lower --nproc-per-node")
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
        dist.barrier()  # nobody leaves while another still asks for something
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process, where the settings leave it open which GPU."""
    return (
        f"cuda:{os.environ['LOCAL_RANK']}" if ranks() > 1 and device in ("auto", "cuda") and torch.cuda.is_available() else device
    )


def one_after_the_others(work: Callable[[], T]) -> T:
    """Do what leaves something on the disk of each machine, as a cache: its first process before the others."""
    if ranks() == 1:
        return work()
    first = os.environ["LOCAL_RANK"] == "0"
    if first:
        done = work()
    dist.barrier()
    if not first:
        done = work()
    return done


def from_first(work: Callable[[], T]) -> T:
    """What it gives in the first process, in all of them."""
    if ranks() == 1:
        return work()
    box = [work() if rank() == 0 else None]
    dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


def mean_of(values: Tensor) -> Tensor:
    """Each number's mean over the processes."""
    if ranks() > 1:
        dist.all_reduce(values)
        values /= ranks()
    return values


def largest_of(number: int, device: torch.device) -> int:
    """The largest over the processes."""
    if ranks() == 1:
        return number
    box = torch.tensor(number, device=device)
    dist.all_reduce(box, dist.ReduceOp.MAX)
    return int(box)


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm whose batch is that of all processes, in parts of one size. Torch's own works on GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, ...); the same comes out."""
        if not self.training or ranks() == 1:
            return super().forward(x)
        values = x.to(self.weight.dtype if self.weight is not None else torch.float32)
        axes = (0, *range(2, x.ndim))
        var, mean = torch.var_mean(values, dim=axes, correction=0)  # (C,) of this part
        all_of_them = gather_rows_grad(torch.stack((mean, var))[None])  # (R, 2, C)
        means, vars_ = all_of_them.unbind(dim=1)
        mean = means.mean(dim=0)
        var = (vars_ + (means - mean).square()).mean(dim=0)
        if self.track_running_stats and self.running_mean is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                count = ranks() * x.numel() // x.shape[1]
                weight = 1 / self.num_batches_tracked.float() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
                self.running_var.lerp_((var * (count / max(count - 1, 1))).to(self.running_var.dtype), weight)
        scale = (var + self.eps).rsqrt()
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        view = (-1, *[1] * (x.ndim - 2))
        return (values * scale.view(view) + shift.view(view)).to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        pass  # as it was checked by the class that this one stands for


def synchronised(net: nn.Module) -> nn.Module:
    """The net with batch norms that know the whole batch; the same net where there is one process."""
    if ranks() == 1:
        return net
    for module in net.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d):
            module.__class__ = GlobalBatchNorm  # the same state, another forward pass
    return net
