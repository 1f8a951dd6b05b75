"""Model files as runs leave them, without a run: any net and normalisation, with weights as after training."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.normalisation import prepare
from ssl_zoo.registry import NETS
from ssl_zoo.runs.calibration import uncalibrated
from ssl_zoo.runs.model import NetPart, read_model, write_again, write_model

CLASSES = ("ant", "bee", "cat", "dog", "eel")
STEPS = 10


def images(shape, n=20, seed=0):
    """(n, H, W, C) uint8, noise of five contrasts; one is of one grey, and one nearly so."""
    draw = np.random.default_rng(seed)
    contrast = 0.2 * (1 + np.arange(n) % 5)[:, None, None, None]
    found = (draw.integers(0, 256, (n, *shape)) * contrast).astype(np.uint8)
    found[1] = 90
    found[2], found[2, 0, 0, 0] = 90, 91
    return found


def trained(name, options, inputs, classes):
    """A net after a few steps on these inputs (n, C, H, W): as sure of some as trained ones are, and no chaos."""
    torch.manual_seed(0)
    net = NETS.create(name, len(CLASSES), inputs.shape[1], inputs.shape[2:], **options)
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.momentum = 0.5
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), classes).backward()
        optimizer.step()
    return net.requires_grad_(False)


def model_file(path: Path, net="smallnet", options=None, shape=(16, 16, 3), kind="channel", config=None, temperature=1.0):
    """Write the file, and return its path.

    Args:
        path: Of the file.
        net: Name of a net.
        options: Of it.
        shape: (H, W, C) of its images.
        kind: Of the normalisation, which is fitted on `images`.
        config: Settings of the run that say where its data were; None: nowhere.
        temperature: Of its confidence.
    """
    pixels = images(shape)
    normalisation = prepare(kind, pixels, pixels, torch.device("cpu"))
    labels = np.arange(len(pixels)) % len(CLASSES)
    inputs = normalisation.apply(torch.from_numpy(pixels), torch.device("cpu"))
    made = trained(net, options or {}, inputs, torch.from_numpy(labels))
    data = Dataset("arrays", pixels, labels, pixels, labels, CLASSES)  # of which only the shape and the classes are kept
    settings = {"nets": {net: options or {}}, "evaluation": {"batch": 16}, "dataset": "arrays", "datasets": {"arrays": {}}}
    row = {"net": net, "algorithm": "supervised", "dataset": "arrays", "config": settings}
    calibration = uncalibrated("") | {"temperature": temperature}
    height, width, channels = shape
    part = NetPart(name=net, options=options or {}, channels=channels, height=height, width=width)
    write_model(path, row, part, made.state_dict(), normalisation, data, calibration, np.arange(0))
    if config is not None:
        model = read_model(path)
        model.about["row"]["config"] |= {"data_root": "data", **config}
        model.about["images"]["resize"] = "cover"  # of files
        write_again(path, model)
    return path
