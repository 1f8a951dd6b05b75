"""torchvision's models behind our contract: sizes, equality with the original, other channels, pretrained weights."""

import urllib.error
import warnings

import pytest
import torch
import torchvision

from ssl_zoo.errors import InputError
from ssl_zoo.nets.foreign import try_shapes
from ssl_zoo.registry import NETS

MODELS = torchvision.models.list_models(module=torchvision.models)


@pytest.fixture
def offline_weights(monkeypatch):
    """Stands in for the download: a fresh model's own state, under another seed."""

    def get_state_dict(weights, *args, **kwargs):
        torch.manual_seed(7)
        name = next(name for name in MODELS if torchvision.models.get_model_weights(name) is type(weights))
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, **options).state_dict()

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", get_state_dict)


@pytest.mark.parametrize(
    ("name", "stem", "num_classes", "count"),
    [
        ("resnet18", "imagenet", 10, 11_181_642),
        ("resnet18", "small", 10, 11_173_962),
        ("resnet18", "imagenet", 100, 11_227_812),
        ("resnet18", "small", 100, 11_220_132),
        ("resnet18", "imagenet", 1000, 11_689_512),
        ("resnet50", "imagenet", 10, 23_528_522),
        ("resnet50", "small", 10, 23_520_842),
        ("resnet50", "imagenet", 100, 23_712_932),
        ("resnet50", "small", 100, 23_705_252),
        ("resnet50", "imagenet", 1000, 25_557_032),
    ],
)
def test_parameter_counts(name, stem, num_classes, count):
    with torch.device("meta"):
        net = NETS.create(name, num_classes, 3, (32, 32), stem=stem)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_x_400mf"])
def test_equals_the_original(name):
    torch.manual_seed(0)
    net = NETS.create(f"torchvision:{name}", 6, 3, (32, 32)).eval()
    torch.manual_seed(0)
    original = torchvision.models.get_model(name, num_classes=6).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(x), original(x), rtol=0, atol=0)


def test_squeezenet_is_linear_in_its_features():
    torch.manual_seed(0)
    net = NETS.create("torchvision:squeezenet1_1", 6, 1, (32, 32)).eval()
    logits = net(torch.randn(8, 1, 32, 32))
    assert net.num_features == 512
    assert (logits < 0).any()


def test_a_transformer_is_built_for_the_image_size():
    with torch.device("meta"):
        net = NETS.create("torchvision:vit_b_32", 6, 3, (64, 64))
        assert net(torch.empty(2, 3, 64, 64)).shape == (2, 6)
    assert net.num_features == 768
    assert net.body.encoder.pos_embedding.shape == (1, 1 + 4, 768)


@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", (8, 8)), ("vgg11", (16, 16)), ("vit_b_32", (40, 40)), ("vit_b_32", (32, 64)), ("maxvit_t", (32, 32))],
)
def test_images_that_do_not_fit(name, size):
    with torch.device("meta"), pytest.raises(InputError, match=f"{name} cannot take {size[0]}x{size[1]} images") as caught:
        NETS.create(f"torchvision:{name}", 10, 3, size)
    assert "\n" not in str(caught.value)


def test_the_trial_moves_nothing():
    torch.manual_seed(0)
    net = NETS.create("torchvision:mobilenet_v3_small", 10, 3, (32, 32))
    after = torch.get_rng_state()
    assert net.training
    assert all(int(value) == 0 for key, value in net.named_buffers() if key.endswith("num_batches_tracked"))
    try_shapes(net, "it", 3, (32, 32))
    assert torch.equal(after, torch.get_rng_state())


def test_an_unknown_name():
    with pytest.raises(InputError, match="did you mean 'mobilenet_v3_small'"):
        NETS.create("torchvision:mobilenet_v3_smal", 10, 3, (32, 32))


def test_options_reach_the_layers():
    net = NETS.create("torchvision:mobilenet_v3_small", 10, 3, (32, 32), bn_momentum=0.3, drop_rate=0.4)
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.3}
    assert {m.p for m in net.modules() if isinstance(m, torch.nn.Dropout)} == {0.4}
    net = NETS.create("resnet18", 10, 3, (32, 32), bn_momentum=0.3)
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.3}


