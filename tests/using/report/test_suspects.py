"""Labels that look wrong: found where a net is sure, and not where it is not."""

import sys

import numpy as np
import pytest

from ssl_zoo.using.report.suspects import suspects
from tests.using.report.test_svg import looked


def clear(n=30):
    """Images of three classes of which a net is sure, and their labels."""
    labels = np.arange(n) % 3
    p = np.full((n, 3), 0.04)
    p[np.arange(n), labels] = 0.92
    return p, labels


@pytest.fixture(params=["cleanlab", "without"])
def kind(request, monkeypatch):
    if request.param == "cleanlab":
        pytest.importorskip("cleanlab", reason='needs pip install "ssl_zoo[cleanlab]"')
        return "confident learning (cleanlab)"
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    return "confident disagreement"


def test_a_wrong_label_is_found_and_no_other(kind):
    p, labels = clear()
    assert suspects(looked(p, labels)).places.tolist() == []
    labels[[7, 20]] = [2, 0]  # which are 1 and 2
    p[20] = [0.01, 0.02, 0.97]
    found = suspects(looked(p, labels))
    assert found.places.tolist() == [20, 7] and found.how == kind and found.strong


def test_an_unsure_disagreement_is_no_wrong_label(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    p, labels = clear()
    p[4], labels[4] = [0.25, 0.6, 0.15], 0  # of images of class 1 it is surer than that
    p[5], labels[5] = [0.4, 0.35, 0.25], 2
    assert suspects(looked(p, labels)).places.tolist() == []
    p[:, :] = [0.34, 0.33, 0.33]  # sure of nothing, of no class more than usual
    assert suspects(looked(p, labels)).places.tolist() == []


def test_labels_that_were_trained_on_are_weak_evidence():
    p, labels = clear()
    labels[7] = 2
    found = suspects(looked(p, labels)._replace(trained_on=np.ones(30, bool)))
    assert found.places.tolist() == [7] and not found.strong and found.how == "confident disagreement"


def test_a_class_without_labels_and_too_many_probabilities_to_keep():
    p, labels = clear()
    labels = np.where(labels == 1, 0, labels)  # none is of class 1, which the net gives
    found = suspects(looked(p, labels)._replace(probabilities=None))
    assert found.places.tolist() == [] and found.how == "confident disagreement"
