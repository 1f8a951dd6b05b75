"""What a consistency term does, in numbers made by hand; and that to measure changes nothing."""

import dataclasses
import json

import pytest
import torch

from ssl_zoo import ALGORITHMS, AlgorithmBase, InputError, Step
from ssl_zoo.settings import EvaluationSettings
from ssl_zoo.train.mechanism import Mechanism
from tests.conftest import STEPPED, TinyNet, make_batch
from tests.train.test_trainer import SETTINGS, make

NUMBERS = {"confidence", "decided", "logit_norm", "gradient_ratio", "decided_gradient"}
END = torch.tensor(1.0)


def measured(name, facts, batch, **options):
    torch.manual_seed(0)
    method = ALGORITHMS.create(name, net=TinyNet(norm=False), facts=facts, **options)
    with torch.no_grad():
        method.net.head.weight.mul_(7)
    mechanism = Mechanism(method)
    with mechanism.watching(batch):
        out = method.loss(batch, END)
    found = mechanism.measure(out)
    assert mechanism._logits == [] and mechanism._first is None, "no graph is kept until the next time"
    return method, out, found


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("space", ["probabilities", "logits"])
def test_the_numbers_by_hand(joint, space, facts):
    batch = make_batch(2)
    batch = batch._replace(u=tuple(8 * view for view in batch.u))  # some images are decided
    method, out, found = measured("meanteacher", facts, batch, weight=3.0, space=space, joint_forward=joint)
    assert found.keys() == NUMBERS
    logits = method.net(batch.u[0]).detach().requires_grad_()
    p = logits.softmax(dim=1)
    decided = p.amax(dim=1) > 0.95
    assert 0 < decided.sum() < len(p)
    torch.testing.assert_close(found["confidence"], p.amax(dim=1).mean().detach())
    torch.testing.assert_close(found["decided"], decided.float().mean())
    torch.testing.assert_close(found["logit_norm"], logits.detach().square().sum(dim=1).sqrt().mean())
    target = method.teacher.net(batch.u[1])
    a, b = (logits, target) if space == "logits" else (p, target.softmax(dim=1))
    (pull,) = torch.autograd.grad((a - b).square().mean(), logits)
    lengths = pull.norm(dim=1)
    torch.testing.assert_close(found["decided_gradient"], lengths[decided].sum() / lengths.sum())
    parameters = list(method.net.parameters())

    def length(term):
        return torch.cat([g.flatten() for g in torch.autograd.grad(term, parameters, retain_graph=True)]).norm()

    torch.testing.assert_close(found["gradient_ratio"], 3 * length(out.terms["consistency"]) / length(out.terms["supervised"]))


@pytest.mark.parametrize("name", STEPPED)
def test_what_is_said_of_images_is_of_the_first_unlabelled_view(name, facts):
    """Or nothing is said: where the student does not see it, sees it mixed, or not by the two functions of the base."""
    torch.manual_seed(0)
    views = ALGORITHMS.create(name, net=TinyNet(norm=False), facts=facts)
    batch = make_batch(len(views.views))
    batch = batch._replace(x_more=tuple(300 * batch.x for _ in views.labeled_views[1:]))
    method, _, found = measured(name, facts, batch)
    if name in ("supervised", "finetune", "ict", "mixmatch", "remixmatch", "vat"):
        assert not {"confidence", "decided", "logit_norm"} & {*found}
        return
    logits = method.net(batch.u[0]).detach()
    torch.testing.assert_close(found["confidence"], logits.softmax(dim=1).amax(dim=1).mean())
    torch.testing.assert_close(found["logit_norm"], logits.norm(dim=1).mean())


def test_under_autocast_the_numbers_are_nearly_those_of_fp32(facts):
    batch = make_batch(2)
    batch = batch._replace(u=tuple(8 * view for view in batch.u))
    whole = measured("meanteacher", facts, batch, weight=3.0)[2]
    with torch.autocast("cpu", torch.bfloat16):
        half = measured("meanteacher", facts, batch, weight=3.0)[2]
    for name in NUMBERS:
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], whole[name], rtol=0.1, atol=0.02)


@pytest.mark.parametrize("on_labeled", [True, False])
def test_with_two_heads_the_first_is_confident_and_the_second_is_pulled(on_labeled, facts):
    batch = make_batch(2)
    batch = batch._replace(u=tuple(8 * view for view in batch.u), x_more=(torch.randn_like(batch.x),) if on_labeled else ())
    options = {"weight": 3.0, "logit_distance": 0.1, "consistency_on_labeled": on_labeled}
    method, out, found = measured("meanteacher", facts, batch, **options)
    assert found.keys() == NUMBERS
    logits = method.net(batch.u[0]).detach()
    torch.testing.assert_close(found["logit_norm"], logits.norm(dim=1).mean())
    decided = (logits.softmax(dim=1).amax(dim=1) > 0.95).float().mean()
    assert found["decided"] == decided and 0 < found["decided_gradient"] < 1
    parameters = [p for p in method.parameters() if p.requires_grad]

    def length(term):
        pulls = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        return torch.cat([g.flatten() for g in pulls if g is not None]).norm()

    both = 3 * out.terms["consistency"] + 0.1 * out.terms["distance"]
    torch.testing.assert_close(found["gradient_ratio"], length(both) / length(out.terms["supervised"]))


