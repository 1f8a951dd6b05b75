"""The check as a tool: what it reports, what it accepts, how it speaks."""

import unittest

import pytest
import torch

from ssl_zoo import AlgorithmBase, InputError
from ssl_zoo.registry import REGISTRIES
from ssl_zoo.testing import CheckFailed, check_algorithm, iter_checks
from ssl_zoo.testing.check import CHECKS, run_all
from ssl_zoo.testing.draws import drawn, known_on_meta, neutral_draws
from ssl_zoo.testing.subject import make_batch, make_facts
from ssl_zoo.testing.ways import openings
from tests.algorithms.mutants import (
    AverageNeverApplied,
    BooleanMask,
    BranchOnAValue,
    Cancelling,
    DividedByTheKeptRows,
    Fair,
    Gated,
    LabelWithGradient,
    MaskFromTheStrongView,
    Mixing,
    NeighboursCompared,
    Optional,
    OwnDraws,
    PlainMeanTeacher,
    StrongViewIsTheTarget,
    StrongViewIsTheTargetUnsaid,
    ThresholdOnLogits,
    ViewsByAnOption,
)


def only(name, algorithm, **options):
    """One check of a method."""
    (check,) = (check for check in iter_checks(algorithm, **options) if check.name == name)
    return check


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


# Gates, as they are and open


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (MaskFromTheStrongView, "is the mask taken from the strong view?"),
        (LabelWithGradient, "is declared a target, but gradient flows through it"),
        (DividedByTheKeptRows, "is the loss divided by the rows that were kept?"),
        (ThresholdOnLogits, "is a threshold on logits"),
        (StrongViewIsTheTarget, "the weak view is the target, the strong one learns"),
        (StrongViewIsTheTargetUnsaid, "is declared a target, but gradient flows through it"),
    ],
)
def test_a_fixmatch_with_a_fault_is_refused_with_words_that_name_it(broken, says):
    """At its default options: nobody has to open a gate for it."""
    with pytest.raises(CheckFailed) as failure:
        check_algorithm(broken)
    assert says in str(failure.value)


def test_a_gate_is_opened_by_the_check_but_not_where_the_caller_sets_it():
    subject = only("total", Gated).subject
    assert [one.options for one in openings(subject)] == [{}, {"threshold": 0.0}]
    assert [one.options for one in openings(only("total", Gated, threshold=0.9).subject)] == [{"threshold": 0.9}]
    momenta = [one.options for one in openings(only("total", "tempens").subject, momenta=True)]
    assert momenta == [{}]


def test_a_gate_is_half_open_at_its_default():
    for one, low, high in zip(openings(only("guess", "fixmatch").subject), (0.2, 1), (0.8, 1), strict=True):
        method = one.warm()
        share = method.loss(make_batch(method, 9), torch.ones(())).guess.weight.mean().item()
        assert low <= share <= high


def test_a_failure_says_what_was_opened():
    class OnlyOpen(Gated):
        __doc__ = Gated.__doc__

        def mean(self, rows, kept):
            return rows.sum() * (kept.mean() == 1) + super().mean(rows, kept)

    with pytest.raises(CheckFailed, match=r"'pseudo' is .* with every row twice; .* \(with threshold = 0.0\)$"):
        only("mean_over_rows", OnlyOpen)()


# Random draws


def test_a_report_names_the_checks_with_neutral_draws():
    report = check_algorithm(Mixing)
    assert set(report.neutral) >= {"order", "mean_over_rows", "ranks", "weight_zero_is_supervised"} and not report.exempt
    lines = str(report).splitlines()
    assert lines[0] == f"Mixing: {len(CHECKS)} checks passed" and lines[1].startswith("  with neutral draws: ")


