"""The check as a tool: what it reports, what it accepts, how it speaks."""

import unittest

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.registry import REGISTRIES
from ssl_zoo.testing import CheckFailed, check_algorithm, iter_checks
from ssl_zoo.testing.check import CHECKS
from tests.algorithms.mutants import (
    AverageNeverApplied,
    BranchOnAValue,
    Cancelling,
    Fair,
    NeighboursCompared,
    OwnDraws,
    PlainMeanTeacher,
    ViewsByAnOption,
)


class Exempt(NeighboursCompared):
    __doc__ = NeighboursCompared.__doc__
    exempt = {"order": "compares neighbours, eq. 3", "ranks": "compares neighbours, eq. 3"}


def test_a_report_names_what_passed_and_what_is_exempt_and_why():
    report = check_algorithm(Exempt)
    assert set(report.passed) | set(report.exempt) == set(CHECKS) and report.exempt == Exempt.exempt
    assert str(report).splitlines() == [
        f"Exempt: {len(CHECKS) - 2} checks passed",
        "  exempt from order: compares neighbours, eq. 3",
        "  exempt from ranks: compares neighbours, eq. 3",
    ]


def test_an_exempt_check_is_a_skipped_test_with_the_reason():
    (order,) = (check for check in iter_checks(Exempt) if check.name == "order")
    with pytest.raises(unittest.SkipTest, match=r"Exempt is exempt from 'order': compares neighbours, eq. 3"):
        order()


def test_all_failures_come_in_one_error():
    class Twice(AverageNeverApplied, BranchOnAValue):
        exempt = {"ranks": "to be quick"}

    with pytest.raises(CheckFailed) as failure:
        check_algorithm(Twice)
    text = str(failure.value)
    assert "Twice, check 'teacher': " in text and "Twice, check 'graph': " in text and f"of {len(CHECKS)} checks failed" in text


def test_checks_have_names_and_say_what_they_ask():
    checks = list(iter_checks("mean-teacher"))
    assert [str(check) for check in checks] == list(CHECKS) and all(check.summary.endswith(".") for check in checks)
    assert checks[0].subject.entry.name == "meanteacher"


def test_options_of_the_caller_open_a_gate():
    class Gated(PlainMeanTeacher):
        """A gate that is closed on a fresh net.

        Args:
            weight: Of the consistency term.
            decay: Of the average.
            threshold: Least confidence of a target.
        """

        def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, threshold: float = 1.1):
            super().__init__(net, facts, weight=weight, decay=decay)
            self.threshold = threshold

        def consistency(self, own, other):
            sure = (other.amax(dim=1) >= self.threshold).float()
            return ((own - other).square().mean(dim=1) * sure).mean()

    def gradients(**options):
        (check,) = (check for check in iter_checks(Gated, **options) if check.name == "term_gradients")
        check()

    with pytest.raises(CheckFailed, match=r"or open it: check_algorithm\(..., threshold=0\)"):
        gradients()
    gradients(threshold=0.0)


@pytest.mark.parametrize("name", ["terms", "total", "term_gradients", "order", "mean_over_rows", "bf16"])
def test_parts_that_cancel_are_no_fault(name):
    """Up to rounding, which is that of the parts and not of what is left of them."""
    (check,) = (check for check in iter_checks(Cancelling) if check.name == name)
    check()


@pytest.mark.parametrize("name", ["order", "mean_over_rows"])
def test_a_fault_beside_a_negative_term_is_found(name):
    class Unfair(Fair):
        def consistency(self, own, other):
            return (own - other.roll(1, dims=0)).square().sum()

    (check,) = (check for check in iter_checks(Unfair) if check.name == name)
    with pytest.raises(CheckFailed, match="'consistency' is"):
        check()


def test_views_may_be_those_of_an_option():
    for strong, views in ((True, ("weak", "strong")), (False, ("weak", "weak"))):
        checks = list(iter_checks(ViewsByAnOption, strong=strong))
        assert checks[0].subject.make().views == views
        for check in checks:
            if check.name != "ranks":  # slow
                check()


def test_an_error_of_the_method_itself_says_where():
    class Broken(PlainMeanTeacher):
        def consistency(self, own, other):
            return own @ other

    (check,) = (check for check in iter_checks(Broken) if check.name == "terms")
    with pytest.raises(CheckFailed, match=r"Broken, check 'terms': the method raised RuntimeError: .*test_testing.py, line \d+"):
        check()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("meenteacher", "did you mean 'meanteacher'"),
        (dict, "dict is not a subclass of ssl_zoo.AlgorithmBase"),
        (type("Typo", (PlainMeanTeacher,), {"exempt": {"oder": "x"}}), "names a check 'oder'; did you mean 'order'"),
        (type("Silent", (PlainMeanTeacher,), {"exempt": {"order": " "}}), "gives no reason for 'order'"),
    ],
    ids=str,
)
def test_bad_input_is_named(what, message):
    with pytest.raises(InputError, match=message):
        list(iter_checks(what))


def test_nothing_is_left_behind():
    """The registries, torch's random state and default type are as before; the default type does not matter."""
    before, state = [registry.entries() for registry in REGISTRIES], torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        check_algorithm("meanteacher")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert [registry.entries() for registry in REGISTRIES] == before and torch.equal(torch.get_rng_state(), state)


def test_two_ranks_meet_in_a_folder_with_a_space(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a b"))
    (ranks,) = (check for check in iter_checks("supervised") if check.name == "ranks")
    ranks()


def test_a_method_that_draws_for_itself_fails_once_for_that_reason():
    with pytest.raises(CheckFailed, match=r"^OwnDraws, check 'seed': .* differs between two runs of one seed"):
        check_algorithm(OwnDraws)


def test_a_misspelt_option_of_the_caller_is_named():
    with pytest.raises(InputError, match="meanteacher has no option 'wieght'; did you mean 'weight'"):
        check_algorithm("meanteacher", wieght=3)
