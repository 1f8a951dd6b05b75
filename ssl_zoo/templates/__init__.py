"""What `python -m ssl_zoo.new` writes, a module for each kind. Words between two @ are filled in."""

from typing import NamedTuple


class Template(NamedTuple):
    """The files of one kind."""

    noun: str  # what it is, in messages, with its article
    code: str  # works as it is
    test: str
    said: str  # to the user; lines that begin with four spaces are commands
    recipe: str | None = None
