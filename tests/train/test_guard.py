"""The guard speaks once about a term that trains nothing, and never about one that does."""

import dataclasses

import pytest

from ssl_zoo.registry import Entry
from ssl_zoo.settings import EvaluationSettings, OptimizerSettings, RunSettings
from ssl_zoo.train.guard import TermGuard, ways_out
from tests.algorithms.mutants import (
    Fair,
    PlainMeanTeacher,
    PlainTempEns,
    StudentDetached,
    StudentFromTeacher,
    TermLeftOut,
    Undecided,
    ViewsByAnOption,
)
from tests.train import test_trainer
from tests.train.test_trainer import SETTINGS, kill_at, make

LONG = dataclasses.replace(SETTINGS, steps=60, evaluation=EvaluationSettings(every=20, log_every=2))


@pytest.fixture
def trainer_of(tmp_path, monkeypatch):
    """A trainer of a class that is not registered."""

    def build(cls, folder="run", settings=LONG, **options):
        def create(name, net, facts, **_):
            return cls(net, facts, **options)

        settings = dataclasses.replace(settings, algorithms={settings.alg: options})
        monkeypatch.setattr(test_trainer.ALGORITHMS, "create", create)
        return make(tmp_path / folder, settings=settings)

    return build


@pytest.mark.parametrize(
    ("cls", "what"),
    [
        (StudentFromTeacher, "has been exactly zero"),
        (StudentDetached, "has given the net no gradient"),
        (TermLeftOut, "has been no part of total"),
    ],
)
def test_it_warns_once_naming_the_term(cls, what, trainer_of, capsys):
    outcome = trainer_of(cls).run()
    (warning,) = outcome.warnings
    last = 32 if cls is TermLeftOut else 12
    assert f"the term 'consistency' {what} at every look from step 2 to {last}," in warning and f"({cls.__name__})" in warning
    assert capsys.readouterr().err.count("WARNING: the term 'consistency'") == 1


class ZeroButPulling(PlainMeanTeacher):
    """A term whose value is always zero, and whose gradient is not."""

    def consistency(self, own, other):
        term = super().consistency(own, other)
        return term - term.detach()


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (PlainMeanTeacher, {}),
        (PlainTempEns, {}),
        (PlainMeanTeacher, {"weight": 0.0}),
        (Fair, {}),
        (Undecided, {}),
        (ZeroButPulling, {}),
        (ViewsByAnOption, {"strong": False}),
    ],
    ids=str,
)
def test_it_is_silent_about_terms_that_work_or_are_switched_off(cls, options, trainer_of, capsys):
    assert trainer_of(cls, **options).run().warnings == []
    assert "WARNING" not in capsys.readouterr().err


def test_a_resumed_run_has_the_same_single_warning(trainer_of, capsys):
    whole = trainer_of(StudentDetached, "whole").run().warnings
    kill_at(trainer_of(StudentDetached, "killed"), 31)
    assert trainer_of(StudentDetached, "killed").run().warnings == whole and len(whole) == 1


def looks(values, factors, steps=100, every=2, pulls=None):
    """The warnings of a guard that measures these numbers at each look; a term pulls as strongly as it is large."""
    method = PlainMeanTeacher.__new__(PlainMeanTeacher)
    guard = TermGuard(method, steps, {"weight": 1.0})
    for k, (value, factor, pull) in enumerate(zip(values, factors, pulls or values, strict=True), start=1):
        guard.judge(k * every, {"consistency value": value, "consistency pull": pull, "consistency factor": factor})
    return guard.warnings


def test_what_counts_as_doing_nothing():
    assert len(looks([0.0] * 6, [1.0] * 6)) == 1
    assert len(looks([0.0] * 50, [1.0] * 50)) == 1  # once
    assert looks([0.0] * 5, [1.0] * 5) == []  # the first look only learns the weight
    assert looks([0.0] * 3 + [0.1] + [0.0] * 4, [1.0] * 8) == []  # it did something in between
    assert looks([0.1] * 20, [0.0] * 20, steps=100) == []  # a weight that starts late
    assert len(looks([0.1] * 40, [0.0] * 40, steps=100)) == 1  # never begins
    assert looks([0.0] * 9, [k / 9 for k in range(9)]) == []  # its weight is still rising
    assert looks([0.0] * 20, [1.0] * 20, steps=1000) == []  # too short a part of the run
    assert len(looks([0.0] * 20, [1.0] * 20, steps=300)) == 1
    assert looks([0.0] * 20, [1.0] * 20, pulls=[0.1] * 20) == []  # a signed term that stands at zero, and pulls
    assert len(looks([0.0] * 20, [1.0] * 20, pulls=[1e-8] * 20)) == 1  # equals, compared by a divergence that is rounded
    assert looks([1.3] * 20, [1.0] * 20, pulls=[1e-8] * 20) == []  # a weak pull is one


def test_the_fixture_builds_what_it_says(trainer_of):
    assert type(trainer_of(StudentDetached).algorithm) is StudentDetached
    assert Entry("x", StudentDetached, {}).options.keys() == {"weight", "decay"}


@pytest.mark.parametrize(
    ("settings", "precision", "weighted", "skip", "said"),
    [
        ({}, "fp32", [], True, "lower optimizer.lr, set optimizer.clip, or give `on_nan=skip`"),
        (
            {},
            "bf16",
            ["consistency"],
            True,
            "lower optimizer.lr or the method's weight, set optimizer.clip, give `precision=fp32`, or give `on_nan=skip`",
        ),
        ({}, "bf16", [], False, "lower optimizer.lr, set optimizer.clip, or give `precision=fp32`"),
        ({"on_nan": "skip"}, "fp32", [], True, "lower optimizer.lr, or set optimizer.clip"),
        ({"optimizer": OptimizerSettings(clip=1.0)}, "fp32", [], False, "lower optimizer.lr, or lower optimizer.clip"),
    ],
)
def test_the_ways_out_are_those_that_can_help(settings, precision, weighted, skip, said):
    assert ways_out(RunSettings(**settings), precision, weighted, skip) == said
