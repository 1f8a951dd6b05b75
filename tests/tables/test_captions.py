"""Every statement below a table follows from its rows: each fact is changed here, and the words with it."""

from types import SimpleNamespace

import pytest

from ssl_zoo.tables.captions import caption, in_a_row
from ssl_zoo.tables.variants import told_apart
from ssl_zoo.train.guesses import GuessGuard
from tests.tables.rows import config, row, said, varied
from tests.tables.rows import lost as lost_row


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([0], "0"), ([0, 1, 2], "0, 1, 2"), ([0, 1, 2, 3], "0 to 3"), ([0, 2, 3, 4, 5, 9, 10], "0, 2 to 5, 9, 10"), ([], "")],
)
def test_many_seeds_in_a_row_are_the_first_and_the_last(numbers, words):
    assert in_a_row(numbers) == words


def test_the_caption_says_when_splits_were_shared_and_who_was_warned():
    one_each = caption([row(seed=0), row(seed=1)], [])
    shared = caption([row(seed=0), row(seed=1, split_hash="h0", split_seed=0)], [])
    assert "(seeds 0, 1, each with a label split of its own)" in one_each[0] and "(seeds 0, 1, over 1 label split)" in shared[0]
    assert "10 test images" in one_each[0] and len(one_each) == 3
    assert "supervised with seed 3" in caption([row(seed=3, warnings=["x"])], [])[-1]


def test_the_caption_says_of_what_a_run_warned():
    """The collapse's words are those of the measure itself."""
    collapse = GuessGuard._warning(SimpleNamespace(classes=("a",), labels=(0,), method="x"), 0, 1, 2)
    rows = [row(seed=0, warnings=["the term 'pseudo' has been exactly zero"]), row("x", 1, warnings=[collapse])]
    assert caption(rows, [])[-1] == (
        "Warned while they ran that a loss term trained nothing (see their result.json): supervised with seed 0. "
        "Warned while they ran that nearly all pseudo-labels were of one class (see their result.json): x with seed 1."
    )


def begun(alg="supervised", seed=0, initial=None, license="mit", source="theirs", **more):
    made = row(alg, seed, **more)
    made |= {"weights": {"source": source, "license": license}} if source else {}
    made["config"] = {**made["config"], "initial": initial}
    return made | ({"initial": "abc"} if initial else {})


def test_what_nets_began_from():
    assert "Begun" not in said(row(), row("x"))
    assert "Begun from the pretrained weights theirs (license: mit)." in said(begun(), begun("x"))
    assert "(license: gpl)." in said(begun(license="gpl"))
    assert "Begun from the trained net runs/a, which began from theirs (license: mit)." in said(begun(initial="runs/a"))
    assert "Begun from the trained net runs/a." in said(begun(initial="runs/a", source=""))
    both = "Begun from the pretrained weights theirs (license: mit): x; from random weights: supervised."
    assert both in said(begun("x"), row())


def test_what_makes_no_use_of_a_net_began_from_none():
    pixels = row("probe", steps=0)
    pixels["config"]["algorithms"]["probe"]["features"] = "pixels"
    assert "Begun from the pretrained weights theirs (license: mit)." in said(begun(), pixels)


def test_what_a_name_says_of_a_beginning_is_not_said_twice():
    rows = [begun("x", initial=initial, source="", axes=["initial"]) for initial in (None, "runs/a")]
    (told,) = told_apart(rows)
    assert [one["called"] for one in told] == ["x, initial null", "x, initial runs/a"] and "Begun" not in said(*told)


def test_what_is_fitted_at_once_warns_of_its_fit():
    text = said(row("probe", 2, steps=0, warnings=["lbfgs failed to converge"]))
    assert "Warned while they ran that scikit-learn's fit may not have converged (see their result.json): probe" in text


