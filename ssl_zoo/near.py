"""What a word that is no setting may mean: another word of the field for one, or the last part of one's name.

Values and keys stand in messages as the library says them, `optimizer.lr=0.1`; a command line makes flags of them.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError
from ssl_zoo.registry import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, Registry, close, folded
from ssl_zoo.settings import RunSettings

# The field's other words, and what they are here: names of settings, or the last part of one of a method, net or data
# set.
MEANT = {
    "learning_rate lr_rate base_lr init_lr initial_lr": ("optimizer.lr",),
    "wd l2": ("optimizer.weight_decay",),
    "optim opt optimizer": ("optimizer.name",),
    "scheduler schedule lr_scheduler lr_schedule": ("schedule.name",),
    "clip_grad grad_clip max_grad_norm": ("optimizer.clip",),
    "bs batch batch_size train_batch_size": ("batch.labeled", "batch.unlabeled"),
    "eval_batch_size test_batch_size": ("evaluation.batch",),
    "eval_every eval_freq eval_interval eval_step": ("evaluation.every",),
    "print_freq log_freq log_interval": ("evaluation.log_every",),
    "label num_labels n_labels num_labeled n_labeled": ("labels",),
    "model arch architecture backbone network": ("net",),
    "method algorithm algo": ("alg",),
    "data data_dir data_path dataset_path dataset_dir root": ("data_root",),
    "num_steps n_steps max_steps total_steps iterations iters num_iters max_iters": ("steps",),
    "gpu gpus gpu_id cuda use_cuda": ("device",),
    "amp fp16 half bf16 mixed_precision": ("precision",),
    "ema ema_decay": ("decay", "eval_ema"),
    "random_seed manual_seed": ("seed",),
    "num_threads": ("threads",),
    "from init init_from load_from from_pretrained finetune finetune_from": ("initial",),
    "img_size input_size resolution": ("image_size",),
    "imb_factor imb_ratio imbalance_ratio imbalance_factor lb_imb_ratio gamma_l": ("imbalance",),
    "ulb_imb_ratio imb_ratio_u gamma_u": ("stream.imbalance",),
    "log tracker report_to loggers use_wandb": ("logger",),
    "test_size test_split test_ratio": ("test_fraction",),
    "val_size val_split val_ratio valid_size validation_split": ("val_fraction",),
    "dropout": ("drop_rate",),
    "lambda_u unsup_weight consistency_weight": ("weight",),
    "p_cutoff tau": ("threshold",),
    "rampup ramp_up": ("ramp_length",),
}
ELSEWHERE = {  # and those that are no setting at all
    "epoch epochs num_epochs n_epochs max_epochs": "a run's length is `steps`; for passes over all images give `epochs=100`",
    "workers num_workers n_workers": "none are needed: images lie in memory, and batches are made where they are used",
    "fold n_folds num_folds k_fold kfold cv": "folds are `folds=5`, all of them; with `fold=0` as well, one of them",
    "resume resume_from auto_resume": "none is needed: the same call goes on",
    "out output outdir output_dir out_dir save_dir log_dir": "where a run goes is no setting, but an argument beside them",
}
_MEANT = {folded(word): targets for words, targets in MEANT.items() for word in words.split()}
_ELSEWHERE = {folded(word): said for words, said in ELSEWHERE.items() for word in words.split()}
_SECTIONS: dict[str, tuple[str, Registry]] = {
    "algorithms": ("alg", ALGORITHMS),
    "nets": ("net", NETS),
    "datasets": ("dataset", DATASETS),
}
_PARTS = {field.name: field.type for field in dataclasses.fields(RunSettings) if dataclasses.is_dataclass(field.type)}
NO_VALUE = object()  # a flag without one
MOST = 3  # of what is asked back


class _Place(NamedTuple):
    """A setting."""

    key: str  # dotted
    default: Any
    needs: str = ""  # what must be chosen for it to be read: `net=resnet18`

    def shown(self, value: Any) -> str:
        """As a message names it."""
        text = _text(self.key, self.default, value)
        return f"`{self.key}{'' if text is None else f'={text}'}`{f' (with `{self.needs}`)' if self.needs else ''}"


def setting(word: str, value: Any = NO_VALUE, given: Mapping[str, Any] | None = None) -> str:
    """Return what an unknown setting may mean, as a part of a message that ends in a space; "" where nobody knows.

    Args:
        word: As it was given: lr, batch-size, epochs.
        value: That it was given.
        given: Settings at hand, perhaps wrong ones: alg, net, dataset and views say whose options come first. None:
            those of no run.
    """
    if folded(word) in _ELSEWHERE:
        said = _ELSEWHERE[folded(word)]
        return f"{said.replace('=100`', f'={value}`') if str(value).isdecimal() else said}; "
    places = sorted(_places(word, given), key=lambda place: bool(place.needs)) or [*_without_section(word, value)]
    if places:
        return _asked(places, value if len(places) > 1 or not isinstance(value, Mapping) else next(iter(value.values()), value))
    if isinstance(value, Mapping) and len(value) == 1:  # training: {lr: 0.1}
        ((inner, inside),) = value.items()
        return setting(str(inner), inside, given)
    return ""


def misspelt(word: str, value: Any, given: Mapping[str, Any] | None = None) -> str:
    """Return what a misspelt word may be, as `setting`.

    Args: as of `setting`.
    """
    places = {place.key: place for place in (*_chosen(given), *_core())}
    words = {name: targets[0] for group, targets in MEANT.items() for name in group.split() if targets[0] in places}
    below = words | {key.rpartition(".")[2]: key for key in places}
    return _asked((places[below[name]] for name in close(word, below)), value)


def name(word: str) -> str:
    """Return what a word may mean that is a name alone, as `setting`: meanteacher is a method, a folder is the data."""
    if os.path.exists(os.path.expanduser(word)):
        return f"did you mean `data_root={word}`? "
    for setting_name, registry in _SECTIONS.values():
        with contextlib.suppress(InputError):
            return f"did you mean `{setting_name}={registry.resolve(word).name}`? "
    return ""


def _asked(places: Iterable[_Place], value: Any) -> str:
    shown = dict.fromkeys(place.shown(value) for place in places)
    return f"did you mean {' or '.join(shown)}? " if shown else ""


def _places(word: str, given: Mapping[str, Any] | None) -> list[_Place]:
    """The settings that an exact word means."""
    spelt = folded(word)
    if spelt in _MEANT:
        return [place for target in _MEANT[spelt] for place in _of_name(target, given)]
    return _of_name(word, given) or _within_a_part(spelt)


def _of_name(name: str, given: Mapping[str, Any] | None) -> list[_Place]:
    """Settings of a dotted name or of a last part: those of every run, then those of what was chosen, then others."""
    spelt = folded(name)
    known = [place for place in _core() if spelt in (folded(place.key), folded(place.key.rpartition(".")[2]))]
    whole = [place for place in known if folded(place.key) == spelt]
    chosen = [place for place in _chosen(given) if folded(place.key.rpartition(".")[2]) == spelt]
    if whole or known or chosen:
        return whole or [*known, *chosen][:MOST]
    return [place for place in _others() if folded(place.key.rpartition(".")[2]) == spelt][:MOST]


def _within_a_part(spelt: str) -> list[_Place]:
    """optimizer_lr, and what begins so: batch_of_labeled is one of those of batch."""
    for part in _PARTS:
        inside = [place for place in _core() if place.key.startswith(f"{part}.")]
        exact = [place for place in inside if folded(place.key.replace(".", "")) == spelt]
        if exact or spelt.startswith(part):
            return exact or inside[:MOST]
    return []


def _without_section(word: str, value: Any) -> Iterator[_Place]:
    """fixmatch.threshold, or fixmatch with a mapping: options of a method, net or data set whose section is missing."""
    named, _, option = word.partition(".")
    options = [option] if option else [*map(str, value)] if isinstance(value, Mapping) else []
    for section, (_, registry) in _SECTIONS.items():
        known = {place.key.rpartition(".")[2]: place for place in _options(section, registry, named)}
        yield from (known[one] for one in options if one in known)


def _core() -> Iterator[_Place]:
    """Settings of every run."""
    for field in dataclasses.fields(RunSettings):
        if field.name not in (*_PARTS, *_SECTIONS, "views"):
            yield _Place(field.name, field.default)
    for part, kind in _PARTS.items():
        yield from (_Place(f"{part}.{field.name}", field.default) for field in dataclasses.fields(kind))  # type: ignore[arg-type]


def _chosen(given: Mapping[str, Any] | None) -> Iterator[_Place]:
    """Options of the method, net and data set of the settings at hand, and of augmentations in their views."""
    if given is None:
        return
    for section, (setting_name, registry) in _SECTIONS.items():
        yield from _options(section, registry, given.get(setting_name, getattr(RunSettings, setting_name)))
    views = given.get("views")
    for view, steps in views.items() if isinstance(views, Mapping) else ():
        for step in steps if isinstance(steps, Mapping) else ():
            yield from _options(f"views.{view}", AUGMENTATIONS, step)


def _others() -> Iterator[_Place]:
    """Options of all methods, nets and data sets, one of each family, and of augmentations, as if of the weak view."""
    for section, (setting_name, registry) in _SECTIONS.items():
        kinds = {registry.resolve(name).target: name for name in reversed(registry.names())}
        for name in sorted(kinds.values()):
            if getattr(registry.resolve(name).target, "passed", False):
                continue  # its name alone leads to no run
            yield from (place._replace(needs=f"{setting_name}={name}") for place in _options(section, registry, name))
    for name in AUGMENTATIONS.names():
        yield from _options("views.weak", AUGMENTATIONS, name)


def _options(where: str, registry: Registry, name: Any) -> Iterator[_Place]:
    try:
        entry = registry.resolve(str(name))
    except InputError:  # which is said elsewhere
        return
    yield from (_Place(f"{where}.{entry.name}.{option}", p.default) for option, p in entry.options.items())


def _text(key: str, default: Any, value: Any) -> str | None:
    """A value as it is written after `key=`; None where it is too much to be shown."""
    on = value is NO_VALUE or value is True or (isinstance(value, str) and value.casefold() in ("true", "yes", "on"))
    if key == "device":
        return "cuda" if on else f"cuda:{value}" if str(value).isdecimal() else "cpu" if value is False else str(value)
    if key == "precision":
        return "fp32" if str(value).casefold() in ("false", "no", "off", "32", "fp32") else "bf16"
    if value is NO_VALUE:
        return "true" if isinstance(default, bool) else "VALUE"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return text if isinstance(value, str | int | float) and 0 < len(text) <= 60 and "`" not in text else None
