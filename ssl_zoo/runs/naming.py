"""What runs are called by, where nobody says otherwise."""

import os
import re
from pathlib import Path

from ssl_zoo.data.names import ARCHIVES
from ssl_zoo.errors import InputError
from ssl_zoo.registry import DATASETS
from ssl_zoo.settings import RunSettings


def named_data(settings: RunSettings) -> str:
    """Return what the data of a run are called: their registered name; a user's own images by their place and size.

    So `photos` for the folder or archive of that name, `photos-64px` where they are resized, `photos-48x64px` (height x
    width). A data set of a plug-in that reads a place keeps its name before that.
    """
    entry = DATASETS.resolve(settings.dataset)
    own = hasattr(entry.target, "look")
    elsewhere = entry.origin != "ssl_zoo" and settings.data_root != RunSettings.data_root
    if not own and (not elsewhere or hasattr(entry.target, "comes_with")):
        return settings.dataset
    place = Path(os.path.abspath(os.path.expanduser(settings.data_root))).name
    ending = next((ending for ending in sorted(ARCHIVES, key=len, reverse=True) if place.lower().endswith(ending)), "")
    place = re.sub(r"[^\w.+-]+", "_", place[: len(place) - len(ending)]).lstrip(".")
    size = settings.datasets[settings.dataset].get("image_size")
    sides = "x".join(map(str, size)) if isinstance(size, list | tuple) else size
    before = "" if own and place and not _is_a_data_set(place) else settings.dataset
    return "-".join(filter(None, [before, place, f"{sides}px" if sides else ""]))


def named_sweep(recipe: str, settings: RunSettings) -> str:
    """Return what a sweep is called: by its recipe, and by a user's own images.

    Args:
        recipe: The name of the recipe, or its file's without ending.
        settings: Of one of its cells.
    """
    data = named_data(settings)
    return recipe if data == settings.dataset else data if recipe == settings.dataset else f"{recipe}-{data}"


def _is_a_data_set(name: str) -> bool:
    try:
        return bool(DATASETS.resolve(name))
    except InputError:
        return False
