"""What holds for every registered method."""

import copy

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from ssl_zoo import ALGORITHMS, InputError
from tests.conftest import K, TinyNet, make_batch

PROGRESS = torch.tensor(0.5)
METHODS = ALGORITHMS.names()
WITH_TEACHER = ["meanteacher"]


def make(name, facts, **options):
    torch.manual_seed(0)
    return ALGORITHMS.create(name, net=TinyNet(), facts=facts, **options)


def train_a_little(method, steps=2):
    """A few plain updates, so that memories are filled and views no longer agree by chance."""
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1)
    for step in range(steps):
        out = method.loss(make_batch(len(method.views), seed=step), PROGRESS)
        optimizer.zero_grad()
        out.total.backward()
        optimizer.step()
        with torch.no_grad():
            method.after_step(out.seen)


@pytest.mark.parametrize("name", METHODS)
def test_each_term_alone_moves_the_net_and_never_a_teacher(name, facts):
    method = make(name, facts)
    train_a_little(method, steps=4)
    out = method.loss(make_batch(len(method.views), seed=9), PROGRESS)
    learning = {term: value for term, value in out.terms.items() if value.requires_grad}
    assert len(learning) == (2 if method.views else 1)
    for term, value in learning.items():
        method.zero_grad()
        value.backward(retain_graph=True)
        for part in (method.net.conv.weight, method.net.head.weight):
            assert part.grad.abs().max() > 1e-8, f"{name}: the term '{term}' gives no gradient"
        taught = [p for key, p in method.named_parameters() if not key.startswith("net.")]
        assert all(p.grad is None and not p.requires_grad for p in taught)
    assert bool(taught) == (name in WITH_TEACHER)


@pytest.mark.parametrize("name", METHODS)
def test_total_is_the_weighted_sum_of_the_terms(name, facts):
    method = make(name, facts)
    train_a_little(method)
    total, terms, _ = method.loss(make_batch(len(method.views)), PROGRESS)
    wanted = terms["supervised"] + (terms["weight"] * terms["consistency"] if method.views else 0)
    torch.testing.assert_close(total, wanted)
    assert all(value.ndim == 0 and value.isfinite() and value.dtype == torch.float32 for value in (total, *terms.values()))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "supervised"])
