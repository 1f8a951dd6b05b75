"""A method's section of a recipe may set how many unlabelled images it sees a step, as papers differ in it."""

import json
from pathlib import Path

import pytest

from ssl_zoo import InputError, config, recipes
from ssl_zoo.cli import run, table

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
    return config.settle(config.gather(["r.yaml"], assignments=assignments), {"alg": alg, **values})


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
