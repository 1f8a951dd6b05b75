"""One run, from a command line to a scored result: python benchmarks/run.py --alg meanteacher --net wrn28_2"""

import argparse
import contextlib
import dataclasses
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout

from ssl_zoo import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, AlgorithmBase, Facts, config, files, plugins, presets, results
from ssl_zoo.data.augment import View
from ssl_zoo.data.dataset import Dataset, fingerprint, tensor
from ssl_zoo.data.inputs import BEFORE, Transformation, check_steps, shift_and_scale, transformation, transformed
from ssl_zoo.data.leakage import leaks
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.data.splits import Split, draw_split, hold_out, read_split, write_split
from ssl_zoo.ema import Teacher
from ssl_zoo.errors import BusyError, DivergedError, InputError, Interrupted, RunError, one_line
from ssl_zoo.ranks import rank, ranks
from ssl_zoo.registry import REGISTRIES, near_miss
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.device import autocast, deterministic, holds, keep_freed_memory, pick_device, pick_precision
from ssl_zoo.train.evaluate import Evaluator
from ssl_zoo.train.parallel import ElsewhereError, from_first, joined, one_after_the_others, own_device, synchronise
from ssl_zoo.train.trainer import Outcome, Trainer, differing

RECIPES = Path(__file__).parent.parent / "configs"
PRESETS = RECIPES / "presets"
LOCK = ".lock"  # in a run's folder, of the process that is at work there
STALE = 0.05  # share of a running average that may be what it began with when a run ends
# Settings that are flags too: as they are written, and as YAML.
WORDS, VALUES = (
    ("alg", "net", "dataset", "data_root", "device", "on_nan"),
    ("labels", "val_fraction", "seed", "split_seed", "steps"),
)
# Settings that may change when a run is gone on with; the data are known by their hash.
ANYWHERE = ("device", "data_root", "checkpoint_seconds", "strict")


