"""From image files to one array of pixels, on all cores. What was decoded is kept if it ends early."""

import contextlib
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from PIL import Image

from ssl_zoo.data.image import BILINEAR, FILTERS, Decoded, Size, decode, pixels_of
from ssl_zoo.data.pieces import RECORD, Pieces, record_of
from ssl_zoo.data.progress import Progress
from ssl_zoo.data.workers import Workers
from ssl_zoo.device import cores
from ssl_zoo.errors import InputError, one_of

LARGEST = 1 << 29  # bytes of a file
CHUNK = 64  # images of one task of the thread pool, at most
READ = 1 << 24  # bytes of files of one task, about: the bar moves, and a kill loses little
MANY = 10_000  # images for which to start processes, if they are tiny
TINY, PLAIN = 1 << 13, 1 << 15  # bytes of a file, and of its pixels, that decode mostly under Python's lock
PROCESSES = 8  # at most; more would wait for this one to read
SHOWN = 3  # broken images in a message


class Source(Protocol):
    """Files of images."""

    shown: str  # for messages: what the paths are relative to

    def read(self, path: str) -> bytes: ...

    def mark(self, path: str) -> bytes | None: ...  # of a file as it is now; None: unknown


class Options(NamedTuple):
    """How images are decoded."""

    size: Size
    mode: str
    skip_broken: bool
    interpolation: str = BILINEAR

    def checked(self) -> Self:
        """Return them as they are.

        Raises:
            InputError: The mode or the interpolation is unknown.
        """
        one_of("mode", self.mode, "RGB", "L")
        one_of("interpolation", self.interpolation, *FILTERS)
        return self


class Pixels(NamedTuple):
    """Decoded images, and what was seen on the way."""

    array: np.ndarray  # (n, H, W, C) uint8, one for each path
    broken: dict[int, str]  # of those that cannot be read: the place, and the reason
    passing: bool  # whether a reason may be gone the next time, as that of a network
    depth: int  # bits that 16-bit grey images use
    notes: list[str]
    records: np.ndarray  # (n,) RECORD, by which each is known if the source changes


class _Broken(Exception):
    """An image that cannot be read."""

    def __init__(self, reason: str, passing: bool):
        super().__init__(reason)
        self.passing = passing


def decode_all(
    source: Source, paths: list[str], options: Options, pieces: Pieces, make: Callable[[tuple[int, ...], type], np.ndarray]
) -> Pixels:
    """Return the pixels of all paths.

    Threads help with all but tiny images: Pillow's decoders release the interpreter's lock. Many tiny ones are decoded
    by processes.

    Args:
        source: Of the files.
        paths: Their names there.
        options: Size, mode, and whether broken images may be left out.
        pieces: Keeps what is decoded, until the cache does.
        make: Returns an array of a shape and type.

    Raises:
        InputError: Images that cannot be read, all of them counted; images of several sizes; too many for memory.
    """
    return _Decoding(source, paths, options, pieces).run(make)


