"""Checks of how a method runs: compiled, without waiting for the device, in bf16, on two ranks; of what is scored."""

import collections
import copy
import datetime
import io
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_map

from ssl_zoo.testing.draws import known_on_meta, neutral_draws
from ssl_zoo.testing.products import Products
from ssl_zoo.testing.subject import (
    CHANNELS,
    SIZE,
    B,
    K,
    Subject,
    U,
    close,
    explained,
    fail,
    loss,
    make_batch,
    quiet,
    same_number,
    snapshot,
    update,
    write,
)
from ssl_zoo.testing.ways import neutrally, openings, up_to_rounding

STEPS = 6  # of the comparison of two ranks with one


def graph(subject: Subject) -> None:
    """`loss` traces as one graph without a break, and gives the same number."""
    import torch._dynamo

    method = subject.warm(norm=True)
    plain = copy.deepcopy(method)
    batch = make_batch(method, 9)
    torch._dynamo.reset()  # a limit on recompilation counts all methods of a process together
    compiled = torch.compile(
        method.loss, fullgraph=True, backend="eager"
    )  # the tracing is what is asked, not the code made from it
    trap = "`loss` does not trace as one graph: no `.item()`, no branch on a tensor's value, no numpy, no generator object"
    with quiet(), explained(trap, torch._dynamo.exc.TorchDynamoException):
        for progress in (0.2, 0.7):
            moment = torch.tensor(progress)
            torch.manual_seed(0)
            one = compiled(batch, moment).total
            torch.manual_seed(0)
            two = plain.loss(batch, moment).total
            if not close(one, two):
                fail(f"compiled, `total` is {one.item():.6g} instead of {two.item():.6g}")


def no_synchronisation(subject: Subject) -> None:
    """`loss`, backward and `after_step` never wait for the device: they run on `meta`, where no value is read back."""
    method = subject.make(norm=True).to("meta")
    batch = tree_map(lambda t: t.to("meta"), make_batch(method, 9))
    trap = "a step waits for the device: something reads a value back, such as .item(), float(), a Python `if`, or a boolean mask"
    with explained(trap, RuntimeError, TypeError):
        try:
            moment = torch.zeros((), device="meta")
            with known_on_meta():
                out = loss(method, batch, moment)
                out.total.backward()
                with torch.no_grad():
                    method.after_step(out.seen, moment)
        except RuntimeError as error:
            if "scalarType" in str(error):  # what torch.autocast says of `meta`
                fail(
                    "torch.autocast does not know the meta device; use ssl_zoo.losses.exact, which switches it off on any device"
                )
            if not isinstance(error, NotImplementedError):
                raise
            if "item()" in str(error) or "data-dependent" in str(error) or "nonzero" in str(error):
                raise RuntimeError(str(error)) from error
            first = str(error).strip().splitlines()[0]
            fail(
                f"an operation cannot run on the meta device, so nobody can see whether a step waits ({first}). If it does not, "
                'say so: exempt = {"no_synchronisation": "..."}'
            )


def bf16(subject: Subject) -> None:
    """Under bf16 autocast losses are float32, the state keeps its types, and gradients are finite."""
    method = openings(subject)[-1].warm(norm=True)  # gates open: one half open may let another row pass
    types = {name: tensor.dtype for name, tensor in method.state_dict().items()}
    exact = loss(copy.deepcopy(method), make_batch(method, 9))
    with torch.autocast("cpu", torch.bfloat16), Products(method) as products:
        out = loss(method, make_batch(method, 9))
    if products.rounded:
        fail(
            f"under bf16 autocast `loss` makes a product of matrices in bf16 itself ({products.rounded[0]}); it belongs under "
            "ssl_zoo.losses.exact, which a net's layers need not"
        )
    for name, value in {"total": out.total, **out.terms}.items():
        if value.dtype != torch.float32:
            fail(f"under bf16 autocast '{name}' is {value.dtype}; take the logits through ssl_zoo.losses.full_precision")
    for name, value in out.terms.items():
        if not same_number(name, out, exact, 0.5):  # where nothing declares a gate, one may open for another row or two
            fail(
                f"under bf16 autocast '{name}' is {value.item():.4g} instead of {exact.terms[name].item():.4g}; "
                "a product of matrices in a loss belongs under ssl_zoo.losses.exact"
            )
    out.total.backward()
    write(method, out.seen)
    for name, p in method.named_parameters():
        if p.grad is not None and not p.grad.isfinite().all():
            fail(f"under bf16 autocast the gradient of {name} is not finite")
    for name, tensor in method.state_dict().items():
        if tensor.dtype != types[name]:
            fail(f"under bf16 autocast {name} has become {tensor.dtype}")


