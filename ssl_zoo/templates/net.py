"""A small convolutional net."""

from ssl_zoo.templates import Template

CODE = '''"""@TITLE@: what it is, in a line.

Its source: authors, venue, arXiv:number.
"""

from ssl_zoo import NETS, InputError
from torch import nn


@NETS.register("@NAME@")
class @CLASS@(nn.Module):
    """@TITLE@: three convolutions, an average over the places, a linear layer.

    Args:
        width: Channels of the first convolution; twice and four times as many follow.
        drop_rate: Dropout before the last layer.
    """

    # Classes, channels and (height, width) are given by position. Options are given by keyword, have a type and a
    # default, and are documented above; a recipe has them under `nets: {@NAME@: {...}}`.
    def __init__(self, num_classes, in_chans, image_size, *, width: int = 16, drop_rate: float = 0.0):
        super().__init__()
        if min(image_size) < 4:  # what it cannot take is refused here, in a line that the user can act on
            raise InputError(f"@NAME@ halves images twice, so {image_size[0]}x{image_size[1]} is too small; give 4x4 or more")
        layers = []
        for before, after in ((in_chans, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.MaxPool2d(2)] if layers else []
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features, self.dropout = nn.Sequential(*layers), nn.Dropout(drop_rate)
        self.num_features = 4 * width  # of what the last layer gets; a method with a head of its own asks for it
        self.head = nn.Linear(self.num_features, num_classes)

    # As in timm, forward(x) is forward_head(forward_features(x)).
    def forward(self, x):
        return self.forward_head(self.forward_features(x))  # (n, C, H, W) -> logits (n, K): no softmax

    def forward_features(self, x):
        return self.features(x)  # (n, D, H/4, W/4)

    def forward_head(self, f, pre_logits=False):
        pooled = self.dropout(f.mean(dim=(2, 3)))  # (n, D)
        return pooled if pre_logits else self.head(pooled)
'''

TEST = '''"""Is @NAME@ right? Run this file, or pytest."""

from ssl_zoo.testing import check_net

from @MODULE@ import @CLASS@


def test_@MODULE@():
    check_net(@CLASS@)


if __name__ == "__main__":
    print(check_net(@CLASS@))
'''

SAID = """@MODULE@.py: the net, working as it is; change it
test_@MODULE@.py: its test. Run it:
    python test_@MODULE@.py
Train a method with it, then with an option of its own:
    @RUN@ --plugin @MODULE@.py --net @NAME@ --alg meanteacher
    @RUN@ --plugin @MODULE@.py --net @NAME@ --alg meanteacher --set nets.@NAME@.width=32 --seed 1"""

TEMPLATE = Template("a net", CODE, TEST, SAID)
