"""Checks of what a net is: what it takes, what it gives, what is trained."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError
from ssl_zoo.registry import Entry
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.testing.part import declared_options, described, refuses_misspelt
from ssl_zoo.testing.subject import CheckFailed, close, explained, fail

Shape = tuple[int, int, int]  # (C, H, W)
SHAPES: tuple[Shape, ...] = ((3, 16, 16), (1, 8, 8), (3, 32, 32), (4, 17, 23))
CLASSES = (5, 2)
K, B = CLASSES[0], 4  # classes and images where their number does not matter
ARGUMENTS = ("num_classes", "in_chans", "image_size")


@dataclasses.dataclass(frozen=True)
class NetSubject:
    """A net under check."""

    entry: Entry
    options: Mapping[str, Any]  # the caller's, in every check
    shapes: tuple[Shape, ...]  # of images that are tried

    def make(self, shape: Shape | None = None, classes: int = K, seed: int = 0) -> nn.Module:
        """A fresh net in training mode, from the seed.

        For the first of the shapes that it takes, unless said otherwise.
        """
        channels, *size = shape or self.shape
        seed_global(mix(seed, "net"))
        net = self.entry.target(classes, channels, tuple(size), **{**self.entry.fixed, **self.options})
        if not isinstance(net, nn.Module):
            fail(f"it is a {type(net).__name__}; a net is a torch.nn.Module")
        return net.train()

    @functools.cached_property
    def taken(self) -> tuple[Shape, ...]:
        """The shapes that the constructor does not refuse with an InputError."""
        refusals, taken = {}, []
        for shape in self.shapes:
            try:
                self.make(shape)
            except InputError as error:
                refusals[shape] = error
            except CheckFailed:
                raise
            except Exception as error:
                raise CheckFailed(f"for images of shape {shape} the constructor raised {described(error)}") from error
            else:
                taken.append(shape)
        if not taken:
            said = "; ".join(f"{shape}: {error}" for shape, error in refusals.items())
            fail(f"it takes none of the image shapes that were tried ({said}); name one: check_net(..., shapes=[(3, 96, 96)])")
        return tuple(taken)

    @property
    def shape(self) -> Shape:
        """The first shape that is taken."""
        return self.taken[0]

    def images(self, n: int = B, seed: int = 0, shape: Shape | None = None) -> Tensor:
        """Images (n, C, H, W) as a net gets them: normalised, channels last in memory."""
        made = torch.randn(n, *(shape or self.shape), generator=torch.Generator().manual_seed(mix("images", seed)))
        return made.contiguous(memory_format=torch.channels_last)


def update(net: nn.Module, images: Tensor, labels: Tensor, lr: float = 0.1) -> None:
    """One step of plain SGD on the labels."""
    net.zero_grad()
    F.cross_entropy(net(images).float(), labels).backward()
    with torch.no_grad():
        for p in net.parameters():
            if p.grad is not None:
                p -= lr * p.grad.clamp(-1, 1)


def trained(subject: NetSubject, steps: int = 3) -> nn.Module:
    """A net after some steps: running statistics are not the initial ones, nor is a last layer that began at zero."""
    net = subject.make()
    seed_global(mix("training"))
    for step in range(steps):
        update(net, subject.images(seed=step), torch.arange(B) % K)
    return net


def builds(subject: NetSubject) -> None:
    """It is built from classes, channels and image size, and is an nn.Module with something to train."""
    parameters = list(inspect.signature(subject.entry.target).parameters)
    if parameters[:3] != list(ARGUMENTS):
        fail(f"its first parameters are {', '.join(parameters[:3])}; they are `num_classes, in_chans, image_size`, as in timm")
    net = subject.make()
    if not any(p.requires_grad for p in net.parameters()):
        fail("it has no parameter that requires a gradient, so there is nothing to train")


def options(subject: NetSubject) -> None:
    """Every option is keyword-only, has a default and a type, and is documented under `Args:`."""
    declared_options(subject.entry, ARGUMENTS)


def misspelt_option(subject: NetSubject) -> None:
    """A misspelt option raises a TypeError that names it; by the registered name, also the near miss."""
    channels, *size = subject.shape
    refuses_misspelt(subject.entry, (K, channels, tuple(size)))


def logits(subject: NetSubject) -> None:
    """Logits (n, K), finite, for other numbers of classes and images and every image shape that it takes."""
    for shape in subject.taken:
        for classes in CLASSES:
            net = subject.make(shape, classes)
            for n, training in ((B, True), (3, False), (1, False)):
                net.train(training)
                try:
                    with torch.no_grad():
                        out = net(subject.images(n, shape=shape))
                except Exception as error:
                    raise CheckFailed(
                        f"on {n} images of shape {shape}: {described(error)}. If it cannot take such images, let its constructor "
                        "say so with an ssl_zoo.InputError, or check it with others: shapes=[(3, 96, 96)]"
                    ) from error
                _is_logits(out, n, classes, shape)


def _is_logits(out: Any, n: int, classes: int, shape: Shape) -> None:
    if not isinstance(out, Tensor) or out.shape != (n, classes):
        shown = tuple(out.shape) if isinstance(out, Tensor) else f"a {type(out).__name__}"
        squeezed = "; was it squeezed?" if n == 1 and isinstance(out, Tensor) and out.shape == (classes,) else ""
        fail(
            f"it gives {shown} for {n} images of shape {shape} and {classes} classes; it gives logits ({n}, {classes}){squeezed}"
        )
    if not out.is_floating_point() or not bool(out.isfinite().all()):
        fail(f"the logits of images of shape {shape} are not finite floating-point numbers")
    if bool((out >= 0).all()) and close(out.sum(1), torch.ones(n)):
        fail("it gives probabilities; it gives logits, and the loss makes them probabilities")
    if n > 1 and bool((out <= 0).all()) and bool((out.logsumexp(1).abs() < 1e-5).all()):
        fail("it gives logarithms of probabilities; it gives logits, and the loss normalises them")


def head(subject: NetSubject) -> None:
    """As in timm, forward(x) = forward_head(forward_features(x)), whose pre_logits are (n, num_features)."""
    net = trained(subject).eval()
    for name in ("forward_features", "forward_head"):
        if not callable(getattr(net, name, None)):
            fail(f"it has no `{name}`; methods with a head of their own stand on it: see ssl_zoo/nets/base.py")
    width = getattr(net, "head_hidden_size", None) or getattr(net, "num_features", None)
    if not isinstance(width, int):
        fail("it has no `num_features`: the number of features that its last layer gets")
    x = subject.images()
    with torch.no_grad():
        features = net.forward_features(x)
        if not close(net.forward_head(features), net(x)):
            fail("`forward_head(forward_features(x))` is not `forward(x)`, as it is in timm")
        hidden = net.forward_head(features, pre_logits=True)
    if hidden.shape != (B, width):
        name = "head_hidden_size" if getattr(net, "head_hidden_size", None) else "num_features"
        fail(f"`forward_head(..., pre_logits=True)` gives {tuple(hidden.shape)} for {B} images, but `{name}` is {width}")
    if width == K and torch.equal(hidden, net(x)):
        fail("`forward_head(..., pre_logits=True)` gives the logits; it gives what the last layer gets")


def gradients(subject: NetSubject) -> None:
    """Every parameter that requires a gradient gets one within some steps, also through two forward passes at once."""
    net = subject.make()
    touched: set[str] = set()
    trap = "two forward passes and then backward, as in most methods: does `forward` write into something that backward needs?"
    for step in range(3):  # a last layer that begins at zero lets nothing through in the first
        net.zero_grad()
        with explained(trap, RuntimeError):
            first = net(subject.images(seed=step))
            with frozen_stats(net):
                second = net(subject.images(seed=step + 10))
            (F.cross_entropy(first, torch.arange(B) % K) + second.square().mean()).backward()
        touched |= {name for name, p in net.named_parameters() if p.grad is not None and bool(p.grad.any())}
        update(net, subject.images(seed=step), torch.arange(B) % K)
    without = [name for name, p in net.named_parameters() if p.requires_grad and name not in touched]
    if without:
        fail(f"no gradient reaches {', '.join(without[:5])} in three steps; is it used in `forward`, or is something detached?")


def parameters_from_start(subject: NetSubject) -> None:
    """Every parameter and buffer is there, with its shape, before the first image: no lazy layers."""
    net = subject.make()
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            fail(
                f"{name} has no shape before the first image; use a layer that is not lazy, since a method copies the net before"
            )
    before = {name: id(p) for name, p in net.named_parameters()}
    net(subject.images())
    after = {name: id(p) for name, p in net.named_parameters()}
    made = [name for name, of in after.items() if before.get(name) != of]
    if made:
        fail(f"`forward` makes the parameter {made[0]}, which the optimiser never sees; make it in the constructor")
