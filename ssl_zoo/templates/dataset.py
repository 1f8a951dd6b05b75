"""A data set that is drawn, with the place where files are read instead."""

from ssl_zoo.templates import Template

CODE = '''"""@TITLE@: what the images show and where they come from, in a line."""

from pathlib import Path

import numpy as np
from ssl_zoo import DATASETS, Dataset, InputError

CLASSES = ("lying", "standing", "slanting")


@DATASETS.register("@NAME@")
def @MODULE@(root: Path, *, count: int = 900) -> Dataset:
    """@TITLE@: a bright bar on noise, in three directions, 16x16 grey; drawn here, no download.

    Args:
        root: Folder of the data (--data-root). Not used, since these images are drawn.
        count: Training images; the test images are a third as many.

    Raises:
        InputError: There would be fewer images than classes.
    """
    if count < 3 * len(CLASSES):
        raise InputError(f"@NAME@.count = {count} is too small; give {3 * len(CLASSES)} or more")
    # Images of your own are read from `root` here, always in the same order. Where a file is missing, say which and
    # what to do: raise InputError(f"there is no {root / 'train.npz'}; download it from ..., or say where it is with
    # --data-root").
    images, labels = draw(count, seed=0)
    test_images, test_labels = draw(count // 3, seed=1)
    return Dataset("@NAME@", images, labels, test_images, test_labels, CLASSES)


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 16, 16, 1) uint8 and their classes (count,) int64; -1 would be an image without a label."""
    generator = np.random.default_rng(seed)  # of its own: the data are the same in every run
    labels = np.arange(count) % len(CLASSES)
    images = generator.normal(90, 45, (count, 16, 16, 1))
    place, along = generator.integers(3, 13, count), np.arange(16)
    for image, label, at in zip(images, labels, place, strict=True):
        row, column = [(at, along), (along, at), (along, (along + at) % 16)][label]
        image[row, column] += 80
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)
'''

TEST = '''"""Is @NAME@ right? Run this file, or pytest."""

from ssl_zoo.testing import check_dataset

from @MODULE@ import @MODULE@


def test_@MODULE@():
    check_dataset(@MODULE@)


if __name__ == "__main__":
    print(check_dataset(@MODULE@))
'''

RECIPE = """# What all methods have in common on @NAME@, then the options of one: --recipe @MODULE@.yaml
# (Of the bars, on seeds 0 to 2: supervised about 91 %, meanteacher about 97 %.)

dataset: @KEY@
datasets:
  @KEY@: {count: 900}
labels: 9  # three of each class
steps: 300
net: smallnet
batch: {labeled: 9, unlabeled: 36, labeled_in_unlabeled: true}
optimizer: {name: adamw, lr: 0.003, weight_decay: 0.02}
schedule: {name: cosine}
evaluation: {last_k: 2, unlabeled: 300, log_every: 20}
views:
  weak: {translate: {pixels: 2}}  # no mirroring, which would slant a bar the other way
  strong: {translate: {pixels: 2}, cutout: {}}

algorithms:
  meanteacher: {weight: 30, decay: 0.97}  # where each number comes from
"""

SAID = """@MODULE@.py: the data set, working as it is; change it
test_@MODULE@.py: its test. Run it:
    python test_@MODULE@.py
@MODULE@.yaml: its recipe. Train without the images that have no label, then with them:
    @RUN@ --plugin @MODULE@.py --recipe @MODULE@.yaml --alg supervised
    @RUN@ --plugin @MODULE@.py --recipe @MODULE@.yaml --alg meanteacher"""

TEMPLATE = Template("a data set", CODE, TEST, SAID, RECIPE)
