"""The conformance check: every registered method passes it, and every mutant fails in the check that is meant for it."""

import pytest

from ssl_zoo.testing import CheckFailed, iter_checks
from ssl_zoo.testing.check import CHECKS
from tests.algorithms.mutants import MUTANTS, RIGHT
from tests.conftest import STEPPED

SWITCHES = [
    ("pimodel", {"stop_gradient": True}),
    ("pimodel", {"space": "logits", "joint_forward": False}),
    ("pimodel", {"ce_denominator": "batch", "scale_by_labeled_fraction": True}),
    ("tempens", {"joint_forward": False, "reduction": "sum"}),
    ("tempens", {"memory_top": 3}),  # of four classes; with fewer, a target is near the prediction, and not equal
    ("meanteacher", {"teacher_bn": "copy", "joint_forward": False}),
    ("meanteacher", {"teacher_bn": "ema", "warmup_average": False, "decay": 0.9}),
    ("meanteacher", {"count_initial": False}),
    ("meanteacher", {"space": "logits", "reduction": "sum"}),
    ("meanteacher", {"space": "kl"}),
    ("meanteacher", {"consistency_on_labeled": True}),
    ("meanteacher", {"logit_distance": 0.01, "consistency_on_labeled": True, "ce_denominator": "batch"}),
    ("fixmatch", {"over": "kept"}),
    ("fixmatch", {"joint_forward": False, "threshold": 0.7}),
]


def each(algorithms):
    """Every check of every one of them, as parameters."""
    return [
        pytest.param(check, id=f"{check.subject.entry.name}-{check}")
        for algorithm in algorithms
        for check in iter_checks(algorithm)
    ]


@pytest.mark.parametrize("check", each([*STEPPED, *RIGHT]))
def test_it_passes(check):
    check()


@pytest.mark.parametrize(("name", "options"), SWITCHES, ids=str)
def test_it_passes_with_other_switches(name, options):
    for check in iter_checks(name, **options):
        if check.name not in {"ranks", "weight_zero_is_supervised"}:  # slow; and not so by definition of ce_denominator
            check()


@pytest.mark.parametrize(("cls", "name", "says"), MUTANTS, ids=[cls.__name__ for cls, *_ in MUTANTS])
def test_a_mutant_fails_in_the_check_that_is_meant_for_it(cls, name, says):
    (check,) = (check for check in iter_checks(cls) if check.name == name)
    with pytest.raises(CheckFailed) as failure:
        check()
    assert str(failure.value).startswith(f"{cls.__name__}, check '{name}': ") and says in str(failure.value)


def test_every_check_has_a_mutant_that_it_finds():
    assert {name for _, name, _ in MUTANTS} == set(CHECKS)
