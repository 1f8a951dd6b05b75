"""From the parameters of an estimator to the settings of its run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ssl_zoo import api
from ssl_zoo.data.arrays import NAME
from ssl_zoo.errors import InputError
from ssl_zoo.settings import RunSettings

SMALL, LARGE = 16, 64  # pixels of a side: up to the one the smallest net, from the other one that is pretrained
STEPS = 600  # of images, unless something says otherwise
AUTO = "auto"
LENGTHS = ("steps", "epochs", "minutes")
PARAMETERS = {"alg": "method", "net": "net", "steps": "steps", "minutes": "minutes", "seed": "random_state", "device": "device"}
OF_DATA = (
    *("dataset", "datasets", "data_root", "labels", "draw", "imbalance", "split_seed", "split_file", "test_fraction"),
    *("unlabeled_classes", "folds", "fold"),
)


def settings_of(
    parameters: Mapping[str, Any], shape: tuple[int, ...], features: bool, size: tuple[int, int] | None
) -> RunSettings:
    """Return the settings of a run, all checked.

    Args:
        parameters: Of the estimator.
        shape: (H, W, C) of the images.
        features: Whether these are rows of features.
        size: To which files were resized, or None.

    Raises:
        InputError: A parameter or setting that is unknown, given twice, or of the wrong type; it names the near miss.
    """
    more = _checked(parameters["settings"])
    named = parameters["recipe"]
    own = named is None or named == AUTO
    recipe, net = _by_size(shape, features) if own else (named, None)
    values: dict[str, Any] = {"alg": parameters["method"], "seed": seed_of(parameters["random_state"])}
    values |= {"device": parameters["device"], "labels": "all", "dataset": NAME}
    if parameters["net"] != AUTO or net is not None:
        values["net"] = net if parameters["net"] == AUTO else parameters["net"]
    values |= {name: parameters[name] for name in ("steps", "minutes") if parameters[name] is not None}
    if own and not features and not any(name in {*values, *more} for name in LENGTHS):
        values["steps"] = STEPS
    names = [recipe] if isinstance(recipe, str) or not isinstance(recipe, list | tuple) else recipe
    values[f"datasets.{NAME}.image_size"] = None if size is None else list(size)
    return api.recipe(*names, **values, **more)


def _by_size(shape: tuple[int, ...], features: bool) -> tuple[str, str]:
    """Recipe and net for such images."""
    height, width, channels = shape
    if features:
        return "features", "mlp"
    if min(height, width) >= LARGE and channels == 3:
        return "photos", "torchvision:mobilenet_v3_small"
    return "digits", "smallnet" if max(height, width) <= SMALL else "wrn28_2"


def _checked(settings: Any) -> dict[str, Any]:
    """Further settings, of which none is a parameter."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise InputError(f"settings = {settings!r:.100} is no mapping of settings; give some as {{'optimizer.lr': 0.01}}")
    for key in settings:
        if key in PARAMETERS:
            raise InputError(f"`settings` has '{key}', which is the parameter `{PARAMETERS[key]}`; give it there")
        if key.partition(".")[0] in OF_DATA:
            raise InputError(f"`settings` has '{key}', which X and y say here; leave it out")
    return dict(settings)


def seed_of(random_state: Any) -> int:
    """Return the seed of a run: a number itself, or one that a generator draws, or numpy's own for None."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
