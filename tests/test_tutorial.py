"""`--preset tutorial` is the tutorial: its own code, run beside ours on the same weights and images.

The tutorial's text is no part of this repository. Where it lies beside it, as `../shared/reference/tutorial.md`, its code
blocks are read and executed; elsewhere these tests are skipped.
"""

import ast
import re
import sys
import types
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import chi2_contingency
from torch.utils.data import DataLoader
from torchvision import transforms

from ssl_zoo import AUGMENTATIONS, NETS, config, presets, recipes
from ssl_zoo.batch import Batch, Facts
from ssl_zoo.data.augment import View
from ssl_zoo.device import machine
from ssl_zoo.registry import ALGORITHMS
from ssl_zoo.schedules import lr_factor
from ssl_zoo.train.trainer import Trainer

TEXT = Path(__file__).resolve().parents[2] / "shared/reference/tutorial.md"
pytestmark = pytest.mark.skipif(not TEXT.exists(), reason="the tutorial's text is not beside this checkout")
LABELED, UNLABELED, SIDE, STEPS = 16, 112, 16, 3  # images of a step, pixels, steps of an epoch
NET = "wrn16_2"


@pytest.fixture(scope="module")
def tutorial():
    """The modules of the tutorial: `cifar10`, `wideresnet`, and `main`."""
    pytest.importorskip("timm", reason="the tutorial takes its optimiser and its schedule from timm")
    blocks = re.findall(r"^~~~python\n(.*?)^~~~", TEXT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    made = SimpleNamespace()
    with pytest.MonkeyPatch.context() as patch:
        for name, block in zip(("cifar10", "wideresnet", "main"), blocks, strict=True):
            module = types.ModuleType(f"tutorial_{name}")
            patch.setitem(sys.modules, name, module)  # as the third block imports the first two
            exec(compile(block, f"tutorial, {name}", "exec"), module.__dict__)
            setattr(made, name, module)
        yield made


@pytest.fixture(scope="module")
def arg(tutorial):
    """The class of settings inside the tutorial's `main`."""
    (block,) = re.findall(r"^def main\(\):\n.*?^if __name__", TEXT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    tree = ast.parse(block.rpartition("if __name__")[0])
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    names: dict = {}
    exec(compile(ast.Module([found], []), "tutorial, arg", "exec"), names)
    return names["arg"]


def settings(**on_top):
    """What `--dataset cifar10 --preset tutorial --budget full` resolves to, with something on top."""
    given = recipes.read_recipes(["cifar10"], recipes.FOLDER, "full", [("tutorial", presets.read_preset("tutorial"))])
    recipes.put_recipe(given, recipes.as_recipe(on_top, "the test"))
    return config.resolve(given)


def images(count, seed):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def batch(step):
    """Labels and both views of labelled and unlabelled images."""
    labels = torch.randint(0, 10, (LABELED,), generator=torch.Generator().manual_seed(step))
    labeled, unlabeled = ([images(n, 100 * step + k) for k in (first, first + 1)] for n, first in ((LABELED, 0), (UNLABELED, 2)))
    return labels, labeled, unlabeled


def theirs(tutorial, arg, student, teacher, epochs, schedule):
    """Run two epochs of the tutorial's `train`. Returns its losses: supervised, consistency, weight of each step."""
    made = tutorial.main.create_optimizer_v2(student, **tutorial.main.optimizer_kwargs(cfg=arg))
    if schedule:
        scheduler, total = tutorial.main.create_scheduler(arg, made)
        assert total == epochs
    else:
        scheduler = SimpleNamespace(step=lambda epoch: None)
    said = {"supervised": [], "consistency": [], "weight": []}

    def recorded(name, function):
        def call(*args, **kwargs):
            value = function(*args, **kwargs)
            said[name].append(float(value))
            return value

        return call

    with pytest.MonkeyPatch.context() as patch:
        losses = SimpleNamespace(
            cross_entropy=recorded("supervised", F.cross_entropy), mse_loss=recorded("consistency", F.mse_loss)
        )
        patch.setattr(tutorial.main, "F", losses)
        patch.setattr(tutorial.main, "cal_consistency_weight", recorded("weight", tutorial.main.cal_consistency_weight))
        for epoch in range(2):
            steps = [batch(epoch * STEPS + k) for k in range(STEPS)]
            label_loader = DataLoader([(labeled, labels) for labels, labeled, _ in steps], batch_size=None)
            unlabel_loader = DataLoader([(unlabeled, torch.full((UNLABELED,), -1)) for *_, unlabeled in steps], batch_size=None)
            device = torch.device("cpu")
            tutorial.main.train(student, teacher, device, label_loader, unlabel_loader, scheduler, made, epoch, epochs)
    return said


def ours(chosen, folder):
    """Run as many steps of our trainer. Returns the method and its losses."""
    net = NETS.create(NET, 10, 3, (SIDE, SIDE), **chosen.nets[NET])
    rows = torch.arange(1000)
    facts = Facts(classes=10, rows=1000, labeled=rows[:80], labels=rows[:80] % 10, unlabeled=rows[80:])
    method = ALGORITHMS.create("meanteacher", net, facts, **chosen.options)

    def as_batch(step):
        labels, (x, x2), unlabeled = batch(step)
        return Batch(x, labels, torch.arange(LABELED), tuple(unlabeled), torch.arange(UNLABELED), (x2,))

    made = SimpleNamespace(sizes={"labeled": LABELED, "unlabeled": UNLABELED}, batch=as_batch)
    return method, Trainer(method, made, None, chosen, machine("cpu", chosen.precision), folder)


def apart(one, other):
    """The largest difference of two tensors, relative to the largest value."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def differences(one, other):
    """Of two nets, in the order of their state: the largest relative difference of weights, and of running statistics."""
    kinds = {"weights": [], "statistics": []}
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert mine.shape == theirs.shape
        kind = "statistics" if "running" in name or "num_batches" in name else "weights"
        kinds[kind].append(apart(mine.double(), theirs.double()))
    return {kind: max(found) for kind, found in kinds.items()}


TRAINED = {}  # the tutorial's half, which is the same whatever ours is made of


def trained_by_the_tutorial(tutorial, arg, whole):
    """Return the initial weights, the student, the teacher and the terms of the loss."""
    key = (whole, torch.get_default_dtype())
    if key not in TRAINED:
        torch.manual_seed(0)
        student = tutorial.wideresnet.build_wideresnet(depth=16, widen_factor=2, dropout=0.0, num_classes=10)
        teacher = tutorial.wideresnet.build_wideresnet(depth=16, widen_factor=2, dropout=0.0, num_classes=10)
        teacher.load_state_dict(
            student.state_dict()
        )  # ours is a copy; the tutorial's, drawn apart, counts in the first loss only
        initial = {name: value.clone() for name, value in student.state_dict().items()}
        said = theirs(tutorial, arg, student, teacher, 2 if whole else 200, schedule=not whole)
        TRAINED[key] = initial, student, teacher, said
    return TRAINED[key]


def beside_each_other(tutorial, arg, folder, whole, **changed):
    """Train both from the same weights, on the same images. Returns the largest relative difference of each kind."""
    wide = settings().nets["wrn28_3"] | {"drop_rate": 0.0}
    run = {"steps": 2 * STEPS, "schedule": {"name": "constant"}} if whole else {"steps": 200 * STEPS}
    algorithms = {"meanteacher": changed.pop("meanteacher", {})}
    chosen = settings(net=NET, nets={NET: wide | changed}, algorithms=algorithms, **run)
    initial, student, teacher, said = trained_by_the_tutorial(tutorial, arg, whole)
    method, trainer = ours(chosen, folder)
    for net in (method.net, method.teacher.net):
        net.load_state_dict(dict(zip(net.state_dict(), initial.values(), strict=True)))
    method.train()
    terms = [trainer.step(step)[0] for step in range(2 * STEPS)]
    losses = {name: torch.tensor([float(term[name].detach()) for term in terms]) for name in said}
    found = {"losses": max(apart(losses[name], torch.tensor(said[name])) for name in said)}
    found |= {f"student's {kind}": value for kind, value in differences(method.net, student).items()}
    return found | {f"teacher's {kind}": value for kind, value in differences(method.teacher.net, teacher).items()}


@pytest.fixture
def in_64_bits():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_64_bits")
def test_the_first_two_epochs(tutorial, arg, tmp_path):
    """In 32 bits a weight that stays near zero differs by its rounding, more on one processor than on another."""
    found = beside_each_other(tutorial, arg, tmp_path, whole=False)
    assert max(found.values()) < 1e-11, found


@pytest.mark.usefixtures("in_64_bits")
def test_a_run_of_two_epochs_at_the_full_rate(tutorial, arg, tmp_path):
    """The first two of 200 have small rates and weights. At full ones, six steps make rounding a thousand times larger."""
    found = beside_each_other(tutorial, arg, tmp_path, whole=True)
    assert max(found.values()) < 1e-12, found


MUTANTS = {  # what the preset once had, and what shows it
    "transition": ({"transition": "activated"}, "losses"),
    "momentum": ({"bn_momentum": 0.1}, "student's statistics"),
    "count_initial": ({"meanteacher": {"count_initial": True}}, "teacher's weights"),
}


@pytest.mark.usefixtures("in_64_bits")
@pytest.mark.parametrize("name", MUTANTS)
def test_what_the_preset_once_had_is_seen(tutorial, arg, tmp_path, name):
    changed, where = MUTANTS[name]
    found = beside_each_other(tutorial, arg, tmp_path, True, **changed)
    assert found[where] > 1e-2, found


def test_the_net_with_dropout(tutorial):
    """The same weights and the same random numbers give the same logits, to the bit."""
    wide = settings().nets["wrn28_3"]
    theirs = tutorial.wideresnet.build_wideresnet(depth=28, widen_factor=3, dropout=0.1, num_classes=10)
    mine = NETS.create("wrn28_3", 10, 3, (32, 32), **wide)
    mine.load_state_dict(dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = []
    for net in (theirs, mine):
        torch.manual_seed(1)
        logits.append(net(x))
    assert torch.equal(*logits) and wide["drop_rate"] == 0.1


def test_the_learning_rate_of_every_step(tutorial, arg):
    """timm's scheduler, called after each step with the number of the epoch."""
    made = tutorial.main.create_optimizer_v2(torch.nn.Linear(1, 1), **tutorial.main.optimizer_kwargs(cfg=arg))
    scheduler, epochs = tutorial.main.create_scheduler(arg, made)
    rates = []
    for epoch in range(epochs):
        for _ in range(410):
            rates.append(made.param_groups[0]["lr"])
            scheduler.step(epoch=epoch)
    chosen = settings()
    assert (epochs, len(rates), chosen.steps) == (200, 82_000, 82_000)
    found = [chosen.optimizer.lr * lr_factor(step / chosen.steps, **vars(chosen.schedule)) for step in range(chosen.steps)]
    assert found == pytest.approx(rates, rel=1e-12)
    assert (rates[0], rates[410], rates[411]) == pytest.approx((1e-4, 1e-4, 0.0334))


def test_the_optimiser(tutorial, arg, tmp_path):
    net = tutorial.wideresnet.WideResNet(10, 16, 2)
    theirs = tutorial.main.create_optimizer_v2(net, **tutorial.main.optimizer_kwargs(cfg=arg))
    _, trainer = ours(settings(net=NET, nets={NET: settings().nets["wrn28_3"]}), tmp_path)
    kinds = [
        {
            (group["weight_decay"], group["momentum"], group["nesterov"], group["dampening"], p.ndim > 1): sum(
                q.numel() for q in group["params"] if (q.ndim > 1) == (p.ndim > 1)
            )
            for group in made.param_groups
            for p in group["params"]
        }
        for made in (theirs, trainer.optimizer)
    ]
    unread = 2 * (32 + 64)  # scales and shifts of two batch norms that get no gradient, which ours does not train
    (vectors,) = (kind for kind in kinds[0] if not kind[-1])
    kinds[0][vectors] -= unread
    assert kinds[0] == kinds[1]


@pytest.fixture(scope="module")
def loaders(tutorial):
    """What the tutorial's `get_cifar10` makes of data that are labels alone."""
    targets = np.random.default_rng(0).permutation(np.arange(50_000) % 10).tolist()

    class Rows:
        def __init__(self, root, indexs=None, train=True, transform=None, download=False):
            self.indexs, self.transform = indexs, transform

        def __len__(self):
            return 10_000 if self.indexs is None else len(self.indexs)

    datasets = SimpleNamespace(CIFAR10=lambda *args, **kwargs: SimpleNamespace(targets=targets))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tutorial.cifar10, "torchvision", SimpleNamespace(datasets=datasets))
        patch.setattr(tutorial.cifar10, "CIFAR10_labeled", Rows)
        patch.setattr(tutorial.cifar10, "CIFAR10_unlabeled", Rows)
        yield (*tutorial.cifar10.get_cifar10(root="", n_labeled=4000, batch_size=16, K=7), targets)


def test_streams(loaders):
    labeled, unlabeled, test, targets = loaders
    chosen = settings()
    assert (labeled.batch_size, unlabeled.batch_size) == (chosen.batch.labeled, chosen.batch.unlabeled) == (16, 112)
    rows = [set(loader.dataset.indexs) for loader in (labeled, unlabeled)]
    assert [len(each) for each in rows] == [4000, 46_000] and not rows[0] & rows[1]
    assert not chosen.batch.labeled_in_unlabeled and chosen.algorithms["meanteacher"]["consistency_on_labeled"]
    assert {*Counter(targets[row] for row in rows[0]).values()} == {400} and chosen.labels == 4000
    assert chosen.steps == 200 * len(unlabeled) and chosen.evaluation.every == len(unlabeled) and len(test) * 16 == 10_000


@pytest.fixture(scope="module")
def squares():
    """An image, and what becomes of it: its 55 squares of 28 to 32 pixels, each stretched by PIL, and mirrored or not."""
    given = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    places = [(top, left, side) for side in range(28, 33) for top in range(33 - side) for left in range(33 - side)]
    plain = [
        np.asarray(transforms.functional.resized_crop(Image.fromarray(given), top, left, side, side, [32, 32]))
        for top, left, side in places
    ]
    return given, torch.tensor(np.stack([*plain, *(image[:, ::-1] for image in plain)])).flatten(1).float()  # (110, 3072)


def viewed(given, count, **ratio):
    """So many draws of our weak view of one image, in grey levels."""
    weak = settings().views["weak"]
    assert list(weak) == ["resized_crop", "flip"]
    weak = {**weak, "resized_crop": weak["resized_crop"] | ratio}
    view = View([AUGMENTATIONS.create(name, **options) for name, options in weak.items()], torch.zeros(3), torch.ones(3))
    source = torch.Generator().manual_seed(0)
    made = view(torch.tensor(given)[None], torch.zeros(count, dtype=torch.int64), source, count, slice(None))
    return 255 * made.permute(0, 2, 3, 1).flatten(1)


def sorted_by(kinds, results):
    """How many results are of each kind, and by how much any differs from its kind."""
    which = torch.cdist(results, kinds).argmin(dim=1)
    return torch.bincount(which, minlength=len(kinds)), float((results - kinds[which]).abs().max())


def test_crops_and_mirroring(loaders, squares):
    """Both make each of the 110 equally often. Ours keep fractions of a grey level, which PIL rounds."""
    given, kinds = squares
    crop, flip, _, normalise = loaders[0].dataset.transform.transform.transforms
    torch.manual_seed(0)
    drawn = torch.tensor(np.stack([np.asarray(flip(crop(Image.fromarray(given)))) for _ in range(5000)])).flatten(1).float()
    (theirs, apart), (ours, rounding) = sorted_by(kinds, drawn), sorted_by(kinds, viewed(given, 5000))
    assert apart == 0 and rounding < 1.01
    assert (theirs > 0).all() and (ours > 0).all() and chi2_contingency(torch.stack((theirs, ours))).pvalue > 1e-4
    assert settings().input == "channel" and tuple(normalise.mean) == (0.4914, 0.4822, 0.4465)  # those of the training images


def test_crops_of_another_ratio_are_seen(squares):
    given, kinds = squares
    assert sorted_by(kinds, viewed(given, 100, ratio=(0.75, 1.3333)))[1] > 50


@pytest.mark.parametrize("seed", range(2))
def test_initial_weights(tutorial, seed):
    """Of every tensor the deviation is the same, and of large ones the shape too, within what so many numbers allow."""
    torch.manual_seed(seed)
    theirs = tutorial.wideresnet.WideResNet(10, 16, 8)
    mine = NETS.create("wrn16_8", 10, 3, (32, 32), **settings().nets["wrn28_3"])
    for (name, a), b in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
        drawn = a.ndim > 1  # a weight; others are constant
        sizes = [float(value.double().square().mean().sqrt()) for value in (a, b)]
        assert sizes[0] == pytest.approx(sizes[1], rel=5 / a.numel() ** 0.5 if drawn else 1e-6), name
        if drawn and a.numel() > 10_000:
            fourth = [float((value.double() / size).pow(4).mean()) for value, size in zip((a, b), sizes, strict=True)]
            assert fourth == pytest.approx([3, 3], rel=0.1), f"{name}: normal, where uniform has 1.8"
