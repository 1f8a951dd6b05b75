"""ReMixMatch: MixMatch whose guesses have the labels' class shares, and anchor strongly augmented views.

Berthelot et al., ICLR 2020, arXiv:1911.09785. Written from the paper, sec. 3 and algorithm 1.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.averages import WindowMean
from ssl_zoo.batch import Batch, Facts, Guess, Step
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError, between, one_of
from ssl_zoo.heads import SecondHead
from ssl_zoo.losses import cross_entropy, full_precision, row_cross_entropy
from ssl_zoo.mixing import PASSES, Passes, beta_draws, mixed_logits, mixup, partners
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import RAMPS, RampForm, ramp
from ssl_zoo.targets import align, one_hot, probabilities, sharpen


@ALGORITHMS.register("remixmatch")
class ReMixMatch(AlgorithmBase):
    """ReMixMatch: mixtures of all images, strong views of which are told what the weak view is taken to be.

    Paper: strong views by CTAugment. Ours: as the recipe says, since a view here knows no net.

    Args:
        weight: Of the mixed unlabelled images' cross-entropy. Paper: 1.5.
        unmixed_weight: Of the cross-entropy of the first strong view, not mixed. Paper: .5.
        rotation_weight: Of how often an image was turned by a quarter, which a head of its own says. Paper: .5, with 40
            labels 2. 0: neither head nor pass.
        ramp: Form of the rise of the first two weights; the paper's is linear.
        ramp_length: Length of the rise, as a fraction of the run. Paper: 16,384 of 2^20 steps, with 40 labels 2^17.
        anchors: Strong views of an unlabelled image. Paper: 8, with 40 labels 1. TorchSSL and USB have 2.
        temperature: That guesses are sharpened by; 1 leaves them as they are. Paper: .5.
        alpha: Of Beta(alpha, alpha), from which shares are drawn; 0 mixes nothing. Paper: .75. LAMDA-SSL has .5.
        window: Batches over which class shares of guesses, before the alignment, are averaged. Paper: 128. TorchSSL and
            USB have a running mean of .999 instead.
        window_start: What stands for batches before the first. Authors' code: uniform shares. empty: nothing.
        share_per: Whether each row has a share of its own, as in the paper, or the batch has one, as in TorchSSL
            and USB.
        passes: Of the student over the mixed rows, the only ones that move its running statistics. Authors' code:
            interleaved, parts of all kinds; USB: each kind apart. Ours: joint, for one set of batch statistics.
    """

    views = ("weak", *("strong",) * 8)
    labeled_views = ("strong",)
    targets = ()  # the weak view is mixed in too
    weights = {"mixed": "weight", "unmixed": "unmixed_weight", "rotation": "rotation_weight"}

    def __init__(
        self,
        net: nn.Module,
        facts: Facts,
        *,
        weight: float = 1.5,
        unmixed_weight: float = 0.5,
        rotation_weight: float = 0.5,
        ramp: RampForm = "linear",
        ramp_length: float = 1 / 64,
        anchors: int = 8,
        temperature: float = 0.5,
        alpha: float = 0.75,
        window: int = 128,
        window_start: Literal["uniform", "empty"] = "uniform",
        share_per: Literal["row", "batch"] = "row",
        passes: Passes = "joint",
    ):
        super().__init__(net, facts)
        self.weight, self.unmixed_weight = between("weight", weight, 0), between("unmixed_weight", unmixed_weight, 0)
        self.rotation_weight, self.alpha = between("rotation_weight", rotation_weight, 0), between("alpha", alpha, 0)
        self.ramp, self.ramp_length = one_of("ramp", ramp, *RAMPS), between("ramp_length", ramp_length, 0, 1)
        self.views = ("weak", *("strong",) * between("anchors", anchors, 1))
        self.temperature = between("temperature", temperature, 1e-6)
        self.share_per, self.passes = one_of("share_per", share_per, "row", "batch"), one_of("passes", passes, *PASSES)
        self.classes = facts.classes
        full = one_of("window_start", window_start, "uniform", "empty") == "uniform"
        uniform = torch.full((facts.classes,), 1 / facts.classes)
        self.believed = WindowMean(uniform, window, full)  # class shares of guesses
        self.register_buffer("shares", one_hot(facts.labels, facts.classes).mean(dim=0), persistent=False)  # of labels
        self.quarters = SecondHead(net, 4, "rotation_weight", "set rotation_weight = 0") if rotation_weight > 0 else None
        if rotation_weight == 0:
            self.weights = {"mixed": "weight", "unmixed": "unmixed_weight"}

    def loss(self, batch: Batch, progress: Tensor) -> Step:
        weak, *strong = batch.u
        with torch.no_grad(), frozen_stats(self.net):
            guessed = probabilities(self.net(weak))  # (U, K)
        aligned = align(guessed, self.shares, self.believed.mean())  # the shares without this batch
        target = sharpen(aligned, self.temperature)  # (U, K), the same for every view

        images = torch.cat((batch.x, *strong, weak))  # (B + (anchors + 1) U, C, H, W)
        labels = torch.cat((one_hot(batch.y, self.classes), *[target] * len(batch.u)))  # (B + (anchors + 1) U, K)
        share, partner = beta_draws(images, self.alpha, self.share_per), partners(images)
        share = torch.maximum(share, 1 - share)  # nearer to its own image than to its partner's
        images, labels = mixup(images, images[partner], share), mixup(labels, labels[partner], share)
        labeled, *unlabeled = mixed_logits(self.net, images, [len(batch.x), *map(len, batch.u)], self.passes)
        y, q = labels[: len(batch.x)], labels[len(batch.x) :]  # mixed
        with frozen_stats(self.net):
            first = full_precision(self.net(strong[0]))  # (U, K)

        supervised = cross_entropy(labeled, y, weight=self.class_weights)
        mixed = row_cross_entropy(torch.cat(unlabeled), q).mean()
        unmixed = row_cross_entropy(first, target).mean()
        rise = ramp(progress, self.ramp, self.ramp_length)
        total = supervised + rise * (self.weight * mixed + self.unmixed_weight * unmixed)
        terms = {"supervised": supervised, "mixed": mixed, "unmixed": unmixed, "weight": self.weight * rise}
        if self.quarters is not None:
            terms["rotation"] = self.rotation(strong[0])
            total = total + self.rotation_weight * terms["rotation"]
        guess = Guess(target, torch.ones_like(target[:, 0]))
        return Step(total, terms, {"guessed": guessed}, guess)

    def rotation(self, images: Tensor) -> Tensor:
        """Cross-entropy of how many quarters each image was turned, drawn for each."""
        turns = torch.randint(4, (len(images),), device=images.device)  # authors' code: by the place in the batch
        with frozen_stats(self.net):
            features = self.net.forward_features(turned(images, turns))
            logits = full_precision(self.quarters(self.net.forward_head(features, pre_logits=True)))  # (U, 4)
        return row_cross_entropy(logits, turns).mean()

    def after_step(self, seen: Mapping[str, Tensor], progress: Tensor) -> None:
        self.believed.update(seen["guessed"])  # as they were before the alignment


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image by as many quarters as its number says.

    Args:
        images: (n, C, H, H).
        turns: (n,) int64, 0 to 3.

    Raises:
        InputError: The images are not square.
    """
    if images.shape[-1] != images.shape[-2]:
        size = " x ".join(map(str, images.shape[-2:]))
        raise InputError(f"images of {size} cannot be turned by a quarter; set rotation_weight = 0")
    ways = torch.stack([images.rot90(k, (-2, -1)) for k in range(4)])  # (4, n, C, H, W)
    return ways[turns, torch.arange(len(images), device=images.device)]
