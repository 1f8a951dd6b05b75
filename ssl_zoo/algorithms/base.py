"""What every method is: an nn.Module with a loss, a writer of state, and a net to be scored."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError
from ssl_zoo.losses import full_precision


class AlgorithmBase(nn.Module):
    """A semi-supervised method.

    The net is a submodule, a teacher is a submodule, a memory is a buffer with its full shape from the start:
    `state_dict()` is the checkpoint. Options are keyword-only constructor parameters with defaults, documented under
    `Args:`. The optimiser receives every parameter that requires a gradient.

    A subclass declares the views that it needs. The first unlabelled view is always "weak", so that every method sees
    the same. What else it declares is what `ssl_zoo.testing.check_algorithm` holds it to. Where a declaration depends
    on an option, the constructor sets it on the instance, and everybody reads the instance's.

    Attributes:
        views: Names of its views of the unlabelled images.
        labeled_views: Names of its views of the labelled images.
        targets: Places in `views` of those that are targets only: no gradient flows through them. None: where a
            "strong" view stands beside them, every "weak" one; else none. `target_views` says which.
        weights: For each unsupervised term of the loss, the option that is its weight: {"consistency": "weight"}.
            `total` is the sum of the terms, each of these times its weight. A term may be negative: what is to be made
            larger, such as an entropy, is a term with a minus sign.
        gates: For each option that closes a gate, such as a threshold, a value that opens it: {"threshold": 0.0}.
        class_weights: (K,) of the classes in the supervised loss, or None: `cross_entropy(logits, batch.y,
            weight=self.class_weights)`. The trainer refuses weights that a method's loss does not use.
        needs_weights: Whether it is of no use on a net of random weights: a run from none is refused.
        exempt: Checks that the method cannot satisfy by its nature, each with the reason:
            {"ranks": "counts the rows of its process"}. What holds but for random draws needs none: such checks draw
            the same for every row.

    Args:
        net: What is trained: images (n, C, H, W) -> logits (n, K).
        facts: What is known of the training set.

    Raises:
        InputError: The declared views break the rule.
    """

    views: tuple[str, ...] = ()
    labeled_views: tuple[str, ...] = ("weak",)
    targets: tuple[int, ...] | None = None
    weights: Mapping[str, str] = {}
    gates: Mapping[str, Any] = {}
    needs_weights: bool = False
    exempt: Mapping[str, str] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        try:
            inspect.signature(cls.after_step).bind(None, {}, None)
        except TypeError:
            raise InputError(
                f"{cls.__name__}.after_step takes other arguments than it is given; write `def after_step(self, seen, progress)`"
            ) from None

    def __init__(self, net: nn.Module, facts: Facts):
        super().__init__()
        self.check_views()  # of the class; what the constructor sets later is checked where batches are made
        self.net = net
        self.register_buffer("class_weights", facts.class_weights, persistent=False)  # of the data, as all facts

    def check_views(self) -> None:
        """Refuse views that break the rule.

        Raises:
            InputError: The first unlabelled view is not "weak", or there is no labelled view.
        """
        if self.views[:1] not in ((), ("weak",)) or not self.labeled_views:
            raise InputError(f"{type(self).__name__}: the first of `views` must be 'weak' and `labeled_views` must not be empty")

    def target_views(self) -> tuple[int, ...]:
        """Return the places in `views` of those that are targets only."""
        if self.targets is not None:
            return self.targets
        return tuple(k for k, view in enumerate(self.views) if view == "weak" and "strong" in self.views)

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        """The loss of one step. Reads state and writes none but batch-norm statistics; no backward, no `.item()`.

        Args:
            batch: This step's images.
            progress: 0-dim float32, the fraction of the run that is done, 0 at the first step.
        """
        raise NotImplementedError

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        """Write the state: teacher, memory. Runs after the optimiser's step, without gradient.

        Args:
            seen: What `loss` returned as `Step.seen`, of all ranks, in the order of the global batch.
            progress: As `loss` had it in this step.
        """

    def eval_net(self) -> nn.Module:
        """What is scored and exported."""
        return self.net

    def student_logits(
        self, x: Tensor, *views: Tensor, joint: bool = True, forward: Callable[[Tensor], Tensor] | None = None
    ) -> list[Tensor]:
        """Logits of the net for several stacks of images, with one update of its running statistics.

        Args:
            x: (B, C, H, W), labelled.
            views: (U, C, H, W) each.
            joint: One concatenated pass, so one set of batch statistics (Laine & Aila; Tarvainen & Valpola). Otherwise
                a pass for each, of which only the labelled one moves the running statistics (Berthelot et al. 2019).
            forward: Takes the place of the net, where a method has a head of its own on it.

        Returns:
            (B, K), then (U, K) for each view, in fp32.
        """
        forward = self.net if forward is None else forward  # `or` is a branch to the compiler of torch 2.11
        if joint:
            logits = full_precision(forward(torch.cat((x, *views))))
            return list(logits.split([len(x), *map(len, views)]))
        labeled = forward(x)
        with frozen_stats(self.net):
            return [full_precision(logits) for logits in (labeled, *map(forward, views))]

    def student_outputs(self, x: Tensor, *views: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of the net, and what its last layer gets, from one joint pass: for methods with a head of their own.

        Args:
            x: (B, C, H, W), labelled.
            views: (U, C, H, W) each.

        Returns:
            (B, K), then (U, K) for each view; and (B, D), then (U, D) for each view, D as `ssl_zoo.heads.hidden_size`
            says. All in fp32.
        """
        features = self.net.forward_features(torch.cat((x, *views)))
        hidden = self.net.forward_head(features, pre_logits=True)
        sizes = [len(x), *map(len, views)]
        return tuple(list(full_precision(rows).split(sizes)) for rows in (self.net.forward_head(features), hidden))
