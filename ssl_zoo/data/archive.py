"""An archive of images, read into memory: nothing of it is unpacked to disk, and nothing in it is trusted."""

import functools
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ssl_zoo.data import cache
from ssl_zoo.data.decode import LARGEST
from ssl_zoo.data.layout import EXPECTED, Layout, find_top, lay_out
from ssl_zoo.data.names import ARCHIVES, is_hidden, is_image
from ssl_zoo.data.pieces import mark_of
from ssl_zoo.errors import InputError

LARGEST_ARCHIVE = 1 << 32  # bytes of all images in an archive, which are held in memory until they are decoded


class Archive:
    """Members of an archive; all are read at once, because an xz stream can only be read from its start."""

    def __init__(self, root: Path):
        if not root.exists():
            raise InputError(f"no folder or archive '{root}'; {EXPECTED}; say where it is with `data_root`")
        if not root.name.lower().endswith(ARCHIVES) or not root.is_file():
            kinds = f"neither a folder, nor an archive ({', '.join(ARCHIVES)}), nor a table of labels (.csv, .tsv)"
            raise InputError(f"'{root}' is {kinds}; {EXPECTED}")
        self.root, self.top, self.shown = root, "", str(root)
        status = root.stat()
        self.stamp = cache.digest([(root.name, status.st_size, status.st_mtime_ns)])

    def layout(self) -> Layout:
        """Return which images are of which part and class."""
        names = list(self._contents)
        below: dict[str, dict[str, bool]] = {}  # of each folder: what lies in it, and whether that is a folder
        for name in names:
            pieces = name.split("/")
            for depth, piece in enumerate(filter(None, pieces)):
                prefix = "".join(f"{before}/" for before in pieces[:depth])
                here = below.setdefault(prefix, {})
                here[piece] = here.get(piece, False) or depth < len(pieces) - 1
        self.top = find_top(lambda prefix: below.get(prefix, {}).items())
        self.shown = f"{self.root}/{self.top}".rstrip("/")
        inside = [name.removeprefix(self.top) for name in names if name.startswith(self.top) and name != self.top]
        return lay_out(self.root, self.top, inside)

    def members(self) -> list[str]:
        """Return the names of all images."""
        return [name for name in self._contents if is_image(name)]

    def read(self, path: str) -> bytes:
        """Return a member's content."""
        return self._contents[self.top + path]

    def mark(self, path: str) -> bytes:
        """Return what tells this state of a member from any other: that of the whole archive."""
        return mark_of(path, self.stamp)

    @functools.cached_property
    def _contents(self) -> dict[str, bytes]:
        members = _zip_members if self.root.name.lower().endswith(".zip") else _tar_members
        found: dict[str, bytes] = {}
        total = 0
        try:
            for member, data in members(self.root):
                name = str(PurePosixPath(member)) + "/" * member.endswith("/")  # without "./"
                if name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name or name[1:3] == ":/":
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
        except NotImplementedError as error:  # deflate64, which Windows takes for large archives
            raise InputError(f"archive '{self.root}' cannot be read here ({error}); unpack it, and give the folder") from error
        except Exception as error:  # what a damaged one can make the decompressors raise is in no documentation
            raise InputError(
                f"archive '{self.root}' cannot be read ({error}): damaged, encrypted or of another kind; unpack it"
            ) from error
        return found


def _zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.replace("\\", "/")  # as some programs of Windows write them
            wanted = _wanted(path, name, member.file_size)
            yield name, archive.read(member) if wanted else b""


class _Bounded:
    """A file that is read in pieces of at most `LARGEST` bytes.

    Python's tarfile reads a member's headers whole, however long they are.
    """

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
    return is_image(name) and not _hidden(name)


def _refused(path: Path, name: str, why: str) -> InputError:
    return InputError(f"archive '{path}' has a member '{name}'{why}; make it anew without")


def _hidden(name: str) -> bool:
    return any(is_hidden(part) and part != ".." for part in PurePosixPath(name).parts)  # "./train" has no part "."
