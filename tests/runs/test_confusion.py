"""What a confusion matrix says: unequal classes, intervals, nets that give one class to all; and where a user reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from ssl_zoo import DATASETS
from ssl_zoo.runs.confusion import interval, majority, one_class, sizes, unequal
from ssl_zoo.runs.report import summary
from ssl_zoo.train.evaluate import confusion
from tests.tables.rows import row

RESULTS = sorted((Path(__file__).parent.parent.parent / "benchmarks/results").rglob("*.jsonl"))
ILL = [[190, 0], [10, 0]]  # 95 % are of one class, which the net gives to all


@pytest.mark.parametrize(("matrix", "is_so"), [([[3, 0], [0, 2]], False), ([[31, 0], [0, 20]], True), ([[1, 1], [0, 0]], True)])
def test_unequal_is_more_than_half_as_many_again(matrix, is_so):
    assert unequal(matrix) is is_so


def test_the_digits_and_all_committed_results_are_of_equal_classes():
    data = DATASETS.create("digits", None)
    assert not unequal(confusion(np.eye(10)[data.test_labels], data.test_labels))
    rows = [json.loads(line) for path in RESULTS for line in path.read_text().splitlines()]
    assert len(rows) > 50 and not any(unequal(row["confusion"]) for row in rows if "confusion" in row)


@pytest.mark.parametrize(("right", "wrong"), [(465, 35), (19, 1), (0, 7), (12, 0), (1, 0), (40_123, 59_877)])
def test_the_interval_is_scipys(right, wrong):
    wanted = binomtest(right, right + wrong).proportion_ci(method="wilson")
    assert interval([[right - right // 2, wrong], [0, right // 2]]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_one_class_for_all():
    assert (one_class(ILL), majority(ILL), sizes(ILL)) == (0, (0, 0.95), [190, 10])
    assert one_class([[0, 190], [0, 10]]) == 1  # the rare one
    assert one_class([[188, 2], [10, 0]]) == 0  # nearly all
    assert one_class([[190, 0], [0, 10]]) is None, "95 % are given one class, and rightly"
    assert one_class([[190, 0], [5, 5]]) is None
    assert one_class([[90, 100], [5, 5]]) is None
    assert one_class([[20, 0], [0, 0]]) is None, "there is nothing else to be found"


def made(matrix, **more):
    accuracy = sum(matrix[k][k] for k in range(len(matrix))) / sum(map(sum, matrix))
    return row(accuracy=accuracy, confusion=matrix, steps=20, seconds=3.2, classes=["healthy", "ill"]) | more


def test_the_last_lines_of_a_run(tmp_path):
    lines = summary(made([[233, 17], [18, 232]], accuracy_student=0.928), tmp_path).splitlines()
    assert lines[0] == (
        "accuracy 93.00 % (95 % interval 90.4 to 94.9, 500 images scored), its student 92.80 %, error rate 7.00 %"
    )
    assert lines[2].startswith("curves of its 20 steps in 3 s: ") and len(lines) == 3
    alone = summary(made([[233, 17], [18, 232]]), tmp_path).splitlines()[0]
    assert alone == "accuracy 93.00 % (95 % interval 90.4 to 94.9, 500 images scored), error rate 7.00 %"


def test_the_last_lines_where_classes_are_unequal_and_one_is_given_to_all(tmp_path):
    first, second, *_ = summary(made(ILL, balanced_accuracy=0.5), tmp_path).splitlines()
    assert first == (
        "WARNING: the net gives the class 'healthy' to 200 of the 200 scored images; the largest class, 'healthy', given to all "
        "of them would score 95.00 %"
    )
    assert ", 200 images scored), balanced accuracy 50.00 %, error rate 5.00 %" in second
    rare = summary(made([[0, 190], [0, 10]], balanced_accuracy=0.5), tmp_path)
    assert "gives the class 'ill' to 200 of" in rare and "'healthy', given to all of them would score 95.00 %" in rare
    found = summary(made([[185, 5], [2, 8]], balanced_accuracy=0.887), tmp_path)
    assert "WARNING" not in found and "balanced accuracy 88.70 %" in found


def test_classes_without_names_are_numbers(tmp_path):
    nameless = made(ILL, balanced_accuracy=0.5)
    del nameless["classes"]
    assert "gives the class '0' to 200 of" in summary(nameless, tmp_path)
