"""One run, from a command line to a scored result: ssl-zoo run --alg meanteacher --net wrn28_2"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_zoo import config, plugins, presets, recipes
from ssl_zoo.cli.flags import add_data, add_machine, add_settings, add_sources, at_hand, gathered, of_no_effect, values
from ssl_zoo.cli.parser import Parser, called, command, description, in_words, path, say, warn
from ssl_zoo.errors import InputError, Interrupted, RunError, shown
from ssl_zoo.ranks import rank
from ssl_zoo.registry import NETS, REGISTRIES
from ssl_zoo.runs.naming import named_data
from ssl_zoo.settings import RunSettings

MANY = {"algs": "alg", "nets": "net", "seeds": "seed"}  # words of a sweep


def parser(prog: str = "run.py") -> Parser:
    """Return the command line's flags; everything else is a setting."""
    p = Parser(prog=prog, description=description(__doc__, prog), add_help=False, at_hand=at_hand)
    p.add_argument("--alg", metavar="NAME", help="method")
    p.add_argument("--net", metavar="NAME", help="net")
    add_sources(p)
    add_data(p)
    p.add_argument("--labels", metavar="N|all", help="how many labelled images")
    p.add_argument("--seed", metavar="N", help="of weights, order and augmentation")
    p.add_argument("--split-seed", metavar="N", help="of the choice of labelled images")
    p.add_argument("--steps", metavar="N", help="updates of the net")
    p.add_argument("--minutes", metavar="M", help="that the run may take, in place of steps: as many as fit are made")
    p.add_argument(
        "--from", metavar="MODEL", dest="initial", help="begin from a trained net: a run's folder, or its model.safetensors"
    )
    p.add_argument("--folds", metavar="K", help="train K nets, so that every labelled image is scored once, without a test set")
    add_machine(p, "measures at the start whether one is enough", "auto, cpu, cuda or cuda:N")
    p.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        help="the run's folder; runs/<data>-<labels>[-<preset>][-<budget>]/<alg>-<net>-s<seed> unless said otherwise; <data> is "
        "the data set's name, or that of the folder or archive of your own images",
    )
    p.add_argument("--fresh", action="store_true", help="begin anew; a run that is in the folder is moved aside, to <out>.old-1")
    add_settings(p)
    p.add_argument("--list", action="store_true", help="show every registered name")
    p.add_argument("--print-config", action="store_true", help="show the resolved settings, which are themselves a recipe")
    p.add_argument("--help", "-h", action="store_true", help="show this, and the options of the chosen method and net")
    return p


def parse(argv: Sequence[str], prog: str = "run.py") -> argparse.Namespace:
    """Return the flags of a command line; an unknown one is an error that names the near miss.

    Raises:
        InputError: They are wrong, or ask for many runs; the message names the sweep that is meant.
    """
    asked = [word for word in argv if word.partition("=")[0] == "--grid"]
    flags = None if asked else parser(prog).parse_args([_one(word) for word in argv])
    for key in (*MANY.values(), "labels"):
        text = getattr(flags, key, None) or ""
        asked += [f"--{key} {text}"] * ("," in text or (key == "seed" and re.fullmatch(r"\d+-\d+", text) is not None))
    if asked:
        words = shlex.join(word for word in argv if word not in ("--help", "-h", "--list", "--print-config"))
        raise InputError(f"{asked[0]} is many runs, and this is one; for all of them: {called(prog, 'sweep')} {words}")
    return flags


def _one(word: str) -> str:
    """A sweep's word for many, which may stand for one."""
    name, equals, value = word.partition("=")
    one = MANY.get(name.removeprefix("--")) if name.startswith("--") else None
    return word if one is None else f"--{one}{equals}{value}"


def read_settings(flags: argparse.Namespace) -> RunSettings:
    """Return the settings: recipe, then the preset, then --set, then the flags."""
    given = gathered(flags)
    return config.settle(given, dict(values(flags, given)))


