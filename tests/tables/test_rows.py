import re

import pytest

from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.rows import recipe_name
from ssl_zoo.tables.table import make_tables
from ssl_zoo.tables.variants import told_apart
from tests.tables.rows import ROWS, cells, config, lost, row


def test_one_label_split_a_seed():
    """A run on another split is not averaged with the others, and is named."""
    rows = [row(seed=0, accuracy=0.7), row("y", 0, 0.8), row("x", 0, 0.8, split_hash="other")]
    made, (said,) = cells(rows)
    assert (
        list(made) == ["supervised", "y"]
        and "x with 20 labels and seed 0 is left out" in said
        and "split_hash (other, h0)" in said
    )


def test_code_is_told_by_the_sources_where_they_are_known():
    same = [row(seed=0, commit="a", source="s"), row(seed=1, commit="b-dirty", source="s")]
    made, said = cells(same)
    assert made["supervised"]["20"].n == 2 and not said
    assert "commit a, b-dirty" in caption(same, [])[0]
    for other in (
        {"source": "t"},
        {"code": "t"},
        {"versions": {"ssl_zoo": "1", "torch": "2", "python": "3"}},
        {"history": [{}, {}]},
    ):
        made, (said,) = cells([*same, row(seed=2, source="s") | other])
        assert (
            made["supervised"]["20"].n == 2 and {"versions": "ssl_zoo (1, 0)"}.get(next(iter(other)), next(iter(other))) in said
        )


def test_the_precision_that_runs_had_is_compared_and_not_what_was_asked_for():
    asked = [row(seed=0, config=row()["config"] | {"precision": one}) for one in ("auto", "fp32")]
    asked = [one | {"seed": seed, "split_hash": f"h{seed}"} for seed, one in enumerate(asked)]
    assert cells(asked)[0]["supervised"]["20"].n == 2 and recipe_name(asked[0]) == recipe_name(asked[1])
    had, (line,) = cells([*asked, row(seed=2, split_hash="h2", precision="bf16")])
    assert had["supervised"]["20"].n == 2 and "precision (bf16, fp32)" in line


@pytest.mark.parametrize("compiled", [False, True])
def test_how_often_a_run_is_looked_at_matters_where_its_steps_are_compiled(compiled):
    of = row()["config"] | {"compile": compiled}
    looked = [
        row(seed=seed, split_hash=f"h{seed}", config=of | {"evaluation": {"log_every": every}})
        for seed, every in ((0, 1), (1, 9))
    ]
    made, said = cells(looked)
    assert made["supervised"]["20"].n == (1 if compiled else 2) and bool(said) == compiled


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"config": row()["config"] | {"optimizer": {"lr": 0.2}}}, r"setting optimizer.lr \(0.2, 0.1\)"),
        ({"commit": "def"}, r"commit \(def, abc\)"),
        ({"data_hash": "x"}, "data_hash"),
        ({"config": row()["config"] | {"algorithms": {"supervised": {"a": 1}}}}, r"option supervised.a \(1, none\)"),
        ({"plugins": "net n: my_net.py 123"}, "plugins"),
        ({"plugins": "algorithm supervised: my.py 123"}, "plugins"),
        ({"seed": 0}, "is there twice; one of each is shown"),
    ],
)
def test_runs_that_differ_are_named_and_never_averaged(other, message):
    odd = row(seed=2, accuracy=0.0) | other
    odd["split_hash"] = f"h{odd['seed']}"
    made, said = cells([row(seed=0), row(seed=1), odd])
    (line,) = said
    assert re.search(message, line) and f"supervised with 20 labels and seed {odd['seed']}" in line
    assert made["supervised"]["20"].n == 2 and str(made["supervised"]["20"].error) == "20.0 ± 0.0"
    (partial,), _ = make_tables([row(seed=0), row(seed=1), odd])
    assert re.search(r"Partial: 1 run (left out, other in .+|there twice)\.", partial.caption[-1])


def test_a_run_that_diverged_with_other_settings_is_not_counted():
    other = {**row()["config"], "optimizer": {"lr": 9}}
    odd = [lost("x", 0, config=other), lost("x", 0, net="big"), lost("x", 1, split_hash="other")]
    (made,), said = make_tables(ROWS, lost=odd)
    assert made.lost == {} and "x" not in made.cells and len(said) == 3
    assert said[0] == "no table for d with big: 1 run, all diverged"
    assert all(f"x with 20 labels and seed {k}, which diverged, is left out" in said[1 + k] for k in range(2))
    assert made.caption[-1] == "Partial: 2 runs that diverged left out, other in settings, data, labels or code."


def test_the_name_of_a_recipe_is_that_of_what_all_runs_share():
    """Of variants, what differs on purpose is no part of it; what follows from that is not either."""
    begun = [{**row(axes=["initial"]), "initial": text, "config": config(initial=text)} for text in ("a", "b")]
    (told,) = told_apart(begun)
    assert len({*map(recipe_name, told)}) == 1 and len({*map(recipe_name, begun)}) == 2
    assert recipe_name(row()) != recipe_name(row(initial="a"))
