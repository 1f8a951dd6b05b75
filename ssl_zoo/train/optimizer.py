"""The optimiser of a run, and its learning rate at each step."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.heads import last_layer
from ssl_zoo.schedules import lr_factor
from ssl_zoo.settings import OptimizerSettings, ScheduleSettings


def make_optimizer(algorithm: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """A fused optimiser of every parameter that requires a gradient: the net's, a head's, never a teacher's.

    Raises:
        InputError: Rates by layer are asked for, and the net does not say its layers.
    """
    rates = learning_rates(algorithm, settings)
    by_kind: dict[tuple[float | None, bool], list[nn.Parameter]] = {}
    for p in algorithm.parameters():
        if p.requires_grad:
            vector = p.numel() == max(p.shape, default=1)  # a bias or a scale; that of a weight norm has shape (C, 1, 1, 1)
            by_kind.setdefault((rates.get(p), vector and not settings.decay_all), []).append(p)
    groups = [
        {"params": parameters, "weight_decay": 0.0 if plain else settings.weight_decay, "own": rate}
        for (rate, plain), parameters in sorted(by_kind.items(), key=lambda item: (-(item[0][0] or 0), item[0][1]))
    ]
    _keep_compiler_out()
    if settings.name == "sgd":
        made = torch.optim.SGD(groups, settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)
    else:
        made = torch.optim.AdamW(groups, settings.lr, betas=settings.betas, fused=True)
    made.step = functools.partial(torch.no_grad()(inspect.unwrap(type(made).step)), made)  # as torch has it, below its wrappers
    return made


def learning_rates(algorithm: nn.Module, settings: OptimizerSettings) -> dict[nn.Parameter, float]:
    """Return the learning rates of parameters that have one of their own, before the schedule.

    Raises:
        InputError: As `make_optimizer`.
    """
    if settings.head_lr is None and settings.body_lr is None and settings.layer_decay == 1:
        return {}
    net, rates = algorithm.net, {}
    head = {*last_layer(net).parameters()}
    body = {*net.parameters()} - head
    for p in algorithm.parameters():
        own = settings.body_lr if p in body else settings.head_lr
        rates[p] = settings.lr if own is None else own
    if settings.layer_decay != 1:
        for p, scale in _by_layer(net, settings.layer_decay).items():
            rates[p] *= 1 if p in head else scale
    return rates


def _by_layer(net: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    if not hasattr(net, "group_matcher"):
        raise InputError(
            f"optimizer.layer_decay goes by timm's groups of layers, and a {type(net).__name__} has none; "
            "choose a net of timm, or leave it out: `optimizer.layer_decay=1`"
        )
    from timm.optim import param_groups_layer_decay

    return {p: group["lr_scale"] for group in param_groups_layer_decay(net, layer_decay=decay) for p in group["params"]}


def _keep_compiler_out() -> None:
    """Let optimisers be made without torch's compiler, whose import takes seconds.

    Torch keeps it from looking into methods of optimisers, and imports it to say so as they are called. We compile none
    of these methods, so there is nothing to be kept from. Where torch is made otherwise, nothing happens.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict"):
        inner = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            setattr(inner, "__dynamo_disable", inner)


def set_lr(optimizer: torch.optim.Optimizer, lr: float, schedule: ScheduleSettings, progress: float) -> float:
    """Set the learning rate for a step; a pure function of the run's progress, so there is no scheduler to save."""
    factor = lr_factor(progress, **vars(schedule))
    for group in optimizer.param_groups:
        own = group.get("own")  # rate of some layers, in place of that of all
        group["lr"] = (lr if own is None else own) * factor
    return lr * factor


def has_state(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether it has made the tensors that it keeps, which it does in its first step, if it keeps any."""
    kept = any(group.get("momentum", True) for group in optimizer.param_groups)
    return bool(optimizer.state) or not kept


@torch.no_grad()
def update_(optimizer: torch.optim.Optimizer, rates: Sequence[Tensor]) -> None:
    """Do what `optimizer.step()` does, to rounding, in operations of which a compiler makes one.

    Args:
        optimizer: Of `make_optimizer`, which `has_state`.
        rates: 0-dim, the learning rate of each of its groups.
    """
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            continue
        gradients = [p.grad for p in parameters]
        states = [optimizer.state.get(p, {}) for p in parameters]  # to ask for one that is not there would make it
        way = _sgd if isinstance(optimizer, torch.optim.SGD) else _adamw
        torch._foreach_add_(parameters, torch._foreach_mul(way(group, rate, parameters, gradients, states), -rate))


def _sgd(
    group: dict[str, Any], rate: Tensor, parameters: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> Sequence[Tensor]:
    """Where the parameters go, against their rate."""
    if group["weight_decay"]:
        gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
    if not group["momentum"]:
        return gradients
    buffers = [state["momentum_buffer"] for state in states]
    torch._foreach_mul_(buffers, group["momentum"])
    torch._foreach_add_(buffers, gradients)
    return torch._foreach_add(gradients, buffers, alpha=group["momentum"]) if group["nesterov"] else buffers


def _adamw(
    group: dict[str, Any], rate: Tensor, parameters: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]]
) -> Sequence[Tensor]:
    """Loshchilov & Hutter 2019 (arXiv:1711.05101); the weights decay here."""
    (one, two), steps = group["betas"], [state["step"] for state in states]
    first, second = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq"))
    torch._foreach_add_(steps, 1)
    torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
    torch._foreach_lerp_(first, gradients, 1 - one)
    torch._foreach_mul_(second, two)
    torch._foreach_addcmul_(second, gradients, gradients, 1 - two)
    # in fp64: 1 - 0.999 has five digits in fp32
    unbiased = [(1 - one ** step.double(), (1 - two ** step.double()).sqrt()) for step in steps]
    roots = [root / scale + group["eps"] for root, (_, scale) in zip(torch._foreach_sqrt(second), unbiased, strict=True)]
    return [m / scale / root for m, root, (scale, _) in zip(first, roots, unbiased, strict=True)]
