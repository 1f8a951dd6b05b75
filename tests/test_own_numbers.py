"""A method's section of a recipe may set how many unlabelled images it sees a step, and its steps, as papers differ in it."""

import dataclasses
import json
from pathlib import Path

import pytest

import ssl_zoo
from benchmarks import equal_seconds
from ssl_zoo import ALGORITHMS, InputError, config, recipes
from ssl_zoo.algorithms.supervised import Supervised
from ssl_zoo.cli import run, sweep, table
from ssl_zoo.settings import OWN as OWN_NAMES
from ssl_zoo.testing import CheckFailed, iter_checks
from ssl_zoo.testing.declarations import RESERVED

ROOT = Path(__file__).parent.parent
RECIPE = """
batch: {labeled: 4, unlabeled: 6}
evaluation: {every: 2}
net: smallnet
steps: 2
device: cpu
views: {weak: {}}
algorithms:
  pimodel: {weight: 3, batch: {unlabeled: 28}}
"""


@pytest.fixture(autouse=True)
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)


def settled(alg, assignments=(), **values):
    return config.settle(config.gather(["r.yaml"], assignments=assignments, over=values), {"alg": alg, **values})


def test_it_is_the_methods_own():
    assert settled("pimodel").unlabeled == 28 and settled("meanteacher").unlabeled == 6
    assert settled("pimodel").batch == settled("meanteacher").batch, "what all methods share stays"
    assert "batch" not in settled("pimodel").options
    again = config.resolve(recipes.parse_yaml(config.dump(settled("pimodel")), "it"))
    assert again == settled("pimodel")


def test_what_is_given_on_top_is_for_all_methods():
    assert settled("pimodel", ["batch.unlabeled=10"]).unlabeled == 10
    assert settled("pimodel", ["batch={labeled: 2, unlabeled: 8}"]).unlabeled == 8
    assert settled("pimodel", **{"batch.unlabeled": 12}).unlabeled == 12
    assert settled("pimodel", ["algorithms.pi-model.batch.unlabeled=14"]).unlabeled == 14
    assert settled("pimodel", ["batch.labeled=2"]).unlabeled == 28


@pytest.mark.parametrize("own", ["{labeled: 3}", "{}", "7", "{unlabeled: 0}", "{unlabeled: x}", "{unlabeled: 7, labeled: 3}"])
def test_bad_input(own):
    with pytest.raises(InputError, match=r"batch"):
        settled("pimodel", [f"algorithms.pimodel.batch={own}"])


def test_a_run_sees_as_many_and_its_row_says_so(capsys):
    for alg, seen in (("pimodel", 28), ("meanteacher", 6), ("supervised", None)):
        assert run.main(["--recipe", "r.yaml", "--alg", alg, "--out", f"o/{alg}"]) == 0, capsys.readouterr().err
        row = json.loads(Path(f"o/{alg}/result.json").read_text())
        assert row["batch_unlabeled"] == seen and row["images_seen"] == 2 * (4 + (seen or 0))
    capsys.readouterr()
    assert table.main(["o"]) == 0
    made = capsys.readouterr()
    assert "| pimodel |" in made.out and "| meanteacher |" in made.out and made.err == ""
    assert "Unlabelled images a step, where a method has its own number: pimodel 28." in made.out


def test_the_order_of_what_is_given_on_top_does_not_matter():
    own, all_of_them = "algorithms.pimodel.batch", "batch.unlabeled"
    for assignments in (["a", "b"], ["b", "a"]):
        words = [{"a": f"{own}={{unlabeled: 5}}", "b": f"{all_of_them}=9"}[name] for name in assignments]
        assert settled("pimodel", words).unlabeled == 5, words
    for values in ({f"{own}.unlabeled": 5, all_of_them: 9}, {all_of_them: 9, f"{own}.unlabeled": 5}):
        assert settled("pimodel", **values).unlabeled == 5, values
    assert settled("pimodel", batch={"labeled": 2}).unlabeled == 28, "nothing is said of the unlabelled ones"


OWN = ["algorithms.pimodel.steps=5"]


