"""From one recipe to another, one change a rung: the ladders of a YAML file, of which each rung is a whole recipe."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo import recipes
from ssl_zoo.errors import InputError
from ssl_zoo.registry import folded, near_miss

LADDER = recipes.FOLDER / f"{recipes.LADDER}.yaml"


class Rung(NamedTuple):
    """One recipe of the ladder."""

    name: str
    above: str | None  # the rung that it changes
    change: str
    recipe: dict[str, Any]
    sets: frozenset[str]  # dotted keys of its own `set`, without those of the rung that it changes


def spelled_there(dataset: str, path: Path = LADDER) -> str:
    """Return a data set's name as a file of ladders spells it, where case, `-` or `_` are all that differs."""
    known = recipes.read_mapping(path, "a ladder", "data sets, each with `base` and `rungs`")
    return next((name for name in known if folded(name) == folded(dataset)), dataset)


def read_ladder(dataset: str, path: Path = LADDER) -> dict[str, Rung]:
    """Return the rungs of a data set, in order, each with its whole recipe.

    Raises:
        InputError: There are none for it, or the file is not as it says it is.
    """
    known = recipes.read_mapping(path, "a ladder", "data sets, each with `base` and `rungs`")
    if dataset not in known:
        raise InputError(f"{path} has no ladder for '{dataset}'; {near_miss(dataset, list(known))}it has {', '.join(known)}")
    try:
        base, given = known[dataset]["base"], dict(known[dataset]["rungs"])
        above = {name: entry.get("from", before) for before, (name, entry) in zip(["base", *given], given.items(), strict=False)}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {dataset} must have `base` and `rungs`, of which each is a mapping") from error
    made = {"base": Rung("base", None, "", base, frozenset())}
    while len(made) <= len(given):
        ready = [name for name in given if name not in made and above[name] in made]
        if not ready:
            odd = next(name for name in given if name not in made)
            raise InputError(f"{path}: {dataset}.{odd} comes from '{above[odd]}', which is no rung, or comes from it in turn")
        for name in ready:
            made[name] = _rung(name, given[name], made[above[name]], f"{path}: {dataset}.{name}")
    return {name: made[name] for name in given}


def _rung(name: str, given: Mapping[str, Any], above: Rung, where: str) -> Rung:
    """Return the rung that an entry of the file makes of the one that it changes."""
    if "change" not in given or {*given} - {"from", "change", "set"}:
        raise InputError(f"{where} must have `change`, and may have `from` and `set`, nothing else")
    recipe, own = copy.deepcopy(above.recipe), given.get("set", {})
    recipes.put_recipe(recipe, copy.deepcopy(own))
    from_base = above.name == "base"
    return Rung(name, None if from_base else above.name, str(given["change"]), recipe, frozenset(recipes.flatten(own)))


def shortened(recipe: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a recipe with so much of its steps, and as many evaluations and measurements.

    Other lengths are fractions of the run, and stay.

    Raises:
        InputError: It does not say how many steps.
    """
    made = copy.deepcopy(dict(recipe))
    if "steps" not in made:
        raise InputError("the ladder does not say how many `steps` its runs have; write it into its base")
    for place in (made, *(options for options in made.get("algorithms", {}).values() if options)):
        if "steps" in place:  # of all methods, or of one
            place["steps"] = max(1, round(scale * place["steps"]))
    for name in ("every", "mechanism", "log_every"):
        if made.get("evaluation", {}).get(name):  # 0 is no measurement
            made["evaluation"][name] = max(1, round(scale * made["evaluation"][name]))
    return made


def check_set(assignments: Sequence[str], rungs: Sequence[Rung]) -> None:
    """Refuse to set what makes a rung what it is.

    Args:
        assignments: As given.
        rungs: All of the ladder, as each is named by what it changes.

    Raises:
        InputError: One of the settings is a rung's.
    """
    taken = {"steps": "give --scale", "seed": "give --seeds", "split_seed": "give --seeds"}
    own = "write it into a ladder of your own, for --ladder"
    for assignment in assignments:
        key = recipes.canonical_key(assignment.partition("=")[0].strip())
        for other in (*taken, "alg", "net", *sorted({key for rung in rungs for key in rung.sets})):
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                by = next((rung.name for rung in rungs if other in rung.sets), "every rung")
                raise InputError(f"--set {key} would change what {by} is, which sets {other}; {taken.get(other, own)}")
