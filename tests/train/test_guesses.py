"""What a method believes is measured at log points, held against labels that it does not see, and a collapse is told once."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import ssl_zoo
from ssl_zoo import Batch
from ssl_zoo.batch import Guess
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.settings import EvaluationSettings
from ssl_zoo.train.guesses import GuessGuard, Known
from tests.train.test_trainer import SETTINGS, kill_at, make

CPU = torch.device("cpu")


def guard(labels=None, steps=100, classes=("ant", "bee", "cow")):
    known = None if labels is None else Known(np.array(labels), classes)
    return GuessGuard(known, steps, "fixmatch", CPU)


def measured(made, label, weight, index=None, classes=3):
    """What a look gives as numbers."""
    index = torch.arange(len(label)) if index is None else torch.tensor(index)
    guess = Guess(torch.eye(classes)[torch.tensor(label)], torch.tensor(weight))
    return {name: float(value) for name, value in made.look(guess, index).items()}


def test_the_numbers_by_hand():
    """Rows 3, 0, 1, 2: one is rejected, one has no known label, one of the two others is right."""
    made = guard([0, 1, -1, 2])
    numbers = made.numbers(measured(made, [2, 1, 1, 0], [0.0, 1.0, 1.0, 1.0], [3, 0, 1, 2]))
    assert numbers == pytest.approx(
        {
            "guess/mask": 0.75,
            "guess/accuracy": 0.5,
            "guess/largest_class": 0.5,
            "guess/class/ant": 0.25,
            "guess/class/bee": 0.5,
            "guess/class/cow": 0.0,
        }
    )


def test_soft_weights_count_as_what_they_are():
    made = guard([0, 1])
    numbers = made.numbers(measured(made, [0, 0], [0.5, 0.25]))
    assert numbers["guess/mask"] == 0.375 and numbers["guess/accuracy"] == pytest.approx(2 / 3)
    assert numbers["guess/class/ant"] == 0.375


def test_nothing_kept_or_known_has_no_accuracy():
    made = guard([0, 1])
    assert "guess/accuracy" not in made.numbers(measured(made, [0, 1], [0.0, 0.0]))
    for unknown in (guard(), guard([-1, -1])):
        numbers = unknown.numbers(measured(unknown, [0, 1], [1.0, 1.0]))
        assert "guess/accuracy" not in numbers and numbers["guess/mask"] == 1


def test_a_method_that_believes_nothing_is_not_measured():
    made = guard([0, 1])
    assert made.look(None, torch.arange(2)) == {} and made.numbers({}) == {} and made.judge(1, {}) == []


def test_of_many_classes_the_largest_alone_is_logged():
    made = guard(classes=())
    numbers = made.numbers(measured(made, [100, 100], [1.0, 1.0], classes=101))
    assert numbers == {"guess/mask": 1.0, "guess/largest_class": 1.0}


def looks(made, label, weight=None, count=10, every=10):
    """The warnings of so many looks at the same guess."""
    weight = [1.0] * len(label) if weight is None else weight
    return [line for k in range(count) for line in made.judge((k + 1) * every, measured(made, label, weight))]


def test_one_class_for_nearly_all_rows_is_told_once():
    made = guard([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    (line,) = looks(made, [1] * 10 + [0])
    assert line.startswith("nearly all pseudo-labels are of the class 'bee' at every look from step 10 to 50:")
    assert "has collapsed. " in line and "`algorithms.fixmatch.weight`" in line and made.warnings == [line]


def test_those_that_are_rejected_are_no_excuse():
    labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert looks(guard(labels), [1] * 10, [1.0] * 8 + [0.0] * 2)


def test_where_no_labels_are_known_it_may_be_so():
    (line,) = looks(guard(classes=()), [1] * 10)
    assert "of the class number 1 " in line and "unless nearly all of your images are of it" in line


@pytest.mark.parametrize(
    ("labels", "label", "weight"),
    [
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], [1] * 8 + [0, 2], None),  # eight of ten
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], [1] * 10, [1.0] * 5 + [0.0] * 5),  # half of the rows are rejected
        ([1] * 9 + [0], [1] * 10, None),  # the images are so
    ],
)
def test_what_is_no_collapse(labels, label, weight):
    assert looks(guard(labels), label, weight) == []


def test_it_must_last_a_tenth_of_the_run_and_five_looks_of_one_class():
    labels = [0, 1, 2, 0]
    assert looks(guard(labels), [1] * 4, count=4) == []
    assert looks(guard(labels, steps=1000), [1] * 4, count=10, every=10) == []
    made = guard(labels)
    assert [line for k in range(20) for line in made.judge(10 * k, measured(made, [k // 4 % 2] * 4, [1.0] * 4))] == []


LONG = dataclasses.replace(SETTINGS, alg="fixmatch", steps=60, evaluation=EvaluationSettings(every=20, log_every=2))
LONG = dataclasses.replace(LONG, algorithms={"fixmatch": {"threshold": 0.0}})


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_logs_them_and_a_killed_one_the_same(tmp_path):
    make(tmp_path / "whole", "fixmatch", LONG).run()
    kill_at(make(tmp_path / "parts", "fixmatch", LONG), 31)
    make(tmp_path / "parts", "fixmatch", LONG).run()
    whole, parts = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    assert whole == parts
    logged = [line for line in whole if "guess/mask" in line]
    assert len(logged) == 30 and all(line["guess/mask"] == 1 for line in logged)
    assert all(0 <= line["guess/largest_class"] <= 1 for line in logged)


class Collapsed:
    """The loss of a method that takes all images for the first class."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, batch: Batch, progress):
        out = self.inner(batch, progress)
        target = torch.zeros_like(out.guess.target)
        target[:, 0] = 1
        return out._replace(guess=Guess(target, torch.ones(len(target))))


def test_a_run_that_collapses_says_so_in_its_result(tmp_path, monkeypatch, capsys):
    trainer = make(tmp_path / "run", "fixmatch", LONG)
    monkeypatch.setattr(trainer.algorithm, "loss", Collapsed(trainer.algorithm.loss))
    outcome = trainer.run()
    assert [line for line in outcome.warnings if "has collapsed" in line]
    assert capsys.readouterr().err.count("has collapsed") == 1


def test_a_resumed_run_does_not_say_it_again(tmp_path, monkeypatch, capsys):
    for step in (50, None):
        trainer = make(tmp_path / "run", "fixmatch", LONG)
        monkeypatch.setattr(trainer.algorithm, "loss", Collapsed(trainer.algorithm.loss))
        if step is not None:
            kill_at(trainer, step)
        else:
            assert trainer.start == 40 and len(trainer.run().warnings) == 1
    assert capsys.readouterr().err.count("has collapsed") == 1


def test_a_run_knows_the_classes_of_what_is_not_labelled(tmp_path):
    """And a run's own labels count for nothing: a net knows them by heart."""
    settings = ssl_zoo.recipe("digits", alg="fixmatch", net="smallnet", device="cpu", **{"algorithms.fixmatch.threshold": 0.0})
    inputs = choose_labels(settings, load_data(settings))
    known = trainer_of(settings, inputs, tmp_path).evaluator.known
    labeled = inputs.facts.labeled.numpy()
    assert (known.labels[labeled] == -1).all() and (known.labels >= 0).sum() == len(known.labels) - 20
    others = known.labels >= 0
    assert (known.labels[others] == inputs.data.labels[others]).all() and known.classes == tuple(inputs.data.classes)
    assert (inputs.data.labels >= 0).all(), "the data keep theirs"