def parser() -> config.Parser:
    """The command line's flags; everything else is a setting."""
    p = config.Parser(prog="run.py", description=__doc__, add_help=False)
    p.add_argument("--alg", metavar="NAME", help="method")
    p.add_argument("--net", metavar="NAME", help="net")
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
        f"recipe: {', '.join(presets.names(PRESETS))}",
    )
    p.add_argument(
        "--budget",
        metavar="NAME",
        default=config.SHORT,
        help="short: the recipe as it stands; full: with its published protocol on top, where it has one",
    )
    p.add_argument(
        "--plugin",
        metavar="FILE.py|MODULE",
        action="append",
        default=[],
        help="import it, so that the methods, nets, data sets and augmentations that it registers can be used; repeatable",
    )
    p.add_argument("--dataset", metavar="NAME", help="data set")
    p.add_argument("--data-root", metavar="PATH", help="folder of the data, or an archive for the data set `folder`")
    p.add_argument("--image-size", metavar="N", help="resize the images of the data set `folder`")
    p.add_argument("--skip-broken", action="store_true", help="leave out images of the data set `folder` that cannot be read")
    p.add_argument("--strict", action="store_true", help="refuse data of which test images are also training images")
    p.add_argument("--labels", metavar="N|all", help="how many labelled images")
    p.add_argument("--val-fraction", metavar="F", help="share of the labelled images that is held out for validation")
    p.add_argument("--seed", metavar="N", help="of weights, order and augmentation")
    p.add_argument("--split-seed", metavar="N", help="of the choice of labelled images")
    p.add_argument("--steps", metavar="N", help="updates of the net")
    p.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N")
    p.add_argument("--deterministic", action="store_true", help="give the same bits every time on a GPU too, which takes longer")
    p.add_argument("--compile", action="store_true", help="compile the loss, which takes up to a minute at the start")
    p.add_argument("--on-nan", metavar="stop|skip", help="what a loss that is not finite does")
    p.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="the run's folder; runs/<dataset>-<labels>[-<preset>][-<budget>]/<alg>-<net>-s<seed> unless said otherwise",
    )
    p.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="any setting below, such as optimizer.lr=0.1; repeatable"
    )
    p.add_argument("--list", action="store_true", help="show every registered name")
    p.add_argument("--print-config", action="store_true", help="show the resolved settings, which are themselves a recipe")
    p.add_argument("--help", "-h", action="store_true", help="show this, and the options of the chosen method and net")
    return p


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line; an unknown one is an error that names the near miss."""
    p = parser()
    flags, unknown = p.parse_known_args(argv)
    if unknown:
        known = [option for action in p._actions for option in action.option_strings if option.startswith("--")]
        word = unknown[0].partition("=")[0]
        raise InputError(f"unknown argument '{word}'; {near_miss(word, known)}settings are given as --set KEY=VALUE")
    return flags


def read_settings(flags: argparse.Namespace) -> RunSettings:
    """Recipe, then the preset, then --set, then the flags."""
    pairs = [assignment.partition("=") for assignment in flags.set]
    dataset = (
        flags.dataset
        if flags.dataset is not None
        else next((value for key, _, value in reversed(pairs) if key.strip() == "dataset"), "digits")
    )
    preset = [] if flags.preset is None else [(f"preset {flags.preset}", presets.read_preset(flags.preset, PRESETS))]
    given = config.read_recipes(flags.recipe or [_recipe_of(dataset)], RECIPES, flags.budget, preset)
    for key in (*WORDS, *VALUES):
        if getattr(flags, key) is not None and any(name.strip() == key for name, _, _ in pairs):
            raise InputError(f"{key} is given twice, by --{key.replace('_', '-')} and by --set; keep one")
    for assignment in flags.set:
        config.put_assignment(given, assignment)
    for key in WORDS:
        if getattr(flags, key) is not None:
            given[key] = getattr(flags, key)
    for key in VALUES:
        if getattr(flags, key) is not None:
            given[key] = config.parse_yaml(getattr(flags, key), f"--{key.replace('_', '-')}")
    dataset = DATASETS.resolve(str(given.get("dataset", RunSettings.dataset))).name
    if flags.image_size is not None:
        config.put(given, f"datasets.{dataset}.image_size", config.parse_yaml(flags.image_size, "--image-size"))
    if flags.skip_broken:
        config.put(given, f"datasets.{dataset}.skip_broken", True)
    given |= {key: True for key in ("strict", "deterministic", "compile") if getattr(flags, key)}
    return config.resolve(given)


def _recipe_of(dataset: str) -> str:
    name = DATASETS.resolve(dataset).name
    if not (RECIPES / f"{name}.yaml").is_file():  # a plug-in's
        raise InputError(f"the data set '{name}' has no recipe of its own; give one, such as --recipe folder, or a file")
    return name


def list_names() -> str:
    """Every registered name, where it comes from, and a one-line description."""
    origins = [entry.origin for registry in REGISTRIES for entry in registry.entries()]
    wide = max(map(len, origins))
    blocks = []
    for registry in REGISTRIES:
        rows = [f"  {entry.name:<20} {entry.origin:<{wide}}  {entry.summary}" for entry in registry.entries()]
        blocks.append("\n".join([f"{registry.kind}s:", *rows]))
    return "\n\n".join(blocks)


def prepare_folder(out: Path, settings: RunSettings) -> None:
    """Refuse a folder that holds something else.

    Raises:
        InputError: It holds a run with other settings, or is not a run's folder.
    """
    record = out / "config.yaml"
    if not record.exists():
        if any(parent.exists() and not parent.is_dir() for parent in out.parents) or (
            out.exists() and (not out.is_dir() or not all(_of_nothing(path) for path in out.iterdir()))
        ):
            raise InputError(f"{out} exists and is not the folder of a run; choose another --out")
        return
    before = config.flatten(config.read_recipe(str(record), RECIPES))
    now = config.flatten(config.plain(settings))
    differ = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key) and key not in ANYWHERE]
    if differ:
        shown = ", ".join(f"{key} {before.get(key, 'not')} there and {now.get(key, 'not')} here" for key in differ[:3])
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise InputError(f"{out} holds a run with other settings ({shown}{more}); choose another --out")


def _of_nothing(path: Path) -> bool:
    """Whether a file is what a process leaves that was killed before it had written anything."""
    return path.name == LOCK or path.name.endswith(".partial")


def load_data(settings: RunSettings) -> Dataset:
    """The images.

    Raises:
        InputError: They cannot be read.
    """
    root = Path(os.path.expanduser(settings.data_root))
    try:
        return DATASETS.create(settings.dataset, root, **settings.datasets[settings.dataset])
    except OSError as error:  # a path that no file can have, or that nobody may look at
        raise InputError(f"data_root '{root}' cannot be read ({error.strerror or error})") from error


def check_data(settings: RunSettings, inputs: "Inputs") -> int:
    """Say which files were left out, and which images of the test set, or held out, are also trained on.

    Returns:
        How many of the test set are.

    Raises:
        InputError: There are such images, and `strict` is set.
    """
    data, held_out = inputs.data, inputs.held_out
    if data.skipped:
        print(f"WARNING: {len(data.skipped)} files are left out, such as: {one_line(data.skipped[0])}", file=sys.stderr)
    rows = len(data.images)

    def name(place: int) -> str:
        return data.names[place] if data.names else f"row {place}" if place < rows else f"test row {place - rows}"

    of_test = leaks(data.images, data.test_images)
    learnt = np.setdiff1d(np.arange(rows), held_out)
    of_held_out = leaks(data.images, data.images[held_out], learnt) if len(held_out) else []
    for kind, count, found in (
        ("test", len(data.test_images), [(rows + one, other) for one, other in of_test]),
        ("validation", len(held_out), [(held_out[one], other) for one, other in of_held_out]),
    ):
        if not found:
            continue
        one, other = found[0]
        said = one_line(
            f"{len(found)} of {count} {kind} images are also training images, such as {name(one)}, which is {name(other)}"
        )
        if settings.strict:
            raise InputError(f"{said}; remove them from the training set, or go on without --strict")
        print(f"WARNING: {said}: the score counts what was learnt by heart; --strict refuses such data", file=sys.stderr)
    return len(of_test)


class Inputs(NamedTuple):
    """What a run is made of, beside its settings."""

    data: Dataset
    split: Split  # which rows are labelled
    held_out: np.ndarray  # (V,) which of these are for validation
    facts: Facts  # what a method may know


def choose_labels(settings: RunSettings, data: Dataset) -> Inputs:
    """Draw or read the label split, and hold out what is for validation."""
    if settings.split_file is not None:
        split = read_split(Path(settings.split_file), data.name, data.labels)
        if settings.labels != len(split.rows):
            raise InputError(
                f"{settings.split_file} names {len(split.rows)} labelled images, but labels is {settings.labels}; make them agree"
            )
    else:
        split = draw_split(
            data.name, data.labels, len(data.classes), settings.labels, settings.split_seed, class_names=data.classes
        )
    rows = np.arange(len(data.images))
    held_out = hold_out(split, settings.val_fraction)
    learnt = ~np.isin(split.rows, held_out)
    stream = np.setdiff1d(rows, held_out if settings.batch.labeled_in_unlabeled else split.rows)
    known = (split.rows[learnt], split.classes[learnt], stream)
    facts = Facts(len(data.classes), len(rows), *(torch.from_numpy(part.astype(np.int64)) for part in known))
    return Inputs(data, split, held_out, facts)


def make_evaluator(
    settings: RunSettings, inputs: Inputs, images: torch.Tensor, test_images: torch.Tensor, view: View, device: torch.device
) -> Evaluator:
    """Scores on the test set, on held-out images, and on some unlabelled ones whose labels are known but hidden from training."""
    data, _, held_out, facts = inputs
    hidden = np.setdiff1d(facts.unlabeled.numpy(), facts.labeled.numpy())
    hidden = hidden[data.labels[hidden] >= 0]
    order = torch.randperm(len(hidden), generator=torch.Generator().manual_seed(mix("hidden labels")))
    hidden = hidden[order[: settings.evaluation.unlabeled].numpy()]
    return Evaluator(
        test_images,
        data.test_labels,
        images[torch.from_numpy(hidden).to(images.device)],
        data.labels[hidden],
        images[torch.from_numpy(held_out).to(images.device)],
        data.labels[held_out],
        view.plain,
        settings.evaluation.batch,
        autocast(device, pick_precision(device, settings.precision)),
    )


def build(settings: RunSettings, facts: Facts, image_shape: tuple[int, ...], device: torch.device) -> AlgorithmBase:
    """The net and the method around it, with initial weights that depend on the seed alone."""
    height, width, channels = image_shape
    seed_global(mix(settings.seed, "net"))
    net = NETS.create(settings.net, facts.classes, channels, (height, width), **settings.nets[settings.net])
    net = net.to(device, memory_format=torch.channels_last)  # before a method copies it
    method = ALGORITHMS.create(settings.alg, net=net, facts=facts, **settings.algorithms[settings.alg]).to(device)
    synchronise(method)
    return method


def placed(images: np.ndarray, device: torch.device, first: Transformation | None = None) -> torch.Tensor:
    """Images on the device, or on the host where it has no room for them; or what is made of them before augmentation."""
    if first is not None:
        return transformed(first, tensor(images), device)
    return tensor(images).to(device) if holds(device, images.nbytes) else tensor(images)


def fit_input(settings: RunSettings, data: Dataset, device: torch.device) -> Transformation | None:
    """What is done to images before they are augmented, fitted on the training images; None: nothing.

    Raises:
        InputError: It does not suit the images, or the device has no room for the floats that it makes.
    """
    if settings.input not in BEFORE:
        return None
    size = 4 * (data.images.nbytes + data.test_images.nbytes)
    if not holds(device, size, made=True):
        raise InputError(
            f"input = {settings.input} keeps all images as floats, {size / 1e9:,.1f} GB, for which {device} has no room; "
            f"set input = channel or unit, or make the images smaller"
        )
    return transformation(settings.input, tensor(data.images), device)


def assemble(settings: RunSettings, inputs: Inputs, out: Path, identity: dict[str, str]) -> tuple[Trainer, Pipeline]:
    """All parts of a run, put together on its device; nothing is written."""
    data, facts = inputs.data, inputs.facts
    device = pick_device(own_device(settings.device))
    algorithm = build(settings, facts, data.images.shape[1:], device)
    steps = {
        view: {name: AUGMENTATIONS.create(name, **options) for name, options in given.items()}
        for view, given in settings.views.items()
    }
    used = {*algorithm.views, *algorithm.labeled_views}
    check_steps(settings.input, {view: given for view, given in steps.items() if view in used})
    first = fit_input(settings, data, device)
    images, test_images = (placed(part, device, first) for part in (data.images, data.test_images))
    scaling = () if first else [part.to(device) for part in shift_and_scale(settings.input, images)]
    views = {view: View([*given.values()], *scaling) for view, given in steps.items()}
    pipeline = Pipeline(
        images,
        facts,
        views,
        unlabeled=algorithm.views,
        labeled=algorithm.labeled_views,
        batch_labeled=settings.batch.labeled,
        batch_unlabeled=settings.batch.unlabeled,
        seed=settings.seed,
        rank=rank(),
        ranks=ranks(),
        device=device,
    )
    evaluator = make_evaluator(settings, inputs, images, test_images, View([], *scaling), device)
    environment = {"torch": results.versions()["torch"], "device": device_name(device)}
    return Trainer(algorithm, pipeline, evaluator, settings, device, out, identity, environment), pipeline


def device_name(device: torch.device) -> str:
    """What the run is made on, in words."""
    return f"{ranks()} x {results.device_name(device)}" if ranks() > 1 else results.device_name(device)


def execute(settings: RunSettings, out: Path) -> dict[str, Any]:
    """Train and score one run in its folder, going on from a checkpoint there; returns the row of result.json.

    Of several processes the first one has the folder.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
        BusyError: Another process is at work in the folder.
        RunError: The run cannot go on.
    """
    pick_device(own_device(settings.device))
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        from_first(lambda: take_folder(out, settings, stack))
        stack.enter_context(deterministic(settings.deterministic))
        try:
            return _execute(settings, out)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
                raise RunError(
                    "out of memory; lower batch.labeled, batch.unlabeled or evaluation.batch, make the images smaller, or choose "
                    "a smaller net"
                ) from error
            raise


def take_folder(out: Path, settings: RunSettings, stack: contextlib.ExitStack) -> None:
    """Keep a run's folder to this process until the stack is left."""
    try:
        prepare_folder(out, settings)
    except OSError as error:  # a path that no folder can have, or that nobody may look at
        raise InputError(f"{out} cannot be used ({error.strerror or error}); choose another --out") from error
    stack.enter_context(locked(out))


