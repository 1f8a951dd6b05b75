"""What a run says of itself: when it begins, of what may go wrong, and when it has ended."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_zoo import presets
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.data.names import nearly_alike
from ssl_zoo.data.open_set import OUTSIDE
from ssl_zoo.ema import Teacher
from ssl_zoo.errors import one_line
from ssl_zoo.runs.baselines import HOLDS, is_baseline, net_of, row_holds_images, uses_unlabeled
from ssl_zoo.runs.calibration import FEWEST, too_few
from ssl_zoo.runs.confusion import (
    Confusion,
    accuracy,
    balanced,
    geometric_mean,
    given_to_all,
    images_in,
    in_a_tail,
    interval,
    majority,
    pairs_of,
    pooled,
    recalls,
    sizes,
    unequal,
)
from ssl_zoo.runs.initial import beginning_from
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.layers import in_fp32
from ssl_zoo.runs.model import Model
from ssl_zoo.runs.naming import named_data
from ssl_zoo.runs.weights import beginning_with
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.fitting import Fitter
from ssl_zoo.train.loggers import EVENTS, METRICS
from ssl_zoo.train.trainer import Trainer

SHOWN = 12  # classes in a line
OTHERS = {OUTSIDE: "of classes that are only unlabelled", -1: "of which nobody knows the class"}
SCORED = {"held-out": "labelled images held out and scored", "training": "training images scored: it says nothing of others"}
STALE = 0.05  # share of a running average that may be what it began with when a run ends


def parameters_of(trainer: Trainer | Fitter) -> int:
    """Return how many numbers there are to learn: those of the net, and of heads that the method puts on it."""
    return sum(p.numel() for p in trainer.algorithm.parameters() if p.requires_grad)


def _nearly_alike(data: Dataset) -> Iterator[str]:
    """Name classes that may be one."""
    labels = np.concatenate((data.labels[data.labels >= 0], data.test_labels))
    counts = dict(zip(data.classes, np.bincount(labels, minlength=len(data.classes)).tolist(), strict=True))
    for one, other in nearly_alike(counts):
        yield one_line(f"'{one}' ({counts[one]}) is nearly '{other}' ({counts[other]}): if they are one, give them one name")


COMPILED = "steps are compiled, which takes up to a minute: the bar stands still meanwhile"
NONE_COMPILED = "no step is compiled: one that is logged or scored is not, and all are; `evaluation` has how often that is"


def beginning(settings: RunSettings, inputs: Inputs, trainer: Trainer | Fitter, initial: Model | None = None) -> Iterator[str]:
    """Yield lines about what is about to be trained, on what, and what a consistency weight means."""
    facts, data = inputs.facts, inputs.data
    yield from map(one_line, data.notes)
    if data.names or inputs.split.draw == "longtail":
        yield one_line(_classes(inputs))
    if data.names:
        yield from _nearly_alike(data)
    if len(inputs.cut):
        yield one_line(_stream(inputs))
    validated = f"{len(inputs.held_out):,} held out for validation, " if len(inputs.held_out) else ""
    both = len(np.intersect1d(facts.unlabeled.numpy(), facts.labeled.numpy()))
    within = f" (with the {both:,} labelled ones)" if both else ""
    stream = f"{len(facts.unlabeled):,} in the unlabelled stream{within}, " if uses_unlabeled(trainer.algorithm) else ""
    scored = "of them scored too" if data.fitted else "held out to be scored" if data.held_out else "test images"
    yield (
        f"{settings.alg} with {net_of(settings)[0]} ({_parameters(trainer)}) on {named_data(settings)}: "
        f"{len(facts.labeled):,} labelled images, {validated}{stream}{len(data.test_labels):,} {scored}; "
        f"{_from(trainer)}, {trainer.machine.name}, {trainer.machine.precision}"
    )
    weight = presets.weight_in_words(
        settings.options,
        classes=facts.classes,
        batch_labeled=settings.batch.labeled,
        batch_unlabeled=settings.unlabeled,
        labeled_fraction=len(facts.labeled) / facts.rows,
    )
    if weight is not None:
        yield weight
    if settings.compile and not isinstance(trainer, Fitter):
        each = settings.evaluation.log_every == 1 or settings.evaluations >= settings.length
        yield NONE_COMPILED if each else COMPILED
    if layers := in_fp32(trainer.algorithm.net):
        yield (
            f"{', '.join(layers[:3])}{f' and {len(layers) - 3} more' if len(layers) > 3 else ''} "
            f"{'stays' if len(layers) == 1 else 'stay'} in fp32: on a CPU torch computes a wrong bf16 gradient for "
            f"{'it' if len(layers) == 1 else 'them'}"
        )
    if 0 < len(inputs.held_out) < FEWEST:
        yield f"confidences will not be calibrated: {too_few(len(inputs.held_out), len(inputs.split.rows))}"
    if initial is not None and trainer.start == 0 and net_of(settings)[0] == settings.net:
        yield from beginning_from(settings, initial, data)
    yield from beginning_with(settings, data, initial)
    if facts.class_weights is not None:
        by_weight = sorted(zip(facts.class_weights.tolist(), map(one_line, inputs.data.classes), strict=True))
        (low, least), (high, most) = by_weight[0], by_weight[-1]
        yield f"class weights: {settings.class_weights}, from {low:.3g} ('{least}') to {high:.3g} ('{most}')"


def _parameters(trainer: Trainer | Fitter) -> str:
    trained, net = parameters_of(trainer), sum(p.numel() for p in trainer.algorithm.net.parameters())
    return f"{trained:,} parameters" if trained >= net else f"{trained:,} of {net:,} parameters trained"


def _from(trainer: Trainer | Fitter) -> str:
    fitted = isinstance(trainer, Fitter)
    return "fitted at once, whatever steps, optimizer, views and eval_ema say" if fitted else f"from step {trainer.start}"


def _classes(inputs: Inputs) -> str:
    """The classes of somebody's own images, with how many are labelled: a folder too many or too few is seen."""
    count = np.bincount(inputs.facts.labels.numpy(), minlength=len(inputs.data.classes))
    shown = [f"{name} ({number:,})" for name, number in zip(inputs.data.classes, count, strict=True)]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return f"{len(shown)} classes, with the labelled images of each: {', '.join(shown[:SHOWN])}{more}"


