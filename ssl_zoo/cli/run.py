"""One run, from a command line to a scored result: ssl-zoo run --alg meanteacher --net wrn28_2"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_zoo import config, plugins, presets, recipes
from ssl_zoo.cli.parser import Parser, command, description, in_words, path, say, warn
from ssl_zoo.errors import InputError, Interrupted, RunError
from ssl_zoo.ranks import rank
from ssl_zoo.registry import DATASETS, NETS, REGISTRIES, near_miss
from ssl_zoo.settings import RunSettings

# Settings that are flags too: as they are written, and as YAML.
WORDS, VALUES = (
    ("alg", "net", "dataset", "data_root", "draw", "device", "on_nan"),
    ("labels", "val_fraction", "seed", "split_seed", "steps", "threads"),
)
ON = ("strict", "deterministic", "compile")  # and those that a flag alone sets


def parser(prog: str = "run.py") -> Parser:
    """Return the command line's flags; everything else is a setting."""
    p = Parser(prog=prog, description=description(__doc__, prog), add_help=False)
    p.add_argument("--alg", metavar="NAME", help="method")
    p.add_argument("--net", metavar="NAME", help="net")
    p.add_argument("--dataset", metavar="NAME", help="data set")
    _add_sources(p)
    _add_data(p)
    _add_machine(p)
    p.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        help="the run's folder; runs/<dataset>-<labels>[-<preset>][-<budget>]/<alg>-<net>-s<seed> unless said otherwise",
    )
    p.add_argument("--fresh", action="store_true", help="train anew what is in the folder, if it is this run")
    p.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any setting below, such as optimizer.lr=0.1; repeatable"
    )
    p.add_argument("--list", action="store_true", help="show every registered name")
    p.add_argument("--print-config", action="store_true", help="show the resolved settings, which are themselves a recipe")
    p.add_argument("--help", "-h", action="store_true", help="show this, and the options of the chosen method and net")
    return p


def _add_sources(p: Parser) -> None:
    """Where settings come from."""
    p.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        action="append",
        help="settings to start from; the data set's own recipe unless said otherwise; repeatable, each on top of those before",
    )
    p.add_argument(
        "--preset",
        metavar="NAME",
        help="every switch on which papers and codes disagree, and the rest of the recipe, as one of them has it, on top of the "
        f"recipe: {', '.join(presets.names())}",
    )
    p.add_argument(
        "--budget",
        metavar="NAME",
        default=recipes.SHORT,
        help="short: the recipe as it stands; full: with its published protocol on top, where it has one",
    )
    p.add_argument(
        "--plugin",
        metavar="FILE.py|MODULE",
        action="append",
        default=[],
        help="import it, so that the methods, nets, data sets and augmentations that it registers can be used; repeatable",
    )


def _add_data(p: Parser) -> None:
    """What is trained on, and the seeds."""
    p.add_argument("--data-root", metavar="PATH", help="folder of the data, or an archive for the data set `folder`")
    p.add_argument("--image-size", metavar="N", help="resize the images of the data set `folder`")
    p.add_argument("--skip-broken", action="store_true", help="leave out images of the data set `folder` that cannot be read")
    p.add_argument("--strict", action="store_true", help="refuse data of which test images are also training images")
    p.add_argument("--labels", metavar="N|all", help="how many labelled images")
    p.add_argument("--draw", metavar="equal|proportional", help="an equal number of each class, or in proportion to their sizes")
    p.add_argument("--val-fraction", metavar="F", help="share of the labelled images that is held out for validation")
    p.add_argument("--seed", metavar="N", help="of weights, order and augmentation")
    p.add_argument("--split-seed", metavar="N", help="of the choice of labelled images")
    p.add_argument("--steps", metavar="N", help="updates of the net")


