"""The table of docs/estimator.md comes from a results file, and what is measured is what its rows are called."""

import json
from pathlib import Path

import numpy as np

from benchmarks import estimator
from ssl_zoo import SSLClassifier

ROOT = Path(__file__).parent.parent


def test_the_results_are_of_a_commit_and_of_every_estimator():
    figures = json.loads((ROOT / "benchmarks/results/estimator.json").read_text())
    assert not figures["commit"].endswith("-dirty") and figures["splits"] == 5 and figures["labels"] == 20
    assert [row["name"] for row in figures["rows"]] == [*estimator.estimators(0)]
    assert all(len(row[part]) == 5 for row in figures["rows"] for part in ("error", "unlabelled", "seconds"))


def test_what_is_said_of_the_results():
    figures = json.loads((ROOT / "benchmarks/results/estimator.json").read_text())
    alone, trained, _, spreading, *_, mean_teacher = (np.array(row["error"]) for row in figures["rows"])
    assert ((alone == trained) == [True, False, True, True, True]).all() and trained[1] > 89
    difference = mean_teacher - spreading
    assert abs(difference.mean()) < 2.776 * difference.std(ddof=1) / 5**0.5, "within the 95 % interval of Student's t"


def test_what_an_estimator_is_called_is_what_it_is():
    names = {"SSLClassifier": SSLClassifier, "LabelSpreading": estimator.LabelSpreading}
    for name, (of_images, make) in estimator.estimators(3).items():
        code = name.split("`")[1]
        if code.startswith("SSLClassifier"):
            given = eval(code, names).get_params()
            assert of_images and make().get_params() == {**given, "random_state": 3, **estimator.ALONE}
        else:
            assert not of_images and type(make()).__name__ in code


def test_errors_are_those_of_the_hidden_and_the_test_images(monkeypatch):
    class Constant:
        def fit(self, X, y):
            assert (X.shape, X.max() > 1) in (((1297, 8, 8), True), ((1297, 64), False)) and (y >= 0).sum() == 20
            assert np.bincount(y[y >= 0]).tolist() == [2] * 10

        def predict(self, X):
            return np.zeros(len(X), int)

    made = {"of images": (True, Constant), "of features": (False, Constant)}
    monkeypatch.setattr(estimator, "estimators", lambda seed: made)
    for row in estimator.measured(2):
        assert len(row["error"]) == 2 and all(85 < error < 95 for error in (*row["error"], *row["unlabelled"]))


def test_the_table():
    rows = [{"name": "one", "error": [1.0, 3.0], "unlabelled": [2.0, 2.0], "seconds": [1.0, 9.0]}]
    known = {"labels": 20, "test": 500, "splits": 2, "device": "d", "commit": None}
    versions = dict.fromkeys(("ssl_zoo", "scikit-learn", "torch", "python"), "1")
    made = estimator.markdown({"rows": rows, **known, "versions": versions}).splitlines()
    assert made[2] == "| one | **2.0 ± 1.4** | 1.0, 3.0 | 2.0 ± 0.0 | 5.0 |"
    assert made[-1].startswith("digits, 20 labels; mean ± standard deviation over 2 label splits, error rate on 500 test images.")
