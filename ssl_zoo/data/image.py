"""From the content of one image file to pixels, as a viewer shows it."""

import functools
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from ssl_zoo.errors import between

# What image files are; Pillow knows more formats, of which one runs a program to read a file.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PIXELS = 89_478_485  # of an image: where Pillow begins to warn of a decompression bomb
REDUCED = 4  # a JPEG is decoded at half, a quarter or an eighth, but at no less than this many times the size that is wanted
WHITE, BLACK = (255, 255, 255, 255), (0, 0, 0, 255)
Size = tuple[int, int] | None  # height and width
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}  # Pillow's are antialiased
BILINEAR = "bilinear"

_TURNS = {  # of the EXIF tag 274, as the standard numbers them
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTERS = {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
_HEIC = "a HEIC photo, as phones make them: save it as JPEG, or `pip install pillow-heif`, which is then used"
_STARTS = {  # what a file is that is no image, or none that is read
    b"version https://git-lfs": "a pointer of git-lfs, not the image: `git lfs pull` fetches it",
    b"%PDF": "a PDF document: save its pages as images",
    b"8BPS": "a Photoshop file: save it as PNG or JPEG",
    b"PK\3\4": "a zip archive, or an office document",
    b"\xff\x0a": "a JPEG XL image: save it as PNG or JPEG",
    b"\0\0\0\x0cJXL ": "a JPEG XL image: save it as PNG or JPEG",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image: save it as PNG or JPEG",
    b"\0\5\x16\7": "a resource fork of a Mac, not the image",
}
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # chunks of a PNG that its pixels are in


class Decoded(NamedTuple):
    """One image's pixels, and what a user may want to know of how they were made."""

    pixels: np.ndarray  # (H, W, C) uint8
    largest: int = 0  # value of a pixel, of grey images with 16 bits
    shaped: bool = False  # by its transparency alone, so that it was put on white, or on black if it is white
    scale: float = 1.0  # that its sides were resized by


def height_and_width(image_size: int | tuple[int, int] | None) -> Size:
    """Return the height and width that a side, or two of them, mean."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size and tuple(image_size)
    for side in size or ():
        between("image_size", side, 1, 4096)  # a slip of the hand could take all memory
    return size


def decode(content: bytes, size: Size, mode: str, depth: int = 16, interpolation: str = BILINEAR) -> Decoded:
    """Return the pixels of a file's content.

    Args:
        content: Of the file.
        size: Height and width, which the image is made to cover, and then cropped to at its centre; None: as it is.
        mode: RGB or L.
        depth: Bits that 16-bit grey images use; what is above is white.
        interpolation: How it is resized.

    Raises:
        ValueError: It cannot be read; the message says why.
    """
    try:
        return _decode(content, size, mode, depth, interpolation)
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:  # a broken file makes Pillow raise nearly anything
        spare = _without_comments(content)
        if spare is not None:
            return decode(spare, size, mode, depth, interpolation)
        raise ValueError(_reason(content, error)) from error


def _decode(content: bytes, size: Size, mode: str, depth: int, interpolation: str) -> Decoded:
    with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
        return pixels_of(image, image.format, size, mode, depth, interpolation)


def pixels_of(
    image: Image.Image, kind: str | None, size: Size, mode: str, depth: int = 16, interpolation: str = BILINEAR
) -> Decoded:
    """Return the pixels of an image that is open, and ours to change.

    Args:
        image: The image.
        kind: Format of its file.
        size: As in `decode`.
        mode: RGB or L.
        depth: As in `decode`.
        interpolation: As in `decode`.

    Raises:
        ValueError: It is too large, or of 32 bits.
    """
    if image.width * image.height > PIXELS:
        raise ValueError(f"{image.width:,} x {image.height:,} pixels, which is too large; make it smaller")
    turn, area = _orientation(image), None
    as_filed = size[::-1] if size is not None and turn in _QUARTERS else size
    scale = 1.0 if as_filed is None else max(as_filed[0] / image.height, as_filed[1] / image.width)
    if size is not None and kind in ("JPEG", "MPO") and min(image.size) >= 2 * REDUCED * max(size):
        area = image.draft(None, (REDUCED * max(size), REDUCED * max(size)))  # much less work; within two grey levels
    largest, shaped = 0, False
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):  # 16 bits; Pillow would clip to 255
        values = np.asarray(image)
        largest = int(values.max())
        image = Image.fromarray(np.minimum(values >> (depth - 8), 255).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known range: save it with 8 or 16 bits")
    elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image, shaped = _opaque(image.convert("RGBA"))
    image.load()
    image = image if image.mode == mode else image.convert(mode)
    if area is None or as_filed is None or area[1][2:] == image.size:
        image = image if turn is None else image.transpose(turn)
        image = image if size is None else _covering(image, image.size, size, interpolation)
    else:  # the original ends within the last pixel of the reduced one, which stays the last one until it is resized
        image = _covering(image, area[1][2:], as_filed, interpolation)
        image = image if turn is None else image.transpose(turn)
    return Decoded(np.asarray(image).reshape(image.height, image.width, -1), largest, shaped, scale)


def _opaque(image: Image.Image) -> tuple[Image.Image, bool]:
    """An RGBA image without its transparency; put on a ground where nothing else tells its shape, and whether it was.

    Icons often are of one colour, and without alpha all of them would be the same image.
    """
    *colours, alpha = image.getextrema()
    if alpha[0] == alpha[1] or any(low != high for low, high in colours):
        return image, False
    ground = BLACK if all(low == 255 for low, _ in colours) else WHITE
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image), True


def _covering(image: Image.Image, extent: tuple[float, float], size: tuple[int, int], interpolation: str) -> Image.Image:
    """Resize an image so that it just covers a size, and keep its centre.

    Args:
        image: The image.
        extent: Width and height of what is seen of it, from its first pixel on.
        size: Height and width.
        interpolation: How.
    """
    (width, height), (rows, columns) = extent, size
    part = (width, width * rows / columns) if width * rows < height * columns else (height * columns / rows, height)
    left, top = (width - part[0]) / 2, (height - part[1]) / 2
    box = (left, top, left + part[0], top + part[1])
    return image.resize((columns, rows), FILTERS[interpolation], box)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn it, by the one EXIF tag that is read. Other tags may be as odd as they like."""
    try:
        return _TURNS.get(int(image.getexif().get(274, 1)))
    except Exception:  # of a damaged block; what else it says is of no use here
        return None


@functools.cache
def _known_formats() -> tuple[str, ...]:
    return (*FORMATS, "AVIF") if features.check("avif") else FORMATS


def _formats(content: bytes) -> tuple[str, ...]:
    """The formats that Pillow may try."""
    if _brand(content) == "HEIC" and register_heif():
        return ("HEIF",)
    return _known_formats()


@functools.cache
def register_heif() -> str:
    """Let Pillow read HEIC photos, if the package for it is there. Return its version, or nothing."""
    try:
        import pillow_heif
    except ImportError:
        return ""
    pillow_heif.register_heif_opener()
    return str(pillow_heif.__version__)


def _brand(content: bytes) -> str:
    """What a file of the format that phones use says it is."""
    if content[4:8] != b"ftyp":
        return ""
    brand = content[8:12]
    if brand in (b"avif", b"avis"):
        return "AVIF"
    return "HEIC" if brand[:3] in (b"hei", b"hev") or brand in (b"mif1", b"msf1") else "video"


def _reason(content: bytes, error: Exception) -> str:
    """Why there are no pixels, as a person would say it."""
    if not content:
        return "the file is empty"
    start = next((what for start, what in _STARTS.items() if content.startswith(start)), None)
    if start is not None:
        return start
    brand = _brand(content)
    if brand:
        avif = "an AVIF image, which this version of Pillow does not read: update it, or save the image as JPEG"
        return {"HEIC": _HEIC, "AVIF": avif}.get(brand, "a video: save pictures of it as images")
    text = content[:300].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, as a failed download leaves it: fetch the image again"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing, or another XML document: save it as PNG"
    if isinstance(error, UnidentifiedImageError):
        return "no known format"
    if isinstance(error, Image.DecompressionBombError):
        return f"over {2 * PIXELS:,} pixels, which is too large; make it smaller"
    return " ".join(str(error).split()) or type(error).__name__


def _without_comments(content: bytes) -> bytes | None:
    """A PNG with nothing but what its pixels are in; None: it is no PNG, or has nothing else.

    A damaged text, colour profile or date refuses an image that every viewer shows.
    """
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kept, place = [content[:8]], 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        chunk = content[place : place + 12 + length]
        if chunk[4:8] in _NEEDED:
            kept.append(chunk)
        place += 12 + length
    spare = b"".join(kept)
    return spare if len(spare) < len(content) else None
