"""A user's own images: class folders, or an archive of them, decoded once and then kept in a cache."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from ssl_zoo.data import cache as kept
from ssl_zoo.data.archive import Archive
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.decode import LARGEST, Size, decode_all
from ssl_zoo.data.layout import PARTS, Layout, lay_out
from ssl_zoo.errors import InputError, between
from ssl_zoo.registry import DATASETS


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

    Classes are the sorted names of train's folders. Rows are train's images by relative path, then those of unlabeled/,
    which have class -1. Images may lie at any depth; hidden files and folders are skipped; links are followed. EXIF
    orientation is applied, transparency is dropped, 16 bits become 8, and of an animation the first frame is taken.
    What a file is, its content tells; but one whose name ends as no image's does is left out, and said to be. An
    archive (.zip, .tar, .tar.gz, .tgz, .tar.xz) may have one folder around it all and is never unpacked to disk.

    Sets larger than memory are decoded to the cache and read from there. The decoded arrays are kept in
    `$SSL_ZOO_CACHE`, `$XDG_CACHE_HOME/ssl_zoo` or `~/.cache/ssl_zoo`, one file for each root and set of options. A file
    that is added, removed or changed (its size or time) makes that file be written anew.

    Args:
        root: The folder or archive.
        image_size: Side, or height and width, to which images are resized so that they just cover it (bilinear,
            antialiased) and then centre-cropped. Without it, all images must have one size.
        mode: RGB for three channels, L for grey.
        skip_broken: Leave out images that cannot be read, and say so, instead of refusing the folder.
        cache: Keep the decoded arrays on disk.

    Raises:
        InputError: No such folder, another layout, a class without images, a broken image, several sizes, a link in a
            circle or twice to one folder, an archive with a member outside it or over 4 GiB of images.
    """
    root = Path(os.path.abspath(os.path.expanduser(root)))
    size = _height_and_width(image_size)
    if mode not in ("RGB", "L"):
        raise InputError(f"mode = '{mode}' must be RGB or L")
    source = _Folder(root) if root.is_dir() else Archive(root)
    file = kept.cache_file(root, size, mode, skip_broken) if cache else None
    dataset = None if file is None else kept.load(file, source.stamp)
    if dataset is not None:
        return dataset
    layout = lay_out(root, source.names)
    make = np.zeros if file is None else functools.partial(kept.room, file)
    pixels, broken = decode_all(root, layout.paths, source.read, size, mode, skip_broken, make)
    dataset = _assembled(root, layout, pixels, broken)
    if file is not None:
        kept.save(file, source.stamp, dataset)
        if isinstance(pixels, np.memmap):  # of a file that has no name; the cache's takes its place
            dataset = kept.load(file, source.stamp) or dataset
    return dataset


def _height_and_width(image_size: int | tuple[int, int] | None) -> Size:
    """What a side, or two of them, mean."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size and tuple(image_size)
    for side in size or ():
        between("image_size", side, 1, 4096)  # a slip of the hand could take all memory
    return size


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


def _assembled(root: Path, layout: Layout, pixels: np.ndarray, broken: dict[int, str]) -> Dataset:
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