def seconds_per_step(settings: RunSettings, inputs: Inputs) -> float:
    """What a step costs on this machine now, evaluations included: two short runs, of which the second counts."""
    data = inputs.data
    few = data._replace(test_images=data.test_images[:64], test_labels=data.test_labels[:64])
    for steps in (1, 3):
        rarely = dataclasses.replace(settings.evaluation, every=steps, unlabeled=64)
        short = dataclasses.replace(settings, steps=steps, evaluation=rarely)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            outcome = assemble(short, inputs._replace(data=few), Path(folder), {})[0].run()
    scored = (len(data.test_images) + settings.evaluation.unlabeled) / (len(few.test_images) + 64)
    evaluations = -(-settings.steps // settings.evaluation.every)
    return outcome.seconds_training / steps + (outcome.seconds - outcome.seconds_training) * scored * evaluations / settings.steps


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep a run's folder to this process. The lock is the operating system's, so a process that dies leaves none behind.

    Raises:
        BusyError: Another process has it.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise BusyError(f"another process is at work on {out}; wait for it, or choose another --out") from error
    except NotImplementedError as error:
        raise InputError(
            f"the file system of {out} has no locks, which keep two processes apart; choose another --out"
        ) from error
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error}); choose another --out") from error
    try:
        yield
    finally:
        lock.release()
        if made and {path.name for path in out.iterdir()} <= {LOCK}:  # refused before anything was written
            (out / LOCK).unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()


