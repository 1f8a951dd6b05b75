"""What a method learns and what it believes, as the check of methods sees it."""

import pytest
import torch

from ssl_zoo.testing import CheckFailed, check_algorithm
from tests.algorithms.mutants import Banked, Gated, NothingIsEverKept, ViewsByAnOption
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
