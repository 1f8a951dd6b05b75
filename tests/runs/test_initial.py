"""A run that begins from a trained net: at step 0 it is that net, and what becomes of the original is nothing to it."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import ssl_zoo
from ssl_zoo import DATASETS, NETS, config
from ssl_zoo.cli import run, sweep
from ssl_zoo.data.arrays import as_dataset
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.initial import put_weights
from ssl_zoo.runs.inputs import choose_labels
from ssl_zoo.runs.model import Model, read_model, write_again
from ssl_zoo.tables.rows import sound
from ssl_zoo.train.evaluate import predict
from ssl_zoo.train.trainer import Trainer
from tests.nets.test_all_nets import every_net

QUICK = ["--net", "smallnet", "--steps", "6", "--device", "cpu", "--set", "precision=fp32", "--set", "evaluation.every=3"]
DIGITS = DATASETS.create("digits", None)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(*words, out="a"):
    assert run.main([*QUICK, *map(str, words), "--out", out]) == 0
    return json.loads(Path(out, "result.json").read_text())


def darker(levels=3):
    """Digits of other statistics, as arrays."""
    images, test = (part // levels for part in (DIGITS.images, DIGITS.test_images))
    return images[:300], DIGITS.labels[:300], test[:100], DIGITS.test_labels[:100]


def begun(*, data=None, **values):
    """The trainer of a run that begins from the one in `a`, and its data."""
    given = {"net": "smallnet", "initial": "a", "labels": "all", "steps": 3, "device": "cpu", "precision": "fp32", **values}
    settings = ssl_zoo.recipe("digits", **given)
    data = as_dataset(*(data or darker()))
    return trainer_of(settings, choose_labels(settings, data), Path("b")), data


def predicted(trainer, net):
    return predict(net, trainer.evaluator.images, **trainer.evaluator._settings)


@pytest.mark.parametrize("kind", ["channel", "unit", "image", "zca"])
def test_at_step_0_it_is_the_old_net(kind):
    trained("--set", f"input={kind}")
    trainer, data = begun(input=kind, seed=7, alg="meanteacher")
    wanted = ssl_zoo.load("a", "cpu").predict_proba(data.test_images)
    for net in (trainer.algorithm.net, trainer.algorithm.teacher.net):
        np.testing.assert_allclose(predicted(trainer, net), wanted, rtol=1e-4, atol=1e-5)
    own, _ = begun(input=kind, seed=7, alg="meanteacher", initial=None)
    assert np.abs(predicted(own, own.algorithm.net) - wanted).max() > 0.003


def test_an_average_begins_there_too_and_training_goes_on_from_it():
    row = trained("--steps", "60")
    trainer, data = begun(alg="supervised", eval_ema=0.9)
    wanted = ssl_zoo.load("a", "cpu").predict_proba(data.test_images)
    np.testing.assert_allclose(predicted(trainer, trainer.average.net), wanted, rtol=1e-4, atol=1e-5)
    trainer.step(0)
    assert np.abs(predicted(trainer, trainer.algorithm.net) - wanted).max() > 1e-4
    more = trained("--from", "a", "--set", "optimizer.lr=0.0001", "--steps", "2", out="c")
    without = trained("--set", "optimizer.lr=0.0001", "--steps", "2", out="d")
    assert without["accuracy"] + 0.2 < more["accuracy"] and abs(more["accuracy"] - row["accuracy"]) < 0.1


def model_of(net, name, classes, size, options):
    part = {"name": name, "options": options, "channels": size[0], "height": size[1], "width": size[2]}
    return Model({"net": part, "classes": [*classes], "row": {}}, {k: v.clone() for k, v in net.state_dict().items()}, None)


@every_net
def test_every_net_takes_the_weights_and_those_of_a_class_go_by_its_name(name, options):
    size = (3, 16, 16)

    def make(count):
        return NETS.create(name, count, size[0], size[1:], **options)

    torch.manual_seed(0)
    old, same, other = make(3), make(3), make(4)
    fresh = {key: value.clone() for key, value in other.state_dict().items()}
    model, x = model_of(old, name, ("ant", "bee", "cat"), size, options), torch.randn(2, *size)
    before = torch.get_rng_state()
    put_weights(same, model, ("ant", "bee", "cat"), make, "a")
    put_weights(other, model, ("bee", "cow", "ant", "dog"), make, "a")
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        logits = old.eval()(x)
        assert torch.equal(same.eval()(x), logits)
        torch.testing.assert_close(other.eval()(x)[:, [0, 2]], logits[:, [1, 0]])
    last = [key for key, value in old.state_dict().items() if value.shape != fresh[key].shape]
    assert 1 <= len(last) <= 4
    for key in last:
        assert torch.equal(other.state_dict()[key][[1, 3]], fresh[key][[1, 3]]), key


def test_renamed_classes_are_new_ones_and_all_this_is_said(capsys):
    trained()
    arrays = darker()
    settings = ssl_zoo.recipe("digits", net="smallnet", initial="a", labels="all", steps=1, device="cpu")
    ssl_zoo.run(settings, "b", data=(*arrays, ["zero", *"123456789"]))
    said = capsys.readouterr().out
    assert "begins from the weights of a (smallnet by meanteacher, " in said and "normalises images as it does" in said
    assert "new classes, whose weights of the last layer are drawn: zero\n" in said
    assert "classes that are no more, whose weights are left out: 0\n" in said
    trainer, _ = begun(data=(*arrays, ["zero", *"123456789"]))
    old, new = ssl_zoo.load("a", "cpu").net.head.weight, trainer.algorithm.net.head.weight
    assert torch.equal(old[1:], new[1:]) and not torch.equal(old[0], new[0])


def test_a_run_that_was_stopped_goes_on_without_the_original(monkeypatch):
    trained("--seed", 1)
    whole = trained("--from", "a", out="whole")
    real = Trainer.step

    def stopped(self, step, *more):
        if step == 4:
            raise KeyboardInterrupt
        return real(self, step, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopped)
        assert run.main([*QUICK, "--from", "a", "--out", "cut"]) == 130
    trained("--fresh", "--seed", 2)  # another net at the same place
    again = trained("--from", "a", out="cut")
    assert again["evaluations"] == whole["evaluations"] and again["initial"] == whole["initial"]
    one, other = (read_model(Path(out, "model.safetensors")).state for out in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    shutil.rmtree("a")
    assert trained("--from", "a", out="cut") == again  # finished, and shown


def test_another_net_at_the_same_place_is_another_run(capsys):
    first = trained()
    kept = trained("--from", "a", out="b")
    assert len(kept["initial"]) == 32 and "initial" not in first and kept["recipe_hash"] != first["recipe_hash"]
    trained("--fresh", "--seed", 3)
    now = trained("--from", "a", out="c")
    assert now["initial"] != kept["initial"] and now["recipe_hash"] != kept["recipe_hash"]
    assert [row["initial"] for row in sound([kept, now]).kept] == [kept["initial"]]
    Path("b/initial.safetensors").unlink()
    Path("b/result.json").unlink()
    capsys.readouterr()
    assert run.main([*QUICK, "--from", "a", "--out", "b"]) == 2
    assert "b holds a run with another net to begin from (initial " in capsys.readouterr().err


def test_where_it_was_is_of_no_matter_to_a_table():
    trained()
    shutil.copytree("a", "moved")
    one, other = trained("--from", "a", out="b"), trained("--from", "moved/model.safetensors", "--seed", 1, out="c")
    assert one["initial"] == other["initial"] and len(sound([one, other]).kept) == 2


def test_a_run_may_begin_from_what_was_in_its_own_folder():
    trained()
    before = read_model(Path("a/model.safetensors")).hash
    assert trained("--from", "a", "--fresh")["initial"] == before and Path("a.old-1/model.safetensors").exists()
    assert read_model(Path("a/initial.safetensors")).hash == before
    assert trained("--from", "a")["initial"] == before
    trained("--from", "a.old-1", "--fresh")
    assert read_model(Path("a/initial.safetensors")).hash == before


def test_it_takes_the_place_of_pretrained_weights():
    for pretrained in (True, "auto"):
        options = {"net": "resnet18", "nets.resnet18.pretrained": pretrained}
        assert ssl_zoo.recipe("digits", initial="a", **options).nets["resnet18"]["pretrained"] is False
        assert ssl_zoo.recipe("digits", **options).nets["resnet18"]["pretrained"] == pretrained
    settings = ssl_zoo.recipe("digits", initial=Path("x/y"))
    assert settings.initial == "x/y" and config.resolve(config.plain(settings)) == settings


def test_runs_without_one_are_what_they_were():
    """The hash of their settings, too, by which a checkpoint is gone on with."""
    trained()
    row = json.loads(Path("a/result.json").read_text())
    assert row["config"]["initial"] is None
    trainer, _ = begun(initial=None)
    assert "initial" not in trainer.identity and not Path("a/initial.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "nowhere"], "a run cannot begin from 'nowhere': there is no 'nowhere'; give a run's folder"),
        (["--from", "half"], "a run cannot begin from 'half': the run in half is not finished"),
        (["--from", "bad.safetensors"], "bad.safetensors cannot be read as a model"),
        (["--from", "a", "--net", "wrn28_2"], "it is of the net smallnet, and this run trains wrn28_2; give --net smallnet"),
        (["--from", "a", "--set", "input=unit"], "input = channel, and here input = unit; give --set input=channel"),
        (["--from", "a", "--set", "initial=a"], "initial is given twice, by --from and by --set; keep one"),
        (["--from", ""], "initial is empty"),
        (["--from", "a", "--out", "a"], "a holds a run with other settings (initial None there and a here)"),
        (["--from", "a", "--dataset", "moons"], "it takes images of 8 x 8 x 1, and these are 1 x 1 x 2"),
        (["--finetune", "a"], "did you mean --from a?"),
        (["--from", "wide", "--net", "wrn28_2"], "give the net what it had: images of 8x8, and the options "),
    ],
)
def test_bad_input(words, message, capsys):
    trained()
    shutil.copytree("a", "half")
    Path("half/result.json").unlink()
    Path("bad.safetensors").write_bytes(b"no")
    model = read_model(Path("a/model.safetensors"))
    model.about["net"] |= {"name": "wrn28_2"}
    write_again(Path("wide"), model)
    capsys.readouterr()
    words = words if "--out" in words else [*words, "--out", "b"]
    assert run.main([*QUICK, *words]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1 and not Path("b").exists()


def test_a_sweep_is_refused_before_it_begins(capsys):
    words = ["--nets", "smallnet", "--steps", "2", "--device", "cpu", "--set", "initial=a", "--seeds", "0-1", "--out", "s"]
    assert sweep.main(words) == 2
    assert "a run cannot begin from 'a': there is no 'a'" in capsys.readouterr().err and not Path("s").exists()
    trained()
    assert sweep.main(words) == 0
    rows = [json.loads(path.read_text()) for path in Path("s").rglob("result.json")]
    assert len(rows) == 2 and len({row["initial"] for row in rows}) == 1


def test_images_that_it_may_know_by_heart_are_said(capsys):
    images, labels, *_ = darker()
    settings = ssl_zoo.recipe("digits", net="smallnet", labels="all", steps=1, device="cpu")
    ssl_zoo.run(settings, "a", data=(images, labels), quiet=True)
    settings = dataclasses.replace(settings, initial="a")
    ssl_zoo.run(settings, "same", data=(images, labels), quiet=True)
    assert "by heart" not in capsys.readouterr().err
    ssl_zoo.run(settings, "fewer", data=(images[:200], labels[:200]), quiet=True)
    count, of = map(
        int, re.search(r"(\d+) of (\d+) images that are scored were trained on with a label", capsys.readouterr().err).groups()
    )
    old, new = (read_model(Path(f"{name}/model.safetensors")) for name in ("a", "fewer"))
    assert of == 40 and 0 < count < of and len(old.learnt) == 240 and len(new.learnt) == 160
    ssl_zoo.run(settings, "apart", data=darker(), quiet=True)
    assert "by heart" not in capsys.readouterr().err
