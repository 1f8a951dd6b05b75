import csv
import io
import itertools
import json
import math
from pathlib import Path

import pytest
from sklearn import metrics

from ssl_zoo.cli.table import main
from ssl_zoo.runs import row as results
from ssl_zoo.runs.confusion import macro_f1
from ssl_zoo.runs.row import FROM
from ssl_zoo.tables import render
from ssl_zoo.tables.documents import insert
from ssl_zoo.tables.table import make_tables
from tests.tables.rows import ROWS, lost, row

ROOT = Path(__file__).parent.parent.parent


def test_numbers_of_labels_are_columns_and_all_comes_last():
    (made,), _ = make_tables([row(labels="all", seed=0, accuracy=0.1), row(seed=0), row("x", labels=100, seed=0)])
    assert made.labels == ["20", "100", "all"] and list(made.cells["supervised"]) == ["20", "all"]


def test_each_net_has_a_table():
    other = row()["config"] | {"net": "m"}
    tables, said = make_tables([row(), row(net="m", config=other)])
    assert [t.title for t in tables] == ["d, n, 5 steps", "d, m, 5 steps"] and not said


def test_runs_that_diverged_are_counted_and_in_no_mean(tmp_path, capsys):
    gone = [
        lost("my_method", 2),
        lost("other", 0),
        lost("other", 1),
        lost("my_method", 1),
    ]  # the last: a finished one has its place
    (made,), said = make_tables(ROWS, lost=gone)
    assert not said and made.lost == {("my_method", "20"): 1, ("other", "20"): 2}
    assert made.cells["my_method"] == make_tables(ROWS)[0][0].cells["my_method"]
    lines = render.markdown([made], oracle=False).splitlines()
    assert "median 10.0, n = 2, 1 diverged<br>" in lines[3] and lines[4] == "| other | n = 0, 2 diverged |"
    flatters = (
        "Runs that diverged are in no mean, so means are too good: my_method with 20 labels (seed 2), other with 20 labels "
    )
    assert f"{flatters}(seeds 0, 1)." in lines
    found = list(csv.DictReader(io.StringIO(render.as_csv([made], oracle=False))))
    assert [(line["method"], line["n"], line["diverged"]) for line in found] == [
        *(("supervised", "2", "0"), ("my_method", "2", "1"), ("other", "0", "2"))
    ]
    assert r"\quad\small diverged & \small 2 \\" in render.latex([made], oracle=False)
    assert "<small>n = 0, 2 diverged</small>" in render.page([made], oracle=False)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (*ROWS, *gone)))
    assert main([str(path), "--jsonl", str(tmp_path / "again.jsonl")]) == 0 and "1 diverged" in capsys.readouterr().out
    again = results.read_sound_rows([tmp_path / "again.jsonl"])
    read = [{name: value for name, value in one.items() if name != FROM} for one in again.lost]
    assert (len(again.rows), len(again.lost)) == (4, 4) and read == gone


def fold(k, accuracy, confusion, **more):
    made = row("my_method", 0, accuracy, confusion=confusion, images_seen=100 + k, data_hash=f"d{k}", split_hash=f"h{k}", **more)
    return made | {"config": made["config"] | {"folds": 3, "fold": k}}


def test_folds_are_one_run_and_a_set_with_gaps_is_none():
    three = [fold(0, 0.5, [[1, 1], [1, 1]]), fold(1, 1.0, [[4, 0], [0, 4]]), fold(2, 0.75, [[2, 0], [1, 1]])]
    (made,), said = make_tables(three)
    (cell,) = made.cells["my_method"].values()
    right = 1 - 13 / 16
    assert not said and cell.n == 1 and cell.error.mean == pytest.approx(100 * right)
    assert cell.curve == [(5, pytest.approx(100 * (4 * 0.5 + 8 * 1.0 + 4 * 0.75) / 16), 0.0)]
    assert "on 16 labelled images, each scored once, by one of 3 nets" in made.caption[0] and cell.seconds == 3
    assert cell.images == 303, "of all folds, as the seconds are"
    tables, said = make_tables(three[1:])
    assert tables == [] and said == [
        "my_method with 20 labels and seed 0: of 3 folds 1 is missing (0), so that the others are left out; give the folder of "
        "all folds, or the command that makes them again"
    ]
    (again,), said = make_tables([*three, three[1]])
    assert again.cells == made.cells and said == ["my_method with 20 labels and seed 0: 1 fold there twice; the first is taken"]
    tables, said = make_tables([*three, row("my_method")])  # beside a run that is scored on other images
    assert len(said) == 1 and "setting fold" in said[0]