def test_steps_of_its_own():
    own, other = settled("pimodel", OWN), settled("meanteacher", OWN)
    assert (own.length, own.steps, other.length, other.steps) == (5, 2, 2, 2)
    assert "steps" not in own.options
    assert own.evaluations == 3, "every second step, and the last"
    assert dataclasses.replace(own, evaluation=dataclasses.replace(own.evaluation, every=None)).evaluate_every == 1
    assert config.resolve(recipes.parse_yaml(config.dump(own), "it")) == own
    assert own.with_length(7).length == 7 and other.with_length(7).length == 7


def printed(capsys, *words):
    """The settings that a command line has."""
    assert run.main(["--recipe", "r.yaml", "--alg", "pimodel", *words, "--print-config"]) == 0, capsys.readouterr().err
    return config.resolve(recipes.parse_yaml(capsys.readouterr().out, "it"))


def test_an_own_number_on_the_same_command_line_is_kept(capsys):
    """Whichever way the one for all methods is given, and from Python too."""
    for all_of_them in (["--steps", "9"], ["--set", "steps=9"]):
        found = printed(capsys, "--set", OWN[0], *all_of_them)
        assert (found.length, found.steps) == (5, 9)
    assert ssl_zoo.recipe("r.yaml", alg="pimodel", steps=9, **{"algorithms.pimodel.steps": 5}).length == 5


def test_what_is_not_there_is_no_length(capsys):
    """So that `--set epochs=null` is a way out where a method has its own steps."""
    Path("own.yaml").write_text("epochs: 2\nalgorithms: {pimodel: {steps: 5}}")
    words = ["--recipe", "r.yaml", "--recipe", "own.yaml", "--alg", "pimodel"]
    assert run.main([*words, "--print-config"]) == 2
    assert "algorithms.pimodel.steps and epochs are both given, each the length of a run; keep one" in capsys.readouterr().err
    assert printed(capsys, "--recipe", "own.yaml", "--set", "epochs=null").length == 5


def test_a_grid_of_both_is_refused(capsys):
    words = ["--recipe", "r.yaml", "--algs", "pimodel", "--dry-run", "--grid", "algorithms.pimodel.steps=5,10"]
    assert sweep.main([*words, "--grid", "steps=7,9"]) == 2
    assert "--grid algorithms.pimodel.steps and --grid steps: a run has one of the two" in capsys.readouterr().err
    assert sweep.main([*words, "--steps", "7"]) == 0
    assert "2 cells: " in (shown := capsys.readouterr().out) and "algorithms.pimodel.steps: 5, 10" in shown
    words[-1] = "algorithms.pimodel.batch.unlabeled=3,5"
    assert sweep.main([*words, "--grid", "batch.unlabeled=7,9"]) == 2


def test_a_length_given_on_top_is_for_all_methods():
    Path("own.yaml").write_text("algorithms: {pimodel: {steps: 5}}")
    given = [config.gather(["r.yaml", "own.yaml"], assignments=[words]) for words in ("steps=9", "epochs=2", "minutes=1")]
    found = [config.settle(one, {"alg": "pimodel"}) for one in given]
    assert [(s.length, s.epochs, s.minutes) for s in found] == [(9, None, None), (2, 2, None), (2, None, 1)]
    assert config.settle(config.gather(["r.yaml", "own.yaml"], over={"steps": 9}), {"alg": "pimodel", "steps": 9}).length == 9
    assert ssl_zoo.recipe("r.yaml", "own.yaml", alg="pimodel", steps=9).length == 9
    with pytest.raises(InputError, match=r"algorithms\.pimodel\.steps and epochs are both given"):
        config.settle(config.gather(["r.yaml", "own.yaml"]) | {"epochs": 2}, {"alg": "pimodel"})


@pytest.mark.parametrize("own", ["0", "x", "1.5", "true", "null", "100000001"])
def test_bad_steps(own):
    with pytest.raises(InputError, match=r"algorithms\.pimodel\.steps"):
        settled("pimodel", [f"algorithms.pimodel.steps={own}"])


