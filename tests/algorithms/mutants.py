"""Methods with one fault each, and the check that must find it.

The faults are real: most stand, or stood, in published code. `PlainMeanTeacher` and `PlainTempEns` are right, and every mutant
differs from one of them by its fault alone.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from ssl_zoo import DATASETS, AlgorithmBase, Step
from ssl_zoo.batch import merge_repeats
from ssl_zoo.ema import Teacher
from ssl_zoo.losses import cross_entropy, full_precision, squared_error


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
        return cross_entropy(labeled, batch.y)

    def consistency(self, own, other):
        return squared_error(own, other)

    def loss(self, batch, progress):
        labeled, own, other = self.predict(batch)
        supervised, consistency = self.supervised(labeled, batch), self.consistency(own, other)
        return Step(supervised + self.weight * consistency, {"supervised": supervised, "consistency": consistency})

    def after_step(self, seen):
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
        supervised = cross_entropy(labeled, batch.y)
        weight = self.row_weight(batch.u_index)
        consistency = squared_error(own.softmax(dim=1), self.target(batch.u_index), row_weight=weight)
        total = supervised + self.weight * consistency
        terms = {"supervised": supervised, "consistency": consistency}
        return Step(total, terms, {"index": batch.u_index, "own": self.remembered(own).detach()})

    def after_step(self, seen):
        index, own = seen["index"], merge_repeats(seen["index"], seen["own"])
        self.memory[index] = self.alpha * self.memory[index] + (1 - self.alpha) * own
        self.visits[index] = self.visits[index] + 1


RIGHT = [PlainMeanTeacher, PlainTempEns]
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


@mutant("total", "give every part of total its own name")
class TermWithoutAName(PlainMeanTeacher):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + 0.1 * self.net.head.weight.square().sum())


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


@mutant("hidden_labels", "depends on labels of unlabelled images")
class HiddenLabelsUsed(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.truth = torch.from_numpy(DATASETS.create("digits", "").labels)

    def loss(self, batch, progress):
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


# The teacher


@mutant("teacher_gradients", "would train the teacher")
class TeacherReceivesGradient(PlainMeanTeacher):
    def __init__(self, net, facts, *, weight: float = 10.0):
        AlgorithmBase.__init__(self, net, facts)
        self.weight, self.mean = weight, copy.deepcopy(net)

    def predict(self, batch):
        labeled, own = self.student_logits(batch.x, batch.u[0])
        return labeled, own.softmax(dim=1), full_precision(self.mean(batch.u[1])).softmax(dim=1)

    def after_step(self, seen):
        for mean, own in zip(self.mean.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(own, 0.1)

    def eval_net(self):
        return self.mean


@mutant("teacher", "does not move in `after_step`")
class AverageNeverApplied(PlainMeanTeacher):
    def after_step(self, seen):
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

    def after_step(self, seen):
        for mean, own in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
            mean.mul_(1 - self.decay).add_(own, alpha=self.decay)

    def eval_net(self):
        return self.teacher


@mutant("teacher", "is no average of itself and the net's")
class WeightsAloneAveraged(PlainMeanTeacher):
    def after_step(self, seen):
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


@mutant("memory", "changes what other rows remember")
class ValueLeaksToAnotherRow(PlainTempEns):
    def remembered(self, logits):
        own = logits.softmax(dim=1)
        return 0.9 * own + 0.1 * own.mean(dim=0)


@mutant("memory", "rows that the batch did not visit")
class EveryRowDecays(PlainTempEns):
    def after_step(self, seen):
        super().after_step(seen)
        self.memory *= 0.9


@mutant("memory", "before any visit")
class FirstVisitWeighs(PlainTempEns):
    def row_weight(self, index):
        return torch.ones(len(index))


@mutant("memory", "stands twice in a batch")
class RepeatsCountTwice(PlainTempEns):
    def after_step(self, seen):
        super().after_step(seen)
        self.visits[seen["index"]] -= 1
        self.visits.index_add_(0, seen["index"], torch.ones_like(seen["index"]))


@mutant("loss_writes_nothing", "`loss` writes memory")
class MemoryWrittenInLoss(PlainTempEns):
    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        with torch.no_grad():
            super().after_step(out.seen)
        return out

    def after_step(self, seen):
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

    def after_step(self, seen):
        self.visits[seen["index"]] += 1
        self.past |= {int(row): own for row, own in zip(seen["index"], seen["own"], strict=True)}


@mutant("state_dict", "self.count changes during training")
class UpdatesCountedInPython(PlainMeanTeacher):
    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.count = 0

    def after_step(self, seen):
        super().after_step(seen)
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

    def after_step(self, seen):
        super().after_step(seen)
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


@mutant("declarations", "must be 'weak'")
class FirstViewStrong(PlainMeanTeacher):
    views = ("strong", "weak")