def is_locked(out: Path) -> bool:
    """Whether another process is at work on a run's folder, at this moment."""
    if not (out / LOCK).exists():
        return False
    try:
        with FileLock(out / LOCK, blocking=False):
            return False
    except Timeout:
        return True


def _execute(settings: RunSettings, out: Path) -> dict[str, Any]:
    commit = results.commit()
    inputs = choose_labels(settings, one_after_the_others(lambda: load_data(settings)))
    data, identity = inputs.data, identity_of(settings, inputs)
    leaked = from_first(lambda: check_data(settings, inputs))
    if from_first((out / results.RESULT).exists):
        return from_first(lambda: finished(out / results.RESULT, identity))
    trainer, pipeline = assemble(settings, inputs, out, identity)
    if rank() == 0:
        begin(settings, inputs, trainer, out)
    known = made_with(settings, trainer) | identity | {"commit": commit}
    del known["settings"]  # they are all there
    try:
        outcome = trainer.run()
    except DivergedError as error:
        if rank() == 0:
            with writing(out):
                results.write_json(out / results.LOST, {**known, "diverged": error.what})
        raise
    images_seen = settings.steps * sum(pipeline.sizes.values())
    row = known | scored(settings, data, trainer, outcome, images_seen)
    row |= {"skipped_images": len(data.skipped), "leaked_test_images": leaked}
    if rank() == 0:
        with writing(out):
            results.write_json(out / results.RESULT, row)
    return row


