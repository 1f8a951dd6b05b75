"""Images in a page: small, within it, and so few that it stays light."""

import base64
import io

import numpy as np
from PIL import Image

from ssl_zoo.pages.markup import Markup, element, file_name, joined, name, percent
from ssl_zoo.using.report.evidence import Looked

SIDE = 96  # pixels of the longer side, at most
SMALL = 40  # pixels of a side, up to which every pixel is kept, and shown as a square


def can_be_shown(shape: tuple[int, ...]) -> bool:
    """Return whether arrays (H, W, C) are pictures: grey or colour, and of more than a few pixels."""
    return shape[-1] in (1, 3) and min(shape[:2]) >= 4


def data_uri(pixels: np.ndarray, side: int = SIDE) -> str:
    """Return an image as an address that holds it.

    Args:
        pixels: (H, W, C) uint8, with C = 1 or 3.
        side: Pixels of the longer side, at most.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    image.thumbnail((side, side), Image.Resampling.BOX)
    form = {"format": "PNG", "optimize": True} if max(pixels.shape[:2]) <= SMALL else {"format": "JPEG", "quality": 75}
    content = io.BytesIO()
    image.save(content, **form)
    return f"data:image/{form['format'].lower()};base64,{base64.b64encode(content.getvalue()).decode()}"  # type: ignore[attr-defined]


def thumbnails(looked: Looked, places: np.ndarray, classes: tuple[str, ...], more: str = "label name") -> Markup:
    """Return images with what the net says of them.

    Args:
        looked: All of them.
        places: Which ones.
        classes: K names.
        more: What stands below them beside the class that is given: `label`, where it is not that; `name`, of the file.
    """
    figures = [_figure(looked, int(i), classes, more.split()) for i in places]
    small = bool(figures) and max(looked.pixels(int(places[0])).shape[:2]) <= SMALL
    return element("div", *figures, class_="thumbs small" if small else "thumbs") if figures else Markup("")


def _figure(looked: Looked, i: int, classes: tuple[str, ...], more: list[str]) -> Markup:
    given, has = classes[looked.predicted[i]], classes[looked.labels[i]]
    said = joined(name(given, 24), ", ", percent(looked.confidence[i]))
    below = [element("small", "labelled ", name(has, 24))] if "label" in more and given != has else []
    below += [element("small", file_name(looked.names[i]))] if "name" in more and looked.names else []
    alt = f"an image labelled {has}, given {given}"
    image = element("img", src=data_uri(looked.pixels(i)), alt=alt, width=SIDE, height=SIDE)
    return element("figure", image, element("figcaption", said, *below))
