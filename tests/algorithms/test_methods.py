"""What is particular to each method, in numbers that follow from its paper."""

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmarks import run
from ssl_zoo import ALGORITHMS, NETS, AlgorithmBase, Facts, InputError
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from tests.algorithms.mutants import ViewsByAnOption
from tests.conftest import ROWS, K, TinyNet, make_batch

PROGRESS = torch.tensor(1.0)


def make(name, facts, **options):
    torch.manual_seed(0)
    return ALGORITHMS.create(name, net=TinyNet(), facts=facts, **options)


def test_tempens_target_after_two_visits(facts):
    """alpha .6: after visits p1, p2 the target is (.24 p1 + .4 p2) / .64."""
    method = make("tempens", facts, alpha=0.6)
    p1, p2 = torch.rand(2, 1, K).softmax(dim=-1)
    for p in (p1, p2):
        method.after_step({"index": torch.tensor([5]), "probabilities": p}, PROGRESS)
    target = method.memory[5] / (1 - 0.6 ** method.visits[5])
    torch.testing.assert_close(target, ((0.24 * p1 + 0.4 * p2) / 0.64)[0])

    batch = make_batch(1)._replace(u_index=torch.tensor([5]), u=(torch.randn(1, 2, 5, 5),))
    out = method.loss(batch, PROGRESS)
    torch.testing.assert_close(out.terms["consistency"], (out.seen["probabilities"] - target).square().mean())


def test_tempens_first_visits_weigh_nothing_and_other_rows_stay(facts):
    method = make("tempens", facts)
    batch = make_batch(1)
    out = method.loss(batch, PROGRESS)
    assert out.terms["consistency"] == 0
    method.after_step(out.seen, PROGRESS)
    visited = torch.zeros(ROWS, dtype=torch.bool).index_fill(0, batch.u_index, True)
    assert torch.equal(method.visits, visited.long())
    assert torch.equal(method.memory.sum(dim=1) > 0, visited)
    torch.testing.assert_close(method.memory[batch.u_index], 0.4 * out.seen["probabilities"])
    assert method.loss(batch, PROGRESS).terms["consistency"] > 0


def test_tempens_a_row_drawn_twice_counts_once_and_is_not_its_own_target(facts):
    method = make("tempens", facts)
    batch = make_batch(1)._replace(u_index=torch.tensor([3, 3, 1, 2, 4, 5]))
    out = method.loss(batch, PROGRESS)
    assert out.terms["consistency"] == 0
    method.after_step(out.seen, PROGRESS)
    assert method.visits[3] == 1
    torch.testing.assert_close(method.memory[3], 0.4 * out.seen["probabilities"][:2].mean(dim=0))


def test_tempens_in_half_the_room(facts):
    """A bfloat16 memory: each number is that of fp32 within the rounding of its last visits, which does not add up."""
    whole, half = make("tempens", facts, alpha=0.6), make("tempens", facts, alpha=0.6, memory_dtype="bfloat16")
    assert half.memory.dtype == torch.bfloat16 and half.memory.nbytes == whole.memory.nbytes // 2
    for seed in range(200):
        torch.manual_seed(seed)
        seen = {"index": torch.tensor([0, 3]), "probabilities": torch.randn(2, K).softmax(dim=1)}
        whole.after_step(seen, PROGRESS), half.after_step(seen, PROGRESS)
    torch.testing.assert_close(half.memory.float(), whole.memory, rtol=2**-8 / (1 - 0.6), atol=0)
    assert not torch.equal(half.memory.float(), whole.memory)
    batch = make_batch(1)._replace(u_index=torch.tensor([0, 3, 0, 3, 0, 3]))
    a, b = (method.loss(batch, PROGRESS) for method in (whole, half))
    assert b.total.dtype == torch.float32 and b.seen["probabilities"].dtype == torch.float32
    torch.testing.assert_close(a.total, b.total, rtol=1e-2, atol=0)


@pytest.mark.parametrize("top", [K, K - 1])
def test_tempens_that_keeps_the_largest_of_nearly_all_classes_is_the_whole(top, facts):
    """With all but one of the classes, what is left is that one's."""
    whole, largest = make("tempens", facts), make("tempens", facts, memory_top=top)
    for seed in range(20):
        batch = make_batch(1, seed=seed)
        a, b = (method.loss(batch, PROGRESS) for method in (whole, largest))
        torch.testing.assert_close(a.total, b.total)
        whole.after_step(a.seen, PROGRESS), largest.after_step(b.seen, PROGRESS)
        torch.testing.assert_close(largest._remembered(torch.arange(ROWS)), whole.memory, rtol=1e-5, atol=1e-6)
    assert torch.equal(whole.visits, largest.visits) and "memory_classes" not in whole.state_dict()


