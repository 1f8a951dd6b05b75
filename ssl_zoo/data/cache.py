"""Decoded images kept on disk: one file for each root and set of options, made anew when its source changes.

Beside the images it holds their hashes. When the file is written, its time of change is set to a few seconds ago; any
later write sets another. While it has that time, all of it is trusted. Otherwise it is read whole and its CRCs tell.
"""

import contextlib
import glob
import hashlib
import json
import math
import os
import platform
import struct
import time
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL

from ssl_zoo.data.dataset import Dataset, Digests, fingerprint
from ssl_zoo.data.image import register_heif
from ssl_zoo.data.leakage import short_hashes
from ssl_zoo.data.pieces import Earlier
from ssl_zoo.data.texts import Texts
from ssl_zoo.errors import InputError

FORMAT = 3  # of the file; one of another is made anew
TEXTS = ("classes", "skipped", "notes")


def decoders() -> str:
    """Return what the pixels of a file depend on, beside itself: the decoders' versions."""
    return f"{FORMAT} {PIL.__version__} {register_heif()}"


def digest(listing: Iterable[tuple[str, int, int]]) -> str:
    """A hash of names, sizes and times, and of the decoders' versions, whose pixels may differ from the next one's."""
    lines = (f"{name}\0{size}\0{time}" for name, size, time in listing)
    found, mark = hashlib.blake2b(f"{decoders()}\n".encode(), digest_size=16), ""
    for line in lines:
        found.update(f"{mark}{line}".encode(errors="surrogateescape"))
        mark = "\n"
    return found.hexdigest()


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
        with file.open("rb") as whole, np.load(whole) as kept:  # checks the CRC of each array that it reads
            if str(kept["stamp"]) != stamp:
                return None
            _check(whole, kept)
            mapped = {name: _mapped(whole, kept.zip, f"{name}.npy") for name in ("images", "test_images", "names")}
            texts = {name: tuple(Texts(kept[name])) for name in TEXTS} | {"names": Texts(mapped.pop("names"))}
            labels = {name: kept[name] for name in ("labels", "test_labels")}
            first, last = map(int, kept["validation"])
            dataset = Dataset("folder", **mapped, **labels, **texts, validation=(first, last), depth=int(kept["depth"]))
            if "data_hash" not in kept.files:  # of a version that kept none
                return dataset
            return _with_digests(dataset, str(kept["data_hash"]), _mapped(whole, kept.zip, "short_hashes.npy"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # a damaged file can fail anywhere; it is only a copy, and it is written anew
        warnings.warn(f"cache file {file} cannot be used and is made anew ({error})", stacklevel=3)
        return None


def earlier(file: Path) -> Earlier | None:
    """Images that the file holds of another listing, if the same decoders made them."""
    try:
        with file.open("rb") as whole, np.load(whole) as kept:
            if "records" not in kept.files or str(kept["decoders"]) != decoders():
                return None
            _check(whole, kept)
            images, test_images = (_mapped(whole, kept.zip, f"{name}.npy") for name in ("images", "test_images"))
            return Earlier(images, test_images, kept["records"], int(kept["depth"]))
    except Exception:  # as in `load`, which says it
        return None


def _check(whole: BinaryIO, kept: Any) -> None:
    """Read a file whose time is not the one that it was given, to check all CRCs; then give it that time again."""
    written = int(kept["written"]) if "written" in kept.files else None
    status = os.fstat(whole.fileno())
    if status.st_mtime_ns == written:
        return
    if (bad := kept.zip.testzip()) is not None:
        raise ValueError(f"{bad} is damaged")
    same = os.fstat(whole.fileno()).st_mtime_ns == status.st_mtime_ns  # nobody has written meanwhile
    if written is not None and same and os.utime in os.supports_fd:
        with contextlib.suppress(OSError):  # somebody else's file, which is read each time then
            os.utime(whole.fileno(), ns=(status.st_atime_ns, written))


def _with_digests(dataset: Dataset, data_hash: str, short: np.ndarray) -> Dataset:
    """A data set with its hashes, whose arrays nothing may write from now on."""
    for array in (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels):
        array.flags.writeable = False
    return dataset._replace(digests=Digests(data_hash, short, dataset))


def _mapped(whole: BinaryIO, archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array that lies in an archive uncompressed, mapped into memory."""
    whole.seek(archive.getinfo(member).header_offset + 26)
    whole.seek(sum(struct.unpack("<HH", whole.read(4))), os.SEEK_CUR)  # the lengths of the member's name and of what is extra
    if np.lib.format.read_magic(whole) != (1, 0):
        raise ValueError(f"{member} is of another format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(whole)
    if not math.prod(shape):  # no test images; nothing can be mapped
        return np.zeros(shape, dtype)
    return np.memmap(whole, dtype, "r", whole.tell(), shape)


def save(file: Path, stamp: str, dataset: Dataset, records: np.ndarray | None = None) -> Dataset:
    """Keep a data set in place of what the file held. Two processes may do so at once: each replaces the whole file.

    Args:
        file: Of the cache.
        stamp: Of the listing.
        dataset: To keep.
        records: (N + T,) RECORD of its images, by which `earlier` finds those that serve again.

    Returns:
        The data set, with its hashes.
    """
    short = np.concatenate((short_hashes(dataset.images), short_hashes(dataset.test_images)))
    dataset = _with_digests(dataset, fingerprint(dataset), short)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(file)
        written = file.with_name(f".{file.stem}.{platform.node()}.{os.getpid()}.npz")
        then = 10**9 * (int(time.time()) // 2 * 2 - 2)  # a time that any file system can keep, before that of a later write
        try:
            _write(written, stamp, dataset, then, records)
            with contextlib.suppress(OSError):  # where either cannot be, the file is read each time
                with written.open("r+b") as whole:  # all of it is on the disk before it has the time to be trusted by
                    os.fsync(whole.fileno())
                os.utime(written, ns=(then, then))
            os.replace(written, file)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"decoded images cannot be kept ({error}); set $SSL_ZOO_CACHE to a writable folder", stacklevel=3)
    return dataset


def _write(file: Path, stamp: str, dataset: Dataset, then: int, records: np.ndarray | None) -> None:
    content = {name: value for name, value in dataset._asdict().items() if name != "digests"}
    content |= {name: Texts.of(text.replace("\0", " ") for text in content[name]).characters for name in TEXTS}
    content["names"] = Texts.of(dataset.names).characters
    content |= {"data_hash": dataset.digests.data_hash, "short_hashes": dataset.digests.images}  # type: ignore[union-attr]
    content |= {} if records is None else {"records": records, "decoders": np.array(decoders())}
    np.savez(file, stamp=np.array(stamp), written=np.array(then), **content)


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
