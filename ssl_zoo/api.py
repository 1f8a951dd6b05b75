"""What a program calls: `recipe` for settings, `run` for a row, `load` for a trained net."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_zoo import config, plugins, recipes
from ssl_zoo.errors import InputError
from ssl_zoo.settings import RunSettings

if TYPE_CHECKING:  # a run's and a net's parts are imported when they are asked for
    from ssl_zoo.runs.row import Row
    from ssl_zoo.runs.trained import Trained


def recipe(
    *names: str,
    preset: str | None = None,
    budget: str = recipes.SHORT,
    plugin: str | os.PathLike | Sequence[str | os.PathLike] = (),
    **values: Any,
) -> RunSettings:
    """Return the settings of a run, all checked.

    Args:
        names: Of recipes, such as "digits", or YAML files, each on top of those before it.
        preset: A source's conventions on top, such as "tutorial".
        budget: Of the recipe: short, or full.
        plugin: One, or many, files or modules that register methods, nets, data sets or augmentations.
        values: Settings on top of all: alg="meanteacher", steps=600, **{"optimizer.lr": 0.01}.

    Raises:
        InputError: A name, a setting or a value that is unknown or of the wrong type; it names the near miss.
    """
    odd = next((name for name in names if not isinstance(name, str | os.PathLike)), None)
    if odd is not None:
        raise InputError(f"a {type(odd).__name__} is no name of a recipe; give names, and settings as steps=600")
    named = [plugin] if isinstance(plugin, str | os.PathLike) else plugin
    plugins.load([str(name) for name in named])
    plain = {key: value.item() if getattr(value, "shape", None) == () else value for key, value in values.items()}  # of numpy
    plain = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in plain.items()}
    below = config.gather([str(name) for name in names] or ["digits"], preset=preset, budget=budget, over=plain)
    return config.settle(below, plain)


def run(
    settings: RunSettings,
    folder: str | os.PathLike,
    *,
    data: Any = None,
    fresh: bool = False,
    quiet: bool = False,
) -> "Row":
    """Train and score one run in its folder: begin it, resume it, or return the row of the finished one.

    Args:
        settings: Of the run, from `recipe`.
        folder: Its own; holds the row, the trained net, the settings, the label split, metrics and checkpoints.
        data: In place of the data set that the settings name: (images, labels, test_images, test_labels), or with the
            classes' names fifth. Images are (n, H, W, C) or (n, H, W), uint8 or floats in [0, 1]; labels (n,), with -1
            for an image without one. Without a test set: (images, labels), or None for both of it. Or a `Dataset`.
        fresh: Begin anew. A run that is in the folder, this one or another, is moved aside, to FOLDER.old-1.
        quiet: Print nothing but warnings, and show no bar.

    Returns:
        The row: a mapping with accuracy, error_rate, evaluations, confusion, seconds, versions, config and more.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
        RunError: The run cannot go on, as when its loss is not finite, or a signal ended it.
    """
    import dataclasses

    from ssl_zoo.data.arrays import NAME, as_dataset
    from ssl_zoo.data.dataset import Dataset
    from ssl_zoo.data.form import complaint
    from ssl_zoo.runs.execute import execute

    if not isinstance(settings, RunSettings):
        raise InputError(f"settings are a {type(settings).__name__}; give ssl_zoo.recipe(...)")
    if isinstance(data, Dataset) and (wrong := complaint(data)):
        raise InputError(f"the Dataset is not as it must be: {wrong}")
    if data is not None:
        data = data if isinstance(data, Dataset) else as_dataset(*_arrays(data))
        settings = dataclasses.replace(settings, dataset=NAME, datasets={NAME: {}})
    settings = config.resolve(config.plain(settings))  # changed by hand, perhaps
    return execute(settings, Path(os.path.expanduser(folder)), data=data, fresh=fresh, quiet=quiet)


def _arrays(data: Any) -> Sequence[Any]:
    if not isinstance(data, Sequence) or len(data) not in (2, 4, 5):
        raise InputError(
            "data must be (images, labels, test_images, test_labels), or (images, labels), with -1 where an image has no label"
        )
    return data


def load(path: str | os.PathLike, device: str = "auto", precision: str = "auto") -> "Trained":
    """Return the trained net of a finished run, with `predict_proba(images)`, `classes` and `net`.

    Args:
        path: The run's folder, or its model.safetensors, wherever it was copied.
        device: auto, cpu, cuda or cuda:N.
        precision: bf16 or fp32; auto: that of the run, so that its scores come out again.

    Raises:
        InputError: The run is not finished, or diverged; or the file cannot be used.
    """
    from ssl_zoo.runs import trained

    return trained.load(path, device, precision)
