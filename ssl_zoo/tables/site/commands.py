"""The commands that make the runs of a table again, as far as their rows tell, and what they are derived from.

A row has its settings resolved, and not the words that were typed. So a recipe is looked for that has these settings,
with a few of them set on top. What is found is resolved again and compared before it is shown.
"""

import functools
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ssl_zoo import config, recipes
from ssl_zoo.errors import InputError
from ssl_zoo.runs.row import Row
from ssl_zoo.settings import NO_OTHER_RUN, OWN_BATCH, OWN_STEPS
from ssl_zoo.tables.captions import commits
from ssl_zoo.tables.rows import counted, grouped
from ssl_zoo.tables.variants import called, owner_of, variant_of

MOST = 12  # settings on top of a recipe; with more it is another recipe
MOST_GRIDS = 8
SWEPT = ("alg", "net", "labels", "seed", "split_seed")
OWN_FLAG = {"steps": "--steps", "data_root": "--data-root"}
PRECISION = "precision"  # a command has what the runs had: what `auto` is depends on the machine
APART = {*NO_OTHER_RUN, *SWEPT, "fold", PRECISION} - {"data_root"}  # not compared


class Made(NamedTuple):
    """Commands."""

    lines: list[str]  # none, where none can be told
    said: str  # what they are derived from, or why there are none


class _Start(NamedTuple):
    """Where a command begins."""

    recipe: str
    budget: str


def commands_of(rows: Sequence[Row]) -> Made:
    """Return the commands that make these runs again.

    Args:
        rows: Of runs that belong to one table, at least one.
    """
    try:
        return _commands(rows)
    except InputError as error:
        return Made([], f"No command can be derived from the rows: {error}.")


def _commands(rows: Sequence[Row]) -> Made:
    _refuse(rows)
    varied = _varied(rows)
    of_each = [group[0] for group in grouped(rows, called).values()]
    start = min(_starts(rows[0]), key=lambda one: len(_differing(one, of_each[0])))
    changed: dict[str, Any] = {}
    for row in of_each:
        changed |= {key: value for key, value in _differing(start, row).items() if key not in varied}
    if len(changed) > MOST:
        raise InputError(f"the recipe {start.recipe} differs from them in {len(changed)} settings, so it is another one")
    changed |= {} if PRECISION in varied else {PRECISION: rows[0][PRECISION]}
    assignments = tuple(f"{key}={_as_yaml(value)}" for key, value in changed.items())
    for row in of_each:
        own = tuple(f"{key}={_as_yaml(value)}" for key, value in variant_of(row).items())
        left = _differing(start, row, (*assignments, *own))
        if left:
            raise InputError(f"with what differs set, {', '.join(left)} would still differ from the recipe {start.recipe}")
    budget = [] if start.budget == recipes.SHORT else ["--budget", start.budget]
    words = ["ssl-zoo", "sweep", "--recipe", start.recipe, *budget]
    rest = [*_flags(assignments), *_split(rows)]
    lines = [shlex.join([*words, *grid, *_axes(varied, grid), *rest]) for grid in _grids(rows)]
    wanted = _resolved(start, rows[0]["algorithm"], rows[0]["net"], assignments)
    younger = [key for key in wanted if key not in _flat(rows[0]["config"]) and key not in APART]
    more = f" and {counted(len(younger), 'setting')} younger than the rows, which the recipe decides" if younger else ""
    said = (
        f"Derived from the rows' settings, methods, labels and seeds: the recipe {start.recipe}, with what is set here, has the "
        f"same settings. Not compared: {', '.join(sorted(APART & {*NO_OTHER_RUN}))}{more}. Commit of the runs: {commits(rows)}."
    )
    return Made(lines, said)


