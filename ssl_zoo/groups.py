"""Groups of a run's settings. Each field's documentation is what `--help` shows."""

from dataclasses import dataclass
from typing import Literal

from ssl_zoo.errors import InputError, between

LOGGERS = ("tensorboard", "wandb", "mlflow", "trackio")


def loggers_of(text: str) -> list[str]:
    """Return the names of loggers that a text gives, with commas between them; of `none`, no name.

    Raises:
        InputError: There is no such logger, or it is there twice.
    """
    names = [] if text.strip() == "none" else [name.strip() for name in text.split(",")]
    if "none" in names:
        raise InputError(f"logger = '{text}' has none and others; give `logger=none` alone, or leave none out")
    if wrong := [name for name in names if name not in LOGGERS]:
        raise InputError(f"logger = '{wrong[0]}' is unknown: it must be some of {', '.join(LOGGERS)}, with commas, or none")
    if len({*names}) < len(names):
        raise InputError(f"logger = '{text}' names one twice; name each once")
    return names


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """Images of a step.

    Args:
        labeled: Labelled images, B.
        unlabeled: Unlabelled images, U, for the methods that use them.
        labeled_in_unlabeled: Whether the labelled images are also in the unlabelled stream, without their labels.
        labeled_classes: Which labelled images a step has: uniform, each image as often as any other, or balanced, each
            class as often as any other, and within a class each image.
    """

    labeled: int = 64
    unlabeled: int = 64
    labeled_in_unlabeled: bool = True
    labeled_classes: Literal["uniform", "balanced"] = "uniform"

    def __post_init__(self):
        between("batch.labeled", self.labeled, 1, 100_000)
        between("batch.unlabeled", self.unlabeled, 1, 100_000)


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimiser.

    Args:
        name: sgd (with momentum) or adamw (arXiv:1711.05101; with weight_decay 0 it is Adam).
        lr: Learning rate, before the schedule.
        momentum: Of sgd.
        nesterov: Nesterov's form of the momentum, of sgd.
        betas: Of adamw.
        weight_decay: Coupled (L2) in sgd, decoupled in adamw.
        decay_all: Whether weight decay also acts on biases and on the scales of normalisations.
        clip: Largest norm of the gradient over all parameters; null: no limit.
        head_lr: Learning rate of the last layer, and of heads that a method adds, in place of lr; null: lr.
        body_lr: Of all else, likewise.
        layer_decay: Factor of the learning rate from each layer to the one before it, by timm's groups of layers (Clark
            et al. 2020, arXiv:2003.10555); 1: none. Nets of timm have it.
        freeze: What of the net is not trained: none; body, all but the last layer; or bn, its batch norms. Batch norms
            that are frozen normalise by the running statistics that they have.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.03
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    decay_all: bool = False
    clip: float | None = None
    head_lr: float | None = None
    body_lr: float | None = None
    layer_decay: float = 1.0
    freeze: Literal["none", "body", "bn"] = "none"

    def __post_init__(self):
        for name in ("lr", "head_lr", "body_lr"):
            if getattr(self, name) is not None:
                between(f"optimizer.{name}", getattr(self, name), 0)
        between("optimizer.layer_decay", self.layer_decay, 1e-6, 1)
        if self.freeze == "body" and (self.body_lr is not None or self.layer_decay != 1):
            raise InputError("optimizer.freeze = body trains nothing of the body; leave out optimizer.body_lr and layer_decay")
        between("optimizer.momentum", self.momentum, 0, 1)
        between("optimizer.weight_decay", self.weight_decay, 0)
        for beta in self.betas:
            between("optimizer.betas", beta, 0, 0.999999)
        if self.clip is not None:
            between("optimizer.clip", self.clip, 0)
        if self.nesterov and self.momentum == 0 and self.name == "sgd":
            raise InputError("optimizer.nesterov needs a momentum; set optimizer.nesterov: false or optimizer.momentum: 0.9")


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """The learning rate's course. Lengths are fractions of the run.

    Args:
        name: constant, cosine (to 0), cosine7_16 (cos(7 pi t / 16)) or steps.
        warmup: Length of the rise at the start.
        warmup_form: linear, or sigmoid: exp(-5 (1 - t)^2).
        ramp_down: Length of the fall at the end, exp(-12.5 t^2), multiplied in.
        milestones: When the rate changes, for steps.
        gamma: By how much it drops, for steps.
        factors: For steps, in place of powers of gamma, which then has no effect: the rate's factor before the first
            milestone, then from each one on; one more than milestones.
        cosine_fraction: Share of the half period that the run covers, for cosine.
    """

    name: Literal["constant", "cosine", "cosine7_16", "steps"] = "cosine7_16"
    warmup: float = 0.0
    warmup_form: Literal["linear", "sigmoid"] = "linear"
    ramp_down: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    factors: tuple[float, ...] = ()
    cosine_fraction: float = 1.0

    def __post_init__(self):
        for name in ("warmup", "ramp_down", "cosine_fraction"):
            between(f"schedule.{name}", getattr(self, name), 0, 1)
        for milestone in self.milestones:
            between("schedule.milestones", milestone, 0, 1)
        between("schedule.gamma", self.gamma, 0)
        for factor in self.factors:
            between("schedule.factors", factor, 0)
        if self.factors and len(self.factors) != len(self.milestones) + 1:
            raise InputError(
                f"schedule.factors has {len(self.factors)} and schedule.milestones {len(self.milestones)}; give one factor more "
                "than milestones, or none: `schedule.factors=[]`"
            )
        if self.factors and list(self.milestones) != sorted(self.milestones):
            raise InputError("schedule.milestones must rise where schedule.factors are given")


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """When and how the test set is scored. It is never used to choose anything.

    Args:
        every: Steps between evaluations, each after a checkpoint; the last step always has one. null: a tenth of the
            run, max(1, steps // 10), so that a learning curve has ten points or a few more (below ten steps, one each).
        batch: Images per forward pass.
        last_k: Of how many last evaluations the median is reported beside the last one.
        unlabeled: How many unlabelled images, at most, tell the share of hidden labels that the scored net gets right.
        log_every: Steps between lines of metrics.jsonl and TensorBoard.
        mechanism: Steps between measurements of what the unsupervised terms do to the net (confidence, lengths of
            gradients, the share of images that are decided), which cost two more backward passes each; 0: none. Of
            methods with such terms.
        net: Which net is scored: the one that the method names (method: a teacher, where there is one), or always the
            student.
    """

    every: int | None = None
    batch: int = 500
    last_k: int = 20
    unlabeled: int = 1000
    log_every: int = 50
    mechanism: int = 0
    net: Literal["method", "student"] = "method"

    def __post_init__(self):
        if self.every is not None:
            between("evaluation.every", self.every, 1, 2**31)
        for name in ("batch", "last_k", "log_every"):
            between(f"evaluation.{name}", getattr(self, name), 1, 2**31)
        between("evaluation.unlabeled", self.unlabeled, 0, 2**31)
        between("evaluation.mechanism", self.mechanism, 0, 2**31)


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Which images without a label the unlabelled stream keeps. Without any of this it keeps them all.

    The labelled images that batch.labeled_in_unlabeled puts beside them do not count here.

    Args:
        images: How many; null: as many as there are.
        imbalance: How many times as many images the largest class has as the smallest, by their hidden labels, in a
            long tail from the first class to the last; 1: all alike; null: as they come. Images of which nobody knows
            the class are left out then.
        order: Whether the first class is the largest (same) or the last (reversed), for imbalance.
        mismatch: Share of the images that are of unlabeled_classes, from 0 to 1; null: as they come.
    """

    images: int | None = None
    imbalance: float | None = None
    order: Literal["same", "reversed"] = "same"
    mismatch: float | None = None

    def __post_init__(self):
        if self.images is not None:
            between("stream.images", self.images, 1)
        if self.imbalance is not None:
            between("stream.imbalance", self.imbalance, 1, 1_000_000)
        if self.mismatch is not None:
            between("stream.mismatch", self.mismatch, 0, 1)