DRAWS = {
    "rand": (lambda: torch.rand(2), [0.5, 0.5]),
    "rand_like": (lambda: torch.rand_like(torch.zeros(2)), [0.5, 0.5]),
    "uniform_": (lambda: torch.zeros(2).uniform_(1, 2), [1.5, 1.5]),
    "randn": (lambda: torch.randn(2), [1, 1]),
    "randn_like": (lambda: torch.randn_like(torch.zeros(2)), [1, 1]),
    "normal": (lambda: torch.normal(torch.tensor([0.0, 2.0]), 1.0), [1, 3]),
    "normal of numbers": (lambda: torch.normal(1.0, 2.0, (2,)), [3, 3]),
    "normal_": (lambda: torch.zeros(2).normal_(1, 2), [3, 3]),
    "randperm": (lambda: torch.randperm(3), [0, 1, 2]),
    "randint": (lambda: torch.randint(4, (2,)), [0, 0]),
    "randint from": (lambda: torch.randint(2, 4, (2,)), [2, 2]),
    "randint_like": (lambda: torch.randint_like(torch.zeros(2), 2, 4), [2, 2]),
    "random_": (lambda: torch.zeros(2).random_(4), [0, 0]),
    "bernoulli": (lambda: torch.bernoulli(torch.tensor([0.25, 0.5])), [0.25, 0.5]),
    "bernoulli_": (lambda: torch.zeros(2).bernoulli_(0.25), [0.25, 0.25]),
    "dropout": (lambda: torch.nn.functional.dropout(torch.ones(2), 0.5), [1, 1]),
    "exponential_": (lambda: torch.zeros(2).exponential_(4), [0.25, 0.25]),
    "geometric_": (lambda: torch.zeros(2).geometric_(0.5), [2, 2]),
    "log_normal_": (lambda: torch.zeros(2).log_normal_(0, 1), [1, 1]),
    "multinomial": (lambda: torch.multinomial(torch.ones(3), 2), [0, 1]),
    "multinomial again": (lambda: torch.multinomial(torch.ones(3), 2, replacement=True), [0, 0]),
    "poisson": (lambda: torch.poisson(torch.tensor([2.0, 3.0])), [2, 3]),
    "binomial": (lambda: torch.binomial(torch.tensor([2.0]), torch.tensor([0.5])), [1]),
    "gamma": (lambda: torch._standard_gamma(torch.tensor([2.0, 3.0])), [2, 3]),
    "beta": (lambda: torch.distributions.Beta(torch.tensor([3.0]), torch.tensor([1.0])).sample(), [0.75]),
    "in a gradient": (lambda: torch.func.grad(lambda d: (d * torch.randn_like(d)).sum())(torch.zeros(2)), [1, 1]),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_a_neutral_draw_is_a_mean_and_the_same_for_every_row(draw):
    make, neutral = DRAWS[draw]
    with neutral_draws() as replaced, drawn():
        found = make()
    assert found.tolist() == neutral and len(replaced) == 1


def test_draws_are_neutral_only_where_it_is_asked_and_not_from_a_generator_of_ones_own():
    with drawn():
        assert torch.rand(9).unique().numel() > 1
    with neutral_draws() as replaced:
        assert torch.rand(9).unique().numel() > 1
        with drawn():
            assert torch.rand(9, generator=torch.Generator()).unique().numel() > 1
    assert not replaced


def test_a_dirichlet_is_known_on_meta_within_the_check_only():
    shape = torch.ones(3, 2, device="meta")
    with known_on_meta():
        assert torch._sample_dirichlet(shape).shape == (3, 2) and torch.rand(9).unique().numel() > 1
    with pytest.raises(NotImplementedError):
        torch._sample_dirichlet(shape)


# What a check reads of an instance, and what it makes of batches


def test_a_method_may_be_exempt_by_an_option():
    class Sometimes(NeighboursCompared):
        __doc__ = NeighboursCompared.__doc__

        def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
            super().__init__(net, facts, weight=weight, decay=decay)
            self.exempt = {"order": "compares neighbours, eq. 3"} if weight > 5 else {}

    assert only("order", Sometimes).exempt == "compares neighbours, eq. 3" and only("order", Sometimes, weight=1.0).exempt is None


def test_a_weight_that_is_zero_by_default_is_one_in_the_checks():
    assert only("total", Optional).subject.options == {"entropy": 1.0}
    assert set(only("total", Optional).subject.weights) == {"consistency", "entropy"}
    assert only("total", Optional, entropy=0.5).subject.options == {"entropy": 0.5}


def test_batches_are_as_in_life():
    """Some rows of each stream twice, with different images; rows without a place in the stream; labelled rows in both."""
    facts = make_facts()
    method = only("total", "fixmatch").subject.make()
    batch = make_batch(method, 9)
    for index, images in ((batch.x_index, batch.x), (batch.u_index, batch.u[0])):
        again = len(index) - len(index.unique())
        assert again > 1 and torch.equal(index[:again], index[-again:]) and not torch.equal(images[:again], images[-again:])
    assert len(facts.unlabeled) < facts.rows and 0 < torch.isin(facts.labeled, facts.unlabeled).sum() < len(facts.labeled)
    assert len(make_batch(method, 9, distinct=True).x_index.unique()) == len(batch.x_index)


# Where a fault is


def test_an_error_inside_torch_says_the_methods_own_line():
    class Broken(PlainMeanTeacher):
        def consistency(self, own, other):
            return torch.nn.functional.cosine_similarity(own, other[:, :2]).mean()

    with pytest.raises(CheckFailed, match=r"the method raised RuntimeError: [^/]*\([^ ]*test_testing.py, line \d+\)$"):
        only("terms", Broken)()


@pytest.mark.parametrize(("name", "broken"), [("no_synchronisation", BooleanMask), ("graph", BranchOnAValue)])
def test_a_wait_and_a_branch_say_the_methods_own_line(name, broken):
    with pytest.raises(CheckFailed, match=r"mutants.py, line \d+\)$"):
        only(name, broken)()


def test_a_method_whose_state_is_written_in_the_old_way_is_refused_when_it_is_made():
    with pytest.raises(InputError, match=r"^Old\.after_step takes .*write `def after_step\(self, seen, progress\)`$"):
        type("Old", (AlgorithmBase,), {"after_step": lambda self, seen: None})


def test_an_option_that_nothing_reads_is_reported_after_what_it_is_a_sign_of():
    def fake(name):
        def check():
            raise CheckFailed(f"m, check '{name}': wrong")

        check.name, check.exempt = name, None
        return check

    with pytest.raises(CheckFailed) as failed:
        run_all([fake(name) for name in ("options_read", "guess", "ranks")], last="seed")
    lines = str(failed.value).splitlines()
    assert lines[0] == "3 of 3 checks failed" and [line.split("'")[1] for line in lines[2:]] == ["guess", "ranks", "options_read"]
