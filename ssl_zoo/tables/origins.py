"""What rows have from elsewhere: pretrained weights, trained nets, and code of plug-ins."""

from collections.abc import Sequence

from ssl_zoo.tables.rows import Row, grouped
from ssl_zoo.tables.variants import called, listed_names, variant_of

RANDOM = "random weights"


def begun_from(rows: Sequence[Row]) -> str:
    """Say which weights nets began from, with their licence, where that is not random ones and not in a row's name.

    Args:
        rows: Of a table.
    """
    told = grouped([row for row in rows if _origin(row)], _origin)
    if not {*told} - {RANDOM}:
        return ""
    if len(told) == 1:
        return f"Begun from {next(iter(told))}."
    each = (f"from {origin}: {listed_names(dict.fromkeys(map(called, group)))}" for origin, group in told.items())
    return f"Begun {'; '.join(each)}."


def _origin(row: Row) -> str:
    """What a row's net began from; empty where its name says that, or where it makes no use of a net."""
    named, weights = "initial" in variant_of(row), row.get("weights")
    known = f"{weights['source']} (license: {weights['license']})" if weights else ""
    if "initial" in row and not named:
        return f"the trained net {row['config']['initial']}{f', which began from {known}' if known else ''}"
    if known:
        return f"the pretrained weights {known}"
    pixels = not row["steps"] and row["config"]["algorithms"][row["algorithm"]].get("features") == "pixels"
    return "" if named or pixels else RANDOM


def from_plugins(rows: Sequence[Row]) -> str:
    """Name what came from plug-ins, each with a hash of its source.

    Args:
        rows: Of a table.
    """
    parts = dict.fromkeys(part for row in rows for part in row.get("plugins", "").split("; ") if part)
    return f"From plug-ins: {'; '.join(parts)}." if parts else ""