def test_a_method_that_takes_its_logits_elsewhere(facts):
    """Which images they are of is not known then; nor that a term which is no part of the total pulls."""

    class Own(AlgorithmBase):
        views = ("weak", "weak")
        weights = {"consistency": "weight"}

        def loss(self, batch, progress):
            a, b = map(self.net, batch.u)
            supervised = self.net(batch.x).square().mean()
            consistency = (a - b).square().mean()
            return Step(supervised + self.weight * consistency if self.weight else supervised, {"consistency": consistency})

    for weight, ratio in ((0, 0.0), (2, None)):
        method = Own(TinyNet(), facts)
        method.weight = weight
        mechanism = Mechanism(method)
        batch = make_batch(2)
        with mechanism.watching(batch):
            out = method.loss(batch, END)
        found = mechanism.measure(out)
        assert found.keys() == {"gradient_ratio"} and (
            found["gradient_ratio"] > 0 if ratio is None else found["gradient_ratio"] == 0
        )


def test_what_cannot_be_known_is_left_out(facts):
    assert measured("supervised", facts, make_batch(0))[2] == {}
    found = measured("meanteacher", facts, make_batch(2), weight=0.0)[2]
    assert found["gradient_ratio"] == 0 and found["decided_gradient"].isnan() and found["confidence"] > 1 / 3
    first = measured("tempens", facts, make_batch(1))[2]  # no row was visited before
    assert first["gradient_ratio"] == 0


def test_numbers_that_are_none_are_not_written(tmp_path):
    evaluation = EvaluationSettings(every=4, log_every=2, mechanism=3)
    make(tmp_path / "run", "tempens", settings=dataclasses.replace(SETTINGS, steps=3, evaluation=evaluation)).run()
    text = (tmp_path / "run/metrics.jsonl").read_text()
    assert "mechanism/gradient_ratio" in text and "NaN" not in text and "decided_gradient" not in text


def test_measuring_changes_no_run_and_is_written(tmp_path):
    settings = dataclasses.replace(SETTINGS, evaluation=EvaluationSettings(every=4, log_every=2))
    watching = dataclasses.replace(settings, evaluation=EvaluationSettings(every=4, log_every=2, mechanism=3))
    trainers = [make(tmp_path / name, settings=s) for name, s in (("plain", settings), ("watched", watching))]
    outcomes = [trainer.run() for trainer in trainers]
    assert outcomes[0].evaluations == outcomes[1].evaluations
    for a, b in zip(*(trainer.algorithm.state_dict().values() for trainer in trainers), strict=True):
        assert torch.equal(a, b)
    assert outcomes[0].warnings == outcomes[1].warnings and trainers[0].guard.state() == trainers[1].guard.state()
    text = (tmp_path / "watched/metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert "NaN" not in text and "Infinity" not in text
    found = {line["step"]: line for line in lines if "mechanism/confidence" in line}
    assert list(found) == [3, 6, 9, 12]
    assert all(f"mechanism/{name}" in found[12] for name in NUMBERS)
    assert not any("mechanism" in name for line in map(json.loads, (tmp_path / "plain/metrics.jsonl").open()) for name in line)


def test_nothing_stays_watched_even_after_an_error(facts):
    method = ALGORITHMS.create("meanteacher", net=TinyNet(), facts=facts)
    with pytest.raises(ZeroDivisionError), Mechanism(method).watching(make_batch(2)):
        1 / 0  # noqa: B018
    assert "student_logits" not in vars(method)


def test_settings_that_exclude_each_other():
    with pytest.raises(InputError, match=r"eval_ema names a net .* evaluation\.net = student another"):
        dataclasses.replace(SETTINGS, eval_ema=0.9, evaluation=EvaluationSettings(net="student"))


def test_the_student_is_scored_where_it_is_asked_for(tmp_path):
    settings = dataclasses.replace(SETTINGS, evaluation=EvaluationSettings(every=4, net="student"))
    trainer = make(tmp_path / "student", settings=settings)
    scores = trainer.run().evaluations
    plain = make(tmp_path / "method").run().evaluations
    assert trainer.eval_net() is trainer.algorithm.net
    assert [s["accuracy"] for s in scores] == [s["accuracy_student"] for s in plain]
