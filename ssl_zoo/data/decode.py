"""From image files to pixels: whatever a file is, decoded to bytes of one size and number of channels, by several threads."""

import io
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
        raise InputError(f"{len(paths):,} images of {size} are more than memory holds; give a smaller --image-size") from error

    def fill(start: int) -> int:
        chunk = paths[start : start + CHUNK]
        for i, path in enumerate(chunk, start):
            image = decoded(i)
            if image is None:
                continue
            if image.shape != first.shape:
                sizes = [f"'{root}/{name}' is {s[0]}x{s[1]}" for name, s in ((paths[0], first.shape), (path, image.shape))]
                raise InputError(f"images differ in size: {' and '.join(sizes)} (height x width); give --image-size")
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
    """One image, (H, W, C) uint8."""
    try:
        with Image.open(io.BytesIO(read(path)), formats=FORMATS) as image:
            kind = image.format
            if image.width * image.height > PIXELS:
                raise ValueError(f"{image.width:,} x {image.height:,} pixels, which is too large; make it smaller")
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16") or (
                image.mode == "I" and kind in ("PNG", "PPM")
            ):  # 16 bits; Pillow would clip to 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise ValueError("32-bit pixels have no known range, save it with 8 or 16 bits")
            elif "transparency" in image.info:
                image = image.convert("RGBA")
            image = image.convert(mode)
            if size is not None:
                image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)  # Pillow's bilinear is antialiased
            return np.asarray(image).reshape(image.height, image.width, -1)
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:  # a broken file makes Pillow's decoders raise nearly anything
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        reason = error.strerror if isinstance(error, OSError) and error.strerror else reason
        raise InputError(f"'{root}/{path}' is not an image that can be read ({reason}); repair or remove it") from error