@pytest.mark.parametrize(("name", "option"), [("vit_b_32", "bn_momentum"), ("resnet18", "drop_rate")])
def test_an_option_that_nothing_would_read(name, option):
    with torch.device("meta"), pytest.raises(InputError, match=option):
        NETS.create(f"torchvision:{name}", 10, 3, (32, 32), **{option: 0.5})


def test_grey_images_and_pretrained_weights(offline_weights):
    colour = NETS.create("torchvision:resnet18", 4, 3, (32, 32), pretrained=True).eval()
    grey = NETS.create("torchvision:resnet18", 4, 1, (32, 32), pretrained=True).eval()
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = colour.forward_features(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.forward_features(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "torchvision:squeezenet1_1", "torchvision:googlenet"])
def test_pretrained_weights_are_loaded_and_the_head_is_new(offline_weights, name):
    first, second = (NETS.create(name, 4, 3, (64, 64), pretrained=True).eval() for _ in range(2))
    assert first(torch.randn(2, 3, 64, 64)).shape == (2, 4)
    assert all(torch.equal(a, b) for a, b in zip(first.body.parameters(), second.body.parameters(), strict=True))


@pytest.mark.parametrize(("name", "in_chans"), [("torchvision:resnet18", 4), ("torchvision:googlenet", 1)])
def test_pretrained_weights_and_channels_that_they_do_not_fit(offline_weights, name, in_chans):
    with pytest.raises(InputError, match=f"not {in_chans}"):
        NETS.create(name, 4, in_chans, (64, 64), pretrained=True)


def test_the_small_stem_has_no_pretrained_weights():
    with pytest.raises(InputError, match="stem=small"):
        NETS.create("resnet18", 4, 3, (32, 32), stem="small", pretrained=True)


def test_a_network_that_cannot_be_reached(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", refuse)
    with pytest.raises(InputError, match=r"resnet18: cannot download .* as .*checkpoints/resnet18-\w+\.pth"):
        NETS.create("resnet18", 4, 3, (32, 32), pretrained=True)


def test_pretrained_where_they_can_be_had(offline_weights):
    """auto: with its weights it is the net that `pretrained=True` makes."""
    sure, perhaps = (NETS.create("resnet18", 4, 3, (32, 32), pretrained=word) for word in (True, "auto"))
    assert all(torch.equal(a, b) for a, b in zip(sure.body.parameters(), perhaps.body.parameters(), strict=True))
    entry = NETS.resolve("resnet18")
    assert entry.target.settle({"pretrained": "auto", "stem": "imagenet"}, **entry.fixed) == (
        {"pretrained": True, "stem": "imagenet"},
        "",
    )
    assert entry.target.settle({"pretrained": "auto", "stem": "small"}, **entry.fixed)[0]["pretrained"] is False
    assert entry.target.settle({"pretrained": False}, **entry.fixed) == ({"pretrained": False}, "")


@pytest.mark.parametrize("name", ["resnet18", "torchvision:mobilenet_v3_small"])
def test_pretrained_where_they_cannot_be_had(monkeypatch, name):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", refuse)
    entry = NETS.resolve(name)
    options, line = entry.target.settle({"pretrained": "auto"}, **entry.fixed)
    assert options == {"pretrained": False}
    assert "cannot be had (<urlopen error no route>), so it begins from random ones; save " in line and "checkpoints" in line
    torch.manual_seed(0)
    first = NETS.create(name, 4, 3, (32, 32), pretrained="auto").state_dict()
    torch.manual_seed(0)
    second = NETS.create(name, 4, 3, (32, 32)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in second)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("regnet")])  # they compute on tensors when built
def test_every_model(name):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("error")
        net = NETS.create(f"torchvision:{name}", 7, 3, (224, 224))
        x = torch.empty(2, 3, 224, 224)
        assert net.forward_head(net.forward_features(x), pre_logits=True).shape == (2, net.num_features)
        assert net(x).shape == (2, 7)
        assert net.head.out_features == 7
