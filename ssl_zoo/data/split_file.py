"""A split as a file, which finds the same images again: by their names where they have some, otherwise by row.

Images may have been added, removed or renamed since: a labelled one that is gone or of another class is an error that
names it. A few digits of a hash of each tell whether its pixels are still what they were.

The hash of a split stays one of its rows, also where images have names: what was made under it keeps it, and of two
runs the hash of the data tells whether their images are the same.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo import files
from ssl_zoo.data.dataset import Dataset, contents
from ssl_zoo.data.splits import DRAWS, NONE, Split
from ssl_zoo.errors import InputError

DIGITS = 8  # of an image's hash: of four billion replaced images one goes unseen
ANEW = "or draw anew, without split_file"


class Kept(NamedTuple):
    """A split that was read, on the rows of the data at hand."""

    split: Split
    validation: np.ndarray  # (V,) those that were held out
    replaced: tuple[str, ...]  # names of labelled images whose pixels are others now


def write_split(split: Split, path: Path, validation: Sequence[int] = (), data: Dataset | None = None) -> None:
    """Write a split as JSON, all of it or nothing. A file of that name is replaced.

    Args:
        split: The labelled rows.
        path: The file.
        validation: Those of its rows that are held out.
        data: Of which it is; without it the file has neither names nor pixels.

    Raises:
        OSError: The file cannot be written.
    """
    content: dict[str, Any] = {
        "dataset": split.dataset,
        "labels": split.labels,
        "seed": split.seed,
        "hash": split.hash,
        "rows": split.rows.tolist(),
        "classes": split.classes.tolist(),
    }
    content |= {"draw": split.draw} if split.draw != "equal" else {}
    content |= {"validation": [int(row) for row in validation]} if len(validation) else {}
    if data is not None and data.names:
        content["names"] = [data.names[row] for row in split.rows]
        content |= {"validation_names": [data.names[row] for row in validation]} if len(validation) else {}
    if data is not None:
        content |= {"shape": list(data.images.shape[1:]), "pixels": _pixels(data, split.rows)}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())  # one line a key
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace_text(path, f"{{\n{lines}\n}}\n")


def read_split(path: Path, data: Dataset) -> Kept:
    """Read a split and find its images in the data it is for.

    Args:
        path: A file of `write_split`, also of a version that kept neither names nor pixels.
        data: At hand.

    Raises:
        InputError: The file is missing, is not a split, was edited (its hash does not fit), or is of another data set;
            an image is gone or of another class; a class has come that has none; or, of images without names, one has
            other pixels, as nothing else says that it is the one that was meant.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"split file {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8; or nested without end
        raise InputError(f"split file {path} is not JSON ({error}); write a new one") from error
    split = _parsed(path, content)
    if split.dataset != data.name:
        raise InputError(f"split file {path} is for {split.dataset}, not for {data.name}")
    named = "names" in content and bool(data.names)
    rows = _by_name(path, content, split, data) if named else _by_row(path, split, data)
    absent = sorted({*range(len(data.classes))} - {*split.classes.tolist()})
    if absent:
        raise InputError(
            f"split file {path} has no image of the class '{data.classes[absent[0]]}' of {data.name}: it is of other classes; "
            f"remove the class, {ANEW}"
        )
    other = _replaced(content, rows, data)
    if other and not named:
        raise InputError(f"split file {path}: row {other[0]} of {data.name} has other pixels now: it is of other data")
    held_out = np.isin(split.rows, content.get("validation", []))
    order = np.argsort(rows)
    found = split._replace(rows=rows[order], classes=split.classes[order])
    return Kept(found, np.sort(rows[held_out]), tuple(data.names[row] for row in other))


