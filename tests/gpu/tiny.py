"""A tiny run: its data, its settings and its trainer, on a device; and what would wait for one, told on the CPU."""

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ssl_zoo import config
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.trainer import Trainer

_IMAGES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), np.uint8)
_LABELS = np.arange(70) % 10
DATA = Dataset("noise", _IMAGES[:60], _LABELS[:60], _IMAGES[60:], _LABELS[60:], tuple("abcdefghij"))
WEAK = {"translate": {"pixels": 1}, "flip": {}}
EVERY = {  # every augmentation, those on pixels first
    **WEAK,
    "affine": {"rotate": 10, "shift": 1},
    "resized_crop": {},
    "color": {},
    "randaugment": {},
    "cutout": {},
    "noise": {},
}


def settings(alg: str, device: str, **more: Any) -> RunSettings:
    """Eight steps of a small net."""
    given = {
        "alg": alg,
        "net": "smallnet",
        "labels": 20,
        "steps": 8,
        "device": device,
        "batch": {"labeled": 8, "unlabeled": 12},
        "evaluation": {"every": 4, "log_every": 2},
        "views": {"weak": WEAK, "strong": {**WEAK, "color": {}, "randaugment": {}, "cutout": {}}},
    }
    return config.resolve(given | more)


def trainer(alg: str, device: str, **more: Any) -> Trainer:
    """Return what makes the steps of such a run. Writes nothing."""
    asked = settings(alg, device, **more)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer_of(asked, choose_labels(asked, DATA), Path(folder))
    made.algorithm.train()
    return made


def held(device: str) -> int:
    """Bytes that live tensors hold."""
    gc.collect()
    if device == "cuda":
        return torch.cuda.memory_allocated()
    parts = [t.untyped_storage() for t in gc.get_objects() if type(t) in (Tensor, torch.nn.Parameter)]  # no compiler's fakes
    return sum({part.data_ptr(): part.nbytes() for part in parts}.values())


READ = {
    *("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__contains__", "numpy", "cpu"),
    *("nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "equal", "allclose", "is_nonzero", "bincount"),
}


class Waits(TorchFunctionMode):
    """Fails where a call would wait for a GPU, if its tensors were there: it reads one, or copies a number to it.

    The CPU's stand-in for `torch.cuda.set_sync_debug_mode`, which sees more: what is called from C++ too.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        numbers = any(isinstance(value, int | float) for value in [*args[1:], *kwargs.values()])
        assert name not in READ, f"{name} reads the device"
        assert name != "where" or (len(args) + len(kwargs) > 1 and not numbers), "where copies a number, or counts"
        assert name not in ("tensor", "as_tensor"), f"{name} copies from the host"
        assert name != "repeat_interleave" or "output_size" in kwargs, "repeat_interleave counts"
        if name in ("__getitem__", "__setitem__"):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            masks = [place for place in places if isinstance(place, Tensor) and place.dtype in (torch.bool, torch.uint8)]
            assert not masks, "a mask as an index is counted"
            assert not any(isinstance(place, list) for place in places), "a list as an index is copied"
        return func(*args, **kwargs)
