"""A user's own images: class folders, or an archive of them, decoded once and then kept in a cache."""

import functools
import gzip
import io
import lzma
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ssl_zoo.data import cache as kept
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError, between
from ssl_zoo.registry import DATASETS

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS = ("train", "test", "unlabeled")
# What image files are; Pillow knows more formats, of which one runs a program to read a file.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 1 << 29  # bytes of a file
LARGEST_ARCHIVE = 1 << 32  # bytes of all images in an archive, which are held in memory until they are decoded
PIXELS = 89_478_485  # of an image: where Pillow begins to warn of a decompression bomb
_LAYOUT = "expected train/<class>/<image>, test/<class>/<image> and, optionally, unlabeled/<image>"
_CHUNK = 64  # images of one task of the thread pool
_Read = Callable[[str], bytes]  # from a relative path to a file's content
_Size = tuple[int, int] | None  # height and width


@DATASETS.register("folder")
def folder(
    root: Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    skip_broken: bool = False,
    cache: bool = True,
) -> Dataset:
    """Your images: a folder or archive with train/<class>/, test/<class>/ and an optional unlabeled/.

    Classes are the sorted names of train's folders. Rows are train's images by relative path, then those of unlabeled/, which
    have class -1. Images may lie at any depth; hidden files and folders are skipped; links are followed. EXIF orientation is
    applied, transparency is dropped, 16 bits become 8, and of an animation the first frame is taken. What a file is, its content
    tells; but one whose name ends as no image's does is left out, and said to be. An archive (.zip, .tar, .tar.gz, .tgz, .tar.xz)
    may have one folder around it all and is never unpacked to disk.

    Sets larger than memory are decoded to the cache and read from there. The decoded arrays are kept in `$SSL_ZOO_CACHE`,
    `$XDG_CACHE_HOME/ssl_zoo` or `~/.cache/ssl_zoo`, one file for each root and set of options. A file that is added, removed
    or changed (its size or time) makes that file be written anew.

    Args:
        root: The folder or archive.
        image_size: Side, or height and width, to which images are resized so that they just cover it (bilinear, antialiased)
            and then centre-cropped. Without it, all images must have one size.
        mode: RGB for three channels, L for grey.
        skip_broken: Leave out images that cannot be read, and say so, instead of refusing the folder.
        cache: Keep the decoded arrays on disk.

    Raises:
        InputError: No such folder, another layout, a class without images, a broken image, images of several sizes, a link in a
            circle or twice to one folder, a member of an archive that would lie outside it, an archive of over 4 GiB of images.
    """
    root = Path(os.path.abspath(os.path.expanduser(root)))
    size = (image_size, image_size) if isinstance(image_size, int) else image_size and tuple(image_size)
    for side in size or ():
        between("image_size", side, 1, 4096)  # a slip of the hand could take all memory
    if mode not in ("RGB", "L"):
        raise InputError(f"mode = '{mode}' must be RGB or L")
    source = _Folder(root) if root.is_dir() else _Archive(root)
    file = kept.cache_file(root, size, mode, skip_broken)
    dataset = kept.load(file, source.stamp) if cache else None
    if dataset is not None:
        return dataset
    layout = _lay_out(root, source.names)
    make = functools.partial(kept.room, file) if cache else np.zeros
    pixels, broken = _decode_all(root, layout.paths, source.read, size, mode, skip_broken, make)
    dataset = _assembled(root, layout, pixels, broken)
    if cache:
        kept.save(file, source.stamp, dataset)
        if isinstance(pixels, np.memmap):  # of a file that has no name; the cache's takes its place
            dataset = kept.load(file, source.stamp) or dataset
    return dataset