def _varied(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The settings that were varied, by dotted key, with their values.

    Raises:
        InputError: No grid makes the variants that are there.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for key, value in variant_of(row).items():
            found.setdefault(key, {})[json.dumps(value)] = value
    if any(key.startswith("views.") for key in found):
        raise InputError("their views were varied, of which the rows tell the resolved options alone")
    for group in grouped(rows, lambda row: (row["algorithm"], row["labels"])).values():
        whole = math.prod(len(found[key]) for key in variant_of(group[0])) * len({row["seed"] for row in group})
        if found and len({(called(row), row["seed"]) for row in group}) != whole:
            raise InputError("they are not all combinations of the values that were varied")
    return {key: list(values.values()) for key, values in found.items()}


def _axes(varied: Mapping[str, list[Any]], grid: Sequence[str]) -> Iterator[str]:
    """The flags of what was varied, in a grid of the methods that follow its first word."""
    for key, values in varied.items():
        if owner_of(key) in (None, *grid[1].split(",")):
            yield from ("--grid", f"{key}={','.join(map(_in_list, values))}")


def _refuse(rows: Sequence[Row]) -> None:
    """Raise InputError where no sweep makes such runs."""
    for row in rows:
        own = row["config"]
        if row.get("plugins"):
            raise InputError(f"the runs use plug-ins, whose files may lie anywhere: {row['plugins']}")
        if own.get("folds") is not None:
            raise InputError("the runs are in folds, which `ssl-zoo run --folds` makes, once for each method")
        for name in ("minutes", "split_file", "initial"):
            if own.get(name) is not None:
                raise InputError(f"the runs have `{name}`, which is of one machine")
        if row["seed"] < 0:
            raise InputError(f"no sweep has the seed {row['seed']}")
    splits = {row["split_seed"] for row in rows}
    if len(splits) > 1 and any(row["split_seed"] != row["seed"] for row in rows):
        raise InputError("their label splits have other seeds than the runs, and more than one")


def _starts(row: Row) -> list[_Start]:
    """Every recipe of a data set, as it stands and with each of its budgets."""
    found = []
    for path in sorted(recipes.FOLDER.glob("*.yaml")):
        recipe = {} if path.stem == recipes.LADDER else recipes.read_recipe(path.stem)
        if recipe.get("dataset") == row["dataset"]:
            found += [_Start(path.stem, budget) for budget in (recipes.SHORT, *recipe.get(recipes.BUDGETS, {}))]
    if not found:
        raise InputError(f"no recipe is for the data set {row['dataset']}")
    return found


@functools.cache
def _resolved(start: _Start, alg: str, net: str, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings that a command has, by dotted key."""
    given = config.gather([start.recipe], budget=start.budget, assignments=assignments)
    return _flat(config.plain(config.settle(given, {"alg": alg, "net": net})))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key; a view is one of them, as what it lacks is as much of it as what it has."""
    flat = {key: value for key, value in recipes.flatten(settings).items() if value != {} and key.split(".")[0] != "views"}
    views = settings.get("views")
    return flat | ({f"views.{name}": steps for name, steps in views.items()} if isinstance(views, Mapping) else {})


def _differing(start: _Start, row: Row, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a run has other than a command, by dotted key.

    Raises:
        InputError: A name or a setting of the run is unknown.
    """
    wanted, has = _resolved(start, row["algorithm"], row["net"], assignments), _flat(row["config"])
    has = {key: value for key, value in has.items() if key not in APART and not (key == "steps" and has.get("epochs"))}
    unknown = [key for key in has if key not in wanted and not _is_own_number(key)]
    if unknown:
        raise InputError(f"this version has no setting {', '.join(unknown[:3])}")
    return {key: value for key, value in has.items() if key not in wanted or not _same(key, value, wanted[key])}


def _is_own_number(key: str) -> bool:
    """Whether it is a method's own number of steps, or of unlabelled images a step, which recipes need not have."""
    return key.startswith("algorithms.") and key.endswith((f".{OWN_STEPS}", f".{OWN_BATCH}.unlabeled"))


def _same(key: str, one: Any, other: Any) -> bool:
    if not key.startswith("views.") or not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return one == other
    both = zip(one.values(), other.values(), strict=False)
    options = all(a[name] == b[name] for a, b in both for name in {*(a or {})} & {*(b or {})})
    return [*one] == [*other] and options


def _as_yaml(value: Any) -> str:
    """A value as one types it."""
    plain = isinstance(value, str) and value.strip() == value and recipes.parse_yaml(value, "a value") == value
    return value if plain else json.dumps(value)


def _in_list(value: Any) -> str:
    """A value as one types it among others."""
    text = _as_yaml(value)
    return json.dumps(value) if isinstance(value, str) and {*text} & {*",[]{}"} else text


def _flags(assignments: Sequence[str]) -> Iterator[str]:
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        yield from (OWN_FLAG[key], value) if key in OWN_FLAG else ("--set", assignment)


def _split(rows: Sequence[Row]) -> list[str]:
    """A label split that all runs share, where it is not each run's own."""
    own = all(row["split_seed"] == row["seed"] for row in rows)
    return [] if own else ["--split-seed", str(rows[0]["split_seed"])]


def _grids(rows: Sequence[Row]) -> list[list[str]]:
    """The flags of as few grids as hold these runs and no other."""
    cells: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (labels, method), group in grouped(rows, lambda row: (str(row["labels"]), row["algorithm"])).items():
        cells.setdefault((labels, tuple(sorted({row["seed"] for row in group}))), []).append(method)
    grids: dict[tuple[tuple[str, ...], tuple[int, ...]], list[str]] = {}
    for (labels, seeds), methods in cells.items():
        grids.setdefault((tuple(methods), seeds), []).append(labels)
    if len(grids) > MOST_GRIDS:
        raise InputError(f"they are no grid: {len(grids)} sweeps would be needed")
    return [
        ["--algs", ",".join(methods), "--nets", rows[0]["net"], "--labels", ",".join(labels), "--seeds", _ranges(seeds)]
        for (methods, seeds), labels in grids.items()
    ]


def _ranges(seeds: Sequence[int]) -> str:
    """Sorted numbers as `0-2,7`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