def test_tempens_keeps_the_largest_and_spreads_the_rest():
    """alpha .6, two of five classes kept; the rest is shared by the other three, from where the next visit goes on."""
    facts = Facts(5, 4, torch.arange(2), torch.arange(2), torch.arange(4))
    method = make("tempens", facts, memory_top=2)
    row, every = torch.tensor([3]), torch.arange(4)
    method.after_step({"index": row, "probabilities": torch.tensor([[0.1, 0.5, 0.0, 0.3, 0.1]])}, PROGRESS)
    assert method.memory_classes[3].tolist() == [1, 3]
    torch.testing.assert_close(method.memory[3], torch.tensor([0.2, 0.12]))
    found = method._remembered(every)
    torch.testing.assert_close(found[3], 0.4 * torch.tensor([0.2 / 3, 0.5, 0.2 / 3, 0.3, 0.2 / 3]))
    assert not found[:3].any(), "rows that were not visited remember nothing"
    method.after_step({"index": row, "probabilities": torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]])}, PROGRESS)
    assert method.memory_classes[3].tolist() == [2, 1]
    torch.testing.assert_close(method.memory[3], torch.tensor([0.4 + 0.24 * 0.2 / 3, 0.12]))
    torch.testing.assert_close(method._remembered(row).sum(), torch.tensor(0.64))


def test_tempens_largest_in_half_the_room_sum_to_what_all_do(facts):
    """The rest takes up what rounding takes from the classes that are kept; it is never below zero."""
    method = make("tempens", facts, memory_top=1, memory_dtype="bfloat16")
    seen = {"index": torch.tensor([0, 3]), "probabilities": torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])}
    for visits in range(1, 50):
        method.after_step(seen, PROGRESS)
        found = method._remembered(seen["index"])
        torch.testing.assert_close(found.sum(dim=1), torch.full((2,), 1 - 0.6**visits), rtol=2**-8, atol=0)
        assert (found >= 0).all() and found[1, 0] == found[1, 2] > 0
    assert method.memory.dtype == torch.bfloat16 and method.memory.nbytes + method.memory_classes.nbytes == 4 * ROWS


@pytest.mark.parametrize(("classes", "dtype"), [(1 << 15, torch.int16), ((1 << 15) + 1, torch.int32)])
def test_tempens_names_the_last_of_many_classes(classes, dtype):
    method = make("tempens", Facts(classes, 2, torch.arange(1), torch.arange(1), torch.arange(2)), memory_top=1)
    sure = F.one_hot(torch.tensor([classes - 1]), classes).float()
    method.after_step({"index": torch.tensor([1]), "probabilities": sure}, PROGRESS)
    assert method.memory_classes.dtype == dtype and method._remembered(torch.tensor([1])).argmax() == classes - 1


def test_pimodel_gradient_flows_through_both_views_or_one(facts):
    gradients = {}
    for stop in (False, True):
        method, batch = make("pimodel", facts, stop_gradient=stop), make_batch(2)
        views = tuple(view.requires_grad_() for view in batch.u)
        method.loss(batch._replace(u=views), PROGRESS).terms["consistency"].backward()
        gradients[stop] = method.net.head.weight.grad
    assert not torch.equal(gradients[False], gradients[True])
    # the squared error of two passes of one net: stopping one branch halves the gradient when the branches are exchanged
    method, batch = make("pimodel", facts, stop_gradient=True), make_batch(2)
    method.loss(batch._replace(u=batch.u[::-1]), PROGRESS).terms["consistency"].backward()
    torch.testing.assert_close(gradients[True] + method.net.head.weight.grad, gradients[False])


def test_meanteacher_is_consistent_with_the_teacher(facts):
    method, batch = make("meanteacher", facts), make_batch(2)
    with torch.no_grad():
        for p in method.teacher.net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    other = copy.deepcopy(method)
    own = other.net(torch.cat((batch.x, batch.u[0])))[len(batch.x) :].softmax(dim=1)
    target = other.teacher.net(batch.u[1]).softmax(dim=1)
    torch.testing.assert_close(method.loss(batch, PROGRESS).terms["consistency"], F.mse_loss(own, target))


def test_meanteacher_loss_leaves_the_teacher_and_after_step_moves_it(facts):
    method = make("meanteacher", facts)
    before = [p.clone() for p in method.teacher.net.parameters()]
    method.loss(make_batch(2), PROGRESS).total.backward()
    assert all(torch.equal(a, b) for a, b in zip(before, method.teacher.net.parameters(), strict=True))
    with torch.no_grad():
        for p in method.net.parameters():
            p.add_(1.0)
        method.after_step({}, PROGRESS)
    for old, new in zip(before, method.teacher.net.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.5)  # d = 1/2 at the first update
    assert method.eval_net() is method.teacher.net


