"""The optimiser of a run, and its learning rate at each step."""

import functools
import inspect

import torch
from torch import nn

from ssl_zoo.schedules import lr_factor
from ssl_zoo.settings import OptimizerSettings, ScheduleSettings


def make_optimizer(algorithm: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """A fused optimiser of every parameter that requires a gradient: the net's, a head's, never a teacher's."""
    groups = [{"params": [], "weight_decay": settings.weight_decay}, {"params": [], "weight_decay": 0.0}]
    for p in algorithm.parameters():
        if p.requires_grad:
            vector = p.numel() == max(p.shape, default=1)  # a bias or a scale; that of a weight norm has shape (C, 1, 1, 1)
            groups[vector and not settings.decay_all]["params"].append(p)
    groups = [group for group in groups if group["params"]]
    _keep_compiler_out()
    if settings.name == "sgd":
        made = torch.optim.SGD(groups, settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)
    else:
        made = torch.optim.AdamW(groups, settings.lr, betas=settings.betas, fused=True)
    made.step = functools.partial(torch.no_grad()(inspect.unwrap(type(made).step)), made)  # as torch has it, below its wrappers
    return made


def _keep_compiler_out() -> None:
    """Let optimisers be made without torch's compiler, whose import takes seconds.

    Torch keeps it from looking into methods of optimisers, and imports it to say so as they are called. We compile
    losses alone, so there is nothing to be kept from. Where torch is made otherwise, nothing happens.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict"):
        inner = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            setattr(inner, "__dynamo_disable", inner)


def set_lr(optimizer: torch.optim.Optimizer, lr: float, schedule: ScheduleSettings, progress: float) -> float:
    """Set the learning rate for a step; a pure function of the run's progress, so there is no scheduler to save."""
    now = lr * lr_factor(progress, **vars(schedule))
    for group in optimizer.param_groups:
        group["lr"] = now
    return now
