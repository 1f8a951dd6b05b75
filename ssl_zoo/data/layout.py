"""Which images of a folder or archive are of which part and class, by their names alone."""

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.names import IMAGES, PARTS, TEST, TRAIN, UNLABELED, VALIDATION, is_image, part_of, spelled
from ssl_zoo.errors import InputError

EXPECTED = "expected class folders <class>/<image>, or train/<class>/<image> and, optionally, test/<class>/ and unlabeled/"
SHOWN = 8  # names in a message

Children = Callable[[str], Iterable[tuple[str, bool]]]  # of a prefix ("" or "a/b/"): the visible names there, whether folders


class Layout(NamedTuple):
    """Which images there are and what is known of them."""

    classes: tuple[str, ...]
    paths: list[str]  # train, validation, unlabeled, test; each sorted
    labels: np.ndarray  # int64, one for each path, -1 in unlabeled
    rows: int  # N: all but test
    validation: tuple[int, int]  # first and last + 1 of the rows that are only to validate by
    others: list[str]  # files that are no images by their names
    notes: list[str]  # what was understood that a user might not expect


def find_top(children: Children) -> str:
    """Return the prefix of the folder that holds the data: "" or, with one folder or more around them all, "photos/".

    Args:
        children: Lists a folder.
    """
    prefix = ""
    while True:
        listed = list(children(prefix))
        folders = [name for name, is_folder in listed if is_folder]
        images = any(is_image(name) for name, is_folder in listed if not is_folder)
        if images or len(folders) != 1 or part_of(folders[0]) is not None:
            return prefix
        inner = list(children(f"{prefix}{folders[0]}/"))
        if not any(is_folder for _, is_folder in inner):  # one class folder
            return prefix
        prefix = f"{prefix}{folders[0]}/"


def lay_out(root: Path, top: str, names: Iterable[str]) -> Layout:
    """Sort names into parts and classes, or say what is wrong with them.

    Args:
        root: For messages.
        top: The folder in it that holds the data, as `find_top` gives it.
        names: Of files and folders below that, hidden ones left out; those of folders end in "/".

    Raises:
        InputError: They are no data set: no class folders, one class, a class without images, loose images, and others.
    """
    return _Sorting(root, top, names).layout()


