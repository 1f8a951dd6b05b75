"""A contact sheet: one page of thumbnails, with all that it needs in it, to look at and to print."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ssl_zoo import files
from ssl_zoo.data.decode import read_file
from ssl_zoo.data.image import decode
from ssl_zoo.pages.document import page
from ssl_zoo.pages.markup import Markup, element, joined, name, percent
from ssl_zoo.using.report.thumbnails import data_uri

SIDE = 240  # pixels of the longer side of a thumbnail, at most


class Picture(NamedTuple):
    """One image of the sheet."""

    path: str  # of its file
    guesses: Sequence[tuple[str, float]]  # classes with their probabilities, the most probable first


def write_contact_sheet(sheet: Path, pictures: Iterable[Picture], title: str, depth: int = 16) -> None:
    """Write a sheet, as a whole or not at all.

    Args:
        sheet: The file, .html.
        pictures: In order.
        title: What stands above them.
        depth: Bits that 16-bit grey images use.
    """
    figures = [_figure(number, picture, depth) for number, picture in enumerate(pictures, start=1)]
    files.replace_text(sheet, page(title, joined(element("h1", title), element("div", *figures, class_="thumbs sheet"))))


def _figure(number: int, picture: Picture, depth: int) -> Markup:
    """The whole image, upright and small, and what the net takes it for."""
    pixels = decode(read_file(picture.path), None, "RGB", depth).pixels
    file = element("span", element("b", f"{number} "), name(picture.path.rpartition("/")[2]), title=picture.path)
    guesses = (element("small", name(guess), f" {percent(share)}") for guess, share in picture.guesses)
    image = element("img", src=data_uri(pixels, SIDE), alt=f"image {number}")
    return element("figure", image, element("figcaption", file, *guesses))
