"""SSLClassifier beside scikit-learn: python benchmarks/estimator.py --out benchmarks/results/estimator.json

scikit-learn's digits with 20 labels, two of each class, drawn five times as the runs of the digits recipe draw them.
Each estimator is fitted on 1,297 images of which these are labelled, and scored on 500 others and on the unlabelled
images that it was fitted on. Nothing is chosen by either: estimators are as they come, but for what their rows name.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from ssl_zoo import DATASETS, SSLClassifier, device, provenance
from ssl_zoo.data.splits import draw_split

if __package__:
    from benchmarks import figures
else:
    import figures

LABELS = 20
ALONE = {"settings": {"threads": 1}}


def estimators(seed: int) -> dict[str, tuple[bool, Callable[[], Any]]]:
    """By what they are called: whether one takes images, in place of rows of their pixels, and what makes it."""

    def line() -> LogisticRegression:
        return LogisticRegression(max_iter=1000)

    def ours(*words: Any, **more: Any) -> Callable[[], SSLClassifier]:
        return lambda: SSLClassifier(*words, random_state=seed, **ALONE, **more)

    return {
        "`LogisticRegression`, the labels alone": (False, line),
        "`SelfTrainingClassifier` of it": (False, lambda: SelfTrainingClassifier(line())),
        '`SelfTrainingClassifier(criterion="k_best")` of it': (
            False,
            lambda: SelfTrainingClassifier(line(), criterion="k_best"),
        ),
        '`LabelSpreading(kernel="knn")`': (False, lambda: LabelSpreading(kernel="knn")),
        '`SSLClassifier("supervised")`, the labels alone': (True, ours("supervised")),
        "`SSLClassifier()`": (True, ours()),
        '`SSLClassifier("supervised", recipe="digits")`, the labels alone': (True, ours("supervised", recipe="digits")),
        '`SSLClassifier(recipe="digits")`': (True, ours(recipe="digits")),
    }


def measured(splits: int) -> list[dict[str, Any]]:
    """Of each estimator its error rates, in per cent, and the processor's seconds of a fit, one a split."""
    data = DATASETS.create("digits", None)
    test = data.test_images[..., 0], data.test_labels
    rows: dict[str, dict[str, Any]] = {}
    for seed in range(splits):
        known = draw_split("digits", data.labels, len(data.classes), LABELS, seed).rows
        y = np.full(len(data.labels), -1)
        y[known] = data.labels[known]
        hidden = y < 0
        for name, (of_images, make) in estimators(seed).items():
            X, others = (of if of_images else of.reshape(len(of), -1) / 255 for of in (data.images[..., 0], test[0]))
            learnt = ~hidden if isinstance(estimator := make(), LogisticRegression) else slice(None)
            began = time.process_time()
            estimator.fit(X[learnt], y[learnt])
            row = rows.setdefault(name, {"name": name, "error": [], "unlabelled": [], "seconds": []})
            row["seconds"].append(time.process_time() - began)
            row["error"].append(100 * float((estimator.predict(others) != test[1]).mean()))
            row["unlabelled"].append(100 * float((estimator.predict(X[hidden]) != data.labels[hidden]).mean()))
            print(f"split {seed}, {name}: {row['error'][-1]:.1f} %", file=sys.stderr)
    return list(rows.values())


def markdown(f: dict[str, Any]) -> str:
    """The table of docs/estimator.md."""
    lines = ["| | error rate, % | each split | of unlabelled images, % | seconds a fit |", "| - | -: | - | -: | -: |"]
    for row in f["rows"]:
        each = ", ".join(f"{value:.1f}" for value in row["error"])
        lines.append(
            f"| {row['name']} | **{spread(row['error'])}** | {each} | {spread(row['unlabelled'])} "
            f"| {statistics.median(row['seconds']):.1f} |"
        )
    versions = ", ".join(f"{name} {f['versions'][name]}" for name in ("ssl_zoo", "scikit-learn", "torch", "python"))
    return "\n".join(
        [
            *lines,
            "",
            f"digits, {f['labels']} labels; mean ± standard deviation over {f['splits']} label splits, error rate on {f['test']} "
            f"test images. Seconds of the processor, one thread, median. {f['device']}; {versions}; "
            f"commit {(f['commit'] or 'none')[:10]}.",
        ]
    )


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""

    def everything(flags: argparse.Namespace) -> figures.Figures:
        torch.set_num_threads(1)
        known = {
            "commit": provenance.commit(),
            "device": device.device_name(torch.device("cpu")),
            "versions": provenance.versions(),
        }
        return {"labels": LABELS, "test": 500, "splits": 5, "rows": measured(5), **known}

    return figures.command(figures.parser("estimator.py", __doc__), argv, everything, markdown)


if __name__ == "__main__":
    sys.exit(main())
