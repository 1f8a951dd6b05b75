"""A validation split that is paid for out of the labels, and the rule that chose the reported score."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from ssl_zoo import DATASETS, InputError, config
from ssl_zoo.cli import run, table
from ssl_zoo.data.splits import draw_split, hold_out
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.train.evaluate import chosen
from tests.train.test_trainer import SETTINGS, kill_at, make

LABELS = np.arange(400) % 4
QUICK = [
    *("--net", "smallnet", "--steps", "12", "--device", "cpu", "--labels", "40", "--set", "evaluation.every=3"),
    *("--set", "batch={labeled: 8, unlabeled: 8}"),
]


def split(count, seed=0, labels=LABELS):
    return draw_split("d", labels, 4, count, seed)


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(40, 0.2, 8), (40, 0.25, 10), (41, 0.1, 4), (8, 0.5, 4), (400, 0.5, 200)]
)
def test_the_share_and_the_classes(count, fraction, held):
    whole = split(count)
    rows = hold_out(whole, fraction)
    assert len(rows) == held and set(rows) < set(whole.rows) and (np.diff(rows) > 0).all()
    per_class = np.bincount(LABELS[rows], minlength=4)
    assert per_class.max() - per_class.min() <= 1


def test_nothing_is_held_out_unless_asked_for():
    assert len(hold_out(split(40), 0)) == 0


def test_it_is_a_function_of_the_split_alone():
    assert np.array_equal(hold_out(split(40), 0.2), hold_out(split(40), 0.2))
    assert not np.array_equal(hold_out(split(400), 0.2), hold_out(split(400, labels=np.roll(LABELS, 1)), 0.2))
    assert len({tuple(np.searchsorted(split(40, seed).rows, hold_out(split(40, seed), 0.2))) for seed in range(9)}) > 5


def test_classes_of_unequal_size_give_equal_shares():
    labels = np.repeat([0, 1, 2, 3], [10, 10, 20, 60])
    rows = hold_out(draw_split("d", labels, 4, "all", 0), 0.1)
    assert np.bincount(labels[rows]).tolist() == [1, 1, 2, 6]


@pytest.mark.parametrize(
    ("count", "fraction", "message"),
    [
        (40, 0.01, "of 40 labelled images is none"),
        (4, 0.5, "leaves class . no labelled image"),
        (40, 1.0, "leaves class 0"),
    ],
)
def test_shares_that_cannot_be(count, fraction, message):
    with pytest.raises(InputError, match=message):
        hold_out(split(count), fraction)


def test_a_class_that_would_have_nothing_to_learn_from_is_named():
    names = [f"class of {k}" for k in range(10)]
    with pytest.raises(InputError, match=r"leaves class 0 \('class of 0'\) no labelled image to learn from"):
        hold_out(split(40), 1.0, class_names=names)


def test_held_out_images_are_trained_on_in_no_way():
    for stream in (True, False):
        settings = config.resolve({"labels": 40, "val_fraction": 0.2, "batch": {"labeled_in_unlabeled": stream}})
        inputs = choose_labels(settings, DATASETS.create("digits", None))
        known = {*inputs.facts.labeled.tolist(), *inputs.facts.unlabeled.tolist()}
        assert len(inputs.held_out) == 8 and not known & {*inputs.held_out.tolist()}
        assert len(inputs.facts.labeled) == 32 and inputs.split.labels == 40  # they count as labels
        assert {*inputs.facts.labeled.tolist(), *inputs.held_out.tolist()} == {*inputs.split.rows.tolist()}


def test_the_best_by_validation_is_chosen_and_the_latest_of_equal_ones():
    evaluations = [{"validation_accuracy": v, "accuracy": a} for v, a in ((0.5, 0.9), (0.75, 0.1), (0.75, 0.2), (0.5, 0.3))]
    assert chosen(evaluations, "validation") == 2 and chosen(evaluations, "last") == 3


def test_a_run_says_which_rule_chose_its_score(tmp_path, capsys):
    rows = {}
    for rule in ("last", "validation"):
        argv = [*QUICK, "--val-fraction", "0.2", "--set", f"selection={rule}", "--out", str(tmp_path / rule)]
        assert run.main(argv) == 0
        assert "32 labelled images, 8 held out for validation, " in capsys.readouterr().out
        rows[rule] = json.loads((tmp_path / rule / "result.json").read_text())
    last, best = rows["last"], rows["validation"]
    assert last["evaluations"] == best["evaluations"]  # the rule changes no training
    assert (last["selection"], last["selected_step"]) == ("last", 12) and last["accuracy"] == last["evaluations"][-1]["accuracy"]
    scores = [e["validation_accuracy"] for e in best["evaluations"]]
    at = max(range(4), key=lambda i: (scores[i], i))
    assert (best["selection"], best["selected_step"]) == ("validation", 3 * (at + 1))
    for row, place in ((last, 3), (best, at)):
        found = row["confusion"]
        right = sum(n for true, given, n in zip(found["true"], found["predicted"], found["count"], strict=True) if true == given)
        assert row["accuracy"] == row["evaluations"][place]["accuracy"] == pytest.approx(right / 500)
    kept = json.loads((tmp_path / "last/split.json").read_text())
    assert len(kept["validation"]) == 8 and len(kept["rows"]) == 40
    lines = [json.loads(line) for line in (tmp_path / "last/metrics.jsonl").read_text().splitlines()]
    assert [line["validation/accuracy"] for line in lines if "validation/accuracy" in line] == scores


def test_the_test_set_chooses_nothing(tmp_path):
    """Other test labels: the same evaluation is chosen."""
    found = []
    for shift in (0, 3):
        settings = run.read_settings(run.parse([*QUICK, "--val-fraction", "0.2", "--set", "selection=validation"]))
        data = load_data(settings)
        inputs = choose_labels(settings, data._replace(test_labels=(data.test_labels + shift) % 10))
        (tmp_path / str(shift)).mkdir()
        trainer = trainer_of(settings, inputs, tmp_path / str(shift))
        outcome = trainer.run()
        found.append((outcome.chosen, [e["validation_accuracy"] for e in outcome.evaluations]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "selection=validation"], "selection = validation needs images to select by; set val_fraction"),
        (["--val-fraction", "2"], "val_fraction = 2.0 is out of range"),
        (["--val-fraction", "half"], "val_fraction = 'half' is not of the type float"),
        (["--val-fraction", "0.9"], "leaves class"),
        (["--val-fraction", "0.001"], "is none; raise it"),
    ],
)
def test_bad_input(words, message, tmp_path, capsys):
    assert run.main([*QUICK, *words, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_tables_say_the_rule_and_never_mix_two(tmp_path, capsys):
    for seed in (0, 1):
        for rule in ("last", "validation"):
            argv = [*QUICK, "--val-fraction", "0.2", "--set", f"selection={rule}", "--seed", str(seed), "--alg", "supervised"]
            assert run.main([*argv, "--out", str(tmp_path / f"{rule}{seed}")]) == 0
    capsys.readouterr()
    assert table.main([str(tmp_path / "validation0"), str(tmp_path / "validation1")]) == 0
    assert "error rate of the evaluation that is best on 20 % of the labelled images, held out, on" in capsys.readouterr().out
    table.main([str(tmp_path)])
    said = " ".join(capsys.readouterr())
    assert "Partial: 2 runs left out, other in setting selection." in said and "in setting selection (validation, last)" in said


def test_a_validation_run_resumes_bit_for_bit(tmp_path):
    settings = dataclasses.replace(SETTINGS, val_fraction=0.5, selection="validation")
    outcome = make(tmp_path / "whole", settings=settings).run()
    kill_at(make(tmp_path / "killed", settings=settings), 7)
    resumed = make(tmp_path / "killed", settings=settings).run()
    assert (resumed.chosen, resumed.confusion, resumed.evaluations) == (outcome.chosen, outcome.confusion, outcome.evaluations)


def test_deterministic_changes_no_bit_on_a_cpu(tmp_path, capsys):
    for name, words in {"plain": [], "strict": ["--deterministic"]}.items():
        assert run.main([*QUICK, "--alg", "tempens", *words, "--out", str(tmp_path / name)]) == 0
    plain, strict = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("plain", "strict"))
    assert plain["evaluations"] == strict["evaluations"] and strict["config"]["deterministic"] is True
    assert not torch.are_deterministic_algorithms_enabled()
