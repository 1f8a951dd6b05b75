"""Which rows belong together, and what is said of the others.

A mean over runs that differ in anything but the seed would mean nothing. So those that agree with most of the others
stay, and the rest is named with what it disagrees on.
"""

import collections
import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ssl_zoo import recipes
from ssl_zoo.provenance import recipe_hash
from ssl_zoo.runs.row import FROM, is_lost
from ssl_zoo.settings import NO_OTHER_RUN
from ssl_zoo.tables.variants import VARIANT, called, pruned, splitting_of, unvaried, variant_of

# settings that may differ in a table
OWN = (*NO_OTHER_RUN, "alg", "algorithms", "labels", "seed", "split_seed", "split_file", "initial")
# how often a run is looked at, which changes no run, but for one whose steps are compiled where nobody looks
LOOKS = ("evaluation.mechanism", "evaluation.log_every")
# what was asked for may differ: what a run has of it is compared, its precision and its number of steps
ASKED = ("precision", "epochs", "minutes")
Row = Mapping[str, Any]
Key = TypeVar("Key", bound=Hashable)


class Sorted(NamedTuple):
    """Rows that belong together, and what is said of the others."""

    kept: list[Row]
    lines: list[str]  # which runs are left out, and why
    notes: list[str]  # the same, shorter, for a caption


def name_of(row: Row) -> str:
    """Return a run in words."""
    return f"{called(row)} with {row['labels']} labels and seed {row['seed']}"


def data_of(row: Row) -> str:
    """Return what the data of a run are called: a user's own images by their place."""
    place = os.path.basename(os.path.normpath(row["config"].get("data_root") or "."))
    return place if row["dataset"] == "folder" and place.strip(".") else row["dataset"]


def machines_of(row: Row) -> list[str]:
    """Return the machines that a run was made on: more than one, where it moved."""
    moved = [str(part["device"]) for part in row.get("history", ()) if "device" in part]
    return [*dict.fromkeys(moved or [row["device"]])]


