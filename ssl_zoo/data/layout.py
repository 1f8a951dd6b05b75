"""Which images of a folder or archive are of which part and class, by their names alone."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.errors import InputError

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS = ("train", "test", "unlabeled")
EXPECTED = "expected train/<class>/<image>, test/<class>/<image> and, optionally, unlabeled/<image>"


class Layout(NamedTuple):
    """Which images there are and what is known of them."""

    classes: tuple[str, ...]
    paths: list[str]  # train, unlabeled, test; each sorted
    labels: np.ndarray  # int64, one for each path, -1 in unlabeled
    rows: int  # N: train and unlabeled
    others: list[str]  # files that are no images by their names


def lay_out(root: Path, names: Iterable[str]) -> Layout:
    """Sort the names (those of folders end in "/") into parts and classes, or say what is wrong with them."""
    split = {name: name.split("/") for name in names}
    for part in ("train", "test"):
        if not any(pieces[0] == part and len(pieces) > 1 for pieces in split.values()):
            raise InputError(f"'{root}' has no {part}/ folder; {EXPECTED}")
    inside = {part: {p[1] for p in split.values() if p[0] == part and len(p) > 2} for part in ("train", "test")}  # classes
    missing, surplus = sorted(inside["train"] - inside["test"]), sorted(inside["test"] - inside["train"])
    if missing or surplus:
        differences = [f"test/ lacks {missing}"] * bool(missing) + [f"train/ lacks {surplus}"] * bool(surplus)
        raise InputError(f"'{root}' must have the same classes in train/ and test/, but {' and '.join(differences)}")
    if not inside["train"]:
        raise InputError(f"'{root}' has no class folders in train/ and test/; {EXPECTED}")

    classes = tuple(sorted(inside["train"]))
    images = {part: sorted(n for n, p in split.items() if p[0] == part and n.lower().endswith(IMAGES)) for part in PARTS}
    for part in ("train", "test"):
        stray = next((name for name in images[part] if len(split[name]) == 2), None)
        if stray:
            raise InputError(f"'{root}/{stray}' lies in no class folder; {EXPECTED}")
        empty = inside[part] - {split[name][1] for name in images[part]}
        if empty:
            raise InputError(f"class folder '{root}/{part}/{min(empty)}' has no images ({', '.join(IMAGES)}); fill or remove it")
    if not images["unlabeled"] and any(pieces[0] == "unlabeled" for pieces in split.values()):
        raise InputError(f"'{root}/unlabeled' has no images ({', '.join(IMAGES)}); fill or remove it")

    number = {name: k for k, name in enumerate(classes)}
    paths = images["train"] + images["unlabeled"] + images["test"]
    labels = [-1 if split[path][0] == "unlabeled" else number[split[path][1]] for path in paths]
    others = sorted(n for n, p in split.items() if p[0] in PARTS and not n.endswith("/") and not n.lower().endswith(IMAGES))
    return Layout(classes, paths, np.array(labels, dtype=np.int64), len(paths) - len(images["test"]), others)
