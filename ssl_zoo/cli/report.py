"""A run or a sweep -> one page: ssl-zoo report runs/mine --out mine.html

Of a run: how good the net is, what it takes for what, its worst errors, labels that look wrong, and whether its
confidence can be believed. Of a run in folds the same, each image judged by the net that had not seen it. Of a sweep:
which method is best and by how much. The page is one HTML file that holds all it needs.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from ssl_zoo import plugins
from ssl_zoo.cli.bar import bar
from ssl_zoo.cli.parser import Parser, command, description, path, say
from ssl_zoo.errors import one_line, shown

KNOWN = ("data_root",)


def parser(prog: str = "report.py") -> Parser:
    """Return the parser of this command."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("path", type=path, metavar="RUN|SWEEP", help="the folder of a run, of a run in folds, or of a sweep")
    p.add_argument("--out", type=path, metavar="FILE.html", help="the page; report.html in that folder unless said otherwise")
    p.add_argument("--data-root", metavar="PATH", help="where the images are, if not where they were when it was trained")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    p.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="registers the net or the data, where they are your own"
    )
    return p


def report(flags: argparse.Namespace, prog: str) -> int:
    """Write the page, and say where it is and what is not in it."""
    from ssl_zoo.using.report.page import write_report

    plugins.load(flags.plugin)
    seen = partial(bar, unit="batch")
    made = write_report(flags.path, flags.out, device=flags.device, data_root=flags.data_root, seen=seen)
    say(prog, made.missing)
    print(shown(f"{one_line(str(made.path))}, {made.size / 1000:,.0f} kB"))
    return 0


def main(argv: Sequence[str] | None = None, prog: str = "report.py") -> int:
    """The command. Returns the exit status: 0; 2: bad input, or no finished run; 128 + n: ended by signal n."""
    words = sys.argv[1:] if argv is None else argv
    return command(prog, lambda: report(parser(prog).parse_args(words), prog), flags=KNOWN)
