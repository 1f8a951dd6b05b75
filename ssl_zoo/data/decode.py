"""From image files to pixels.

Whatever a file is, decoded to bytes of one size and number of channels, by several threads.
"""

import io
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ssl_zoo.errors import InputError

# What image files are; Pillow knows more formats, of which one runs a program to read a file.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 1 << 29  # bytes of a file
PIXELS = 89_478_485  # of an image: where Pillow begins to warn of a decompression bomb
CHUNK = 64  # images of one task of the thread pool
Read = Callable[[str], bytes]  # from a relative path to a file's content
Size = tuple[int, int] | None  # height and width


def decode_all(
    root: Path,
    paths: list[str],
    read: Read,
    size: Size,
    mode: str,
    skip_broken: bool,
    make: Callable[[tuple[int, ...], type], np.ndarray],
) -> tuple[np.ndarray, dict[int, str]]:
    """(len(paths), H, W, C) uint8, and of the broken images, if they may be, the place and the reason.

    Threads help with all but tiny images: Pillow's decoders release the interpreter's lock.
    """
    broken: dict[int, str] = {}

    def decoded(place: int) -> np.ndarray | None:
        try:
            return _decode(root, paths[place], read, size, mode)
        except InputError as error:
            if not skip_broken:
                raise
            broken[place] = str(error)
            return None

    first = next((image for place in range(len(paths)) if (image := decoded(place)) is not None), None)
    if first is None:
        raise InputError(f"'{root}' has no image that can be read, such as: {broken[0]}")
    try:
        pixels = make((len(paths), *first.shape), np.uint8)
    except MemoryError as error:
        size = " x ".join(map(str, first.shape))
        raise InputError(f"{len(paths):,} images of {size} are more than memory holds; give a smaller `image_size`") from error

    def fill(start: int) -> int:
        chunk = paths[start : start + CHUNK]
        for i, path in enumerate(chunk, start):
            image = decoded(i)
            if image is None:
                continue
            if image.shape != first.shape:
                sizes = [f"'{root}/{name}' is {s[0]}x{s[1]}" for name, s in ((paths[0], first.shape), (path, image.shape))]
                raise InputError(f"images differ in size: {' and '.join(sizes)} (height x width); give `image_size`")
            pixels[i] = image
        return len(chunk)

    _in_threads(fill, len(paths))
    return pixels, dict(sorted(broken.items()))


def _in_threads(fill: Callable[[int], int], total: int) -> None:
    """Call it for the first place of every chunk, with a progress bar; it returns how many images it has decoded."""
    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
    progress = tqdm(total=total, desc="decoding", unit="image", delay=1, mininterval=pause)
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress as bar:
        for done in pool.map(fill, range(0, total, CHUNK)):  # in order, so it is always the same broken image that is named
            bar.update(done)


def _decode(root: Path, path: str, read: Read, size: Size, mode: str) -> np.ndarray:
    """One image of a data set, (H, W, C) uint8."""
    try:
        return decoded(lambda: read(path), size, mode)
    except ValueError as error:
        raise InputError(f"'{root}/{path}' is not an image that can be read ({error}); repair or remove it") from error


def read_image(image: Any, size: Size, mode: str) -> np.ndarray:
    """Return one image as training would have had it, (H, W, C) uint8.

    Args:
        image: The path of a file, or an image that Pillow has opened.
        size: Height and width, which it is made to cover, and then cropped to at its centre; None: as it is.
        mode: RGB or L.

    Raises:
        InputError: It is not an image that can be read.
    """
    try:
        if isinstance(image, Image.Image):
            return _explained(lambda: _pixels(image.copy(), image.format, size, mode))
        return decoded(Path(os.path.expanduser(image)).read_bytes, size, mode)
    except (ValueError, TypeError) as error:
        name = f"'{image}'" if isinstance(image, str | os.PathLike) else f"a {type(image).__name__}"
        raise InputError(f"{name} is not an image that can be read ({error}); give paths, PIL images or an array") from error


def decoded(read: Callable[[], bytes], size: Size, mode: str) -> np.ndarray:
    """Return the pixels of an image file's content, (H, W, C) uint8.

    Raises:
        ValueError: It cannot be read; the message says why.
    """

    def opened() -> np.ndarray:
        with Image.open(io.BytesIO(read()), formats=FORMATS) as image:
            return _pixels(image, image.format, size, mode)

    return _explained(opened)


def _explained(work: Callable[[], np.ndarray]) -> np.ndarray:
    """What it gives, or a ValueError that says why there is nothing.

    A broken file makes Pillow raise nearly anything.
    """
    try:
        return work()
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise ValueError(error.strerror if isinstance(error, OSError) and error.strerror else reason) from error


def _pixels(image: Image.Image, kind: str | None, size: Size, mode: str) -> np.ndarray:
    """Of an image that is open, and ours to change; `kind` is the format of its file."""
    if image.width * image.height > PIXELS:
        raise ValueError(f"{image.width:,} x {image.height:,} pixels, which is too large; make it smaller")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):  # 16 bits; Pillow would clip to 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known range, save it with 8 or 16 bits")
    elif "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert(mode)
    if size is not None:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)  # Pillow's bilinear is antialiased
    return np.asarray(image).reshape(image.height, image.width, -1)
