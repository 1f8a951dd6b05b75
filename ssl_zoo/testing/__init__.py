"""Is a method right? `check_algorithm` runs every check that can be made without knowing the method, ours or yours.

    from ssl_zoo.testing import check_algorithm
    check_algorithm(MyMethod)                     # or a registered name; raises CheckFailed with every failure

or, one test a check:

    @pytest.mark.parametrize("check", iter_checks("my-method"), ids=str)
    def test_my_method(check):
        check()

In the manner of scikit-learn's `check_estimator`. Everything runs on the CPU with a tiny net, in some seconds. Likewise
`check_net`, `check_dataset` and `check_augmentation`, with `iter_net_checks`, `iter_dataset_checks` and
`iter_augmentation_checks`.
"""

from ssl_zoo.testing.augmentations import check_augmentation, iter_augmentation_checks
from ssl_zoo.testing.check import Check, Report, check_algorithm, iter_checks
from ssl_zoo.testing.datasets import check_dataset, iter_dataset_checks
from ssl_zoo.testing.nets import check_net, iter_net_checks
from ssl_zoo.testing.part import PartCheck
from ssl_zoo.testing.subject import CheckFailed

__all__ = [
    "Check",
    "CheckFailed",
    "PartCheck",
    "Report",
    "check_algorithm",
    "check_augmentation",
    "check_dataset",
    "check_net",
    "iter_augmentation_checks",
    "iter_checks",
    "iter_dataset_checks",
    "iter_net_checks",
]