def _stream(inputs: Inputs) -> str:
    """What was cut from the unlabelled stream, and what is left of each class."""
    data, left_out = inputs.data, len(inputs.cut)
    kept = np.setdiff1d(inputs.facts.unlabeled.numpy(), inputs.split.rows)
    hidden = data.labels[kept]
    count = np.bincount(hidden[hidden >= 0], minlength=len(data.classes))
    shown = [f"{name} ({number:,})" for name, number in zip(data.classes, count, strict=True)][:SHOWN]
    more = f" and {len(data.classes) - SHOWN} more" if len(data.classes) > SHOWN else ""
    parts = [f"{', '.join(shown)}{more}"] if count.sum() else []
    parts += [f"{number:,} {what}" for code, what in OTHERS.items() if (number := int((hidden == code).sum()))]
    return (
        f"of {len(kept) + left_out:,} images without a label {len(kept):,} stay in the unlabelled stream, by their hidden "
        f"labels: {'; '.join(parts)}"
    )


def of_no_effect(settings: RunSettings) -> Iterator[str]:
    """Yield lines about settings that do nothing without another one, or leave nothing of use to train."""
    if settings.split_file is not None and settings.draw != RunSettings.draw:
        yield f"draw = {settings.draw} is of no effect with split_file, which names the labelled images; give `draw=equal`"
    elif settings.imbalance != RunSettings.imbalance and settings.draw != "longtail":
        yield f"imbalance = {settings.imbalance:g} is of no effect without a long tail of labels; give `draw=longtail`"
    if settings.stream.order != "same" and settings.stream.imbalance is None:
        yield (
            f"stream.order = {settings.stream.order} is of no effect without a long tail of the unlabelled images; give "
            f"`stream.imbalance={settings.imbalance:g}`"
        )
    net, freeze = settings.nets[settings.net], settings.optimizer.freeze
    if settings.initial is not None or net.get("pretrained") or is_baseline(settings.alg):
        return
    if freeze == "body" or net.get("lora"):
        yield f"the body of {settings.net} has random weights and is not trained; begin from trained ones: `initial=MODEL`"
    elif freeze == "bn":
        yield f"batch norms of {settings.net} have seen no image and stay so; begin from trained weights: `initial=MODEL`"