class _Decoding:
    """One set of images on its way."""

    def __init__(self, source: Source, paths: list[str], options: Options, pieces: Pieces):
        self.source, self.paths, self.options, self.pieces = source, paths, options, pieces
        self.broken: dict[int, str] = {}
        self.wide: dict[int, int] = {}  # places of 16-bit grey images, with their largest values
        self.passing, self.shaped, self.enlarged, self.most = False, 0, 0, 1.0
        self.stop = threading.Event()

    def run(self, make: Callable[[tuple[int, ...], type], np.ndarray]) -> Pixels:
        tried = ((place, self._or_note(place)) for place in range(len(self.paths)))
        self.first, image = next(((place, image) for place, image in tried if image is not None), (0, None))
        if image is None:
            raise self._refused()
        self.shape = image.pixels.shape
        try:
            self.array = make((len(self.paths), *self.shape), np.uint8)
        except MemoryError as error:
            size = " x ".join(map(str, self.shape))
            raise InputError(
                f"{len(self.paths):,} images of {size} are more than memory holds; give a smaller `image_size`"
            ) from error
        self.records = np.zeros(len(self.paths), RECORD)
        self.broken.clear()
        self.pieces.open(self.shape)
        self._fill()
        if self.broken and not self.options.skip_broken:
            raise self._refused()
        depth = self._deepen()
        return Pixels(self.array, dict(sorted(self.broken.items())), self.passing, depth, [*self._notes(depth)], self.records)

    def _one(self, place: int, depth: int = 16) -> Decoded:
        try:
            content = self.source.read(self.paths[place])
        except OSError as error:
            raise _Broken(error.strerror or str(error), passing=not isinstance(error, FileNotFoundError)) from error
        except ValueError as error:
            raise _Broken(str(error), passing=False) from error
        try:
            return decode(content, *self._how(depth))
        except ValueError as error:
            raise _Broken(str(error), passing=False) from error

    def _how(self, depth: int = 16) -> tuple[Size, str, int, str]:
        return self.options.size, self.options.mode, depth, self.options.interpolation

    def _or_note(self, place: int) -> Decoded | None:
        """The image at a place, or None with its reason noted."""
        try:
            return self._one(place)
        except _Broken as error:
            self.broken[place] = f"'{self.source.shown}/{self.paths[place]}' is not an image that can be read ({error})"
            self.passing |= error.passing
            return None

    def _fill(self) -> None:
        """Decode all images, or take them from what is left of an earlier try, with a progress bar."""
        weight = self._weight()
        tiny = weight <= TINY and math.prod(self.shape) <= PLAIN and len(self.paths) >= MANY and cores() > 1
        self.workers = Workers(min(cores(), PROCESSES), self._how()) if tiny else None
        threads = cores() + tiny  # one reads while the processes are at work
        size = max(1, min(CHUNK, READ // weight, len(self.paths) // (4 * threads)))  # few images are work for all
        chunks = (range(start, min(start + size, len(self.paths))) for start in range(0, len(self.paths), size))
        pool, bar = ThreadPoolExecutor(threads), Progress(len(self.paths))
        try:
            with bar:  # in order, so it is always the same broken images that are named
                for chunk in pool.map(self._some, chunks):
                    for place, mark, image, _ in chunk:
                        self._put(place, image)
                        self.records[place] = record_of(mark, image)
                    fresh = [(mark, image) for _, mark, image, known in chunk if mark and image is not None and not known]
                    self.pieces.add(fresh)
                    bar.add(len(chunk), kept=sum(known for *_, known in chunk))
        except KeyboardInterrupt as stopped:
            stopped.args = (self.pieces.left(bar.done, len(self.paths)),)
            raise
        finally:  # Ctrl-C waits for the images that are in hand, and for no other
            self.stop.set()
            try:
                pool.shutdown(cancel_futures=True)
            finally:  # a second Ctrl-C too
                if self.workers is not None:
                    self.workers.close()

    def _weight(self) -> int:
        """Bytes of the first file, by which the others are judged."""
        try:
            return len(self.source.read(self.paths[self.first])) or 1
        except (OSError, ValueError):
            return LARGEST

    def _some(self, places: range) -> list[tuple[int, bytes | None, Decoded | None, bool]]:
        """Each place with its mark and image, and whether that was there from an earlier try."""
        marks = [self.source.mark(self.paths[place]) for place in places]
        kept = {place: image for place, mark in zip(places, marks, strict=True) if (image := self.pieces.get(mark)) is not None}
        ready = {} if self.workers is None else self._by_workers(self.workers, [place for place in places if place not in kept])
        done = []
        for place, mark in zip(places, marks, strict=True):
            if self.stop.is_set():
                break
            done.append((place, mark, kept.get(place) or ready.get(place) or self._or_note(place), place in kept))
        return done

    def _by_workers(self, workers: Workers, places: list[int]) -> dict[int, Decoded]:
        """The images that need nothing but to be decoded: no large ones, none with an error or a warning."""
        small = {}
        for place in places:
            with contextlib.suppress(OSError, ValueError):
                content = self.source.read(self.paths[place])
                if len(content) <= TINY:
                    small[place] = content
        found = workers.decode([*small.values()])
        return {place: image for place, image in zip(small, found, strict=True) if image is not None}

    def _put(self, place: int, image: Decoded | None) -> None:
        if image is None:
            return
        if image.pixels.shape != self.shape:
            both = ((self.first, self.shape), (place, image.pixels.shape))
            sizes = [f"'{self.source.shown}/{self.paths[i]}' is {shape[0]}x{shape[1]}" for i, shape in both]
            raise InputError(
                f"images differ in size: {' and '.join(sizes)} (height x width); give `image_size`, such as `image_size=64`"
            )
        self.array[place] = image.pixels
        self.shaped += image.shaped
        self.enlarged, self.most = self.enlarged + (image.scale > 1), max(self.most, image.scale)
        if image.largest:
            self.wide[place] = image.largest

    def _deepen(self) -> int:
        """Decode 16-bit grey images anew where none uses all 16 bits: with 12 they would be nearly black."""
        depth = max(8, max(self.wide.values(), default=1 << 15).bit_length())
        if depth < 16:
            with ThreadPoolExecutor(cores()) as pool:
                places = sorted(self.wide)
                for place, image in zip(places, pool.map(lambda place: self._one(place, depth), places), strict=True):
                    self.array[place] = image.pixels
        return depth

    def _notes(self, depth: int) -> Iterator[str]:
        if depth < 16:
            largest = max(self.wide.values())
            yield f"{len(self.wide):,} grey images have 16 bits and no value over {largest:,}: they are scaled as {depth} bits"
        if self.shaped:
            yield f"{self.shaped:,} images have their shape in the alpha channel alone: put on white, white ones on black"
        if self.enlarged and self.options.size is not None:
            size, some = "x".join(map(str, self.options.size)), f"{self.enlarged:,} of {len(self.paths):,}"
            yield f"images smaller than {size} (height x width) are enlarged, up to {self.most:.3g} times: {some}"

    def _refused(self) -> InputError:
        reasons = [self.broken[place] for place in sorted(self.broken)]
        shown = f"{', '.join(reasons[:SHOWN])}{' and more' if len(reasons) > SHOWN else ''}"
        if len(reasons) == len(self.paths):
            return InputError(f"'{self.source.shown}' has no image that can be read, such as: {shown}")
        if len(reasons) == 1:
            return InputError(f"{shown}; repair or remove it, or leave it out with `skip_broken=True`")
        images = f"{len(reasons):,} of {len(self.paths):,} images cannot be read"
        return InputError(f"{images}, such as: {shown}; repair or remove them, or leave them out with `skip_broken=True`")


def read_file(path: str) -> bytes:
    """Return a file's content.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no plain file, or too large to be an image.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe, of which nobody knows when it ends
        raise ValueError("no plain file")
    if status.st_size > LARGEST:
        raise ValueError(f"{status.st_size:,} bytes, which is no image")
    with open(path, "rb", 0) as file:  # without a buffer, which would take longer than a small file
        return file.read()


def read_image(image: Any, size: Size, mode: str, depth: int = 16, interpolation: str = BILINEAR) -> np.ndarray:
    """Return one image as training would have had it, (H, W, C) uint8.

    Args:
        image: The path of a file, or an image that Pillow has opened.
        size: Height and width, which it is made to cover, and then cropped to at its centre; None: as it is.
        mode: RGB or L.
        depth: Bits that 16-bit grey images use.
        interpolation: How it is resized.

    Raises:
        InputError: It is not an image that can be read.
    """
    try:
        if isinstance(image, Image.Image):
            return pixels_of(image.copy(), image.format, size, mode, depth, interpolation).pixels
        return decode(Path(os.path.expanduser(image)).read_bytes(), size, mode, depth, interpolation).pixels
    except MemoryError:
        raise
    except Exception as error:  # a broken image makes Pillow raise nearly anything
        name = f"'{image}'" if isinstance(image, str | os.PathLike) else f"a {type(image).__name__}"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise InputError(f"{name} is not an image that can be read ({reason}); give paths, PIL images or an array") from error
