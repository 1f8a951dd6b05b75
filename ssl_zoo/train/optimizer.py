"""The optimiser of a run, and its learning rate at each step."""

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
    if settings.name == "sgd":
        return torch.optim.SGD(groups, settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)
    return torch.optim.AdamW(groups, settings.lr, betas=settings.betas, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float, schedule: ScheduleSettings, progress: float) -> float:
    """Set the learning rate for a step; a pure function of the run's progress, so there is no scheduler to save."""
    now = lr * lr_factor(progress, **vars(schedule))
    for group in optimizer.param_groups:
        group["lr"] = now
    return now
