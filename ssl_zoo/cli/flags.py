"""Flags that are settings, in the same words for every command that trains, and what they set."""

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ssl_zoo import config, presets, recipes
from ssl_zoo.cli.parser import Parser, flag_of
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS
from ssl_zoo.settings import RunSettings

# Settings that are flags too: as they are written, and as YAML.
WORDS, VALUES = (
    ("alg", "net", "dataset", "data_root", "draw", "initial", "device", "on_nan"),
    ("labels", "test_fraction", "val_fraction", "folds", "seed", "split_seed", "steps", "minutes", "threads"),
)
OWN = "photos"  # the recipe of images that are given without the name of a data set
ON = ("strict", "deterministic", "compile")  # and those that a flag alone sets


def add_sources(p: Parser) -> None:
    """Add what says where settings come from."""
    p.add_argument("--dataset", metavar="NAME", help="data set")
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


def add_settings(p: Parser) -> None:
    """Add what sets any setting, and brings parts from outside."""
    p.add_argument(
        "--plugin",
        metavar="FILE.py|MODULE",
        action="append",
        default=[],
        help="import it, so that the methods, nets, data sets and augmentations that it registers can be used; repeatable",
    )
    p.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any setting, such as optimizer.lr=0.1; repeatable; `run --help` shows them all",
    )


def add_data(p: Parser) -> None:
    """Add what is trained on."""
    p.add_argument(
        "--data-root",
        metavar="PATH",
        help="folder of the data; for the data set `folder` also an archive, or a table of labels; given alone, it is that data "
        "set, with the recipe `photos`",
    )
    p.add_argument("--labels-file", metavar="FILE", help="table of labels, CSV, of the data set `folder`")
    p.add_argument(
        "--image-size",
        metavar="N|HxW",
        help="resize the images of the data set `folder`: to N x N, or to height x width, such as 48x64",
    )
    p.add_argument("--skip-broken", action="store_true", help="leave out images of the data set `folder` that cannot be read")
    p.add_argument(
        "--strict", action="store_true", help="refuse data with test images that are trained on, or an image of two classes"
    )
    p.add_argument(
        "--draw", metavar="equal|proportional|longtail", help="labels of each class: equal, by its size, or a long tail"
    )
    p.add_argument("--test-fraction", metavar="F", help="share of the labelled images that is scored where there is no test set")
    p.add_argument("--val-fraction", metavar="F", help="share of the labelled images that is held out for validation")


def add_machine(p: Parser, threads: str, device: str) -> None:
    """Add what it is trained on.

    Args:
        p: Gets the flags.
        threads: What auto does with those.
        device: What can be given.
    """
    p.add_argument("--device", metavar="D", help=device)
    p.add_argument("--threads", metavar="N|auto", help=f"of the processor; auto {threads}")
    p.add_argument("--deterministic", action="store_true", help="give the same bits every time on a GPU too, which takes longer")
    p.add_argument("--compile", action="store_true", help="compile the step, which takes up to a minute at the start")
    p.add_argument("--on-nan", metavar="stop|skip", help="what a loss that is not finite does")


def image_size(text: str) -> Any:
    """Return what --image-size gives: a side, or `48x64`, `48,64` or `[48, 64]`, height and width."""
    two = re.fullmatch(r"\s*\[?\s*(\d{1,9})\s*[x,]\s*(\d{1,9})\s*\]?\s*", text, re.ASCII | re.IGNORECASE)
    return [int(two[1]), int(two[2])] if two else recipes.parse_yaml(text, "--image-size")


def dataset_of(flags: argparse.Namespace) -> str:
    """Return the name of the data set that flags ask for, which has a recipe of its own."""
    if getattr(flags, "dataset", None) is not None:
        return str(flags.dataset)
    pairs = [assignment.partition("=") for assignment in reversed(flags.set)]
    own = "folder" if images_of_ones_own(flags) else RunSettings.dataset
    return next((value for key, _, value in pairs if key.strip() == "dataset"), own)


def images_of_ones_own(flags: argparse.Namespace) -> bool:
    """Return whether flags give images, and no name of a data set: they are meant, then, and not the default one."""
    return getattr(flags, "data_root", None) is not None and getattr(flags, "dataset", None) is None


def gathered(flags: argparse.Namespace, more: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings below the flags: recipes, then the preset, then --set; not checked yet.

    Args:
        flags: As parsed.
        more: KEY=VALUE, on top of --set.

    Raises:
        InputError: As `config.gather`; or something is given by a flag and by --set.
    """
    keys = {assignment.partition("=")[0].strip() for assignment in flags.set}
    for key in (*WORDS, *VALUES):
        if getattr(flags, key, None) is not None and key in keys:
            raise InputError(f"{key} is given twice, by {flag_of(key)} and by --set; keep one")
    lengths = {key: getattr(flags, key) for key in config.LENGTHS if getattr(flags, key, None) is not None}
    config.one_length({*keys, *lengths})
    own = images_of_ones_own(flags) and "dataset" not in keys
    names = flags.recipe or ([OWN] if own else [config.recipe_of(dataset_of(flags))])
    return config.gather(names, preset=flags.preset, budget=flags.budget, assignments=[*flags.set, *more], over=lengths)


def of_no_effect(assignments: Sequence[str], runs: Sequence[RunSettings]) -> Iterator[str]:
    """Yield lines about what `--set` gives to methods, nets or data sets that no run has."""
    used = {"algorithms": {run.alg for run in runs}, "nets": {run.net for run in runs}, "datasets": {run.dataset for run in runs}}
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        section, *rest = recipes.parts_of_key(key) or key.split(".")
        if section in used and len(rest) > 1 and rest[0] not in used[section]:
            yield f"--set {key} is of no effect: {section} here: {', '.join(sorted(used[section]))}"


def at_hand(flags: argparse.Namespace) -> Mapping[str, Any]:
    """Return settings as far as they can be read, for what else is wrong with the flags."""
    try:
        given = gathered(flags)
    except InputError:
        given = {}
    for key in ("alg", "net", "dataset"):
        text = getattr(flags, key, None) or getattr(flags, f"{key}s", None)
        given |= {} if text is None else {key: text.partition(",")[0]}  # of many, the first
    return given


def values(flags: argparse.Namespace, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what flags set, by dotted key; of a command that lacks some of them, those that it has.

    Args:
        flags: As parsed.
        given: Settings below them, which name the data set.
    """
    for key in WORDS:
        if getattr(flags, key, None) is not None:
            yield key, getattr(flags, key)
    for key in VALUES:
        if getattr(flags, key, None) is not None:
            yield key, recipes.parse_yaml(getattr(flags, key), f"--{key.replace('_', '-')}")
    dataset = DATASETS.resolve(str(getattr(flags, "dataset", None) or given.get("dataset", RunSettings.dataset))).name
    if flags.image_size is not None:
        yield f"datasets.{dataset}.image_size", image_size(flags.image_size)
    if flags.labels_file is not None:
        given_file = os.path.expanduser(flags.labels_file)
        beside = os.path.join(os.path.expanduser(getattr(flags, "data_root", None) or "."), given_file)
        there = not os.path.exists(given_file) and os.path.exists(beside)  # as it is called by whom thinks of the folder
        yield f"datasets.{dataset}.labels_file", os.path.abspath(beside if there else given_file)
    if flags.skip_broken:
        yield f"datasets.{dataset}.skip_broken", True
    yield from ((key, True) for key in ON if getattr(flags, key))
