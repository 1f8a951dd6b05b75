"""What lies in a folder, and below it, with sizes and times: in order, so that no list of all names is held."""

import os
from collections.abc import Iterator

from ssl_zoo.data.names import is_hidden
from ssl_zoo.errors import InputError

Listed = tuple[str, int, int]  # name, that of a folder ended by "/"; size and mtime_ns


def children(path: str) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether it is a folder) of what lies in a folder and is not hidden."""
    with os.scandir(path) as entries:
        yield from ((entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name))


def walk(top: str, name: str) -> Iterator[Listed]:
    """Yield everything below a folder, sorted by name. scandir, because it must be quick with a million files.

    No more is held than what is still to be listed of the folders on the way: sorted with their "/", all that lies in a
    folder comes before what comes after the folder.

    Args:
        top: What names are relative to.
        name: Of the folder, ended by "/".
    """
    status = os.stat(f"{top}/{name}")
    seen = {(status.st_dev, status.st_ino): f"{top}/{name[:-1]}"}  # each folder once: a few links can make more than memory
    waiting = _entries(top, name, seen)
    while waiting:
        entry = waiting.pop()
        yield entry
        if entry[0].endswith("/"):
            waiting += _entries(top, entry[0], seen)


def _entries(top: str, name: str, seen: dict[tuple[int, int], str]) -> list[Listed]:
    """What lies in one folder, the first by name at the end."""
    found: list[Listed] = []
    with os.scandir(f"{top}/{name[:-1]}") as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                status = entry.stat()
                other = seen.setdefault((status.st_dev, status.st_ino), entry.path)
                if entry.path.startswith(f"{other}/"):
                    raise InputError(f"'{entry.path}' is a link to a folder that it lies in; remove it")
                if entry.path != other:
                    raise InputError(f"'{entry.path}' and '{other}' are, by a link, one folder; remove one of them")
                found.append((f"{name}{entry.name}/", 0, 0))
            elif entry.is_file():
                status = entry.stat()
                found.append((name + entry.name, status.st_size, status.st_mtime_ns))
            elif entry.is_symlink():  # to nowhere; where it stands for an image, it is one that cannot be read
                found.append((name + entry.name, 0, 0))
            else:
                raise InputError(f"'{entry.path}' is neither a file nor a folder; remove it")
    return sorted(found, reverse=True)
