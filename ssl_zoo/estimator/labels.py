"""Labels of any type, some of which are unknown: -1, None or NaN."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from ssl_zoo.errors import InputError

UNKNOWN = -1  # as in sklearn.semi_supervised


class Labels(NamedTuple):
    """The labels that are known."""

    known: np.ndarray  # (N,) bool, of which rows
    values: np.ndarray  # their labels, in the order of the rows


def read_labels(y: Any) -> Labels:
    """Return which rows are labelled, and how.

    Args:
        y: (N,) numbers, truth values or texts. The number -1, None and NaN, also that of pandas, mean unknown.

    Raises:
        ValueError: They are continuous, infinite, of several kinds or not of one axis.
    """
    if y is None:
        raise InputError("SSLClassifier requires y to be passed, but the target y is None; give -1 where a label is unknown")
    array = column_or_1d(y, warn=True)
    known = ~_unknown(array)
    values = array[known]
    if values.dtype.kind == "O":
        values = _of_one_kind(values)
    if values.dtype.kind == "f":
        assert_all_finite(values, input_name="y")
    if values.dtype.kind in "UO" and (values == str(UNKNOWN)).any():  # what numpy makes of ["cat", -1]
        raise InputError(f"y has the text '{UNKNOWN}' among other texts; give None in an object array for a row without a label")
    if len(values):
        check_classification_targets(values)
    return Labels(known, values)


def _unknown(array: np.ndarray) -> np.ndarray:
    """(N,) bool."""
    if array.dtype.kind == "O":
        return np.fromiter(map(_is_unknown, array), bool, len(array))
    if array.dtype.kind == "f":
        return np.isnan(array) | (array == UNKNOWN)
    return array == UNKNOWN if array.dtype.kind == "i" else np.zeros(len(array), bool)


def _is_unknown(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which compare with nothing
        return True
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and (value != value or value == UNKNOWN)


def _of_one_kind(values: np.ndarray) -> np.ndarray:
    """Labels of an object array as numbers or truth values where they are, or as they are where they are texts."""
    kinds = {"a text" if isinstance(v, str) else "a truth value" if isinstance(v, bool | np.bool_) else _kind(v) for v in values}
    if len(kinds) > 1:
        raise InputError(f"y has labels of several kinds, such as {' and '.join(sorted(kinds))}; give all of one kind")
    return values if kinds == {"a text"} else np.asarray(values.tolist())


def _kind(value: Any) -> str:
    if isinstance(value, int | float | np.number):
        return "a number"
    raise InputError(f"y has a label of the type {type(value).__name__}; Unknown label type: give texts or numbers")
