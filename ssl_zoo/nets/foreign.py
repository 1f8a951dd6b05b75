"""What nets of other packages share: weights from elsewhere, and how images were for them; options; a trial."""

import contextlib
import os
import pickle
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError, between, one_line

PATIENCE = 10.0  # seconds that a server has to answer, where weights are only wished for
AUTO = "auto"  # weights where they can be had


class Weights(NamedTuple):
    """Where pretrained weights come from, and how the images were that they were trained on."""

    source: str  # a name or an address, or the path of a file
    license: str
    mean: tuple[float, ...]  # of each channel, of pixels in [0, 1]
    std: tuple[float, ...]
    size: tuple[int, int]  # height and width
    interpolation: str  # bilinear or bicubic, as Pillow means them
    like: str = ""  # of a file, which says nothing of its images: whose they are taken to be


def is_path(pretrained: bool | str) -> bool:
    """Whether weights are to come from a file."""
    return isinstance(pretrained, str) and pretrained != AUTO


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Within it, a server that says nothing for a while is one that cannot be reached."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def read_state(path: str, name: str) -> dict[str, Tensor]:
    """Return the weights in a file: .safetensors, or what torch.save wrote of a state_dict. Nothing of it is run.

    Args:
        path: Of the file.
        name: Of the net, for messages.

    Raises:
        InputError: There is none, it cannot be read, a weight is not finite, or it is a trained net of ours.
    """
    file = Path(os.path.expanduser(path))
    if file.is_dir():
        raise InputError(f"{name}: '{path}' is a folder; give the file in it, or begin from a run's net: `initial={path}`")
    if not file.is_file():
        raise InputError(f"{name}: there is no file '{path}' with weights; give the path of one, or pretrained=true")
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(file, framework="pt") as opened:
                if "ssl_zoo" in (opened.metadata() or {}):
                    raise InputError(
                        f"{path} is a net that a run has trained; leave out pretrained, and begin from it: `initial={path}`"
                    )
                state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (no mapping)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        what = "weights, which are tensors and no whole module"
        raise InputError(f"{name}: '{path}' cannot be read as {what}; save its `state_dict()` there") from error
    except Exception as error:  # what is no such file makes either of them raise nearly anything
        why = one_line(error)[:200] or type(error).__name__
        raise InputError(f"{name}: '{path}' cannot be read as weights ({why}); save a state_dict there") from error
    for key in ("state_dict", "model"):  # as training codes wrap it
        state = state[key] if isinstance(state, Mapping) and isinstance(state.get(key), Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()) or not state:
        raise InputError(f"{name}: '{path}' holds no state_dict, names with tensors; save `net.state_dict()` there")
    if odd := next((key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()), None):
        raise InputError(f"{name}: {odd} in '{path}' is not finite; give other weights")
    return {key.removeprefix("module."): value for key, value in state.items()}


def load_body(body: nn.Module, last: str, path: str, name: str) -> None:
    """Give a net the weights of a file, all but those of its last layer.

    Args:
        body: The net, with its last layer.
        last: Name of that.
        path: Of the file.
        name: Of the net.

    Raises:
        InputError: It cannot be read, or is of another net.
    """
    state, own = read_state(path, name), body.state_dict()
    state = {key: value for key, value in state.items() if not key.startswith(f"{last}.")}
    wanted = {key: value for key, value in own.items() if not key.startswith(f"{last}.")}
    why = other_names(state, wanted)
    if not why:
        shapes = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
        why = f"of another shape: {_some(shapes)}" if shapes else ""
    if why:
        raise other_net(name, path, why)
    body.load_state_dict(own | state)


def other_names(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return in words how the names in a file differ from those that a net wants; empty: they do not.

    Old files lack the counts of batches, which torch does not ask for either.
    """
    own, given = ({key for key in names if not key.endswith(".num_batches_tracked")} for names in (wanted, state))
    both = (("the net has", own - given), ("the file has", given - own))
    return ", ".join(f"{who} {_some(sorted(names))}" for who, names in both if names)


def _some(names: Sequence[str]) -> str:
    return f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"


def other_net(name: str, path: str, why: str) -> InputError:
    """Return in a line that the weights in a file are not a net's."""
    return InputError(f"{name}: the weights in '{path}' are of another net ({why}); give those of {name}, under its names")


def set_all(body: nn.Module, name: str, option: str, value: float | None, kind: type[nn.Module], attribute: str) -> None:
    """Set an attribute of all layers of a kind; an option that no layer would read is an error."""
    if value is None:
        return
    layers = [module for module in body.modules() if isinstance(module, kind)]
    if not layers:
        raise InputError(f"{name} has no layer that {option} could apply to; leave {option} out")
    for layer in layers:
        setattr(layer, attribute, between(option, value, 0, 1))


def unfit(name: str, image_size: tuple[int, int], error: Exception) -> InputError:
    """Return in a line that a net cannot take images of a size (height, width)."""
    reason = str(error).partition("\n")[0] or "its shapes do not fit"
    return InputError(f"{name} cannot take {image_size[0]}x{image_size[1]} images ({reason}); resize them or choose another net")


def try_shapes(net: nn.Module, name: str, in_chans: int, image_size: tuple[int, int]) -> None:
    """Run shapes through the net, on the meta device: no memory, no random draw, no state moves.

    Raises:
        InputError: They do not fit.
    """
    state = {key: value.to("meta") for key, value in chain(net.named_parameters(), net.named_buffers())}
    images = torch.empty(1, in_chans, *image_size, device="meta")
    net.eval()
    try:
        torch.func.functional_call(net, state, (images,))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise unfit(name, image_size, error) from error
    finally:
        net.train()
