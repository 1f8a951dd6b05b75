"""Each method against an independent transcription of its paper in numpy: the loss and the update, over several steps, in fp64.

The model is linear, so that its gradient can be written by hand: logits z = X W' + b, d loss / d W = (d loss / d z)' X. The numpy
side uses nothing of `ssl_zoo`.

Sources: supervised and Pi-model: Laine & Aila 2017, arXiv:1610.02242, algorithm 1 and sec. 2.1. Temporal Ensembling: there,
algorithm 2. Mean Teacher: Tarvainen & Valpola 2017, arXiv:1703.01780, sec. 2, eq. 1 and the consistency cost J.
"""

import numpy as np
import pytest
import torch
from torch import nn

from ssl_zoo import ALGORITHMS, Batch, Facts

CLASSES, ROWS, LABELED, B, U, D, LR, STEPS = 3, 7, 4, 4, 5, 6, 0.5, 6
ROW_OF_CLASS = np.array([0, 1, 2, 0])  # classes of the labelled rows


class Linear(nn.Module):
    def __init__(self, weight, bias):
        super().__init__()
        self.linear = nn.Linear(D, CLASSES).double()
        self.linear.weight.data = torch.from_numpy(weight.copy())
        self.linear.bias.data = torch.from_numpy(bias.copy())

    def forward(self, x):
        return self.linear(x.flatten(1))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def through_softmax(p, dp):
    """d loss / d z from d loss / d p."""
    return p * (dp - (p * dp).sum(axis=1, keepdims=True))


def rise(progress, length):
    """Laine & Aila: w(t) = exp(-5 (1 - T)^2) during the first part of the training, then 1."""
    return np.exp(-5 * (1 - min(progress / length, 1)) ** 2)


class Paper:
    """One method, transcribed. `W`, `b` are the student's; `step` returns its loss and moves them by plain gradient descent."""

    def __init__(self, weight, bias, *, w_max, length, **switches):
        self.W, self.b, self.w_max, self.length, self.switches = weight.copy(), bias.copy(), w_max, length, switches
        self.start()

    def start(self):
        pass

    def logits(self, x):
        return x @ self.W.T + self.b

    def step(self, x, y, views, rows, progress):
        z = self.logits(x)
        p = softmax(z)
        m = len(x) + len(views[0]) if self.switches.get("whole_batch") and views else len(x)
        weight = np.array(self.switches.get("class_weights", [1.0] * CLASSES))[y]
        loss = -(weight * np.log(p[np.arange(len(y)), y])).sum() / m
        dz = weight[:, None] * (p - np.eye(CLASSES)[y]) / m
        pulls = [(dz, x)]
        w = self.w_max * rise(progress, self.length) * (LABELED / ROWS if self.switches.get("scaled") else 1)
        if views:
            value, unsupervised = self.unsupervised(views, rows)
            loss += w * value
            pulls += [(w * d, v) for d, v in unsupervised]
        self.W -= LR * sum(d.T @ v for d, v in pulls)
        self.b -= LR * sum(d.sum(axis=0) for d, _ in pulls)
        self.after(rows)
        return loss

    def squared(self, a, b):
        """Mean over images and classes (or sum over classes) of (a - b)^2, and its derivative with respect to a."""
        n = a.shape[0] * (1 if self.switches.get("sum") else CLASSES)
        return ((a - b) ** 2).sum() / n, 2 * (a - b) / n

    def after(self, rows):
        pass


class Supervised(Paper):
    pass


class Pi(Paper):
    """sec. 2.1: || z_i - z~_i ||^2 of two evaluations, gradient through both; on probabilities (or as asked, logits)."""

    def unsupervised(self, views, rows):
        z = [self.logits(v) for v in views]
        a, b = z if self.switches.get("logits") else map(softmax, z)
        value, da = self.squared(a, b)
        if self.switches.get("logits"):
            pulls = [(da, views[0]), (-da, views[1])]
        else:
            pulls = [(through_softmax(a, da), views[0]), (through_softmax(b, -da), views[1])]
        return value, pulls[:1] if self.switches.get("one_way") else pulls


class TemporalEnsembling(Paper):
    """Algorithm 2: Z <- alpha Z + (1 - alpha) z; z~ <- Z / (1 - alpha^t), t counted for each image."""

    def start(self):
        self.Z, self.t = np.zeros((ROWS, CLASSES)), np.zeros(ROWS, int)

    def unsupervised(self, views, rows):
        alpha = self.switches["alpha"]
        self.now = softmax(self.logits(views[0]))
        value, dz = 0.0, np.zeros_like(self.now)
        n = len(rows) * (1 if self.switches.get("sum") else CLASSES)
        for i, row in enumerate(rows):
            if self.t[row]:  # the paper's first epoch has weight zero
                target = self.Z[row] / (1 - alpha ** self.t[row])
                value += ((self.now[i] - target) ** 2).sum() / n
                dz[i] = 2 * (self.now[i] - target) / n
        return value, [(through_softmax(self.now, dz), views[0])]

    def after(self, rows):
        alpha = self.switches["alpha"]
        for i, row in enumerate(rows):
            self.Z[row] = alpha * self.Z[row] + (1 - alpha) * self.now[i]
            self.t[row] += 1