class _Folder:
    """Files below a folder."""

    def __init__(self, root: Path):
        self.root = root
        try:
            present = [part for part in PARTS if (root / part).is_dir()]
            found = sorted(entry for part in present for entry in ((f"{part}/", 0, 0), *_walk(f"{root}/{part}", f"{part}/")))
        except OSError as error:  # no permission, a link to nowhere
            raise InputError(f"folder '{root}' cannot be read: {error}") from error
        self.names = [name for name, _, _ in found]  # relative to the root; those of folders end in "/"
        self.stamp = kept.digest(found)

    def read(self, name: str) -> bytes:
        with open(f"{self.root}/{name}", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise ValueError(f"{size:,} bytes, which is no image")
            return file.read()


def _walk(path: str, prefix: str) -> Iterator[tuple[str, int, int]]:
    """(name, size, mtime_ns) of everything below a folder. scandir, because it must be quick with a million files.

    Args:
        path: Of the folder.
        prefix: Of the names.
    """
    top = os.stat(path)
    seen = {(top.st_dev, top.st_ino): path}  # each folder once: a few links can make more names than memory holds
    waiting = [(path, prefix)]
    while waiting:
        path, prefix = waiting.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    status = entry.stat()
                    other = seen.setdefault((status.st_dev, status.st_ino), entry.path)
                    if entry.path.startswith(f"{other}/"):
                        raise InputError(f"'{entry.path}' is a link to a folder that it lies in; remove it")
                    if entry.path != other:
                        raise InputError(f"'{entry.path}' and '{other}' are, by a link, one folder; remove one of them")
                    yield f"{prefix}{entry.name}/", 0, 0
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                elif entry.is_file():
                    status = entry.stat()
                    yield prefix + entry.name, status.st_size, status.st_mtime_ns
                elif entry.is_symlink():  # to nowhere; where it stands for an image, it is one that cannot be read
                    yield prefix + entry.name, 0, 0
                else:
                    raise InputError(f"'{entry.path}' is neither a file nor a folder; remove it")


class _Archive:
    """Members of an archive; all are read at once, because an xz stream can only be read from its start."""

    def __init__(self, root: Path):
        if not root.exists():
            raise InputError(f"no folder or archive '{root}'; {_LAYOUT}; say where it is with --data-root")
        if not root.name.lower().endswith(ARCHIVES) or not root.is_file():
            raise InputError(f"'{root}' is neither a folder nor an archive ({', '.join(ARCHIVES)}); {_LAYOUT}")
        self.root = root
        status = root.stat()
        self.stamp = kept.digest([(root.name, status.st_size, status.st_mtime_ns)])

    @property
    def names(self) -> list[str]:
        return list(self._contents)

    def read(self, name: str) -> bytes:
        return self._contents[name]

    @functools.cached_property
    def _contents(self) -> dict[str, bytes]:
        members = _zip_members if self.root.name.lower().endswith(".zip") else _tar_members
        found: dict[str, bytes] = {}
        total = 0
        try:
            for member, data in members(self.root):
                name = str(PurePosixPath(member)) + "/" * member.endswith("/")  # without "./"
                if name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name:
                    raise _refused(self.root, name, ", which would lie outside it")
                if name in found and not name.endswith("/"):
                    raise _refused(self.root, name, " twice")
                total += len(data)
                if total > LARGEST_ARCHIVE:
                    raise InputError(
                        f"archive '{self.root}' holds over {LARGEST_ARCHIVE:,} bytes of images; unpack it into a folder"
                    )
                if not _hidden(member):
                    found[name] = data
        except (InputError, MemoryError):
            raise
        except Exception as error:  # what a damaged one can make the decompressors raise is in no documentation
            raise InputError(f"archive '{self.root}' cannot be read ({error}): damaged, encrypted or of another kind") from error
        tops = {name.partition("/")[0] for name in found}
        if len(tops) == 1 and not tops & set(PARTS):  # one folder around it all
            found = {name.partition("/")[2]: data for name, data in found.items()}
        return found


def _zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            wanted = _wanted(path, member.filename, member.file_size)
            yield member.filename, archive.read(member) if wanted else b""


class _Bounded:
    """A file that is read in pieces of at most `LARGEST` bytes: tarfile reads a member's headers whole, however long they are."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST:
            raise ValueError(f"a header of {size:,} bytes")
        return self._read(size)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    openers = {".xz": lzma.open, ".gz": gzip.open, ".tgz": gzip.open}
    with openers.get(path.suffix.lower(), open)(path, "rb") as file, tarfile.open(fileobj=_Bounded(file), mode="r:") as archive:
        for member in archive:
            if member.isdir():
                yield member.name + "/", b""
                continue
            if not (member.isreg() or member.islnk() or member.issym()):
                raise _refused(path, member.name, ", which is neither a file nor a folder")
            wanted = _wanted(path, member.name, member.size)
            stream = archive.extractfile(member) if wanted else None
            yield member.name, stream.read() if stream is not None else b""


def _wanted(path: Path, name: str, size: int) -> bool:
    """Whether a member is worth reading: an image by its name. Its size is bounded whatever it is."""
    if size > LARGEST:  # a few kilobytes of archive can hold as much as anybody likes
        raise _refused(path, name, f" of {size:,} bytes, which is no image")
    return name.lower().endswith(IMAGES) and not _hidden(name)


def _refused(path: Path, name: str, why: str) -> InputError:
    return InputError(f"archive '{path}' has a member '{name}'{why}; make it anew without")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)  # "./train" has no part "."


class _Layout(NamedTuple):
    """Which images there are and what is known of them."""

    classes: tuple[str, ...]
    paths: list[str]  # train, unlabeled, test; each sorted
    labels: np.ndarray  # int64, one for each path, -1 in unlabeled
    rows: int  # N: train and unlabeled
    others: list[str]  # files that are no images by their names


def _lay_out(root: Path, names: Iterable[str]) -> _Layout:
    """Sort the names (those of folders end in "/") into parts and classes, or say what is wrong with them."""
    split = {name: name.split("/") for name in names}
    for part in ("train", "test"):
        if not any(pieces[0] == part and len(pieces) > 1 for pieces in split.values()):
            raise InputError(f"'{root}' has no {part}/ folder; {_LAYOUT}")
    inside = {part: {p[1] for p in split.values() if p[0] == part and len(p) > 2} for part in ("train", "test")}  # classes
    missing, surplus = sorted(inside["train"] - inside["test"]), sorted(inside["test"] - inside["train"])
    if missing or surplus:
        differences = [f"test/ lacks {missing}"] * bool(missing) + [f"train/ lacks {surplus}"] * bool(surplus)
        raise InputError(f"'{root}' must have the same classes in train/ and test/, but {' and '.join(differences)}")
    if not inside["train"]:
        raise InputError(f"'{root}' has no class folders in train/ and test/; {_LAYOUT}")

    classes = tuple(sorted(inside["train"]))
    images = {part: sorted(n for n, p in split.items() if p[0] == part and n.lower().endswith(IMAGES)) for part in PARTS}
    for part in ("train", "test"):
        stray = next((name for name in images[part] if len(split[name]) == 2), None)
        if stray:
            raise InputError(f"'{root}/{stray}' lies in no class folder; {_LAYOUT}")
        empty = inside[part] - {split[name][1] for name in images[part]}
        if empty:
            raise InputError(f"class folder '{root}/{part}/{min(empty)}' has no images ({', '.join(IMAGES)}); fill or remove it")
    if not images["unlabeled"] and any(pieces[0] == "unlabeled" for pieces in split.values()):
        raise InputError(f"'{root}/unlabeled' has no images ({', '.join(IMAGES)}); fill or remove it")

    number = {name: k for k, name in enumerate(classes)}
    paths = images["train"] + images["unlabeled"] + images["test"]
    labels = [-1 if split[path][0] == "unlabeled" else number[split[path][1]] for path in paths]
    others = sorted(n for n, p in split.items() if p[0] in PARTS and not n.endswith("/") and not n.lower().endswith(IMAGES))
    return _Layout(classes, paths, np.array(labels, dtype=np.int64), len(paths) - len(images["test"]), others)


def _assembled(root: Path, layout: _Layout, pixels: np.ndarray, broken: dict[int, str]) -> Dataset:
    """The data set of all images but the broken ones, (place in the layout, reason)."""
    paths, labels, n = layout.paths, layout.labels, layout.rows
    if broken:
        keep = np.setdiff1d(np.arange(len(paths)), list(broken))
        n = int((keep < n).sum())
        for place, row in enumerate(keep):  # in place: there may be no room for a second array
            pixels[place] = pixels[row]
        paths, labels, pixels = [paths[i] for i in keep], labels[keep], pixels[: len(keep)]
        for part, left in {"train": labels[:n], "test": labels[n:]}.items():
            empty = sorted({*range(len(layout.classes))} - {*left.tolist()})
            if empty:
                raise InputError(
                    f"class folder '{root}/{part}/{layout.classes[empty[0]]}' has no image that can be read; fill it"
                )
    skipped = [*broken.values(), *(f"'{root}/{name}' is no image by its name" for name in layout.others)]
    return Dataset("folder", pixels[:n], labels[:n], pixels[n:], labels[n:], layout.classes, tuple(paths), tuple(skipped))


def _decode_all(
    root: Path,
    paths: list[str],
    read: _Read,
    size: _Size,
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
        chunk = paths[start : start + _CHUNK]
        for i, path in enumerate(chunk, start):
            image = decoded(i)
            if image is None:
                continue
            if image.shape != first.shape:
                sizes = [f"'{root}/{name}' is {s[0]}x{s[1]}" for name, s in ((paths[0], first.shape), (path, image.shape))]
                raise InputError(f"images differ in size: {' and '.join(sizes)} (height x width); give --image-size")
            pixels[i] = image
        return len(chunk)

    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between redraws; a log file wants few
    progress = tqdm(total=len(paths), desc="decoding", unit="image", delay=1, mininterval=pause)
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress as bar:
        for done in pool.map(fill, range(0, len(paths), _CHUNK)):  # in order, so it is always the same broken image that is named
            bar.update(done)
    return pixels, dict(sorted(broken.items()))


def _decode(root: Path, path: str, read: _Read, size: _Size, mode: str) -> np.ndarray:
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
