"""Checks of what a net keeps: its weights, its running statistics, its draws."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.ema import frozen_stats
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.testing.net_contract import NetSubject, trained
from ssl_zoo.testing.subject import close, differing, explained, fail, snapshot

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # what frozen_stats holds


def seed(subject: NetSubject) -> None:
    """The initial weights depend on torch's seed, and on nothing else."""
    one, same, other = (subject.make(seed=number).state_dict() for number in (0, 0, 1))
    names = differing(one, same)
    if names:
        fail(f"{names[0]} differs between two nets of one seed; draw initial weights with torch's global generator alone")
    if not differing(one, other):
        fail("two seeds give the same initial weights, so that several seeds would be one; draw them with torch's generator")


def copies(subject: NetSubject) -> None:
    """A deep copy, as a teacher makes one, is equal and apart, also after a step."""
    net = trained(subject)
    with explained("copy.deepcopy cannot copy it after a step; does it keep a tensor of the graph?", RuntimeError, TypeError):
        other = copy.deepcopy(net)
    x = subject.images()
    with torch.no_grad():
        wanted = net.eval()(x)
        for tensor in net.state_dict().values():
            tensor.zero_()
        if not close(other.eval()(x), wanted):
            fail("a copy changes with the net; do they share a tensor, or does a closure or a global variable hold the net?")


def evaluation(subject: NetSubject) -> None:
    """In eval mode an image's logits depend on that image alone, nothing is drawn, and nothing changes."""
    net, x = trained(subject).eval(), subject.images()
    before, generator = snapshot(net), torch.get_rng_state()
    with torch.no_grad():
        wanted = net(x)
        if not torch.equal(generator, torch.get_rng_state()):
            fail("in eval mode it draws random numbers; is it dropout or noise that does not ask `self.training`?")
        if not torch.equal(net(x), wanted):
            fail("in eval mode it gives other logits for the same images a second time")
        if not close(net(x[:1]), wanted[:1], 1e-4):
            fail("in eval mode an image's logits depend on the batch it sits in; is it a norm that uses the batch's statistics?")
    names = differing(before, net.state_dict())
    if names:
        fail(f"in eval mode a forward pass changes {names[0]}")


def training(subject: NetSubject) -> None:
    """In training mode a pass changes batch norm's running statistics and nothing else, and these can be held still."""
    net, x = trained(subject), subject.images(seed=5)
    norms = {name for name, module in net.named_modules() if hasattr(module, "track_running_stats")}
    before, plain = snapshot(net), _attributes(net)
    with frozen_stats(net):
        net(x)
    names = differing(before, net.state_dict())
    if names:
        fail(
            f"a pass in training mode changes {names[0]} though ssl_zoo.ema.frozen_stats holds running statistics still; a norm "
            "of your own needs the attribute `track_running_stats`, and changes nothing while it is False"
        )
    net(x)
    for name in differing(before, net.state_dict()):
        owner, _, last = name.rpartition(".")
        if owner not in norms or last not in STATISTICS:
            fail(f"a pass in training mode changes {name}, which is no running statistic of a batch norm")
    for name, value in _attributes(net).items():
        if plain.get(name) != value:
            fail(f"a pass changes self.{name}, which no checkpoint holds; keep what must be kept in a buffer")


def _attributes(net: nn.Module) -> dict[str, Any]:
    """Every number and word among the plain attributes of every module, and the values of plain tensors."""
    kept = {}
    for path, module in net.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                value = value.detach().double().sum().item()
            if isinstance(value, int | float | str | None) and key not in ("training", "track_running_stats"):
                kept[f"{path}.{key}".lstrip(".")] = value
    return kept


def draws(subject: NetSubject) -> None:
    """What it draws in training mode comes from torch's global generator, so that a resumed run draws the same."""
    net, x = trained(subject), subject.images()
    outs = []
    for _ in range(2):
        seed_global(mix("draws"))
        with torch.no_grad():
            outs.append(net(x))
    if not torch.equal(*outs):
        fail("in training mode the same seed gives other logits; draw with torch's global generator, not with one of your own")


def state_dict(subject: NetSubject) -> None:
    """Everything that a trained net has learnt is in its state_dict.

    A fresh net that loads it gives the same logits.
    """
    net = trained(subject).eval()
    fresh = subject.make(seed=1).eval()
    held = {tensor.data_ptr() for tensor in fresh.state_dict().values()}
    for name, p in fresh.named_parameters():
        if p.data_ptr() not in held:
            fail(f"the parameter {name} is not in state_dict")
    with explained("a fresh net cannot load the state_dict of a trained one", RuntimeError, KeyError):
        fresh.load_state_dict(net.state_dict())
    x = subject.images()
    with torch.no_grad():
        if not close(fresh(x), net(x)):
            fail(
                "a fresh net that loads the state_dict of a trained one gives other logits; is a layer in a plain list or "
                "dictionary (use nn.ModuleList), or a tensor a plain attribute (use register_buffer)?"
            )