def test_which_labels_there_were():
    some, more = [row(seed=s) for s in (0, 1)], [row(seed=s, labels=40, split_hash=f"m{s}") for s in (0, 1)]
    every = [row(seed=s, labels="all", split_hash="all") for s in (0, 1)]
    assert "(seeds 0, 1, all with the same labelled images)" in said(*every)
    assert "each with a label split of its own but for all labels)" in said(*some, *every)
    assert "each with a label split of its own)" in said(*some, *more)
    assert "(seed 0, one label split)" in said(row())
    shared = [row(seed=s, split_hash="h", labels=count) for s in (0, 1) for count in (20, 40)]
    assert "(seeds 0, 1, over 1 label split at each number of labels)" in said(*shared)


def test_one_run_has_no_deviation_and_no_points():
    assert "of one run each (seed 0" in said(row()) and "standard deviation" not in said(row())
    assert "mean ± standard deviation over n runs (seeds 0, 1" in said(row(seed=0), row(seed=1))
    assert "points:" not in said(row(seed=0), row(seed=1))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (1, None),
        (2, "; points: paired difference in accuracy to supervised, + is better. "),
        (3, "; points: paired difference in accuracy to supervised, + is better, 95 % interval (Student's t). "),
    ],
)
def test_what_points_are(pairs, words):
    rows = [row(alg, seed) for alg in ("supervised", "x") for seed in range(pairs)]
    assert words in said(*rows) if words else "points:" not in said(*rows)
    if pairs == 3:
        some = said(*rows, row("y", 0), row("y", 1))
        assert "95 % interval (Student's t, from three pairs on)" in some


def test_what_it_cost():
    text = said(row(seconds=3, images_seen=5000), row("x", seconds=7, images_seen=9000))
    assert "Seconds a run (medians): supervised 3, x 7; images seen: supervised 5,000, x 9,000." in text
    same = said(row(seconds=3, images_seen=5000), row("x", seconds=7, images_seen=5000))
    assert "images seen: 5,000." in same


def test_plug_ins_and_the_recipe_are_named():
    assert "plug-ins" not in said(row())
    text = said(row(plugins="algorithm x (a.py 12ab); net n (b.py 34cd)"), row(seed=1, plugins="net n (b.py 34cd)"))
    assert text.count("net n (b.py 34cd)") == 1 and "From plug-ins: algorithm x (a.py 12ab); net n (b.py 34cd)." in text
    one, other, seed = (
        said(made).rpartition("; recipe ")[2][:12]
        for made in (row(), row(config=row()["config"] | {"optimizer": {"lr": 0.2}}), row(seed=1))
    )
    assert one != other and one == seed and len(one) == 12


def test_machines_are_named_where_runs_moved_between_them():
    moved = [{"step": 0, "torch": "2", "device": "here"}, {"step": 3, "torch": "2", "device": "there"}]
    assert "Seconds are of runs on more than one machine: here; there." in said(row(history=moved), row(seed=1, history=moved))
    torch_alone = [{"step": 0, "torch": "2", "device": "here"}, {"step": 3, "torch": "3", "device": "here"}]
    assert "machine" not in said(row()) and "machine" not in said(row(history=torch_alone))


def test_what_is_fitted_at_once_is_told_and_has_no_say_in_the_rest():
    """A table of it and of a method with steps: steps and median are those of the other, costs are of each cell."""
    config = row()["config"]
    once = {"steps": 0, "evaluations": [{"step": 0, "accuracy": 0.5}], "seconds": 0.24}
    pixels = [
        row("a", s, 0.5, images_seen=seen, labels=count, config={**config, "algorithms": {"a": {"features": "pixels"}}}, **once)
        for s in (0, 1)
        for count, seen in ((20, 20), ("all", 1297))
    ]
    frozen = [row("b", s, 0.5, config={**config, "algorithms": {"b": {"features": "net"}}}, **once) for s in (0, 1)]
    text = "\n".join(caption([*pixels, *frozen, *(row("c", s, accuracy_median_of=3) for s in (0, 1))], []))
    assert "d, n, 5 steps; " in text and "median: of the last 3 evaluations" in text
    assert "images seen: 100, but a 20 to 1,297" in text and "Seconds a run (medians): 0.2, but c 1;" in text
    assert "on the images' pixels, without the net: a; on frozen features of the net: b." in text
    assert "Fitted at once" not in "\n".join(caption([row("c", s) for s in (0, 1)], []))


