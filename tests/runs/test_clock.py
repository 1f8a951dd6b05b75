"""Runs of so many minutes or epochs: the number of steps is exact, kept when a run resumes, and said."""

import dataclasses
import json
import time
import types

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo import InputError, config, recipes
from ssl_zoo.runs import clock, execute
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.runs.row import Row
from ssl_zoo.runs.settled import settled
from ssl_zoo.settings import EvaluationSettings, RunSettings
from ssl_zoo.train.clock import Estimate, shown


def settings(**more):
    """Of 40 steps, with an evaluation every ten, where nothing else gives the length."""
    small = {"net": "smallnet", "evaluation.every": 10, "labels": 20, "device": "cpu"}
    made = ssl_zoo.recipe("digits", **{"alg": "supervised", **small, **more})
    return made if "steps" in more else dataclasses.replace(made, steps=40)


@pytest.fixture
def second(monkeypatch):
    """A step costs a second."""
    asked = []
    monkeypatch.setattr(clock, "costs", lambda *args: asked.append(args) or clock.Costs(1.0, 0.0))
    return asked


def test_as_many_steps_as_fit_and_as_many_evaluations_as_before(second):
    given = settings(minutes=10)
    found = clock.fitted(given, choose_labels(given, load_data(given)), 600, execute.trainer_of)
    assert (found.steps, found.evaluation.every) == (570, 142) and 570 // 142 == 40 // 10
    assert dataclasses.replace(found, steps=40, evaluation=given.evaluation) == given


