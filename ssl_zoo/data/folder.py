"""A user's own images: class folders, an archive of them, or a table of labels, decoded once and kept in a cache."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from ssl_zoo.data import cache as kept
from ssl_zoo.data import room as place
from ssl_zoo.data.archive import Archive
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.decode import Options, Pixels, Source, decode_all, read_file
from ssl_zoo.data.image import BILINEAR, height_and_width
from ssl_zoo.data.labels import TABLES, lay_out_table, read_table
from ssl_zoo.data.layout import Layout, find_top, lay_out
from ssl_zoo.data.listing import Listed, children, walk
from ssl_zoo.data.names import is_image, part_of
from ssl_zoo.data.pieces import Pieces, mark_of
from ssl_zoo.data.sources import looked_at
from ssl_zoo.data.texts import Texts
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS


def look(root: Path) -> None:
    """Look whether there is such a folder, archive or table of labels.

    Raises:
        InputError: There is none.
    """
    root = _absolute(root)
    if not root.is_dir() and root.suffix.lower() not in TABLES:
        Archive(root)
    elif not root.exists():
        raise InputError(f"no table of labels '{root}'; say where it is with `data_root`")


@DATASETS.register("folder")
@looked_at(look)
def folder(
    root: Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    interpolation: Literal["auto", "bilinear", "bicubic"] = "auto",
    mode: Literal["RGB", "L"] = "RGB",
    skip_broken: bool = False,
    labels_file: str | None = None,
    cache: bool = True,
) -> Dataset:
    """Your images: class folders, or train/<class>/, test/<class>/ and unlabeled/, or a table of labels.

    Classes are the sorted names of the class folders. Rows are train's images by relative path, then those of
    validation/ and of unlabeled/, which have class -1. Without test/ there are no test images. Images may lie at any
    depth; hidden files and folders, and a system's own, are skipped; links are followed. Of EXIF the orientation is
    applied; transparency is dropped, but an image that has its shape there alone is put on white; 16 bits become 8; of
    an animation the first frame is taken. What a file is, its content tells; but one whose name ends as no image's does
    is left out, and said to be. An archive (.zip, .tar, .tar.gz, .tgz, .tar.xz) is never unpacked to disk. A table is a
    CSV file with the columns path and label.

    The decoded arrays are kept in `$SSL_ZOO_CACHE`, `$XDG_CACHE_HOME/ssl_zoo` or `~/.cache/ssl_zoo`, one file for each
    root and set of options; sets larger than memory are read from there. When files are added, removed or changed
    (their size or time), that file is written anew, and only these are decoded. Decoding that is interrupted is gone on
    with the next time.

    Args:
        root: The folder, archive, or table of labels.
        image_size: Side, or height and width, to which images are resized so that they just cover it (antialiased) and
            then centre-cropped. Without it, all images must have one size.
        interpolation: How they are resized; auto: as for the pretrained weights of a run's net, else bilinear.
        mode: RGB for three channels, L for grey.
        skip_broken: Leave out images that cannot be read, and say so, instead of refusing the folder.
        labels_file: A table of labels for the images in the root; its paths are relative to it, or to the root.
        cache: Keep the decoded arrays on disk.

    Raises:
        InputError: No such folder, another layout, a class without images, broken images, several sizes, a link in a
            circle or twice to one folder, an archive with a member outside it or over 4 GiB of images, a table whose
            files are not there.
    """
    root = _absolute(root)
    how = BILINEAR if interpolation == "auto" else interpolation  # a run has settled it
    options = Options(height_and_width(image_size), mode, skip_broken, how).checked()
    source = source_of(root, labels_file)
    more = [*filter(None, (labels_file, how.replace(BILINEAR, "")))]  # what was kept before there was a choice serves on
    file = kept.cache_file(root, *options[:3], *more) if cache else None
    if file is not None and (dataset := kept.load(file, source.stamp)) is not None:
        return dataset
    serves = kept.cache_file(root, options.size, options.mode, *more) if cache else None  # with and without broken images
    return _decoded(source, options, file, serves)


def _decoded(source: "_Images", options: Options, file: Path | None, serves: Path | None) -> Dataset:
    """Decode all images that the cache's file does not have, and keep them there.

    Args:
        source: Of the images.
        options: How they are decoded.
        file: Of the cache.
        serves: Beside which pieces are kept.
    """
    layout, done = source.layout(), False
    earlier = None if file is None else kept.earlier(file)
    pieces, since = Pieces(serves, earlier), ""
    make = np.zeros if file is None else functools.partial(place.room, file)
    try:
        pixels = decode_all(source, layout.paths, options, pieces, make)
        dataset = _assembled(source, layout, pixels)
        records = np.delete(pixels.records, list(pixels.broken))
        since = "" if earlier is None else earlier.changes(records)
        earlier = None
        pieces.release()
        if file is not None and not pixels.passing:
            dataset = kept.save(file, source.stamp, dataset, records)
            done = True
    finally:
        pieces.close(done)
    if done and isinstance(pixels.array, np.memmap):  # of a file that has no name; the cache's takes its place
        dataset = kept.load(file, source.stamp) or dataset  # type: ignore[arg-type]
    note = (f"images changed since they were last decoded ({since}); the others were not decoded again",) if since else ()
    return dataset._replace(notes=(*note, *dataset.notes))


class _Images(Source, Protocol):
    """Where images come from."""

    stamp: str  # of all that is there

    def layout(self) -> Layout: ...


def source_of(root: Path, labels_file: str | None) -> _Images:
    """Return where images come from: files below a folder, files that a table names, or an archive.

    Raises:
        InputError: It cannot be read, or a table names files that are not there.
    """
    root = _absolute(root)
    if labels_file is not None:
        if not root.is_dir():
            raise InputError(
                f"`labels_file` needs images in a folder, and '{root}' is none; unpack an archive, or give a table alone as "
                "`data_root`"
            )
        beside = root / os.path.expanduser(labels_file)  # as it is called by somebody who thinks of the folder
        table = _absolute(Path(labels_file))
        return _Table(beside if beside.is_file() and not table.exists() else table, root)
    if root.is_file() and root.suffix.lower() in TABLES:
        return _Table(root)
    return _Folder(root) if root.is_dir() else Archive(root)


def _absolute(root: Path) -> Path:
    return Path(os.path.abspath(os.path.expanduser(root)))


class _Files:
    """Files of a file system."""

    def __init__(self, shown: str):
        self.shown = shown
        self._states: dict[str, tuple[int, int]] = {}  # size and mtime_ns of each file

    def file(self, path: str) -> str:
        """Return the path of a file."""
        return f"{self.shown}/{path}"

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return read_file(self.file(path))

    def mark(self, path: str) -> bytes:
        """Return what tells this state of the file from any other."""
        return mark_of(path, str(self._states.get(path)))


class _Folder(_Files):
    """Files below a folder."""

    def __init__(self, root: Path):
        self.root = root
        try:
            self.top = find_top(lambda prefix: children(f"{root}/{prefix}"))
            super().__init__(f"{root}/{self.top}".rstrip("/"))
            self.stamp = self._stamp(self._listing())
        except OSError as error:  # no permission, a link to nowhere
            raise InputError(f"folder '{root}' cannot be read: {error}") from error

    def _stamp(self, found: Iterable[Listed]) -> str:
        ours = (entry for entry in found if "/" in entry[0] or is_image(entry[0]))
        return kept.digest(itertools.chain([(self.top, 0, 0)], ours))

    def _listing(self) -> Iterator[Listed]:
        """Everything that may belong to it, sorted. Where there is a train/, only the parts are gone through."""
        here = list(children(self.shown))
        train = any(part_of(name) == "train" for name, is_folder in here if is_folder)
        for name in sorted(f"{name}/" if is_folder else name for name, is_folder in here):
            yield name, 0, 0
            if name.endswith("/") and (not train or part_of(name[:-1]) is not None):
                yield from walk(self.shown, name)

    def _noted(self) -> Iterator[Listed]:
        """The listing, whose states are kept on the way."""
        for name, size, time in self._listing():
            self._states[name] = (size, time)
            yield name, size, time

    def layout(self) -> Layout:
        """Return which images are of which part and class. They are listed again, and all is kept that was seen."""
        self._states = {}
        self.stamp = self._stamp(self._noted())
        return lay_out(self.root, self.top, self._states)


class _Table(_Files):
    """Files that a table names."""

    def __init__(self, table: Path, root: Path | None = None):
        super().__init__(str(table.parent))
        self.table = table
        self._layout, files = lay_out_table(table, read_table(table), [table.parent, *([root] if root else [])])
        self._files = dict(zip(self._layout.paths, files, strict=True))
        stats = {path: os.stat(file) for path, file in self._files.items()}
        self._states = {path: (status.st_size, status.st_mtime_ns) for path, status in stats.items()}
        lines = zip(self._layout.paths, self._layout.labels.tolist(), strict=True)
        parts = (*self._layout.classes, str(self._layout.rows), str(self._layout.validation))
        listed = [(f"{path}\0{label}", *self._states[path]) for path, label in lines]
        self.stamp = kept.digest([*((part, 0, 0) for part in parts), *listed])

    def file(self, path: str) -> str:
        """Return the path of a file."""
        return self._files[path]

    def layout(self) -> Layout:
        """Return what the table says."""
        return self._layout


def _assembled(source: _Images, layout: Layout, found: Pixels) -> Dataset:
    """The data set of all images but the broken ones."""
    paths, labels, n, pixels = layout.paths, layout.labels, layout.rows, found.array
    first, last = layout.validation
    if found.broken:
        keep = np.setdiff1d(np.arange(len(paths)), list(found.broken))
        n, first, last = (int((keep < row).sum()) for row in (n, first, last))
        for to, row in enumerate(keep):  # in place: there may be no room for a second array
            pixels[to] = pixels[row]
        paths, labels, pixels = [paths[i] for i in keep.tolist()], labels[keep], pixels[: len(keep)]
        empty = sorted({*range(len(layout.classes))} - {*labels[:first].tolist()})
        if empty:
            raise InputError(
                f"the class '{layout.classes[empty[0]]}' in '{source.shown}' has no image that can be read; give it some"
            )
        if n == len(paths) and layout.rows < len(layout.paths):
            raise InputError(f"the test part of '{source.shown}' has no image that can be read; fill or remove it")
    skipped = [
        *(f"{reason}" for reason in found.broken.values()),
        *(f"'{source.shown}/{name}' is no image by its name" for name in layout.others),
    ]
    return Dataset(
        "folder",
        *(pixels[:n], labels[:n], pixels[n:], labels[n:]),
        layout.classes,
        Texts.of(paths),
        tuple(skipped),
        (*layout.notes, *found.notes),
        validation=(first, last),
        depth=found.depth,
    )
