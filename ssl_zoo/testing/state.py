"""Checks of the state: who writes it, how a teacher moves, and what a checkpoint holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_zoo.ema import Teacher
from ssl_zoo.testing.subject import (
    Subject,
    close,
    differing,
    fail,
    loss,
    make_batch,
    refuse_nan,
    snapshot,
    update,
    write,
)


def loss_writes_nothing(subject: Subject) -> None:
    """`loss` writes no state but batch norm's statistics: the student's once a step, never from a target's images."""
    method = subject.warm(norm=True)
    before, attributes = snapshot(method), _attributes(method)
    batch = make_batch(method, 9)
    calls: list[str] = []
    for name in subject.teachers():
        method.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    loss(method, batch)
    statistics = {
        f"{name}.{key}"
        for name, module in method.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for key, _ in module.named_buffers()
    }
    for name in differing(before, method.state_dict()):
        if name not in statistics:
            fail(f"`loss` writes {name}; it sees a slice of the batch and runs compiled, so state is written in `after_step`")
    _same_attributes(attributes, method, "`loss` writes {}; state is a buffer, and is written in `after_step`")
    counts = {name: int(tensor) for name, tensor in method.net.state_dict().items() if name.endswith("num_batches_tracked")}
    for name, count in counts.items():
        passes = count - int(before[f"net.{name}"])
        if passes != 1:
            fail(
                f"one `loss` moves net.{name.rpartition('.')[0]}'s running statistics {passes} times; it must be once a step: "
                "put further passes of the net under ssl_zoo.ema.frozen_stats"
            )
    if method.target_views() and calls:  # otherwise the targets pass through the student, with what it learns from
        other = subject.warm(norm=True)
        loss(other, batch._replace(u=tuple(v * 3 + 1 if k in method.target_views() else v for k, v in enumerate(batch.u))))
        moved = differing(method.net.state_dict(), other.net.state_dict())
        if moved:
            fail(
                f"net.{moved[0]} depends on images of the declared targets {method.target_views()}; "
                "the student's running statistics may count the student's pass only"
            )


def teacher(subject: Subject) -> None:
    """A teacher starts as a copy, is untouched by `loss`, and follows the declared average in closed form."""
    method = subject.make(norm=True)
    for name in subject.teachers():
        net = method.get_submodule(name)
        student = dict(method.net.named_parameters())
        for key, p in net.named_parameters():
            if not torch.equal(p, student[key]):
                fail(f"{name}.{key} does not start as a copy of the net's; use copy.deepcopy(net)")
            if p.data_ptr() == student[key].data_ptr():
                fail(f"{name}.{key} is the net's own tensor, so that teacher and student are one; use copy.deepcopy(net)")
        for decay in ({}, *({option: 0.3} for option in subject.entry.options if "decay" in option)):  # .3 binds at once
            _follows(subject, name, decay)


def state_dict(subject: Subject) -> None:
    """A `state_dict` round trip, then a step, equals no round trip, bit for bit; nothing that changes is outside it."""
    method = subject.make(norm=True)
    attributes = _attributes(method)
    outside = {name: tensor.clone() for name, tensor in method.named_buffers() if name not in method.state_dict()}
    for step in range(4):
        update(method, make_batch(method, step))
    _same_attributes(
        attributes, method, "{} changes during training but is not in state_dict, so a resumed run loses it; make it a buffer"
    )
    buffers = dict(method.named_buffers())
    for name, before in outside.items():
        if not torch.equal(before, buffers[name]):
            fail(f"the buffer {name} changes during training but is registered with persistent=False, so a resumed run loses it")
    other = subject.make(norm=True, seed=1)
    try:
        other.load_state_dict(snapshot(method))
    except RuntimeError as error:
        fail(f"a fresh method cannot load a trained one's state: {' '.join(str(error).split())}; give buffers their full shape")
    for one in (method, other):
        update(one, make_batch(one, 9))
    for name in differing(method.state_dict(), other.state_dict()):
        fail(f"{name} differs after a state_dict round trip and one step; something that a step depends on is not in state_dict")


