"""What cannot be passed through a net is one line, before anything is written; and a rehearsal changes no run."""

import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ssl_zoo import InputError, config
from ssl_zoo.algorithms.supervised import Supervised
from ssl_zoo.cli import run
from ssl_zoo.device import machine
from ssl_zoo.nets.mlp import Perceptron
from ssl_zoo.registry import NETS
from ssl_zoo.runs.assembly import assemble
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.runs.rehearsal import rehearse

QUICK = ["--steps", "2", "--device", "cpu", "--set", "precision=fp32", "--set", "evaluation.unlabeled=0"]
PLUGIN = """
import torch
from torch import nn
from ssl_zoo import NETS

@NETS.register("mine")
class Mine(nn.Module):
    def __init__(self, num_classes, in_chans, image_size):
        super().__init__()
        self.body, self.head = nn.Conv2d(in_chans, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(capsys, *words):
    """The line with which a command is refused, of which nothing is left."""
    assert run.main([*QUICK, *words, "--out", "o"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and not Path("o").exists()
    return error


def batch(labeled, unlabeled):
    return ["--set", f"batch={{labeled: {labeled}, unlabeled: {unlabeled}}}"]


ALONE = ["--set", "algorithms.pimodel.joint_forward=false"]


@pytest.mark.parametrize(
    ("alg", "labeled", "unlabeled", "more", "advice"),
    [
        ("supervised", 1, 4, [], ["batch.labeled=2"]),
        ("pimodel", 1, 4, ALONE, ["batch.labeled=2"]),
        ("pimodel", 4, 1, ALONE, ["batch.unlabeled=2"]),
        ("pimodel", 1, 1, ALONE, ["batch.labeled=2", "batch.unlabeled=2"]),
        ("pimodel", 1, 1, [], []),  # joined, there are three
        ("tempens", 1, 1, [], []),
        ("meanteacher", 4, 1, [], ["batch.unlabeled=2"]),  # the teacher sees them alone
        ("meanteacher", 1, 4, [], []),
        (
            "meanteacher",
            4,
            4,
            ["--set", "algorithms.meanteacher.batch.unlabeled=1"],
            ["algorithms.meanteacher.batch.unlabeled=2"],
        ),
        ("meanteacher", 1, 1, ["--set", "algorithms.meanteacher.teacher_bn=copy"], ["batch.labeled=2", "batch.unlabeled=2"]),
    ],
)
def test_one_value_per_channel_names_the_batch_and_the_advice_leads_to_a_run(alg, labeled, unlabeled, more, advice, capsys):
    words = ["--alg", alg, "--net", "mlp", *batch(labeled, unlabeled), *more]
    if advice:
        line = said(capsys, *words)
        assert re.findall(r"--set ([\w.]+=2)", line) == advice
        assert line.startswith("run.py: mlp normalises over the batch") and "8x8" in line
        words += [word for way in advice for word in ("--set", way)]
    assert run.main([*QUICK, *words, "--out", "o"]) == 0


def test_maps_of_one_pixel_are_said_to_be_so(capsys):
    line = said(capsys, "--alg", "supervised", "--net", "resnet18", *batch(1, 4))
    assert line == (
        "run.py: resnet18 normalises over the batch, and of 1 labelled image a step, 8x8, maps of 1x1 leave one value per "
        "channel; give --set batch.labeled=2\n"
    )


def test_the_last_image_of_an_evaluation_may_be_alone():
    words = ["--alg", "supervised", "--net", "mlp", *batch(2, 2), "--set", "datasets.digits.test_size=11"]
    scores = []
    for size in (10, 11):
        assert run.main([*QUICK, *words, "--set", f"evaluation.batch={size}", "--out", str(size)]) == 0
        scores.append(json.loads(Path(str(size), "result.json").read_text())["evaluations"])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "in_chans, 4, 3)",
            "in_chans, 4, 9)",
            r".*'mine' raised RuntimeError: .*Kernel size.* \(with images of 8x8; if .*, resize them\) \(.*mine.py, line 13\)",
        ),
        (
            "return self",
            "if self.training: x = x[:, :, ::5, ::5]\n        return self",
            r".*'mine' raised RuntimeError: .*Kernel size.* \(with images of 8x8; .*line 14",
        ),
        ("dim=(2, 3))", "dim=(2, 3)).squeeze()", r".*mine gives logits of the shape \(10,\) for one image of 10 classes"),
        ("4, 3), nn", "4, 7), nn", None),
    ],
)
def test_a_net_of_ones_own(old, new, message, capsys):
    assert old in PLUGIN
    name = f"mine_{abs(hash(new)) % 10**9}"
    Path(f"{name}.py").write_text(PLUGIN.replace(old, new).replace('"mine"', f'"{name}"'))
    words = ["--plugin", f"{name}.py", "--net", name, "--recipe", "digits", "--alg", "supervised", *batch(2, 2)]
    if message is None:
        assert run.main([*QUICK, *words, "--out", "o"]) == 0
    else:
        assert re.match(message, said(capsys, *words).replace(name, "mine"))


@pytest.mark.parametrize("of_teacher", [False, True])
def test_whatever_a_net_raises_names_it_and_the_size(of_teacher, monkeypatch, capsys):
    inner = Perceptron.forward_head

    def forward_head(self, f, pre_logits=False):
        if self.training and next(self.parameters()).requires_grad != of_teacher:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore of it")
        return inner(self, f, pre_logits)

    monkeypatch.setattr(Perceptron, "forward_head", forward_head)
    line = said(capsys, "--alg", "meanteacher", "--net", "mlp")
    assert line == (
        "run.py: mlp cannot take 8x8 images (mat1 and mat2 shapes cannot be multiplied); resize them or choose another net\n"
    )


def test_a_fault_of_a_method_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(Supervised, "loss", lambda self, batch, progress: self.net(batch.x).no_such_thing)
    with pytest.raises(AttributeError, match="no_such_thing"):
        run.main([*QUICK, "--alg", "supervised", "--net", "mlp", "--out", "o"])
    assert not Path("o").exists()


def parts(*words):
    settings = config.settle(config.gather(["digits"]), {"device": "cpu", "net": "shakeshake26", "alg": "meanteacher"})
    here = machine("cpu", "fp32")
    return settings, assemble(settings, choose_labels(settings, load_data(settings)), here), here


def test_it_draws_nothing_and_moves_nothing():
    settings, assembly, here = parts()
    before = {name: value.clone() for name, value in assembly.algorithm.state_dict().items()}
    torch.manual_seed(3)
    random = torch.get_rng_state()
    rehearse(settings, assembly, here)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in assembly.algorithm.state_dict().items())
    assert all(module.training for module in assembly.algorithm.modules())
    assert all(p.grad is None for p in assembly.algorithm.parameters())


@pytest.mark.parametrize("alg", ["supervised", "pimodel", "tempens", "meanteacher"])
def test_a_run_ends_with_the_same_bits_without_one(alg, monkeypatch):
    """With dropout, whose draws a rehearsal could take away."""
    words = ["--alg", alg, "--net", "wrn10_1", "--set", "nets.wrn10_1.drop_rate=0.3", "--threads", "1", *batch(4, 4)]
    assert run.main([*QUICK, *words, "--out", "with"]) == 0
    monkeypatch.setattr("ssl_zoo.runs.execute.rehearse", lambda *parts: None)
    assert run.main([*QUICK, *words, "--out", "without"]) == 0
    with_one, without = (Path(name, "metrics.jsonl").read_text() for name in ("with", "without"))
    assert with_one == without
    assert len({json.loads(Path(name, "result.json").read_text())["accuracy"] for name in ("with", "without")}) == 1


def test_a_method_that_cannot_be_copied_is_left_to_its_first_step():
    rehearse(None, SimpleNamespace(algorithm=threading.Lock()), None)


def test_an_error_for_the_user_stays_as_it_is(monkeypatch):
    settings, assembly, here = parts()
    for error in (InputError("no such thing"), MemoryError()):
        monkeypatch.setattr(type(assembly.algorithm), "loss", lambda *given, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(type(error)) as found:
            rehearse(settings, assembly, here)
        assert found.value is error


def test_the_trial_of_a_net_names_the_size(monkeypatch):
    """Also of one that is registered in a session, not in a file."""

    class Narrow(nn.Module):
        def __init__(self, num_classes, in_chans, image_size):
            super().__init__()
            self.body = nn.Conv2d(in_chans, num_classes, 5)

        def forward(self, x):
            return self.body(x).mean(dim=(2, 3))

    NETS.register("narrow")(Narrow)
    with pytest.raises(InputError, match=r"the net 'narrow' raised RuntimeError: .*Kernel size.* \(with images of 4x7; "):
        NETS.create("narrow", 3, 1, (4, 7))
