"""Every statement below a table follows from its rows: each fact is changed here, and the words with it."""

from types import SimpleNamespace

import pytest

from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.variants import told_apart
from ssl_zoo.train.guesses import GuessGuard
from tests.tables.rows import row


def said(*rows, lost=()):
    return " ".join(caption(rows, [], lost))


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
        (2, "; points: paired difference in accuracy to supervised. "),
        (3, "; points: paired difference in accuracy to supervised, 95 % interval (Student's t). "),
    ],
)
def test_what_points_are(pairs, words):
    rows = [row(alg, seed) for alg in ("supervised", "x") for seed in range(pairs)]
    assert words in said(*rows) if words else "points:" not in said(*rows)
    if pairs == 3:
        some = said(*rows, row("y", 0), row("y", 1))
        assert "95 % interval (Student's t, from three pairs on)" in some


def test_the_caption_says_which_images_were_scored():
    assert "on 10 labelled images held out for it, of one run" in caption([row(scored="held-out")], [])[0]
    assert "on 10 labelled training images, of one run" in caption([row(scored="training")], [])[0]
    assert "on 10 test images, of one run" in caption([row(scored="test")], [])[0]


def test_what_so_few_images_can_tell():
    """Wilson's interval by hand: 8 of 10 right, z = 1.96: middle (8 + 1.921) / 13.841, half of 0.453."""
    text = said(row(accuracy=0.8), row("x", accuracy=0.8))
    assert (
        "The 10 images that are scored are themselves a sample: they tell an error rate of 20.0 % as 5.7 to 51.0 % (95 %" in text
    )
    two = said(row(accuracy=0.8), row("x", accuracy=0.9))
    assert "an error rate of 10.0 % as 1.8 to 40.4 % and one of 20.0 % as 5.7 to 51.0 %" in two
    many = said(row(accuracy=0.8, confusion=[[400, 100], [100, 400]]))
    assert "The 1,000 images" in many and "20.0 % as 17.6 to 22.6 %" in many
    assert "Wilson" not in said(row(scored="training"))


def test_what_it_cost():
    text = said(row(seconds=3, images_seen=5000), row("x", seconds=7, images_seen=9000))
    assert "Seconds a run: supervised 3, x 7; images seen: supervised 5,000, x 9,000." in text
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


def with_settings(**settings):
    return row(config=row()["config"] | settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"draw": "longtail", "imbalance": 50.0},
            "The labels are a long tail with an imbalance of 50, rounded down, and at least one of each class.",
        ),
        ({"stream": {"imbalance": 10.0, "order": "same"}}, "tail with an imbalance of 10, the most of the first class."),
        (
            {"stream": {"imbalance": 10.0, "order": "reversed"}},
            "tail with an imbalance of 10, the most of the last class.",
        ),
        ({"stream": {"imbalance": 1.0}}, "The unlabelled images are as many of each class."),
        ({"stream": {"images": 3000}}, "Of those without a label, 3,000 are used."),
        ({"unlabeled_classes": ["cat", 3]}, "Classes that are only among the unlabelled images, and not scored: cat, 3."),
        (
            {"unlabeled_classes": [3], "stream": {"mismatch": 0.25}},
            "only among the unlabelled images, 25 % of those without a label, and not scored: 3.",
        ),
    ],
)
def test_which_classes_images_are_of(settings, words):
    assert words in said(with_settings(**settings)) and words not in said(row())


def test_a_split_of_a_file_is_no_tail_that_was_drawn():
    given = with_settings(draw="longtail", imbalance=50.0, split_file="a.json")
    assert "tail" not in said(given) and "tail" not in said({**given, "split_draw": "equal"})
    of_file = said({**with_settings(split_file="a.json"), "split_draw": "longtail"})
    assert "The labels are a long tail, as a split file has them." in of_file and "an imbalance" not in of_file
    assert "geometric mean" in of_file and "geometric mean" not in said({**given, "split_draw": "equal"})


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
    assert "images seen: 100, but a 20 to 1,297" in text and "Seconds a run: 0.2, but c 1;" in text
    assert "on the images' pixels, without the net: a; on frozen features of the net: b." in text
    assert "Fitted at once" not in "\n".join(caption([row("c", s) for s in (0, 1)], []))


def test_of_variants_each_is_told_how_its_images_were_drawn():
    rows = [row("m", seed, axes=["stream.imbalance"]) for seed in (0, 1)]
    values = (None, 1.0, 10.0)
    made = [{**one, "config": {**one["config"], "stream": {"imbalance": value}}} for one in rows for value in values]
    (told,) = told_apart(made)
    text = "\n".join(caption(told, []))
    assert "Of m, imbalance 1: The unlabelled images are as many of each class." in text
    assert "Of m, imbalance 10: The unlabelled images are a long tail with an imbalance of 10" in text
    assert "The geometric mean is of" in text and "Of m, imbalance null" not in text
