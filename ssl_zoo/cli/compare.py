"""What differs between two runs: ssl-zoo compare RUN_A RUN_B, each a run's folder or its result.json"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ssl_zoo.cli.parser import Parser, command, description, path
from ssl_zoo.errors import InputError, one_line, shown
from ssl_zoo.runs.row import read_rows
from ssl_zoo.tables.differences import differences
from ssl_zoo.tables.rows import Row


def main(argv: Sequence[str] | None = None, prog: str = "compare.py") -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input."""
    return command(prog, lambda: compare(parser(prog).parse_args(argv)))


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description=description(__doc__, prog))
    p.add_argument("runs", nargs=2, type=path, metavar="RUN", help="a run's folder, or its result.json")
    return p


def compare(flags: argparse.Namespace) -> int:
    """Print the differences of two runs."""
    a, b = (_only(path) for path in flags.runs)
    print(shown("\n".join(map(one_line, differences(a, b)))))
    return 0


def _only(path: Path) -> Row:
    rows = read_rows([path])
    if not rows:
        raise InputError(f"{path} holds a run that diverged, and no result; give the folder of a finished one")
    if len(rows) > 1:
        raise InputError(f"{path} holds {len(rows)} runs; give the folder of one")
    return rows[0]
