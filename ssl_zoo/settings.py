"""The settings of a run, as plain typed data. Each field's documentation is what `--help` shows."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ssl_zoo.errors import InputError, between
from ssl_zoo.groups import BatchSettings, EvaluationSettings, OptimizerSettings, ScheduleSettings, StreamSettings, loggers_of

OWN_BATCH = "batch"  # in a method's section of a recipe: {unlabeled: U} in place of what all methods share
OWN_STEPS = "steps"  # there too: a number of steps of its own
OWN = (OWN_BATCH, OWN_STEPS)
MOST_STEPS = 100_000_000  # of a run
LEAST_MINUTES = 0.1  # of a run

# Settings that make no other run: it may resume with others of them. Of two rows a table compares what stands there:
# the hash of the data, and the device with its number of threads.
NO_OTHER_RUN = ("device", "threads", "data_root", "checkpoint_seconds", "strict", "logger")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One run, whole. A recipe is a YAML file with these keys.

    Args:
        alg: Method, by its registered name.
        net: Net, by its registered name.
        dataset: Data set, by its registered name.
        data_root: Folder of the data, or an archive or a table of labels for the data set `folder`. In every path, `~`
            is the home folder.
        labels: How many labelled images, or `all`.
        draw: How they are shared among the classes: an equal number of each (equal), in proportion to the classes'
            sizes, at least one of each (proportional), or in a long tail from the first class to the last (longtail).
        imbalance: Of longtail: how many times as many labels the first class has as the last (arXiv:1901.05555).
        unlabeled_classes: Classes, by name or number, whose images are only in the unlabelled stream: never labelled,
            never scored, and none of those that the net tells apart (arXiv:1804.09170).
        stream: Which images without a label the unlabelled stream keeps.
        test_fraction: Share of each class's labelled images that is held out and scored where the data have no test
            set; the same images for every seed. Where they have one, it is of no effect.
        folds: In place of test_fraction: parts of equal size of the labelled images, of which one is scored; null:
            none.
        fold: Which of them is scored, from 0.
        val_fraction: Share of the labelled images that is held out from training and scored at every evaluation; they
            count as labels.
        selection: Which evaluation is reported: the last, or the best one by the held-out images (validation).
        seed: Of the initial weights, the order of images, augmentation and dropout.
        split_seed: Of the choice of labelled images.
        split_file: JSON file that names the labelled images, as each run writes; null: draw them. Images that are files
            are found by their names, others by their rows.
        initial: Trained net that the run begins from, in place of random or pretrained weights: a run's folder, or its
            model.safetensors; null: none. Images are normalised as they were for it.
        strict: Refuse data of which test images are also training images, an image is in two classes, or labelled
            images are not those that the split file knows; without it they are counted and reported.
        input: What a net gets of an image: auto (weights where the net begins from pretrained ones, otherwise channel;
            from a trained net, what that one got), weights (each channel as it was for the pretrained weights), channel
            (each channel to mean 0 and deviation 1 over the training images), unit (pixels to -1..1), or, before
            augmentation, image (each image to mean 0 and deviation 1 over all its values) or zca (contrast of each
            image, then whitening, fitted on the training images).
        class_weights: Of the classes in the supervised loss, by their labelled images: none; balanced, n / (K n_k), as
            scikit-learn has it; or effective, (1 - beta) / (1 - beta^n_k) with a mean of 1 (arXiv:1901.05555).
        class_weights_beta: Of effective: 0 weighs all classes alike, 1 - 1e-7 nearly as balanced does.
        steps: Updates of the net, where the method's own section of a recipe has no `steps` of its own.
        epochs: In place of steps: as many as give so many passes over the unlabelled stream at `batch.unlabeled` images
            a step. Every method makes these steps, one with a batch.unlabeled of its own too. Evaluations stay as many;
            null: steps.
        minutes: That the run may take, in place of steps and epochs: how many steps fit is measured at the start, and a
            run that resumes keeps their number; null: steps.
        device: auto (a GPU if there is one), cpu, cuda or cuda:N.
        threads: Of the processor; auto: one where a step's work is small, otherwise as many as are free, measured at
            the start.
        deterministic: Use only operations whose result is the same every time, which on a GPU takes longer; a CPU's
            always are.
        compile: Make a step by one compiled graph, of views, loss, gradient, optimiser and state; on a GPU, replay it
            as a CUDA graph. To compile takes up to a minute at the start. Steps that are looked into, at log points,
            evaluations and measurements, are made without.
        precision: auto (bf16 where the device is fast in it, otherwise fp32), bf16 or fp32. Parameters and losses stay
            fp32. On a GPU convolutions in fp32 round to TF32, as torch has them unless it is told otherwise.
        on_nan: What a loss that is not finite does: stop the run, or skip the step, undo what it wrote and count it,
            which waits for the device in every step.
        checkpoint_seconds: Between checkpoints, beside those before evaluations.
        logger: Where numbers are shown beside metrics.jsonl: tensorboard, wandb, mlflow, trackio, several with commas,
            or none. All write on this machine alone, unless their environment variables say otherwise.
        eval_ema: Decay of an average of the net's weights that is scored instead of the net, for every method that has
            no teacher; null: none.
        batch: Images of a step.
        optimizer: The optimiser.
        schedule: The learning rate's course.
        evaluation: When and how the test set is scored.
        views: What each view means: its name, then augmentations with their options, in order.
        datasets: Options of data sets, by name.
        nets: Options of nets, by name.
        algorithms: Options of methods, by name. A section may hold batch: {unlabeled: U}, images of a step for this
            method in place of batch.unlabeled, as some papers use more of them than others.
    """

    alg: str = "meanteacher"
    net: str = "wrn28_2"
    dataset: str = "digits"
    data_root: str = "data"
    labels: int | Literal["all"] = 20
    draw: Literal["equal", "proportional", "longtail"] = "equal"
    imbalance: float = 100.0
    unlabeled_classes: tuple[str | int, ...] = ()
    stream: StreamSettings = field(default_factory=StreamSettings)
    test_fraction: float = 0.2
    folds: int | None = None
    fold: int = 0
    val_fraction: float = 0.0
    selection: Literal["last", "validation"] = "last"
    seed: int = 0
    split_seed: int = 0
    split_file: str | None = None
    initial: str | None = None
    strict: bool = False
    input: Literal["auto", "weights", "channel", "unit", "image", "zca"] = "auto"
    class_weights: Literal["none", "balanced", "effective"] = "none"
    class_weights_beta: float = 0.999
    steps: int = 1000
    epochs: float | None = None
    minutes: float | None = None
    device: str = "auto"
    threads: int | Literal["auto"] = "auto"
    deterministic: bool = False
    compile: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    on_nan: Literal["stop", "skip"] = "stop"
    checkpoint_seconds: float = 60.0
    logger: str = "tensorboard"
    eval_ema: float | None = None
    batch: BatchSettings = field(default_factory=BatchSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    views: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {"weak": {}})
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    nets: dict[str, dict[str, Any]] = field(default_factory=dict)
    algorithms: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Of the method."""
        return {name: value for name, value in self.algorithms[self.alg].items() if name not in OWN}

    @property
    def length(self) -> int:
        """Updates of the net in this run: the method's own number, or that of all methods."""
        return self.algorithms.get(self.alg, {}).get(OWN_STEPS, self.steps)

    def with_length(self, steps: int) -> "RunSettings":
        """Return the same settings with another number of updates, the method's own included."""
        options = {name: value for name, value in self.algorithms.get(self.alg, {}).items() if name != OWN_STEPS}
        return replace(self, steps=steps, algorithms={**self.algorithms, self.alg: options})

    @property
    def unlabeled(self) -> int:
        """U, the unlabelled images of a step: the method's own number, or that of all methods."""
        return self.algorithms.get(self.alg, {}).get(OWN_BATCH, {}).get("unlabeled", self.batch.unlabeled)

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations: as given, or a tenth of the run."""
        return self.evaluation.every or max(1, self.length // 10)

    @property
    def evaluations(self) -> int:
        """How many evaluations there are, that after the last step included."""
        return -(-self.length // self.evaluate_every)

    def __post_init__(self):
        between("steps", self.steps, 1, MOST_STEPS)
        if OWN_STEPS in self.algorithms.get(self.alg, {}) and (self.epochs, self.minutes) != (None, None):
            length = "epochs" if self.minutes is None else "minutes"
            raise InputError(f"algorithms.{self.alg}.{OWN_STEPS} and {length} are both given, each the length of a run; keep one")
        if self.epochs is not None:
            between("epochs", self.epochs, 0.001, 1_000_000)
        if self.minutes is not None:
            between("minutes", self.minutes, LEAST_MINUTES, 1_000_000)
        if not self.data_root:
            raise InputError("data_root is empty; give the folder of the data")
        if self.initial == "":
            raise InputError("initial is empty; give a run's folder, or its model.safetensors")
        if self.labels != "all":
            between("labels", self.labels, 1)
        between("imbalance", self.imbalance, 1, 1_000_000)
        between("test_fraction", self.test_fraction, 0.001, 0.999)
        if self.folds is not None:
            between("folds", self.folds, 2, 1000)
        between("fold", self.fold, 0, (self.folds or 1) - 1)
        between("val_fraction", self.val_fraction, 0, 1)
        if self.threads != "auto":
            between("threads", self.threads, 1, 1024)
        loggers_of(self.logger)
        between("checkpoint_seconds", self.checkpoint_seconds, 0)
        between("class_weights_beta", self.class_weights_beta, 0, 0.9999999)
        if self.eval_ema is not None:
            between("eval_ema", self.eval_ema, 0, 1)
            if self.evaluation.net == "student":
                raise InputError("eval_ema names a net to be scored, and evaluation.net = student another; give one of them")
