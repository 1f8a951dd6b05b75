import dataclasses
import json
import math

import pytest
import torch

from ssl_zoo import ALGORITHMS, Facts, InputError
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.device import Machine
from ssl_zoo.errors import RunError
from ssl_zoo.runs.execute import go_on
from ssl_zoo.settings import EvaluationSettings, OptimizerSettings, RunSettings
from ssl_zoo.train import resume
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.evaluate import Evaluator
from ssl_zoo.train.guesses import Known
from ssl_zoo.train.logs import RunLog
from ssl_zoo.train.trainer import Trainer
from tests.conftest import STEPPED, K, TinyNet

DEVICE = torch.device("cpu")
IMAGES = torch.randint(0, 256, (20, 5, 5, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(20) % K
FACTS = Facts(K, 20, torch.arange(6), LABELS[:6], torch.arange(20))
SETTINGS = RunSettings(
    steps=12,
    optimizer=OptimizerSettings(lr=0.1),
    evaluation=EvaluationSettings(every=4, log_every=2),
    precision="fp32",
    views={"weak": {}},
)


class Noisy(TinyNet):
    """With dropout, whose draws must resume too."""

    def forward(self, x):
        return super().forward(torch.nn.functional.dropout(x, 0.3, self.training))


def make(folder, name="meanteacher", settings=SETTINGS, identity=None, net=Noisy):
    torch.manual_seed(0)
    method = ALGORITHMS.create(name, net=net(), facts=FACTS, **settings.algorithms.get(name, {}))
    view = View([], *channel_statistics(IMAGES))
    views, sizes = {"weak": view, "strong": view}, {"batch_labeled": 4, "batch_unlabeled": 6}
    pipeline = Pipeline(IMAGES, FACTS, views, unlabeled=method.views, labeled=method.labeled_views, seed=0, **sizes)
    known = LABELS.numpy().copy()
    known[:6] = -1
    evaluator = Evaluator(
        IMAGES,
        LABELS.numpy(),
        IMAGES[:5],
        LABELS[:5].numpy(),
        IMAGES[5:9],
        LABELS[5:9].numpy(),
        view.plain,
        7,
        torch.autocast("cpu", enabled=False),
        Known(known, ("ant", "bee", "cow")),
    )
    folder.mkdir(exist_ok=True)
    here = Machine(DEVICE, "fp32", 1)
    trainer = Trainer(method, pipeline, evaluator, settings, here, folder, identity or {"split_hash": "abc"})
    state = Checkpoints(folder).load(DEVICE)
    go_on(trainer, None if state is None else resume.checked(state, folder))
    return trainer


class Killed(Exception):
    pass


def kill_at(trainer, step):
    """Let the run die as it asks for the batch of a step."""
    inner = trainer.batches.batch

    def batch(asked):
        if asked == step:
            raise Killed
        return inner(asked)

    trainer.batches.batch = batch
    with pytest.raises(Killed):
        trainer.run()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Of a method's run that was left alone: what it gives, its state and its metrics. Each is made once."""
    found = {}

    def made(name, settings):
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            trainer = make(folder, name, settings)
            outcome = trainer.run()
            found[name] = outcome, trainer.algorithm.state_dict(), (folder / "metrics.jsonl").read_text()
        return found[name]

    return made


@pytest.mark.parametrize("step", [0, 3, 4, 11])
@pytest.mark.parametrize("name", STEPPED)
def test_a_killed_run_resumes_bit_for_bit(name, step, whole_run, tmp_path):
    settings = dataclasses.replace(SETTINGS, eval_ema=0.9)
    outcome, state, metrics = whole_run(name, settings)
    kill_at(make(tmp_path / "killed", name, settings), step)
    again = make(tmp_path / "killed", name, settings)
    assert again.start == step // 4 * 4
    resumed = again.run()
    assert resumed.evaluations == outcome.evaluations and resumed.confusion == outcome.confusion
    assert again.algorithm.state_dict().keys() == state.keys()
    for key, value in again.algorithm.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert (tmp_path / "killed/metrics.jsonl").read_text() == metrics


def test_adamw_resumes_bit_for_bit(tmp_path):
    settings = dataclasses.replace(SETTINGS, optimizer=OptimizerSettings(name="adamw", lr=0.01))
    whole = make(tmp_path / "whole", settings=settings)
    whole.run()
    kill_at(make(tmp_path / "killed", settings=settings), 6)
    again = make(tmp_path / "killed", settings=settings)
    assert again.start == 4
    again.run()
    for a, b in zip(whole.algorithm.state_dict().values(), again.algorithm.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_metrics_hold_every_step_once_and_in_order(tmp_path):
    kill_at(make(tmp_path), 7)
    make(tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/total" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "test/accuracy" in line] == [4, 8, 12]
    train, test = lines[0], lines[2]
    assert {"train/total", "train/supervised", "train/consistency", "train/weight", "train/lr"} < set(train)
    assert {"test/accuracy", "test/accuracy_student", "test/macro_f1", "test/balanced_accuracy", "unlabeled/accuracy"} < set(test)


def test_a_finished_run_does_nothing_more(tmp_path):
    outcome = make(tmp_path).run()
    again = make(tmp_path)
    kill_at_any = again.batches
    kill_at_any.batch = lambda step: pytest.fail("a step was made")
    assert again.run().evaluations == outcome.evaluations


def test_a_checkpoint_of_another_split_is_refused(tmp_path):
    make(tmp_path).run()
    with pytest.raises(
        InputError, match=r"another label split \(split_hash abc, now xyz\); choose another folder, or give `fresh=True`"
    ):
        make(tmp_path, identity={"split_hash": "xyz"})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    make(tmp_path).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    trainer = make(tmp_path)
    trainer.start = 8
    trainer.algorithm.net.head.weight.data.fill_(math.nan)
    with pytest.raises(
        RunError, match=r"not finite \(supervised from step 9, .*; at step 10: .*the checkpoint at step 12 is kept"
    ):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path):
    """The loss is finite, and the update is what breaks the weights."""
    trainer = make(tmp_path, "supervised", dataclasses.replace(SETTINGS, steps=1))
    step = trainer.optimizer.step
    trainer.optimizer.step = lambda: (step(), trainer.algorithm.net.head.bias.data.fill_(math.inf))
    with pytest.raises(RunError, match=r"weights net.head.bias are not finite after step 1; .*there is no checkpoint yet"):
        trainer.run()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_net_learns_and_the_teacher_is_scored(tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=150, optimizer=OptimizerSettings(lr=0.2, weight_decay=0.0))
    trainer = make(tmp_path, "supervised", settings, net=TinyNet)
    method, batch = trainer.algorithm, trainer.batches.batch(0)
    first = method.loss(batch, torch.tensor(0.0)).total.item()
    trainer.run()
    assert method.loss(batch, torch.tensor(0.0)).total.item() < 0.7 * first
    teacher = make(tmp_path / "t")
    assert teacher.eval_net() is teacher.algorithm.teacher.net


def test_eval_ema_gives_an_average_to_methods_without_a_teacher(tmp_path):
    settings = dataclasses.replace(SETTINGS, eval_ema=0.5)
    plain, averaged = make(tmp_path / "a", "supervised"), make(tmp_path / "b", "supervised", settings)
    plain.run(), averaged.run()
    assert plain.eval_net() is plain.algorithm.net and averaged.eval_net() is averaged.average.net
    for a, b in zip(plain.algorithm.parameters(), averaged.algorithm.parameters(), strict=True):
        assert torch.equal(a, b)  # it is scored; it does not touch the training
    assert not torch.equal(averaged.average.net.head.weight, averaged.algorithm.net.head.weight)
    assert make(tmp_path / "c", "meanteacher", settings).average is None


def test_training_mode_returns_after_an_evaluation(tmp_path):
    trainer = make(tmp_path)
    trainer.run()
    assert trainer.algorithm.teacher.net.training and trainer.algorithm.net.training


def test_the_gradient_is_clipped(tmp_path):
    settings = dataclasses.replace(
        SETTINGS, steps=1, optimizer=OptimizerSettings(lr=1.0, momentum=0, nesterov=False, weight_decay=0, clip=1e-3)
    )
    trainer = make(
        tmp_path, "supervised", dataclasses.replace(settings, schedule=dataclasses.replace(settings.schedule, name="constant"))
    )
    before = [p.clone() for p in trainer.algorithm.parameters()]
    trainer.run()
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, trainer.algorithm.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_any_name_can_be_logged(tmp_path):
    """Of a term of somebody's method."""
    log = RunLog(tmp_path)
    log.write(1, {"train/bad\udcff $x$\n": 0.5, "train/caf\u00e9": 2.0})
    log.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["train/bad\udcff $x$\n"] == 0.5
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert rb"train/bad\udcff $x$ " in events.read_bytes() and "train/caf\u00e9".encode() in events.read_bytes()
    RunLog(tmp_path, (tmp_path / "metrics.jsonl").stat().st_size, 1).close()  # which makes the events anew
