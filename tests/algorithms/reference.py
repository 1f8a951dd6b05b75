"""What the transcriptions of the modern methods share: numpy in fp64, and a driver that holds a method to one over several steps.

A transcription is a subclass of `Paper` with nothing of `ssl_zoo` in it. It says what is believed (targets, weights, thresholds:
constants) and what the loss is; the gradient of the loss is taken by complex steps, which are exact to rounding: f(w + ih) / h.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl_zoo import ALGORITHMS, Batch, Facts

CLASSES, ROWS, B, U, D, LR, STEPS = 3, 9, 4, 5, 6, 0.5, 6
LABELED = np.array([0, 2, 4, 6])  # rows
LABELS = np.array([0, 1, 2, 0])  # their classes


def softmax(z):
    """(n, K) probabilities; of complex numbers too."""
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z):
    """(n, K) logarithms of probabilities."""
    z = z - z.real.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def one_hot(labels):
    """(n, K) of classes."""
    return np.eye(CLASSES)[labels]


def cross_entropies(z, q):
    """(n,) of logits against probabilities q."""
    return -(q * log_softmax(z)).sum(axis=1)


def norm(v):
    """Each row over its sum."""
    return v / v.sum(axis=-1, keepdims=True)


class Paper:
    """One method, transcribed. `w` holds the student's parameters by name; `step` moves them by plain gradient descent."""

    def __init__(self, w: Mapping[str, np.ndarray], **switches: Any):
        self.w = {name: value.copy() for name, value in w.items()}
        self.switches = switches
        self.start()

    def start(self):
        """Set the state that is kept beside the net."""

    def logits(self, x, w=None):
        """(n, K) of images (n, D), by the parameters at hand."""
        w = self.w if w is None else w
        return x @ w["weight"].T + w["bias"]

    def believed(self, batch) -> Any:
        """Return what is constant in the loss: targets, weights, thresholds. `self.w` is real here."""

    def loss(self, w, batch, believed):
        """Return the loss with parameters `w`, which may be complex."""
        raise NotImplementedError

    def after(self, batch, believed):
        """Move the state, after the step."""

    def state(self) -> dict[str, np.ndarray]:
        """Return the state by the names of the method's buffers."""
        return {}

    def supervised(self, z, batch):
        """Mean cross-entropy of the labelled images, each times the weight of its class."""
        weight = np.array(self.switches.get("class_weights", [1.0] * CLASSES))[batch.y]
        return (weight * cross_entropies(z, one_hot(batch.y))).mean()

    def step(self, batch) -> float:
        """One step; returns the loss before it."""
        believed = self.believed(batch)
        h, gradient = 1e-30, {}
        for name, value in self.w.items():
            gradient[name] = np.zeros_like(value)
            for place in np.ndindex(value.shape):
                moved = {other: v.astype(complex) for other, v in self.w.items()}
                moved[name][place] += 1j * h
                gradient[name][place] = self.loss(moved, batch, believed).imag / h
        value = float(np.real(self.loss(self.w, batch, believed)))
        self.w = {name: v - LR * gradient[name] for name, v in self.w.items()}
        self.after(batch, believed)
        return value


class LinearNet(nn.Module):
    """Logits W x + b, with timm's convention: the image itself is what the last layer gets."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(D, CLASSES)
        self.num_features = D

    def forward(self, x):
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x):
        return x

    def forward_head(self, f, pre_logits=False):
        return f.flatten(1) if pre_logits else self.head(f.flatten(1))


def facts_of(class_weights=None) -> Facts:
    """The facts of every transcription: some rows are labelled, and one is not in the unlabelled stream."""
    weights = None if class_weights is None else torch.tensor(class_weights)
    return Facts(CLASSES, ROWS, torch.from_numpy(LABELED), torch.from_numpy(LABELS), torch.arange(ROWS - 1), weights)


def image(pixels):
    """(n, D) as images (n, D, 1, 1)."""
    return torch.from_numpy(pixels).view(-1, D, 1, 1)


def follow(
    name: str,
    paper: type[Paper],
    options: Mapping[str, Any],
    *,
    spread: float = 1.0,
    parameters: Mapping[str, str] | None = None,
    each: Callable[[Any, Any, int], None] | None = None,
    **switches: Any,
) -> tuple[Any, Paper]:
    """Hold a method to its transcription: loss, weights and state, over some steps in fp64, to 1e-6.

    Args:
        name: Registered.
        paper: The transcription.
        options: Of the method.
        spread: Standard deviation of the net's weights; larger for predictions that are surer.
        parameters: Of the method's parameters beside the net's, by their name in `w` their name in the method.
        each: Called with batch (numpy), method and step before each step: to hand random draws to both sides.
        switches: Of the transcription.

    Returns:
        The method and the transcription after the last step.
    """
    draw = np.random.default_rng(0)
    torch.manual_seed(0)
    method = ALGORITHMS.create(name, net=LinearNet(), facts=facts_of(switches.get("class_weights")), **options).double()
    places = {"weight": "net.head.weight", "bias": "net.head.bias", **(parameters or {})}
    own = dict(method.named_parameters())
    w = {key: draw.normal(size=own[place].shape) * (spread if key in ("weight", "bias") else 1) for key, place in places.items()}
    with torch.no_grad():
        for key, place in places.items():
            own[place].copy_(torch.from_numpy(w[key]))
    wanted = paper(w, **switches)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], LR)
    for step in range(STEPS):
        place = draw.permutation(len(LABELED))[:B]
        batch = SimpleNamespace(
            x=draw.normal(size=(B, D)),
            y=LABELS[place],
            x_index=LABELED[place],
            u=[draw.normal(size=(U, D)) for _ in method.views],
            u_index=draw.permutation(ROWS - 1)[:U],
            x_more=[draw.normal(size=(B, D)) for _ in method.labeled_views[1:]],
            progress=step / STEPS,
        )
        given = Batch(
            image(batch.x),
            torch.from_numpy(batch.y),
            torch.from_numpy(batch.x_index),
            tuple(map(image, batch.u)),
            torch.from_numpy(batch.u_index),
            tuple(map(image, batch.x_more)),
        )
        if each is not None:
            each(batch, method, step)
        loss = wanted.step(batch)
        progress = torch.tensor(batch.progress, dtype=torch.float64)
        out = method.loss(given, progress)
        optimizer.zero_grad()
        out.total.backward()
        optimizer.step()
        with torch.no_grad():
            method.after_step(out.seen, progress)
        assert out.total.dtype == torch.float64
        np.testing.assert_allclose(out.total.item(), loss, rtol=1e-6)
        for key, place in places.items():
            np.testing.assert_allclose(own[place].detach().numpy(), wanted.w[key], rtol=1e-6, atol=1e-7, err_msg=key)
        buffers = dict(method.named_buffers())
        for key, value in wanted.state().items():
            np.testing.assert_allclose(buffers[key].numpy(), value, rtol=1e-6, atol=1e-7, err_msg=key)
    return method, wanted
