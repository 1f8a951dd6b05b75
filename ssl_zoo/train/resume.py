"""What of a run is in its checkpoint: how it is taken from a trainer, checked, and put back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssl_zoo.errors import InputError

if TYPE_CHECKING:  # the trainer saves what this module names
    from ssl_zoo.train.trainer import Trainer

STATE = {  # of a checkpoint
    "step": int,
    "algorithm": dict,
    "average": dict,
    "optimizer": dict,
    "evaluations": list,
    "confusion": (dict, list),  # a list in checkpoints of the first versions, whose nets are still looked at
    "selected": dict,
    "seconds": float,
    "seconds_training": float,
    "log_offset": int,
    "guard": dict,
    "skipped": int,
    "skipped_in_a_row": int,
    "identity": dict,
    "history": list,
    "threads": int,
}


def state_of(trainer: "Trainer", done: int, log_offset: int) -> dict[str, Any]:
    """Return the state of a run after so many steps.

    Args:
        trainer: Of the run.
        done: Steps.
        log_offset: Bytes of metrics.jsonl.
    """
    return {
        "step": done,
        "algorithm": trainer.algorithm.state_dict(),
        "average": trainer.average.state_dict() if trainer.average is not None else {},
        "optimizer": trainer.optimizer.state_dict(),
        "evaluations": trainer.evaluations,
        "confusion": trainer.confusion,
        "selected": trainer.selected,
        "seconds": trainer.seconds,
        "seconds_training": trainer.seconds_training,
        "log_offset": log_offset,
        "guard": {**trainer.guard.state(), "guesses": trainer.guesses.kept()},
        "skipped": trainer.skips.count,
        "skipped_in_a_row": trainer.skips.in_a_row,
        "identity": trainer.identity,
        "history": trainer.history,
        "threads": trainer.machine.threads,
    }


def checked(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a checkpoint's state, if it is of this version.

    Raises:
        InputError: It is not.
    """
    wrong = [name for name, kind in STATE.items() if not isinstance(state.get(name), kind)]
    if wrong:
        raise InputError(
            f"the checkpoint in {folder} is of another version of ssl_zoo (it has no usable {', '.join(wrong)}); "
            "use another folder, or begin anew with `fresh=True`"
        )
    return state


def put_back(trainer: "Trainer", state: dict[str, Any]) -> None:
    """Let a trainer go on from a state, which is checked.

    Raises:
        InputError: It does not fit the method and net.
    """
    try:
        trainer.algorithm.load_state_dict(state["algorithm"])
        if trainer.average is not None:
            trainer.average.load_state_dict(state["average"])
        _load_optimizer(trainer.optimizer, state["optimizer"], trainer.device)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:  # other names, shapes or types
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"the checkpoint in {trainer.folder} does not fit the method and net ({first}); use another folder, or begin anew "
            "with `fresh=True`"
        ) from error
    trainer.start, trainer.history = state["step"], state["history"]
    trainer.guard.load(state["guard"])
    trainer.guesses.load(state["guard"].get("guesses", trainer.guesses.kept()))  # which the first versions did not keep
    trainer.evaluations, trainer.confusion, trainer.selected = state["evaluations"], state["confusion"], state["selected"]
    trainer.seconds, trainer.seconds_training = state["seconds"], state["seconds_training"]
    trainer.skips.count, trainer.skips.in_a_row = state["skipped"], state["skipped_in_a_row"]
    trainer.log_offset = state["log_offset"]


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], device: torch.device) -> None:
    """Copy its numbers into tensors of our own making: the fused kernels trust shapes, types and strides."""
    own = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    names = {"momentum_buffer"} if isinstance(optimizer, torch.optim.SGD) else {"step", "exp_avg", "exp_avg_sq"}
    for place, kept in state["state"].items():
        if {*kept} != names:
            raise ValueError(f"the optimiser's state of a parameter is {', '.join(kept)}")
        shapes = {name: torch.zeros((), device=device) if name == "step" else parameters[place] for name in names}
        own["state"][place] = {name: _copied(name, value, shapes[name]) for name, value in kept.items()}
    optimizer.load_state_dict(own)


def _copied(name: str, value: Tensor | None, like: Tensor) -> Tensor | None:
    if value is None:
        return None
    if value.shape != like.shape:
        raise ValueError(f"{name} of the optimiser has the shape {tuple(value.shape)}")
    return torch.empty_like(like, requires_grad=False).copy_(value)
