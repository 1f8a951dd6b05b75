"""A user's own images: class folders, or an archive of them, decoded once and then kept in a cache."""

import functools
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ssl_zoo.data.cache import cache_file, digest, load, save
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import InputError, between
from ssl_zoo.registry import DATASETS

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS = ("train", "test", "unlabeled")
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
    cache: bool = True,
) -> Dataset:
    """Your images: a folder or archive with train/<class>/, test/<class>/ and an optional unlabeled/.

    Classes are the sorted names of train's folders. Rows are train's images by relative path, then those of unlabeled/, which
    have class -1. Images may lie at any depth; hidden files and folders are skipped; EXIF orientation is applied; transparency is
    dropped. An archive (.zip, .tar, .tar.gz, .tgz, .tar.xz) may have one folder around it all and is never unpacked to disk.

    The decoded arrays are kept in `$SSL_ZOO_CACHE`, `$XDG_CACHE_HOME/ssl_zoo` or `~/.cache/ssl_zoo`, one file for each root and
    set of options. A file that is added, removed or changed (its size or time) makes that file be written anew.

    Args:
        root: The folder or archive.
        image_size: Side, or height and width, to which images are resized so that they just cover it (bilinear, antialiased)
            and then centre-cropped. Without it, all images must have one size.
        mode: RGB for three channels, L for grey.
        cache: Keep the decoded arrays on disk.

    Raises:
        InputError: No such folder, another layout, a class without images, a broken image, images of several sizes.
    """
    root = Path(os.path.abspath(root.expanduser()))
    size = (image_size, image_size) if isinstance(image_size, int) else image_size and tuple(image_size)
    for side in size or ():
        between("image_size", side, 1, 4096)  # a slip of the hand could take all memory
    if mode not in ("RGB", "L"):
        raise InputError(f"mode = '{mode}' must be RGB or L")
    source = _Folder(root) if root.is_dir() else _Archive(root)
    kept = cache_file(root, size, mode)
    dataset = load(kept, source.stamp) if cache else None
    if dataset is None:
        layout = _lay_out(root, source.names)
        pixels = _decode_all(root, layout.paths, source.read, size, mode)
        n = layout.rows
        dataset = Dataset("folder", pixels[:n], layout.labels[:n], pixels[n:], layout.labels[n:], layout.classes)
        if cache:
            save(kept, source.stamp, dataset)
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
        self.stamp = digest(found)

    def read(self, name: str) -> bytes:
        with open(f"{self.root}/{name}", "rb") as file:
            return file.read()


def _walk(path: str, prefix: str) -> Iterator[tuple[str, int, int]]:
    """(name, size, mtime_ns) of everything below a folder. scandir, because it must be quick with a million files."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield f"{prefix}{entry.name}/", 0, 0
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                status = entry.stat()
                yield prefix + entry.name, status.st_size, status.st_mtime_ns


class _Archive:
    """Members of an archive; all are read at once, because an xz stream can only be read from its start."""

    def __init__(self, root: Path):
        if not root.exists():
            raise InputError(f"no folder or archive '{root}'; {_LAYOUT}; say where it is with --data-root")
        if not root.name.lower().endswith(ARCHIVES):
            raise InputError(f"'{root}' is neither a folder nor an archive ({', '.join(ARCHIVES)}); {_LAYOUT}")
        self.root = root
        status = root.stat()
        self.stamp = digest([(root.name, status.st_size, status.st_mtime_ns)])

    @property
    def names(self) -> list[str]:
        return list(self._contents)

    def read(self, name: str) -> bytes:
        return self._contents[name]

    @functools.cached_property
    def _contents(self) -> dict[str, bytes]:
        members = _zip_members if self.root.name.lower().endswith(".zip") else _tar_members
        try:
            read = {name: data for name, data in members(self.root) if not _hidden(name)}
        except (OSError, EOFError, RuntimeError, KeyError, LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
            raise InputError(f"archive '{self.root}' cannot be read ({error}): damaged, encrypted or of another kind") from error
        found = {str(PurePosixPath(name)) + "/" * name.endswith("/"): data for name, data in read.items()}  # without "./"
        tops = {name.partition("/")[0] for name in found}
        if len(tops) == 1 and not tops & set(PARTS):  # one folder around it all
            found = {name.partition("/")[2]: data for name, data in found.items()}
        return found


def _zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield member.filename, b"" if member.is_dir() else archive.read(member)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isdir():
                yield member.name + "/", b""
            elif (stream := archive.extractfile(member)) is not None:  # None: a device or the like
                yield member.name, stream.read()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)  # "./train" has no part "."


class _Layout(NamedTuple):
    """Which images there are and what is known of them."""

    classes: tuple[str, ...]
    paths: list[str]  # train, unlabeled, test; each sorted
    labels: np.ndarray  # int64, one for each path, -1 in unlabeled
    rows: int  # N: train and unlabeled


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
    return _Layout(classes, paths, np.array(labels, dtype=np.int64), len(paths) - len(images["test"]))


def _decode_all(root: Path, paths: list[str], read: _Read, size: _Size, mode: str) -> np.ndarray:
    """(len(paths), H, W, C) uint8. Threads help with all but tiny images: Pillow's decoders release the interpreter's lock."""
    first = _decode(root, paths[0], read, size, mode)
    pixels = np.empty((len(paths), *first.shape), np.uint8)

    def fill(start: int) -> int:
        chunk = paths[start : start + _CHUNK]
        for i, path in enumerate(chunk, start):
            image = _decode(root, path, read, size, mode)
            if image.shape != first.shape:
                sizes = [f"'{root}/{name}' is {s[0]}x{s[1]}" for name, s in ((paths[0], first.shape), (path, image.shape))]
                raise InputError(f"images differ in size: {' and '.join(sizes)} (height x width); give --image-size")
            pixels[i] = image
        return len(chunk)

    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(paths), desc="decoding", unit="image", delay=1) as bar:
        for done in pool.map(fill, range(0, len(paths), _CHUNK)):  # in order, so it is always the same broken image that is named
            bar.update(done)
    return pixels


def _decode(root: Path, path: str, read: _Read, size: _Size, mode: str) -> np.ndarray:
    """One image, (H, W, C) uint8."""
    try:
        with Image.open(io.BytesIO(read(path))) as image:
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16"):  # Pillow would clip to 255, not scale
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise ValueError("32-bit pixels have no known range, save it with 8 or 16 bits")
            elif "transparency" in image.info:
                image = image.convert("RGBA")
            image = image.convert(mode)
            if size is not None:
                image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)  # Pillow's bilinear is antialiased
            return np.asarray(image).reshape(image.height, image.width, -1)
    except Exception as error:  # a broken file makes Pillow's decoders raise nearly anything
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise InputError(f"'{root}/{path}' is not an image that can be read ({reason}); repair or remove it") from error