def counted(n: int, thing: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{n} {thing}{'s' * (n != 1)}"


def grouped(rows: Sequence[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return rows by a key, in the order in which the keys first occur."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_cell(rows: Sequence[Row]) -> dict[tuple[str, Any], list[Row]]:
    """Return rows by (method, labels), of which a method is what its variant is called."""
    return grouped(rows, lambda row: (called(row), row["labels"]))


def recipe_of(row: Row) -> dict[str, Any]:
    """Return what all runs of a table must share: of variants, all but what tells them apart."""
    apart = ASKED if row["config"].get("compile") else (*ASKED, *LOOKS)
    flat = {k: v for k, v in recipes.flatten(row["config"]).items() if k not in apart}
    settings = {f"setting {k}": v for k, v in flat.items() if k.split(".")[0] not in OWN}
    plugins = [part for part in row.get("plugins", "").split("; ") if part and not part.startswith("algorithm ")]
    same = {name: row[name] for name in ("data_hash", "device", "precision")} | {"history": row.get("history", [])}
    # the net, or the file of weights, that it began from, wherever it was
    same |= {name: row.get(name, "none") for name in ("initial", "weights_hash")}
    # the hash of the sources, where the row has one: commits may differ in a text, and a dirty one says nothing
    code = {"source": row["source"]} if "source" in row else {"commit": row["commit"]}
    versions = {name: row["versions"][name] for name in ("ssl_zoo", "torch")}
    return unvaried(row, {**settings, **same, **code, **versions, "plugins": plugins})


def recipe_name(row: Row) -> str:
    """Return 12 hex digits over the settings that all runs of a table share."""
    shared = {k: v for k, v in pruned(row, row["config"]).items() if k not in (*OWN, *ASKED)}
    return recipe_hash(shared | unvaried(row, {k: row[k] for k in ("initial", "weights_hash") if k in row}))


def method_of(row: Row) -> dict[str, Any]:
    """Return what all runs of one method must share besides: of variants, all but what tells them apart."""
    plugins = [part for part in row.get("plugins", "").split("; ") if part.startswith("algorithm ")]
    options = {f"option {k}": v for k, v in recipes.flatten(row["config"]["algorithms"]).items()}
    return {**unvaried(row, options), "plugins": plugins, "code": row.get("code", "")}


def variants_share(row: Row) -> dict[str, Any]:
    """Return what all runs of one variant must share."""
    whole = {**row, VARIANT: {}}
    return {**recipe_of(whole), **method_of(whole)}


def sound(rows: Sequence[Row]) -> Sorted:
    """Return the rows that belong together.

    They have the recipe that most of them have. Those of one method have its usual options. Variants may differ in what
    was varied, and those of one variant in nothing. Those at one number of labels and one seed have one label split,
    and no seed is there twice. The others are named, with what they disagree on.
    """
    said = Sorted([], [], [])
    kept = agreeing(rows, recipe_of, said)
    kept = [row for group in grouped(kept, lambda row: row["algorithm"]).values() for row in agreeing(group, method_of, said)]
    if any(map(variant_of, kept)):
        kept = [row for group in grouped(kept, called).values() for row in agreeing(group, variants_share, said)]
    by_place = grouped(kept, lambda row: (row["labels"], row["seed"], splitting_of(row))).values()
    kept = [row for group in by_place for row in agreeing(group, lambda row: {"split_hash": row["split_hash"]}, said)]
    seen: dict[Hashable, Row] = {}
    twice = []
    for row in sorted(kept, key=lambda row: bool(row.get("axes"))):  # a run as its recipe has it before one that a grid made so
        if seen.setdefault(place_of(row), row) is not row:
            twice.append(row)
    if twice:
        said.lines.append(f"{_and_more(twice)} there twice; one of each is shown")
        said.notes.append(f"{counted(len(twice), 'run')} there twice")
    left = set(map(id, rows)) - {id(row) for row in seen.values()}
    said.kept.extend(row for row in rows if id(row) not in left)
    return said


def place_of(row: Row) -> tuple[str, Any, int]:
    """Return where a run belongs in a table, where there is one of each kind."""
    return called(row), row["labels"], row["seed"]


def agreeing(rows: Sequence[Row], what: Callable[[Row], dict[str, Any]], said: Sorted) -> list[Row]:
    """Return those whose facts most of them have.

    A run that diverged has no vote while there are others.

    Args:
        rows: Of runs, at least one.
        what: Says the facts of a row.
        said: Receives lines about the rows that are left out.
    """
    facts = [what(row) for row in rows]
    keys = [json.dumps(fact, sort_keys=True) for fact in facts]
    votes = [key for key, row in zip(keys, rows, strict=True) if not is_lost(row)] or keys
    most = collections.Counter(votes).most_common(1)[0][0]
    place = keys.index(most)
    for key in dict.fromkeys(keys):
        if key != most:
            odd = [row for row, other in zip(rows, keys, strict=True) if other == key]
            mine, theirs = facts[keys.index(key)], facts[place]
            names = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
            differ = [f"{name} ({mine.get(name, 'none')}, {theirs.get(name, 'none')})" for name in names[:3]]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            kept = f"{name_of(rows[place])}{_from(rows[place])}"
            tie = "; there are as many of either, and the first are kept" if votes.count(key) == votes.count(most) else ""
            said.lines.append(f"{_and_more(odd)} left out: other than {kept} in {', '.join(differ)}{more}{tie}")
            said.notes.append(f"{counted(len(odd), 'run')} left out, other in {', '.join(names[:3])}{more}")
    return [row for row, key in zip(rows, keys, strict=True) if key == most]


def _and_more(rows: Sequence[Row]) -> str:
    more = f" and {len(rows) - 1} more are" if len(rows) > 1 else " is"
    return f"{name_of(rows[0])}{_from(rows[0])}{more}"


def _from(row: Row) -> str:
    """Where a run was read, where that is known: two of one name are told apart by it."""
    return f" ({row[FROM]})" if FROM in row else ""


def lost_beside(rows: Sequence[Row], lost: Sequence[Row], said: Sorted) -> list[Row]:
    """Return the runs that diverged and would belong to these had they not.

    Each place is there once, and none that a finished run has.

    Args:
        rows: Of finished runs that belong together.
        lost: Of runs that diverged.
        said: Receives lines about those that belong elsewhere.
    """
    recipe = json.dumps(recipe_of(rows[0]), sort_keys=True)
    methods = {row["algorithm"]: json.dumps(method_of(row), sort_keys=True) for row in reversed(rows)}
    whole = {called(row): json.dumps(variants_share(row), sort_keys=True) for row in reversed(rows)}
    taken = set(map(place_of, rows))
    splits = {(*place_of(row)[1:], splitting_of(row)): row["split_hash"] for row in rows}
    kept, others = [], 0
    for row in lost:
        method, place = json.dumps(method_of(row), sort_keys=True), place_of(row)
        same_split = splits.setdefault((*place[1:], splitting_of(row)), row["split_hash"]) == row["split_hash"]
        own = json.dumps(variants_share(row), sort_keys=True)
        same_recipe = json.dumps(recipe_of(row), sort_keys=True) == recipe and whole.setdefault(called(row), own) == own
        if not same_split or not same_recipe or methods.setdefault(row["algorithm"], method) != method:
            said.lines.append(
                f"{name_of(row)}, which diverged, is left out: other settings, data, labels or code than {name_of(rows[0])}"
            )
            others += 1
        elif place not in taken:
            taken.add(place)
            kept.append(row)
    if others:
        said.notes.append(f"{counted(others, 'run')} that diverged left out, other in settings, data, labels or code")
    return kept