@pytest.mark.parametrize("joint", [True, False])
def test_meanteacher_also_compares_the_labelled_images(joint, facts):
    """Their mean and that of the unlabelled ones, each image with the same weight."""
    method = make("meanteacher", facts, consistency_on_labeled=True, joint_forward=joint)
    method.net.norm = method.teacher.net.norm = torch.nn.Identity()
    assert method.labeled_views == ("weak", "weak")
    with torch.no_grad():
        method.net.head.weight.mul_(3)  # no longer the teacher's
        batch = make_batch(2)
        more = torch.randn_like(batch.x)
        pairs = [(batch.x, more), batch.u]
        errors = torch.cat([(method.net(a).softmax(1) - method.teacher.net(b).softmax(1)).square().mean(dim=1) for a, b in pairs])
        out = method.loss(batch._replace(x_more=(more,)), PROGRESS)
    assert len(errors) == len(batch.x) + len(batch.u[0])
    torch.testing.assert_close(out.terms["consistency"], errors.mean())
    torch.testing.assert_close(out.terms["supervised"], F.cross_entropy(method.net(batch.x), batch.y))


@pytest.mark.parametrize("on_labeled", [True, False])
def test_meanteacher_with_two_heads(on_labeled, facts):
    """Labels teach the first, the teacher's first the second; the distance of their logits ties them, over all images."""
    method = make("meanteacher", facts, logit_distance=0.25, weight=2, consistency_on_labeled=on_labeled, ce_denominator="batch")
    method.net.norm = method.teacher.net.norm = torch.nn.Identity()
    assert method.weights == {"consistency": "weight", "distance": "logit_distance"}
    batch = make_batch(2)
    batch = batch._replace(x_more=(torch.randn_like(batch.x),) if on_labeled else ())
    out = method.loss(batch, PROGRESS)
    every = torch.cat((batch.x, batch.u[0]))
    features = torch.relu(method.net.conv(every)).mean(dim=(2, 3))
    first, second = method.net.head(features), method.second_head(features)
    target = torch.cat((*batch.x_more, batch.u[1]))
    student = second if on_labeled else second[len(batch.x) :]
    supervised = F.cross_entropy(first[: len(batch.x)], batch.y, reduction="sum") / len(every)
    consistency = (student.softmax(1) - method.teacher.net(target).softmax(1)).square().mean()
    distance = (first - second).square().mean()
    for name, value in (("supervised", supervised), ("consistency", consistency), ("distance", distance)):
        torch.testing.assert_close(out.terms[name], value)
    torch.testing.assert_close(out.total, supervised + 2 * consistency + 0.25 * distance)

    def pulled(term):
        heads = [method.net.head.weight, method.second_head.weight]
        found = torch.autograd.grad(out.terms[term], heads, retain_graph=True, allow_unused=True)
        return [gradient is not None and bool(gradient.any()) for gradient in found]

    assert [pulled(term) for term in ("supervised", "consistency", "distance")] == [[True, False], [False, True], [True, True]]
    assert not any(p.requires_grad for p in method.teacher.parameters())
    assert {*method.teacher.net.state_dict()} == {*method.net.state_dict()}, "the teacher has one head"


def test_two_heads_need_a_net_with_features(facts):
    with pytest.raises(InputError, match="but Linear has no forward_features, forward_head, num_features; follow timm's"):
        ALGORITHMS.create("meanteacher", net=torch.nn.Linear(2, 3), facts=facts, logit_distance=0.01)


def test_two_heads_of_the_papers_net():
    facts = Facts(10, 20, torch.arange(10), torch.arange(10), torch.arange(20))
    with torch.device("meta"):
        method = ALGORITHMS.create(
            "meanteacher", net=NETS.create("shakeshake26", 10, 3, (32, 32)), facts=facts, logit_distance=0.01
        )
    trained = [p.numel() for p in method.parameters() if p.requires_grad]
    assert sum(trained) == 26_197_316


def test_logits_are_compared_as_they_are(facts):
    method, batch = make("pimodel", facts, space="logits"), make_batch(2)
    _, a, b = copy.deepcopy(method).student_logits(batch.x, *batch.u)
    torch.testing.assert_close(method.loss(batch, PROGRESS).terms["consistency"], F.mse_loss(a, b))


def test_labelled_fraction_and_whole_batch_are_the_papers_convention(facts):
    """weight M/N and a cross-entropy over the whole batch: the ratio of the terms, in the convention of Laine & Aila."""
    method, batch = make("pimodel", facts, weight=100, scale_by_labeled_fraction=True, ce_denominator="batch"), make_batch(2)
    terms = method.loss(batch, PROGRESS).terms
    assert terms["weight"].item() == pytest.approx(100 * 4 / ROWS)
    plain = make("pimodel", facts).loss(batch, PROGRESS).terms["supervised"]
    torch.testing.assert_close(terms["supervised"], plain * 4 / 10)