def list_names() -> str:
    """Return every registered name, where it comes from, and a one-line description."""
    origins = [entry.origin for registry in REGISTRIES for entry in registry.entries()]
    wide = max(map(len, origins))
    blocks = []
    for registry in REGISTRIES:
        rows = [f"  {entry.name:<20} {entry.origin:<{wide}}  {entry.summary}" for entry in registry.entries()]
        blocks.append("\n".join([f"{registry.kind}s:", *rows]))
    return "\n\n".join(blocks)


def folder_of(flags: argparse.Namespace, settings: RunSettings) -> Path:
    """Return where a run goes."""
    name = f"{settings.alg}-{settings.net}-s{settings.seed}".replace(":", "_")
    budget = None if flags.budget == recipes.SHORT else flags.budget
    kind = [named_data(settings), str(settings.labels), flags.preset, budget]
    return flags.out or Path("runs") / "-".join(filter(None, kind)) / name


def main(argv: Sequence[str] | None = None, prog: str = "run.py") -> int:
    """The command. Returns the exit status: 0; 1: the run cannot go on; 2: bad input; 3: busy.

    128 + n: ended by signal n.
    """
    words = sys.argv[1:] if argv is None else argv
    same = "without --fresh the same command" if "--fresh" in words else "the same command"
    interrupted = f"interrupted; {same} goes on from the last checkpoint, if there is one yet"
    return command(prog, lambda: _run(words, prog), interrupted)


def _run(argv: Sequence[str], prog: str) -> int:
    flags = parse(argv, prog)
    plugins.load(flags.plugin)
    if flags.list:
        print(list_names())
        return 0
    settings = read_settings(flags)
    if flags.help:
        print(parser(prog).format_help())
        print(f"settings, as they stand with the above (change them with --set or in a recipe):\n\n{config.explain(settings)}")
        return 0
    if flags.print_config:
        print(config.dump(settings), end="")
        return 0
    return _train(flags, settings, prog)


def _names_a_fold(flags: argparse.Namespace) -> bool:
    """Whether one fold is meant: by --set, or by the settings of one as a recipe, unless --folds asks for all."""
    given = any(assignment.partition("=")[0].strip() == "fold" for assignment in flags.set)
    return given or (flags.folds is None and "fold" in gathered(flags))


def _train(flags: argparse.Namespace, settings: RunSettings, prog: str) -> int:
    """Make the run, in one process or in several that torchrun has started."""
    from ssl_zoo.runs.execute import execute  # of no use to --list and --help
    from ssl_zoo.runs.folds import execute_folds
    from ssl_zoo.runs.report import folds_summary, summary
    from ssl_zoo.train.parallel import ElsewhereError, joined

    out = folder_of(flags, settings)
    try:
        with joined(settings.device):
            if flags.preset is not None and rank() == 0:
                given = {recipes.canonical_key(assignment.partition("=")[0].strip()) for assignment in flags.set}
                net, options = NETS.resolve(settings.net), settings.nets[settings.net]
                for line in presets.unset(flags.preset, presets.FOLDER, net, options, given):
                    warn(line)
            if rank() == 0:
                for line in of_no_effect(flags.set, [settings]):
                    warn(line)
            told = {"fresh": flags.fresh, "say": lambda line: print(shown(in_words(line)), flush=True), "warn": warn}
            if settings.folds is not None and not _names_a_fold(flags):
                end = folds_summary(execute_folds(settings, out, **told), out)
            else:
                end = summary(execute(settings, out, **told), out)
            if rank() == 0:
                print(shown(end))
    except ElsewhereError as error:  # whose process says why
        return error.status
    except (InputError, RunError) as error:
        if not rank():
            raise
        if not isinstance(error, Interrupted):  # the first says the same
            say(f"{prog}, process {rank()}", [in_words(str(error))])
        return error.status
    return 0