def test_weight_zero_is_exactly_supervised(name, facts):
    """On a net without batch norm, whose batch statistics the unlabelled images would move."""
    supervised, method = (make(n, facts, **o) for n, o in (("supervised", {}), (name, {"weight": 0})))
    for one in (supervised, method):
        torch.manual_seed(0)
        one.net = TinyNet(norm=False)
    batch = make_batch(len(method.views))
    for one in (supervised, method):
        one.loss(batch, PROGRESS).total.backward()
    for mine, theirs in zip(method.net.parameters(), supervised.net.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("name", METHODS)
def test_loss_writes_nothing_but_batch_norm_and_leaves_the_batch(name, facts):
    method = make(name, facts)
    train_a_little(method)
    batch = make_batch(len(method.views))
    before, given = copy.deepcopy(method.state_dict()), copy.deepcopy(batch)
    method.loss(batch, PROGRESS)
    changed = [key for key, value in method.state_dict().items() if not torch.equal(value, before[key])]
    assert changed and all(".norm." in key for key in changed)
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(given), tree_leaves(batch), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_a_state_dict_round_trip_changes_nothing(name, facts):
    method = make(name, facts)
    train_a_little(method)
    other = make(name, facts)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    for one in (method, other):
        train_a_little(one)
    assert all(torch.equal(a, b) for a, b in zip(method.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_batch_does_not_matter(name, facts):
    method = make(name, facts)
    train_a_little(method)
    batch = make_batch(len(method.views))
    one, two = torch.randperm(len(batch.x)), torch.randperm(len(batch.u_index))
    turned = batch._replace(
        x=batch.x[one],
        y=batch.y[one],
        x_index=batch.x_index[one],
        u=tuple(view[two] for view in batch.u),
        u_index=batch.u_index[two],
    )
    torch.testing.assert_close(method.loss(batch, PROGRESS).total, method.loss(turned, PROGRESS).total)


@pytest.mark.parametrize("name", METHODS)
def test_no_wait_for_the_device(name, facts):
    """On the meta device a value cannot be read back, so a hidden `.item()` raises."""
    method = make(name, facts).to("meta")
    out = method.loss(tree_map(lambda t: t.to("meta"), make_batch(len(method.views))), PROGRESS.to("meta"))
    out.total.backward()
    with torch.no_grad():
        method.after_step(out.seen)


@pytest.mark.parametrize("name", METHODS)
def test_loss_is_one_graph(name, facts):
    method = make(name, facts)
    compiled = torch.compile(method.loss, fullgraph=True, backend="eager")
    batch = make_batch(len(method.views))
    torch.testing.assert_close(compiled(batch, PROGRESS).total, copy.deepcopy(method).loss(batch, PROGRESS).total)


@pytest.mark.parametrize("name", METHODS)
def test_bf16_leaves_losses_in_fp32(name, facts):
    method = make(name, facts)
    with torch.autocast("cpu", torch.bfloat16):
        out = method.loss(make_batch(len(method.views)), PROGRESS)
    assert all(value.dtype == torch.float32 for value in (out.total, *out.terms.values()))


@pytest.mark.parametrize("name", METHODS)
def test_options_are_keyword_only_documented_and_have_defaults(name):
    entry = ALGORITHMS.resolve(name)
    for option, parameter in entry.options.items():
        assert parameter.default is not parameter.empty
        assert f"    {option}: " in entry.target.__doc__
    assert entry.summary


CHANGES = {
    "weight": 3.0,
    "ramp": "linear",
    "ramp_length": 0.9,
    "stop_gradient": True,
    "decay": 0.3,
    "warmup_average": False,
    "teacher_bn": "copy",
    "space": "logits",
    "reduction": "sum",
    "ce_denominator": "batch",
    "scale_by_labeled_fraction": True,
    "joint_forward": False,
    "alpha": 0.2,
}


@pytest.mark.parametrize(("name", "option"), [(n, o) for n in METHODS for o in ALGORITHMS.resolve(n).options])
def test_every_option_is_read(name, option, facts):
    """Changing it changes the state after some steps; `ramp` acts only within its length."""
    within = {"ramp_length": 0.8} if option == "ramp" else {}
    plain, changed = make(name, facts, **within), make(name, facts, **within | {option: CHANGES[option]})
    for one in (plain, changed):
        train_a_little(one, steps=4)
    assert any(not torch.equal(a, b) for a, b in zip(plain.state_dict().values(), changed.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("meanteacher", {"weight": -1}, "weight = -1"),
        ("meanteacher", {"decay": 2}, "decay = 2"),
        ("meanteacher", {"teacher_bn": "none"}, "teacher_bn = 'none'"),
        ("pimodel", {"space": "logit"}, "space = 'logit'"),
        ("pimodel", {"ramp": "stairs"}, "ramp = 'stairs'"),
        ("tempens", {"ramp_length": 1.5}, r"ramp_length = 1\.5"),
        ("tempens", {"alpha": 1}, "alpha = 1"),
    ],
)
def test_bad_values_name_the_option(name, options, message, facts):
    with pytest.raises(InputError, match=message):
        make(name, facts, **options)


@pytest.mark.parametrize("name", METHODS)
def test_eval_net_gives_logits(name, facts):
    net = make(name, facts).eval_net().eval()
    assert net(torch.randn(5, 2, 5, 5)).shape == (5, K)


@pytest.mark.parametrize("name", METHODS)
def test_the_first_unlabelled_view_is_weak(name):
    assert ALGORITHMS.resolve(name).target.views[:1] in ((), ("weak",))
