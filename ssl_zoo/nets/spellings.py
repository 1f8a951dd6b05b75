"""What an unknown name of a net may mean: one as other toolkits spell it, or torchvision's without its prefix."""

import re

from ssl_zoo.errors import InputError
from ssl_zoo.nets.wrn import groups_and_blocks
from ssl_zoo.registry import NETS, folded

WIDE = re.compile(r"w(?:ide)?[-_ ]?r(?:es)?[-_ ]?n(?:et)?(?:[-_ ]?(\d{1,4})[-_x ](\d{1,4}))?", re.ASCII | re.IGNORECASE)


@NETS.hint
def wide(name: str) -> list[str]:
    """wideresnet28x2 is wrn28_2, and wideresnet perhaps. A depth that no such net has is somebody else's."""
    match = WIDE.fullmatch(name.strip())
    if match is None:
        return []
    depth, width = int(match[1] or 28), int(match[2] or 2)
    try:
        groups_and_blocks(depth)
    except InputError:
        return []
    return [f"wrn{depth}_{width}"]


@NETS.hint
def of_torchvision(name: str) -> list[str]:
    """vit_b_16 is torchvision:vit_b_16."""
    import torchvision

    known = torchvision.models.list_models(torchvision.models)
    return [f"torchvision:{model}" for model in known if folded(model) == folded(name)]