def evened_twice(settings: RunSettings) -> Iterator[str]:
    """Yield a line where two settings correct for unequal classes at once."""
    if settings.batch.labeled_classes == "balanced" and settings.class_weights != "none":
        yield (
            f"batch.labeled_classes = balanced and class_weights = {settings.class_weights} both make up for unequal classes, so "
            "that rare ones count twice; keep one: `class_weights=none`"
        )


def unsettled(settings: RunSettings, trainer: Trainer | Fitter) -> Iterator[str]:
    """Yield lines about running averages that will still be mostly what they began with when the run ends."""
    if isinstance(trainer, Fitter):
        return
    norms = [module for module in trainer.algorithm.net.modules() if getattr(module, "running_mean", None) is not None]
    slow = min((norm.momentum for norm in norms if isinstance(norm.momentum, float)), default=1.0)
    if "bn_momentum" in settings.nets[settings.net] and slow < 0.1 and (left := (1 - slow) ** settings.length) > STALE:
        yield (
            f"after {settings.length} steps {100 * left:.0f} % of batch norm's running statistics will be their initial values, "
            f"and scores poor: a momentum of {slow:g} is for long runs; give more steps, or "
            f"`nets.{settings.net}.bn_momentum=0.1`"
        )
    student = settings.evaluation.net == "student"
    for teacher in (module for module in trainer.algorithm.modules() if isinstance(module, Teacher) and not student):
        if not teacher.warmup and (left := teacher.decay**settings.length) > STALE:
            true_average = f", or begin with a true average: `algorithms.{settings.alg}.warmup_average=true`"
            yield (
                f"after {settings.length} steps {100 * left:.0f} % of the averaged weights will be the initial ones, and scores "
                f"poor: a decay of {teacher.decay:g} from the first step is for long runs; give more steps or a smaller decay"
                f"{true_average if 'warmup_average' in settings.options else ''}"
            )


def summary(row: Mapping[str, Any], out: Path) -> str:
    """Return the lines at the end: what was wrong, the scores, where things are, how to see them."""
    matrix, shown = row["confusion"], one_line(str(out))
    low, high = interval(matrix)
    also = f", balanced accuracy {100 * row['balanced_accuracy']:.2f} %" if unequal(matrix) else ""
    names = row.get("classes") or [str(k) for k in range(pairs_of(matrix)["classes"])]
    scored = SCORED.get(row.get("scored", "test"), "images scored")
    validated = f", validation accuracy {100 * row['validation_accuracy']:.2f} %" if "validation_accuracy" in row else ""
    student = "" if row["accuracy"] == row["accuracy_student"] else f", its student {100 * row['accuracy_student']:.2f} %"
    return "\n".join(
        [
            *(f"WARNING: {warning}" for warning in (*row.get("warnings", ()), *one_class(row), *at_chance(row))),
            f"accuracy {100 * row['accuracy']:.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}, "
            f"{images_in(matrix):,} {scored}){student}{also}, error rate {100 * row['error_rate']:.2f} %{validated}",
            *(each_class(matrix, names) if unequal(matrix) or in_a_tail(row) else ()),
            f"trained net, result, settings, split{', metrics and checkpoint' if row['steps'] else ' and metrics'}: {shown}/",
            *([f"the trained net {HOLDS}"] if row_holds_images(row) else []),
            _took(row, shown),
        ]
    )


