"""A trained net that is used: `load` needs one file, no training set, no recipe, and not the source that made it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl_zoo.data.arrays import as_pixels
from ssl_zoo.data.decode import read_image
from ssl_zoo.data.image import decode
from ssl_zoo.data.normalisation import Normalisation
from ssl_zoo.device import autocast, pick_device, pick_precision
from ssl_zoo.errors import InputError, one_of
from ssl_zoo.heads import Features, Neighbours
from ssl_zoo.registry import NETS
from ssl_zoo.runs.layers import settle_precision
from ssl_zoo.runs.model import About, Model, check_state, marks, model_file, read_model
from ssl_zoo.train.evaluate import predict

MODES = {1: "L", 3: "RGB"}  # of image files, by channels


class Trained:
    """A net with all that is needed to ask it.

    Attributes:
        net: Images (n, C, H, W), normalised -> logits (n, K); in eval mode.
        classes: K names, in the order of the logits.
        about: What the file says of itself: the run's row, scores, versions.
        hash: 32 hex digits over all that its predictions depend on.
    """

    def __init__(self, model: Model, net: nn.Module, device: torch.device, precision: str):
        self.net, self.classes, self.about = net, tuple(model.about["classes"]), model.about
        self._normalisation, self._device, self._precision = model.normalisation, device, precision
        self._learnt, self.hash = None if model.learnt is None else model.learnt.numpy(), model.hash

    def __repr__(self) -> str:
        net, row = self.about["net"], self.about["row"]
        size = f"{net['height']} x {net['width']} x {net['channels']}"
        scored = {"held-out": "held-out", "training": "training"}.get(row.get("scored", "test"), "test")
        return (
            f"<{net['name']} trained by {row.get('algorithm')}: images {size}, {len(self.classes)} classes, "
            f"{scored} accuracy {100 * (self.about['scores'].get('accuracy') or 0):.2f} %>"
        )

    @property
    def normalisation(self) -> Normalisation:
        """What is done to images before the net gets them."""
        return self._normalisation

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return self._device

    @property
    def precision(self) -> str:
        """Of the net's numbers: bf16 or fp32."""
        return self._precision

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that it takes."""
        return self.about["net"]["height"], self.about["net"]["width"]

    @property
    def temperature(self) -> float:
        """What logits are divided by: 1 where the net is not calibrated, as `about["calibration"]` says."""
        return self.about["calibration"]["temperature"] if "calibration" in self.about else 1.0

    def predict_proba(self, images: Any, calibrated: bool = True) -> np.ndarray:
        """Return class probabilities.

        Args:
            images: (n, H, W, C), or one (H, W, C), or, of grey images, (n, H, W), uint8 or floats in [0, 1]; or PIL
                images or paths of image files, one or many.
            calibrated: Whether logits are divided by the temperature that was found on held-out images, if any was.

        Returns:
            (n, K) float32; rows sum to 1.

        Raises:
            InputError: They are not such images, or not of the size that the net takes.
        """
        pixels = self._pixels(images)
        if not len(pixels):
            return np.empty((0, len(self.classes)), np.float32)
        return self._pass(self.net, pixels, self.temperature if calibrated else 1.0)

    def features(self, images: Any) -> np.ndarray:
        """Return what the net's last layer gets.

        Args:
            images: As `predict_proba`, at least one.

        Returns:
            (n, D) float32.

        Raises:
            InputError: As `predict_proba`; or the net does not say what its last layer gets.
        """
        return self._pass(Features(self.net), self._pixels(images), None)

    def _pass(self, net: nn.Module, images: np.ndarray, temperature: float | None) -> np.ndarray:
        """What a net gives for images of its size, as `predict` has it."""
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"]))  # torch wants to write
        stored = pixels if self._normalisation.transformation is None else self._normalisation.before(pixels, self._device)
        context = autocast(self._device, self._precision)
        try:
            return predict(net, stored, self._normalisation.plain, self.about["batch"], context, temperature)
        except FloatingPointError as error:
            raise InputError(f"{error}: the file of the net is damaged; copy it again") from error

    @property
    def knows_what_it_learnt(self) -> bool:
        """Whether the file says which images it was trained on with a label."""
        return self._learnt is not None

    def learnt(self, images: np.ndarray) -> np.ndarray | None:
        """Return which images were trained on with a label, (n,) bool, by their pixels; None: the file does not say.

        Args:
            images: (n, H, W, C) uint8, of the size that the net takes.
        """
        return None if self._learnt is None else np.isin(marks(images), self._learnt)

    def check_takes_files(self) -> None:
        """Raise InputError where the net takes images that no file has."""
        channels = self.about["net"]["channels"]
        if channels not in MODES:
            raise InputError(f"the net takes images of {channels} channels, which no image file has; give an array")

    def pixels_of(self, content: bytes) -> np.ndarray:
        """Return the pixels of an image file's content as training had them, (H, W, C) uint8.

        Raises:
            ValueError: It cannot be read, or is not of the size that the net takes where nothing is resized.
        """
        pixels = decode(content, *self._how()).pixels
        if pixels.shape[:2] != self.image_size:
            had, wanted = (f"{height} x {width}" for height, width in (pixels.shape[:2], self.image_size))
            raise ValueError(f"it is {had} and the net takes {wanted} (height x width); resize it")
        return pixels

    def _how(self) -> tuple[tuple[int, int] | None, str, int, str]:
        """Size, mode, depth and interpolation, by which training decoded images."""
        how = self.about["images"]
        size = self.image_size if how["resize"] == "cover" else None
        return size, MODES[self.about["net"]["channels"]], how.get("depth", 16), how.get("interpolation", "bilinear")

    def _pixels(self, images: Any) -> np.ndarray:
        """(n, H, W, C) uint8 of the size that the net takes."""
        channels = self.about["net"]["channels"]
        images = list(images) if isinstance(images, Iterator) else images
        if isinstance(images, np.ndarray) and images.shape == (*self.image_size, channels):
            images = images[None]
        if _is_one(images):
            pixels = self._read([images], channels)
        elif isinstance(images, Sequence) and all(map(_is_one, images[:1])):
            pixels = self._read(images, channels)
        else:
            pixels = as_pixels(images, "images")
        if pixels.shape[1:] != (*self.image_size, channels):
            had, wanted = (" x ".join(map(str, shape)) for shape in (pixels.shape[1:], (*self.image_size, channels)))
            raise InputError(f"the images are {had} and the net takes {wanted} (height x width x channels); resize them")
        return pixels

    def _read(self, images: Iterable[Any], channels: int) -> np.ndarray:
        self.check_takes_files()
        read = [read_image(image, *self._how()) for image in images]
        odd = next((place for place, image in enumerate(read) if image.shape[:2] != self.image_size), None)
        if odd is not None:
            had, wanted = (f"{height} x {width}" for height, width in (read[odd].shape[:2], self.image_size))
            raise InputError(f"image {odd} is {had} and the net takes {wanted} (height x width); resize it")
        return np.stack(read) if read else np.empty((0, *self.image_size, channels), np.uint8)


def _is_one(image: Any) -> bool:
    """Whether it is the path of an image or one of Pillow's."""
    return isinstance(image, str | os.PathLike) or hasattr(image, "convert")


