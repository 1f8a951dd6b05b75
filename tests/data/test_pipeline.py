import pytest
import torch
from torch.utils._pytree import tree_leaves

from ssl_zoo import ALGORITHMS, AUGMENTATIONS, Facts, InputError
from ssl_zoo.data import pipeline
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.data.walks import BalancedWalk, Walk
from ssl_zoo.seeds import mix

N, SHAPE = 30, (8, 8, 3)
IMAGES = torch.randint(0, 256, (N, *SHAPE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
FACTS = Facts(3, N, torch.tensor([2, 5, 11, 20, 21]), torch.tensor([0, 1, 2, 0, 1]), torch.arange(N))
VIEWS = {
    "weak": View(
        [AUGMENTATIONS.create(name) for name in ("translate", "flip", "affine", "resized_crop", "noise")],
        *channel_statistics(IMAGES),
    ),
    "strong": View([AUGMENTATIONS.create("translate", pixels=6)], *channel_statistics(IMAGES)),
}


def make(unlabeled=("weak", "weak"), b=4, u=8, seed=0, **more):
    return Pipeline(IMAGES, FACTS, VIEWS, unlabeled=unlabeled, batch_labeled=b, batch_unlabeled=u, seed=seed, **more)


def same(one, two):
    leaves = tree_leaves(one), tree_leaves(two)
    return len(leaves[0]) == len(leaves[1]) and all(torch.equal(a, b) for a, b in zip(*leaves, strict=True))


@pytest.mark.parametrize("n", [1, 2, 5, 44, 100])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_walk_is_epochs_laid_end_to_end(n, size):
    steps = 60
    walked = torch.cat([Walk(n, size, 3, "x").places(step) for step in range(steps)])
    assert len(walked) == steps * size
    for epoch in walked.split(n)[: len(walked) // n]:
        assert torch.equal(epoch.sort().values, torch.arange(n))
    assert (torch.bincount(walked, minlength=n) - len(walked) / n).abs().max() < 1


def test_walk_order_depends_on_seed_stream_and_epoch_alone():
    walk = Walk(100, 10, 3, "x")
    forward = [walk.places(step) for step in range(30)]
    assert all(torch.equal(walk.places(step), forward[step]) for step in (29, 0, 15, 9, 10))
    for other in (Walk(100, 10, 4, "x"), Walk(100, 10, 3, "y")):
        assert not torch.equal(other.places(0), forward[0])
    assert not torch.equal(torch.cat(forward[:10]), torch.cat(forward[10:20]))


@pytest.mark.parametrize("labeled_classes", ["uniform", "balanced"])
def test_batch_is_a_pure_function_of_the_step(labeled_classes):
    """So that a run resumes exactly, whatever was asked before."""
    one, two = make(labeled_classes=labeled_classes), make(labeled_classes=labeled_classes)
    batches = [one.batch(step) for step in range(12)]
    torch.manual_seed(99)
    for step in (11, 3, 0, 7):
        assert same(two.batch(step), batches[step])
    assert not same(batches[0], batches[1])
    assert not same(make(seed=1).batch(0), batches[0])


UNEQUAL = torch.tensor([0] * 12 + [3, 3, 1] + [0] * 5 + [3] * 2)  # classes of 17, 1 and 4 places


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_balanced_walk_shows_each_class_and_within_a_class_each_place_as_often_as_any_other(size):
    steps = 1200 // size
    walked = torch.cat([BalancedWalk(UNEQUAL, size, 3, "x").places(step) for step in range(steps)])
    classes = UNEQUAL[walked]
    for of_round in classes.split(3)[: len(classes) // 3]:
        assert sorted(of_round.tolist()) == [0, 1, 3]
    for k in (0, 1, 3):
        of_class = walked[classes == k]
        members = (k == UNEQUAL).nonzero().flatten()
        for epoch in of_class.split(len(members))[: len(of_class) // len(members)]:
            assert torch.equal(epoch.sort().values, members), "a permutation per epoch of the class"
    orders = {tuple(of_round) for of_round in classes.split(3)[:60]}
    assert len(orders) > 4, "rounds in another order each"


def test_a_balanced_walk_depends_on_seed_stream_and_step_alone():
    walk = BalancedWalk(UNEQUAL, 10, 3, "x")
    forward = [walk.places(step) for step in range(30)]
    assert all(torch.equal(walk.places(step), forward[step]) for step in (29, 0, 15, 9, 10))
    for other in (BalancedWalk(UNEQUAL, 10, 4, "x"), BalancedWalk(UNEQUAL, 10, 3, "y")):
        assert not torch.equal(other.places(0), forward[0])
    joined, halves = torch.cat(forward), [BalancedWalk(UNEQUAL, 5, 3, "x").places(step) for step in range(60)]
    assert torch.equal(torch.cat(halves), joined), "the size of a step cuts one sequence"


def test_a_balanced_pipeline_changes_the_labelled_stream_alone():
    uniform, balanced = make(b=6), make(b=6, labeled_classes="balanced")
    counts = torch.zeros(3)
    for step in range(20):
        one, two = uniform.batch(step), balanced.batch(step)
        assert torch.equal(one.u_index, two.u_index) and same(one.u, two.u)
        counts += torch.bincount(two.y, minlength=3)
    assert counts.tolist() == [40, 40, 40]  # of 2, 2 and 1 labelled rows
    again = make(b=6, labeled_classes="balanced", fetch=True)
    assert all(same(again.batch(step), balanced.batch(step)) for step in (0, 1, 7, 2))


def test_without_a_word_the_walk_is_what_it_was():
    """The batches of every result that there is."""
    seeds = (mix(0, "rows", "labeled", epoch) for epoch in range(2))
    epochs = torch.cat([torch.randperm(5, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    assert torch.equal(make(b=4).batch(1).x_index, FACTS.labeled[epochs[4:8]])
    assert same(make().batch(5), make(labeled_classes="uniform").batch(5))


def test_batch_holds_the_rows_it_names():
    plain = {"weak": View([], *channel_statistics(IMAGES))}
    pipeline = Pipeline(IMAGES, FACTS, plain, unlabeled=("weak",), batch_labeled=7, batch_unlabeled=8, seed=0)
    batch = pipeline.batch(5)
    assert torch.equal(batch.x, plain["weak"].plain(IMAGES[batch.x_index]))
    assert torch.equal(batch.u[0], plain["weak"].plain(IMAGES[batch.u_index]))
    classes = dict(zip(FACTS.labeled.tolist(), FACTS.labels.tolist(), strict=True))
    assert batch.y.tolist() == [classes[row] for row in batch.x_index.tolist()]


def test_every_registered_method_sees_the_same_pixels():
    """Identical pipelines: the same labelled batches, and the same first unlabelled view where there is one.

    One method has no weak view of labelled images, by its paper; the images are the same.
    """
    batches = {}
    for name in ALGORITHMS.names():
        method = ALGORITHMS.resolve(name).target
        batches[name] = make(method.views, labeled=method.labeled_views).batch(6)
    reference = batches["meanteacher"]
    for name, batch in batches.items():
        assert same(batch[1:3], reference[1:3]) and torch.equal(batch.x, reference.x) == (name != "remixmatch")
        if batch.u:
            assert torch.equal(batch.u[0], reference.u[0]) and torch.equal(batch.u_index, reference.u_index)


def test_labelled_batches_do_not_depend_on_the_unlabelled_size():
    assert same(make(u=8).batch(4)[:3], make(u=20).batch(4)[:3])


def test_views_of_one_row_differ_and_no_views_mean_no_images():
    batch = make().batch(0)
    assert not torch.equal(batch.u[0], batch.u[1])
    none = make(()).batch(0)
    assert none.u == () and len(none.u_index) == 0


def test_further_labelled_views_and_named_views():
    batch = make(("weak", "strong"), labeled=("weak", "strong")).batch(2)
    assert len(batch.x_more) == 1 and batch.x_more[0].shape == batch.x.shape
    assert same(batch[:3], make().batch(2)[:3]) and torch.equal(batch.u[0], make().batch(2).u[0])
    assert not torch.equal(batch.u[1], make().batch(2).u[1])


@pytest.mark.parametrize("labeled_classes", ["uniform", "balanced"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_hold_slices_of_the_one_batch(ranks, labeled_classes):
    whole = make(labeled_classes=labeled_classes).batch(3)
    parts = [make(rank=rank, ranks=ranks, labeled_classes=labeled_classes).batch(3) for rank in range(ranks)]
    for k, leaf in enumerate(tree_leaves(whole)):
        torch.testing.assert_close(torch.cat([tree_leaves(part)[k] for part in parts]), leaf, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unlabeled": ("weak", "stronk")}, "view called 'stronk'"),
        ({"ranks": 3}, "3 ranks do not divide"),
        ({"b": 0}, "batch sizes must be at least 1"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        make(**change)


def test_an_empty_unlabelled_stream():
    facts = FACTS._replace(unlabeled=torch.empty(0, dtype=torch.int64))
    with pytest.raises(InputError, match="unlabelled stream is empty"):
        Pipeline(IMAGES, facts, VIEWS, unlabeled=("weak",), batch_labeled=2, batch_unlabeled=2, seed=0)
    Pipeline(IMAGES, facts, VIEWS, unlabeled=(), batch_labeled=2, batch_unlabeled=2, seed=0).batch(0)


@pytest.mark.parametrize("labeled_classes", ["uniform", "balanced"])
def test_no_labelled_image_is_refused(labeled_classes):
    facts = FACTS._replace(labeled=torch.empty(0, dtype=torch.int64), labels=torch.empty(0, dtype=torch.int64))
    more = {"batch_labeled": 2, "batch_unlabeled": 2, "labeled_classes": labeled_classes, "seed": 0}
    with pytest.raises(InputError, match="no image is labelled"):
        Pipeline(IMAGES, facts, VIEWS, unlabeled=("weak",), **more)


@pytest.mark.parametrize("part", [{}, {"rank": 1, "ranks": 2}])
@pytest.mark.parametrize("unlabeled", [("weak", "strong"), ()])
def test_rows_that_are_fetched_ahead_are_the_same_rows(part, unlabeled):
    """Of images that stay on the host: whatever step is asked for, and after whichever other."""
    one, two = make(unlabeled, **part), make(unlabeled, fetch=True, **part)
    for step in (0, 1, 2, 3, 9, 4, 4, 5, 6):
        assert same(one.batch(step), two.batch(step))
    assert two._host is not None and two._host._pending[0] == 7, "the next step's rows are on their way"


def test_a_batch_does_not_change_when_the_next_are_fetched():
    pipeline = make(fetch=True)
    first = pipeline.batch(0)
    before = [leaf.clone() for leaf in tree_leaves(first)]
    for step in range(1, 6):
        pipeline.batch(step)
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(first), before, strict=True))


def test_views_made_in_one_go_are_those_made_each_alone(monkeypatch):
    """Of every augmentation, on both streams, whole and as a slice."""
    each = {name: {} for name in ("translate", "flip", "affine", "resized_crop", "color", "randaugment", "cutout", "noise")}
    chain = [AUGMENTATIONS.create(name, **options) for name, options in each.items()]
    views = {"weak": View(chain, *channel_statistics(IMAGES)), "strong": VIEWS["strong"]}
    options = {"unlabeled": ("weak", "weak", "strong"), "labeled": ("weak", "strong"), "seed": 0}
    for more in ({}, {"rank": 1, "ranks": 2}):
        made = []
        for small in (0, pipeline.SMALL):
            monkeypatch.setattr(pipeline, "SMALL", small)
            made.append(Pipeline(IMAGES, FACTS, views, **options, batch_labeled=4, batch_unlabeled=6, **more).batch(3))
        one, other = ([b.x, *b.x_more, *b.u] for b in made)
        assert len(one) == 5 and all(map(torch.equal, one, other))
