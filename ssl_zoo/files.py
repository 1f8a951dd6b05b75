"""Files that are replaced as a whole or not at all, whatever becomes of the process or the machine meanwhile."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def replace(path: Path, write: Callable[[BinaryIO], object], keep: Path | None = None) -> None:
    """Write a file beside `path`, flush it to the disk, and rename it to `path`.

    Args:
        path: What is replaced; its folder must be there.
        write: Receives the open file.
        keep: What `path` was is renamed to this.

    Raises:
        OSError: It could not be written, as when the disk is full.

    Whatever is raised, `path` is then what it was, and the part is removed.
    """
    partial = path.with_name(f".{path.name}.partial")  # one name: what a killed process leaves, the next one writes over
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # its room is needed
        raise
    flush_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """`replace` with a text, in UTF-8."""
    replace(path, lambda file: file.write(text.encode()))


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that a rename outlives a loss of power.

    Where the system cannot, nothing.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
