"""timm's models behind our contract: the original's numbers, weights from a file or the hub's cache, adapters."""

import sys
from types import SimpleNamespace

import pytest
import safetensors.torch
import timm
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.heads import Features, last_layer
from ssl_zoo.nets import foreign, timm_nets
from ssl_zoo.registry import NETS

VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture
def file(tmp_path):
    """Weights of a resnet18 of timm with 7 classes."""
    torch.manual_seed(3)
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "ghostnet_050"])
def test_equals_the_original(name):
    torch.manual_seed(0)
    net = NETS.create(f"timm:{name}", 6, 3, (64, 64)).eval()
    torch.manual_seed(0)
    original = timm.create_model(name, num_classes=6).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), original(x), rtol=0, atol=0)
        torch.testing.assert_close(last_layer(net)(Features(net)(x)), net(x))


def test_a_transformer_is_built_for_the_image_size():
    net = NETS.create(VIT, 6, 1, (48, 32)).eval()
    assert net(torch.randn(2, 1, 48, 32)).shape == (2, 6) and net.patch_embed.grid_size == (3, 2)
    with pytest.raises(InputError, match="vit_tiny_patch16_224 cannot take 8x8 images"):
        NETS.create(VIT, 6, 3, (8, 8))


def test_names_that_timm_does_not_know():
    with pytest.raises(InputError, match="timm has no model 'resnet19'; did you mean 'resnet18'"):
        NETS.create("timm:resnet19", 6, 3, (32, 32))
    with pytest.raises(InputError, match="timm's resnet18 has no weights 'mine'; known: a1_in1k"):
        NETS.create("timm:resnet18.mine", 6, 3, (32, 32))


def test_options_reach_the_layers():
    net = NETS.create("timm:resnet18", 6, 3, (32, 32), bn_momentum=0.3, drop_rate=0.4)
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.3} and net.drop_rate == 0.4
    with pytest.raises(InputError, match="has no layer that bn_momentum could apply to"):
        NETS.create(VIT, 6, 3, (32, 32), bn_momentum=0.3)
    with pytest.raises(InputError, match=r"vgg11 cannot be made so \(.*drop_path_rate.*\); leave the option out"):
        NETS.create("timm:vgg11", 6, 3, (32, 32), drop_path_rate=0.1)


@pytest.mark.parametrize("kind", ["weights.pth", "weights.safetensors", "wrapped.pth"])
def test_weights_of_a_file_are_loaded_and_the_head_is_new(file, kind):
    state = torch.load(file)
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, file.with_name("wrapped.pth"))
    net = NETS.create("timm:resnet18", 4, 3, (32, 32), pretrained=str(file.with_name(kind)))
    own = net.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items() if not key.startswith("fc."))
    assert own["fc.weight"].shape == (4, 512)


@pytest.mark.parametrize(
    ("name", "size", "channels", "where"),
    [
        ("resnet18", (32, 32), 1, "conv1.weight"),
        ("vit_tiny_patch16_224", (48, 48), 1, "patch_embed.proj.weight"),
        ("deit_tiny_distilled_patch16_224", (48, 48), 3, ""),
    ],
)
def test_weights_of_a_file_are_fitted_as_timm_fits_its_own(name, size, channels, where, tmp_path):
    state = timm.create_model(name).state_dict()
    torch.save(state, tmp_path / "w.pth")
    net = NETS.create(f"timm:{name}", 4, channels, size, pretrained=str(tmp_path / "w.pth")).eval()
    assert net(torch.randn(2, channels, *size)).shape == (2, 4)
    block = "layer1.0.conv1.weight" if name == "resnet18" else "blocks.3.mlp.fc1.weight"
    assert torch.equal(net.state_dict()[block], state[block])
    if where:
        torch.testing.assert_close(net.state_dict()[where], state[where].sum(dim=1, keepdim=True))


