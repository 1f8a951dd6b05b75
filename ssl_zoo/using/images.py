"""Images to predict, one after the other, from files, folders, archives and tables."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.data.archive import Archive
from ssl_zoo.data.decode import read_file
from ssl_zoo.data.labels import TABLES, find_file, read_table
from ssl_zoo.data.names import ARCHIVES, IMAGES, is_hidden, is_image, part_of
from ssl_zoo.errors import InputError


class Item(NamedTuple):
    """One image."""

    path: str  # as it is written into the predictions
    label: int | None  # its class, where it is known
    read: Callable[[], bytes]  # raises OSError or ValueError


class Images:
    """The images of some paths, in a fixed order. May be gone through more than once.

    Attributes:
        classes: Names, in the order of a net's.
        unknown: Names of folders beside class folders that are no class, once the images were gone through.

    Args:
        paths: Of image files, folders (all images below), archives, and tables of labels (CSV).
        classes: Names, which folders and labels may have.

    Raises:
        InputError: A path is none of these, or has no image; a table has a label that is no class.
    """

    def __init__(self, paths: Sequence[str | os.PathLike], classes: Sequence[str]):
        self.classes, self.unknown = tuple(classes), set[str]()
        self._number = {unicodedata.normalize("NFC", name): k for k, name in enumerate(classes)}
        if not paths:
            raise InputError("no images are given; name files, folders, an archive or a table of labels")
        self._sources = [self._source(path) for path in _outermost([Path(os.path.expanduser(path)) for path in paths])]

    def __iter__(self) -> Iterator[Item]:
        for source in self._sources:
            yield from source()

    def _source(self, path: Path) -> Callable[[], Iterator[Item]]:
        name = path.name.lower()
        if path.is_dir():
            if next(_below(path), None) is None:
                raise InputError(f"'{path}' has no image ({', '.join(IMAGES)}) in it or below")
            return partial(self._folder, path)
        if not path.exists():
            raise InputError(f"there is no '{path}'; give files, folders, an archive or a table of labels")
        if name.endswith(TABLES):
            return self._table(path)
        if name.endswith(ARCHIVES):
            return self._archive(path)
        return lambda: iter([Item(str(path), None, partial(read_file, str(path)))])

    def _folder(self, root: Path) -> Iterator[Item]:
        for place in _below(root):
            folders = os.path.relpath(place, root).split(os.sep)[:-1]
            label = self._label(folders) if folders else self._class_of(os.path.basename(os.path.abspath(root)))
            yield Item(place.removeprefix("./"), label, partial(read_file, place))

    def _archive(self, path: Path) -> Callable[[], Iterator[Item]]:
        archive = Archive(path)
        names = sorted(archive.members())
        if not names:
            raise InputError(f"archive '{path}' has no image ({', '.join(IMAGES)})")

        def items() -> Iterator[Item]:
            for name in names:
                yield Item(f"{path}/{name}", self._label(name.split("/")[:-1]), partial(archive.read, name))

        return items

    def _table(self, table: Path) -> Callable[[], Iterator[Item]]:
        lines = read_table(table)
        odd = next((line for line in lines if line.label.strip() and self._class_of(line.label) is None), None)
        if odd is not None:
            raise InputError(
                f"labels '{table}', line {odd.number}: the net has no class '{odd.label}'; its classes are "
                f"{', '.join(self.classes[:8])}{' and more' if len(self.classes) > 8 else ''}"
            )
        if not lines:
            raise InputError(f"labels '{table}' have no line with an image")

        def items() -> Iterator[Item]:
            for line in lines:
                place = find_file(line.path, [table.parent]) or os.path.join(table.parent, line.path)
                yield Item(place.removeprefix("./"), self._class_of(line.label), partial(read_file, place))

        return items

    def _class_of(self, name: str) -> int | None:
        return self._number.get(unicodedata.normalize("NFC", name))

    def _label(self, folders: Sequence[str]) -> int | None:
        """The class that the folders of an image say: the first that is one, after a part's."""
        if len(folders) > 1 and part_of(folders[0]) is not None and self._class_of(folders[1]) is not None:
            folders = folders[1:]
        label = next((k for folder in folders if (k := self._class_of(folder)) is not None), None)
        if label is None and folders and part_of(folders[0]) is None and len(self.unknown) < 100:
            self.unknown.add(folders[-1])
        return label


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Leave out what is given twice, or is found in a folder that is given too."""
    real = [(os.path.realpath(path), path) for path in paths]
    folders = {place for place, _ in real if os.path.isdir(place)}
    found: dict[str, Path] = {}
    for place, path in real:
        if not any(_finds(parent, Path(place)) for parent in Path(place).parents if str(parent) in folders):
            found.setdefault(place, path)
    return [*found.values()]


def _finds(folder: Path, place: Path) -> bool:
    """Whether an image or a folder of images is found by who looks through a folder above it."""
    hidden = any(is_hidden(name) for name in place.relative_to(folder).parts)
    return not hidden and (place.is_dir() or is_image(place.name))


def _below(root: Path) -> Iterator[str]:
    """Paths of all images in a folder and below, hidden ones left out; of each folder sorted, files first."""
    seen = set[tuple[int, int]]()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was gone through
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name))
        yield from (os.path.join(folder, name) for name, is_folder in found if not is_folder and is_image(name))
        waiting += [os.path.join(folder, name) for name, is_folder in reversed(found) if is_folder]