def test_a_method_whose_option_has_that_name_is_told():
    @ALGORITHMS.register("stepping")
    class Stepping(Supervised):
        def __init__(self, net, facts, *, steps: int = 3):
            super().__init__(net, facts)

    (check,) = [check for check in iter_checks(Stepping) if str(check).endswith("options")]
    with pytest.raises(CheckFailed, match="the option 'steps' has the name of a setting of runs"):
        check()
    assert {*RESERVED} == {*OWN_NAMES}
    with pytest.raises(InputError, match=r"algorithms\.stepping\.steps is an option of the method and a setting of runs"):
        settled("stepping")


def test_a_table_of_runs_with_steps_of_their_own(capsys):
    words = ["--recipe", "r.yaml", "--algs", "supervised,pimodel,meanteacher", "--set", OWN[0], "--out", "o"]
    assert sweep.main([*words, "--seeds", "0-1"]) == 0, capsys.readouterr().err
    row = json.loads(Path("o/pimodel-smallnet-20-s0/result.json").read_text())
    assert row["steps"] == 5 and row["evaluations"][-1]["step"] == 5 and row["config"]["steps"] == 2
    capsys.readouterr()
    assert table.main(["o"]) == 0
    made = capsys.readouterr()
    assert made.err == "" and "smallnet, 2 to 5 steps; " in made.out and "left out" not in made.out
    assert "Steps, where a method has its own number: pimodel 5." in made.out
    assert table.main(["o", "--format", "site", "--out", "site"]) == 0, capsys.readouterr().err


def test_equal_seconds_are_as_many_steps(capsys):
    more = {"dataset": "d", "config": {"batch": {"labeled": 4, "unlabeled": 6}}}
    rows = [
        {"algorithm": alg, "net": "n", "device": "d", "steps": steps, "seconds_training": seconds, **more}
        for alg, steps, seconds in [
            *(("fixmatch", 10, 20.0), ("fixmatch", 10, 30.0), ("fixmatch", 10, 90.0)),
            *(("supervised", 20, 10.0), ("vat", 10, 600.0), ("probe", 0, 1.0)),
        ]
    ]
    assert equal_seconds.steps_in_equal_seconds(rows, "Fix-Match") == {"fixmatch": 10, "supervised": 60, "vat": 1}
    made = recipes.parse_yaml(equal_seconds.recipe(rows, "supervised"), "it")
    assert made == {"algorithms": {"fixmatch": {"steps": 3}, "supervised": {"steps": 20}, "vat": {"steps": 1}}}
    with pytest.raises(InputError, match="no run of 'probe' with steps; there are: fixmatch, supervised, vat"):
        equal_seconds.steps_in_equal_seconds(rows, "probe")
    wider = {"config": {"batch": {"labeled": 4, "unlabeled": 28}}}
    for other, said in (
        ({"net": "m"}, "nets m, n"),
        ({"dataset": "x"}, "data sets d, x"),
        (wider, "unlabelled images a step 28, 6"),
    ):
        with pytest.raises(InputError, match=f"does not cost the same in all of these rows, of {said}; give one"):
            equal_seconds.recipe([*rows, {**rows[0], **other}], "fixmatch")
    with pytest.raises(InputError, match="1 of 6 rows do not say how long they trained"):
        equal_seconds.recipe([*rows[1:], {k: v for k, v in rows[0].items() if k != "seconds_training"}], "fixmatch")
    assert equal_seconds.main(["nowhere.jsonl"]) == 2 and "nowhere.jsonl" in capsys.readouterr().err


def test_equal_seconds_of_a_file_are_a_recipe(capsys):
    assert equal_seconds.main([str(ROOT / "benchmarks/results/digits.jsonl"), "--like", "meanteacher"]) == 0
    Path("equal.yaml").write_text(capsys.readouterr().out)
    given = config.gather(["digits", "equal.yaml"])
    lengths = {alg: config.settle(dict(given), {"alg": alg}).length for alg in ("supervised", "meanteacher", "fixmatch")}
    assert lengths["supervised"] > lengths["meanteacher"] == 600 == lengths["fixmatch"]