def test_torchvisions_take_files_too(tmp_path):
    import torchvision

    state = torchvision.models.resnet18(num_classes=9).state_dict()
    torch.save(state, tmp_path / "w.pth")
    for name in ("resnet18", "torchvision:resnet18"):
        net = NETS.create(name, 4, 3, (32, 32), pretrained=str(tmp_path / "w.pth"))
        assert torch.equal(net.body.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    grey = NETS.create("resnet18", 4, 1, (32, 32), pretrained=str(tmp_path / "w.pth"))
    torch.testing.assert_close(grey.body.conv1.weight, state["conv1.weight"].sum(dim=1, keepdim=True))
    names = r"\(the net has layer1.2.bn1.bias and \d+ more\); give those of resnet34"
    with pytest.raises(InputError, match=f"resnet34: the weights in .* are of another net {names}"):
        NETS.create("resnet34", 4, 3, (32, 32), pretrained=str(tmp_path / "w.pth"))
    with pytest.raises(InputError, match=r"of another net \(of another shape: conv1.weight\)"):
        NETS.create("resnet18", 4, 3, (32, 32), stem="small", pretrained=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("net", ["resnet18", "torchvision:resnet18", "timm:resnet18"])
def test_names_of_another_program_are_told_beside_the_nets_own(net, file):
    state = {f"backbone.{key}": value for key, value in torch.load(file).items() if not key.startswith("fc.")}
    torch.save({"state_dict": state}, file)
    said = r"\(the net has bn1.bias and 99 more, the file has backbone.bn1.bias and 99 more\); give those of resnet18, under"
    with pytest.raises(InputError, match=said):
        NETS.create(net, 4, 3, (32, 32), pretrained=str(file))


@pytest.mark.parametrize("net", ["resnet18", "timm:resnet18"])
def test_counts_of_batches_need_not_be_in_a_file(net, file):
    state = {key: value for key, value in torch.load(file).items() if not key.endswith("num_batches_tracked")}
    torch.save(state, file)
    own = NETS.create(net, 4, 3, (32, 32), pretrained=str(file)).state_dict()
    assert torch.equal(own.get("bn1.weight", own.get("body.bn1.weight")), state["bn1.weight"])
    torch.save({key: value for key, value in state.items() if key != "bn1.running_mean"}, file)
    with pytest.raises(InputError, match=r"bn1\.running_mean"):
        NETS.create(net, 4, 3, (32, 32), pretrained=str(file))


def test_a_folder_is_no_file_and_may_be_a_runs(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; give the file in it, or begin from a run's net: `initial=.*`"):
        NETS.create("resnet18", 4, 3, (32, 32), pretrained=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"nothing", "cannot be read as weights"),
        (b"", r"cannot be read as weights \(\w+"),
        ({"conv1.weight": torch.tensor([1.0, float("inf")])}, "conv1.weight in '.*' is not finite; give other weights"),
        ({"a": 1}, "holds no state_dict"),
        ({}, "holds no state_dict"),
        ({"conv1.weight": torch.zeros(1)}, "are of another net"),
    ],
)
def test_what_is_no_file_of_its_weights_is_refused(content, said, tmp_path):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=said) as caught:
        NETS.create("timm:resnet18", 4, 3, (32, 32), pretrained=str(path))
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="cannot be read as weights"):
        NETS.create("resnet18", 4, 3, (32, 32), pretrained=str(tmp_path / "w.pth"))
    assert capsys.readouterr().out == ""


