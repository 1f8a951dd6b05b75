import copy

import pytest
import torch
from torch import nn

from ssl_zoo import InputError
from ssl_zoo.ema import Teacher, average_, frozen_stats


def constant(value: float) -> nn.Module:
    return nn.Linear(1, 1, bias=False).requires_grad_(False).apply(lambda m: m.weight.fill_(value))


def test_average_of_one_and_two_at_a_half():
    averages = [torch.tensor([1.0]), torch.tensor([[1.0]], dtype=torch.float64)]
    average_(averages, [torch.tensor([2.0]), torch.tensor([[2.0]], dtype=torch.float64)], torch.tensor(0.5))
    assert averages[0].item() == 1.5 and averages[1].item() == 1.5


def test_average_forces_no_wait_for_the_device():
    """On the meta device a value cannot be read back, so a hidden `.item()` raises."""
    average_([torch.zeros(2, device="meta")], [torch.ones(2, device="meta")], torch.tensor(0.5, device="meta"))


def test_teacher_in_closed_form():
    """d_t = min(1 - 1/(t+1), decay): 1/2, 2/3, 3/4, then the decay."""
    student, values = constant(0.0), [1.0, 2.0, 5.0, -3.0, 7.0]
    teacher, expected = Teacher(student, decay=0.7), 0.0
    for t, value in enumerate(values, start=1):
        student.weight.fill_(value)
        teacher.update(student)
        d = min(1 - 1 / (t + 1), 0.7)
        expected = d * expected + (1 - d) * value
        assert teacher.net.weight.item() == pytest.approx(expected, rel=1e-6)
    assert teacher.updates == 5


def test_the_first_updates_are_a_true_average():
    student = constant(0.0)
    teacher = Teacher(student, decay=0.999)
    for value in (3.0, 6.0, 9.0):
        student.weight.fill_(value)
        teacher.update(student)
    assert teacher.net.weight.item() == pytest.approx((0 + 3 + 6 + 9) / 4)


def test_an_average_that_forgets_the_initial_weights():
    """d_t = min(1 - 1/t, decay): 0, 1/2, 2/3, then the decay."""
    student, values = constant(100.0), [3.0, 6.0, 9.0, -3.0]
    teacher, found = Teacher(student, decay=0.7, count_initial=False), []
    for value in values:
        student.weight.fill_(value)
        teacher.update(student)
        found.append(teacher.net.weight.item())
    assert found[0] == 3.0, "the first update takes the student whole, to the bit"
    assert found == pytest.approx([3, (3 + 6) / 2, (3 + 6 + 9) / 3, 0.7 * 6 - 0.3 * 3], rel=1e-6)


def test_without_warmup_the_decay_holds_from_the_first_update():
    student = constant(0.0)
    teacher = Teacher(student, decay=0.9, warmup=False)
    student.weight.fill_(1.0)
    teacher.update(student)
    assert teacher.net.weight.item() == pytest.approx(0.1)


def test_teacher_starts_as_a_copy_and_never_learns(net):
    teacher = Teacher(net, 0.9)
    for mine, theirs in zip(teacher.net.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs) and mine.data_ptr() != theirs.data_ptr()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher(torch.randn(2, 2, 5, 5)).requires_grad


def test_batch_norm_policies(net):
    x = torch.randn(8, 2, 5, 5) + 3
    for policy in ("own", "copy", "ema"):
        student = copy.deepcopy(net)
        teacher = Teacher(student, 0.5, bn=policy)
        before = teacher.net.norm.running_mean.clone()
        teacher(x)
        moved = not torch.equal(teacher.net.norm.running_mean, before)
        assert moved == (policy == "own"), policy
        own = teacher.net.norm.running_mean.clone()
        student(x * 2)
        teacher.update(student)
        theirs = student.norm.running_mean
        wanted = {"own": own, "copy": theirs, "ema": (before + theirs) / 2}[policy]
        torch.testing.assert_close(teacher.net.norm.running_mean, wanted)
        if policy != "own":
            assert teacher.net.norm.num_batches_tracked == student.norm.num_batches_tracked


def test_teachers_pass_leaves_the_student_alone(net):
    teacher, before = Teacher(net, 0.9), copy.deepcopy(net.state_dict())
    teacher(torch.randn(8, 2, 5, 5))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_frozen_stats_normalises_by_the_batch_and_moves_nothing(net):
    x, other = torch.randn(8, 2, 5, 5), copy.deepcopy(net)
    with frozen_stats(net):
        frozen = net(x)
    assert net.norm.track_running_stats and net.norm.num_batches_tracked == 0
    assert torch.equal(net.norm.running_mean, torch.zeros(4))
    torch.testing.assert_close(frozen, other(x))
    with pytest.raises(ZeroDivisionError), frozen_stats(net):
        _ = 1 / 0
    assert net.norm.track_running_stats


def test_bad_options(net):
    with pytest.raises(InputError, match=r"decay = 1\.5"):
        Teacher(net, 1.5)
    with pytest.raises(InputError, match="teacher_bn = 'none'"):
        Teacher(net, 0.5, bn="none")
    with pytest.raises(InputError, match="count_initial = false needs the true average"):
        Teacher(net, 0.5, warmup=False, count_initial=False)


def test_an_average_that_was_copied_or_moved_goes_on_with_its_own_tensors(net):
    teacher = Teacher(net, 0.5, warmup=False)
    teacher.update(net)  # and it knows what to average
    with torch.no_grad():
        net.head.bias.add_(1)
    before = teacher.net.head.bias.clone()
    other = copy.deepcopy(teacher)
    other.update(net)
    assert torch.equal(teacher.net.head.bias, before)
    assert torch.equal(other.net.head.bias, (before + net.head.bias) / 2)
    both = torch.nn.ModuleList([net, teacher]).double()
    teacher.update(both[0])
    assert torch.equal(teacher.net.head.bias, (before.double() + net.head.bias) / 2)
    another = copy.deepcopy(net)
    with torch.no_grad():
        another.head.bias.add_(1)
    mean = (teacher.net.head.bias + another.head.bias) / 2
    teacher.update(another)
    assert torch.equal(teacher.net.head.bias, mean)