def begin(settings: RunSettings, inputs: Inputs, trainer: Trainer, out: Path) -> None:
    """Write what the run is, now that whatever can be refused has been, and say it."""
    facts = inputs.facts
    with writing(out):
        (out / results.LOST).unlink(missing_ok=True)  # it is tried again
        files.replace_text(out / "config.yaml", config.dump(settings))
        write_split(inputs.split, out / "split.json", inputs.held_out)
    held_out = f"{len(inputs.held_out):,} held out for validation, " if len(inputs.held_out) else ""
    stream = f"{len(facts.unlabeled):,} in the unlabelled stream, " if trainer.algorithm.views else ""
    print(
        f"{settings.alg} with {settings.net} ({parameters_of(trainer):,} parameters) on {settings.dataset}: "
        f"{len(facts.labeled):,} labelled images, {held_out}{stream}{len(inputs.data.test_labels):,} test images; "
        f"from step {trainer.start}, {device_name(trainer.device)}, {trainer.precision}",
        flush=True,
    )
    weight = presets.weight_in_words(
        settings.algorithms[settings.alg],
        classes=facts.classes,
        batch_labeled=settings.batch.labeled,
        batch_unlabeled=settings.batch.unlabeled,
        labeled_fraction=len(facts.labeled) / facts.rows,
    )
    if weight is not None:
        print(weight, flush=True)
    for line in unsettled(settings, trainer):
        print(f"WARNING: {line}", file=sys.stderr)