def _add_machine(p: Parser) -> None:
    """What it is trained on."""
    p.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N")
    p.add_argument("--threads", metavar="N|auto", help="of the processor; auto measures at the start whether one is enough")
    p.add_argument("--deterministic", action="store_true", help="give the same bits every time on a GPU too, which takes longer")
    p.add_argument("--compile", action="store_true", help="compile the loss, which takes up to a minute at the start")
    p.add_argument("--on-nan", metavar="stop|skip", help="what a loss that is not finite does")


def parse(argv: Sequence[str], prog: str = "run.py") -> argparse.Namespace:
    """Return the flags of a command line; an unknown one is an error that names the near miss."""
    p = parser(prog)
    flags, unknown = p.parse_known_args(argv)
    if unknown:
        known = [option for action in p._actions for option in action.option_strings if option.startswith("--")]
        word = unknown[0].partition("=")[0]
        near = config.near_setting(word.removeprefix("--").replace("-", "_"), []) or near_miss(word, known)
        raise InputError(f"unknown argument '{word}'; {near}settings are given as --set KEY=VALUE")
    return flags


def read_settings(flags: argparse.Namespace) -> RunSettings:
    """Return the settings: recipe, then the preset, then --set, then the flags."""
    pairs = [assignment.partition("=") for assignment in flags.set]
    dataset = (
        flags.dataset
        if flags.dataset is not None
        else next((value for key, _, value in reversed(pairs) if key.strip() == "dataset"), "digits")
    )
    for key in (*WORDS, *VALUES):
        if getattr(flags, key) is not None and any(name.strip() == key for name, _, _ in pairs):
            raise InputError(f"{key} is given twice, by --{key.replace('_', '-')} and by --set; keep one")
    names = flags.recipe or [config.recipe_of(dataset)]
    given = config.gather(names, preset=flags.preset, budget=flags.budget, assignments=flags.set)
    return config.settle(given, dict(_values(flags, given)))


def _values(flags: argparse.Namespace, given: dict) -> Iterator[tuple[str, object]]:
    """What flags set, by dotted key."""
    for key in WORDS:
        if getattr(flags, key) is not None:
            yield key, getattr(flags, key)
    for key in VALUES:
        if getattr(flags, key) is not None:
            yield key, recipes.parse_yaml(getattr(flags, key), f"--{key.replace('_', '-')}")
    dataset = DATASETS.resolve(str(flags.dataset or given.get("dataset", RunSettings.dataset))).name
    if flags.image_size is not None:
        yield f"datasets.{dataset}.image_size", recipes.parse_yaml(flags.image_size, "--image-size")
    if flags.skip_broken:
        yield f"datasets.{dataset}.skip_broken", True
    yield from ((key, True) for key in ON if getattr(flags, key))


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
    kind = [settings.dataset, str(settings.labels), flags.preset, budget]
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


def _train(flags: argparse.Namespace, settings: RunSettings, prog: str) -> int:
    """Make the run, in one process or in several that torchrun has started."""
    from ssl_zoo.runs.execute import execute  # of no use to --list and --help
    from ssl_zoo.runs.report import summary
    from ssl_zoo.train.parallel import ElsewhereError, joined

    out = folder_of(flags, settings)
    try:
        with joined(settings.device):
            if flags.preset is not None and rank() == 0:
                given = {recipes.canonical_key(assignment.partition("=")[0].strip()) for assignment in flags.set}
                net, options = NETS.resolve(settings.net), settings.nets[settings.net]
                for line in presets.unset(flags.preset, presets.FOLDER, net, options, given):
                    warn(line)
            row = execute(settings, out, fresh=flags.fresh, warn=warn)
            if rank() == 0:
                print(summary(row, out))
    except ElsewhereError as error:  # whose process says why
        return error.status
    except (InputError, RunError) as error:
        if not rank():
            raise
        if not isinstance(error, Interrupted):  # the first says the same
            say(f"{prog}, process {rank()}", [in_words(str(error))])
        return error.status
    return 0
