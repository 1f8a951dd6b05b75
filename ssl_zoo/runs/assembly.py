"""The parts of a run, put together on its machine: method, pipeline, evaluator. Nothing is written."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.algorithms.baseline import Baseline
from ssl_zoo.batch import Facts
from ssl_zoo.data.augment import View
from ssl_zoo.data.normalisation import Normalised, check_steps, prepare
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.device import Machine
from ssl_zoo.errors import InputError
from ssl_zoo.ranks import rank, ranks
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, NETS
from ssl_zoo.runs.baselines import check_weights, is_baseline, net_of
from ssl_zoo.runs.freezing import freeze
from ssl_zoo.runs.initial import check_images, put_weights
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.layers import settle_precision
from ssl_zoo.runs.model import Model
from ssl_zoo.runs.weights import input_kind, normalisation_of
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.evaluate import Evaluator
from ssl_zoo.train.guesses import Known
from ssl_zoo.train.parallel import synchronise


class Assembly(NamedTuple):
    """What a trainer drives."""

    algorithm: AlgorithmBase
    pipeline: Pipeline
    evaluator: Evaluator
    normalised: Normalised  # the images, with what a trained net needs to normalise others


def build(
    settings: RunSettings,
    facts: Facts,
    image_shape: tuple[int, ...],
    machine: Machine,
    initial: Model | None = None,
    classes: Sequence[str] = (),
) -> AlgorithmBase:
    """Return the method around its net, with initial weights that depend on the seed alone, or on a trained net.

    Args:
        settings: Of the run.
        facts: What a method may know.
        image_shape: (H, W, C).
        machine: Where it is wanted.
        initial: A trained net to begin from.
        classes: Their names, by which that one's last layer is taken.

    Raises:
        InputError: The net cannot take such images, or not begin from that one.
    """
    check_weights(settings)  # once more: whether there are pretrained ones is known by now
    height, width, channels = image_shape
    name, options = net_of(settings)

    def make(count: int) -> nn.Module:
        return NETS.create(name, count, channels, (height, width), **options)

    seed_global(mix(settings.seed, "net"))
    net = make(facts.classes)
    if initial is not None and name == settings.net:
        put_weights(net, initial, classes, make, str(settings.initial))
    if not is_baseline(settings.alg):  # of which no step trains anything
        freeze(net, name, settings.optimizer.freeze)
    net = net.to(machine.device, memory_format=torch.channels_last)  # before a method copies it, as what follows
    settle_precision(net, name, image_shape, machine.device, machine.precision)
    method = ALGORITHMS.create(settings.alg, net=net, facts=facts, **settings.options).to(machine.device)
    synchronise(method)
    return method


def assemble(settings: RunSettings, inputs: Inputs, machine: Machine, initial: Model | None = None) -> Assembly:
    """Return all parts of a run.

    Args:
        settings: Of the run.
        inputs: Its data.
        machine: Where it is trained.
        initial: The trained net that it begins from.

    Raises:
        InputError: They do not fit together.
    """
    data, facts, device = inputs.data, inputs.facts, machine.device
    if initial is not None:
        check_images(initial, settings, data)
    algorithm = build(settings, facts, data.images.shape[1:], machine, initial, data.classes)
    steps = {
        view: {name: AUGMENTATIONS.create(name, **options) for name, options in given.items()}
        for view, given in settings.views.items()
    }
    used = {*algorithm.views, *algorithm.labeled_views}
    kind = input_kind(settings, initial)
    check_steps(kind, {view: given for view, given in steps.items() if view in used})
    known = normalisation_of(settings, data.images.shape[-1], initial)
    normalised = prepare(kind, data.images, data.test_images, device, known)
    scaling = scaling_of(normalised)
    pipeline = Pipeline(
        normalised.images,
        facts,
        {view: View([*given.values()], *scaling) for view, given in steps.items()},
        unlabeled=algorithm.views,
        labeled=algorithm.labeled_views,
        batch_labeled=settings.batch.labeled,
        batch_unlabeled=settings.unlabeled,
        labeled_classes=settings.batch.labeled_classes,
        seed=settings.seed,
        rank=rank(),
        ranks=ranks(),
        device=device,
    )
    if facts.class_weights is not None and isinstance(algorithm, Baseline):
        if not algorithm.uses_class_weights:
            raise InputError(f"the method '{settings.alg}' has no loss that class weights could be in; give `class_weights=none`")
    elif facts.class_weights is not None:
        _refuse_unweighed(settings, algorithm, pipeline, machine)
    return Assembly(algorithm, pipeline, make_evaluator(settings, inputs, normalised, machine), normalised)


def _refuse_unweighed(settings: RunSettings, algorithm: AlgorithmBase, pipeline: Pipeline, machine: Machine) -> None:
    """Refuse class weights that the method's loss does not use: nobody would notice.

    Raises:
        InputError: The loss of the first batch is the same with weights that are twice as large.
    """
    batch, weights, found = pipeline.batch(0), algorithm.class_weights, []
    algorithm.eval()  # in which batch norm's statistics stay as they are, and nothing else is written by a loss
    for factor in (1, 2):
        algorithm.class_weights = factor * weights
        seed_global(mix(settings.seed, "class weights"))
        with machine.autocast():
            found.append(float(algorithm.loss(batch, torch.zeros((), device=machine.device)).total.detach()))
    algorithm.class_weights = weights
    algorithm.train()
    if abs(found[1] - found[0]) <= 1e-5 * abs(found[0]):
        raise InputError(
            f"the method '{settings.alg}' does not use class weights; give them to its supervised loss, "
            "cross_entropy(logits, batch.y, weight=self.class_weights), or go on with `class_weights=none`"
        )


def scaling_of(normalised: Normalised) -> tuple[torch.Tensor, ...]:
    """Return what a view takes from the channels and divides them by; nothing where images are normalised already."""
    return () if normalised.shift is None or normalised.scale is None else (normalised.shift, normalised.scale)


def make_evaluator(settings: RunSettings, inputs: Inputs, normalised: Normalised, machine: Machine) -> Evaluator:
    """Return what scores on the test set, held-out images, and unlabelled ones whose labels stay hidden."""
    data, held_out, facts, images = inputs.data, inputs.held_out, inputs.facts, normalised.images
    hidden = np.setdiff1d(facts.unlabeled.numpy(), facts.labeled.numpy())
    hidden = hidden[data.labels[hidden] >= 0]
    order = torch.randperm(len(hidden), generator=torch.Generator().manual_seed(mix("hidden labels")))
    hidden = hidden[order[: settings.evaluation.unlabeled].numpy()]
    labels = data.labels.copy()
    labels[facts.labeled.numpy()] = -1  # which methods see
    return Evaluator(
        normalised.test_images,
        data.test_labels,
        images[torch.from_numpy(hidden).to(images.device)],
        data.labels[hidden],
        images[torch.from_numpy(held_out).to(images.device)],
        data.labels[held_out],
        View([], *scaling_of(normalised)).plain,
        settings.evaluation.batch,
        machine.autocast(),
        Known(labels, tuple(data.classes)),
    )
