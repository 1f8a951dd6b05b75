"""The list of a net's checks, and how to run them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ssl_zoo.registry import NETS
from ssl_zoo.testing import net_contract, net_execution, net_state
from ssl_zoo.testing.check import Report, run_all
from ssl_zoo.testing.net_contract import SHAPES, NetSubject, Shape
from ssl_zoo.testing.part import PartCheck, checks_of, entry_of

NET_CHECKS: tuple[Callable[[NetSubject], None], ...] = (
    net_contract.builds,
    net_contract.options,
    net_contract.misspelt_option,
    net_contract.logits,
    net_contract.head,
    net_contract.parameters_from_start,
    net_contract.gradients,
    net_state.seed,
    net_state.copies,
    net_state.evaluation,
    net_state.training,
    net_state.draws,
    net_state.state_dict,
    net_execution.channels_last,
    net_execution.bf16,
    net_execution.device,
    net_execution.graph,
    net_execution.export,
)


def iter_net_checks(net: Callable[..., Any] | str, *, shapes: Sequence[Shape] = SHAPES, **options: Any) -> Iterator[PartCheck]:
    """Every check of a net, to be called one by one. They leave torch's random state and default type as they were.

    Args:
        net: A class or function, or a registered name. Its attribute `exempt` may say which checks cannot hold, and
            why.
        shapes: (C, H, W) of images to try. Those that the constructor refuses with an InputError are left out.
        options: Of the net, in every check.

    Raises:
        InputError: No such net or option, or its `exempt` names no check.
    """
    return iter(checks_of(NetSubject(entry_of(NETS, net, options), options, tuple(shapes)), NET_CHECKS))


def check_net(net: Callable[..., Any] | str, *, shapes: Sequence[Shape] = SHAPES, **options: Any) -> Report:
    """Run every check of a net.

    Args:
        net: A class or function, or a registered name. Its attribute `exempt` may say which checks cannot hold, and
            why.
        shapes: (C, H, W) of images to try. Those that the constructor refuses with an InputError are left out.
        options: Of the net, in every check.

    Returns:
        What passed, and what the net is exempt from and why.

    Raises:
        CheckFailed: Some did not pass; the message holds those of all.
        InputError: No such net or option, or its `exempt` names no check.
    """
    return run_all(list(iter_net_checks(net, shapes=shapes, **options)))
