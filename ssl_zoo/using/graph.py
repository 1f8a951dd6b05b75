"""A trained net as one graph of tensor operations, made by torch.export: with the preparation of images, or without."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config

from ssl_zoo.data.normalisation import Normalisation, Whitening
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.registry import is_ours
from ssl_zoo.runs.layers import cannot_take
from ssl_zoo.runs.trained import Trained

ROWS = 3  # of the example that is traced; any other number will do afterwards
ROOM = ("height", "width")


class Graph(nn.Module):
    """What is exported: images to numbers, one row for each image.

    Args:
        net: In evaluation mode.
    """

    output: str  # name of what comes out
    axes: tuple[str, ...]  # of what goes in
    dtype: torch.dtype

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def shape(self, rows: int, height: int, width: int, channels: int) -> tuple[int, ...]:
        """Return the shape of so many images of a size."""
        sizes = {"n": rows, "height": height, "width": width, "channels": channels}
        return tuple(sizes[axis] for axis in self.axes)


class Logits(Graph):
    """Images (n, C, H, W) float32, normalised -> logits (n, K)."""

    output, axes, dtype = "logits", ("n", "channels", *ROOM), torch.float32

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class Probabilities(Graph):
    """Images (n, H, W, C) uint8 -> class probabilities (n, K), as `Trained.predict_proba` gives them.

    Args:
        net: In evaluation mode.
        normalisation: Of the run.
        temperature: What logits are divided by.
    """

    output, axes, dtype = "probabilities", ("n", *ROOM, "channels"), torch.uint8

    def __init__(self, net: nn.Module, normalisation: Normalisation, temperature: float):
        super().__init__(net)
        self.kind, self.temperature = normalisation.kind, temperature
        parts = {"shift": normalisation.shift, "scale": normalisation.scale, **normalisation.tensors()}
        for name, part in parts.items():
            self.register_buffer(name, part)

    def forward(self, images: Tensor) -> Tensor:
        inputs = self._prepared(images).permute(0, 3, 1, 2)
        inputs = inputs.clone(memory_format=torch.contiguous_format)  # as permuted, a program of any size refuses one image
        return (self.net(inputs) / self.temperature).softmax(dim=1)

    def _prepared(self, images: Tensor) -> Tensor:
        """As `Normalisation.apply`: (n, H, W, C) uint8 -> float32."""
        if self.kind == "zca":
            return Whitening(self.mean, self.matrix)(images)
        if self.kind != "image":
            return (images.float() / 255 - self.shift) / self.scale
        # `per_image`, whose least deviation is a number of Python: a graph for any size would keep that of its example
        values = images.flatten(1).double()  # (n, D)
        values = values - values.mean(dim=1, keepdim=True)
        squares = values.square().sum(dim=1, keepdim=True).clamp(min=1)
        return (values / (squares / values.shape[1]).sqrt()).float().view(images.shape)


def graph_of(trained: Trained, with_preprocessing: bool) -> Graph:
    """Return what is exported of a net.

    Args:
        trained: On the CPU.
        with_preprocessing: Whether normalisation and softmax belong to it.
    """
    net = trained.net.to(memory_format=torch.contiguous_format)
    graph = Probabilities(net, trained.normalisation, trained.temperature) if with_preprocessing else Logits(net)
    return graph.eval().requires_grad_(False)


def trace(graph: Graph, trained: Trained, dynamic_size: bool) -> ExportedProgram:
    """Return the program of a graph, for any number of images.

    Args:
        graph: Of the net.
        trained: The net.
        dynamic_size: Whether height and width may be any, too.

    Raises:
        InputError: torch cannot make one.
    """
    sizes: dict[int, Any] = {0: Dim("n", min=1)}
    if dynamic_size:
        sizes |= {place: Dim.DYNAMIC for place, axis in enumerate(graph.axes) if axis in ROOM}
    example = torch.zeros(graph.shape(ROWS, *trained.image_size, _channels(trained)), dtype=graph.dtype)  # the file may keep it
    one_is_nothing_special = _config.patch(backed_size_oblivious=dynamic_size)  # as a deep map of one row is otherwise
    try:
        with warnings.catch_warnings(), torch.no_grad(), one_is_nothing_special:
            warnings.simplefilter("ignore")  # of torch, about its own parts
            program = torch.export.export(graph, (example,), dynamic_shapes=(sizes,), strict=False)
    except Exception as error:  # whatever a net does that is no graph
        if is_ours(error):
            raise
        name = trained.about["net"]["name"]
        if dynamic_size:
            raise InputError(f"{name} cannot be exported for any size ({said(error)}); leave out `dynamic_size=True`") from error
        raise InputError(
            f"{name} cannot be exported ({said(error)}); mend the net, which must not branch on values, or copy its weights with "
            "`format=safetensors`"
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return program


def said(error: Exception) -> str:
    """Return what an error of a library says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {one_line(lines[0])[:300]}" if lines else type(error).__name__


def other_sizes(trained: Trained) -> list[tuple[int, int]]:
    """Return heights and widths that a net of any size is to be tried with, beside its own.

    Args:
        trained: On the CPU.

    Raises:
        InputError: It takes its own size alone.
    """
    height, width = trained.image_size
    sizes = [(height + 3, width + 8), (2 * height, width)]
    for size in sizes:
        try:
            with torch.no_grad():
                trained.net(torch.zeros(1, _channels(trained), *size))
        except Exception as error:  # whatever a net does with a size that is not its own
            name = trained.about["net"]["name"]
            why = cannot_take(name, (*size, _channels(trained)), error)
            raise InputError(f"{str(why).rpartition(';')[0]}, only {height}x{width}; leave out `dynamic_size=True`") from error
    return sizes


def _channels(trained: Trained) -> int:
    return trained.about["net"]["channels"]
