"""Labels of any type, and which of them are unknown."""

import re

import numpy as np
import pytest

from ssl_zoo import InputError
from ssl_zoo.estimator.labels import read_labels

NAN = float("nan")


class NAType:
    """Named as pandas' NA, and as unwilling to be compared."""

    def __eq__(self, other):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    ("y", "known", "values"),
    [
        ([0, -1, 2], [0, 2], [0, 2]),
        ([-2, -1, 3], [0, 2], [-2, 3]),
        ([0.0, -1.0, NAN, 2.0], [0, 3], [0.0, 2.0]),
        (np.array([1, 0], np.uint8), [0, 1], [1, 0]),
        (np.array([True, False]), [0, 1], [True, False]),
        (np.array(["b", "a"]), [0, 1], ["b", "a"]),
        (np.array(["b", None, "a", NAN, -1, np.nan, np.int64(-1), NAType()], object), [0, 2], ["b", "a"]),
        (np.array([None, True, False], object), [1, 2], [True, False]),
        (np.array([3, None, -1, np.int32(4)], object), [0, 3], [3, 4]),
        ([-1, -1], [], []),
        ([None, None], [], []),
    ],
)
def test_what_is_known(y, known, values):
    found = read_labels(y)
    assert np.flatnonzero(found.known).tolist() == known and found.values.tolist() == values
    assert found.known.dtype == bool and len(found.known) == len(y)


def test_numbers_and_truth_values_of_an_object_array_get_a_type_and_texts_stay():
    assert read_labels(np.array([3, None], object)).values.dtype == np.int64
    assert read_labels(np.array([None, True, False], object)).values.dtype == bool
    assert read_labels(np.array(["a", None], object)).values.dtype == object


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "requires y to be passed"),
        (np.array(["cat", -1]), "the text '-1' among other texts; give None in an object array"),
        (np.array(["cat", 3], object), "several kinds, such as a number and a text"),
        (np.array([True, 3], object), "several kinds, such as a number and a truth value"),
        (np.array([(1,), None, "a"], object), "a label of the type tuple"),
        ([0.5, 1.5, NAN], "Unknown label type: continuous"),
        ([0.0, np.inf], "infinity"),
        ([[0, 1], [1, 0]], "1d array"),
    ],
)
def test_what_is_no_label(y, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read_labels(y)


def test_a_column_is_taken_with_a_warning():
    from sklearn.exceptions import DataConversionWarning

    with pytest.warns(DataConversionWarning):
        assert read_labels([[1], [-1]]).values.tolist() == [1]


def test_ours_are_errors_of_input():
    with pytest.raises(InputError):
        read_labels(None)
