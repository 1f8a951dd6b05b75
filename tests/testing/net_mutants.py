"""Nets with one fault each, and the check that must find it. `PlainNet` is right; some, to be short, hide their options too."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ssl_zoo import InputError


class PlainNet(nn.Module):
    """A convolution, a batch norm, dropout, a linear layer.

    Args:
        width: Channels.
    """

    def __init__(self, num_classes: int, in_chans: int, image_size: tuple[int, int], *, width: int = 6):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(in_chans, width, 3, padding=1), nn.BatchNorm2d(width), nn.Dropout(0.2)
        self.head, self.num_features = nn.Linear(width, num_classes), width

    def forward(self, x):
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x):
        return self.norm(self.conv(x)).relu()

    def forward_head(self, f, pre_logits=False):
        pooled = self.drop(f.mean(dim=(2, 3)))
        return pooled if pre_logits else self.head(pooled)


class StartsAtZero(PlainNet):
    """Right: the last layer lets nothing through in the first step.

    Args:
        width: Channels.
    """

    def __init__(self, num_classes: int, in_chans: int, image_size: tuple[int, int], *, width: int = 6):
        super().__init__(num_classes, in_chans, image_size, width=width)
        nn.init.zeros_(self.head.weight)


class Choosy(PlainNet):
    """Right: small images are refused."""

    def __init__(self, num_classes, in_chans, image_size, *, width: int = 6):
        if min(image_size) < 20:
            raise InputError("give 20x20 or more")
        super().__init__(num_classes, in_chans, image_size, width=width)


def function(num_classes: int, in_chans: int, image_size: tuple[int, int], *, width: int = 6) -> nn.Module:
    """Right: a function that makes a net.

    Args:
        width: Channels.
    """
    return PlainNet(num_classes, in_chans, image_size, width=width)


def no_module(num_classes, in_chans, image_size):
    """A function that forgets to return."""


class OtherOrder(PlainNet):
    """Takes its arguments in an order of its own."""

    def __init__(self, in_chans, num_classes, image_size):
        super().__init__(num_classes, in_chans, image_size)


class Positional(PlainNet):
    """An option by position."""

    def __init__(self, num_classes, in_chans, image_size, width: int = 6):
        super().__init__(num_classes, in_chans, image_size, width=width)


class Undocumented(PlainNet):
    """An option without a word."""


class NoType(PlainNet):
    """An option without a type.

    Args:
        width: Channels.
    """

    def __init__(self, num_classes, in_chans, image_size, *, width=6):
        super().__init__(num_classes, in_chans, image_size, width=width)


class Swallows(PlainNet):
    """Takes any option.

    Args:
        width: Channels.
    """

    def __init__(self, num_classes, in_chans, image_size, *, width: int = 6, **rest):
        super().__init__(num_classes, in_chans, image_size, width=width)


class OneTooMany(PlainNet):
    """A class for the background."""

    def __init__(self, num_classes, in_chans, image_size, *, width: int = 6):
        super().__init__(num_classes + 1, in_chans, image_size, width=width)


class Squeezed(PlainNet):
    """One image loses its axis."""

    def forward(self, x):
        return super().forward(x).squeeze()


class Softmaxed(PlainNet):
    """Ends in a softmax."""

    def forward_head(self, f, pre_logits=False):
        out = super().forward_head(f, pre_logits)
        return out if pre_logits else out.softmax(dim=1)


class LogSoftmaxed(PlainNet):
    """Ends in a log-softmax."""

    def forward_head(self, f, pre_logits=False):
        out = super().forward_head(f, pre_logits)
        return out if pre_logits else out.log_softmax(dim=1)


class FixedSize(PlainNet):
    """Takes one image size, and says so nowhere."""

    def __init__(self, num_classes, in_chans, image_size, *, width: int = 6):
        super().__init__(num_classes, in_chans, image_size, width=width)
        self.place = nn.Parameter(torch.randn(1, width, 16, 16))

    def forward_features(self, x):
        return super().forward_features(x) + self.place


class Infinite(PlainNet):
    """Divides by a mean that may be zero."""

    def forward_head(self, f, pre_logits=False):
        out = super().forward_head(f, pre_logits)
        return out if pre_logits else out / out.detach().mul(0)


class NoFeatures(PlainNet):
    """Has no features of that name."""

    forward_features = None

    def forward(self, x):
        return self.forward_head(PlainNet.forward_features(self, x))


class OtherWidth(PlainNet):
    """Says another width."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.num_features = 2 * self.num_features


class OnTop(PlainNet):
    """Does more in `forward` than the two halves do."""

    def forward(self, x):
        return 2 * super().forward(x)


