"""Which images to label next: ssl-zoo label-next runs/mine --count 20 --out next

Of the run's images without a label those are chosen of which its net is least sure, and that are not alike. --out gets
contact.html, a sheet to look at, labels.csv, a table of all images of the run, and recipe.yaml, its settings: write
classes into the table's column label, and train on it.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import plugins
from ssl_zoo.cli.bar import bar
from ssl_zoo.cli.parser import Parser, command, description, path
from ssl_zoo.errors import one_line, shown

KNOWN = ("count", "out", "images", "data_root", "fresh")
CLASSES = 12  # in a line


def parser(prog: str = "label_next.py") -> Parser:
    """Return the parser of this command."""
    p = Parser(prog=prog, description=description(__doc__, prog), formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=path, metavar="RUN", help="a run's folder, or its model.safetensors")
    p.add_argument("--count", type=int, default=20, metavar="N", help="how many images; 20 unless said otherwise")
    p.add_argument("--out", type=path, default=Path("next"), metavar="DIR", help="gets the files; next/ unless said otherwise")
    p.add_argument(
        "--images",
        type=path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="choose among these and not among the run's own images: files, folders, tables of labels",
    )
    p.add_argument("--data-root", type=path, metavar="PATH", help="where the run's images are now, if they were moved")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    p.add_argument("--plugin", action="append", default=[], metavar="FILE", help="registers the net, where it is your own")
    return p


def choose(flags: argparse.Namespace, prog: str) -> int:
    """Choose, and say what to do next."""
    from ssl_zoo.using.label_next import label_next

    plugins.load(flags.plugin)
    given = {"images": flags.images, "data_root": flags.data_root, "device": flags.device}
    found = label_next(flags.run, flags.count, flags.out, **given, seen=bar)
    for line in (*summary(found), *what_next(found, flags, f"{prog.rpartition(' ')[0] or 'ssl-zoo'} run")):
        print(shown(line))
    return 0


def summary(found: Any) -> Iterator[str]:
    """Yield what was chosen, how, and of what."""
    count = len(found.paths)
    of = f"{count:,} of {found.candidates:,} images without a label"
    if count == found.candidates - found.copies == found.pool:
        yield f"all {count:,} images without a label{', each once' if found.copies else ''}, the least sure first"
    elif count == 1:
        yield f"{of}: the one with the smallest margin between its two most probable classes"
    else:
        near = f"nearest to each of {count:,} centres of k-means over the net's features"
        most = f"the {found.pool:,} with the smallest margins between their two most probable classes, and of these the {near}"
        every = found.pool == found.candidates - found.copies
        yield f"{of}: the {near}, which weighs each by how unsure the net is" if every else f"{of}: {most}"
    if found.copies:
        some = "1 is a copy" if found.copies == 1 else f"{found.copies:,} are copies"
        yield f"{some} of images that have a label, or of others without one, and left out"
    if found.errors:
        more = " and more" if len(found.errors) > 1 else ""
        yield f"{len(found.errors):,} could not be read, and are left out: {one_line(found.errors[0])}{more}"
    if found.labeled:
        yield f"{found.labeled:,} have a label already, by their folder, their table or the run, and are left out"
    if found.hidden:
        yield f"of {found.hidden:,} images the class is known in the data, but the run did not use it: the table has none"


def what_next(found: Any, flags: argparse.Namespace, run: str) -> Iterator[str]:
    """Yield what there is to do, down to the command that trains on the new labels.

    Args:
        found: What was chosen.
        flags: As given.
        run: How the command `run` is called.
    """
    names = [one_line(name) for name in found.classes]
    yield f"look at {one_line(str(flags.out / found.contact.name))}"
    yield (
        f"write classes into the column label of {one_line(str(flags.out / found.table.name))}: "
        f"{', '.join(names[:CLASSES])}{' and more' if len(names) > CLASSES else ''}, or a new one; then"
    )
    recipe, table = flags.out / found.recipe.name, flags.out / found.table.name
    yield f"    {run} {shlex.join(words(flags.run, recipe, table, flags.plugin, begins=not _is_fitted(flags.run)))}"


def words(run: Path, recipe: Path, table: Path, plugged: Sequence[str] = (), begins: bool = True) -> list[str]:
    """Return the words of the command that goes on with the new labels: as the run was, but for what the table says.

    Args:
        run: Its folder, or its model.
        recipe: Its settings.
        table: Of labels.
        plugged: Plug-ins.
        begins: Whether it begins from that run's net.
    """
    before = {"--from": run} if begins else {}
    given = {"--recipe": recipe, "--data-root": table, **before, "--out": next_to(_run_of(run))}
    pairs = [*(("--plugin", name) for name in plugged), *((name, _word(place)) for name, place in given.items())]
    return [word for pair in pairs for word in pair]


def _is_fitted(run: Path) -> bool:
    """Whether a trained net was fitted at once: it is fitted anew on more labels, and is nothing to begin from."""
    from ssl_zoo.runs.model import model_file, read_model

    return not read_model(model_file(run)).about["row"].get("steps", 1)


def _run_of(model: Path) -> Path:
    """A run's folder; of a model that was copied elsewhere, what its folder might be called."""
    from ssl_zoo.runs.folder import RunFolder

    if model.is_dir():
        return model
    beside = model.parent
    return beside if RunFolder(beside).holds_a_run() else model.with_suffix("")


def next_to(folder: Path) -> Path:
    """Return the folder of the run that comes after one: the first of NAME-2, NAME-3, ... that is not there."""
    if re.fullmatch(r"fold-\d+", Path(os.path.realpath(folder)).name):
        folder /= ".."  # of the run in folds: beside them it would be one of these
    parent, name = folder.parent, folder.name
    if name in ("", ".."):  # of the folder one is in, or of one that holds it
        real = Path(os.path.realpath(folder))
        parent, name = Path(os.path.relpath(real.parent)), real.name or "run"
    after = parent / counted_up(name)
    while os.path.lexists(after):
        after = after.with_name(counted_up(after.name))
    return after


def _word(place: Path) -> str:
    """A path that is no flag."""
    return f"./{place}" if str(place).startswith("-") else str(place)


def counted_up(name: str) -> str:
    """Return the name of the run that comes after one: mine-2 after mine, mine-3 after mine-2."""
    found = re.fullmatch(r"(.*)-([1-9]\d{0,5})", name)
    return f"{name}-2" if found is None else f"{found[1]}-{int(found[2]) + 1}"


def main(argv: Sequence[str] | None = None, prog: str = "label_next.py") -> int:
    """The command. Returns the exit status: 0; 2: bad input; 128 + n: ended by signal n."""
    given = sys.argv[1:] if argv is None else argv
    return command(prog, lambda: choose(parser(prog).parse_args(given), prog), flags=KNOWN)
