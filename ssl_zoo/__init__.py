"""ssl_zoo: semi-supervised image classifiers, compared under identical pipelines."""

from ssl_zoo import algorithms, data, nets
from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.api import load, recipe, run
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.data.augment import Augmentation
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError, RunError
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
    "InputError",
    "RunError",
    "Step",
    "algorithms",
    "data",
    "load",
    "nets",
    "recipe",
    "run",
]
