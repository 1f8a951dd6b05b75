"""Neutral draws: what a method draws at random is the same for every row, so that checks of rows hold for it too.

A permutation is the identity, a sample its mean, an integer the least one, and noise is one number for all. That
number is not zero, so that a direction can be normalised.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _least(out: Tensor, overload: str, *given: Any) -> Tensor:
    """Return integers, all of them the least one: the first of `given` where the overload has one."""
    return out.fill_(given[0] if ("low" in overload or "from" in overload) and given else 0)


def _chosen(out: Tensor, replacement: bool) -> Tensor:
    """Return the first categories, or the first one again and again."""
    return out.copy_(torch.arange(out.shape[-1], device=out.device)).mul_(not replacement)


# By name, of the tensor to be filled, the name of the overload, and what the operation was given.
NEUTRAL: dict[str, Callable[..., Tensor]] = {
    "rand": lambda out, *_: out.fill_(0.5),
    "rand_like": lambda out, *_: out.fill_(0.5),
    "uniform_": lambda out, _, x, low=0.0, high=1.0: out.fill_((low + high) / 2),
    "randn": lambda out, *_: out.fill_(1.0),
    "randn_like": lambda out, *_: out.fill_(1.0),
    "normal": lambda out, _, mean, std=1.0, *size: out.zero_().add_(mean).add_(std),
    "normal_": lambda out, _, x, mean=0.0, std=1.0: out.fill_(mean + std),
    "randperm": lambda out, *_: out.copy_(torch.arange(len(out), device=out.device)),
    "randint": lambda out, overload, *given: _least(out, overload, *given),
    "randint_like": lambda out, overload, x, *given: _least(out, overload, *given),
    "random_": lambda out, overload, x, *given: _least(out, overload, *given),
    "bernoulli": lambda out, _, x, p=None: out.copy_(x) if p is None else out.fill_(p),
    "bernoulli_": lambda out, _, x, p=0.5: out.zero_().add_(p),
    "exponential_": lambda out, _, x, rate=1.0: out.fill_(1 / rate),
    "geometric_": lambda out, _, x, p: out.fill_(1 / p),
    "log_normal_": lambda out, _, x, mean=1.0, std=2.0: out.fill_(mean).exp_(),
    "multinomial": lambda out, _, p, n, replacement=False: _chosen(out, replacement),
    "poisson": lambda out, _, rate: out.copy_(rate),
    "binomial": lambda out, _, count, p: out.copy_(count * p),
    "_standard_gamma": lambda out, _, shape: out.copy_(shape),
    "_sample_dirichlet": lambda out, _, shape: out.copy_(shape / shape.sum(dim=-1, keepdim=True)),
}
SHAPED = ("_standard_gamma", "_sample_dirichlet", "poisson", "binomial")  # as their first argument; not all exist on `meta`


class _Instead(TorchDispatchMode):
    """Answers random operations neutrally, and notes their names. One with a generator of its own stays as it is."""

    def __init__(self, only_on: str = ""):
        super().__init__()
        self.only_on = only_on  # a type of device; empty: all
        self.replaced: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        device = args[0].device.type if args and isinstance(args[0], Tensor) else ""
        if name not in NEUTRAL or kwargs.get("generator") is not None or (self.only_on and device != self.only_on):
            return func(*args, **kwargs)
        self.replaced.add(name)
        out = self._to_fill(func, args, kwargs)
        return NEUTRAL[name](out, func._overloadname, *args)

    @staticmethod
    def _to_fill(func: Any, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        """Return a tensor of the shape, type and device of what the operation gives."""
        name = func.overloadpacket.__name__
        if name in SHAPED:
            return torch.empty_like(args[0])
        return args[0] if name.endswith("_") else func(*args, **kwargs)


_asked: list[set[str]] = []  # of each `neutral_draws` that is open, what was replaced


@contextlib.contextmanager
def neutral_draws() -> Iterator[set[str]]:
    """Within it, what stands under `drawn` draws neutrally; gives the names of what was replaced."""
    _asked.append(set())
    try:
        yield _asked[-1]
    finally:
        _asked.pop()


@contextlib.contextmanager
def drawn() -> Iterator[None]:
    """Mark the code of a method: neutral if that was asked, else as it is."""
    if not _asked:
        yield
        return
    with _Instead() as instead:
        yield
    _asked[-1].update(instead.replaced)


def known_on_meta() -> TorchDispatchMode:
    """Return what gives torch's gamma and Dirichlet the kernel that they lack on the meta device."""
    return _Instead("meta")
