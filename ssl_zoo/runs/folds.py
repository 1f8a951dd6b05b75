"""K runs that together score every labelled image once, each by a net that has not seen it."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import FolderError, InputError, warn_on_screen
from ssl_zoo.runs.execute import execute
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import Row
from ssl_zoo.settings import LEAST_MINUTES, RunSettings


def execute_folds(
    settings: RunSettings,
    out: Path,
    *,
    data: Dataset | None = None,
    fresh: bool = False,
    quiet: bool = False,
    **told: Any,
) -> list[Row]:
    """Train and score all folds, in out/fold-0 and on. Folds that are finished are taken as they are.

    All have the steps of the first: minutes are shared among the folds, and measured once.

    Args:
        settings: Of the runs, with `folds`.
        out: Folder of their folders.
        data: In place of the data set that the settings name.
        fresh: Train all anew.
        quiet: Say nothing but warnings, and show no bar.
        told: `say` and `warn`, as of `execute`.

    Raises:
        InputError: Something given cannot be used, or `folds` is not given.
        RunError: A run cannot go on.
    """
    count = settings.folds
    if count is None:
        raise InputError("`folds` is not given; give a number, such as `folds=5`")
    if RunFolder(out).config.exists():
        raise FolderError(f"{out} is the folder of a single run, and folds have one each below it")
    settings, of_each = _shared_out(settings, count)
    warn, warned = told.pop("warn", warn_on_screen), set[str]()

    def once(line: str) -> None:
        """Say what is true of all folds for the first alone."""
        if line not in warned:
            warned.add(line)
            warn(line)

    rows: list[Row] = []
    for fold in range(count):
        if not quiet:
            told.get("say", print)(f"fold {fold} of {count}{f'; {of_each}' if of_each and not fold else ''}")
        here = dataclasses.replace(settings, fold=fold)
        if fold:
            every = dataclasses.replace(settings.evaluation, every=rows[0]["config"]["evaluation"]["every"])
            here = dataclasses.replace(here, minutes=None, epochs=None, steps=rows[0]["config"]["steps"], evaluation=every)
        rows.append(execute(here, out / f"fold-{fold}", data=data, fresh=fresh, quiet=quiet, warn=once, **told))
    return rows


def _shared_out(settings: RunSettings, count: int) -> tuple[RunSettings, str]:
    """Settings with the minutes of one fold, and a line about it; as they are without any.

    Raises:
        InputError: They are fewer than a run takes.
    """
    if settings.minutes is None:
        return settings, ""
    share = settings.minutes / count
    said = f"{settings.minutes:g} minutes for {count} folds are {share:.3g} for each"
    if math.isclose(share, LEAST_MINUTES):  # a third of 0.3 is a little less than 0.1
        share = LEAST_MINUTES
    if share < LEAST_MINUTES:
        least = f"give at least `minutes={LEAST_MINUTES * count:g}`, or fewer folds"
        raise InputError(f"{said}, and a run takes at least {LEAST_MINUTES}; {least}")
    return dataclasses.replace(settings, minutes=share), said
