"""A trained net for other programs: ssl-zoo export runs/mine --format onnx --with-preprocessing

The file is run beside the net, with 1, 3 and 32 images at a time, before it gets its name. Classes and preparation of
images are in its metadata.
"""

import argparse
import sys
from collections.abc import Sequence

from ssl_zoo import plugins
from ssl_zoo.cli.parser import FLAGS, Parser, command, description, path
from ssl_zoo.errors import one_line, shown

FORMATS = ("onnx", "pt2", "safetensors")
OWN = {*FLAGS, "format", "out", "with_preprocessing", "dynamic_size"}  # what messages may name as flags


def main(argv: Sequence[str] | None = None, prog: str = "export.py") -> int:
    """Run the command. Return the exit status: 0, or 2 for bad input."""
    words = sys.argv[1:] if argv is None else argv
    return command(prog, lambda: write(parser(prog).parse_args(words)), flags=OWN)


def parser(prog: str) -> Parser:
    """Return the command line."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=path, metavar="MODEL", help="a run's folder, or its model.safetensors")
    p.add_argument(
        "--format",
        choices=FORMATS,
        help="onnx (unless --out ends otherwise); pt2, which torch.export.load reads; safetensors, a copy of the model's file",
    )
    p.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="pixels go in, uint8, and probabilities come out; otherwise normalised images, and logits",
    )
    p.add_argument("--dynamic-size", action="store_true", help="images of any height and width, for nets that take them")
    p.add_argument("--out", type=path, metavar="FILE", help="unless said otherwise, beside the model, with its name")
    p.add_argument(
        "--plugin", metavar="FILE.py|MODULE", action="append", default=[], help="import what registers the net; repeatable"
    )
    return p


def write(flags: argparse.Namespace) -> int:
    """Export, and say how it was checked."""
    from ssl_zoo.runs.baselines import HOLDS
    from ssl_zoo.using.export import exported  # torch.export takes seconds to import

    plugins.load(flags.plugin)
    done = exported(flags.model, flags.out, flags.format, flags.with_preprocessing, flags.dynamic_size)
    again = " in place of an earlier export" if done.replaced else ""
    print(shown(one_line(f"wrote {done.path}{again}, {done.size / 1e6:.2f} MB: {done.checked}")))
    if done.holds_images:
        print(f"the file {HOLDS}")
    return 0
