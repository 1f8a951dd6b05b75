"""scikit-learn's own checks of an estimator."""

import functools
import inspect

import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from ssl_zoo import SSLClassifier
from ssl_zoo.estimator import choices

EXPECTED = {  # with the reason
    "check_classifiers_classes": "it has a class -1, which means unlabelled here as in sklearn.semi_supervised; the check leaves "
    "out scikit-learn's own semi-supervised classifiers by their names",
}


@pytest.mark.slow
def test_the_checks_of_scikit_learn_pass(monkeypatch):
    recipe = functools.cache(lambda given: choices_recipe(*given[0], **{key: thawed(value) for key, value in given[1]}))
    choices_recipe = choices.api.recipe

    def thawed(value):
        return list(value) if isinstance(value, tuple) else value

    def kept(*names, **values):  # to settle the same settings anew takes most of such a short fit
        return recipe((names, tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in values.items())))

    monkeypatch.setattr(choices.api, "recipe", kept)
    short = SSLClassifier(steps=30, device="cpu", settings={"threads": 1, "evaluation.every": 1000})
    found = check_estimator(short, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    failed = {f"{check['check_name']}: {check['exception']!r}" for check in found if check["status"] == "failed"}
    assert not failed
    assert {check["check_name"] for check in found if check["status"] == "xfail"} == {*EXPECTED}, "what passes is no exemption"
    assert sum(check["status"] == "passed" for check in found) > 45


def test_tags():
    tags = get_tags(SSLClassifier())
    assert tags.estimator_type == "classifier" and tags.classifier_tags.multi_class and tags.target_tags.required
    assert tags.input_tags.two_d_array and tags.input_tags.three_d_array
    assert not (tags.input_tags.sparse or tags.input_tags.allow_nan or tags.non_deterministic or tags.classifier_tags.poor_score)


def test_every_parameter_is_named_and_documented():
    parameters = inspect.signature(SSLClassifier).parameters
    assert not [name for name, p in parameters.items() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    documented = inspect.cleandoc(SSLClassifier.__doc__)  # as Python has it from 3.13 on
    for name in parameters:
        assert f"\n    {name}: " in documented, name
    assert SSLClassifier().get_params() == {name: p.default for name, p in parameters.items()}