@pytest.fixture
def hub(tmp_path, monkeypatch, file):
    """A cache of the hub with the weights of one model, as its client lays it out."""
    import huggingface_hub.constants as constants

    home = tmp_path / "hub/models--timm--resnet18.a1_in1k"
    (home / "snapshots/abc").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs/main").write_text("abc")
    torch.manual_seed(4)
    state = timm.create_model("resnet18").state_dict()
    safetensors.torch.save_file(state, home / "snapshots/abc/model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return state


def test_timms_own_weights_come_from_the_hubs_cache(hub):
    net = NETS.create("timm:resnet18", 4, 3, (32, 32), pretrained=True)
    assert torch.equal(net.conv1.weight, hub["conv1.weight"]) and net.fc.weight.shape == (4, 512)
    settle = NETS.resolve("timm:resnet18").target.settle
    assert settle({"pretrained": "auto", "lora": 0}, name="resnet18") == ({"pretrained": True, "lora": 0}, "")


def test_weights_that_cannot_be_had_are_said_at_once(monkeypatch, tmp_path):
    import huggingface_hub.constants as constants

    def nobody(*args, **more):
        raise OSError("no route")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.create_connection", nobody)
    options, line = NETS.resolve("timm:resnet18").target.settle({"pretrained": "auto"}, name="resnet18")
    assert options == {"pretrained": False} and "resnet18 cannot be had (no route), so it begins from random ones" in line
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot get its weights, timm/resnet18.a1_in1k \(no route\); give a file"):
        NETS.create("timm:resnet18", 4, 3, (32, 32), pretrained=True)


@pytest.mark.parametrize(
    ("endpoint", "proxy", "asked"),
    [
        ("https://hub.example", None, [("hub.example", 443)]),
        ("http://mirror.example:8080", None, [("mirror.example", 8080)]),
        ("http://mirror.example", None, [("mirror.example", 80)]),
        ("https://hub.example", "http://proxy.example:3128", []),
    ],
)
def test_the_hub_is_looked_for_where_it_is(endpoint, proxy, asked, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy is not None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    found = []
    monkeypatch.setattr("socket.create_connection", lambda where: found.append(where) or SimpleNamespace(close=lambda: None))
    timm_nets._look_at_hub("an/a")
    assert found == asked


@pytest.mark.parametrize(
    ("name", "mean", "interpolation", "license"),
    [
        ("timm:vit_tiny_patch16_224", (0.5, 0.5, 0.5), "bicubic", "apache-2.0"),
        ("timm:resnet18.tv_in1k", (0.485, 0.456, 0.406), "bilinear", "bsd-3-clause"),
        ("torchvision:mobilenet_v3_small", (0.485, 0.456, 0.406), "bilinear", "not stated by torchvision"),
        ("resnet18", (0.485, 0.456, 0.406), "bilinear", "not stated by torchvision"),
    ],
)
def test_what_is_known_of_weights(name, mean, interpolation, license):
    entry = NETS.resolve(name)
    found = entry.target.weights({"pretrained": True}, **entry.fixed)
    assert (found.mean, found.size, found.interpolation) == (mean, (224, 224), interpolation)
    assert found.license.startswith(license) and found.source
    assert entry.target.weights({"pretrained": False}, **entry.fixed) is None
    own = entry.target.weights({"pretrained": "w.pth"}, **entry.fixed)
    assert (own.source, own.license, own.mean) == ("w.pth", "not known", mean)
    assert (own.like, found.like) == (found.source, "")  # of a file nothing is known, and it is said whose images it is given


def test_adapters_and_the_last_layer_are_all_that_is_trained():
    pytest.importorskip("peft")
    torch.manual_seed(0)
    plain = NETS.create(VIT, 5, 3, (32, 32)).eval()
    torch.manual_seed(0)
    net = NETS.create(VIT, 5, 3, (32, 32), lora=4).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net(x), plain(x))  # the adapters begin as nothing
    trained = {name: p.numel() for name, p in net.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == 12 * 4 * (192 + 576 + 192 + 192 + 2 * (192 + 768)) + 5 * 192 + 5
    assert all("lora_" in name or name.startswith("head.") for name in trained)
    with pytest.raises(InputError, match="resnet18 has no transformer's blocks that lora could adapt"):
        NETS.create("timm:resnet18", 5, 3, (32, 32), lora=4)


@pytest.mark.parametrize(
    ("package", "options", "said"), [("timm", {}, "pip install timm"), ("peft", {"lora": 2}, "pip install peft")]
)
def test_what_is_not_installed_is_said(package, options, said, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=said):
        NETS.create(VIT, 5, 3, (32, 32), **options)


def test_a_path_is_what_is_no_answer():
    assert [foreign.is_path(value) for value in (True, False, "auto", "w.pth")] == [False, False, False, True]
