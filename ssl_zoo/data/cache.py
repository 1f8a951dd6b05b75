"""Decoded images kept on disk: one file for each root and set of options, made anew when its source changes."""

import glob
import hashlib
import json
import math
import os
import platform
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.image import register_heif
from ssl_zoo.errors import InputError

FORMAT = 3  # of the file; one of another is made anew
TEXTS = ("classes", "names", "skipped", "notes")


def digest(listing: list[tuple[str, int, int]]) -> str:
    """A hash of names, sizes and times, and of the decoders' versions, whose pixels may differ from the next one's."""
    lines = "\n".join(f"{name}\0{size}\0{time}" for name, size, time in listing)
    versions = f"{FORMAT} {PIL.__version__} {register_heif()}"
    return hashlib.blake2b(f"{versions}\n{lines}".encode(errors="surrogateescape"), digest_size=16).hexdigest()


def cache_file(root: Path, *options: Any) -> Path:
    """Return the file for a root and options of its images, below `$SSL_ZOO_CACHE` or the user's cache folder.

    Raises:
        InputError: Neither is there, as for a user without a home folder.
    """
    base = os.environ.get("SSL_ZOO_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ssl_zoo")
    key = hashlib.blake2b(json.dumps([str(root), *options]).encode(), digest_size=8).hexdigest()
    folder = os.path.expanduser(base)
    if folder.startswith("~"):  # there is no such user, or no home folder
        raise InputError(f"decoded images have no place: the folder {base} is not known; set SSL_ZOO_CACHE to a folder")
    return Path(folder) / f"{root.name[:40]}-{key}.npz"  # the name is for people, the key tells them apart


def load(file: Path, stamp: str) -> Dataset | None:
    """What the cache holds, if it is of this listing. Its images stay in the file and are read as they are used."""
    try:
        # One file from the check to the map, whatever another process puts in its place meanwhile.
        with file.open("rb") as whole, np.load(whole) as kept:  # checks each array's CRC
            if str(kept["stamp"]) != stamp:
                return None
            images, test_images = (_mapped(whole, kept.zip, f"{name}.npy") for name in ("images", "test_images"))
            texts = (_unpacked(kept[name]) for name in TEXTS)
            first, last = map(int, kept["validation"])
            arrays = (images, kept["labels"], test_images, kept["test_labels"])
            return Dataset("folder", *arrays, *texts, validation=(first, last), depth=int(kept["depth"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # a damaged file can fail anywhere; it is only a copy, and it is written anew
        warnings.warn(f"cache file {file} cannot be used and is made anew ({error})", stacklevel=3)
        return None


def _mapped(whole: BinaryIO, archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array that lies in an archive uncompressed, mapped into memory. It is read once, to check its CRC."""
    with archive.open(member) as stream:
        while stream.read(1 << 22):
            pass
    whole.seek(archive.getinfo(member).header_offset + 26)
    whole.seek(sum(struct.unpack("<HH", whole.read(4))), os.SEEK_CUR)  # the lengths of the member's name and of what is extra
    if np.lib.format.read_magic(whole) != (1, 0):
        raise ValueError(f"{member} is of another format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(whole)
    if not math.prod(shape):  # no test images; nothing can be mapped
        return np.zeros(shape, dtype)
    return np.memmap(whole, dtype, "r", whole.tell(), shape)


def save(file: Path, stamp: str, dataset: Dataset) -> None:
    """Keep a data set in place of what the file held. Two processes may do so at once: each replaces the whole file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(file)
        written = file.with_name(f".{file.stem}.{platform.node()}.{os.getpid()}.npz")
        try:
            packed = {name: _packed(getattr(dataset, name)) for name in TEXTS}
            np.savez(written, stamp=np.array(stamp), **{**dataset._asdict(), **packed})
            os.replace(written, file)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"decoded images cannot be kept ({error}); set $SSL_ZOO_CACHE to a writable folder", stacklevel=3)


def _remove_left_behind(file: Path) -> None:
    """Remove what processes of this machine that were killed while they saved have left of the same cache."""
    if os.name != "posix":  # elsewhere to ask for a process is to end it
        return
    for part in file.parent.glob(f".{glob.escape(file.stem)}.{glob.escape(platform.node())}.*.npz"):
        process = part.suffixes[-2][1:]
        try:
            os.kill(int(process), 0)
        except (ProcessLookupError, ValueError):
            part.unlink(missing_ok=True)
        except PermissionError:  # it lives, and is somebody else's
            pass


def _packed(texts: tuple[str, ...]) -> np.ndarray:
    """As bytes, each ended by NUL, which no file's name contains.

    An array of texts has the length of the longest for each.
    """
    return np.frombuffer("".join(f"{text}\0" for text in texts).encode(errors="surrogateescape"), np.uint8)


def _unpacked(array: np.ndarray) -> tuple[str, ...]:
    return tuple(array.tobytes().decode(errors="surrogateescape").split("\0")[:-1])
