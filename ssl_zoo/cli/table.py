"""Run folders or files of rows -> tables: ssl-zoo table runs/sweep-digits --format html --out table.html

Methods down, numbers of labels across, one table for each data set and net. Runs that differ in anything but method,
seed and number of labels are never put in one table: those that agree with most of the others stay, and the rest is
named.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import files
from ssl_zoo.cli.parser import Parser, command, description, flag, path, say
from ssl_zoo.errors import InputError, one_line, printable, shown
from ssl_zoo.runs.row import FROM, read_sound_rows
from ssl_zoo.tables.cells import ALONE
from ssl_zoo.tables.citations import citations
from ssl_zoo.tables.documents import insert_into
from ssl_zoo.tables.render import FORMATS, switches
from ssl_zoo.tables.table import make_tables

SITE, IDEAS, SWITCHES = "site", "ideas", "switches"
MARKDOWN = {"md": "", IDEAS: " with ideas", SWITCHES: " with switches"}  # what the name of its place ends in


def main(argv: Sequence[str] | None = None, prog: str = "table.py") -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input."""
    return command(prog, lambda: table(parser(prog).parse_args(argv), prog))


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("paths", nargs="+", type=path, help="run folders, folders of them, or .jsonl files of rows")
    p.add_argument(
        "--format",
        choices=(*FORMATS, SWITCHES, SITE),
        help="Markdown (unless said otherwise), CSV, LaTeX (booktabs), HTML; ideas: Markdown with the idea and paper of each "
        "method; switches: Markdown of what each setting that --grid varied changes; or site: a page of all that is given, each "
        "file for itself, that sorts and filters",
    )
    p.add_argument(
        "--out", type=path, metavar="FILE", help="write it there instead of showing it; of a site, a .html file or a folder"
    )
    p.add_argument("--published", action="store_true", help="numbers of papers beside ours, with protocol and source")
    p.add_argument("--oracle", action="store_true", help="also the best score on the test set, which is not a result")
    p.add_argument("--cost", action="store_true", help="also what a run cost: steps, images seen and seconds, medians over runs")
    p.add_argument("--each-class", action="store_true", help="also the recall of each class, and their geometric mean")
    p.add_argument(
        "--against",
        metavar="METHOD",
        help="what differences are to, in place of supervised: a method, or a variant as it is named",
    )
    p.add_argument("--cite", action="store_true", help="BibTeX of ssl_zoo, the methods, nets and data sets, in place of a table")
    p.add_argument("--jsonl", type=path, metavar="FILE", help="also write the rows to a file, one a line")
    p.add_argument(
        "--into", type=path, metavar="FILE", help="put the table into a Markdown file, at the place named after the first path"
    )
    return p


def table(flags: argparse.Namespace, prog: str) -> int:
    """Read rows and show them, or write them where the flags say."""
    if flags.into and (flags.out or flags.format not in (None, *MARKDOWN)):
        allowed = " or ".join(MARKDOWN)
        raise InputError(f"--into writes Markdown into a file; leave out --out and --format, which may be {allowed} alone")
    if flags.cite and (flags.into or flags.format):
        raise InputError("--cite gives BibTeX and no table; leave out --into and --format")
    if flags.format == SITE:
        return site(flags, prog)
    others = ("published", "oracle", "cost", "each_class", "against")
    more = [f"--{name.replace('_', '-')}" for name in others if getattr(flags, name)]
    if flags.format == SWITCHES and more:
        raise InputError(f"--format {SWITCHES} shows what settings change, and nothing else; leave out {' and '.join(more)}")
    rows, lost, problems, remarks = read_sound_rows(flags.paths)
    tables, said = make_tables(rows, problems, flags.published, lost, flags.each_class, flags.against or ALONE)
    say(prog, [*said, *remarks])
    if not tables and not flags.cite:
        raise InputError("no run is left for a table; the lines before say why")
    if flags.cite:
        shown_rows = [row for one in tables for row in (*one.rows, *one.diverged)]
        made = citations(shown_rows or [*rows, *lost])
    elif flags.format == SWITCHES:
        made = switches(tables)
    else:
        made = FORMATS[flags.format or "md"](tables, flags.oracle, flags.cost)
    made = printable(made)
    write_rows(flags.jsonl, (*rows, *lost))
    if flags.into:
        with flag("--into"):
            against = f" against {flags.against}" if flags.against else ""
            insert_into(flags.into, f"{flags.paths[0].as_posix()}{MARKDOWN[flags.format or 'md']}{against}", made)
    elif flags.out:
        flags.out.write_text(f"{made}\n", encoding="utf-8")
    else:
        print(made)
    return 0


def write_rows(file: Path | None, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows to a file, one a line, where one is given."""
    if file:
        kept = ({name: value for name, value in row.items() if name != FROM} for row in rows)
        file.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def site(flags: argparse.Namespace, prog: str) -> int:
    """Write a page of results, or show its source."""
    from ssl_zoo.tables.site.page import site as page_of
    from ssl_zoo.tables.site.sources import read_sources

    if flags.oracle:
        raise InputError("a site has a switch for the best score on the test set; leave out --oracle")
    if flags.against:
        raise InputError(f"a site compares with {ALONE}; leave out --against, or choose another --format")
    file = None if flags.out is None else place_of(flags.out)
    sources, passed = read_sources(flags.paths, flags.published)
    say(prog, [*passed, *(line for source in sources for line in source.said)])
    made = page_of(sources, passed)
    write_rows(flags.jsonl, (row for source in sources for row in (*source.found.rows, *source.found.lost)))
    if file is None:
        print(made, end="")
        return 0
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace_text(file, made)
    print(shown(f"{one_line(str(file))}, {len(made.encode()) / 1000:,.0f} kB"))
    return 0


def place_of(out: Path) -> Path:
    """Return the file of a site: what ends in .html, or index.html in a folder, which is made.

    Raises:
        InputError: It is no folder.
    """
    if out.suffix.lower() in (".html", ".htm") and not out.is_dir():
        return out
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give one that ends in .html, or a folder")
    return out / "index.html"
