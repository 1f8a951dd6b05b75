"""What the runs of a table were made with: settings, hashes and versions, each said once; and every run's scores."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ssl_zoo import recipes
from ssl_zoo.errors import InputError
from ssl_zoo.pages.markup import Markup, element, facts, folded, joined, paragraph, table, wide
from ssl_zoo.runs.row import Row, is_lost
from ssl_zoo.tables.rows import by_cell

FACTS = (  # of a row, beside its settings and scores
    *("device", "history", "precision", "threads", "versions", "commit", "source", "code", "plugins", "recipe_hash"),
    *("data_hash", "split_hash", "initial", "scored", "selection", "selected_step", "batch_unlabeled", "labeled_in_unlabeled"),
    *("parameters", "classes", "peak_memory", "seconds_compiling", "seconds_training", "skipped_images", "skipped_steps"),
    *("leaked_test_images", "weights", "fit", "warnings", "diverged"),
)
SCORES = {  # of a run; never the best on the test set
    "error_rate": "error rate, %",
    "accuracy_median": "accuracy, median, %",
    "accuracy_student": "student, %",
    "balanced_accuracy": "balanced, %",
    "macro_f1": "macro F1, %",
    "validation_accuracy": "held out, %",
    "calibration_error": "calibration error, %",
}
LONGEST = 300  # letters of a value
ABSENT = object()


class Parts(NamedTuple):
    """What all share, and what each has besides."""

    shared: dict[str, Any]
    own: list[dict[str, Any]]


def parts(of: Sequence[Mapping[str, Any]]) -> Parts:
    """Return what all of these mappings have with one value, and of each the rest.

    So that the two together are each of them again.
    """
    first = of[0]
    shared = {key: value for key, value in first.items() if all(one.get(key, ABSENT) == value for one in of)}
    return Parts(shared, [{key: value for key, value in one.items() if key not in shared} for one in of])


def settings_of(row: Row) -> dict[str, Any]:
    """Return the resolved settings of a run by dotted key; those of folds are one run, which has no fold of its own."""
    flat = recipes.flatten(row["config"])
    return {key: value for key, value in flat.items() if key != "fold" or flat.get("folds") is None}


def facts_of(row: Row) -> dict[str, Any]:
    """Return what else is known of a run, by dotted key."""
    known = {name: row[name] for name in FACTS if row.get(name) not in (None, [], "")}
    seconds = {name: round(value, 1) for name, value in known.items() if name.startswith("seconds_")}
    return recipes.flatten(known | seconds)


def runs_part(place: str, rows: Sequence[Row]) -> Markup:
    """Return what opens to show settings and scores of every run of a table.

    Args:
        place: Name of the table on the page. That of a cell has its number after it, as `cell_places` says.
        rows: Of runs, those that diverged among them.
    """
    settings, known = parts([settings_of(row) for row in rows]), parts([facts_of(row) for row in rows])
    own = {id(row): pair for row, *pair in zip(rows, settings.own, known.own, strict=True)}
    cells = by_cell(rows)
    places = cell_places(place, rows)
    shown = [_cell(places[method, str(labels)], (method, labels), group, own) for (method, labels), group in cells.items()]
    return folded(
        f"Settings, versions, hashes and scores of {len(rows):,} run{'s' * (len(rows) > 1)}",
        paragraph("Settings that all of these runs share. With those of a method and of a run, each below, they are a recipe."),
        _yaml("settings of all runs", settings.shared),
        facts((key, _text(value)) for key, value in known.shared.items()),
        *shown,
    )


def cell_places(place: str, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """Return where on the page the runs of each cell are, by method and labels."""
    return {(method, str(labels)): f"{place}-{number}" for number, (method, labels) in enumerate(by_cell(rows))}


def _cell(place: str, key: tuple[str, Any], rows: Sequence[Row], own: Mapping[int, Sequence[dict[str, Any]]]) -> Markup:
    method, labels = key
    settings, known = (parts([own[id(row)][k] for row in rows]) for k in (0, 1))
    scores = [name for name in SCORES if any(name in row for row in rows)]
    more = [*dict.fromkeys(name for one in (*settings.own, *known.own) for name in one if name != "seed")]
    heads = ["seed", *(SCORES[name] for name in scores), "images seen", "seconds", *more]
    lines = [
        [
            str(row["seed"]),
            *(_score(row, name) for name in scores),
            *("" if is_lost(row) else f"{row[name]:,.0f}" for name in ("images_seen", "seconds")),
            *(_text({**one, **other}.get(name, "")) for name in more),
        ]
        for row, one, other in zip(rows, settings.own, known.own, strict=True)
    ]
    return element(
        "section",
        element("h4", f"{method}, {labels} labels"),
        _yaml("settings of these runs", settings.shared) if settings.shared else "",
        facts((key, _text(value)) for key, value in known.shared.items()) if known.shared else "",
        table("runs", heads, lines),
        id=place,
        class_="cell",
    )


def _score(row: Row, name: str) -> str:
    return f"{100 * row[name]:.2f}" if name in row else ""


def _yaml(label: str, flat: Mapping[str, Any]) -> Markup:
    """Settings as a part of a recipe; by dotted key where they are none, as in a row that nobody's run wrote."""
    nested: dict[str, Any] = {}
    try:
        for key, value in flat.items():
            recipes.put(nested, key, value)
    except InputError:
        nested = dict(flat)
    lines = recipes.dump_mapping(nested).rstrip("\n").split("\n")
    return wide(label, element("pre", joined(*lines, between=Markup("\n"))))


def _text(value: Any) -> str:
    """A value in words, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} letters)"
