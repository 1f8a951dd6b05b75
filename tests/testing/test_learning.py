"""What a method learns and what it believes, as the check of methods sees it."""

import pytest
import torch

from ssl_zoo.losses import row_cross_entropy
from ssl_zoo.targets import gate, probabilities
from ssl_zoo.testing import CheckFailed, check_algorithm
from tests.algorithms.mutants import Banked, Gated, GateInverted, NothingIsEverKept, ViewsByAnOption
from tests.test_testing import only


def test_a_loss_that_is_nan_is_refused_once_and_for_that():
    """Not for a seed, nor for labels that nobody read."""
    with pytest.raises(CheckFailed) as failure:
        check_algorithm(NothingIsEverKept)
    assert str(failure.value).startswith("NothingIsEverKept, check 'seed': net.first.weight is not finite after some steps")


def test_what_a_teacher_says_of_a_weak_view_need_not_be_a_guess():
    assert only("guess", ViewsByAnOption).subject.make().target_views() == (0,)
    only("guess", ViewsByAnOption)()

    class ToldByItself(ViewsByAnOption):
        __doc__ = ViewsByAnOption.__doc__

        def predict(self, batch):
            labeled, weak, strong = self.student_logits(batch.x, *batch.u)
            return labeled, strong.softmax(dim=1), weak.detach().softmax(dim=1)

    with pytest.raises(CheckFailed, match=r"declare what the method believes, .* say so: exempt = {\"guess\": "):
        only("guess", ToldByItself)()


def test_a_guess_of_what_is_near_and_a_loss_that_runs_in_float32_alone_are_no_fault():
    class Single(Gated):
        __doc__ = Gated.__doc__

        def rows(self, weak, strong, target):
            if strong.dtype == torch.float64:
                raise TypeError("float32 only")
            return super().rows(weak, strong, target)

    only("learns_guess", Banked)()
    only("learns_guess", Single)()


def test_a_head_of_its_own_may_learn():
    """What the net's own head says of the guess is then not asked."""

    class Apart(Banked):
        __doc__ = Banked.__doc__

        def __init__(self, net, facts, *, weight: float = 1.0, momentum: float = 0.7):
            super().__init__(net, facts, weight=weight, momentum=momentum)
            self.head = torch.nn.Linear(net.num_features, facts.classes)

        def loss(self, batch, progress):
            out = super().loss(batch, progress)
            _, (_, _, strong) = self.student_outputs(batch.x, *batch.u)
            near = torch.nn.functional.cross_entropy(-self.head(strong), out.guess.target)
            terms = {**out.terms, "near": near}
            return out._replace(total=terms["supervised"] + self.weight * near, terms=terms)

    only("learns_guess", Apart)()


def test_an_inverted_gate_is_found_where_none_is_declared():
    class Inverted(GateInverted):
        __doc__ = GateInverted.__doc__
        gates = {}

    with pytest.raises(CheckFailed, match="is the gate inverted"):
        only("learns_guess", Inverted)()


def test_a_gate_at_the_mean_of_the_batch_lets_some_sure_rows_pass():
    class AboveTheMean(Gated):
        __doc__ = Gated.__doc__

        def mask(self, weak, strong):
            confidence = probabilities(weak).amax(dim=1)
            return gate(confidence, confidence.mean(), strict=True)

    only("learns_guess", AboveTheMean)()


def test_a_guess_that_is_mostly_of_what_is_near_is_no_argmin():
    class Mostly(Banked):
        __doc__ = Banked.__doc__

        def loss(self, batch, progress):
            out = super().loss(batch, progress)
            (_, weak, strong), _ = self.student_outputs(batch.x, *batch.u)
            target = 0.9 * out.guess.target + 0.1 * probabilities(weak)
            terms = {**out.terms, "near": row_cross_entropy(strong, target).mean()}
            total = terms["supervised"] + self.weight * terms["near"]
            return out._replace(total=total, terms=terms, guess=out.guess._replace(target=target))

    only("learns_guess", Mostly)()
