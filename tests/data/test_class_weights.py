import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from ssl_zoo.data.class_weights import class_weights
from ssl_zoo.errors import InputError

LABELS = np.repeat([0, 1, 2], [30, 3, 1])


def test_none_is_none():
    assert class_weights("none", LABELS, 3) is None


def test_balanced_by_hand_and_as_scikit_learn_has_it():
    assert class_weights("balanced", np.array([0, 1, 0, 0]), 2) == pytest.approx([2 / 3, 2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    found = class_weights("balanced", LABELS, 3)
    assert found == pytest.approx(wanted) and found.dtype == np.float32
    assert found[LABELS].mean() == pytest.approx(1), "so a learning rate and a consistency weight mean what they did"


def test_effective_numbers_by_hand():
    """n_k = 1 and 2 at beta 0.5: 1 / 1 and 1 / 1.5 images, so 1 and 2/3, over their mean of 5/6."""
    assert class_weights("effective", np.array([0, 1, 1]), 2, 0.5) == pytest.approx([1.2, 0.8])


def test_effective_between_its_limits():
    assert class_weights("effective", LABELS, 3, 0.0) == pytest.approx([1, 1, 1])
    balanced = class_weights("balanced", LABELS, 3)
    assert class_weights("effective", LABELS, 3, 0.9999999) == pytest.approx(balanced / balanced.mean(), rel=1e-4)
    found = class_weights("effective", LABELS, 3)
    assert found.mean() == pytest.approx(1) and found[0] < found[1] < found[2]


@pytest.mark.parametrize("kind", ["balanced", "effective"])
def test_equal_classes_weigh_one_and_a_class_without_images_nothing(kind):
    assert class_weights(kind, np.arange(40) % 4, 4).tolist() == [1, 1, 1, 1]
    assert class_weights(kind, np.array([0, 0, 2, 2]), 3).tolist() == [1, 0, 1]


def test_bad_input():
    with pytest.raises(InputError, match="class_weights = 'inverse' is unknown: it must be one of none, balanced, effective"):
        class_weights("inverse", LABELS, 3)
    with pytest.raises(InputError, match=r"class_weights_beta = 1\.0 is out of range"):
        class_weights("effective", LABELS, 3, 1.0)
