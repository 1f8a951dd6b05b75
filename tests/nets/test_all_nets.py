"""What every net promises, over one cheap example of each registered name and family."""

import copy
import importlib.util
import inspect
import subprocess
import sys

import pytest
import torch

from ssl_zoo import nets
from ssl_zoo.ema import frozen_stats
from ssl_zoo.errors import InputError
from ssl_zoo.heads import last_layer
from ssl_zoo.registry import NETS

SHAPES = [(1, 8, 8), (3, 32, 32), (4, 17, 23)]  # (C, H, W)
CASES = [
    ("smallnet", {"drop_rate": 0.3}),
    ("mlp", {"width": 20}),
    ("convnet13", {}),
    ("convnet13", {"norm": "weight"}),
    ("wrn10_1", {"drop_rate": 0.3}),
    ("wrn13_1", {"first_stride": 2, "conv_bias": "all"}),
    ("wrn10_1", {"transition": "raw", "last_bn_eps": 1e-2}),
    ("shakeshake26", {"base_width": 4}),
    ("linear", {}),
    ("timm:mobilenetv3_small_050", {}),
    ("resnet18", {"stem": "small"}),
    ("torchvision:mobilenet_v3_small", {}),
]
NO_TIMM = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
every_net = pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(name, options, marks=[NO_TIMM] * name.startswith("timm:")) for name, options in CASES],
    ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES],
)


def build(name, options, shape=(3, 16, 16), num_classes=5):
    torch.manual_seed(0)
    return NETS.create(name, num_classes, shape[0], shape[1:], **options)


def test_every_registered_name_has_a_case():
    registered = [NETS.resolve(name).target for name in NETS.names()]
    ours = {target for target in registered if target.__module__.startswith(nets.__name__)}
    assert ours == {NETS.resolve(name).target for name, _ in CASES}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_net
def test_shapes(name, options, shape):
    net = build(name, options, shape).eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        f = net.forward_features(x)
        logits, hidden = net(x), net.forward_head(f, pre_logits=True)
        assert logits.shape == (2, 5)
        assert hidden.shape == (2, getattr(net, "head_hidden_size", None) or net.num_features)  # as timm names it
        torch.testing.assert_close(net.forward_head(f), logits, rtol=0, atol=0)
        last = net.head if isinstance(getattr(net, "head", None), torch.nn.Module) else last_layer(net)
        torch.testing.assert_close(last(hidden), logits, rtol=0, atol=0)


@every_net
def test_every_parameter_receives_a_gradient(name, options):
    net = build(name, options)
    net(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert net.training
    trained = [(key, p) for key, p in net.named_parameters() if p.requires_grad]
    assert trained and not [key for key, p in trained if p.grad is None or not p.grad.any()]


@every_net
def test_a_copy_is_equal_and_apart(name, options):
    net = build(name, options)
    net(torch.randn(4, 3, 16, 16))  # graph tensors that were kept would forbid the copy
    other = copy.deepcopy(net).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = net.eval()(x)
        next(net.parameters()).zero_()
        torch.testing.assert_close(other(x), expected, rtol=0, atol=0)


@every_net
def test_in_evaluation_an_image_does_not_see_its_batch(name, options):
    net = build(name, options)
    x = torch.randn(4, 3, 16, 16)
    net(x)  # so that the running statistics are not the initial ones
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(net(x[:1]), net(x)[:1], rtol=1e-4, atol=1e-5)


@every_net
def test_draws_come_from_the_global_generator_and_in_training_only(name, options):
    net, x = build(name, options), torch.randn(4, 3, 16, 16)
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        outputs.append(net(x))
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    net.eval()
    before = torch.get_rng_state()
    net(x)
    assert torch.equal(before, torch.get_rng_state())


@every_net
def test_frozen_statistics_do_not_move(name, options):
    net, x = build(name, options), torch.randn(4, 3, 16, 16)
    before = {key: value.clone() for key, value in net.named_buffers()}
    with frozen_stats(net):
        net(x)
    assert all(torch.equal(value, before[key]) for key, value in net.named_buffers())
    net(x)
    assert not any(torch.equal(value, before[key]) for key, value in net.named_buffers() if "running_mean" in key)


@every_net
def test_channels_last_gives_the_same(name, options):
    net, x = build(name, options).eval(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = net(x)
        actual = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@every_net
def test_traces_as_one_graph(name, options, training):
    torch._dynamo.reset()
    net, x = build(name, options).train(training), torch.randn(4, 3, 16, 16)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.manual_seed(1)
    expected = copy.deepcopy(net)(x)
    torch.manual_seed(1)
    torch.testing.assert_close(compiled(x), expected)


@every_net
def test_options_are_documented_keywords(name, options):
    entry = NETS.resolve(name)
    arguments = inspect.getdoc(entry.target).partition("Args:")[2]
    assert list(inspect.signature(entry.target).parameters)[:3] == ["num_classes", "in_chans", "image_size"]
    for option, parameter in entry.options.items():
        assert f"{option}: " in arguments
        assert parameter.default is not parameter.empty
        assert parameter.annotation is not parameter.empty
    with pytest.raises(TypeError, match="no_such_option"):
        build(name, {"no_such_option": 1})


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("smallnet", {"drop_rate": 1.5}, "drop_rate"),
        ("smallnet", {"bn_momentum": -1}, "bn_momentum"),
        ("convnet13", {"noise": -0.1}, "noise"),
        ("convnet13", {"norm": "layer"}, "norm"),
        ("convnet13", {"norm": "weight", "conv_bias": True}, "conv_bias"),
        ("wrn28_2", {"conv_bias": "some"}, "conv_bias"),
        ("wrn28_2", {"first_stride": 3}, "first_stride"),
        ("wrn28_2", {"drop_rate": float("nan")}, "drop_rate"),
        ("shakeshake26", {"base_width": 0}, "base_width"),
        ("shakeshake26", {"bn_momentum": 1.5}, "bn_momentum"),
        ("resnet18", {"stem": "tiny"}, "stem"),
        ("resnet18", {"bn_momentum": 2.0}, "bn_momentum"),
    ],
)
def test_bad_options_are_named(name, options, word):
    with pytest.raises(InputError, match=word):
        build(name, options)


def test_importing_the_nets_does_not_import_torchvision():
    code = "import sys; from ssl_zoo import nets; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
