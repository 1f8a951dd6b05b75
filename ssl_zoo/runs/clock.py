"""How long a run takes, as a few of its steps take now, and how many steps fit into a given time."""

import contextlib
import dataclasses
import io
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.errors import InputError
from ssl_zoo.ranks import ranks
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.runs.baselines import uses_unlabeled
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.settings import MOST_STEPS, RunSettings
from ssl_zoo.train.clock import shown
from ssl_zoo.train.trainer import Trainer

Make = Callable[[RunSettings, Inputs, Path], Trainer]
FEWEST = 10  # steps that a run of some minutes must come to
USED = 0.95  # of the time that is given: other programs come and go
SCORING = 0.25  # of that, the most that evaluations may take, but for the last


class Costs(NamedTuple):
    """Seconds on this machine now."""

    step: float
    evaluation: float  # of all images that are scored
    once: float = 0.0  # to compile, in a run that does


def costs(settings: RunSettings, inputs: Inputs, make: Make) -> Costs:
    """Return what a step and an evaluation cost on this machine now.

    Two short runs, of which the second counts.

    Args:
        settings: Of the run.
        inputs: Its data.
        make: Returns a trainer that begins anew.
    """
    data = inputs.data
    few = data._replace(test_images=data.test_images[:64], test_labels=data.test_labels[:64])
    for steps in (1, 3):
        rarely = dataclasses.replace(settings.evaluation, every=steps, unlabeled=64)
        short = dataclasses.replace(settings.with_length(steps), evaluation=rarely, logger="none")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            trainer = make(short, inputs._replace(data=few), Path(folder))
            outcome = trainer.run()
    once = trainer.seconds_compiling or 0.0  # with a step, so that there is one fewer without
    step = (outcome.seconds_training - once) / (steps - bool(once))
    scored = (len(data.test_images) + settings.evaluation.unlabeled) / (len(few.test_images) + 64)
    return Costs(step, (outcome.seconds - outcome.seconds_training) * scored, once)


def seconds_per_step(settings: RunSettings, inputs: Inputs, make: Make) -> float:
    """Return what a step costs on this machine now, with its share of the evaluations. Arguments as of `costs`."""
    step, evaluation, _ = costs(settings, inputs, make)
    return step + evaluation * settings.evaluations / settings.length


def fitted(settings: RunSettings, inputs: Inputs, seconds: float, make: Make) -> RunSettings:
    """Return settings with as many steps as fit, and as many evaluations as before, or fewer where these take long.

    Args:
        settings: Of the run.
        inputs: Its data.
        seconds: That training and evaluations may take.
        make: Returns a trainer that begins anew.

    Raises:
        InputError: Too few steps fit; or several processes share the run, which would measure differently.
    """
    if ranks() > 1:
        raise InputError("`minutes` are measured by a single process; give `steps` for a run that several processes share")
    step, evaluation, once = costs(settings, inputs, make)
    room, before = USED * max(seconds - once, 0), settings.evaluations
    count = before if before * evaluation <= SCORING * room else max(1, int(SCORING * room / evaluation))
    steps = min(int((room - count * evaluation) / step), MOST_STEPS)
    if steps < FEWEST:
        needed = (FEWEST * step + evaluation) / USED + settings.minutes * 60 - seconds  # type: ignore[operator]
        raise InputError(
            f"{minutes_are(settings)} {max(steps, 0)} steps of {settings.alg} with {settings.net} here, and {FEWEST} take "
            f"{shown(needed)}; {lighter(settings)}"
        )
    found = _of(settings, steps)
    if count == before:
        return found
    return dataclasses.replace(found, evaluation=dataclasses.replace(found.evaluation, every=-(-steps // count)))


def minutes_are(settings: RunSettings) -> str:
    """Return `0.5 minutes are`, `1 minute is`: what a run may take, to go on with what that comes to."""
    one, fold = settings.minutes == 1, "" if settings.folds is None else " for this fold"
    return f"{settings.minutes:g} minute{'' if one else 's'}{fold} {'is' if one else 'are'}"


def lighter(settings: RunSettings) -> str:
    """Return what to do for a run of more steps."""
    ways = ["more minutes", "a smaller net", "smaller images (`image_size`)"]
    ways += ["a smaller `batch.unlabeled`"] if uses_unlabeled(ALGORITHMS.resolve(settings.alg).target) else []
    return f"give {', '.join(ways[:-1])}, or {ways[-1]}"


def of_epochs(settings: RunSettings, inputs: Inputs) -> RunSettings:
    """Return settings with as many steps as the epochs are, and as many evaluations as before."""
    steps = math.ceil(settings.epochs * len(inputs.facts.unlabeled) / settings.batch.unlabeled)  # type: ignore[operator]
    return _of(settings, min(max(steps, 1), MOST_STEPS))


def _of(settings: RunSettings, steps: int) -> RunSettings:
    evaluation = settings.evaluation
    if evaluation.every is not None:  # null is a tenth of any run
        evaluation = dataclasses.replace(evaluation, every=max(1, evaluation.every * steps // settings.length))
    return dataclasses.replace(settings.with_length(steps), evaluation=evaluation)
