"""State that methods keep of batches, in closed form; and that what a loss counts is what is stored after it."""

import pytest
import torch

from ssl_zoo.averages import Ring, RunningMean, WindowMean
from ssl_zoo.errors import InputError

BATCHES = [torch.randn(5, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(7)]
START = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)


def test_a_running_mean_in_closed_form():
    """After n batches: m^n start + (1 - m) sum over k of m^(n - k) mean_k."""
    average = RunningMean(START, 0.9)
    for batch in BATCHES:
        average.update(batch)
    n = len(BATCHES)
    wanted = 0.9**n * START + 0.1 * sum(0.9 ** (n - 1 - k) * batch.mean(dim=0) for k, batch in enumerate(BATCHES))
    torch.testing.assert_close(average.value, wanted)


def test_a_window_is_the_mean_of_the_last_means():
    window = WindowMean(START, 3)
    assert torch.equal(window.mean(), START)
    for n, batch in enumerate(BATCHES, start=1):
        window.update(batch)
        torch.testing.assert_close(window.mean(), torch.stack([b.mean(dim=0) for b in BATCHES[max(n - 3, 0) : n]]).mean(dim=0))
        assert window.count.item() == n


def test_a_window_counts_batches_and_not_rows():
    """One row that is 1, then three that are 0: 1/2, not 1/4."""
    window = WindowMean(torch.zeros(()), 2)
    window.update(torch.ones(1))
    window.update(torch.zeros(3))
    assert window.mean().item() == 0.5


@pytest.mark.parametrize("make", [lambda: RunningMean(START, 0.7), lambda: WindowMean(START, 3), lambda: WindowMean(START, 1)])
def test_what_is_counted_is_what_is_stored_and_counting_writes_nothing(make):
    kept = make()
    for batch in BATCHES:
        before = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
        counted = kept.counted(batch)
        assert all(torch.equal(tensor, before[name]) for name, tensor in kept.state_dict().items())
        kept.update(batch)
        torch.testing.assert_close(counted, kept.value if isinstance(kept, RunningMean) else kept.mean())


@pytest.mark.parametrize("make", [lambda: RunningMean(START.float(), 0.7), lambda: WindowMean(START.float(), 3)])
def test_nothing_learns_through_a_mean_and_its_type_stays(make):
    kept = make()
    assert not kept.counted(BATCHES[0].clone().requires_grad_()).requires_grad
    kept.update(BATCHES[0].bfloat16())
    assert kept.counted(BATCHES[0].bfloat16()).dtype == torch.float32
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in kept.buffers())


def test_a_start_is_copied():
    start = torch.zeros(2)
    average, window = RunningMean(start, 0.5), WindowMean(start, 2)
    average.update(torch.ones(1, 2)), start.fill_(7)
    assert average.value.tolist() == [0.5, 0.5] and window.mean().tolist() == [0, 0]


@pytest.mark.parametrize("slots", [1, 4, 6, 20])
def test_a_ring_has_the_last_rows_wherever_it_wraps(slots):
    """Steps of 3 rows, and one of more rows than some of the rings have slots."""
    ring, written = Ring(slots, 2), torch.zeros(0, 2)
    for n in (3, 3, 9, 3, 1):
        rows = torch.arange(2.0 * n).view(n, 2) + 100 * len(written)
        ring.write(rows)
        written = torch.cat((written, rows))
        last = written[-slots:]
        assert sorted(ring.rows[ring.filled() > 0].tolist()) == sorted(last.tolist())
        places = torch.arange(len(written) - len(last), len(written)) % slots
        assert torch.equal(ring.rows[places], last), "a row's place is its number, so two rings stay side by side"
        assert ring.count.item() == len(written)
        assert ring.full().item() == (len(written) >= slots) and ring.filled().sum().item() == min(len(written), slots)


def test_a_ring_is_empty_at_first_and_keeps_its_type():
    ring = Ring(3, 2, 2)
    assert ring.full().item() == 0 and not ring.filled().any() and not ring.rows.any()
    ring.write(torch.ones(1, 2, 2, dtype=torch.float64))
    assert ring.rows.dtype == torch.float32 and ring.filled().tolist() == [1, 0, 0]


def test_all_state_is_in_the_checkpoint():
    for made in (RunningMean(START, 0.5), WindowMean(START, 2), Ring(4, 3)):
        before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
        (made.write if isinstance(made, Ring) else made.update)(BATCHES[0])
        changed = [name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])]
        assert sorted(changed) == sorted({"value", "means", "count", "rows"} & set(before))
        made.load_state_dict(before)
        assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())


def test_they_run_where_nothing_can_be_read_back():
    rows = torch.ones(5, 3, device="meta")
    for made in (RunningMean(START, 0.5), WindowMean(START, 2)):
        made.to("meta")
        made.counted(rows), made.update(rows)
    ring = Ring(4, 3).to("meta")
    ring.write(rows), ring.filled(), ring.full()


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: RunningMean(START, 1.5), "momentum"),
        (lambda: WindowMean(START, 0), "window"),
        (lambda: Ring(0, 2), "slots"),
    ],
)
def test_what_they_refuse(make, option):
    with pytest.raises(InputError, match=option):
        make()
