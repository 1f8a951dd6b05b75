"""Tables set into a Markdown file, each at the place that is named after its rows."""

import re
from pathlib import Path

from ssl_zoo.errors import InputError


def insert(text: str, name: str, body: str) -> str:
    """Return a text with what stands between `<!-- table NAME -->` and `<!-- end -->` replaced.

    Raises:
        InputError: There is no such place.
    """
    pattern = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"there is no place for the table: put '<!-- table {name} -->' and '<!-- end -->' on lines of their own")
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text)


def insert_into(path: Path, name: str, body: str) -> None:
    """Do the same to a file.

    Raises:
        InputError: There is no such file, or no such place in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        path.write_text(insert(text, name, body), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be used ({error}); give a Markdown file") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