@neutrally
@up_to_rounding
def ranks(subject: Subject) -> None:
    """Two ranks (two gloo processes) with half a batch each end as one with all of it does (net without batch norm)."""
    from joblib import Parallel, delayed  # its processes start without importing the caller's script

    ways = openings(subject, momenta=True)
    payload = _pickled(ways)
    whole = [_rank_state(one, 0, 1) for one in ways]
    with tempfile.TemporaryDirectory() as folder:
        meet = str(Path(folder) / "meet")
        trap = (
            "two ranks do not get through four steps; does one of them call a function of ssl_zoo.ranks that the other does not?"
        )
        with explained(trap, RuntimeError):
            states = Parallel(n_jobs=2, backend="loky")(delayed(_on_rank)(payload, r, meet, list(sys.path)) for r in range(2))
    different = [_different(*found) for found in zip(whole, *states, strict=True)]
    if any(different):
        kept = len(ways) > 1 and different[0] and not different[-1]
        gated = bool(subject.make().gates)
        fail(
            f"{next(filter(None, different))} differs from one rank's after {STEPS} steps; what a memory needs goes through "
            "`seen`, a number of the whole batch through ssl_zoo.ranks; no sum or count of rows here is the batch's"
            + ("; with its gates open it does not differ: is the loss divided by the rows that were kept?" if kept else "")
            + ("" if gated else "; or is the loss divided by the rows that were kept?")
        )


def _different(whole: dict[str, Tensor], *states: dict[str, Tensor]) -> str:
    """Return where a rank's state is not that of one rank alone."""
    for name, wanted in whole.items():
        for r, state in enumerate(states):
            if not close(state[name].double(), wanted.double(), 1e-4):
                return f"{name} on rank {r} of 2"
    return ""


def eval_net(subject: Subject) -> None:
    """`eval_net` gives logits (n, K), image by image in eval mode, is part of the state, and can be exported."""
    method = subject.warm(norm=True)
    net = method.eval_net()
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and not bool(module.running_mean.any()):
            fail(
                f"the running statistics of {name} in `eval_net()` are the initial ones after some steps, and it is scored "
                "with them; they should be the teacher's own (training mode), copied or averaged: see ssl_zoo.ema.Teacher"
            )
    held = {tensor.data_ptr() for tensor in method.state_dict().values()}
    for name, tensor in net.state_dict().items():
        if tensor.numel() and tensor.data_ptr() not in held:
            fail(f"{name} of `eval_net()` is not in the method's state_dict, so what is scored would not be what is saved")
    net.eval()
    images = torch.randn(B, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = net(images)
        if not isinstance(logits, Tensor) or logits.shape != (B, K):
            shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            fail(f"`eval_net()` gives {shown} for {B} images of {K} classes; it gives logits ({B}, {K})")
        if not close(logits[:1], net(images[:1])):
            fail("in eval mode the logits of an image change with the batch it sits in")
        if bool((logits >= 0).all()) and close(logits.sum(1), torch.ones(B)):
            fail("`eval_net()` gives probabilities; it gives logits")
    with quiet(), explained("`eval_net()` cannot be exported by torch.export", RuntimeError, ValueError, TypeError):
        exported = torch.export.export(net, (images,)).module()
    with torch.no_grad():
        if not close(exported(images), logits):
            fail("what torch.export makes of `eval_net()` gives other logits")
    method.train()


def _pickled(subjects: list[Subject]) -> bytes:
    """The subjects with the code of its class, which the other process may have no file to import from."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        # cloudpickle takes `facts.classes` in a function that uses `torch` for torch.classes, which it cannot pickle
        by_name: ClassVar = {type(getattr(torch, n)): lambda _, n=n: (getattr, (torch, n)) for n in ("classes", "ops")}
        dispatch_table: ClassVar = collections.ChainMap(by_name, cloudpickle.Pickler.dispatch_table)

    module = sys.modules.get(subjects[0].entry.target.__module__)
    foreign = module is not None and module.__name__ != "__main__" and not module.__name__.startswith("ssl_zoo.")
    if foreign:
        cloudpickle.register_pickle_by_value(module)
    try:
        buffer = io.BytesIO()
        Pickler(buffer).dump(subjects)
        return buffer.getvalue()
    finally:
        if foreign:
            cloudpickle.unregister_pickle_by_value(module)


def _on_rank(payload: bytes, rank: int, meet: str, path: list[str]) -> list[dict[str, Tensor]]:
    """What one of the two processes does."""
    import pickle

    sys.path[:] = path
    torch.set_num_threads(1)
    store = dist.FileStore(meet, 2)  # an address with file:// may hold no space
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
    try:
        with neutral_draws():
            states = [_rank_state(subject, rank, 2) for subject in pickle.loads(payload)]
        dist.barrier()  # neither leaves while the other still talks to it
        return states
    finally:
        dist.destroy_process_group()


def _rank_state(subject: Subject, rank: int, size: int) -> dict[str, Tensor]:
    """The state after some steps with this rank's slice of each batch; rows repeat, as they do across an epoch."""
    method = subject.make()

    def mine(rows: Any) -> Any:
        return rows.chunk(size)[rank] if len(rows) else rows

    for step in range(STEPS):
        index = make_batch(method, step).u_index
        if step % 2 and len(index):
            index = torch.cat((index[: U // 2], index[1 : U // 2 + 1]))
        update(method, tree_map(mine, make_batch(method, step, index if len(index) else None)), step / (STEPS - 1))
    return snapshot(method)
