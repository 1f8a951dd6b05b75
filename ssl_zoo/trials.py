"""What a plug-in makes is tried when it is made, so that one line says what is wrong with it.

Quick, and far from complete: that is `ssl_zoo.testing`. Each trial returns what is wrong, to follow the name of the
thing; None: nothing. What it raises is the plug-in's.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.data.form import complaint

SHAPE = (3, 32, 32)  # of the images that an augmentation is tried on, whose own are not known yet


def dataset(made: Any, args: tuple[Any, ...]) -> str | None:
    """Whether it is a Dataset in its form."""
    wrong = complaint(made)
    return f"is not as it must be: {wrong}" if wrong else None


def net(made: Any, args: tuple[Any, ...]) -> str | None:
    """Whether it is a module that gives logits of two images. Draws nothing and moves no state."""
    if not isinstance(made, nn.Module):
        return f"is a {type(made).__name__}; a net is a torch.nn.Module"
    classes, channels, size = args
    training = made.training
    try:
        with torch.random.fork_rng(devices=()), torch.no_grad():
            out = made.eval()(torch.zeros(2, channels, *size))
    except Exception as error:
        if torch.cuda.is_available():  # it may need the device that it is moved to next
            return None
        error.add_note(of_images(size))
        raise
    finally:
        made.train(training)
    if not isinstance(out, Tensor) or out.shape != (2, classes) or not out.is_floating_point():
        shown = f"{tuple(out.shape)} of {out.dtype}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        return f"gives {shown} for 2 images of {classes} classes; a net gives logits (2, {classes}), in floating point"
    if not any(p.requires_grad for p in made.parameters()):
        return "has no parameter that requires a gradient, so there is nothing to train"
    return None


def of_images(size: tuple[int, ...]) -> str:
    """Return what is said beside an error of a net: on which images, whose size may be the reason.

    Args:
        size: Height, width.
    """
    return f"with images of {size[0]}x{size[1]}; if they are too small or do not fit, resize them"


def method(made: Any, args: tuple[Any, ...]) -> str | None:
    """Whether it declares what a run asks it for."""
    if "net" not in made.__dict__.get("_modules", {}):
        return "has no net; its constructor calls super().__init__(net, facts) first"
    for name in ("views", "labeled_views"):
        value = getattr(made, name)
        if not isinstance(value, tuple) or not all(isinstance(view, str) for view in value):
            return f"has {name} = {value!r}; it is a tuple of names, such as ('weak',)"
    if not isinstance(made.targets, tuple | None) or not isinstance(made.weights, Mapping):
        return "has `targets` that are no tuple of places, or `weights` that are no mapping of terms to options"
    return None


def augmentation(made: Any, args: tuple[Any, ...]) -> str | None:
    """Whether it draws parameters for each of two images and keeps these as they are.

    What it raises here may be due to the images of the trial, so it is left to the run, on its own.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, *SHAPE, generator=generator)
    wrong = _cannot_take(made.draw, "generator, n, shape", generator, 2, SHAPE)
    if wrong:
        return wrong
    with torch.random.fork_rng(devices=()):
        try:
            drawn = made.draw(generator, 2, SHAPE)
        except Exception:
            return None
        if not isinstance(drawn, tuple | list) or not all(isinstance(p, Tensor) and p.ndim and len(p) == 2 for p in drawn):
            shown = [tuple(p.shape) if isinstance(p, Tensor) else p for p in drawn] if isinstance(drawn, tuple | list) else None
            what = f"a {type(drawn).__name__}" if shown is None else f"{shown}"
            return f"draws {what:.100} for 2 images; `draw` gives a tuple of tensors, each with the images as its first axis"
        wrong = _cannot_take(made.apply, "images" + ", parameter" * len(drawn), images, *drawn)
        if wrong:
            return wrong
        try:
            out = made.apply(images, *drawn)
        except Exception:
            return None
    if not isinstance(out, Tensor) or out.shape != images.shape or out.dtype != torch.float32:
        shown = f"{tuple(out.shape)} of {out.dtype}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        return f"makes of images {tuple(images.shape)} {shown}; `apply` keeps their shape and gives float32"
    return None


def _cannot_take(function: Any, names: str, *arguments: Any) -> str | None:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        return f"has a method that cannot be called as {function.__name__}({names}): {error}"
    return None