def unsettled(settings: RunSettings, trainer: Trainer) -> Iterator[str]:
    """Lines about running averages that will still be mostly what they began with when the run ends, so that it looks broken."""
    norms = [module for module in trainer.algorithm.net.modules() if getattr(module, "running_mean", None) is not None]
    slow = min((norm.momentum for norm in norms if isinstance(norm.momentum, float)), default=1.0)
    if "bn_momentum" in settings.nets[settings.net] and slow < 0.1 and (left := (1 - slow) ** settings.steps) > STALE:
        yield (
            f"after {settings.steps} steps {100 * left:.0f} % of batch norm's running statistics will be their initial values, "
            f"and scores poor: a momentum of {slow:g} is for long runs; give more steps, or "
            f"--set nets.{settings.net}.bn_momentum=0.1"
        )
    student = settings.evaluation.net == "student"
    for teacher in (module for module in trainer.algorithm.modules() if isinstance(module, Teacher) and not student):
        if not teacher.warmup and (left := teacher.decay**settings.steps) > STALE:
            true_average = f", or begin with a true average: --set algorithms.{settings.alg}.warmup_average=true"
            yield (
                f"after {settings.steps} steps {100 * left:.0f} % of the averaged weights will be the initial ones, and scores "
                f"poor: a decay of {teacher.decay:g} from the first step is for long runs; give more steps or a smaller decay"
                f"{true_average if 'warmup_average' in settings.algorithms[settings.alg] else ''}"
            )


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Say what it means that a file cannot be written.

    Raises:
        RunError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}); the same command goes on when it can") from error


def restore(folder: Path) -> tuple[RunSettings, Inputs, Trainer]:
    """A run as it stands in its folder, on the CPU: its settings, its data, and a trainer that holds the checkpoint.

    Raises:
        InputError: Not a run's folder, or its data or its code are others now.
    """
    settings = config.resolve({**config.read_recipe(str(folder / "config.yaml"), RECIPES), "device": "cpu"})
    inputs = choose_labels(settings, load_data(settings))
    identity = identity_of(settings, inputs)
    state = Checkpoints(folder).load(torch.device("cpu"))
    if state is not None:  # what `auto` was where the run was made
        settings = dataclasses.replace(settings, precision=state["identity"]["precision"])
    trainer, _ = assemble(settings, inputs, folder, identity)
    return settings, inputs, trainer


def identity_of(settings: RunSettings, inputs: Inputs) -> dict[str, str]:
    """What must be the same for a run to be gone on with."""
    kept = {name: value for name, value in config.plain(settings).items() if name not in ANYWHERE}
    return {
        "settings": results.recipe_hash(kept),
        "split_hash": inputs.split.hash,
        "data_hash": fingerprint(inputs.data),
        "plugins": plugins_of(settings),
        "code": plugins.code([ALGORITHMS.resolve(settings.alg).target, NETS.resolve(settings.net).target]),
        "source": plugins.source(Path(__file__)),
    }


def parameters_of(trainer: Trainer) -> int:
    """How many numbers there are to learn: those of the net, and of heads that the method puts on it."""
    return sum(p.numel() for p in trainer.algorithm.parameters() if p.requires_grad)


def made_with(settings: RunSettings, trainer: Trainer) -> dict[str, Any]:
    """What was run, and on what."""
    return {
        "algorithm": settings.alg,
        **{name: getattr(settings, name) for name in ("net", "dataset", "labels", "seed", "split_seed", "steps")},
        "precision": trainer.precision,
        "device": device_name(trainer.device),
        **({"history": trainer.history} if len(trainer.history) > 1 else {}),  # where it was gone on with on something else
        "versions": results.versions(),
        "recipe_hash": results.recipe_hash(config.plain(settings)),
        "config": config.plain(settings),
    }


