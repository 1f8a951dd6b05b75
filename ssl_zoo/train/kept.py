"""All that a step may change, so that a step can be tried and undone."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:  # they make it
    from ssl_zoo.train.steps import Steps

PLAIN = (bool, int, float, str, type(None))  # values of attributes that are put into a graph as they are
LEAVES = (*PLAIN, type, bytes)  # nothing is looked for in them
OF_TORCH = ("_parameters", "_buffers", "_modules")  # mappings of a module, whose keys are its attributes


class Kept:
    """What a method and its average hold, as it is now: tensors, numbers, lists, mappings and objects with attributes.

    Args:
        steps: Of a run.
    """

    def __init__(self, steps: "Steps"):
        self._holders: dict[int, tuple[str, Any, Any]] = {}  # of lists and mappings: name, itself, a copy
        self._tensors: dict[int, tuple[Tensor, Tensor]] = {}  # with a copy
        for owner in [steps.algorithm] if steps.average is None else [steps.algorithm, steps.average]:
            for module in owner.modules():  # so that each is named by its own class
                self._hold(type(module).__name__, vars(module))
        for state in steps.optimizer.state.values():
            self._look_into("optimizer", dict(state))

    def changed(self) -> str:
        """Return the names of what is no longer the same object or number."""
        found = [name for at, holder, before in self._holders.values() for name in _differing(at, before, holder)]
        return ", ".join(dict.fromkeys(found))

    @torch.no_grad()
    def put_back(self) -> None:
        """Make all of it what it was."""
        for _, holder, before in self._holders.values():
            if isinstance(holder, list):
                holder[:] = before
            else:
                for name in [*holder]:
                    if name not in before:
                        del holder[name]
                holder.update(before)
        for tensor, values in self._tensors.values():
            tensor.copy_(values)

    def _hold(self, name: str, holder: Any) -> None:
        """Keep a list or a mapping, and what is in it."""
        if id(holder) in self._holders:
            return
        self._holders[id(holder)] = (name, holder, holder.copy())
        for key, value in [*holder.items()] if isinstance(holder, dict) else [(None, value) for value in holder]:
            self._look_into(name if key is None or key in OF_TORCH else f"{name}.{key}", value)

    def _look_into(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            # a GPU may have no room for both
            self._tensors.setdefault(id(value), (value, value.detach().to("cpu", copy=True)))
        elif isinstance(value, (list, dict)):
            self._hold(name, value)
        elif isinstance(value, tuple):
            for one in value:
                self._look_into(name, one)
        elif isinstance(value, nn.Module) or (not isinstance(value, (*LEAVES, Callable)) and hasattr(value, "__dict__")):
            self._hold(type(value).__name__, vars(value))


def _differing(name: str, before: Any, now: Any) -> list[str]:
    """Names of what a list or a mapping has otherwise than before: a number, a tensor, or how many of them."""
    if isinstance(now, list):
        same = len(before) == len(now) and all(map(_same, before, now))
        return [] if same else [name]
    missing = object()
    return [f"{name}.{key}" for key in {**before, **now} if not _same(before.get(key, missing), now.get(key, missing))]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, PLAIN) or isinstance(other, PLAIN):
        return type(one) is type(other) and one == other
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and type(one) is type(other)