@pytest.mark.parametrize(
    ("evaluation", "steps", "every"),
    [
        (10.0, 570 - 40, 132),  # four of them are less than a quarter of 570 s
        (100.0, 570 - 100, 470),  # one fits into a quarter
        (300.0, 570 - 300, 270),  # the last there must be
        (50.0, 570 - 100, 235),
    ],
)
def test_evaluations_are_within_the_minutes_too(monkeypatch, evaluation, steps, every):
    """However many images are scored. As many as before, or as many as a quarter of the time allows."""
    monkeypatch.setattr(clock, "costs", lambda *args: clock.Costs(1.0, evaluation))
    given = settings(minutes=10)
    inputs = choose_labels(given, load_data(given))
    found = clock.fitted(given, inputs, 600, execute.trainer_of)
    assert (found.steps, found.evaluation.every) == (steps, every)
    assert found.steps + evaluation * -(-found.steps // found.evaluation.every) <= 570 + evaluation * (evaluation == 10)


def test_that_there_are_fewer_evaluations_is_said(monkeypatch):
    monkeypatch.setattr(clock, "costs", lambda *args: clock.Costs(1.0, 100.0))
    given, told = settings(minutes=10), []
    settled(given, choose_labels(given, load_data(given)), time.monotonic(), execute.trainer_of, told.append)
    (line,) = (line for line in told if "scoring" in line)
    assert line == "scoring takes a while here, so that there is one evaluation in place of 4; `evaluation.every` says how often"


def test_a_few_minutes_that_come_to_nothing_say_how_many_it_takes(second):
    given = settings(minutes=0.5)
    with pytest.raises(
        InputError, match=r"^0.5 minutes are 9 steps of supervised with smallnet here, and 10 take 31 s; give more"
    ):
        clock.fitted(given, choose_labels(given, load_data(given)), 10, execute.trainer_of)


def test_minutes_are_said_in_the_number_that_they_have_and_of_a_fold_as_its_share():
    assert clock.minutes_are(settings(minutes=1)) == "1 minute is"
    assert clock.minutes_are(settings(minutes=1.5)) == "1.5 minutes are"
    assert clock.minutes_are(settings(minutes=0.5, folds=4)) == "0.5 minutes for this fold are"


def test_a_smaller_unlabelled_batch_is_advice_for_methods_that_have_one():
    alike = "give more minutes, a smaller net, "
    assert clock.lighter(settings(alg="meanteacher")) == f"{alike}smaller images (`image_size`), or a smaller `batch.unlabeled`"
    for alg in ("supervised", "finetune", "probe"):
        assert clock.lighter(settings(alg=alg)) == f"{alike}or smaller images (`image_size`)"


def test_epochs_are_as_many_steps_for_a_method_with_a_batch_of_its_own():
    of_all, own = settings(alg="fixmatch", epochs=1), {"algorithms.fixmatch.batch": {"unlabeled": 448}}
    of_it = settings(alg="fixmatch", epochs=1, **own)
    inputs = choose_labels(of_all, load_data(of_all))
    assert (of_all.unlabeled, of_it.unlabeled) == (44, 448)
    assert clock.of_epochs(of_all, inputs).steps == clock.of_epochs(of_it, inputs).steps == 30


@pytest.mark.parametrize(("epochs", "steps"), [(1, 30), (2.5, 74), (0.001, 1)])
def test_epochs_are_passes_over_the_unlabelled_stream(epochs, steps):
    given = settings(epochs=epochs)  # 1,297 images, 44 a step
    found = clock.of_epochs(given, choose_labels(given, load_data(given)))
    assert found.steps == steps and found.evaluation.every == max(1, steps // 4)


def test_a_run_keeps_the_steps_that_it_began_with(tmp_path, second):
    """The second call would measure another number."""
    given = settings(minutes=1.5)
    row: Row = ssl_zoo.run(given, tmp_path / "a", quiet=True)
    assert row["steps"] in range(60, 86) and len(second) == 1
    kept = config.resolve(ssl_zoo.recipes.read_recipe(str(tmp_path / "a/config.yaml")))
    assert (kept.steps, kept.minutes) == (row["steps"], 1.5)
    assert ssl_zoo.run(given, tmp_path / "a", quiet=True) == row and len(second) == 1
    for name in ("result.json", "model.safetensors"):
        (tmp_path / "a" / name).unlink()  # killed before its end
    again = ssl_zoo.run(given, tmp_path / "a", quiet=True)
    assert again["accuracy"] == row["accuracy"] and again["steps"] == row["steps"] and len(second) == 1
    with pytest.raises(InputError, match=r"holds a run with other settings .*minutes 1.5 there and 2.0 here"):
        ssl_zoo.run(settings(minutes=2), tmp_path / "a", quiet=True)


def test_a_tenth_of_the_run_is_one_of_any_length(second):
    given = dataclasses.replace(settings(minutes=10), evaluation=EvaluationSettings())
    assert (given.evaluate_every, given.evaluations) == (4, 10)
    found = clock.fitted(given, choose_labels(given, load_data(given)), 600, execute.trainer_of)
    assert (found.steps, found.evaluation.every, found.evaluate_every, found.evaluations) == (570, None, 57, 10)


@pytest.mark.parametrize(("steps", "every", "count"), [(1, 1, 1), (9, 1, 9), (10, 1, 10), (29, 2, 15), (600, 60, 10)])
def test_how_many_evaluations_a_run_has(steps, every, count):
    made = RunSettings(steps=steps)
    assert (made.evaluate_every, made.evaluations) == (every, count)
    assert RunSettings(steps=steps, evaluation=EvaluationSettings(every=7)).evaluations == -(-steps // 7)


@pytest.mark.parametrize("path", sorted(recipes.FOLDER.glob("**/*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_and_budget_gives_a_curve_of_ten_points(path):
    known = recipes.read_mapping(path, "a recipe", "settings")
    ladder = path.stem == recipes.LADDER
    for part in [part["base"] for part in known.values()] if ladder else [known, *known.get("budgets", {}).values()]:
        steps, every = part.get("steps", RunSettings.steps), part.get("evaluation", {}).get("every")
        assert every is None or steps // every >= 10


def test_evaluations_of_a_whole_run_and_what_it_keeps(tmp_path):
    given = dataclasses.replace(settings(), steps=25, evaluation=EvaluationSettings(last_k=30))
    row = ssl_zoo.run(given, tmp_path / "a", quiet=True)
    assert [point["step"] for point in row["evaluations"]] == [*range(2, 25, 2), 25] and row["accuracy_median_of"] == 13
    kept = recipes.read_recipe(str(tmp_path / "a/config.yaml"))
    assert kept["evaluation"]["every"] is None and config.resolve({**kept, "steps": 50}).evaluate_every == 5


def test_epochs_in_a_whole_run(tmp_path):
    row = ssl_zoo.run(settings(epochs=1), tmp_path / "a", quiet=True)
    assert row["steps"] == 30 and [point["step"] for point in row["evaluations"]] == [7, 14, 21, 28, 30]
    assert json.loads((tmp_path / "a/result.json").read_text())["config"]["epochs"] == 1
    assert ssl_zoo.run(settings(epochs=1), tmp_path / "a", quiet=True) == row


def test_what_pretrained_became_is_kept(tmp_path, monkeypatch):
    """A run that began without weights goes on so, though they may be there the next time."""
    found = [False]
    monkeypatch.setattr("ssl_zoo.nets.torchvision_nets.at_hand", lambda name: (found[0], "" if found[0] else "no weights"))
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    data = (images, np.arange(12) % 2)
    options = {"net": "resnet18", "nets.resnet18.pretrained": "auto", "batch": {"labeled": 4, "unlabeled": 4}, "labels": "all"}
    given = settings(**options, steps=1, precision="fp32")
    row = ssl_zoo.run(given, tmp_path / "a", data=data, quiet=True)
    assert row["config"]["nets"]["resnet18"]["pretrained"] is False
    found[0] = True
    assert ssl_zoo.run(given, tmp_path / "a", data=data, quiet=True) == row


def test_a_long_run_is_estimated_once():
    said = []
    estimate = Estimate(20_480, 100.0, "a processor")
    estimate.look(said.append, 1, 109.0)
    estimate.look(said.append, 2, 104.0)
    assert said == []
    for done in (3, 4):
        estimate.look(said.append, done, 100 + 4.4 * done)
    assert said == [
        "20,480 steps take about 25 h 02 min on a processor, evaluations apart; `minutes=30` fits a run into half an hour"
    ]
    for quick in (Estimate(100, 0.0, "a processor"), Estimate(20_480, 0.0, None)):
        quick.look(said.append, 50, 6.0)
    assert len(said) == 1


def test_lengths_of_time():
    assert [shown(s) for s in (40, 600, 12_000)] == ["40 s", "10 min", "3 h 20 min"]


def test_what_a_step_costs_in_exact_numbers():
    """Three steps of the second of two short runs, and the share of evaluations over as many images as there are."""
    asked = []

    def make(short, inputs, folder):
        asked.append((short.steps, len(inputs.data.test_images)))
        outcome = types.SimpleNamespace(seconds=3.0 + 100 * (short.steps == 1), seconds_training=1.5)
        return types.SimpleNamespace(run=lambda: outcome, seconds_compiling=compiling[0])

    compiling = [None]
    given = settings()  # 40 steps, four evaluations of 500 test images and 500 others
    cost = clock.seconds_per_step(given, choose_labels(given, load_data(given)), make)
    assert asked == [(1, 64), (3, 64)]
    assert cost == pytest.approx(1.5 / 3 + 1.5 * (500 + 500) / (64 + 64) * 4 / 40)
    found = clock.costs(given, choose_labels(given, load_data(given)), make)
    assert found == pytest.approx((1.5 / 3, 1.5 * (500 + 500) / (64 + 64), 0))
    compiling = [0.5]  # with one of the three steps
    found = clock.costs(given, choose_labels(given, load_data(given)), make)
    assert found == pytest.approx((1.0 / 2, 1.5 * (500 + 500) / (64 + 64), 0.5))
