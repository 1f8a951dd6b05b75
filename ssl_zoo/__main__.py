"""ssl-zoo COMMAND ...: train semi-supervised image classifiers, compare them, and use what was trained.

Each command shows its flags with --help.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import ssl_zoo
from ssl_zoo.cli.parser import command, leave
from ssl_zoo.errors import InputError
from ssl_zoo.registry import near_miss

COMMANDS = {
    "run": "one run, from a command line to a scored result and a trained net",
    "predict": "a trained net, images -> a table of predictions",
    "export": "a trained net for other programs: ONNX, a program of torch, or its weights",
    "report": "a run or a sweep -> one page: scores, errors, labels that look wrong",
    "label-next": "which images without a label to label next, with a sheet to look at and a table to fill in",
    "sweep": "a grid of runs, resumable: methods x nets x numbers of labels x seeds",
    "table": "run folders or files of rows -> a table (Markdown, CSV, LaTeX, HTML)",
    "plot": "pictures of finished runs",
    "compare": "what differs between two runs",
    "ladder": "from one recipe to another, one change at a time",
    "share": "how many runs should share a device",
    "new": "start a method, net, data set or augmentation of your own",
}


def usage() -> str:
    """Return what can be given."""
    lines = [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    return "\n".join([(__doc__ or "").strip(), "", *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status of the one that is named; 2: there is none of that name."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command("ssl-zoo", lambda: _main(words))


def _main(words: Sequence[str]) -> int:
    if not words or words[0] in ("--help", "-h"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"ssl-zoo {ssl_zoo.__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise InputError(f"there is no command '{name}'; {near_miss(name, list(COMMANDS))}commands: {', '.join(COMMANDS)}")
    return importlib.import_module(f"ssl_zoo.cli.{name.replace('-', '_')}").main(words[1:], prog=f"ssl-zoo {name}")


def script() -> NoReturn:
    """The installed command."""
    leave(main())


if __name__ == "__main__":
    script()
