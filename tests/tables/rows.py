"""Rows as a run writes them, for tests: one that finished, one that diverged, and a few of two methods."""

from ssl_zoo import recipes
from ssl_zoo.runs import row as results
from ssl_zoo.runs.fields import declared
from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.table import make_tables
from ssl_zoo.tables.variants import told_apart


def row(alg="supervised", seed=0, accuracy=0.8, **more):
    config = {"alg": alg, "net": "n", "steps": 5, "labels": 20, "seed": seed, "algorithms": {alg: {}}, "optimizer": {"lr": 0.1}}
    scores = ("accuracy", "accuracy_student", "accuracy_median", "accuracy_oracle", "balanced_accuracy", "macro_f1")
    base = dict.fromkeys(scores, accuracy) | {
        "algorithm": alg,
        "net": "n",
        "dataset": "d",
        "labels": 20,
        "seed": seed,
        "split_seed": seed,
        "split_hash": f"h{seed}",
        "data_hash": "d",
        "steps": 5,
        "accuracy_median_of": 1,
        "error_rate": 1 - accuracy,
        "evaluations": [{"step": 5, "accuracy": accuracy}],
        "confusion": [[3, 2], [1, 4]],
        "precision": "fp32",
        "images_seen": 100,
        "images_per_second": 10.0,
        "seconds": 1,
        "device": "cpu",
        "versions": {"ssl_zoo": "0", "torch": "2", "python": "3"},
        "commit": "abc",
        "config": config,
    }
    return base | more


def lost(alg, seed, **more):
    """The row of a run that diverged."""
    kept = {name: value for name, value in row(alg, seed).items() if name in declared(results.LostRow)}
    return kept | {"diverged": "the loss is not finite"} | more


def config(**more):
    """The settings of a row, and more."""
    return row()["config"] | more


def varied(key, values, **more):
    """Rows of two seeds for each value of a setting, told apart.

    Args:
        key: Dotted.
        values: That it takes.
        more: Fields of the rows of the first value, `at_0`, of the second, and so on.
    """
    made = []
    for place, value in enumerate(values):
        settings = config(dataset="d")
        recipes.put(settings, key, value)
        made += [row(seed=seed, axes=[key], config=settings, **more.get(f"at_{place}", {})) for seed in (0, 1)]
    (told,) = told_apart(made)
    return told


def said(*rows, lost=()):
    """The caption of rows, in one line."""
    return " ".join(caption(rows, [], lost))


def cells(rows):
    """The cells of the only table, and what was said."""
    (made,), said = make_tables(rows)
    return made.cells, said


ROWS = [row(seed=s, accuracy=0.7 + 0.01 * s) for s in range(2)] + [
    row("my_method", s, 0.9, accuracy_oracle=0.99) for s in range(2)
]
