"""Methods with one fault each, and the check that must find it.

The faults are real: most stand, or stood, in published code. `PlainMeanTeacher` and `PlainTempEns` are right, and every mutant
differs from one of them by its fault alone. The other right ones have what the four methods of the package do not have.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from ssl_zoo import DATASETS, AlgorithmBase, Step
from ssl_zoo.averages import RunningMean
from ssl_zoo.batch import Guess, merge_repeats
from ssl_zoo.ema import Teacher, frozen_stats
from ssl_zoo.errors import between
from ssl_zoo.losses import cross_entropy, entropy, exact, full_precision, row_cross_entropy, squared_error
from ssl_zoo.ranks import global_mean_grad
from ssl_zoo.targets import gate, one_hot, probabilities


class PlainMeanTeacher(AlgorithmBase):
    """Mean Teacher in its plainest form.

    Args:
        weight: Of the consistency term.
        decay: Of the average.
    """

    views = ("weak", "weak")
    targets = (1,)
    weights = {"consistency": "weight"}

    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts)
        self.weight, self.teacher = weight, Teacher(net, decay)

    def predict(self, batch):
        own, other = batch.u
        labeled, own = self.student_logits(batch.x, own)
        return labeled, own.softmax(dim=1), full_precision(self.teacher(other)).softmax(dim=1)

    def supervised(self, labeled, batch):
        return cross_entropy(labeled, batch.y, weight=self.class_weights)

    def consistency(self, own, other):
        return squared_error(own, other)

    def loss(self, batch, progress):
        labeled, own, other = self.predict(batch)
        supervised, consistency = self.supervised(labeled, batch), self.consistency(own, other)
        return Step(supervised + self.weight * consistency, {"supervised": supervised, "consistency": consistency})

    def after_step(self, seen, progress):
        self.teacher.update(self.net)

    def eval_net(self):
        return self.teacher.net


class PlainTempEns(AlgorithmBase):
    """Temporal Ensembling in its plainest form.

    Args:
        weight: Of the consistency term.
        alpha: Of the average.
    """

    views = ("weak",)
    weights = {"consistency": "weight"}

    def __init__(self, net, facts, *, weight: float = 10.0, alpha: float = 0.6):
        super().__init__(net, facts)
        self.register_buffer("memory", torch.zeros(facts.rows, facts.classes))
        self.register_buffer("visits", torch.zeros(facts.rows, dtype=torch.int64))
        self.weight, self.alpha = weight, alpha

    def target(self, index):
        return self.memory[index] / (1 - self.alpha ** self.visits[index].clamp(min=1)[:, None])

    def remembered(self, logits):
        return logits.softmax(dim=1)

    def row_weight(self, index):
        return (self.visits[index] > 0).float()

    def loss(self, batch, progress):
        labeled, own = self.student_logits(batch.x, *batch.u)
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        weight = self.row_weight(batch.u_index)
        consistency = squared_error(own.softmax(dim=1), self.target(batch.u_index), row_weight=weight)
        total = supervised + self.weight * consistency
        terms = {"supervised": supervised, "consistency": consistency}
        return Step(total, terms, {"index": batch.u_index, "own": self.remembered(own).detach()})

    def after_step(self, seen, progress):
        index, own = seen["index"], merge_repeats(seen["index"], seen["own"])
        self.memory[index] = self.alpha * self.memory[index] + (1 - self.alpha) * own
        self.visits[index] = self.visits[index] + 1


class Gated(AlgorithmBase):
    """FixMatch (arXiv:2001.07685), with an average that is only scored: a gate, a strong view, a target in the student.

    Args:
        weight: Of the pseudo-labels.
        threshold: Least confidence.
        decay: Of the average.
    """

    views = ("weak", "strong")
    weights = {"pseudo": "weight"}
    gates = {"threshold": 0.0}
    told_by = (0,)  # places of the views that the guess is made from

    def __init__(self, net, facts, *, weight: float = 1.0, threshold: float = 0.95, decay: float = 0.999):
        super().__init__(net, facts)
        self.weight, self.threshold = weight, threshold
        self.average = Teacher(net, decay, bn="ema", warmup=False)

    def passed(self, weak, strong):
        """Return the views of the step as (teacher's, student's) logits."""
        return weak, strong

    def target(self, weak, strong):
        return one_hot(weak.detach().argmax(dim=1), weak.shape[1])

    def mask(self, weak, strong):
        return gate(probabilities(weak).amax(dim=1), self.threshold)

    def rows(self, weak, strong, target):
        return row_cross_entropy(strong, target)

    def mean(self, rows, kept):
        return (rows * kept).mean()

    def believed(self, target, kept):
        return Guess(target, kept, self.told_by)

    def loss(self, batch, progress):
        labeled, *views = self.student_logits(batch.x, *batch.u)
        weak, strong = self.passed(*views)
        target, kept = self.target(weak, strong), self.mask(weak, strong)
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        pseudo = self.mean(self.rows(weak, strong, target), kept)
        terms = {"supervised": supervised, "pseudo": pseudo}
        return Step(supervised + self.weight * pseudo, terms, guess=self.believed(target, kept))

    def after_step(self, seen, progress):
        self.average.update(self.net)

    def eval_net(self):
        return self.average.net


class Queued(AlgorithmBase):
    """CoMatch's means (arXiv:2011.11183): a head of its own, similarities, a queue, two labelled views, an odd option.

    Args:
        weight: Of the similarity term.
        dim: Of the head.
        T: Temperature.
        norm: Whether to normalise.
    """

    views = ("weak", "strong")
    labeled_views = ("weak", "strong")
    targets = ()
    weights = {"similarity": "weight"}
    exempt = {"weight_zero_is_supervised": "two labelled views, each with its loss"}

    def __init__(self, net, facts, *, weight: float = 1.0, dim: int = 5, T: float = 0.5, norm: bool = True):
        super().__init__(net, facts)
        self.weight, self.temperature, self.norm = weight, T, norm
        self.head = nn.Linear(net.num_features, dim)
        self.register_buffer("queue", F.normalize(torch.ones(40, dim) + torch.eye(40, dim), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def loss(self, batch, progress):
        features = self.net.forward_features(torch.cat((batch.x, *batch.x_more, *batch.u)))
        n = 2 * len(batch.x)
        logits = full_precision(self.net.forward_head(features[:n]))
        with exact(features):
            z = self.head(full_precision(self.net.forward_head(features[n:], pre_logits=True)))
            z = F.normalize(z, dim=1) if self.norm else z
            one, two = (part @ self.queue.T / self.temperature for part in z.chunk(2))
        supervised = cross_entropy(logits, torch.cat((batch.y, batch.y)), weight=self.class_weights)
        similarity = squared_error(one.softmax(dim=1), two.softmax(dim=1))
        terms = {"supervised": supervised, "similarity": similarity}
        return Step(supervised + self.weight * similarity, terms, {"z": z.detach().chunk(2)[0]})

    def after_step(self, seen, progress):
        z = seen["z"]
        self.queue[(self.place + torch.arange(len(z), device=z.device)) % len(self.queue)] = z
        self.place.copy_((self.place + len(z)) % len(self.queue))


class Adversarial(AlgorithmBase):
    """VAT (arXiv:1704.03976): an inner gradient, further passes of the student, draws for each row.

    Args:
        weight: Of the smoothness term.
        size: Of the perturbation.
    """

    views = ("weak",)
    weights = {"smoothness": "weight"}

    def __init__(self, net, facts, *, weight: float = 1.0, size: float = 2.0):
        super().__init__(net, facts)
        self.weight, self.size = weight, size

    def loss(self, batch, progress):
        labeled, own = self.student_logits(batch.x, *batch.u)
        target = own.detach().softmax(dim=1)

        def distance(d):
            return F.kl_div(full_precision(self.net(batch.u[0] + d)).log_softmax(dim=1), target, reduction="batchmean")

        def unit(d):
            return F.normalize(d.flatten(1)).view_as(d)

        with frozen_stats(self.net):
            inner = torch.func.grad(distance)(0.1 * unit(torch.randn_like(batch.u[0])))
            smoothness = distance(self.size * unit(inner).detach())
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        terms = {"supervised": supervised, "smoothness": smoothness}
        return Step(supervised + self.weight * smoothness, terms)


class TwoNets(AlgorithmBase):
    """Cross pseudo-supervision's means (arXiv:2106.01226): a second net, trained from weights of its own.

    Args:
        weight: Of the agreement.
    """

    views = ("weak",)
    weights = {"agreement": "weight"}
    exempt = {"weight_zero_is_supervised": "the second net is trained on the labels as well"}

    def __init__(self, net, facts, *, weight: float = 1.0):
        super().__init__(net, facts)
        self.weight, self.other = weight, copy.deepcopy(net)
        for p in self.other.parameters():
            nn.init.normal_(p, std=0.3)

    def loss(self, batch, progress):
        labeled, own = self.student_logits(batch.x, *batch.u)
        theirs, other = full_precision(self.other(torch.cat((batch.x, *batch.u)))).split([len(batch.x), len(own)])
        supervised = sum(cross_entropy(of, batch.y, weight=self.class_weights) for of in (labeled, theirs))
        agreement = squared_error(own.softmax(dim=1), other.softmax(dim=1))
        return Step(supervised + self.weight * agreement, {"supervised": supervised, "agreement": agreement})


class Fair(PlainMeanTeacher):
    """Mean Teacher with FreeMatch's fairness (arXiv:2205.07246) in its plainest form: a term that is never positive.

    Args:
        weight: Of the consistency term.
        decay: Of the average.
        fairness: Weight of the entropy of the mean prediction, which is to be made larger.
    """

    weights = {"consistency": "weight", "fairness": "fairness"}

    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, fairness: float = 3.0):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.fairness = fairness

    def loss(self, batch, progress):
        labeled, own, other = self.predict(batch)
        mean = global_mean_grad(own)
        supervised, consistency = self.supervised(labeled, batch), self.consistency(own, other)
        fairness = (mean * (mean + 1e-6).log()).sum()
        terms = {"supervised": supervised, "consistency": consistency, "fairness": fairness}
        return Step(supervised + self.weight * consistency + self.fairness * fairness, terms)


class Undecided(PlainTempEns):
    """Temporal Ensembling that keeps predictions undecided (arXiv:1701.06548): an entropy pulls, whatever the memory holds.

    Args:
        weight: Of the consistency term.
        alpha: Of the average.
        penalty: Weight of the entropy of each prediction, which is to be made larger.
    """

    weights = {"consistency": "weight", "confidence": "penalty"}

    def __init__(self, net, facts, *, weight: float = 10.0, alpha: float = 0.6, penalty: float = 2.0):
        super().__init__(net, facts, weight=weight, alpha=alpha)
        self.penalty = penalty

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        with frozen_stats(self.net):
            logits = full_precision(self.net(batch.u[0]))
        confidence = (logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
        return Step(out.total + self.penalty * confidence, {**out.terms, "confidence": confidence}, out.seen)


class Cancelling(PlainMeanTeacher):
    """Mean Teacher whose one unsupervised term is negative and as large as the rest: `total` is nearly zero.

    Args:
        weight: Of the consistency term.
        decay: Of the average.
    """

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        rest = out.terms["supervised"].detach() - 1e-4
        consistency = out.terms["consistency"] - out.terms["consistency"].detach() - rest / max(self.weight, 1e-9)
        supervised = out.terms["supervised"]
        return Step(supervised + self.weight * consistency, {"supervised": supervised, "consistency": consistency})


class ViewsByAnOption(PlainMeanTeacher):
    """Mean Teacher on views that an option chooses, as it chooses which of them is the target.

    Args:
        weight: Of the consistency term.
        decay: Of the average.
        strong: Whether the student sees a strong view of its own, and the teacher the weak one.
    """

    views = ()
    targets = ()

    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, strong: bool = True):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.strong = strong
        self.views, self.targets = (("weak", "strong"), (0,)) if strong else (("weak", "weak"), (1,))

    def predict(self, batch):
        return super().predict(batch._replace(u=batch.u[::-1]) if self.strong else batch)


class Adaptive(Gated):
    """FreeMatch's threshold (arXiv:2205.07246, eq. 5): the running mean of confidence, with this step in it.

    Args:
        weight: Of the pseudo-labels.
        momentum: Of the threshold.
    """

    gates = {}

    def __init__(self, net, facts, *, weight: float = 1.0, momentum: float = 0.999):
        super().__init__(net, facts, weight=weight)
        self.level = RunningMean(torch.tensor(1 / facts.classes), momentum)

    def counted(self, confidence):
        return self.level.counted(confidence)

    def mask(self, weak, strong):
        confidence = probabilities(weak).amax(dim=1)
        return gate(confidence, self.counted(confidence))

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        with frozen_stats(self.net):
            confidence = probabilities(self.net(batch.u[0])).amax(dim=1)
        return Step(out.total, out.terms, {"confidence": confidence}, out.guess)  # torch 2.11 compiles no `_replace` of it

    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.level.update(seen["confidence"])


class Mixing(AlgorithmBase):
    """MixUp of labelled and unlabelled images (arXiv:1905.02249, sec. 3.3): random pairs, and a Dirichlet on the device.

    Args:
        weight: Of the guesses' squared error.
        alpha: Of the Beta distribution.
    """

    views = ("weak", "weak")
    weights = {"agreement": "weight"}

    def __init__(self, net, facts, *, weight: float = 2.0, alpha: float = 0.75):
        super().__init__(net, facts)
        self.weight, self.alpha = weight, alpha

    def pairs(self, n, device):
        return torch.randperm(n, device=device)

    def share(self, n, device):
        return torch._sample_dirichlet(torch.full((n, 2), self.alpha, device=device)).amax(dim=1)

    def guess(self, batch):
        with torch.no_grad(), frozen_stats(self.net):
            return torch.stack([full_precision(self.net(view)).softmax(dim=1) for view in batch.u]).mean(dim=0)

    def loss(self, batch, progress):
        guess, n = self.guess(batch), len(batch.x)
        images, targets = torch.cat((batch.x, *batch.u)), torch.cat((one_hot(batch.y, guess.shape[1]), guess, guess))
        partner, share = self.pairs(len(images), batch.x.device), self.share(len(images), batch.x.device)
        images, targets = (
            share.view(-1, *[1] * (rows.ndim - 1)) * rows + (1 - share.view(-1, *[1] * (rows.ndim - 1))) * rows[partner]
            for rows in (images, targets)
        )
        logits = full_precision(self.net(images))
        weighted = targets[:n] if self.class_weights is None else targets[:n] * self.class_weights
        supervised = row_cross_entropy(logits[:n], weighted).mean()
        agreement = squared_error(logits[n:].softmax(dim=1), targets[n:])
        terms = {"supervised": supervised, "agreement": agreement}
        return Step(supervised + self.weight * agreement, terms, guess=Guess(guess, torch.ones_like(guess[:, 0]), (0, 1)))


class Banked(AlgorithmBase):
    """SimMatch's means (arXiv:2203.06915): a bank with a row for each labelled one, which says what is near.

    Args:
        weight: Of what the bank says.
        momentum: Of a row of the bank.
    """

    views = ("weak", "strong")
    weights = {"near": "weight"}

    def __init__(self, net, facts, *, weight: float = 1.0, momentum: float = 0.7):
        super().__init__(net, facts)
        self.weight, self.momentum = weight, momentum
        start = torch.randn(len(facts.labeled), net.num_features)
        self.register_buffer("bank", F.normalize(start, dim=1))
        self.register_buffer("classes", one_hot(facts.labels, facts.classes), persistent=False)
        self.register_buffer("slot", torch.zeros(facts.rows, dtype=torch.int64), persistent=False)
        self.slot[facts.labeled] = torch.arange(len(facts.labeled))

    def loss(self, batch, progress):
        (labeled, _, strong), (x, weak, _) = self.student_outputs(batch.x, *batch.u)
        alike = (full_precision(self.near(weak)) / 0.1).softmax(dim=1)
        with exact(weak):
            near = alike @ self.classes
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        told = row_cross_entropy(strong, near).mean()
        seen = {"index": batch.x_index, "hidden": F.normalize(x.detach(), dim=1)}
        terms = {"supervised": supervised, "near": told}
        return Step(supervised + self.weight * told, terms, seen, Guess(near, torch.ones_like(near[:, 0])))

    def near(self, weak):
        with exact(weak):
            return F.normalize(weak.detach(), dim=1) @ self.bank.T

    def place(self, index):
        return self.slot[index]

    def merged(self, index, hidden):
        return merge_repeats(index, hidden)

    def after_step(self, seen, progress):
        place, hidden = self.place(seen["index"]), self.merged(seen["index"], seen["hidden"])
        self.bank[place] = F.normalize(self.momentum * self.bank[place] + (1 - self.momentum) * hidden, dim=1)


class Optional(PlainMeanTeacher):
    """Mean Teacher with a second term that is off by default, and declared only where it is on.

    Args:
        weight: Of the consistency term.
        decay: Of the average.
        entropy: Weight of the predictions' entropy.
    """

    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, entropy: float = 0.0):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.entropy = entropy
        if entropy > 0:
            self.weights = {**self.weights, "entropy": "entropy"}

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        if self.entropy == 0:
            return out
        with frozen_stats(self.net):
            terms = {**out.terms, "entropy": self.uncertainty(full_precision(self.net(batch.u[0])))}
        return Step(out.total + self.entropy * terms["entropy"], terms)

    def uncertainty(self, logits):
        return entropy(logits).mean()


RIGHT = [
    PlainMeanTeacher,
    PlainTempEns,
    Gated,
    Queued,
    Adversarial,
    TwoNets,
    Fair,
    Undecided,
    ViewsByAnOption,
    Adaptive,
    Mixing,
    Banked,
    Optional,
]
MUTANTS = []


def mutant(check, says):
    """Decorator: the class must fail `check`, with these words."""

    def decorate(cls):
        MUTANTS.append((cls, check, says))
        cls.__doc__ = cls.__doc__ or cls.__base__.__doc__
        return cls

    return decorate


# The consistency term and its gradient


@mutant("term_gradients", "gives the net no gradient")
class StudentFromTeacher(PlainMeanTeacher):  # the loss is exactly 0.0
    def predict(self, batch):
        labeled, _, other = super().predict(batch)
        return labeled, other, other


@mutant("term_gradients", "gives the net no gradient")
class StudentDetached(PlainMeanTeacher):
    def predict(self, batch):
        labeled, own, other = super().predict(batch)
        return labeled, own.detach(), other


@mutant("term_gradients", "no gradient flows through the view u[0]")
class ViewsExchanged(PlainMeanTeacher):
    def predict(self, batch):
        return super().predict(batch._replace(u=batch.u[::-1]))


@mutant("term_gradients", "declared a target, but gradient flows")
class TargetNotDetached(PlainMeanTeacher):
    def predict(self, batch):
        labeled, own, other = self.student_logits(batch.x, *batch.u)
        return labeled, own.softmax(dim=1), other.softmax(dim=1)


@mutant("total", "carries no gradient or is no part of total")
class TermLeftOut(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.terms["supervised"])


@mutant("total", "is a sign wrong?")
class SignOfTheTermWrong(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.terms["supervised"] - self.weight * out.terms["consistency"])


@mutant("total", "is a term with a minus sign")
class EntropyWithoutItsMinus(Fair):  # named as what it is, and subtracted
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        entropy = -out.terms["fairness"]
        total = out.terms["supervised"] + self.weight * out.terms["consistency"] - self.fairness * entropy
        return Step(total, {**out.terms, "fairness": entropy})


@mutant("total", "give every part of total its own name")
class TermWithoutANameBesideANegativeOne(Fair):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + 0.1 * self.net.head.weight.square().sum())


@mutant("total", "give every part of total its own name")
class TermWithoutAName(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + 0.1 * self.net.head.weight.square().sum())


@mutant("total", "has another gradient")
class GradientWithoutAName(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        hidden = self.net.head.weight.square().sum()
        return out._replace(total=out.total + hidden - hidden.detach())


@mutant("total", "at progress 0.15 `total` is")
class TermWithoutANameEarlyOn(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + (1 - progress) * self.net.head.weight.square().sum())


@mutant("total", "the term 'supervised' enters total 0.15 times")
class SupervisedTermRampedToo(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=progress * out.total)


@mutant("total", "at progress 0.15 the weight of 'consistency' is logged as 10")
class WeightLoggedWithoutItsRamp(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        total = out.terms["supervised"] + progress * self.weight * out.terms["consistency"]
        return out._replace(total=total, terms={**out.terms, "weight": torch.full_like(progress, self.weight)})


@mutant("total", "`total` gives extra.weight no gradient")
class HeadNeverTrained(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.extra = nn.Linear(3, 3)


@mutant("views_used", "other images in the view u[1] ('weak') leave the loss as it was")
class TeacherSeesTheStudentsView(PlainMeanTeacher):
    def predict(self, batch):
        return super().predict(batch._replace(u=(batch.u[0], batch.u[0])))


@mutant("views_used", "other images in the view x_more[0] ('strong')")
class LabelledViewNotUsed(PlainMeanTeacher):
    labeled_views = ("weak", "strong")


@mutant("total", "must be in proportion to the weight")
class WeightNotInProportion(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + out.terms["consistency"])


@mutant("total", "declare the option that is its weight")
class WeightNotDeclared(PlainMeanTeacher):
    weights = {}


@mutant("total", "is logged as")
class WrongWeightLogged(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(terms={**out.terms, "consistency_weight": torch.tensor(1.0)})


@mutant("terms", "is a float, not a tensor")
class TermIsANumber(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(terms={**out.terms, "consistency": out.terms["consistency"].item()})


@mutant("terms", "a term is 0-dim")
class TermNotReduced(PlainMeanTeacher):
    def consistency(self, own, other):
        return (own - other).square().mean(dim=0)


@mutant("mean_over_rows", "'consistency' is")
class SumWhereAMeanIsDeclared(PlainMeanTeacher):
    def consistency(self, own, other):
        return (own - other).square().sum()


@mutant("order", "'consistency' is")
class NeighboursCompared(PlainMeanTeacher):
    def consistency(self, own, other):
        return squared_error(own, other.roll(1, dims=0))


# What the update may depend on


@mutant("weight_zero_ignores_unlabeled", "changes with the unlabelled images")
class PseudoLabelsInTheSupervisedTerm(PlainMeanTeacher):
    def loss(self, batch, progress):
        _, own, _ = self.predict(batch)
        out = super().loss(batch, progress)
        supervised = out.terms["supervised"] + F.nll_loss(own.log(), own.argmax(dim=1))
        return Step(supervised + self.weight * out.terms["consistency"], {**out.terms, "supervised": supervised})


@mutant("weight_zero_is_supervised", "is not the supervised one")
class LabelsSmoothed(PlainMeanTeacher):
    def supervised(self, labeled, batch):
        return F.cross_entropy(labeled, batch.y, label_smoothing=0.1)


@mutant("class_weights", "give them to the supervised loss")
class ClassWeightsNotUsed(PlainMeanTeacher):
    def supervised(self, labeled, batch):
        return cross_entropy(labeled, batch.y)


@mutant("class_weights", "with no division by their sum")
class DividedByTheSumOfWeights(PlainMeanTeacher):  # as torch's mean, so that two ranks do not give what one gives
    def supervised(self, labeled, batch):
        return F.cross_entropy(labeled, batch.y, self.class_weights)


@mutant("class_weights", "its images still change the supervised loss")
class WeightsOfPredictions(PlainMeanTeacher):
    def supervised(self, labeled, batch):
        weights = torch.ones(4) if self.class_weights is None else self.class_weights
        return (F.cross_entropy(labeled, batch.y, reduction="none") * weights[labeled.argmax(dim=1)]).mean()


@mutant("hidden_labels", "depends on labels of unlabelled images")
class HiddenLabelsUsed(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.truth = torch.from_numpy(DATASETS.create("digits", "").labels)

    def loss(self, batch, progress):  # by way of the registry, as it was asked or as it stands there
        out = super().loss(batch, progress)
        (cheat,) = self.student_logits(batch.u[0])
        supervised = out.terms["supervised"] + F.cross_entropy(cheat, self.truth[batch.u_index] % cheat.shape[1])
        return Step(supervised + self.weight * out.terms["consistency"], {**out.terms, "supervised": supervised})


@mutant("batch_untouched", "batch.u was modified in place")
class BatchModified(PlainMeanTeacher):
    def loss(self, batch, progress):
        batch.u[0].add_(0.1)
        return super().loss(batch, progress)


@mutant("seed", "differs between two runs of one seed")
class OwnDraws(PlainMeanTeacher):
    def predict(self, batch):
        own = torch.Generator()
        own.seed()
        noise = 0.1 * torch.randn(batch.u[0].shape, generator=own)
        return super().predict(batch._replace(u=(batch.u[0] + noise, batch.u[1])))


@mutant("weight_zero_ignores_unlabeled", "changes with the unlabelled images")
class PseudoLabelsEarlyOn(PlainMeanTeacher):
    def loss(self, batch, progress):
        _, own, _ = self.predict(batch)
        out = super().loss(batch, progress)
        supervised = out.terms["supervised"] + (1 - progress) * F.nll_loss(own.log(), own.argmax(dim=1))
        return Step(supervised + self.weight * out.terms["consistency"], {**out.terms, "supervised": supervised})


# The teacher


@mutant("teacher", "keeps 0.01000 of itself at update 1")
class DecayTakenForItsComplement(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts, weight=weight)
        self.teacher = Teacher(net, 1 - decay)


@mutant("eval_net", "are the initial ones after some steps")
class TeachersStatisticsNeverMove(PlainMeanTeacher):
    def predict(self, batch):
        labeled, own = self.student_logits(batch.x, batch.u[0])
        with torch.no_grad(), frozen_stats(self.teacher.net):
            return labeled, own.softmax(dim=1), full_precision(self.teacher.net(batch.u[1])).softmax(dim=1)


@mutant("teacher_gradients", "would train the teacher")
class TeacherReceivesGradient(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0):
        AlgorithmBase.__init__(self, net, facts)
        self.weight, self.mean = weight, copy.deepcopy(net)

    def predict(self, batch):
        labeled, own = self.student_logits(batch.x, batch.u[0])
        return labeled, own.softmax(dim=1), full_precision(self.mean(batch.u[1])).softmax(dim=1)

    def after_step(self, seen, progress):
        for mean, own in zip(self.mean.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(own, 0.1)

    def eval_net(self):
        return self.mean


@mutant("teacher", "does not move in `after_step`")
class AverageNeverApplied(PlainMeanTeacher):
    def after_step(self, seen, progress):
        pass


@mutant("teacher", "keeps 0.00000 of itself at update 1")
class EarlyAverageOffByOne(PlainMeanTeacher):  # 1 - 1 / t instead of 1 - 1 / (t + 1): the first update forgets the start
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.teacher.updates -= 1


@mutant("teacher", "keeps 0.01000 of itself")
class AverageTheWrongWayRound(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts, weight=weight)
        self.decay, self.teacher = decay, nn.Sequential(copy.deepcopy(net).requires_grad_(False))

    def after_step(self, seen, progress):
        for mean, own in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
            mean.mul_(1 - self.decay).add_(own, alpha=self.decay)

    def eval_net(self):
        return self.teacher


@mutant("teacher", "is no average of itself and the net's")
class WeightsAloneAveraged(PlainMeanTeacher):
    def after_step(self, seen, progress):
        biases = {name: p.clone() for name, p in self.teacher.net.named_parameters() if p.ndim == 1}
        self.teacher.update(self.net)
        for name, p in biases.items():
            self.teacher.net.get_parameter(name).copy_(p)


@mutant("teacher", "does not start as a copy")
class TeacherWithWeightsOfItsOwn(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        nn.init.normal_(self.teacher.net.head.weight)


@mutant("teacher", "teacher and student are one")
class TeacherIsAShallowCopy(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.teacher.net = copy.copy(net)


@mutant("teacher", "`loss` changes teacher.net")
class TeacherMovesInLoss(PlainMeanTeacher):
    def loss(self, batch, progress):
        self.teacher.update(self.net)
        return super().loss(batch, progress)


@mutant("loss_writes_nothing", "running statistics 2 times")
class StudentPassesTwice(PlainMeanTeacher):
    def predict(self, batch):
        (labeled,) = self.student_logits(batch.x)
        (own,) = self.student_logits(batch.u[0])
        return labeled, own.softmax(dim=1), full_precision(self.teacher(batch.u[1])).softmax(dim=1)


@mutant("loss_writes_nothing", "depends on images of the declared targets")
class StatisticsOfTheTeachersPass(PlainMeanTeacher):  # the target passes through the student's batch norms
    def predict(self, batch):
        labeled, own, _ = self.student_logits(batch.x, *batch.u)
        return labeled, own.softmax(dim=1), full_precision(self.teacher(batch.u[1])).softmax(dim=1)


# Memory


@mutant("memory", "is not that prediction")
class BiasCorrectionOffByOne(PlainTempEns):
    def target(self, index):
        return self.memory[index] / (1 - self.alpha ** (self.visits[index][:, None] + 1))


@mutant("memory", "is not that prediction")
class TargetOfAnotherRowBesideAnEntropy(Undecided):
    def target(self, index):
        return super().target(index.roll(1))


@mutant("memory", "keeps logits")
class LogitsAveraged(PlainTempEns):
    def target(self, index):
        return super().target(index).softmax(dim=1)

    def remembered(self, logits):
        return logits


@mutant("memory", "is not that prediction")
class TargetOfAnotherRow(PlainTempEns):
    def target(self, index):
        return super().target(index.roll(1))


@mutant("memory", "change what other rows remember")
class ValueLeaksToAnotherRow(PlainTempEns):
    def remembered(self, logits):
        own = logits.softmax(dim=1)
        return 0.9 * own + 0.1 * own.mean(dim=0)


@mutant("memory", "rows that the batch did not visit")
class EveryRowDecays(PlainTempEns):
    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.memory *= 0.9


@mutant("memory", "before any visit")
class FirstVisitWeighs(PlainTempEns):
    def row_weight(self, index):
        return torch.ones(len(index))


@mutant("memory", "stands twice in a batch")
class RepeatsCountTwice(PlainTempEns):
    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.visits[seen["index"]] -= 1
        self.visits.index_add_(0, seen["index"], torch.ones_like(seen["index"]))


@mutant("loss_writes_nothing", "`loss` writes memory")
class MemoryWrittenInLoss(PlainTempEns):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        with torch.no_grad():
            super().after_step(out.seen, progress)
        return out

    def after_step(self, seen, progress):
        pass


# The checkpoint


@mutant("state_dict", "self.past changes during training")
class MemoryInADict(PlainTempEns):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.past = {}

    def target(self, index):
        nothing = torch.zeros(self.memory.shape[1])
        return torch.stack([self.past.get(int(row), nothing) for row in index])

    def after_step(self, seen, progress):
        self.visits[seen["index"]] += 1
        self.past |= {int(row): own for row, own in zip(seen["index"], seen["own"], strict=True)}


@mutant("state_dict", "self.count changes during training")
class UpdatesCountedInPython(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.count = 0

    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.count += 1


@mutant("state_dict", "persistent=False")
class MemoryNotSaved(PlainTempEns):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.register_buffer("memory", self.memory, persistent=False)


@mutant("state_dict", "give buffers their full shape")
class MemoryGrows(PlainTempEns):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.register_buffer("history", torch.zeros(0, facts.classes))

    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.history = torch.cat((self.history, seen["own"]))


# How it runs


@mutant("no_synchronisation", "reads a value back")
class ItemInLoss(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        self.last = out.total.item()
        return out


@mutant("no_synchronisation", "reads a value back")
class BooleanMask(PlainMeanTeacher):
    def consistency(self, own, other):
        sure = other.amax(dim=1) > 0.3
        return (own[sure] - other[sure]).square().mean()


@mutant("graph", "does not trace as one graph")
class BranchOnAValue(PlainMeanTeacher):
    def consistency(self, own, other):
        return squared_error(own, other) if other.max() > 0.5 else squared_error(own, other, "sum")


@mutant("bf16", "under bf16 autocast 'consistency' is torch.bfloat16")
class LossInBf16(PlainMeanTeacher):
    def predict(self, batch):
        logits = self.net(torch.cat((batch.x, batch.u[0])))
        own, other = logits[len(batch.x) :], self.teacher(batch.u[1])
        return full_precision(logits[: len(batch.x)]), own.sigmoid(), other.sigmoid()


@mutant("ranks", "on rank")
class CountOfItsOwnSlice(PlainMeanTeacher):
    def consistency(self, own, other):
        sure = (other.amax(dim=1) > 0.5).float()
        return ((own - other).square().mean(dim=1) * sure).sum() / sure.sum().clamp(min=1)


@mutant("eval_net", "gives probabilities")
class EvalNetGivesProbabilities(PlainMeanTeacher):
    def eval_net(self):
        return nn.Sequential(self.teacher.net, nn.Softmax(dim=1))


@mutant("eval_net", "is not in the method's state_dict")
class ScoredNetIsNotSaved(PlainMeanTeacher):
    def eval_net(self):
        return copy.deepcopy(self.teacher.net)


# What it declares


@mutant("options_read", "the option 'temperature'")
class OptionNeverRead(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, temperature: float = 0.5):
        super().__init__(net, facts, weight=weight, decay=decay)


@mutant("options", "'temperature' is not documented")
class OptionWithoutDocumentation(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, temperature: float = 1.0):
        super().__init__(net, facts, weight=weight / temperature, decay=decay)


@mutant("options_read", "the option 'more'")
class OptionNeverReadBesideANumberThatGivesNaN(PlainTempEns):
    """Temporal Ensembling.

    Args:
        weight: Of the consistency term.
        alpha: Of the average.
        more: Nothing.
    """

    def __init__(self, net, facts, *, weight: float = 10.0, alpha: float = 0.5, more: float = 1.0):
        super().__init__(net, facts, weight=weight, alpha=alpha)


@mutant("options", "documents an option 'decay' that the constructor does not have")
class OptionDocumentedOnly(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0):
        super().__init__(net, facts, weight=weight)


@mutant("options", "by position")
class OptionByPosition(PlainMeanTeacher):
    def __init__(self, net, facts, weight: float = 10.0):
        super().__init__(net, facts, weight=weight)


@mutant("misspelt_option", "is swallowed")
class OptionsSwallowed(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99, **more):
        super().__init__(net, facts, weight=weight, decay=decay)


@mutant("declarations", "no option is called so")
class WeightOfAnOptionThatIsNotThere(PlainMeanTeacher):
    weights = {"consistency": "lambda_u"}


@mutant("declarations", "`targets` holds 2")
class TargetThatIsNoView(PlainMeanTeacher):
    targets = (2,)


@mutant("declarations", "the first of `views` must be 'weak'")
class FirstViewStrong(PlainMeanTeacher):
    views = ("strong", "weak")


@mutant("declarations", "the first of `views` must be 'weak'")
class FirstViewStrongByAnOption(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.views = ("strong", "weak")


@mutant("declarations", "`labeled_views` must not be empty")
class NoLabelledViewByAnOption(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0, decay: float = 0.99):
        super().__init__(net, facts, weight=weight, decay=decay)
        self.labeled_views = ()


# A gate, a label, a strong view


@mutant("guess", "is the mask taken from the strong view?")
class MaskFromTheStrongView(Gated):
    def mask(self, weak, strong):
        return super().mask(strong, weak)


@mutant("guess", "is the mask of the loss another one?")
class MaskFromTheStrongViewUnsaid(Gated):  # what it says it believes is right, what the loss uses is not
    def mean(self, rows, kept):
        return super().mean(rows, gate((-rows.detach()).exp(), 0.5))


@mutant("guess", "is a pseudo-label taken from the strong view?")
class LabelFromTheStrongView(Gated):
    def target(self, weak, strong):
        return super().target(strong, weak)


@mutant("term_gradients", "the view u[0] ('weak') is declared a target, but gradient flows through it")
class LabelWithGradient(Gated):
    def target(self, weak, strong):
        return weak.softmax(dim=1)


@mutant("guess", "the target of `guess` carries a gradient")
class BeliefWithGradient(Gated):
    def believed(self, target, kept):
        return super().believed(target.requires_grad_(), kept)


@mutant("term_gradients", "the view u[0] ('weak') is declared a target, but gradient flows through it")
class SoftMaskWithGradient(Gated):
    def mask(self, weak, strong):
        return weak.softmax(dim=1).amax(dim=1)


@mutant("ranks", "is the loss divided by the rows that were kept?")
class DividedByTheKeptRows(Gated):
    def mean(self, rows, kept):
        return (rows * kept).sum() / kept.sum().clamp(min=1)


@mutant("guess", "is a threshold on logits")
class ThresholdOnLogits(Gated):
    def mask(self, weak, strong):
        return gate(weak.amax(dim=1), self.threshold)


@mutant("guess", "are logits taken for probabilities?")
class LogitsForProbabilities(Gated):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        (strong,) = self.student_logits(batch.u[1])
        pseudo = squared_error(strong, out.guess.target, row_weight=out.guess.weight)
        return Step(out.terms["supervised"] + self.weight * pseudo, {**out.terms, "pseudo": pseudo}, guess=out.guess)


@mutant("declarations", "the weak view is the target, the strong one learns")
class StrongViewIsTheTarget(Gated):
    targets = (1,)
    told_by = (1,)

    def passed(self, weak, strong):
        return strong, weak


@mutant("term_gradients", "the view u[0] ('weak') is declared a target, but gradient flows through it")
class StrongViewIsTheTargetUnsaid(Gated):
    told_by = (1,)

    def passed(self, weak, strong):
        return strong, weak


@mutant("guess", "but gives no guess")
class GateWithoutAGuess(Gated):
    def loss(self, batch, progress):
        return super().loss(batch, progress)._replace(guess=None)


@mutant("guess", "they are probabilities of classes")
class BelievesLogits(Gated):
    def believed(self, target, kept):
        return super().believed(3 * target, kept)


@mutant("guess", "no other images there change it")
class SaysTooManyViews(Gated):
    told_by = (0, 1)


@mutant("guess", "under bf16 autocast the weight of `guess` is torch.bfloat16")
class MaskInBf16(Gated):
    def mask(self, weak, strong):
        return super().mask(weak, strong).to(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)


@mutant("guess", "it is finite float32")
class NegativeWeight(Gated):
    def believed(self, target, kept):
        return super().believed(target, kept - 1)


@mutant("mean_over_rows", "'pseudo' is")
class SoftmaxOverTheBatch(Gated):  # not over the classes
    def mask(self, weak, strong):
        return gate(weak.detach().softmax(dim=0).amax(dim=1), self.threshold / 2)


@mutant("declarations", "closes a gate, but no option is called so")
class GateOfAnOptionThatIsNotThere(Gated):
    gates = {"tau": 0.0}


@mutant("declarations", "opens a gate, but the method refuses it")
class GateThatIsRefused(Gated):
    gates = {"threshold": -1.0}

    def __init__(self, net, facts, *, weight: float = 1.0, threshold: float = 0.95, decay: float = 0.999):
        super().__init__(net, facts, weight=weight, threshold=between("threshold", threshold, 0, 1), decay=decay)


@mutant("guess", "of the unlabelled images they are (U, K) and (U,)")
class BelievesOfLabelledRows(Gated):
    def believed(self, target, kept):
        return super().believed(torch.cat((target, target)), torch.cat((kept, kept)))


# Statistics of batches


@mutant("ranks", "on rank")
class ThresholdOfItsOwnSlice(Adaptive):
    def counted(self, confidence):
        return 0.5 * self.level.value + 0.5 * confidence.mean()


@mutant("mean_over_rows", "'pseudo' is")
class ThresholdGrowsWithTheBatch(Adaptive):
    def counted(self, confidence):
        return self.level.value + 0.05 * confidence.sum()


@mutant("loss_writes_nothing", "`loss` writes level.value")
class ThresholdWrittenInLoss(Adaptive):
    def counted(self, confidence):
        self.level.update(confidence)
        return self.level.value


@mutant("no_synchronisation", "mutants.py, line")
class ThresholdReadBack(Adaptive):
    def counted(self, confidence):
        return float(super().counted(confidence))


@mutant("state_dict", "self.now changes during training")
class ThresholdKeptInPython(Adaptive):
    now = 0.25

    def counted(self, confidence):
        return self.now

    def after_step(self, seen, progress):
        super().after_step(seen, progress)
        self.now = 0.9 * self.now + 0.1 * seen["confidence"].mean()


@mutant("ranks", "on rank")
class StatisticOfItsOwnSliceKept(Adaptive):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        mean = out.seen["confidence"].square().mean()  # a number of the slice, as if it were each row's
        return out._replace(seen={"confidence": mean.expand(len(batch.u[0])) * out.seen["confidence"][0] ** 0.1})


@mutant("graph", "does not trace as one graph")
class BranchOnProgress(Gated):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out if progress > 0.5 else out._replace(total=out.terms["supervised"] + 0.5 * self.weight * out.terms["pseudo"])


# Random draws


@mutant("order", "does a row meet another?")
class NeighboursMixed(Mixing):  # not random pairs: the next row of the batch
    def pairs(self, n, device):
        return torch.arange(n, device=device).roll(1)


@mutant("term_gradients", "the view u[1] ('weak') is declared a target, but gradient flows")
class GuessesAreLearnedFromToo(Mixing):
    targets = (1,)


@mutant("guess", "carries a gradient")
class GuessWithGradient(Mixing):
    def guess(self, batch):
        with frozen_stats(self.net):
            return torch.stack([full_precision(self.net(view)).softmax(dim=1) for view in batch.u]).mean(dim=0)


@mutant("mean_over_rows", "'agreement' is")
class GuessSharpenedOverTheBatch(Mixing):  # the softmax is over the rows
    def guess(self, batch):
        return super().guess(batch).log().softmax(dim=0)


@mutant("weight_zero_ignores_unlabeled", "changes with the unlabelled images")
class LabelledMixedWithUnlabelled(Mixing):  # each with the same place of the other stream, whatever is drawn
    def loss(self, batch, progress):
        return super().loss(batch._replace(x=0.9 * batch.x + 0.1 * batch.u[0][: len(batch.x)]), progress)


# A bank with a row for each labelled one


@mutant("order", "bank after a step depends on the order")
class LastOfRepeatsWins(Banked):
    def merged(self, index, hidden):
        return hidden


@mutant("memory", "rows that the batch did not visit")
class BankByPlaceInTheBatch(Banked):
    def place(self, index):
        return torch.arange(len(index), device=index.device)


@mutant("memory", "change what other rows remember")
class BankOfNeighbours(Banked):
    def merged(self, index, hidden):
        return super().merged(index, hidden) + 0.1 * hidden.mean(dim=0)


@mutant("memory", "stands twice in a batch")
class BankAddsRepeatsUp(Banked):
    def after_step(self, seen, progress):
        self.bank.mul_(1)
        self.bank.index_add_(0, self.place(seen["index"]), 0.3 * seen["hidden"])


@mutant("order", "memory after a step depends on the order")
class LastVisitWins(PlainTempEns):
    def after_step(self, seen, progress):
        index, own = seen["index"], seen["own"]
        self.memory[index] = self.alpha * self.memory[index] + (1 - self.alpha) * own
        self.visits[index] = self.visits[index] + 1


@mutant("terms", "the method raised IndexError")
class RowsTakenForPlacesInTheStream(PlainTempEns):  # a memory of the unlabelled stream, where some rows are not in it
    def __init__(self, net, facts, **options):
        super().__init__(net, facts._replace(rows=len(facts.unlabeled)), **options)


# A term that is off by default


@mutant("total", "is a sign wrong?")
class EntropyMadeLarger(Optional):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        if self.entropy == 0:
            return out
        return out._replace(total=out.total - 2 * self.entropy * out.terms["entropy"])


@mutant("mean_over_rows", "'entropy' is")
class EntropySummed(Optional):
    def uncertainty(self, logits):
        return entropy(logits).sum()


@mutant("bf16", "makes a product of matrices in bf16 itself")
class SimilaritiesInBf16(Banked):
    def near(self, weak):
        return F.normalize(weak.detach(), dim=1) @ self.bank.T


@mutant("mean_over_rows", "what is kept of a batch is a mean over its rows")
class ThresholdOfASum(Adaptive):
    def after_step(self, seen, progress):
        super().after_step({"confidence": seen["confidence"].sum()[None]}, progress)


@mutant("guess", "though there is a weak view to say what they are")
class LabelFromTheStrongViewSaid(LabelFromTheStrongView):
    told_by = (0, 1)


@mutant("guess", "is a pseudo-label taken from the strong view?")
class LabelFromTheStrongViewEarlyOn(Gated):
    def loss(self, batch, progress):
        out, late = super().loss(batch, progress), (progress > 0.5).float()
        with torch.no_grad(), frozen_stats(self.net):
            strong = one_hot(self.net(batch.u[1]).argmax(dim=1), 4)
        return out._replace(guess=out.guess._replace(target=late * out.guess.target + (1 - late) * strong))


# What is learned, and what is believed


@mutant("learns_guess", "is the mask of the loss another one, or stricter?")
class MaskFromTheStrongViewAndEveryRowSaidToCount(MaskFromTheStrongView):
    def believed(self, target, kept):
        return super().believed(target, torch.ones_like(kept))


@mutant("learns_guess", "is the mask of the loss another one, or stricter?")
class MaskStricterThanItIsSaid(Gated):
    def loss(self, batch, progress):
        with torch.no_grad(), frozen_stats(self.net):
            said = self.mask(self.net(batch.u[0]), None)
        out = super().loss(batch, progress)
        return out._replace(guess=out.guess._replace(weight=said))

    def rows(self, weak, strong, target):
        return super().rows(weak, strong, target) * gate(probabilities(weak).amax(dim=1), 0.999)


@mutant("learns_guess", "is the gate inverted?")
class GateInverted(Gated):
    def mask(self, weak, strong):
        return 1 - super().mask(weak, strong)


@mutant("learns_guess", "is a label an argmin?")
class LabelOfTheLeastProbability(Gated):
    def target(self, weak, strong):
        return one_hot(weak.detach().argmin(dim=1), weak.shape[1])


@mutant("learns_guess", "or another class learned than the guess says?")
class SecondClassLearned(Gated):
    def rows(self, weak, strong, target):
        return row_cross_entropy(strong, weak.detach().topk(2, dim=1).indices[:, 1])


@mutant("learns_guess", "believe its guess less; is a sign wrong, or another label learned")
class OwnLabelOfTheStrongViewLearned(Gated):
    def rows(self, weak, strong, target):
        return row_cross_entropy(strong, strong.detach().argmax(dim=1))


@mutant("learns_guess", "believe its guess less; is a sign wrong, or another label learned")
class LikelihoodMadeSmaller(Gated):  # the sign is wrong inside the term
    def rows(self, weak, strong, target):
        return -super().rows(weak, strong, target)


@mutant("learns_guess", "is a softmax taken twice")
class SoftmaxTwice(Gated):
    def rows(self, weak, strong, target):
        return super().rows(weak, strong.softmax(dim=1), target)


@mutant("learns_guess", "a logarithm left out")
class LikelihoodWithoutItsLogarithm(Gated):
    def rows(self, weak, strong, target):
        return F.nll_loss(strong.softmax(dim=1), target.argmax(dim=1), reduction="none")


@mutant("guess", "declare what the method believes")
class MaskFromTheStrongViewAndNothingDeclared(MaskFromTheStrongView):
    gates = {}

    def believed(self, target, kept):
        return None


@mutant("guess", "declare what the method believes")
class ThresholdOnLogitsAndNothingDeclared(ThresholdOnLogits):
    gates = {}

    def believed(self, target, kept):
        return None


# Nothing is kept


@mutant("seed", "is not finite after some steps: a division by the number of kept rows without a floor?")
class NothingIsEverKept(Gated):
    def mean(self, rows, kept):
        return (rows * kept).sum() / gate(kept, 1.01).sum()


@mutant("hidden_labels", "is not finite after some steps: a division by the number of kept rows without a floor?")
class DividedByTheKeptRowsWithoutAFloor(Gated):
    def mean(self, rows, kept):
        return (rows * kept).sum() / kept.sum()


@mutant("ranks", "or is the loss divided by the rows that were kept?")
class DividedByTheKeptRowsOfAGateThatIsNotDeclared(DividedByTheKeptRows):
    gates = {}