def _by_row(path: Path, split: Split, data: Dataset) -> np.ndarray:
    """(L,) the rows as they stand in the file."""
    labels = data.labels
    outside = split.rows[(split.rows < 0) | (split.rows >= len(labels))]
    if len(outside):
        raise InputError(f"split file {path} names row {outside[0]} and {data.name} has {len(labels)} rows: it is of other data")
    for row, k in zip(split.rows, split.classes, strict=True):
        if labels[row] != k:
            raise InputError(f"split file {path} has class {k} for row {row}, {data.name} has {labels[row]}: it is of other data")
    return split.rows


def _by_name(path: Path, content: dict[str, Any], split: Split, data: Dataset) -> np.ndarray:
    """(L,) the rows of the images that now have the names in the file, in its order."""
    wanted = {*content["names"]}
    place = {name: row for row, name in enumerate(data.names[: len(data.labels)]) if name in wanted}
    for i, (k, name) in enumerate(zip(split.classes.tolist(), content["names"], strict=True)):
        if name not in place:
            raise InputError(
                f"split file {path} names '{name}', which is no training image of {data.name} any more"
                f"{_elsewhere(content, i, data)}; put it back, {ANEW}"
            )
        now = int(data.labels[place[name]])
        if now != k:
            shown = f"{now} ('{data.classes[now]}')" if now >= 0 else "unknown"
            raise InputError(
                f"split file {path} has class {k} for '{name}', and in {data.name} its class is {shown}: the image or the list "
                f"of classes has changed; change it back, {ANEW}"
            )
    return np.array([place[name] for name in content["names"]], dtype=np.int64)


def _elsewhere(content: dict[str, Any], i: int, data: Dataset) -> str:
    """Where a labelled image went that has lost its name, in words, if its pixels are still there."""
    if content.get("shape") != list(data.images.shape[1:]):
        return ""
    rows = range(len(data.images))
    found = next((data.names[row] for row in rows if _pixels(data, [row]) == content["pixels"][i : i + 1]), None)
    return "" if found is None else f" (its pixels are those of '{found}')"


def _replaced(content: dict[str, Any], rows: np.ndarray, data: Dataset) -> list[int]:
    """The rows whose pixels are not those of the file, where both are of one size."""
    if content.get("shape") != list(data.images.shape[1:]):
        return []
    now = _pixels(data, rows)
    return [int(row) for row, one, other in zip(rows, content["pixels"], now, strict=True) if one != other]


def _pixels(data: Dataset, rows: Iterable[int]) -> list[str]:
    return [digest.hex()[:DIGITS] for digest in contents(data.images[row] for row in rows)]


def _parsed(path: Path, content: Any) -> Split:
    """The split that a file's content describes, if it agrees with itself."""
    if not isinstance(content, dict):
        raise InputError(f"split file {path} is not a mapping; write a new one")
    missing = [key for key in ("dataset", "labels", "seed", "rows", "classes", "hash") if key not in content]
    missing += ["pixels"] if "shape" in content and "pixels" not in content else []
    if missing:
        raise InputError(f"split file {path} lacks {', '.join(missing)}; write a new one")
    for key in ("rows", "classes", "validation"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(type(one) is int and abs(one) < 2**63 for one in value):
            raise InputError(f"split file {path}: {key} is not a list of whole numbers; write a new one")
    for key in ("names", "pixels"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InputError(f"split file {path}: {key} is not a list of texts; write a new one")
    rows, classes = (np.array(content[key], dtype=np.int64) for key in ("rows", "classes"))
    split = Split(content["dataset"], content["labels"], content["seed"], rows, classes, content.get("draw", "equal"))
    if split.hash != content["hash"]:
        raise InputError(f"split file {path} was changed: it says hash {content['hash']} and has {split.hash}; write a new one")
    lengths = {len(content[key]) for key in ("rows", "classes", "names", "pixels") if key in content}
    fit = lengths == {len(rows)} and np.isin(content.get("validation", NONE), rows).all() and split.draw in DRAWS
    if not fit or len(rows) != split.labels or (np.diff(rows) <= 0).any() or type(split.seed) is not int:
        raise InputError(f"split file {path}: rows, classes, labels and seed do not fit together; write a new one")
    return split
