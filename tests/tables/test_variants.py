"""Variants are rows of their own; what differs by accident is still left out, and said."""

import csv
import io
import json
import re

import pytest

from ssl_zoo.tables import render
from ssl_zoo.tables.differences import differences
from ssl_zoo.tables.table import make_tables, styles_in
from ssl_zoo.tables.variants import called, differing, told_apart, variant_of
from ssl_zoo.using.report.sweep import sweep_parts
from tests.tables import rows as made
from tests.tables.rows import cells

WEIGHT, LR = "algorithms.m.weight", "optimizer.lr"


def row(alg="m", seed=0, accuracy=0.8, axes=(WEIGHT, LR), weight=10.0, lr=0.1, **more):
    """Of a sweep over a method's weight and the learning rate."""
    settings = {"weight": weight, "ramp": "linear"} if alg == "m" else {}
    config = {"alg": alg, "net": "n", "steps": 5, "labels": 20, "seed": seed, "algorithms": {alg: settings}}
    config |= {"optimizer": {"lr": lr, "name": "sgd"}, **more.pop("config", {})}
    own = [key for key in axes if alg == "m" or key != WEIGHT]
    return made.row(alg, seed, accuracy, config=config, axes=own, **more)


def names(rows):
    (told,) = told_apart(rows)
    return [called(one) for one in told]


def test_rows_that_nobody_varied_are_as_they_are():
    rows = [made.row(seed=0), made.row("m", 1)]
    assert told_apart(rows, rows) == [rows, rows]
    assert names([row(weight=1), row(weight=1, seed=1)]) == ["m", "m"], "an axis of one value makes no variants"
    assert names([row(lr=1, axes=()), row(lr=2, axes=())]) == ["m", "m"], "a difference that was not asked for names nothing"


def test_names_have_the_last_part_of_a_setting_where_that_is_plain():
    rows = [row(weight=w, lr=lr) for w in (10.0, 2.5) for lr in (0.1, 1e-5)] + [row("supervised", lr=0.1)]
    assert names(rows) == [
        *("m, weight 10, lr 0.1", "m, weight 10, lr 1e-05", "m, weight 2.5, lr 0.1", "m, weight 2.5, lr 1e-05"),
        "supervised, lr 0.1",
    ]
    more = {"eval": {"lr": 7}}
    both = [row(axes=(LR, "eval.lr"), lr=1, config=more), row(axes=(LR, "eval.lr"), lr=2, config={"eval": {"lr": 8}})]
    assert names(both) == ["m, eval.lr 7, optimizer.lr 1", "m, eval.lr 8, optimizer.lr 2"]


def test_options_of_two_methods_that_end_alike_are_both_short():
    rows = [row(axes=(WEIGHT,)), row(axes=(WEIGHT,), weight=1)]
    rows += [
        made.row("pi", axes=["algorithms.pi.weight"], config={"alg": "pi", "net": "n", "algorithms": {"pi": {"weight": w}}})
        for w in (3, 4)
    ]
    assert names(rows) == ["m, weight 10", "m, weight 1", "pi, weight 3", "pi, weight 4"]


def test_of_a_view_the_parts_that_differ_are_named():
    def of(view):
        return row(axes=("views.weak",), config={"views": {"weak": view}})

    rows = [of({}), of({"noise": {"std": 0.1, "mean": 0}}), of({"noise": {"std": 0.2, "mean": 0}, "flip": {}})]
    assert names(rows) == ["m, weak {}", "m, mean 0, std 0.1", "m, flip {}, mean 0, std 0.2"]
    assert names(rows[1:]) == ["m, std 0.1", "m, flip {}, std 0.2"]


def test_values_that_are_words_lists_and_switches():
    for values, shown in (
        ((True, None), ("true", "null")),
        (("sgd", "adamw"), ("sgd", "adamw")),
        (([1, 2], [3]), ("[1, 2]", "[3]")),
    ):
        found = names([row(axes=("x",), config={"x": value}) for value in values])
        assert found == [f"m, x {text}" for text in shown]


