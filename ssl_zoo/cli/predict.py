"""Predict images with a trained net: ssl-zoo predict runs/mine new/ --out predictions.csv

IMAGES are image files, folders (all images below), archives, and tables of labels (CSV). They are prepared as training
had them. With --out, what is in the file is not done again, so that a stopped command goes on. Where labels are known,
from a table or from folders that are called as classes, the predictions are scored.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ssl_zoo import plugins
from ssl_zoo.cli.bar import bar
from ssl_zoo.cli.parser import Parser, command, description, in_words, path, say
from ssl_zoo.errors import one_line, shown

KNOWN = ("fresh", "top", "unsure_below", "device", "precision")


def parser(prog: str = "predict.py") -> Parser:
    """Return the parser of this command."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=path, metavar="MODEL", help="a run's folder, or its model.safetensors")
    p.add_argument("images", type=path, nargs="+", metavar="IMAGES", help="image files, folders, archives, tables of labels")
    p.add_argument("--out", type=path, metavar="FILE", help="predictions, .csv, .jsonl or .parquet; without: CSV on the screen")
    p.add_argument("--top", type=int, default=1, metavar="K", help="the K most probable classes of each image")
    p.add_argument("--all", action="store_true", dest="every", help="the probabilities of all classes")
    p.add_argument("--unsure-below", type=float, metavar="P", help="mark predictions with a confidence under P as unsure")
    p.add_argument("--fresh", action="store_true", help="write the file anew")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    p.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "bf16", "fp32"),
        help="of the net's numbers; auto: as the run had them",
    )
    p.add_argument("--plugin", action="append", default=[], metavar="FILE", help="registers the net, where it is your own")
    return p


def predict(flags: argparse.Namespace, prog: str) -> int:
    """Predict, and say what was found."""
    from ssl_zoo.runs.trained import load
    from ssl_zoo.using.predicting import Columns, predict_into
    from ssl_zoo.using.sheet import CsvLines

    plugins.load(flags.plugin)
    trained = load(flags.model, flags.device, flags.precision)
    columns = Columns(flags.top, flags.every, flags.unsure_below)
    lines = CsvLines(columns.names(trained.classes))
    written: list[None] = []

    def show(rows: Sequence[Mapping[str, Any]]) -> None:
        if flags.out is None:
            head = b"" if written else lines.head()
            print((head + lines.written(rows)).decode("utf-8", "backslashreplace"), end="", flush=True)
            written.append(None)

    found = predict_into(trained, flags.images, flags.out, columns=columns, fresh=flags.fresh, show=show, seen=bar)
    where = sys.stderr if flags.out is None else sys.stdout
    known = trained.about.get("calibration")
    for line in (*summary(found, trained.classes, str(flags.out or "")), *confidence(known)):
        print(shown(line), file=where)
    say(prog, [f"WARNING: {in_words(line, {*KNOWN})}" for line in warnings(found)])
    return 0


def warnings(found: Any) -> Iterator[str]:
    """Yield what makes a score say less than it seems to."""
    from ssl_zoo.runs.confusion import images_in

    if found.learnt is None:
        yield "the model does not say which images it was trained on; of these, a score counts what was learnt by heart"
    elif found.learnt and found.unseen is None:
        yield f"all {found.learnt:,} labelled images were trained on with their label: the score counts what was learnt by heart"
    elif found.learnt:
        of = f"{found.learnt:,} of the {images_in(found.confusion):,} labelled images"
        yield f"{of} were trained on with their label, and are left out of the score; they are marked in trained_on"
    if found.relabelled:
        images, was = ("images have", "they were") if found.relabelled > 1 else ("image has", "it was")
        yield (
            f"{found.relabelled:,} {images} another label now, or had none when {was} predicted, which is not counted; "
            "`fresh=True` writes the file anew"
        )


def summary(found: Any, classes: Sequence[str], out: str) -> Iterable[str]:
    """Yield the lines at the end."""
    from ssl_zoo.runs.confusion import accuracy, balanced, images_in, interval, unequal
    from ssl_zoo.runs.report import each_class

    before = f", {found.before:,} of them there before" if found.before else ""
    yield f"{found.images:,} image{'s' * (found.images != 1)}{before}{f': {one_line(out)}' if out else ''}"
    if found.errors:
        yield f"{found.errors:,} could not be read, and are rows with an error, such as {one_line(found.first_error)}"
    if found.unsure:
        yield f"{found.unsure:,} are unsure"
    if found.confusion is None:
        return
    pairs = found.unseen if found.learnt and found.unseen else found.confusion
    low, high = interval(pairs)
    also = f", balanced accuracy {100 * balanced(pairs):.2f} %" if unequal(pairs) else ""
    which = " that it was not trained on" if pairs is not found.confusion else ""
    yield (
        f"accuracy {100 * accuracy(pairs):.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}, "
        f"{images_in(pairs):,} labelled image{'s' * (images_in(pairs) != 1)}{which}){also}"
    )
    if unequal(pairs):
        yield from each_class(pairs, classes)
    if which:
        of = f"{images_in(found.confusion):,}, those included that it was trained on"
        yield f"of all {of}, it is right about {100 * accuracy(found.confusion):.2f} %, which counts what was learnt by heart"
    wrong = sorted(
        ((n, a, b) for a, b, n in zip(pairs["true"], pairs["predicted"], pairs["count"], strict=True) if a != b),
        key=lambda place: (-place[0], place[1:]),
    )
    if wrong:
        each = ", ".join(f"{one_line(classes[a])} as {one_line(classes[b])} {n:,}" for n, a, b in wrong[:5])
        yield f"most often wrong: {each}"
    if found.unknown:
        names = f"{', '.join(map(one_line, found.unknown[:5]))}{' and more' if len(found.unknown) > 5 else ''}"
        yield f"folders that are no class of the net, whose images are not scored: {names}"


def confidence(known: Mapping[str, Any] | None) -> Iterable[str]:
    """Yield what a confidence is worth."""
    if known is None:
        yield "confidences are not calibrated: an earlier version trained the net"
    elif known["why_not"]:
        yield in_words(f"confidences are not calibrated: {known['why_not']}")
    else:
        yield f"confidences are calibrated, by {known['images']:,} held-out images (temperature {known['temperature']:.2f})"


def main(argv: Sequence[str] | None = None, prog: str = "predict.py") -> int:
    """The command. Returns the exit status: 0, with images that cannot be read too; 2: bad input; 128 + n: signal n."""
    words = sys.argv[1:] if argv is None else argv
    gone_on = "interrupted; the same command goes on, if it has an --out"
    return command(prog, lambda: predict(parser(prog).parse_args(words), prog), gone_on, KNOWN)