class MeanTeacher(Paper):
    """theta'_t = alpha theta'_{t-1} + (1 - alpha) theta_t, first a true average; J = || f(theta', eta') - f(theta, eta) ||^2."""

    def start(self):
        self.TW, self.Tb, self.t = self.W.copy(), self.b.copy(), 0

    def unsupervised(self, views, rows):
        z, zt = self.logits(views[0]), views[1] @ self.TW.T + self.Tb
        if self.switches.get("logits"):
            value, dz = self.squared(z, zt)
            return value, [(dz, views[0])]
        p = softmax(z)
        if self.switches.get("kl"):
            q = softmax(zt)
            return (q * np.log(q / p)).sum() / len(p), [((p - q) / len(p), views[0])]
        value, dp = self.squared(p, softmax(zt))
        return value, [(through_softmax(p, dp), views[0])]

    def after(self, rows):
        self.t += 1
        alpha = self.switches["decay"]
        if self.switches.get("true_average", True):
            alpha = min(1 - 1 / (self.t + self.switches.get("count_initial", 1)), alpha)
        self.TW = alpha * self.TW + (1 - alpha) * self.W
        self.Tb = alpha * self.Tb + (1 - alpha) * self.b


CASES = [
    ("supervised", Supervised, {}, {}),
    ("pimodel", Pi, {}, {}),
    ("pimodel", Pi, {"stop_gradient": True}, {"one_way": True}),
    ("pimodel", Pi, {"space": "logits"}, {"logits": True}),
    ("pimodel", Pi, {"reduction": "sum", "joint_forward": False}, {"sum": True}),
    ("pimodel", Pi, {"ce_denominator": "batch", "scale_by_labeled_fraction": True}, {"whole_batch": True, "scaled": True}),
    ("tempens", TemporalEnsembling, {"alpha": 0.6}, {"alpha": 0.6}),
    ("tempens", TemporalEnsembling, {"alpha": 0.0}, {"alpha": 0.0}),
    ("tempens", TemporalEnsembling, {"alpha": 0.9, "reduction": "sum"}, {"alpha": 0.9, "sum": True}),
    ("meanteacher", MeanTeacher, {"decay": 0.7}, {"decay": 0.7}),
    ("meanteacher", MeanTeacher, {"decay": 0.7, "warmup_average": False}, {"decay": 0.7, "true_average": False}),
    ("meanteacher", MeanTeacher, {"decay": 0.7, "count_initial": False}, {"decay": 0.7, "count_initial": 0}),
    ("meanteacher", MeanTeacher, {"decay": 0.9, "space": "logits"}, {"decay": 0.9, "logits": True}),
    ("meanteacher", MeanTeacher, {"decay": 0.9, "space": "kl"}, {"decay": 0.9, "kl": True}),
    ("meanteacher", MeanTeacher, {"decay": 0.9, "reduction": "sum"}, {"decay": 0.9, "sum": True}),
    # weights of classes in the supervised term, over the number of images (Cui et al. 2019, arXiv:1901.05555, eq. 6)
    ("supervised", Supervised, {}, {"class_weights": [0.5, 2.0, 1.5]}),
    ("pimodel", Pi, {"ce_denominator": "batch"}, {"whole_batch": True, "class_weights": [0.5, 2.0, 1.5]}),
    ("tempens", TemporalEnsembling, {"alpha": 0.6}, {"alpha": 0.6, "class_weights": [0.5, 2.0, 1.5]}),
    ("meanteacher", MeanTeacher, {"decay": 0.7}, {"decay": 0.7, "class_weights": [0.5, 2.0, 1.5]}),
]


@pytest.mark.parametrize(("name", "paper", "options", "switches"), CASES, ids=str)
def test_loss_and_update_equal_the_papers(name, paper, options, switches):
    draw = np.random.default_rng(0)
    weight, bias = draw.normal(size=(CLASSES, D)), draw.normal(size=CLASSES)
    wanted = paper(weight, bias, w_max=3.0, length=0.5, **switches)
    consistency = {} if name == "supervised" else {"weight": 3.0, "ramp_length": 0.5}
    facts = Facts(CLASSES, ROWS, torch.arange(LABELED), torch.from_numpy(ROW_OF_CLASS), torch.arange(ROWS))
    if "class_weights" in switches:
        facts = facts._replace(class_weights=torch.tensor(switches["class_weights"]))
    method = ALGORITHMS.create(name, net=Linear(weight, bias), facts=facts, **consistency, **options).double()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], LR)

    for step in range(STEPS):
        x, views = draw.normal(size=(B, D)), [draw.normal(size=(U, D)) for _ in method.views]
        rows, progress = draw.permutation(ROWS)[:U], step / STEPS
        loss = wanted.step(x, ROW_OF_CLASS, views, rows, progress)

        def image(pixels):
            return torch.from_numpy(pixels).view(-1, D, 1, 1)

        index = torch.from_numpy(rows) if views else torch.empty(0, dtype=torch.int64)
        batch = Batch(image(x), torch.from_numpy(ROW_OF_CLASS), torch.arange(B), tuple(map(image, views)), index)
        out = method.loss(batch, torch.tensor(progress, dtype=torch.float64))
        optimizer.zero_grad()
        out.total.backward()
        optimizer.step()
        with torch.no_grad():
            method.after_step(out.seen, torch.tensor(progress))

        assert out.total.dtype == torch.float64
        np.testing.assert_allclose(out.total.item(), loss, rtol=1e-6)
        np.testing.assert_allclose(method.net.linear.weight.detach().numpy(), wanted.W, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(method.net.linear.bias.detach().numpy(), wanted.b, rtol=1e-6, atol=1e-7)
        if name == "tempens":
            np.testing.assert_allclose(method.memory.numpy(), wanted.Z, rtol=1e-6, atol=1e-7)
            np.testing.assert_array_equal(method.visits.numpy(), wanted.t)
        if name == "meanteacher":
            np.testing.assert_allclose(method.teacher.net.linear.weight.numpy(), wanted.TW, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(method.teacher.net.linear.bias.numpy(), wanted.Tb, rtol=1e-6, atol=1e-7)
