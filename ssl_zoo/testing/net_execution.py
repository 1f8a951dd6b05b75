"""Checks of how a net runs: in another memory layout, in bf16, on a device, compiled, exported."""

import copy

import torch
from torch.nn import functional as F

from ssl_zoo.testing.net_contract import B, K, NetSubject, trained
from ssl_zoo.testing.subject import close, explained, fail, quiet


def channels_last(subject: NetSubject) -> None:
    """Either memory layout of weights and images gives the same logits."""
    net, x = subject.make().eval(), subject.images().contiguous()
    trap = "images or weights whose channels are last in memory are not taken; use reshape or flatten in place of view"
    with torch.no_grad():
        wanted = net(x)
        with explained(trap, RuntimeError):
            last = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    if not close(last, wanted, 1e-3):
        fail("weights and images whose channels are last in memory give other logits; does it rely on strides?")


def bf16(subject: NetSubject) -> None:
    """Under bf16 autocast logits and gradients are finite, near those in float32, and the state keeps its types."""
    net, x = trained(subject), subject.images()
    types = {name: tensor.dtype for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        wanted = copy.deepcopy(net).eval()(x)
    with explained("it does not run under bf16 autocast; does it mix types by hand?", RuntimeError, TypeError):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            got = copy.deepcopy(net).eval()(x).float()
        with torch.autocast("cpu", torch.bfloat16):
            out = net(x)
        F.cross_entropy(out.float(), torch.arange(B) % K).backward()
    if not close(got, wanted, 0.25):
        fail("under bf16 autocast the logits are others; a sum over many values needs float32")
    for name, p in net.named_parameters():
        if p.grad is not None and not bool(p.grad.isfinite().all()):
            fail(f"under bf16 autocast the gradient of {name} is not finite")
    for name, tensor in net.state_dict().items():
        if tensor.dtype != types[name]:
            fail(f"under bf16 autocast {name} has become {tensor.dtype}")


def device(subject: NetSubject) -> None:
    """It moves to a device as a whole and never waits for it: it runs on `meta`, where no value can be read back."""
    net = subject.make().to("meta")
    x = subject.images().to("meta")
    trap = (
        "on another device a pass fails: is a tensor a plain attribute (use register_buffer), made without device=x.device, or "
        "read back by .item(), float() or a Python `if`?"
    )
    with explained(trap, RuntimeError, TypeError, NotImplementedError):
        for mode in (True, False):
            out = net.train(mode)(x)
        F.cross_entropy(out.float(), torch.zeros(B, dtype=torch.int64, device="meta")).backward()
    if out.device.type != "meta":
        fail("its logits are on another device than its images; is a tensor made without device=x.device?")


def graph(subject: NetSubject) -> None:
    """It traces as one graph without a break, in both modes, and gives the same logits."""
    import torch._dynamo

    trap = "it does not trace as one graph: no `.item()`, no branch on a tensor's value, no numpy, no generator object"
    x = subject.images()
    for mode in (True, False):
        torch._dynamo.reset()  # a limit on recompilation counts all nets of a process together
        net = trained(subject).train(mode)
        plain = copy.deepcopy(net)
        compiled = torch.compile(net, fullgraph=True, backend="eager")  # the tracing is what is asked, not the code made from it
        with quiet(), explained(trap, torch._dynamo.exc.TorchDynamoException):
            torch.manual_seed(0)
            one = compiled(x)
            torch.manual_seed(0)
            if not close(one, plain(x)):
                fail("compiled, it gives other logits")


def export(subject: NetSubject) -> None:
    """torch.export takes it, and what comes of it gives the same logits."""
    net, x = trained(subject).eval(), subject.images()
    with torch.no_grad():
        wanted = net(x)
    with quiet(), explained("torch.export cannot export it", RuntimeError, ValueError, TypeError):
        exported = torch.export.export(net, (x,)).module()
    with torch.no_grad():
        if not close(exported(x), wanted):
            fail("what torch.export makes of it gives other logits")
