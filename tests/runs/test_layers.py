"""Layers whose gradient torch gets wrong in bf16 on a CPU: which are found, and that no net's gradient is wrong."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import ssl_zoo
from ssl_zoo import InputError
from ssl_zoo.cli import run
from ssl_zoo.registry import NETS
from ssl_zoo.runs.layers import in_fp32, settle_precision, suspects

CPU = torch.device("cpu")
SMALLEST = [  # of each registered net an example, with the smallest side that it takes
    ("smallnet", {}, 4),
    ("mlp", {}, 1),
    ("linear", {}, 1),
    ("timm:resnet18", {}, 1),
    ("convnet13", {}, 4),
    ("convnet13", {"norm": "weight"}, 4),
    ("wrn10_1", {}, 1),
    ("wrn13_1", {"first_stride": 2, "conv_bias": "all"}, 1),
    ("wrn28_2", {}, 1),
    ("shakeshake26", {"base_width": 4}, 1),
    ("resnet18", {"stem": "small"}, 1),
    ("resnet18", {}, 1),
    ("resnet18", {}, 8),
    ("torchvision:mobilenet_v3_small", {}, 1),
]


class Made(nn.Module):
    """Convolutions one after the other."""

    def __init__(self, *convolutions):
        super().__init__()
        self.body, self.head = nn.Sequential(*convolutions), nn.Linear(convolutions[-1].out_channels, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))


def poison():
    """Leave memory behind in which every number is a NaN, so that what is not written shows."""
    kept = [torch.full((1 << k,), float("nan")) for k in range(4, 20) for _ in range(4)]
    del kept


def gradients(net, x, bf16):
    """By name, of a copy of a net in evaluation mode: batch norm of single values would enlarge every rounding."""
    net = copy.deepcopy(net).eval()
    poison()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = net(x)
    (logits.float() * torch.linspace(-1, 2, logits.numel()).view_as(logits)).sum().backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("name", "options", "side"), SMALLEST, ids=[f"{n}-{s}" for n, _, s in SMALLEST])
def test_the_gradient_in_bf16_is_nearly_that_in_fp32(name, options, side):
    torch.manual_seed(0)
    net = NETS.create(name, 3, 2, (side, side), **options)
    settle_precision(net, name, (side, side, 2), CPU, "bf16")
    x = torch.randn(24, 2, side, side)
    exact, rounded = (gradients(net, x, bf16) for bf16 in (False, True))
    assert exact.keys() == rounded.keys()
    whole = torch.cat([g.flatten() for g in exact.values()]).norm()
    for key, gradient in exact.items():
        assert (gradient - rounded[key]).norm() <= 0.25 * max(gradient.norm(), whole / 10), key


def test_every_registered_net_is_among_them():
    targets = {NETS.resolve(name).target for name in NETS.names()}
    ours = {target for target in targets if target.__module__.startswith("ssl_zoo.nets")}
    assert ours == {NETS.resolve(name).target for name, _, _ in SMALLEST}


def test_exactly_the_strided_convolutions_on_small_maps_are_found():
    net = Made(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),  # 8 -> 4
        nn.Conv2d(4, 4, 5, stride=1, padding=2),  # larger than its input, but not strided
        nn.Conv2d(4, 4, 3, stride=2, padding=1),  # 4 -> 2
        nn.Conv2d(4, 4, 3, stride=2, padding=1),  # 2 -> 1: larger than its input
        nn.Conv2d(4, 4, 1, stride=2),  # 1 -> 1: one pixel, which is all there is
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),  # 1 -> 1
        nn.Conv2d(4, 4, 3, stride=1, padding=1),
        nn.Conv2d(4, 4, 2, stride=3, padding=1),  # 1 -> 1
    )
    assert [*suspects(net, (8, 8, 2))] == ["body.3", "body.5", "body.7"]
    assert [*suspects(net, (64, 64, 2))] == ["body.7"]  # a kernel of 2 fits an input of 2, but the stride of 3 does not
    assert [*suspects(net, (128, 128, 2))] == []


@pytest.mark.parametrize(
    ("convolution", "size", "found"),
    [
        (nn.Conv2d(2, 2, 3, stride=2, padding=1), (9, 1), True),  # in one dimension
        (nn.Conv2d(2, 2, 3, stride=2, padding=1), (1, 9), True),
        (nn.Conv2d(2, 2, 3, stride=(1, 2), padding=1), (1, 9), False),  # the small one has no stride
        (nn.Conv2d(2, 2, (1, 3), stride=2, padding=(0, 1)), (1, 3), False),
        (nn.Conv2d(2, 2, 3, stride=2, padding=2, dilation=2), (4, 4), True),  # spans 5
        (nn.Conv2d(2, 2, 3, stride=2, padding=2, dilation=2), (5, 5), False),
        (nn.Conv2d(2, 2, 2, stride=3, padding=1), (2, 2), True),
        (nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1), (1, 1), False),
    ],
)
def test_each_dimension_is_looked_at(convolution, size, found):
    assert bool(suspects(Made(convolution), (*size, 2))) == found


def test_only_bf16_on_a_cpu_is_settled():
    def settled(device, precision):
        net = Made(nn.Conv2d(2, 4, 3, stride=2, padding=1))
        settle_precision(net, "made", (1, 1, 2), torch.device(device), precision)
        return in_fp32(net)

    assert settled("cpu", "bf16") == ["body.0"]
    assert settled("cpu", "fp32") == settled("cuda", "bf16") == []


def test_looking_draws_nothing_and_moves_nothing():
    net = Made(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 1))
    net.body[1].eval()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    settle_precision(net, "made", (1, 1, 2), CPU, "bf16")
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()) and {*before} == {*net.state_dict()}
    assert net.training and net.body[2].training and not net.body[1].training
    assert not any(module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("wrapped", [lambda conv: conv, weight_norm], ids=["plain", "weight norm"])
def test_the_change_survives_a_copy_and_a_compiler(wrapped):
    net = Made(wrapped(nn.Conv2d(2, 4, 3, stride=2, padding=1)), nn.Conv2d(4, 4, 1))
    names, x = [*net.state_dict()], torch.randn(6, 2, 1, 1)
    exact = net(x)
    settle_precision(net, "made", (1, 1, 2), CPU, "bf16")
    other = copy.deepcopy(net)
    assert in_fp32(other) == ["body.0"] and [*other.state_dict()] == names
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(x), exact, rtol=0, atol=0)  # without autocast nothing changes
    torch._dynamo.reset()
    compiled = torch.compile(other, fullgraph=True, backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        assert net.body[0](x).dtype == torch.float32 and net.body(x).dtype == torch.bfloat16
        torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=0)
    compiled(x).sum().backward()
    assert isinstance(other.body[0], nn.Conv2d) and all(p.grad is not None for p in other.parameters())


def test_a_net_that_cannot_take_the_images_is_one_line():
    net = Made(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3))
    with pytest.raises(InputError, match=r"^made cannot take 4x4 images \(.*Kernel size.*\); resize them or choose another net$"):
        settle_precision(net, "made", (4, 4, 2), CPU, "bf16")


def test_a_run_says_so_and_its_net_scores_the_same_when_it_is_loaded(tmp_path, monkeypatch, capsys):
    """ResNet-18 on 8x8 images has been NaN from the first step on."""
    monkeypatch.setattr("ssl_zoo.device._fast_in_bf16", lambda device: True)
    words = ["--alg", "meanteacher", "--net", "resnet18", "--steps", "2", "--device", "cpu", "--set", "evaluation.unlabeled=0"]
    words += ["--set", "batch={labeled: 4, unlabeled: 4}", "--set", "datasets.digits.test_size=40"]
    poison()
    assert run.main([*words, "--set", "precision=auto", "--out", str(tmp_path / "run")]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "in fp32: " in line]
    layers = "body.layer2.0.conv1, body.layer3.0.conv1, body.layer4.0.conv1"
    assert said == [f"{layers} stay in fp32: on a CPU torch computes a wrong bf16 gradient for them"]
    row = json.loads(Path(tmp_path, "run/result.json").read_text())
    assert row["precision"] == "bf16" and row["confusion"]
    trained = ssl_zoo.load(tmp_path / "run")
    digits = ssl_zoo.DATASETS.create("digits", None, test_size=40)
    found = trained.predict_proba(digits.test_images)
    assert in_fp32(trained.net) == ["body.layer2.0.conv1", "body.layer3.0.conv1", "body.layer4.0.conv1"]
    assert np.mean(found.argmax(axis=1) == digits.test_labels) == row["accuracy"]
    assert in_fp32(ssl_zoo.load(tmp_path / "run", precision="fp32").net) == []
