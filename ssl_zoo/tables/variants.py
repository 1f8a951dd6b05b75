"""Runs of one method that differ on purpose, and what they are called: `meanteacher, weight 10`.

A sweep over the values of a setting writes into each row which settings it varied. Rows that differ in one of these are
variants, each with its own name and its own runs. Of what nobody varied, a difference is none on purpose.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ssl_zoo import recipes

Row = Mapping[str, Any]
VARIANT, CALLED = "variant", "called"  # what `told_apart` puts into a row: values by dotted key, and its name
OPTIONS = "algorithms"  # the section of what is of one method alone
PLACES = ("dataset", "net")  # of which each table and each panel has one, so that they tell no rows apart
BY_NAME = {OPTIONS: "alg", "nets": "net", "datasets": "dataset"}  # sections that hold what the named one uses
FOLLOWS = {  # what else of a row follows from a setting, by its first part: it differs with it
    "epochs": ("setting steps", "setting evaluation.every"),
    "initial": ("initial",),
    "nets": ("weights_hash",),
    "precision": ("precision",),
    "views": ("plugins",),
    **dict.fromkeys(("datasets", "test_fraction", "unlabeled_classes"), ("data_hash",)),
}
SPLITTING = (
    "datasets",
    "draw",
    "imbalance",
    "split_file",
    "test_fraction",
    "unlabeled_classes",
    "val_fraction",
)  # what a label split follows from


def told_apart(*groups: Sequence[Row]) -> list[list[Row]]:
    """Return groups of rows in which each knows its variant: the settings that were varied, and its value of each.

    A setting of which all have one value makes no variants.
    """
    every = [row for group in groups for row in group]
    axes = {key for row in every for key in row.get("axes", ())} - {*PLACES}
    taken = {id(row): _below(axes, row["config"]) for row in every} if axes else {}
    varied = [key for key in sorted({key for flat in taken.values() for key in flat}) if _varies(key, every, taken)]
    if not varied:
        return [list(group) for group in groups]
    names = {key: _short(key, varied) for key in varied}

    def told(row: Row) -> Row:
        variant = {key: taken[id(row)][key] for key in varied if key in taken[id(row)]}
        called = [row["algorithm"], *(f"{names[key]} {recipes.in_words(value)}" for key, value in variant.items())]
        return {**row, VARIANT: variant, CALLED: ", ".join(called)}

    return [[told(row) for row in group] for group in groups]


def _below(axes: Iterable[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that axes are, or that lie below them."""
    flat = recipes.flatten(config)
    return {key: value for key, value in flat.items() if any(f"{key}.".startswith(f"{axis}.") for axis in axes)}


def _varies(key: str, rows: Sequence[Row], taken: Mapping[int, Mapping[str, Any]]) -> bool:
    """Whether those rows that could have a setting differ in it; it may be missing, as a step of a view."""
    section, _, rest = key.partition(".")
    chooses = BY_NAME.get(section)
    could = [row for row in rows if chooses is None or rest.startswith(f"{row['config'].get(chooses)}.")]
    return len({json.dumps(taken[id(row)][key]) if key in taken[id(row)] else "" for row in could}) > 1


def _short(key: str, varied: Sequence[str]) -> str:
    """The last parts of a key that none of the others ends in which can stand beside it."""
    owner = owner_of(key)
    others = [other for other in varied if other != key and (owner is None or owner_of(other) in (None, owner))]
    parts = key.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    return next((end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), key)


def owner_of(key: str) -> str | None:
    """Return the method whose option a dotted key is; None of what all methods share."""
    section, _, rest = key.partition(".")
    return rest.partition(".")[0] if section == OPTIONS else None


def called(row: Row) -> str:
    """Return what a row is called wherever it is shown: its method, with the settings that tell it from variants."""
    return row.get(CALLED, row["algorithm"])


def listed_names(names: Iterable[str]) -> str:
    """Return names, or what begins with one, as a list of which each end is seen: variants have commas of their own."""
    found = list(names)
    return ("; " if any(", " in re.sub(r"\(.*?\)", "", name) for name in found) else ", ").join(found)


def variant_of(row: Row) -> Mapping[str, Any]:
    """Return the settings that tell a row from variants, by dotted key."""
    return row.get(VARIANT, {})


def shared_of(row: Row) -> str:
    """Return what of its variant a row shares with those of other methods, as a text to compare."""
    return json.dumps({key: value for key, value in variant_of(row).items() if owner_of(key) is None}, sort_keys=True)


def splitting_of(row: Row) -> str:
    """Return what of its variant decides which images are labelled or scored, as a text to compare."""
    return json.dumps({key: value for key, value in variant_of(row).items() if key.split(".")[0] in SPLITTING}, sort_keys=True)


def in_order(row: Row) -> list[tuple[str, bool, float, str]]:
    """Return what variants of one method are sorted by: numbers as numbers."""
    return [
        (key, not isinstance(value, int | float), value if isinstance(value, int | float) else 0.0, recipes.in_words(value))
        for key, value in variant_of(row).items()
    ]


def unvaried(row: Row, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of a row without what its variant sets, and what follows from that.

    Args:
        row: With its variant, or without.
        facts: By name: `setting optimizer.lr`, `option meanteacher.weight`, or a field of the row.
    """
    gone = {name for key in variant_of(row) for name in _names(key)}
    return {name: value for name, value in facts.items() if name not in gone}


def _names(key: str) -> Iterator[str]:
    yield from (f"setting {key}", f"option {key.removeprefix(f'{OPTIONS}.')}")
    yield from FOLLOWS.get(key.split(".")[0], ())


def differing(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return each setting that tells variants apart, by dotted key, with its values in words."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for key, value in variant_of(row).items():
            found.setdefault(key, {}).setdefault(recipes.in_words(value), value)
    return {key: sorted(values, key=lambda text: _number(values[text])) for key, values in sorted(found.items())}


def _number(value: Any) -> tuple[bool, float]:
    return (False, float(value)) if isinstance(value, int | float) else (True, 0.0)


def pruned(row: Row, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings without what a row's variant sets, and what follows from that."""
    gone = {name.removeprefix("setting ") for key in variant_of(row) for name in _names(key)}

    def without(part: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        kept = {}
        for name, value in part.items():
            key = f"{prefix}{name}"
            if key not in gone:
                kept[name] = without(value, f"{key}.") if isinstance(value, Mapping) and value else value
        return kept

    return without(config, "") if gone else dict(config)