def load(path: str | os.PathLike, device: str = "auto", precision: str = "auto") -> Trained:
    """Return the trained net of a finished run.

    Args:
        path: The run's folder, or its model.safetensors, wherever it was copied.
        device: auto, cpu, cuda or cuda:N.
        precision: bf16 or fp32; auto: that of the run, so that scores come out again, where the device is fast in it.

    Raises:
        InputError: The run is not finished, or diverged; or the file cannot be used.
    """
    file = model_file(path)
    one_of("precision", precision, "auto", "bf16", "fp32")
    model = read_model(file)
    where = pick_device(device)
    used = model.about["row"].get("precision", "fp32") if precision == "auto" else precision
    used = pick_precision(where, "auto") if used == "bf16" and precision == "auto" else used
    net = _net(file, model.about, model).to(where, memory_format=torch.channels_last)
    part = model.about["net"]
    settle_precision(net, part["name"], (part["height"], part["width"], part["channels"]), where, used)  # as the run did
    return Trained(model, net, where, used)


def _net(path: Path, about: About, model: Model) -> nn.Module:
    """The net with its weights, in eval mode."""
    part = about["net"]
    options = {name: False if name == "pretrained" else value for name, value in part["options"].items()}  # to be replaced
    try:
        entry = NETS.resolve(part["name"])
    except InputError as error:
        origin = next((said for said in about.get("plugins", "").split("; ") if said.startswith("net ")), "")
        more = f" ({origin})" if origin else ""
        raise InputError(
            f"{path} is of the net '{part['name']}'{more}, which is not registered; import what registers it first"
        ) from error
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights are replaced
            net = NETS.create(entry.name, len(about["classes"]), part["channels"], (part["height"], part["width"]), **options)
            if "memory" in part:
                net = Neighbours(net, classes=len(about["classes"]), **part["memory"])
        check_state(net, model.state)
        net.load_state_dict(model.state)
    except (RuntimeError, TypeError, ValueError, LookupError) as error:  # other names or shapes, an option that is no more
        first = " ".join(str(error).split())[:300]
        raise InputError(f"the weights in {path} do not fit the net '{entry.name}' of this version ({first})") from error
    return net.eval().requires_grad_(False)
