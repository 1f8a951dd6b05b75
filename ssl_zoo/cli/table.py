"""Run folders or files of rows -> tables: ssl-zoo table runs/sweep-digits --format html --out table.html

Methods down, numbers of labels across, one table for each data set and net. Runs that differ in anything but method,
seed and number of labels are never put in one table: those that agree with most of the others stay, and the rest is
named.
"""

import argparse
import json
from collections.abc import Sequence

from ssl_zoo.cli.parser import Parser, command, description, flag, path, say
from ssl_zoo.errors import InputError, printable
from ssl_zoo.runs.row import read_sound_rows
from ssl_zoo.tables.citations import citations
from ssl_zoo.tables.documents import insert_into
from ssl_zoo.tables.render import FORMATS
from ssl_zoo.tables.table import make_tables


def main(argv: Sequence[str] | None = None, prog: str = "table.py") -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input."""
    return command(prog, lambda: table(parser(prog).parse_args(argv), prog))


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("paths", nargs="+", type=path, help="run folders, folders of them, or .jsonl files of rows")
    p.add_argument("--format", choices=FORMATS, help="Markdown (unless said otherwise), CSV, LaTeX (booktabs), HTML")
    p.add_argument("--out", type=path, metavar="FILE", help="write it there instead of showing it")
    p.add_argument("--published", action="store_true", help="numbers of papers beside ours, with protocol and source")
    p.add_argument("--oracle", action="store_true", help="also the best score on the test set, which is not a result")
    p.add_argument("--cost", action="store_true", help="also what a run cost: steps, images seen and seconds, medians over runs")
    p.add_argument("--cite", action="store_true", help="BibTeX of ssl_zoo, the methods, nets and data sets, in place of a table")
    p.add_argument("--jsonl", type=path, metavar="FILE", help="also write the rows to a file, one a line")
    p.add_argument(
        "--into", type=path, metavar="FILE", help="put the table into a Markdown file, at the place named after the first path"
    )
    return p


def table(flags: argparse.Namespace, prog: str) -> int:
    """Read rows and show them, or write them where the flags say."""
    if flags.into and (flags.out or flags.format not in (None, "md")):
        raise InputError("--into writes Markdown into a file; leave out --out and --format")
    if flags.cite and (flags.into or flags.format):
        raise InputError("--cite gives BibTeX and no table; leave out --into and --format")
    rows, lost, problems, remarks = read_sound_rows(flags.paths)
    tables, said = make_tables(rows, problems, flags.published, lost)
    say(prog, [*said, *remarks])
    made = citations([*rows, *lost]) if flags.cite else FORMATS[flags.format or "md"](tables, flags.oracle, flags.cost)
    made = printable(made)
    if flags.jsonl:
        flags.jsonl.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *lost)), encoding="utf-8")
    if flags.into:
        with flag("--into"):
            insert_into(flags.into, flags.paths[0].as_posix(), made)
    elif flags.out:
        flags.out.write_text(f"{made}\n", encoding="utf-8")
    else:
        print(made)
    return 0
