"""Whether a run that is finished is the one that is asked for, and what is to be said of it."""

from ssl_zoo import provenance
from ssl_zoo.errors import ANEW, FolderError
from ssl_zoo.registry import DATASETS
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.identity import differing, other_code
from ssl_zoo.runs.row import Row
from ssl_zoo.settings import RunSettings


def of_this_data(settings: RunSettings, row: Row) -> bool:
    """Return whether a finished run is of these settings' data for certain, without a look at them.

    They come with a package.
    """
    package = getattr(DATASETS.resolve(settings.dataset).target, "comes_with", None)
    return package is not None and settings.split_file is None and row["versions"].get(package) == provenance.versions()[package]


def of_other_code(folder: RunFolder, row: Row, identity: dict[str, str], settings: RunSettings) -> list[str]:
    """Return lines where a finished run was made with other code, or its net is gone.

    Raises:
        FolderError: It is of other data, another split or another plug-in.
    """
    differs = differing(
        row, {name: identity[name] for name in ("data_hash", "split_hash", "plugins", "weights_hash") if name in identity}
    )
    if differs:
        raise FolderError(f"{folder.result} is of a run with {differs}", f", or give {ANEW}")
    other = other_code(row, settings)
    lines = [f"{folder.result} was made with {other}; `fresh=True` trains it anew"] if other else []
    gone = [] if folder.model.exists() else [f"{folder.model} is not there; `fresh=True` trains the net anew"]
    return lines + gone
