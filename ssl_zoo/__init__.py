"""ssl_zoo: semi-supervised image classifiers, compared under identical pipelines.

Its names are imported when they are asked for, so that `ssl-zoo --version` does not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_zoo import algorithms, data, nets
    from ssl_zoo.algorithms.base import AlgorithmBase
    from ssl_zoo.api import load, recipe, run
    from ssl_zoo.batch import Batch, Facts, Guess, Step
    from ssl_zoo.data.augment import Augmentation
    from ssl_zoo.data.dataset import Dataset
    from ssl_zoo.errors import InputError, RunError
    from ssl_zoo.estimator import SSLClassifier
    from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS

__version__ = "0.1.0"

__all__ = [
    "ALGORITHMS",
    "AUGMENTATIONS",
    "DATASETS",
    "NETS",
    "AlgorithmBase",
    "Augmentation",
    "Batch",
    "Dataset",
    "Facts",
    "Guess",
    "InputError",
    "RunError",
    "SSLClassifier",
    "Step",
    "algorithms",
    "data",
    "load",
    "nets",
    "recipe",
    "run",
]
_HOMES = {  # where a name is from; what is not here is a module of its own
    **dict.fromkeys(("ALGORITHMS", "AUGMENTATIONS", "DATASETS", "NETS"), "registry"),
    **dict.fromkeys(("load", "recipe", "run"), "api"),
    **dict.fromkeys(("Batch", "Facts", "Guess", "Step"), "batch"),
    **dict.fromkeys(("InputError", "RunError"), "errors"),
    "AlgorithmBase": "algorithms.base",
    "Augmentation": "data.augment",
    "Dataset": "data.dataset",
    "SSLClassifier": "estimator",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ssl_zoo' has no attribute '{name}'")
    home = importlib.import_module(f"ssl_zoo.{_HOMES.get(name, name)}")
    found = globals()[name] = getattr(home, name) if name in _HOMES else home
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
