"""Pure functions of how much of a run is done: ramps of a loss weight, and learning-rate factors.

Lengths are fractions of the run, so that a recipe shrinks or grows with its number of steps as a whole.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from ssl_zoo.errors import InputError

RampForm = Literal["sigmoid", "linear", "cosine", "constant"]
RAMPS = get_args(RampForm)


def ramp(progress: Tensor, form: RampForm, length: float) -> Tensor:
    """Weight factor that rises to 1 over the first `length` of the run and stays there.

    With t = progress / length: sigmoid exp(-5 (1 - t)^2) starts at 0.0067 (Laine & Aila 2017, arXiv:1610.02242, sec.
    3.1); linear t (Berthelot et al. 2019, arXiv:1905.02249); cosine (1 - cos(pi t)) / 2; constant 1.

    Args:
        progress: 0-dim float32, the fraction of the run that is done, 0 at the first step.
        form: Shape of the rise.
        length: Fraction of the run in [0, 1]; 0 means no ramp.

    Returns:
        0-dim float32 in [0, 1].

    Raises:
        InputError: Unknown form.
    """
    if form == "constant" or length == 0:
        return torch.ones_like(progress)
    t = (progress / length).clamp(0, 1)
    if form == "sigmoid":
        return torch.exp(-5 * (1 - t).square())
    if form == "linear":
        return t
    if form == "cosine":
        return (1 - torch.cos(math.pi * t)) / 2
    raise InputError(f"ramp = '{form}' is unknown: sigmoid, linear, cosine or constant")


def lr_factor(
    progress: float,
    name: Literal["constant", "cosine", "cosine7_16", "steps"],
    *,
    warmup: float = 0.0,
    warmup_form: Literal["linear", "sigmoid"] = "linear",
    ramp_down: float = 0.0,
    milestones: tuple[float, ...] = (),
    gamma: float = 0.1,
    factors: tuple[float, ...] = (),
    cosine_fraction: float = 1.0,
) -> float:
    """Factor of the learning rate after a fraction `progress` of the run.

    Args:
        progress: In [0, 1).
        name: constant: 1. cosine: (1 + cos(pi f t)) / 2 (Loshchilov & Hutter 2017, arXiv:1608.03983). cosine7_16:
            cos(7 pi t / 16) (Sohn et al. 2020, arXiv:2001.07685). steps: gamma to the number of milestones passed.
        warmup: Fraction of the run over which the factor rises, multiplied in.
        warmup_form: linear: t. sigmoid: exp(-5 (1 - t)^2) (Laine & Aila 2017, arXiv:1610.02242).
        ramp_down: Last fraction of the run, over which exp(-12.5 t^2) is multiplied in (Laine & Aila 2017).
        milestones: Fractions of the run, for `steps`.
        gamma: Factor at each milestone, for `steps`.
        factors: For `steps`, in place of powers of gamma: the factor before the first milestone, then from each one on.
        cosine_fraction: f, the share of the cosine's half period that the run covers, for `cosine`: 300 / 350 where a
            paper stops a decay over 350 epochs at epoch 300.
    """
    if name == "cosine":
        factor = (1 + math.cos(math.pi * cosine_fraction * progress)) / 2
    elif name == "cosine7_16":
        factor = math.cos(7 * math.pi * progress / 16)
    elif name == "steps":
        passed = sum(progress >= milestone for milestone in milestones)
        factor = factors[passed] if factors else gamma**passed
    elif name == "constant":
        factor = 1.0
    else:
        raise InputError(f"schedule.name = '{name}' is unknown: constant, cosine, cosine7_16 or steps")
    if progress < warmup:
        t = progress / warmup
        factor *= t if warmup_form == "linear" else math.exp(-5 * (1 - t) ** 2)
    if progress > 1 - ramp_down:
        factor *= math.exp(-12.5 * ((progress - (1 - ramp_down)) / ramp_down) ** 2)
    return factor