class _Sorting:
    """One folder's names, sorted step by step."""

    def __init__(self, root: Path, top: str, names: Iterable[str]):
        self.shown = f"{root}/{top}".rstrip("/")
        self.notes = [f"the data lie in '{self.shown}'"] if top else []
        self.pieces = {name: _pieces(name) for name in names}
        self.tables_help = "give that file as `data_root`" if root.is_dir() else "unpack the archive, and give that file"

    def layout(self) -> Layout:
        inside = self._parts()
        found = {part: self._classes(part, inside[part]) for part in (TRAIN, TEST, VALIDATION) if part in inside}
        if TRAIN not in found and inside:
            here = ", ".join(f"{folder}/" for folder in self.named)
            raise InputError(
                f"'{self.shown}' has {here} and nothing to train on: no train/ folder and no class folders{self._instead()}; "
                f"{EXPECTED}"
            )
        if TRAIN not in found:
            raise InputError(f"'{self.shown}' has no train/ folder and no class folders{self._instead()}; {EXPECTED}")
        if TEST not in found and VALIDATION in found:
            self.notes.append(f"'{self.folder[VALIDATION]}' is the test set, as there is no test/")
            found[TEST], self.folder[TEST] = found.pop(VALIDATION), self.folder.pop(VALIDATION)
            self.named = {folder: part for folder, part in self.named.items() if part != VALIDATION}
        self._say_taken()
        classes = tuple(sorted({kind for _, kind in found[TRAIN]}))
        self._check(classes, found)
        number = {name: k for k, name in enumerate(classes)}
        unlabeled = [(name, None) for name in sorted(filter(is_image, inside.get(UNLABELED, ())))]
        if UNLABELED in inside and not unlabeled:
            raise InputError(f"'{self.folder[UNLABELED]}' has no images ({', '.join(IMAGES)}); fill or remove it")
        listed = [found[TRAIN], found.get(VALIDATION, []), unlabeled, found.get(TEST, [])]
        paths = [name for part in listed for name, _ in part]
        labels = [-1 if kind is None else number[kind] for part in listed for _, kind in part]
        first = len(listed[0])
        others = sorted(n for part in inside.values() for n in part if not n.endswith("/") and not is_image(n))
        validation = (first, first + len(listed[1]))
        rows = len(paths) - len(listed[3])
        return Layout(classes, paths, np.array(labels, dtype=np.int64), rows, validation, others, self.notes)

    def _parts(self) -> dict[str, dict[str, list[str]]]:
        """Of each part that is there: its names, each with the pieces below the part's folder."""
        tops = sorted({pieces[0] for pieces in self.pieces.values() if len(pieces) > 1})
        named = {folder: part for folder in tops if (part := part_of(folder)) is not None}
        for part in (TRAIN, TEST, VALIDATION):
            both = [folder for folder, of in named.items() if of == part]
            if len(both) > 1:
                raise InputError(f"'{self.shown}' has {both[0]}/ and {both[1]}/, which say the same; join them")
        self.named = named
        self.folder = {part: f"{self.shown}/{folder}" for folder, part in named.items()}
        inside: dict[str, dict[str, list[str]]] = {part: {} for part in PARTS if part in named.values()}
        self.spare = spare = [folder for folder in tops if folder not in named]
        if TRAIN not in inside and spare:
            inside[TRAIN], self.folder[TRAIN] = {}, self.shown
            self._refuse_turned_round(spare)
        for name, pieces in self.pieces.items():
            part = named.get(pieces[0]) if len(pieces) > 1 else None
            if part is not None:
                inside[part][name] = pieces[1:]
            elif len(pieces) > 1 and self.folder.get(TRAIN) == self.shown:
                inside[TRAIN][name] = pieces
        self._say_unread()
        return inside

    def _say_unread(self) -> None:
        """Name what lies beside the parts."""
        if self.folder.get(TRAIN) not in (None, self.shown) and self.spare:
            shown = _listed(f"{name}/" for name in self.spare)
            self.notes.append(f"beside train/, {shown} is not read; images without labels belong in unlabeled/")
        loose = [name for name, pieces in self.pieces.items() if len(pieces) == 1 and is_image(name)]
        if loose:
            self.notes.append(
                f"in no folder of '{self.shown}', and not read: {_images(len(loose))}, such as {min(loose)}; images without "
                "labels belong in unlabeled/"
            )

    def _say_taken(self) -> None:
        """Name parts that are not called as such, and folders below classes that look like parts or classes."""
        for folder, part in self.named.items():
            if folder.casefold() != part:
                meaning = "images without labels" if part == UNLABELED else f"the {part} part"
                self.notes.append(f"'{self.shown}/{folder}' is taken as {meaning}")

    def _refuse_turned_round(self, spare: list[str]) -> None:
        """<class>/train/ in place of train/<class>/."""
        below = [{part_of(p[1]) for p in self.pieces.values() if p[0] == folder and len(p) > 2} for folder in spare]
        if len(spare) > 1 and all(TRAIN in parts for parts in below):
            raise InputError(f"'{self.shown}/{spare[0]}' holds train/: parts come first; {EXPECTED}")

    def _classes(self, part: str, inside: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """(name, class) of each image of a part that has classes, sorted by name."""
        depth = self._depth(part, inside)
        images = {name: pieces for name, pieces in inside.items() if is_image(name)}
        loose = sorted(name for name, pieces in images.items() if len(pieces) <= depth + 1)
        if loose:
            raise InputError(
                f"'{self.folder[part]}' has {_images(len(loose))} in no class folder, such as '{self.shown}/{loose[0]}'; sort "
                f"them into {part}/<class>/, or move them to unlabeled/{self._or_a_class(part, len(loose) == len(images))}"
            )
        folders = {p[depth]: spelled(p[depth]) for p in inside.values() if len(p) > depth + 1}
        filled = {spelled(pieces[depth]) for pieces in images.values()}
        self._say_alike(part, [(pieces[depth], pieces[depth + 1 : -1]) for pieces in images.values()])
        empty = sorted(kind for kind in {*folders.values()} - filled if kind)
        if empty and (part == TRAIN or not filled):
            raise InputError(
                f"class folder '{self.folder[part]}/{empty[0]}' has no images{self._files_of(empty[0], inside, depth)}"
            )
        if not folders:
            way = f"sort its images into {part}/<class>/, or remove it" if part != TRAIN else EXPECTED
            raise InputError(f"'{self.folder[part]}' has no class folders{self._instead()}; {way}")
        return sorted((name, spelled(pieces[depth])) for name, pieces in images.items())

    def _or_a_class(self, part: str, loose: bool) -> str:
        """A class that is called as a part is, or images whose labels are in a table."""
        if not loose:
            return ""
        name = self.folder[part].rpartition("/")[2]
        free = f"a new folder, rename that to train/, and so have '{self.shown}/train/{name}'"
        return f"{self._table()}; if '{name}' is a class, move all class folders into {free}"

    def _say_alike(self, part: str, inner: Iterable[tuple[str, list[str]]]) -> None:
        """Say where all class folders hold folders of the same names: parts, perhaps, in another language."""
        below: dict[str, set[str]] = {}
        for kind, folders in inner:
            below.setdefault(spelled(kind), set()).update(folders[:1])
        names = [*below.values()]
        if len(names) > 1 and len(names[0]) > 1 and all(here == names[0] for here in names):
            self.notes.append(
                f"each class folder of '{self.folder[part]}' holds {_listed(f'{name}/' for name in sorted(names[0]))}, and all "
                "images below are of that class; if these are parts, they come first: train/<class>/, test/<class>/"
            )

    def _depth(self, part: str, inside: Mapping[str, list[str]]) -> int:
        """How many folders lie between a part's and the class folders: none, or one more around them all."""
        depth = 0
        while True:
            below = {pieces[depth] for pieces in inside.values() if len(pieces) > depth + 1}
            direct = any(len(p) == depth + 1 and is_image(name) for name, p in inside.items())
            inner = {p[depth + 1] for name, p in inside.items() if len(p) > depth + 2 and is_image(name)}
            in_it = any(len(p) == depth + 2 and is_image(name) for name, p in inside.items())
            if direct or in_it or len(below) != 1 or len(inner) < 2:
                return depth
            if any(part_of(folder) for folder in inner):
                raise InputError(f"'{self.folder[part]}/{min(below)}' holds {min(inner)}/, which is a part; {EXPECTED}")
            self.notes.append(f"the class folders of {part}/ lie in '{self.folder[part]}/{min(below)}'")
            self.folder[part] += f"/{min(below)}"
            depth += 1

    def _files_of(self, kind: str, inside: Mapping[str, list[str]], depth: int) -> str:
        """What a class folder without images has in their place, and what to do."""
        files = sorted(n for n, p in inside.items() if len(p) > depth + 1 and spelled(p[depth]) == kind and not n.endswith("/"))
        if not files:
            return f" ({', '.join(IMAGES)}); fill or remove it"
        return f", but {len(files)} files of another kind, such as '{self.shown}/{files[0]}'; convert them, or remove the folder"

    def _check(self, classes: tuple[str, ...], found: Mapping[str, list[tuple[str, str]]]) -> None:
        """Whether a classifier can be trained and scored on them."""
        if len(classes) == 1:
            raise InputError(
                f"'{self.folder[TRAIN]}' has one class only, '{classes[0]}', so that any net is right; add a folder with images "
                f"of another class{self._table()}"
            )
        alike: dict[str, str] = {}
        for name in classes:
            other = alike.setdefault(" ".join(name.casefold().split()), name)
            if other != name:
                raise InputError(
                    f"the classes '{other}' and '{name}' in '{self.folder[TRAIN]}' differ by case or spaces alone; join their "
                    "folders"
                )
        for part in (TEST, VALIDATION):
            if part not in found:
                continue
            here = Counter(kind for _, kind in found[part])
            unknown = sorted(here.keys() - {*classes})
            if unknown:
                near = next((name for name in classes if name.casefold().strip() == unknown[0].casefold().strip()), None)
                way = f"rename it to {near}" if near else "add some to train/, or remove it"
                raise InputError(
                    f"class folder '{self.folder[part]}/{unknown[0]}' has no counterpart with labelled images in train/; {way}"
                )
            lacking = [name for name in classes if name not in here]
            if lacking:
                shown = _listed(lacking)
                self.notes.append(f"'{self.folder[part]}' has no image of {shown}: scores are of the others")

    def _instead(self) -> str:
        """What is there in place of class folders."""
        loose = sum(is_image(name) and len(p) == 1 for name, p in self.pieces.items())
        return self._table() or (f", only {_images(loose)} in no class folder" if loose else "")

    def _table(self) -> str:
        """A table that may hold the labels."""
        tables = sorted(p[0] for p in self.pieces.values() if len(p) == 1 and p[0].lower().endswith((".csv", ".tsv")))
        return f"; if '{self.shown}/{tables[0]}' holds the labels, {self.tables_help}" if tables else ""


def _pieces(name: str) -> list[str]:
    """The folders of a name, of each of which there is one text for all names, and what lies in them."""
    *folders, last = name.split("/")
    return [*map(sys.intern, folders), last]


def _listed(names: Iterable[str]) -> str:
    first = [*itertools.islice(names, SHOWN + 1)]
    return f"{', '.join(first[:SHOWN])}{' and more' if len(first) > SHOWN else ''}"


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
