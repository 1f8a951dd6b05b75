"""One run on several processes, as torchrun starts them: each makes its part of every batch.

Together they compute what one would:

    torchrun --nproc-per-node=2 benchmarks/run.py --alg meanteacher --net wrn28_2

Every process holds the whole state, because gradients are averaged and a method's rows are gathered before they change
anything. So the first one alone writes, and a run may go on with another number of processes.
"""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl_zoo.errors import InputError, RunError
from ssl_zoo.ranks import gather_rows_grad, rank, ranks

T = TypeVar("T")
PATIENCE = datetime.timedelta(days=1)  # with a process that decodes or evaluates while the others wait


class ElsewhereError(RunError):
    """Another process could not go on, and says why."""


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Within it, a process that torchrun has started knows the others. Otherwise nothing happens.

    Args:
        device: As the settings have it.

    Raises:
        InputError: There are more processes than GPUs on this machine, or the others cannot be reached.
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
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
        dist.barrier()  # NCCL connects when it is first used
    except RuntimeError as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"the processes cannot reach each other ({first}); see that every machine reaches --master-addr, and where the "
            f"name of one stands for 127.0.0.1, say which network to use, as {'NCCL' if on_gpu else 'GLOO'}_SOCKET_IFNAME=eth0"
        ) from error
    yield
    dist.barrier()  # nobody leaves while another still asks for something
    dist.destroy_process_group()  # not after an error, where it could wait for processes that wait for this one


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
    done, error = _tried(work) if first else (None, None)
    failed: list[bool] = [False] * ranks()
    dist.all_gather_object(failed, error is not None)
    if error is not None:
        raise error
    if any(failed):
        raise ElsewhereError
    return done if first else work()  # type: ignore[return-value]


def from_first(work: Callable[[], T]) -> T:
    """What it gives in the first process, in all of them.

    Raises:
        ElsewhereError: In the others, where it raises something in the first.
    """
    if ranks() == 1:
        return work()
    done, error = _tried(work) if rank() == 0 else (None, None)
    box = [(done, error is not None)]
    dist.broadcast_object_list(box)
    if error is not None:
        raise error
    if box[0][1]:
        raise ElsewhereError
    return box[0][0]  # type: ignore[return-value]


def _tried(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # raised again, after the others have heard of it
        return None, error


def mean_of(values: Tensor) -> Tensor:
    """Each number's mean over the processes."""
    return _reduced(values, dist.ReduceOp.SUM) / ranks() if ranks() > 1 else values


def least_of(values: Tensor) -> Tensor:
    """Each number's least over the processes."""
    return _reduced(values, dist.ReduceOp.MIN) if ranks() > 1 else values


def largest_of(number: int, device: torch.device) -> int:
    """The largest over the processes."""
    return int(_reduced(torch.tensor(number, device=device), dist.ReduceOp.MAX)) if ranks() > 1 else number


def _reduced(values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    values = values.clone()
    dist.all_reduce(values, operation)
    return values


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


def synchronise(method: nn.Module) -> None:
    """Let all batch norms of a method, its nets' and its own, know the whole batch. Nothing where there is one process.

    Raises:
        InputError: One of them is of a class whose forward pass is not known.
    """
    if ranks() == 1:
        return
    for name, module in method.named_modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = GlobalBatchNorm  # the same state, another forward pass
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and type(module) is not GlobalBatchNorm:
            raise InputError(
                f"{name} is a {type(module).__name__}, which would normalise by a part of the batch; use torch's BatchNorm2d, "
                "or one process"
            )
