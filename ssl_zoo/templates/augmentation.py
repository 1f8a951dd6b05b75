"""An augmentation of pixels."""

from ssl_zoo.templates import Template

CODE = '''"""@TITLE@: what it does to an image, in a line.

Its source: authors, venue, arXiv:number.
"""

import torch
from ssl_zoo import AUGMENTATIONS, Augmentation, InputError


@AUGMENTATIONS.register("@NAME@")
class @CLASS@(Augmentation):
    """@TITLE@: each image keeps a share of its contrast, uniform, about its own mean.

    Args:
        least: Of the contrast that stays, from 0, a grey image, to 1, the image as it is.
    """

    normalized = False  # it works on pixels in [0, 1]; True: on what the net gets
    scale_free = False  # True: it does the same to values of any range, as what moves pixels does

    # Options are given by keyword, have a type and a default, and are documented above; a recipe has them under the
    # view.
    def __init__(self, *, least: float = 0.4):
        if not 0 <= least <= 1:
            raise InputError(f"@NAME@.least = {least} is out of range: it must be from 0 to 1")
        self.least = least

    # All that is random is drawn here, for the n images of a whole batch, with the generator and on its device: several
    # processes draw the same and each takes its part. A tuple of tensors, each with the images as its first axis.
    def draw(self, generator, n, shape):
        share = torch.rand(n, generator=generator, device=generator.device)  # of each image, not of the batch
        return (self.least + (1 - self.least) * share,)

    # Draws nothing, writes into nothing it is given, and looks at each image alone.
    def apply(self, images, kept):
        mean = images.mean(dim=(1, 2, 3), keepdim=True)  # (n, 1, 1, 1), of images (n, C, H, W)
        return mean + kept[:, None, None, None] * (images - mean)
'''

TEST = '''"""Is @NAME@ right? Run this file, or pytest."""

from ssl_zoo.testing import check_augmentation

from @MODULE@ import @CLASS@


def test_@MODULE@():
    check_augmentation(@CLASS@)


if __name__ == "__main__":
    print(check_augmentation(@CLASS@))
'''

RECIPE = """# Views with @NAME@, to be laid on top of a recipe, whose view of that name they replace:
# --recipe digits --recipe @MODULE@.yaml

views:
  weak: {affine: {rotate: 15, scale: 0.1, shift: 1}, @KEY@: {least: 0.4}}  # in this order
"""

SAID = """@MODULE@.py: the augmentation, working as it is; change it
test_@MODULE@.py: its test. Run it:
    python test_@MODULE@.py
@MODULE@.yaml: a view with it. Train a method with that, then with it alone:
    @RUN@ --plugin @MODULE@.py --recipe digits --recipe @MODULE@.yaml --alg meanteacher
    @RUN@ --plugin @MODULE@.py --set 'views.weak={@NAME@: {least: 0.2}}' --alg meanteacher --seed 1"""

TEMPLATE = Template("an augmentation", CODE, TEST, SAID, RECIPE)
