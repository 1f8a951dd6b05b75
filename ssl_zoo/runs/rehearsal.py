"""A first step on a copy of the method, before anything is written: what cannot pass through a net is said then.

A method may join its batches or pass each alone, in training mode or not, so nothing less than a step of it tells.
"""

import copy
import re
import traceback

import torch
from torch import nn

from ssl_zoo import plugins
from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.device import Machine
from ssl_zoo.errors import InputError
from ssl_zoo.registry import is_ours
from ssl_zoo.runs.assembly import Assembly
from ssl_zoo.runs.layers import cannot_take
from ssl_zoo.settings import OWN_BATCH, RunSettings
from ssl_zoo.trials import of_images

ONE_VALUE = re.compile(r"more than 1 value per channel when training, got input size torch\.Size\(\[(.*)\]\)")  # torch's words


def rehearse(settings: RunSettings, assembly: Assembly, machine: Machine) -> None:
    """Make the loss of the first step, and score one image. Draws nothing of the run and moves none of its state.

    Args:
        settings: Of the run.
        assembly: Of the run, which is left as it is.
        machine: Of the run.

    Raises:
        InputError: The net cannot take images of this size, or so few of them at a time, or a plug-in's code fails.
    """
    try:
        method = copy.deepcopy(assembly.algorithm)  # batch norm's statistics move
    except Exception:  # a plug-in's may hold what has no copy, as a lock or an open file; its first step will tell
        return
    device = machine.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else ()):
        try:
            with machine.autocast():
                if not isinstance(method, Baseline):  # which makes no loss
                    method.train().loss(assembly.pipeline.batch(0), torch.zeros((), device=device))
                logits = _scored(method, assembly, device)
        except Exception as error:
            if is_ours(error):
                raise
            told = _told(error, method, settings, assembly)
            if told is None:
                raise
            raise told from error
    if logits.shape != (1, assembly.pipeline.facts.classes):
        raise InputError(
            f"{settings.net} gives logits of the shape {tuple(logits.shape)} for one image of "
            f"{assembly.pipeline.facts.classes} classes; a net keeps the first axis, whatever its length: mend it"
        )


@torch.no_grad()
def _scored(method: AlgorithmBase, assembly: Assembly, device: torch.device) -> torch.Tensor:
    """Logits of a single test image: the last batch of an evaluation may be one."""
    evaluator = assembly.evaluator
    return method.eval_net().eval()(evaluator.prepare(evaluator.images[:1].to(device)))


def _told(error: Exception, method: AlgorithmBase, settings: RunSettings, assembly: Assembly) -> InputError | None:
    """In words, what the step ended in, where it is the user's to mend."""
    one = ONE_VALUE.search(str(error))
    if one is not None:
        return _of_one_value(one[1], settings, assembly)
    shape, inside = assembly.normalised.images.shape[1:], _inside_a_net(error, method)
    if inside:
        error.add_note(of_images(shape))
    return plugins.blame(error) or (cannot_take(settings.net, shape, error) if inside else None)


def _of_one_value(size: str, settings: RunSettings, assembly: Assembly) -> InputError:
    """Batch norm got a single image whose maps are single pixels: which batch it was, and the way out.

    Args:
        size: Of what batch norm got, as "1, 512, 1, 1".
        settings: Of the run.
        assembly: Of the run.
    """
    own = OWN_BATCH in settings.algorithms[settings.alg]
    names = {"labeled": "batch.labeled", "unlabeled": f"algorithms.{settings.alg}.batch.unlabeled" if own else "batch.unlabeled"}
    single = [stream for stream, count in assembly.pipeline.sizes.items() if count == 1]
    batch = " and ".join(f"1 {stream.replace('labeled', 'labelled')} image a step" for stream in single)
    ways = [" and ".join(f"`{names[stream]}=2`" for stream in single)] if single else []
    has_maps = size.count(",") > 1
    if has_maps and "image_size" in settings.datasets[settings.dataset]:
        ways.append("a larger `image_size`")
    height, width, _ = assembly.normalised.images.shape[1:]
    return InputError(
        f"{settings.net} normalises over the batch, and of {batch or 'an image that the method passes alone'}, "
        f"{height}x{width}, {'maps of 1x1' if has_maps else 'a layer without maps'} leave one value per channel; "
        f"give {' or '.join(ways) or 'larger images or another net'}"
    )


def _inside_a_net(error: Exception, method: AlgorithmBase) -> bool:
    """Whether an error went through the method's net or a copy of it, as a teacher's."""
    nets = (module for module in method.modules() if type(module) is type(method.net))
    parts = {id(part) for net in nets for part in net.modules()}
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(isinstance(me := frame.f_locals.get("self"), nn.Module) and id(me) in parts for frame in frames)
