"""What commands share that measure something once, keep it in a file, and set it into a document."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import files
from ssl_zoo.cli.parser import Parser, path
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.tables.documents import insert

Figures = dict[str, Any]


def parser(prog: str, description: str | None) -> Parser:
    """With the flags that all of them have."""
    p = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=path, metavar="FILE.json", help="write the figures there")
    p.add_argument("--read", type=path, metavar="FILE.json", help="measure nothing; show figures that were written before")
    p.add_argument("--into", type=path, metavar="FILE.md", help="put the tables into a Markdown file, at the place of --read")
    return p


def command(
    p: Parser,
    argv: Sequence[str] | None,
    measure: Callable[[argparse.Namespace], Figures],
    markdown: Callable[[Figures], str],
    brief: Callable[[Figures], str] | None = None,
) -> int:
    """Measure or read, keep and show. Returns the exit status: 0, or 2 for bad input.

    Args:
        p: From `parser`, with the flags of the command's own.
        argv: The words; those of the process unless given.
        measure: Makes the figures.
        markdown: All of them, for a document.
        brief: Some of them, for another, at a place of its own.
    """
    if brief is not None:
        p.add_argument("--brief", action="store_true", help="few numbers; their place is named 'FILE.json in brief'")
    try:
        flags = p.parse_args(argv)
        if flags.into and not flags.read:
            raise InputError("--into needs --read FILE.json, whose name marks the place")
        shown, place = (brief, f"{flags.read} in brief") if brief and flags.brief else (markdown, str(flags.read))
        figures = _read(flags.read, p.prog, shown) if flags.read else measure(flags)
        if flags.out:
            files.replace_text(flags.out, json.dumps(figures, indent=1) + "\n")
        if flags.into:
            text = _into(flags.into)
            files.replace_text(flags.into, insert(text, place, shown(figures)))
        else:
            print(shown(figures))
    except (InputError, OSError) as error:
        print(f"{p.prog}: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _read(path: Path, prog: str, markdown: Callable[[Figures], str]) -> Figures:
    way_out = f"{prog} --out FILE.json writes them"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        markdown(figures)
    except OSError as error:
        raise InputError(f"--read {path} cannot be read ({error.strerror or error}); {way_out}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} holds no figures of {prog} ({type(error).__name__}: {error}); {way_out}") from error
    return figures


def _into(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--into {path} cannot be used ({getattr(error, 'strerror', error)}); give a Markdown file") from error