def seed(subject: Subject) -> None:
    """The same seed gives the same bits."""
    states = [snapshot(subject.warm(norm=True)) for _ in range(2)]
    for name in differing(*states):
        refuse_nan(states[0])
        fail(f"{name} differs between two runs of one seed; draw from torch's global generator, which the trainer seeds")


def _follows(subject: Subject, name: str, decay: Mapping[str, float]) -> None:
    """Updates t = 1, 2, ...: teacher = d teacher + (1 - d) student, with one d for all parameters, the declared one."""
    method = subject.make(decay, norm=True)
    net, holders = method.get_submodule(name), {id(m.net): m for m in method.modules() if isinstance(m, Teacher)}
    for t in range(1, 5):
        before = {key: p.detach().clone() for key, p in net.named_parameters()}
        _move(method.net, 2 * t)
        out = loss(method, make_batch(method, t))
        for key, p in net.named_parameters():
            if not torch.equal(p, before[key]):
                fail(f"`loss` changes {name}.{key}; the teacher moves in `after_step`, after the optimiser's step")
        _move(method.net, 2 * t + 1)
        write(method, out.seen)
        student = {key: p.detach() for key, p in method.net.named_parameters()}
        now = {key: p.detach() for key, p in net.named_parameters()}
        apart = {key: before[key] - student[key] for key in now}
        kept = {key: float(((p - student[key]) * apart[key]).sum() / apart[key].square().sum()) for key, p in now.items()}
        d = sum(kept.values()) / len(kept)
        if d > 1 - 1e-6:
            fail(f"{name} does not move in `after_step`, however far the net is from it; call its update there")
        for key, p in now.items():
            if not close(p, d * before[key] + (1 - d) * student[key], 1e-4):
                fail(f"{name}.{key} after update {t} is no average of itself and the net's; all of it keeps {d:.4f} of itself")
        allowed = _decays(subject, holders.get(id(net)), decay, t)
        if allowed and min(abs(d - one) for one in allowed) > 1e-4:
            fail(
                f"{name} keeps {d:.5f} of itself at update {t}{f' with {dict(decay)}' if decay else ''}; declared is "
                f"{' or '.join(f'{one:.5f}' for one in allowed)} (decay, or min(1 - 1 / (t + 1), decay) with t = 1 at the first)"
            )


def _decays(subject: Subject, holder: Teacher | None, given: Mapping[str, float], t: int) -> list[float]:
    """Return what a teacher may keep of itself: by the option with "decay" in its name, else by its `Teacher`."""
    named = [option for option in subject.entry.options if "decay" in option]
    values = [{**subject.options, **given}.get(option, subject.entry.options[option].default) for option in named]
    early = 1 - 1 / (t + (holder is None or holder.count_initial))
    if holder is not None:
        declared = values if len(values) == 1 else [holder.decay]
        return [min(early, decay) if holder.warmup else decay for decay in declared]
    return [one for decay in values for one in (decay, min(early, decay))] if len(values) == 1 else []


@torch.no_grad()
def _move(net: nn.Module, seed: int) -> None:
    """Put the net far from the teacher, so that a small 1 - d can be measured."""
    generator = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.copy_(torch.randn(p.shape, generator=generator))


_MODULE = frozenset(vars(nn.Module()))


def _attributes(method: nn.Module) -> dict[str, Any]:
    """A copy of every plain attribute of every module: what `state_dict` does not hold."""
    return {
        f"{name}.{key}" if name else key: _plain(value)
        for name, module in method.named_modules()
        for key, value in vars(module).items()
        if key not in _MODULE
    }


def _plain(value: Any) -> Any:
    """A value that can be compared later: tensors copied, containers walked, anything else by its identity."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {repr(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, str | bytes | int | float | complex | bool | type(None)):
        return value
    if isinstance(value, nn.Module):
        return {name: tensor.detach().clone() for name, tensor in value.state_dict().items()}
    return id(value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and one == other


def _same_attributes(before: dict[str, Any], method: nn.Module, complaint: str) -> None:
    now = _attributes(method)
    for name in {**before, **now}:
        if name not in before or name not in now or not _equal(before[name], now[name]):
            fail(complaint.format(f"self.{name}"))
