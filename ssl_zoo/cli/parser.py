"""What all command lines share: how words are read, how an error is said, and which exit status it has."""

import argparse
import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ssl_zoo.errors import InputError, RunError, one_line

# What the library says of its arguments, in the words of a command line. Settings stand in it as Python has them,
# `steps=600`.
WORDS = {
    "use another folder": "use another --out",
    "choose another folder": "choose another --out",
    "the same call goes on": "the same command goes on",
}
SETTING = re.compile(r"`([a-z_]+(?:\.[\w:-]+)*)(?:=([^`]+))?`")
FLAGS = {  # those with a flag of their own
    *("alg", "net", "dataset", "data_root", "image_size", "skip_broken", "strict", "labels", "draw", "val_fraction"),
    *("seed", "split_seed", "steps", "device", "threads", "deterministic", "compile", "on_nan", "fresh"),
}


class Parser(argparse.ArgumentParser):
    """argparse with errors in one line, in which a word that is cut short is an unknown one."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; --help shows what can be given")


BARE = {"data_root", "image_size"}  # those that a message may name without a value
GRID = {"data_root", "device", "labels", "steps", "image_size", "skip_broken", "strict"}  # those of a command that runs many


def command(prog: str, work: Callable[[], int], interrupted: str = "interrupted", flags: Collection[str] = FLAGS) -> int:
    """Do the work of a command. What goes wrong is one line on stderr.

    Args:
        prog: Says the line.
        work: Returns the exit status where nothing goes wrong.
        interrupted: What is said when a key or a signal ends it, with `{signal}` for the signal's name.
        flags: Settings that have a flag of their own there.

    Returns:
        The exit status: that of the work; 1: a run that had begun cannot go on; 2: bad input, or a file that cannot be
        used; 3: another process is at work there; 141: nobody reads the output; 128 + n: ended by signal n, so 130 by
        Ctrl-C.
    """
    try:
        return work()
    except BrokenPipeError:  # whoever reads the output has read enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed
        return 128 + signal.SIGPIPE
    except UnicodeEncodeError as error:
        cannot = f"the output is in {error.encoding}, which has no {error.object[error.start]!a}"
        say(prog, [f"{cannot}; PYTHONIOENCODING=utf-8 before the command lets it be written"])
        return 2
    except (InputError, RunError, OSError) as error:
        if os.environ.get("SSL_ZOO_TRACEBACK"):
            traceback.print_exc()
        say(prog, [in_words(str(error), flags)])
        return exit_status(error)
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "number", signal.SIGINT)  # of a command that makes one of its own of other signals
        say(prog, [interrupted.format(signal=number.name)])
        return 128 + number


def path(text: str) -> Path:
    """Return the path that a flag gives; `~` is the home folder, which a shell does not say for it after `=`."""
    return Path(os.path.expanduser(text))


def exit_status(error: InputError | RunError | OSError) -> int:
    """Return the exit status that an error has."""
    return getattr(error, "status", 2)


def in_words(text: str, flags: Collection[str] = FLAGS) -> str:
    """Return what the library says with the names of flags, or of --set where there is none."""
    for said, flag_said in WORDS.items():
        text = text.replace(said, flag_said)
    return SETTING.sub(lambda found: _as_flag(found, flags), text)


def _as_flag(found: re.Match[str], flags: Collection[str]) -> str:
    name, value = found[1], found[2]
    if name == "fresh" and name not in flags:
        return "--rerun-stale"
    if value is None and name not in BARE:
        return found[0]  # the field of a data set, perhaps
    if name not in flags:
        return f"--set {name}={value}" if value is not None else found[0]
    flag_name = f"--{name.replace('_', '-')}"
    return flag_name if value in (None, "True") else f"{flag_name} {value}"


def warn(line: str) -> None:
    """Print what may be wrong, with the names of flags."""
    print(f"WARNING: {in_words(line)}", file=sys.stderr)


def say(prog: str, lines: Iterable[str]) -> None:
    """Print lines on stderr, each with who says it, and each one line whatever name or file is quoted in it."""
    for line in lines:
        print(f"{prog}: {one_line(line)}", file=sys.stderr)


@contextlib.contextmanager
def flag(name: str) -> Iterator[None]:
    """Put the flag that gave a value before what the library says of the value."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name} {error}") from error


def description(text: str | None, prog: str) -> str:
    """Return what `--help` says first: a module's docstring, with its example as the command was called.

    Args:
        text: The docstring, in which the installed command stands: `ssl-zoo table`.
        prog: Either that or the name of the script, `table.py`.
    """
    if not prog.endswith(".py"):
        return text or ""
    return (text or "").replace(f"ssl-zoo {prog.removesuffix('.py')}", f"python benchmarks/{prog}")


def called(prog: str, name: str) -> str:
    """Return how another command is called by somebody who called this one as `prog`: as a script, or installed."""
    return f"python benchmarks/{name}.py" if prog.endswith(".py") else f"{prog.rpartition(' ')[0]} {name}"
