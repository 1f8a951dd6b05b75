"""Folds of one data set -> one row: each labelled image scored once, by a net that had not seen it."""

import hashlib
import json
import statistics
from collections.abc import Sequence
from typing import Any

from ssl_zoo.config import LENGTHS
from ssl_zoo.runs.confusion import accuracy, balanced, geometric_mean, images_in, macro_f1, pooled, recalls
from ssl_zoo.tables.rows import Row, counted, grouped, name_of


def pool_folds(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return rows in which all folds of one seed and method are one row, and lines about sets of folds with gaps.

    A fold alone has a training and a test set that no other run has, so that it belongs beside none. Of the pooled row
    accuracies, and those of evaluations, are of all images that the folds score; seconds and images seen are their
    sums.

    Args:
        rows: Of runs, some of them perhaps of folds.
    """
    kept: list[Row] = []
    said: list[str] = []
    for group in grouped(rows, _key).values():
        count = group[0]["config"].get("folds")
        if count is None:
            kept += group
            continue
        by_fold = {row["config"]["fold"]: row for row in reversed(group)}  # of two of a kind the first
        if len(group) > len(by_fold):
            said.append(f"{name_of(group[0])}: {counted(len(group) - len(by_fold), 'fold')} there twice; the first is taken")
        missing = [fold for fold in range(count) if fold not in by_fold]
        if missing:
            shown = f"{', '.join(map(str, missing[:5]))}{' and more' if len(missing) > 5 else ''}"
            said.append(
                f"{name_of(group[0])}: of {count} folds {len(missing)} {'is' if len(missing) == 1 else 'are'} missing "
                f"({shown}), so that the others are left out; give the folder of all folds, or the command that makes them again"
            )
        else:
            kept.append(_one([by_fold[fold] for fold in range(count)]))
    return kept, said


def _key(row: Row) -> str:
    """What the folds of one set share: everything but the fold, and what follows from it; of another row, itself.

    Minutes or epochs stand in the settings of the first fold alone, as the others take its steps. So the steps that
    were made are compared, and not which setting they came from.
    """
    config = row["config"]
    if config.get("folds") is None:
        return f"row {id(row)}"
    names = ("algorithm", "net", "dataset", "labels", "seed", "split_seed", "steps", "device", "precision", "code", "source")
    same = {name: row.get(name) for name in names}
    shared = {name: value for name, value in config.items() if name not in ("fold", *LENGTHS)}
    return json.dumps([same, shared], sort_keys=True)


def _one(folds: Sequence[Row]) -> dict[str, Any]:
    weights = [images_in(row["confusion"]) for row in folds]

    def mean(values: Sequence[float]) -> float:
        return statistics.fmean(values, weights)

    pairs = pooled(folds)
    scores = [{point["step"]: point["accuracy"] for point in row["evaluations"]} for row in folds]
    steps = sorted(set(scores[0]).intersection(*scores))
    right = accuracy(pairs)
    return {
        **folds[0],
        "confusion": pairs,
        "accuracy": right,
        "error_rate": 1 - right,
        "balanced_accuracy": balanced(pairs),
        "macro_f1": macro_f1(pairs),
        "geometric_mean": geometric_mean(pairs),
        "recalls": recalls(pairs),
        **{name: mean([row[name] for row in folds]) for name in ("accuracy_median", "accuracy_student", "accuracy_oracle")},
        "evaluations": [{"step": step, "accuracy": mean([of[step] for of in scores])} for step in steps],
        **{name: _joined([row[name] for row in folds]) for name in ("split_hash", "data_hash")},
        **{name: sum(row[name] for row in folds) for name in ("images_seen", "seconds")},
        "warnings": [*dict.fromkeys(warning for row in folds for warning in row.get("warnings", ()))],
        "leaked_test_images": sum(row.get("leaked_test_images", 0) for row in folds),
    }


def _joined(hashes: Sequence[str]) -> str:
    return hashlib.blake2b("".join(hashes).encode(), digest_size=16).hexdigest()
