"""What a caption says of images, each statement with the fact that it follows from."""

import pytest

from ssl_zoo.tables.captions import caption
from ssl_zoo.tables.variants import told_apart
from tests.tables.rows import row, said, varied


def test_the_caption_says_which_images_were_scored():
    assert "on 10 labelled images held out for it, of one run" in caption([row(scored="held-out")], [])[0]
    assert "on 10 labelled training images, of one run" in caption([row(scored="training")], [])[0]
    assert "on 10 test images, of one run" in caption([row(scored="test")], [])[0]


def test_what_so_few_images_can_tell():
    """Wilson's interval by hand: 8 of 10 right, z = 1.96: middle (8 + 1.921) / 13.841, half of 0.453."""
    text = said(row(accuracy=0.8), row("x", accuracy=0.8))
    words = "are themselves a sample. An error rate of 20.0 % has a 95 % interval of 5.7 to 51.0 % (Wilson), however many runs"
    assert f"The 10 images that are scored {words}" in text
    two = said(row(accuracy=0.8), row("x", accuracy=0.9))
    assert "An error rate of 10.0 % has a 95 % interval of 1.8 to 40.4 % and one of 20.0 % an interval of 5.7 to 51.0 % (W" in two
    many = said(row(accuracy=0.8, confusion=[[400, 100], [100, 400]]))
    assert "The 1,000 images" in many and "20.0 % has a 95 % interval of 17.6 to 22.6 %" in many
    assert "Wilson" not in said(row(scored="training"))


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


def test_of_variants_each_is_told_how_its_images_were_drawn():
    rows = [row("m", seed, axes=["stream.imbalance"]) for seed in (0, 1)]
    values = (None, 1.0, 10.0)
    made = [{**one, "config": {**one["config"], "stream": {"imbalance": value}}} for one in rows for value in values]
    (told,) = told_apart(made)
    text = "\n".join(caption(told, []))
    assert "Of m, imbalance 1: The unlabelled images are as many of each class." in text
    assert "Of m, imbalance 10: The unlabelled images are a long tail with an imbalance of 10" in text
    assert "The geometric mean is of" in text and "Of m, imbalance null" not in text


def test_a_score_by_fewer_images_is_told_less_surely():
    """Wilson for 30 of 50 and for 8 of 10, each by the images that the runs scored."""
    text = said(*varied("datasets.d.size", (1, 2), at_0={"accuracy": 0.6, "confusion": [[30, 0], [20, 0]]}))
    assert "The 10 to 50 images that are scored are themselves a sample" in text
    assert (
        "20.0 % on 10 of them has a 95 % interval of 5.7 to 51.0 % and one of 40.0 % on 50 of them an interval of 27.6 to 53.8 %"
        in text
    )


def test_the_classes_of_scored_images_where_they_are_unequal():
    text = said(row(confusion=[[6, 0], [1, 1], [2, 0]]))
    assert "The classes of the test images are unequal, from 2 to 6 images: the largest class, given to all" in text
    assert "has an error rate of 40.0 %" in text and "one class for all images has 33.3 %." in text
    assert "The geometric mean is of the classes' recalls" in text and "unequal" not in said(row())
    assert "geometric" not in said(row())
    some = said(*varied("datasets.d.size", (1, 2), at_1={"confusion": [[6, 0], [1, 1]]}))
    assert "Of supervised, size 2: The classes of the test images are unequal" in some and "geometric mean" in some


def test_what_is_said_of_each_class():
    def each(*rows):
        return " ".join(caption(rows, [], (), True))

    assert "Recalls are means over the runs, in percent in the order of the classes (a, b)." in each(row(classes=["a", "b"]))
    assert each(row()).count("in percent.") == 1 and "Recalls" not in said(row(classes=["a", "b"]))
    two = each(row(classes=["a", "b"]), row(seed=1, classes=["a", "c"]))
    assert "in percent." in two and "order of" not in two
    many = [[int(i == j) for j in range(21)] for i in range(21)]
    assert "in percent: the least, the median, the most." in each(row(confusion=many, classes=["a"] * 21))


def test_images_that_were_learnt_by_heart():
    assert "also training images" not in said(row())
    assert " 3 of the test images are also training images: the score counts" in said(row(leaked_test_images=3))
    assert "Up to 3 of the test images are also" in said(row(leaked_test_images=3), row(seed=1, leaked_test_images=1))
