"""`check_net`: every registered net passes, and every mutant fails in the check that is meant for it."""

import unittest

import pytest
import torch

from ssl_zoo import NETS, InputError
from ssl_zoo.testing import CheckFailed, check_net, iter_net_checks
from ssl_zoo.testing.nets import NET_CHECKS
from tests.nets.test_all_nets import CASES
from tests.testing.net_mutants import MUTANTS, RIGHT, Choosy, PlainNet

# One cheap member of each family. Of torchvision's: one with batch norm, one with none and a convolution for its last layer.
# vit_b_32 and densenet121 passed as well, in two minutes.
OURS = [*CASES, ("torchvision:squeezenet1_1", {})]


def one(net, name, **options):
    (check,) = (check for check in iter_net_checks(net, **options) if check.name == name)
    return check


def test_every_registered_net_is_checked_here():
    assert {NETS.resolve(name).target for name in NETS.names()} == {NETS.resolve(name).target for name, _ in OURS}


@pytest.mark.parametrize(("name", "options"), OURS, ids=str)
def test_a_registered_net_passes(name, options):
    assert str(check_net(name, **options)).endswith(f": {len(NET_CHECKS)} checks passed")


@pytest.mark.parametrize("net", RIGHT, ids=lambda net: net.__name__)
def test_a_right_one_passes(net):
    report = check_net(net)
    assert str(report) == f"{net.__name__}: {len(NET_CHECKS)} checks passed"


@pytest.mark.parametrize(("net", "name", "says"), MUTANTS, ids=[f"{net.__name__}-{name}" for net, name, _ in MUTANTS])
def test_a_mutant_fails_in_the_check_that_is_meant_for_it(net, name, says):
    with pytest.raises(CheckFailed) as failure:
        one(net, name)()
    assert str(failure.value).startswith(f"{net.__name__}, check '{name}': ") and says in str(failure.value)


def test_every_check_has_a_mutant_that_it_finds():
    assert {name for _, name, _ in MUTANTS} == {check.__name__ for check in NET_CHECKS}


def test_images_that_it_refuses_are_left_out():
    one(Choosy, "logits")()
    with pytest.raises(CheckFailed, match=r"takes none of the image shapes .*give 20x20 or more.*shapes=\[\(3, 96, 96\)\]"):
        check_net(Choosy, shapes=[(3, 8, 8)])


def test_after_the_first_check_has_failed_the_others_are_not_run():
    class Broken(PlainNet):
        """Raises."""

        def __init__(self, num_classes, in_chans, image_size):
            raise RuntimeError("broken")

    with pytest.raises(
        CheckFailed, match=r"^Broken, check 'builds': for images of shape \(3, 16, 16\) .*RuntimeError: broken"
    ) as it:
        check_net(Broken)
    assert "\n" not in str(it.value)


def test_all_failures_come_in_one_error_and_an_exemption_gives_its_reason():
    class Twice(PlainNet):
        """Two faults."""

        exempt = {"options": "as in the paper"}

        def forward(self, x):
            return super().forward(x).softmax(dim=1)

    with pytest.raises(CheckFailed) as failure:
        check_net(Twice)
    text = str(failure.value)
    assert f"2 of {len(NET_CHECKS)} checks failed" in text and "check 'logits'" in text and "check 'head'" in text
    with pytest.raises(unittest.SkipTest, match="Twice is exempt from 'options': as in the paper"):
        one(Twice, "options")()


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'smallnet'"):
        check_net("smalnet")
    with pytest.raises(InputError, match="smallnet has no option 'drop_rat'; did you mean 'drop_rate'"):
        check_net("smallnet", drop_rat=1)
    with pytest.raises(InputError, match="3 is neither a registered net nor"):
        check_net(3)
    with pytest.raises(InputError, match="names a check 'haed'; did you mean 'head'"):
        check_net(type("Typo", (PlainNet,), {"exempt": {"haed": "x"}}))
    with pytest.raises(InputError, match="gives no reason for 'head'"):
        check_net(type("Silent", (PlainNet,), {"exempt": {"head": " "}}))


def test_nothing_is_left_behind():
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        for name in ("builds", "logits", "seed", "graph"):
            one(PlainNet, name)()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)


def test_checks_say_what_they_ask():
    checks = list(iter_net_checks("smallnet"))
    assert [str(check) for check in checks] == [function.__name__ for function in NET_CHECKS]
    assert all(check.summary.endswith(".") for check in checks)
