"""Errors that are the user's to mend, each one line without a traceback on the command line."""

import sys

LONGEST = 1500  # characters of a line


class InputError(ValueError):
    """What the user gave cannot be used. The message says what is wrong and how to mend it."""

    status = 2  # of a process that it ends


ANEW = "`fresh=True`, which begins anew and moves this one aside"  # a way out of a folder that holds another run


class FolderError(InputError):
    """A run's folder cannot be that of this run.

    Args:
        what: What is wrong with it.
        more: What can be done besides.
    """

    def __init__(self, what: str, more: str = ""):
        super().__init__(f"{what}; choose another folder{more}")


class StaleError(InputError):
    """A run that is half done was begun with other code."""


class BusyError(InputError):
    """Another process is at work on the same run."""

    status = 3


class RunError(RuntimeError):
    """A run that had begun cannot go on. The message says at which step, why, and what is kept."""

    status = 1


class Interrupted(RunError):
    """A signal ended a run between two steps, and its checkpoint is written.

    Args:
        message: Says what happened and how to go on.
        number: Of the signal.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number
        self.status = 128 + number


class DivergedError(RunError):
    """A loss, a weight or a prediction of a run is not finite.

    Args:
        what: Of what, and since when.
        way_out: What can be done about it, and what is kept.
    """

    def __init__(self, what: str, way_out: str):
        super().__init__(f"{what}; {way_out}")
        self.what = what


def printable(text: str) -> str:
    """A text in the same lines, of printable characters alone; others, of a name or a file, are escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else " " if c in "\r\t" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(error: BaseException | str) -> str:
    """A text, or what an error says, as one line of printable characters."""
    text = printable(str(error)).replace("\n", " ")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def warn_on_screen(line: str) -> None:
    """Print what may be wrong, where nobody else is told."""
    print(f"WARNING: {line}", file=sys.stderr)


def shown(text: str) -> str:
    """A text as the standard output can show it: letters that its encoding lacks are escaped.

    For what somebody reads. What is data, as a table, is not to be changed in silence.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def between(name: str, value: float, low: float, high: float = float("inf")) -> float:
    """`value`, if it lies in [low, high].

    Raises:
        InputError: It does not; the message names the option.
    """
    if not low <= value <= high or value == float("inf"):  # a NaN fails too
        allowed = f"at least {low}" if high == float("inf") else f"from {low} to {high}"
        raise InputError(f"{name} = {value} is out of range: it must be {allowed}")
    return value


def one_of(name: str, value: str, *allowed: str) -> str:
    """`value`, if it is one of the allowed words.

    Raises:
        InputError: It is not; the message names the option and the words.
    """
    if value not in allowed:
        raise InputError(f"{name} = {value!r} is unknown: it must be one of {', '.join(allowed)}")
    return value
