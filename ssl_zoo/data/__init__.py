"""Data: named sources, splits, augmentations, and the pipeline that turns a step number into a batch."""

from ssl_zoo.data import arrays, augment, folder, randaugment, sources, standard

__all__ = ["arrays", "augment", "folder", "randaugment", "sources", "standard"]
