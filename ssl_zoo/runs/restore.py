"""A run as it stands in its folder, with its data: for what wants more than the trained net."""

import dataclasses
from pathlib import Path

import torch

from ssl_zoo import config, recipes
from ssl_zoo.runs.execute import go_on, trainer_of
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.identity import CODE, identity_of
from ssl_zoo.runs.initial import initial_of
from ssl_zoo.runs.inputs import Inputs, choose_labels, load_data
from ssl_zoo.settings import RunSettings
from ssl_zoo.train import resume
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.fitting import Fitter
from ssl_zoo.train.trainer import Trainer

YOUNGER = {"selected": {}, "threads": 1}  # parts of a checkpoint that the first versions did not write, and nothing here reads


def restore(folder: Path) -> tuple[RunSettings, Inputs, Trainer | Fitter]:
    """Return a run on the CPU: its settings, its data, and a trainer that holds its checkpoint.

    Raises:
        InputError: Not a run's folder, or its data are others now, or its checkpoint does not fit the method and net.
            Other code is no hindrance where it fits.
    """
    settings = config.resolve({**recipes.read_recipe(str(RunFolder(folder).config)), "device": "cpu"})
    inputs = choose_labels(settings, load_data(settings))
    identity = identity_of(settings, config.plain(settings), inputs, initial_of(settings, RunFolder(folder)))
    state = Checkpoints(folder).load(torch.device("cpu"))
    if state is not None:  # what `auto` was where the run was made
        settings = dataclasses.replace(settings, precision=state["identity"]["precision"])
        state = resume.checked({**YOUNGER, **state}, folder)
        identity |= {name: value for name, value in state["identity"].items() if name in CODE}
    trainer = trainer_of(settings, inputs, folder, identity)
    go_on(trainer, state)
    if isinstance(trainer, Fitter):  # it has no checkpoint: what it fits is the same each time
        trainer.learn()
    return settings, inputs, trainer