class Lazy(PlainNet):
    """A layer that waits for the first image."""

    def __init__(self, num_classes, in_chans, image_size, *, width: int = 6):
        super().__init__(num_classes, in_chans, image_size, width=width)
        self.conv = nn.LazyConv2d(width, 3, padding=1)


class MadeLate(PlainNet):
    """A layer that is made in `forward`."""

    def forward_features(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Conv2d(self.num_features, self.num_features, 1)
        return self.late(super().forward_features(x))


class Detached(PlainNet):
    """No gradient below the head."""

    def forward_features(self, x):
        return super().forward_features(x).detach()


class Unused(PlainNet):
    """A layer that nothing uses."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.extra = nn.Linear(3, 3)


class WritesIntoTheGraph(PlainNet):
    """A buffer that backward needs is written in the next pass."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("scale", torch.ones(()))

    def forward_features(self, x):
        self.scale.add_(0.1)
        return super().forward_features(x) * self.scale


class NumpyWeights(PlainNet):
    """Draws weights with numpy."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.head.weight.data = torch.from_numpy(np.random.randn(*self.head.weight.shape)).float()


class OneStart(PlainNet):
    """Seeds its own start."""

    def __init__(self, *arguments, **options):
        torch.manual_seed(0)
        super().__init__(*arguments, **options)


class KeepsTheGraph(PlainNet):
    """Keeps the last features."""

    def forward_features(self, x):
        self.last = super().forward_features(x)
        return self.last


class Captured(PlainNet):
    """A function that holds the first net, not the copy."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.apply_head = lambda pooled: self.head(pooled)

    def forward_head(self, f, pre_logits=False):
        pooled = self.drop(f.mean(dim=(2, 3)))
        return pooled if pre_logits else self.apply_head(pooled)


class AlwaysDrops(PlainNet):
    """Dropout that does not ask for the mode."""

    def forward_features(self, x):
        return F.dropout(super().forward_features(x), 0.3)


class BatchAtTest(PlainNet):
    """Normalises by the batch when it is scored."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.norm = nn.BatchNorm2d(self.num_features, track_running_stats=False)


class CountsInEvaluation(PlainNet):
    """Counts the images that it has seen."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward_features(self, x):
        if not self.training:
            self.seen += len(x)
        return super().forward_features(x)


class OwnNorm(nn.Module):
    """Subtracts a running mean that nothing can hold still."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(1, width, 1, 1))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(dim=(0, 2, 3), keepdim=True)
        return x - self.running_mean


class NotHeldStill(PlainNet):
    """Statistics that move in every pass."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.norm = OwnNorm(self.num_features)


class CountsAside(PlainNet):
    """A counter that no checkpoint holds."""

    passes = 0

    def forward_features(self, x):
        if not torch.compiler.is_compiling():
            self.passes += 1
        return super().forward_features(x)


class OwnNoise(PlainNet):
    """Noise from a generator of its own."""

    def forward_features(self, x):
        if self.training:
            x = x + torch.from_numpy(np.random.randn(*x.shape)).float()
        return super().forward_features(x)


class PlainList(PlainNet):
    """A layer in a list."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.layers = [nn.Conv2d(self.num_features, self.num_features, 1)]

    def forward_features(self, x):
        return self.layers[0](super().forward_features(x))


class Viewed(PlainNet):
    """Relies on one memory layout."""

    def forward_features(self, x):
        f = self.conv(x)
        return self.norm(f.view(len(f), -1).view(f.shape)).relu()


class MixesTypes(PlainNet):
    """Writes what autocast made bf16 into a tensor of float32."""

    def forward_features(self, x):
        f = self.conv(x)
        collected = torch.zeros(f.shape, device=f.device)
        collected[torch.arange(len(f), device=f.device)] = f
        return self.norm(collected).relu()


class Half(PlainNet):
    """Sums of squares in half precision, where autocast is on."""

    def forward_features(self, x):
        f = super().forward_features(x)
        if torch.is_autocast_enabled("cpu"):
            return (f * 3000 - 2999 * f).bfloat16() * 3
        return f


class OnTheHost(PlainNet):
    """A tensor that stays where it was made."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.scale = torch.rand(self.num_features, 1, 1) + 1

    def forward_features(self, x):
        return super().forward_features(x) * self.scale


class ReadsBack(PlainNet):
    """Branches on a value."""

    def forward_features(self, x):
        f = super().forward_features(x)
        return f / f.max() if f.max() > 1e6 else f


class KnowsExport(PlainNet):
    """Does something else when it is exported."""

    def forward_head(self, f, pre_logits=False):
        out = super().forward_head(f, pre_logits)
        return out + 1 if torch.compiler.is_exporting() and not pre_logits else out


class KnowsCompile(PlainNet):
    """Does something else when it is compiled."""

    def forward_head(self, f, pre_logits=False):
        out = super().forward_head(f, pre_logits)
        return out + 1 if torch.compiler.is_compiling() and not torch.compiler.is_exporting() and not pre_logits else out


class TurnsLayout(PlainNet):
    """Asks for the memory layout."""

    def forward_features(self, x):
        f = super().forward_features(x)
        return f if x.is_contiguous() else f.flip(1)


def _frozen(num_classes, in_chans, image_size):
    """A net of which nothing is trained."""
    return copy.deepcopy(PlainNet(num_classes, in_chans, image_size)).requires_grad_(False)


RIGHT = (PlainNet, StartsAtZero, function)
MUTANTS = [
    (no_module, "builds", "it is a NoneType; a net is a torch.nn.Module"),
    (OtherOrder, "builds", "its first parameters are in_chans, num_classes, image_size; they are `num_classes, in_chans"),
    (_frozen, "builds", "it has no parameter that requires a gradient"),
    (Positional, "options", "it takes num_classes, in_chans, image_size, width by position; it takes `num_classes, in_chans"),
    (Undocumented, "options", "the option 'width' is not documented"),
    (NoType, "options", "the option 'width' has no type"),
    (Swallows, "options", "it takes *arguments or **options"),
    (Swallows, "misspelt_option", "the misspelt option 'width_h' is accepted"),
    (OneTooMany, "logits", "it gives (4, 6) for 4 images of shape (3, 16, 16) and 5 classes; it gives logits (4, 5)"),
    (
        Squeezed,
        "logits",
        "it gives (5,) for 1 images of shape (3, 16, 16) and 5 classes; it gives logits (1, 5); was it squeezed?",
    ),
    (Softmaxed, "logits", "it gives probabilities"),
    (LogSoftmaxed, "logits", "it gives logarithms of probabilities"),
    (FixedSize, "logits", "on 4 images of shape (1, 8, 8): RuntimeError"),
    (Infinite, "logits", "are not finite"),
    (NoFeatures, "head", "it has no `forward_features`"),
    (OtherWidth, "head", "gives (4, 6) for 4 images, but `num_features` is 12"),
    (OnTop, "head", "`forward_head(forward_features(x))` is not `forward(x)`"),
    (Lazy, "parameters_from_start", "conv.weight has no shape before the first image"),
    (MadeLate, "parameters_from_start", "`forward` makes the parameter late.weight, which the optimiser never sees"),
    (Detached, "gradients", "no gradient reaches conv.weight, conv.bias, norm.weight"),
    (Unused, "gradients", "no gradient reaches extra.weight, extra.bias in three steps"),
    (WritesIntoTheGraph, "gradients", "does `forward` write into something that backward needs?"),
    (NumpyWeights, "seed", "head.weight differs between two nets of one seed"),
    (OneStart, "seed", "two seeds give the same initial weights"),
    (KeepsTheGraph, "copies", "copy.deepcopy cannot copy it after a step; does it keep a tensor of the graph?"),
    (Captured, "copies", "a copy changes with the net"),
    (AlwaysDrops, "evaluation", "in eval mode it draws random numbers"),
    (BatchAtTest, "evaluation", "in eval mode an image's logits depend on the batch it sits in"),
    (CountsInEvaluation, "evaluation", "in eval mode a forward pass changes seen"),
    (NotHeldStill, "training", "changes norm.running_mean though ssl_zoo.ema.frozen_stats holds running statistics still"),
    (WritesIntoTheGraph, "training", "a pass in training mode changes scale"),
    (CountsAside, "training", "a pass changes self.passes, which no checkpoint holds"),
    (OwnNoise, "draws", "in training mode the same seed gives other logits"),
    (PlainList, "state_dict", "a fresh net that loads the state_dict of a trained one gives other logits; is a layer in a plain"),
    (Viewed, "channels_last", "are not taken; use reshape or flatten in place of view"),
    (TurnsLayout, "channels_last", "does it rely on strides?"),
    (Half, "bf16", "under bf16 autocast the logits are others"),
    (MixesTypes, "bf16", "it does not run under bf16 autocast; does it mix types by hand?"),
    (OnTheHost, "device", "on another device a pass fails: is a tensor a plain attribute (use register_buffer)"),
    (ReadsBack, "device", "or read back by .item(), float() or a Python `if`?"),
    (ReadsBack, "graph", "it does not trace as one graph"),
    (KnowsCompile, "graph", "compiled, it gives other logits"),
    (KnowsExport, "export", "what torch.export makes of it gives other logits"),
]