@pytest.mark.parametrize("name", ["pimodel", "tempens", "meanteacher"])
def test_batch_norm_counts_one_pass_of_the_student_per_step(name, facts):
    for joint in (True, False):
        method = make(name, facts, joint_forward=joint)
        batch = make_batch(len(method.views))
        method.loss(batch, PROGRESS)
        assert method.net.norm.num_batches_tracked == 1
        moved_by = method.net.conv(torch.cat((batch.x, *batch.u[: 1 if name == "meanteacher" else 2])) if joint else batch.x)
        torch.testing.assert_close(method.net.norm.running_mean, 0.1 * moved_by.mean(dim=(0, 2, 3)))


def test_weight_follows_the_ramp(facts):
    method, batch = make("meanteacher", facts, weight=8, ramp="linear", ramp_length=0.4), make_batch(2)
    weights = [method.loss(batch, torch.tensor(p)).terms["weight"].item() for p in (0.0, 0.2, 0.4, 1.0)]
    assert weights == pytest.approx([0, 4, 8, 8])


def test_a_method_whose_first_view_is_not_weak_is_refused(net, facts):
    class Strong(AlgorithmBase):
        views = ("strong", "weak")

    with pytest.raises(InputError, match="Strong: the first of `views` must be 'weak'"):
        Strong(net, facts)


@pytest.mark.parametrize("unlabeled", [("strong", "weak"), ("strong",)])
def test_a_first_view_that_an_option_made_strong_is_refused_where_batches_are_made(unlabeled, net, facts):
    class Strong(AlgorithmBase):
        def __init__(self, net, facts):
            super().__init__(net, facts)
            self.views = unlabeled

    method = Strong(net, facts)
    with pytest.raises(InputError, match="Strong: the first of `views` must be 'weak'"):
        method.check_views()
    with pytest.raises(InputError, match="the first of `views` must be 'weak'"):
        make_pipeline(facts, method)


def test_no_labelled_view_is_refused_where_batches_are_made(net, facts):
    method = ALGORITHMS.create("supervised", net=net, facts=facts)
    method.labeled_views = ()
    with pytest.raises(InputError, match="`labeled_views` must not be empty"):
        make_pipeline(facts, method)


def make_pipeline(facts, method):
    images = torch.randint(0, 255, (facts.rows, 5, 5, 2), dtype=torch.uint8)
    views = dict.fromkeys(("weak", "strong"), View([], *channel_statistics(images)))
    sizes = {"batch_labeled": 2, "batch_unlabeled": 2}
    return Pipeline(images, facts, views, unlabeled=method.views, labeled=method.labeled_views, seed=0, **sizes)


@pytest.mark.parametrize("strong", ["true", "false"])
def test_a_run_serves_the_views_that_an_option_chooses(strong, tmp_path, monkeypatch, capsys):
    served = []

    class Watched(ViewsByAnOption):
        __doc__ = ViewsByAnOption.__doc__

        def loss(self, batch, progress):
            served.append((self.views, batch.u))
            return super().loss(batch, progress)

    ALGORITHMS.register("views-by-an-option")(Watched)
    flags = ["--alg", "views-by-an-option", "--set", f"algorithms.views-by-an-option.strong={strong}"]
    quick = ["--net", "smallnet", "--steps", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert run.main([*flags, *quick]) == 0, capsys.readouterr().err
    assert [views for views, _ in served] == [
        ("weak", "strong" if strong == "true" else "weak")
    ] * 3  # a rehearsal, and two steps
    assert all(len(u) == 2 and not torch.equal(*u) for _, u in served)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("meanteacher", {"weight": -1}, "weight = -1"),
        ("meanteacher", {"decay": 2}, "decay = 2"),
        ("meanteacher", {"teacher_bn": "none"}, "teacher_bn = 'none'"),
        ("meanteacher", {"space": "kl", "reduction": "sum"}, "reduction = sum is of the squared error"),
        ("meanteacher", {"logit_distance": -1}, "logit_distance = -1"),
        ("pimodel", {"space": "logit"}, "space = 'logit'"),
        ("pimodel", {"ramp": "stairs"}, "ramp = 'stairs'"),
        ("tempens", {"ramp_length": 1.5}, r"ramp_length = 1\.5"),
        ("tempens", {"alpha": 1}, "alpha = 1"),
        ("tempens", {"memory_dtype": "float16"}, "memory_dtype = 'float16'"),
        ("tempens", {"memory_top": K + 1}, f"memory_top = {K + 1} is out of range: it must be from 0 to {K}, which is how many"),
        (
            "tempens",
            {"memory_top": -1},
            f"memory_top = -1 is out of range: .* to {K}, which is how many classes there are; 0 keeps",
        ),
    ],
)
def test_bad_values_name_the_option(name, options, message, facts):
    with pytest.raises(InputError, match=message):
        make(name, facts, **options)
