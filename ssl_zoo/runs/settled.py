"""Settings that the data and the machine decide when a run begins, and that it then keeps."""

import dataclasses
import time
from collections.abc import Callable

from ssl_zoo import recipes
from ssl_zoo.registry import NETS
from ssl_zoo.runs.baselines import is_baseline, net_of
from ssl_zoo.runs.clock import Make, fitted, lighter, minutes_are, of_epochs
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.inputs import Inputs
from ssl_zoo.runs.model import Model
from ssl_zoo.runs.weights import AUTO, input_kind
from ssl_zoo.settings import RunSettings

FEW = 200  # steps, below which a line says so


def as_begun(folder: RunFolder, settings: RunSettings) -> RunSettings:
    """Return settings with what the run in a folder began with: steps of so many minutes or epochs, values of auto."""
    try:
        if not folder.config.exists():
            return settings
    except OSError:  # a path that no folder can have, which is said when it is taken
        return settings
    before = recipes.flatten(recipes.read_recipe(str(folder.config)))
    length = (settings.minutes, settings.epochs)
    if length != (None, None) and (before.get("minutes"), before.get("epochs")) == length:
        every = dataclasses.replace(settings.evaluation, every=before["evaluation.every"])
        settings = dataclasses.replace(settings, steps=before["steps"], evaluation=every)
    own = f"nets.{settings.net}."
    options = settings.nets[settings.net]
    options = {name: before.get(own + name, value) if value == "auto" else value for name, value in options.items()}
    settings = dataclasses.replace(settings, nets={**settings.nets, settings.net: options})
    return dataclasses.replace(settings, input=before["input"]) if settings.input == AUTO and "input" in before else settings


def settled(
    settings: RunSettings,
    inputs: Inputs,
    began: float,
    make: Make,
    warn: Callable[[str], None],
    initial: Model | None = None,
) -> RunSettings:
    """Return settings with what these data and this machine decide.

    Args:
        settings: Of the run.
        inputs: Its data.
        began: When its minutes begin, in seconds of the monotonic clock.
        make: Returns a trainer that begins anew.
        warn: Is told where less can be had than was wished.
        initial: The trained net that the run begins from.

    Raises:
        InputError: As `fitted`.
    """
    entry = NETS.resolve(settings.net)
    settle_options = getattr(entry.target, "settle", None)
    if settle_options is not None:
        options, line = settle_options(settings.nets[settings.net], **entry.fixed)
        settings = dataclasses.replace(settings, nets={**settings.nets, settings.net: options})
        if line and net_of(settings)[0] == settings.net:  # else the net is of no use, and settled for rows to be alike
            warn(line)
    settings = dataclasses.replace(settings, input=input_kind(settings, initial))
    if settings.epochs is not None:  # of a baseline too: it makes no steps, but stands in a table with what makes them
        settings = of_epochs(settings, inputs)
    if settings.minutes is not None and not is_baseline(settings.alg):
        wished = settings.evaluations
        settings = fitted(settings, inputs, 60 * settings.minutes - (time.monotonic() - began), make)
        count = settings.evaluations
        if count < wished:
            some = f"are {count} evaluations" if count > 1 else "is one evaluation"
            warn(f"scoring takes a while here, so that there {some} in place of {wished}; `evaluation.every` says how often")
        if settings.length < FEW:
            warn(f"{minutes_are(settings)} {settings.length} steps here, which teach little; {lighter(settings)}")
    return settings