def _took(row: Mapping[str, Any], shown: str) -> str:
    logger = row.get("config", {}).get("logger", EVENTS)
    if row["steps"] and EVENTS in logger:
        return f"curves of its {row['steps']:,} steps in {row['seconds']:.0f} s: tensorboard --logdir {shown}"
    if row["steps"]:
        also = "" if logger == "none" else f", and with {logger}"
        return f"curves of its {row['steps']:,} steps in {row['seconds']:.0f} s: in {METRICS}{also}"
    found = "".join(f", {name} {value:g}" for name, value in row.get("fit", {}).items())
    return f"fitted at once, in {row['seconds']:.1f} s{found}"


def each_class(matrix: Confusion, names: Sequence[str]) -> Iterator[str]:
    """Yield a line about the recalls of the classes that have images; of many classes, the least."""
    found = [(recall, k) for k, recall in enumerate(recalls(matrix)) if recall is not None]
    shown = found if len(found) <= SHOWN else sorted(found)[:SHOWN]
    which = "of each class" if len(found) <= SHOWN else f"of the {SHOWN} classes of {len(found)} where it is least"
    listed = ", ".join(f"'{one_line(names[k])}' {100 * recall:.1f}" for recall, k in shown)
    yield f"geometric mean of the recalls {100 * geometric_mean(matrix):.2f} %; recall {which}, %: {listed}"


def one_class(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line where the net gives one class to nearly all images, so that its accuracy says nothing."""
    matrix = row["confusion"]
    found = given_to_all(matrix)
    if found is None:
        return
    given, count = found
    largest, alone = majority(matrix)
    names = [one_line(name) for name in row.get("classes") or range(pairs_of(matrix)["classes"])]
    one = f"the largest class, '{names[largest]}'," if unequal(matrix) else "any one class"
    yield (
        f"the net gives the class '{names[given]}' to {count:,} of the {images_in(matrix):,} scored images; {one} given to all "
        f"of them would score {100 * alone:.2f} %"
    )


def at_chance(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line with what may help, where the net may be no better than a guess."""
    matrix, config = row["confusion"], row.get("config", {})
    guess = 1 / sum(size > 0 for size in sizes(matrix))
    if interval(matrix)[0] > guess and given_to_all(matrix) is None:
        return
    ways = ["more minutes or steps"] if row["steps"] else []
    if config.get("nets", {}).get(row["net"], {}).get("pretrained") is False and config.get("initial") is None:
        ways.append(f"pretrained weights, also from a file (nets.{row['net']}.pretrained=PATH)")
    ways += ["smaller images, of which more steps fit into the time"] * (row["steps"] > 0 and config.get("dataset") == "folder")
    yield f"this may be no better than a guess, {100 * guess:.1f} %; what may help: {', '.join([*ways, 'more labels'])}"


def folds_summary(rows: Sequence[Mapping[str, Any]], out: Path) -> str:
    """Return the lines at the end of runs that together score every labelled image once.

    Args:
        rows: Of the folds, in order.
        out: The folder that theirs lie in.
    """
    matrix = pooled(rows)
    low, high = interval(matrix)
    found, names = balanced(matrix), rows[0].get("classes") or [str(k) for k in range(pairs_of(matrix)["classes"])]
    also = f", balanced accuracy {100 * found:.2f} %" if unequal(matrix) else ""
    right, each = accuracy(matrix), ", ".join(f"{100 * row['accuracy']:.1f}" for row in rows)
    which = f"labelled images, each scored once, by one of {len(rows)} nets that had not seen it"
    return "\n".join(
        [
            f"accuracy {100 * right:.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}, {images_in(matrix):,} {which})"
            f"{also}, error rate {100 - 100 * right:.2f} %",
            *(each_class(matrix, names) if unequal(matrix) or in_a_tail(rows[0]) else ()),
            f"of each fold: {each} %",
            f"trained nets, results and settings: {one_line(str(out))}/fold-0/ to fold-{len(rows) - 1}/",
        ]
    )