def grid():
    """Two seeds of each variant."""
    at = {"supervised": 0.5, "m": 0.6}
    rows = []
    for seed in (0, 1):
        for lr in (0.1, 0.01):
            rows.append(row("supervised", seed, at["supervised"] + lr, lr=lr))
            rows += [row("m", seed, at["m"] + lr + weight / 1000, lr=lr, weight=weight) for weight in (10.0, 100.0)]
    return rows


def test_each_variant_is_a_row_and_is_compared_with_the_same_shared_settings():
    table, said = cells(grid())
    assert said == [] and list(table) == [
        *("supervised, lr 0.01", "supervised, lr 0.1"),
        *("m, weight 10, lr 0.01", "m, weight 10, lr 0.1", "m, weight 100, lr 0.01", "m, weight 100, lr 0.1"),
    ]
    gains = {name: cell["20"].gain and round(cell["20"].gain.mean, 6) for name, cell in table.items()}
    assert [*gains.values()] == [None, None, 11, 11, 20, 20]
    assert {cell["20"].n for cell in table.values()} == {2}


def test_without_supervised_of_the_same_variant_there_is_no_pair():
    rows = [one for one in grid() if one["algorithm"] == "m" or one["config"]["optimizer"]["lr"] == 0.1]
    (table,), _ = make_tables(rows)
    assert {name: cell["20"].gain is None for name, cell in table.cells.items() if name.startswith("m")} == {
        "m, weight 10, lr 0.01": True,
        "m, weight 10, lr 0.1": False,
        "m, weight 100, lr 0.01": True,
        "m, weight 100, lr 0.1": False,
    }
    assert any(
        line == "Without a run of supervised on the same split with the same settings, so without a pair, all runs of: "
        "m, weight 10, lr 0.01; m, weight 100, lr 0.01."
        for line in table.caption
    )


def test_a_run_of_no_sweep_is_beside_a_sweeps_variants():
    """It is named by its own value, so that a folder may grow from a plain sweep."""
    plain = [row("m", seed, weight=50.0, axes=()) for seed in (0, 1)]
    table, said = cells([*plain, *(row("m", seed, weight=w, axes=(WEIGHT,)) for w in (10.0, 100.0) for seed in (0, 1))])
    assert list(table) == ["m, weight 10", "m, weight 50", "m, weight 100"] and said == []


def test_an_accidental_difference_is_still_said_and_never_a_row():
    odd = row("m", 2, 0.1, config={"optimizer": {"lr": 0.1, "name": "adamw"}})
    ramp = row("m", 3, 0.1, config={"algorithms": {"m": {"weight": 10.0, "ramp": "sigmoid"}}})
    table, said = cells([*grid(), odd, ramp])
    assert len(table) == 6 and {cell["20"].n for cell in table.values()} == {2}
    assert len(said) == 2 and "setting optimizer.name (adamw, sgd)" in said[0] and "option m.ramp (sigmoid, linear)" in said[1]
    assert all("m, weight 10, lr 0.1 with 20 labels and seed" in line for line in said)


def test_what_follows_from_a_varied_setting_must_still_be_one_within_a_variant():
    """Other data follow from an axis of the data set, and are compared within each of its values."""
    key = "datasets.d.size"

    def of(size, seed, data):
        return row("m", seed, axes=(key,), data_hash=data, config={"dataset": "d", "datasets": {"d": {"size": size}}})

    table, said = cells([of(8, 0, "a"), of(8, 1, "a"), of(16, 0, "b"), of(16, 1, "b")])
    assert list(table) == ["m, size 8", "m, size 16"] and said == []
    table, (line,) = cells([of(8, 0, "a"), of(8, 1, "a"), of(8, 2, "z"), of(16, 0, "b")])
    assert table["m, size 8"]["20"].n == 2 and "data_hash (z, a)" in line


def test_lengths_that_were_varied_are_in_no_title():
    rows = [
        row("m", s, axes=("epochs",), steps=n, config={"epochs": e, "steps": n}) for e, n in ((1, 30), (2, 60)) for s in (0, 1)
    ]
    (table,), said = make_tables(rows)
    assert said == [] and list(table.cells) == ["m, epochs 1", "m, epochs 2"] and table.title == "d, n, 30 to 60 steps"
    assert table.caption[0].startswith("d, n, 30 to 60 steps; ") and table.csv["steps"] == ""