@pytest.mark.parametrize(
    ("changed", "before", "after"),
    [
        ({"dataset": "e"}, "d, n, 5 steps; ", "e, n, 5 steps; "),
        ({"dataset": "folder", "config": config(data_root="/a/photos")}, "d, n, ", "photos, n, "),
        ({"net": "m"}, "d, n, ", "d, m, "),
        ({"steps": 7}, "5 steps; ", "7 steps; "),
        (
            {"config": config(evaluation={"net": "student"})},
            "; error rate of the last",
            "; error rate of the student of the last",
        ),
        (
            {"selection": "validation", "config": config(val_fraction=0.25)},
            "of the last evaluation on 10 test",
            "of the evaluation that is best on 25 % of the labelled images, held out, on 10 test",
        ),
        ({"confusion": [[30, 0], [0, 20]]}, "on 10 test images", "on 50 test images"),
        ({"config": config(folds=3)}, "test images", "labelled images, each scored once, by one of 3 nets that had not seen it"),
        ({"accuracy_median_of": 4}, "median: of the last evaluation alone", "median: of the last 4 evaluations"),
        ({"device": "gpu"}, ". cpu, fp32; ", ". gpu, fp32; "),
        ({"precision": "bf16"}, ". cpu, fp32; ", ". cpu, bf16; "),
        ({"versions": {"ssl_zoo": "1", "torch": "2", "python": "3"}}, "ssl_zoo 0, torch 2", "ssl_zoo 1, torch 2"),
        ({"versions": {"ssl_zoo": "0", "torch": "4", "python": "3"}}, "torch 2, python 3; ", "torch 4, python 3; "),
        ({"versions": {"ssl_zoo": "0", "torch": "2", "python": "5"}}, "python 3; ", "python 5; "),
        ({"commit": "0123456789abcdef-dirty"}, "; commit abc; ", "; commit 0123456789-dirty; "),
        ({"commit": None}, "; commit abc; ", "; commit none; "),
        ({"seed": 4}, "(seed 0, ", "(seed 4, "),
    ],
)
def test_each_fact_of_the_rows_is_a_word_of_the_note(changed, before, after):
    assert before in said(row()) and after in said(row(**changed))
    assert before not in said(row(**changed)) or before in after


def test_of_facts_that_differ_all_are_told():
    """Rows of one table may differ in what was varied, and in what makes no other run."""

    def both(**changed):
        return said(row(seed=0), row(seed=1, **changed))

    assert "10 to 50 test images" in both(confusion=[[30, 0], [0, 20]])
    assert "on 10 test images or labelled images held out for it, mean" in both(scored="held-out")
    student = both(config=config(evaluation={"net": "student"}))
    assert "error rate of the method's net or the student of the last evaluation" in student
    chosen = both(selection="validation", config=config(val_fraction=0.25))
    assert "of the last evaluation or the evaluation that is best on 25 % of" in chosen
    assert "d, n, 5 to 7 steps; " in both(steps=7) and "cpu, bf16 and fp32; " in both(precision="bf16")
    assert "median: of the last 1 to 3 evaluations" in both(accuracy_median_of=3)
    assert "torch 2, python 3 and 4; commit abc, none; " in both(
        versions={"ssl_zoo": "0", "torch": "2", "python": "4"}, commit=None
    )
    first, second = both(config=config(optimizer={"lr": 0.2})).rpartition("; recipe ")[2].split(". ")[0].split(", ")
    assert first != second and {len(first), len(second)} == {12}


def test_a_table_of_what_is_fitted_at_once_has_no_steps():
    pixels = row("a", steps=0, config=config(algorithms={"a": {"features": "pixels"}}))
    assert "d, n, no steps; " in said(pixels) and "median: of the last evaluation alone" in said(pixels)


