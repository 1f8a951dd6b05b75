"""Settings are said once, and nothing of them is lost."""

import yaml

from ssl_zoo.tables.site.settings import parts, runs_part, settings_of
from tests.pages.test_markup import Read
from tests.tables.rows import lost, row


def test_what_is_shared_and_what_is_left_are_each_again():
    of = [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5}, {"b": 2, "a": 1, "d": 4}]
    made = parts(of)
    assert made.shared == {"a": 1} and [{**made.shared, **own} for own in made.own] == of


def test_folds_that_are_one_run_have_no_fold():
    made = row()
    folded = made | {"config": made["config"] | {"folds": 5, "fold": 0}}
    assert "fold" not in settings_of(folded) and settings_of(folded)["folds"] == 5
    assert settings_of(made | {"config": made["config"] | {"fold": 0}})["fold"] == 0


def pres(markup):
    """The texts of all blocks of settings."""
    return [Read(part.partition("</pre>")[0]).text for part in markup.split("<pre>")[1:]]


def test_the_settings_of_a_run_can_be_put_together_again():
    rows = [row(seed=s) for s in (0, 1)] + [row("x", s, versions={"ssl_zoo": "0", "torch": "2", "python": "3"}) for s in (0, 1)]
    rows[2]["config"]["algorithms"]["x"] = {"decay": 0.5}
    rows[3]["config"]["algorithms"]["x"] = {"decay": 0.5}
    made = runs_part("t", rows)
    shared, supervised, other = map(yaml.safe_load, pres(made))
    assert shared == {"net": "n", "steps": 5, "labels": 20, "optimizer": {"lr": 0.1}}
    assert supervised == {"alg": "supervised", "algorithms": {"supervised": {}}}
    assert other == {"alg": "x", "algorithms": {"x": {"decay": 0.5}}}
    found = Read(made)
    ids = [given["id"] for _, given in found.tags if "id" in given]
    assert ids == ["t-0", "t-1"] and found.text.count("versions.torch") == 1 and "split_hash" in found.text


def test_a_run_that_diverged_is_among_them_and_the_best_on_the_test_set_is_not():
    text = Read(runs_part("t", [row(accuracy_oracle=0.98765), lost("supervised", 1)])).text
    assert "the loss is not finite" in text and "98.7" not in text and "2 runs" in text


def test_settings_that_contradict_each_other_are_shown_as_they_are():
    odd = row()
    odd["config"] = {**odd["config"], "a": 1, "a.b": 2}
    (shown,) = map(yaml.safe_load, pres(runs_part("t", [odd])))
    assert shown["a"] == 1 and shown["a.b"] == 2 and shown["optimizer.lr"] == 0.1


def test_a_long_value_is_cut_and_its_length_said():
    text = Read(runs_part("t", [row(classes=["c"] * 1000)])).text
    assert "... (5,000 letters)" in text and len(text) < 3000
