"""From a trainer that is done to the row of its run."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_zoo import provenance
from ssl_zoo.device import peak_memory
from ssl_zoo.runs.baselines import uses_unlabeled
from ssl_zoo.runs.confusion import geometric_mean, recalls
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.model import Model
from ssl_zoo.runs.report import parameters_of
from ssl_zoo.runs.row import Known, Row
from ssl_zoo.runs.weights import known_of
from ssl_zoo.settings import RunSettings
from ssl_zoo.train.fitting import Fitter
from ssl_zoo.train.trainer import Outcome, Trainer


def made_with(
    settings: RunSettings,
    plain: Mapping[str, Any],
    identity: Mapping[str, str],
    trainer: Trainer | Fitter,
    initial: Model | None = None,
) -> Known:
    """Return what was run, and on what.

    Args:
        settings: Of the run.
        plain: The same as mappings.
        identity: Of the run.
        trainer: At work or done.
        initial: The trained net that it begins from.
    """
    weights = known_of(settings, initial)
    known: dict[str, Any] = {
        "algorithm": settings.alg,
        **{name: getattr(settings, name) for name in ("net", "dataset", "labels", "seed", "split_seed")},
        "steps": 0 if isinstance(trainer, Fitter) else settings.length,
        "precision": trainer.machine.precision,
        "device": trainer.machine.name,
        "threads": trainer.machine.threads,
        **_unlabeled(settings, trainer),
        **({"history": trainer.history} if len(trainer.history) > 1 else {}),  # where it moved to something else
        "versions": provenance.versions(),
        "recipe_hash": provenance.recipe_hash({**_counted(plain), "initial": identity.get("initial")}),
        "config": dict(plain),
        **{name: value for name, value in identity.items() if name != "settings"},  # they are all there
        **({"weights": weights} if weights else {}),
        "commit": provenance.commit(),
    }
    return known  # type: ignore[return-value]


def _unlabeled(settings: RunSettings, trainer: Trainer | Fitter) -> dict[str, int | None]:
    """Unlabelled images of a step; none of a method that uses none; nothing of one that has no steps and uses all."""
    if not uses_unlabeled(trainer.algorithm):
        return {"batch_unlabeled": None}
    return {} if isinstance(trainer, Fitter) else {"batch_unlabeled": settings.unlabeled}


def _counted(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without where numbers are shown, which nothing depends on."""
    return {name: value for name, value in plain.items() if name != "logger"}


def scored(known: Known, settings: RunSettings, inputs: Inputs, trainer: Trainer | Fitter, outcome: Outcome, leaked: int) -> Row:
    """Return the row: what is known, how it scored, and what it took.

    Args:
        known: What was run, and on what.
        settings: Of the run.
        inputs: Its images and label split.
        trainer: Which is done.
        outcome: Of the trainer.
        leaked: Test images that were also trained on.
    """
    data, fitted = inputs.data, isinstance(trainer, Fitter)
    images_seen = trainer.images_seen if fitted else settings.length * sum(trainer.batches.sizes.values())
    row: dict[str, Any] = {
        **known,
        **headline(outcome.evaluations, settings.evaluation.last_k, outcome.chosen),
        "scored": "training" if data.fitted else "held-out" if data.held_out else "test",
        "selection": settings.selection,
        "confusion": outcome.confusion,
        "geometric_mean": geometric_mean(outcome.confusion),
        "recalls": recalls(outcome.confusion),
        **({"cut_images": len(inputs.cut)} if len(inputs.cut) else {}),
        **({"split_draw": inputs.split.draw} if settings.split_file is not None else {}),  # whatever the setting says
        "evaluations": outcome.evaluations,
        "classes": list(data.classes),
        "parameters": parameters_of(trainer),
        "labeled_in_unlabeled": settings.batch.labeled_in_unlabeled,
        "warnings": outcome.warnings,
        "skipped_steps": outcome.skipped,
        "seconds_compiling": trainer.seconds_compiling,
        **({"fit": trainer.fit} if fitted else {}),
        "images_seen": images_seen,
        "images_per_second": images_seen / outcome.seconds_training,
        "seconds": outcome.seconds,
        "seconds_training": outcome.seconds_training,
        "peak_memory": peak_memory(trainer.device),
        "skipped_images": len(data.skipped),
        "leaked_test_images": leaked,
    }
    return row  # type: ignore[return-value]


def headline(evaluations: Sequence[Mapping[str, float]], last_k: int, chosen: int = -1) -> dict[str, float]:
    """Return the reported scores: those of one evaluation; the median of the last k beside them.

    The best on the test set marked.

    Args:
        evaluations: In order.
        last_k: Of how many last evaluations to take the median.
        chosen: Which one is reported; the last, or one that was chosen by validation images. Never by test images.
    """
    scores = {name: value for name, value in evaluations[chosen].items() if name != "step"}
    return {
        **scores,
        "selected_step": int(evaluations[chosen]["step"]),
        "error_rate": 1 - scores["accuracy"],
        "accuracy_median": statistics.median(e["accuracy"] for e in evaluations[-last_k:]),
        "accuracy_median_of": min(last_k, len(evaluations)),
        "accuracy_oracle": max(e["accuracy"] for e in evaluations),  # chosen on the test set: never a headline
    }
