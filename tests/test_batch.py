import torch

from ssl_zoo.batch import merge_repeats


def test_repeated_rows_get_the_mean_of_their_values():
    merged = merge_repeats(torch.tensor([7, 3, 7]), torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 4.0]]))
    assert merged.tolist() == [[2.0, 2.0], [5.0, 5.0], [2.0, 2.0]]


def test_values_of_any_rank_and_without_repeats_bit_for_bit():
    for shape in ((5,), (5, 2), (5, 2, 3)):
        value = torch.randn(shape)
        assert torch.equal(merge_repeats(torch.tensor([4, 0, 9, 2, 1]), value), value)


def test_the_order_of_the_batch_does_not_matter():
    index, value = torch.tensor([1, 2, 1, 1]), torch.randn(4, 3)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(merge_repeats(index[order], value[order]), merge_repeats(index, value)[order])


def test_a_nan_stays_in_its_row():
    merged = merge_repeats(torch.tensor([0, 1, 0]), torch.tensor([1.0, float("nan"), 3.0]))
    assert merged[[0, 2]].tolist() == [2.0, 2.0] and merged[1].isnan()