def test_folds_are_one_run_wherever_the_number_of_their_steps_is_from():
    """The first may have minutes or epochs where the others have its steps."""
    lengths = ({"minutes": 0.5, "epochs": 9.0, "steps": 1000}, *[{"minutes": None, "epochs": None, "steps": 5}] * 2)
    three = [fold(k, 0.5, [[1, 1], [1, 1]]) for k in range(3)]
    three = [made | {"config": made["config"] | more} for made, more in zip(three, lengths, strict=True)]
    (made,), said = make_tables(three)
    assert not said and made.cells["my_method"]["20"].images == 303
    steps = row(config=three[1]["config"] | {"alg": "supervised", "algorithms": {"supervised": {}}, "folds": None, "fold": 0})
    minutes = row("other", config=steps["config"] | {"alg": "other", "algorithms": {"other": {}}, "minutes": 0.5, "epochs": 9.0})
    (made,), said = make_tables([steps, minutes])
    assert not said and [*made.cells] == ["supervised", "other"], "in one table"
    tables, said = make_tables([*three[:2], three[2] | {"steps": 6}])
    assert tables == [] and len(said) == 2, "of other steps"


def test_macro_f1_of_pairs_is_that_of_scikit_learn():
    true, given = [0, 0, 0, 1, 1, 3], [0, 1, 2, 1, 1, 0]
    matrix = metrics.confusion_matrix(true, given, labels=range(4)).tolist()
    wanted = metrics.f1_score(true, given, labels=[0, 1, 3], average="macro", zero_division=0)
    assert macro_f1(matrix) == pytest.approx(wanted)


HARMED = [
    None,
    True,
    "20",
    "",
    -1,
    1.5,
    10**400,
    math.nan,
    math.inf,
    [],
    {},
    [1],
    [{}],
    [[1, 2], [3]],
    {"a": 1},
    "\u0000",
    [None],
    "x" * 10_000,
]


def test_a_row_with_a_wrong_value_is_named_or_harmless(tmp_path, capsys):
    """Whatever stands in whichever field: no format and no picture fails, and what is sound is used."""
    whole = {**row(seed=7), "classes": ["a", "b"], "history": [{}], "peak_memory": 1, "warnings": [], "plugins": ""}
    named = 0
    for name, value in itertools.product(whole, HARMED):
        path = tmp_path / "rows.jsonl"
        path.write_text(f"{json.dumps(row())}\n{json.dumps(whole | {name: value})}\n\n")
        found = results.read_sound_rows([path])
        assert len(found.rows) + len(found.problems) == 2
        named += len(found.problems)
        tables, _ = make_tables(found.rows, found.problems)
        for render_as in render.FORMATS.values():
            assert "supervised" in render_as(tables, True)
        assert all("rows.jsonl:2 is not" in problem and f"its {name} cannot be" in problem for problem in found.problems)
    assert named > 300


def test_the_table_of_the_default_recipe_is_made_from_the_results_file(monkeypatch):
    """And its numbers carry the recipe's promise: every method above supervised, Mean Teacher by eight points."""
    monkeypatch.chdir(ROOT)
    name = "benchmarks/results/digits.jsonl"
    rows = results.read_rows([Path(name)])
    text = Path("docs/tables.md").read_text()
    (made,), said = make_tables(rows)
    assert not said and insert(text, name, render.markdown([made], False)) == text
    found = {method: cells["20"] for method, cells in made.cells.items()}
    assert found.keys() >= {"supervised", "pimodel", "tempens", "meanteacher"} and all(cell.n == 5 for cell in found.values())
    assert found["meanteacher"].gain.mean >= 8 and min(found[alg].gain.mean for alg in ("pimodel", "tempens")) > 0
    assert made.cells["supervised"]["all"].n == 5


@pytest.mark.parametrize(
    ("file", "n", "labels"), [("digits-labels", 3, ["20", "50", "100", "all"]), ("cifar10-jpeg", 2, ["4000"])]
)
def test_the_grids_of_the_documents_are_made_from_results_files(file, n, labels, monkeypatch):
    monkeypatch.chdir(ROOT)
    name = f"benchmarks/results/{file}.jsonl"
    tables, said = make_tables(results.read_rows([Path(name)]))
    text = Path("docs/tables.md").read_text()
    assert not said and insert(text, name, render.markdown(tables, False)) == text
    assert tables[0].labels == labels and set(tables[0].cells) == {"supervised", "pimodel", "tempens", "meanteacher"}
    assert all(cell.n == n for cells in tables[0].cells.values() for cell in cells.values())