def test_a_single_seed_has_one_split_at_each_number_of_labels():
    assert "(seed 0, one label split at each number of labels)" in said(row(), row(labels=40, split_hash="m"))
    every = [row(seed=s, labels="all", split_hash=f"a{s}") for s in (0, 1)]
    assert "(seeds 0, 1, each with a label split of its own)" in said(*every), "whatever they are called"
    some = [row(seed=s, split_hash=f"h{s % 2}") for s in range(3)]
    assert "(seeds 0, 1, 2, over 2 label splits)" in said(*some)
    more = [row(seed=s, labels=40, split_hash="m") for s in range(3)]
    assert "(seeds 0, 1, 2, over 1 to 2 label splits at each number of labels)" in said(*some, *more)


def test_of_a_setting_that_splits_labels_each_variant_has_splits_of_its_own():
    own = {f"at_{k}": {"split_hash": f"v{k}", "labels": "all"} for k in (0, 1)}
    text = said(*varied("datasets.d.size", (1, 2), **own))
    assert "(seeds 0, 1, all of a variant with the same labelled images)" in text
    one = {f"at_{k}": {"split_hash": f"v{k}"} for k in (0, 1)}
    assert "(seeds 0, 1, over 1 label split of each variant)" in said(*varied("datasets.d.size", (1, 2), **one))
    assert "each with a label split of its own)" in said(*varied("val_fraction", (0, 0.2)))


def test_what_was_varied_and_what_a_pair_shares():
    lr = varied("optimizer.lr", (0.1, 0.2))
    assert "Varied, and named by their values: optimizer.lr: 0.1, 0.2. All other settings" in said(*lr)
    assert "A pair has the same" not in said(*lr), "where there is no pair"
    others = [{**one, "algorithm": "x", "called": one["called"].replace("supervised", "x")} for one in lr]
    assert "A pair has the same optimizer.lr." in said(*lr, *others)
    same = said(*(one for one in lr if one["config"]["optimizer"]["lr"] == 0.1))
    assert "Varied" not in same and "The same in all rows here, and varied elsewhere: optimizer.lr: 0.1." in same
    assert "varied" not in said(row()).casefold()


def test_a_setting_that_some_rows_lack_was_varied_unless_it_is_another_methods():
    one, other = varied("algorithms.supervised.weight", (1, 2))[::2]
    assert "The same in all rows here, and varied elsewhere: algorithms.supervised.weight: 1." in said(one, row("x"))
    assert "Varied, and named by their values: algorithms.supervised.weight: 1, 2." in said(one, other, row("x"))
    noisy = varied("views.weak.noise", ({"std": 1}, {"std": 2}))[0]
    lacking = {**noisy, "seed": 1, "variant": {}, "called": "supervised"}
    assert "Varied, and named by their values: views.weak.noise.std: 1." in said(noisy, lacking)


def test_a_data_set_tells_no_rows_apart():
    """A table has one: its rows are not named by what all of them share."""
    names = [one.get("called") for one in varied("dataset", ("d", "e"))]
    assert names == [None] * 4


def test_what_a_fit_at_once_warns_of_is_no_loss_term():
    once = row("a", 2, steps=0, warnings=["lbfgs failed to converge"], config=config(algorithms={"a": {"features": "pixels"}}))
    words = "Warned while they ran that scikit-learn's fit may not have converged (see their result.json): a with seed 2."
    assert caption([once, row()], [])[-1] == words


def test_what_has_no_pair_and_what_is_left_out_is_named():
    assert "Without a run of supervised" not in said(row(), row("x"))
    assert "Without a run of supervised on the same split, so without a pair, all runs of: x." in said(row("x"))
    assert "without a pair, some runs of: x." in said(row(), row("x"), row("x", 1))
    assert caption([row()], ["2 runs there twice", "another"])[-1] == "Partial: 2 runs there twice; another."
    assert "Partial" not in said(row())
    gone = said(row(), lost=[lost_row("x", 3), lost_row("x", 4)])
    assert "Runs that diverged are in no mean, so means are too good: x with 20 labels (seeds 3, 4)." in gone
    assert "Diverged" not in said(row())