def test_the_caption_says_what_differs_and_what_a_pair_shares():
    (table,), _ = make_tables(grid())
    assert (
        "Varied, and named by their values: algorithms.m.weight: 10, 100; optimizer.lr: 0.01, 0.1. All other settings of a "
        "method are the same in its rows. A pair has the same optimizer.lr."
    ) in table.caption
    (one,), _ = make_tables([row("m", s, weight=w, axes=(WEIGHT,)) for w in (1.0, 2.0) for s in (0, 1)])
    assert not any("A pair" in line for line in one.caption) and any(line.startswith("Varied") for line in one.caption)
    assert table.csv["recipe"] == make_tables(grid()[:6])[0][0].csv["recipe"], "of what all of them share"


def test_variants_that_diverged_are_counted_in_their_rows():
    gone = [made.lost("m", 2, config=row("m", 2, lr=lr)["config"], axes=[WEIGHT, LR]) for lr in (0.1, 9.0)]
    (table,), said = make_tables(grid(), lost=gone)
    assert table.lost == {("m, weight 10, lr 0.1", "20"): 1, ("m, weight 10, lr 9", "20"): 1} and said == []
    assert "m, weight 10, lr 9 with 20 labels (seed 2)" in "".join(table.caption)


def test_every_format_has_the_same_names():
    tables, _ = make_tables(grid())
    for form in (render.markdown, render.latex, render.page):
        assert all(name in form(tables, False) for name in tables[0].cells)
    lines = list(csv.DictReader(io.StringIO(render.as_csv(tables, False))))
    assert [line["method"] for line in lines] == list(tables[0].cells)
    assert [(line["algorithm"], line[WEIGHT], line[LR]) for line in lines[1:4]] == [
        ("supervised", "", "0.1"),
        ("m", "10", "0.01"),
        ("m", "10", "0.1"),
    ]


def test_a_picture_has_one_look_for_a_method():
    tables, _ = make_tables(grid())
    styles = styles_in(tables)
    assert len({style[:2] for name, style in styles.items() if name.startswith("m")}) == 1 and len({*styles.values()}) == 6


def test_compare_names_two_variants():
    lines = list(differences(row(weight=1.0), row(weight=2.0)))
    assert lines[0] == "runs: m, weight 1; and m, weight 2" and next(iter(differences(row(), row()))).startswith("settings")


def test_a_report_lists_variants(tmp_path):
    from ssl_zoo.runs.row import read_sound_rows

    for k, one in enumerate(grid()):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "result.json").write_text(json.dumps(one))
    text = re.sub("<[^>]*>", "", str(sweep_parts(tmp_path, read_sound_rows([tmp_path])))).replace("&nbsp;", " ")
    assert "m, weight 100, lr 0.1 has the lowest error rate, 20.0 %" in text
    assert "m, weight 10, lr 0.01 against labels alone: +11.0 points" in text and "No run of labels alone" not in text


def test_values_are_in_order():
    (told,) = told_apart([row(weight=w) for w in (100.0, 9.0, 10.0)])
    assert differing(told) == {WEIGHT: ["9", "10", "100"]} and variant_of(told[0]) == {WEIGHT: 100.0}


def test_a_row_with_odd_axes_is_refused(tmp_path):
    from ssl_zoo import InputError
    from ssl_zoo.runs.row import read_rows

    (tmp_path / "rows.jsonl").write_text(json.dumps({**made.row(), "axes": "optimizer.lr"}))
    with pytest.raises(InputError, match="its axes cannot be"):
        read_rows([tmp_path / "rows.jsonl"])


def test_settings_that_change_nothing_in_a_method_without_steps_are_named():
    """Their rows are the same, and are no evidence of anything; an option of the method is none of them."""
    once = [row("m", s, steps=0, lr=lr, weight=w) for s in (0, 1) for lr in (0.1, 0.01) for w in (1.0, 2.0)]
    (table,), _ = make_tables([*grid()[:2], *once])
    assert "Without steps, so that rows are the same: optimizer.lr changes nothing in m." in table.caption
    assert not any("changes nothing" in line for line in make_tables(grid())[0][0].caption)