def scored(settings: RunSettings, data: Dataset, trainer: Trainer, outcome: Outcome, images_seen: int) -> dict[str, Any]:
    """How it scored, and what it took."""
    return {
        **results.headline(outcome.evaluations, settings.evaluation.last_k, outcome.chosen),
        "selection": settings.selection,
        "confusion": outcome.confusion,
        "evaluations": outcome.evaluations,
        "classes": list(data.classes),
        "parameters": parameters_of(trainer),
        "labeled_in_unlabeled": settings.batch.labeled_in_unlabeled,
        "warnings": outcome.warnings,
        "skipped_steps": outcome.skipped,
        "seconds_compiling": trainer.seconds_compiling,
        "images_seen": images_seen,
        "images_per_second": images_seen / outcome.seconds_training,
        "seconds": outcome.seconds,
        "seconds_training": outcome.seconds_training,
        "peak_memory": results.peak_memory(trainer.device),
    }


def plugins_of(settings: RunSettings) -> str:
    """Which of the run's parts come from plug-ins, with a hash of their source."""
    steps = {step for view in settings.views.values() for step in view}
    named = {ALGORITHMS: [settings.alg], NETS: [settings.net], DATASETS: [settings.dataset], AUGMENTATIONS: sorted(steps)}
    return plugins.provenance(
        {f"{registry.kind} {name}": registry.resolve(name) for registry, names in named.items() for name in names}
    )


def finished(path: Path, identity: dict[str, str]) -> dict[str, Any]:
    """The row of a run that is done.

    Raises:
        InputError: It is of other data or another split.
    """
    (row,) = results.read_rows([path])
    differs = differing(row, {name: identity[name] for name in ("data_hash", "split_hash", "plugins")})
    if differs:
        raise InputError(f"{path} is of a run with {differs}; choose another --out")
    return row


def summary(row: dict[str, Any], out: Path) -> str:
    """The lines at the end: what was wrong, the scores, where things are, how to see them."""
    student = "" if row["accuracy"] == row["accuracy_student"] else f" (its student {100 * row['accuracy_student']:.2f} %)"
    warned = "".join(f"WARNING: {warning}\n" for warning in row.get("warnings", ()))
    shown = one_line(str(out))
    return (
        f"{warned}accuracy {100 * row['accuracy']:.2f} %{student}, error rate {100 * row['error_rate']:.2f} %, "
        f"after {row['steps']} steps in {row['seconds']:.0f} s\n"
        f"result, settings, split, metrics and checkpoint: {shown}/\n"
        f"curves: tensorboard --logdir {shown}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 1: the run cannot go on; 2: bad input; 3: busy; 128 + n: ended by signal n."""
    who = "run.py"
    try:
        flags = parse(sys.argv[1:] if argv is None else argv)
        plugins.load(flags.plugin)
        if flags.list:
            print(list_names())
            return 0
        settings = read_settings(flags)
        if flags.help:
            print(parser().format_help())
            print(
                f"settings, as they stand with the above (change them with --set or in a recipe):\n\n{config.explain(settings)}"
            )
            return 0
        if flags.print_config:
            print(config.dump(settings), end="")
            return 0
        name = f"{settings.alg}-{settings.net}-s{settings.seed}".replace(":", "_")
        kind = [settings.dataset, str(settings.labels), flags.preset, None if flags.budget == config.SHORT else flags.budget]
        out = flags.out or Path("runs") / "-".join(filter(None, kind)) / name
        with joined(settings.device):
            if flags.preset is not None and rank() == 0:
                unset = presets.unset(flags.preset, PRESETS, NETS.resolve(settings.net), settings.nets[settings.net])
                for line in unset:
                    print(f"WARNING: {line}", file=sys.stderr)
            who = f"run.py, process {rank()}" if rank() else who
            row = execute(settings, out)
            if rank() == 0:
                print(summary(row, out))
        return 0
    except ElsewhereError:
        return 1
    except Interrupted as error:
        if who == "run.py":  # the others say the same
            print(f"run.py: {one_line(error)}", file=sys.stderr)
        return 128 + error.number
    except (InputError, RunError) as error:
        print(f"{who}: {one_line(error)}", file=sys.stderr)
        return 3 if isinstance(error, BusyError) else 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("run.py: interrupted; the same command goes on from the last checkpoint, if there is one yet", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
