"""The images that a run was trained on, again: what is labelled, what is held out, and in which files they are."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_zoo import config, recipes
from ssl_zoo.data.archive import Archive
from ssl_zoo.data.dataset import fingerprint
from ssl_zoo.data.folder import source_of
from ssl_zoo.errors import InputError
from ssl_zoo.runs.inputs import Inputs, choose_labels, load_data, look_at_data
from ssl_zoo.runs.model import NetPart
from ssl_zoo.runs.trained import MODES
from ssl_zoo.settings import RunSettings, StreamSettings

FILES = "folder"  # the data set whose images are files


def settings_of(row: Mapping[str, Any], data_root: str | os.PathLike | None = None) -> RunSettings:
    """Return the settings of a run.

    Args:
        row: Of the run.
        data_root: Where its data are now, if elsewhere.

    Raises:
        InputError: They are of parts that are not there.
    """
    moved = {} if data_root is None else {"data_root": os.fspath(data_root)}
    return config.resolve({**row["config"], **moved})


def recipe_for(settings: RunSettings, net: NetPart) -> str:
    """Return a recipe with all settings of a run but its data, for a run on a table of labels.

    Args:
        settings: Of the run.
        net: What the run trained, and on images of which size.
    """
    none: dict[str, Any] = {"labels": "all", "folds": None, "fold": 0, "split_file": None, "initial": None}
    none |= {"draw": "equal", "unlabeled_classes": (), "stream": StreamSettings()}  # of classes that the table does not tell
    if settings.dataset == FILES:  # of which the table says what is scored
        none |= {name: getattr(RunSettings, name) for name in ("test_fraction", "val_fraction")}
        options = {**settings.datasets[FILES], "labels_file": None}
    else:
        options = {"image_size": [net["height"], net["width"]], "mode": MODES.get(net["channels"], "RGB")}
    plain = config.plain(dataclasses.replace(settings, dataset=FILES, datasets={FILES: options}, **none))
    return recipes.dump_mapping({name: value for name, value in plain.items() if name not in ("data_root", "initial")})


def own_data(row: Mapping[str, Any], settings: RunSettings) -> Inputs:
    """Return the data of a run, which are what they were when it was trained.

    Args:
        row: Of the run.
        settings: Of the run.

    Raises:
        InputError: They are gone, or others now.
    """
    try:
        look_at_data(settings)
        inputs = choose_labels(settings, load_data(settings))
    except InputError as error:
        raise InputError(f"the images that the run was trained on cannot be had: {error}") from error
    if row["data_hash"] != fingerprint(inputs.data) or row["split_hash"] != inputs.split.hash:
        raise InputError(
            f"the images in '{settings.data_root}', or their labels, are others than the run was trained on; train it anew with "
            "those, which may begin from its net, or put them back"
        )
    return inputs


def refuse_own(table: Path, row: Mapping[str, Any], settings: RunSettings) -> None:
    """Refuse to write over a table that a run was trained on.

    Args:
        table: What would be written.
        row: Of the run.
        settings: Of the run, with its data where they are now.

    Raises:
        InputError: It is that table.
    """
    labels_file = settings.datasets[settings.dataset].get("labels_file")
    roots = [os.path.expanduser(root) for root in (row["config"]["data_root"], settings.data_root)]
    own = roots if labels_file is None else [os.path.join(root, os.path.expanduser(labels_file)) for root in (*roots, "")]
    if os.path.realpath(table) in map(os.path.realpath, own):
        raise InputError(f"the run was trained on '{table}' and needs it, as when it is reported; choose another folder")


def own_files(settings: RunSettings, inputs: Inputs) -> list[str]:
    """Return the absolute path of each image: of the training set, then of the test set.

    Raises:
        InputError: They lie in an archive.
    """
    source = source_of(Path(settings.data_root), settings.datasets[settings.dataset].get("labels_file"))
    if isinstance(source, Archive):
        raise InputError(f"the images lie in the archive '{settings.data_root}'; unpack it, and train on the folder")
    return [os.path.abspath(source.file(name)) for name in inputs.data.names]  # type: ignore[attr-defined]
