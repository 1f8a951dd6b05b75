"""What was taken for what, in its two forms: its size, unequal classes, intervals, one class for all; where a user reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import ssl_zoo
from ssl_zoo import DATASETS, InputError
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.runs import row as results
from ssl_zoo.runs.confusion import (
    accuracy,
    balanced,
    geometric_mean,
    given_to_all,
    images_in,
    interval,
    majority,
    pairs_of,
    pooled,
    recalls,
    sizes,
    unequal,
)
from ssl_zoo.runs.report import summary
from ssl_zoo.tables.captions import caption
from ssl_zoo.train.evaluate import confusion
from tests.tables.rows import row

MATRIX = [[4, 0, 1], [0, 0, 0], [2, 0, 3]]
PAIRS = {"classes": 3, "true": [0, 0, 2, 2], "predicted": [0, 2, 0, 2], "count": [4, 1, 2, 3]}


def test_both_forms_say_the_same():
    assert pairs_of(MATRIX) == pairs_of(PAIRS) == PAIRS
    assert images_in(MATRIX) == images_in(PAIRS) == 10
    assert pairs_of([[0]]) == {"classes": 1, "true": [], "predicted": [], "count": []} and images_in([[0]]) == 0


def test_rows_of_both_forms_are_read_and_have_one_caption(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(seed=seed, confusion=form)) + "\n" for seed, form in enumerate((MATRIX, PAIRS))))
    old, new = results.read_rows([path])
    assert (old["confusion"], new["confusion"]) == (MATRIX, PAIRS)
    assert caption([old], []) == caption([{**new, "seed": 0, "split_seed": 0, "config": old["config"]}], [])
    assert "on 10 test images" in caption([new], [])[0]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [[1, 2]],
        [[1, -1], [0, 0]],
        {**PAIRS, "count": [4, 1, 2]},
        {**PAIRS, "count": [4, 1, 2, -1]},
        {**PAIRS, "true": [0, 0, 2, 3]},
        {**PAIRS, "predicted": [0, 2, 0, 3]},
        {**PAIRS, "predicted": [0, 0, 0, 2]},  # a pair twice
        {**PAIRS, "classes": 0},
        {**PAIRS, "true": [0, 0, 2, 1.5]},
        {name: part for name, part in PAIRS.items() if name != "count"},
        "10",
    ],
)
def test_what_is_no_confusion_is_refused(wrong, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row(confusion=wrong)))
    with pytest.raises(InputError, match="its confusion cannot be"):
        results.read_rows([path])


def test_result_and_checkpoint_grow_with_the_images_and_not_with_the_square_of_the_classes(tmp_path):
    classes = 400
    random, labels = np.random.default_rng(0), np.arange(classes)
    train, test = random.integers(0, 256, (2, classes, 4, 4, 1), dtype=np.uint8)
    data = Dataset("many", train, labels, test, labels.copy(), tuple(f"c{k}" for k in labels))
    options = {"nets.mlp.width": 2, "evaluation.every": 1, "device": "cpu"}
    settings = ssl_zoo.recipe("digits", alg="supervised", net="mlp", steps=2, labels="all", **options)
    found = ssl_zoo.run(settings, tmp_path / "run", data=data, quiet=True)["confusion"]
    assert sum(found["count"]) == classes and len(found["count"]) <= classes and found["classes"] == classes
    for name in ("result.json", "checkpoint.pt"):  # a matrix has 160,000 numbers, of three letters each in JSON
        assert (tmp_path / "run" / name).stat().st_size < 100_000, name


def test_numbers_done_by_hand():
    assert (accuracy(PAIRS), sizes(PAIRS)) == (0.7, [5, 0, 5]) and balanced(PAIRS) == pytest.approx((4 / 5 + 3 / 5) / 2)
    assert recalls(PAIRS) == [0.8, None, 0.6] and geometric_mean(PAIRS) == pytest.approx((0.8 * 0.6) ** 0.5)
    both = pooled([{"confusion": MATRIX}, {"confusion": PAIRS}, {"confusion": [[0, 0, 0], [0, 1, 0], [0, 0, 0]]}])
    assert both == {"classes": 3, "true": [0, 0, 1, 2, 2], "predicted": [0, 2, 1, 0, 2], "count": [8, 2, 1, 4, 6]}


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
    assert (given_to_all(ILL), majority(ILL), sizes(ILL)) == ((0, 200), (0, 0.95), [190, 10])
    assert given_to_all([[0, 190], [0, 10]]) == (1, 200)  # the rare one
    assert given_to_all([[188, 2], [10, 0]]) == (0, 198)  # nearly all
    assert given_to_all([[190, 0], [0, 10]]) is None, "95 % are given one class, and rightly"
    assert given_to_all([[190, 0], [5, 5]]) is None
    assert given_to_all([[90, 100], [5, 5]]) is None
    assert given_to_all([[20, 0], [0, 0]]) is None, "there is nothing else to be found"


def made(matrix, **more):
    accuracy = sum(matrix[k][k] for k in range(len(matrix))) / sum(map(sum, matrix))
    return row(accuracy=accuracy, confusion=matrix, steps=20, seconds=3.2, classes=["healthy", "ill"]) | more


def test_a_recall_of_0_counts_as_a_hundredth_of_a_class_in_the_geometric_mean():
    """As the field has it: 0.001 of ten classes."""
    ten = np.diag([9] * 10)
    ten[3] = [0, 9, *[0] * 8]
    assert geometric_mean(ten.tolist()) == pytest.approx(0.001 ** (1 / 10))
    assert geometric_mean([[0, 1], [1, 0]]) == pytest.approx(1 / 200)
    assert geometric_mean([[5, 5, 0], [0, 2, 0], [0, 0, 0]]) == pytest.approx(0.5**0.5)  # of two classes: the third has no image
    assert geometric_mean([[4, 0], [0, 1]]) == 1


def test_the_last_lines_of_a_run(tmp_path):
    lines = summary(made([[233, 17], [18, 232]], accuracy_student=0.928), tmp_path).splitlines()
    assert lines[0] == (
        "accuracy 93.00 % (95 % interval 90.4 to 94.9, 500 images scored), its student 92.80 %, error rate 7.00 %"
    )
    assert lines[2].startswith("curves of its 20 steps in 3 s: ") and len(lines) == 3
    alone = summary(made([[233, 17], [18, 232]]), tmp_path).splitlines()[0]
    assert alone == "accuracy 93.00 % (95 % interval 90.4 to 94.9, 500 images scored), error rate 7.00 %"


def test_the_last_lines_where_classes_are_unequal_and_one_is_given_to_all(tmp_path):
    first, help_, second, *_ = summary(made(ILL, balanced_accuracy=0.5), tmp_path).splitlines()
    assert help_.startswith("WARNING: this may be no better than a guess, 50.0 %; what may help: ")
    assert first == (
        "WARNING: the net gives the class 'healthy' to 200 of the 200 scored images; the largest class, 'healthy', given to all "
        "of them would score 95.00 %"
    )
    assert ", 200 images scored), balanced accuracy 50.00 %, error rate 5.00 %" in second
    rare = summary(made([[0, 190], [0, 10]], balanced_accuracy=0.5), tmp_path)
    assert "gives the class 'ill' to 200 of" in rare and "'healthy', given to all of them would score 95.00 %" in rare
    even = summary(made([[0, 100], [0, 100]], balanced_accuracy=0.5), tmp_path)
    assert "to 200 of the 200 scored images; any one class given to all of them would score 50.00 %" in even
    found = summary(made([[185, 5], [2, 8]], balanced_accuracy=0.887), tmp_path)
    assert "WARNING" not in found and "balanced accuracy 88.70 %" in found
    mean = 100 * (185 / 190 * 0.8) ** 0.5
    assert f"\ngeometric mean of the recalls {mean:.2f} %; recall of each class, %: 'healthy' 97.4, 'ill' 80.0\n" in found


def test_where_it_may_be_chance_what_may_help_is_said(tmp_path):
    def said(matrix, **more):
        return [line for line in summary(made(matrix, **more), tmp_path).splitlines() if "no better than a guess" in line]

    even, clear = [[26, 24], [24, 26]], [[40, 10], [10, 40]]
    config = {"dataset": "folder", "nets": {"resnet18": {"pretrained": False}}, "initial": None}
    assert said(even, net="resnet18", config=config) == [
        "WARNING: this may be no better than a guess, 50.0 %; what may help: more minutes or steps, pretrained weights, also "
        "from a file (nets.resnet18.pretrained=PATH), smaller images, of which more steps fit into the time, more labels"
    ]
    for other in ({"pretrained": True}, {"pretrained": "weights.pth"}, {}):
        (line,) = said(even, net="resnet18", config={**config, "nets": {"resnet18": other}})
        assert "pretrained" not in line
    assert "pretrained" not in said(even, net="resnet18", config={**config, "initial": "runs/x"})[0]
    (line,) = said(even, net="resnet18", steps=0, config={**config, "dataset": "digits", "nets": {}})
    assert line.endswith("; what may help: more labels")
    assert said(clear, net="resnet18", config=config) == []
    four = [[3 if i == j else 0 for j in range(4)] for i in range(4)]
    assert said(four, classes=list("abcd")) == [], "12 of 12 are right"
    nearly = [[3, 2, 2, 0], [2, 3, 2, 0], [2, 2, 3, 0], [0, 0, 0, 0]]
    assert "a guess, 33.3 %" in said(nearly, classes=list("abcd"))[0], "of three classes that have images"


def test_of_many_classes_the_least_recalls_are_shown(tmp_path):
    many = np.diag([10] * 20)
    many[7, 7:9] = (4, 6)
    tail = made(many.tolist(), classes=[f"c{k}" for k in range(20)])
    assert "geometric" not in summary(tail, tmp_path)
    tail["config"] = {**tail["config"], "draw": "longtail", "imbalance": 10}
    (line,) = (line for line in summary(tail, tmp_path).splitlines() if line.startswith("geometric"))
    assert "; recall of the 12 classes of 20 where it is least, %: 'c7' 40.0, 'c0' 100.0, " in line and line.count("'") == 24


def test_classes_without_names_are_numbers(tmp_path):
    nameless = made(ILL, balanced_accuracy=0.5)
    del nameless["classes"]
    assert "gives the class '0' to 200 of" in summary(nameless, tmp_path)
