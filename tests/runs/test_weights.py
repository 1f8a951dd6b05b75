"""Pretrained weights in a run: images as they were for them, their licence, what is frozen, rates by layer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

import ssl_zoo
from ssl_zoo import NETS, config
from ssl_zoo.cli import export, report, run
from ssl_zoo.data.arrays import as_dataset
from ssl_zoo.groups import OptimizerSettings, ScheduleSettings
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.freezing import freeze
from ssl_zoo.runs.inputs import choose_labels
from ssl_zoo.runs.model import read_model
from ssl_zoo.tables.rows import sound
from ssl_zoo.train.optimizer import make_optimizer, set_lr

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
QUICK = ["--device", "cpu", "--steps", "2", "--set", "precision=fp32", "--set", "evaluation.unlabeled=8"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=9).state_dict(), "w.pth")


def photos():
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for k, name in enumerate(("ant", "bee")):
            folder = Path("photos", part, name)
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (draw.integers(0, 80, (40, 50, 3)) + 80 * k).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return "photos"


def call(capsys, *argv):
    """Exit status, what was printed, and the complaint."""
    status = run.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def colour(channels=3):
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (20, 32, 32, channels), dtype=np.uint8)
    return as_dataset(images, np.arange(20) % 2, images[:6] // 2, np.arange(6) % 2)


def begun(data=None, **values):
    given = {"net": "resnet18", "labels": 10, "steps": 2, "device": "cpu", "precision": "fp32", "views": {"weak": {}}, **values}
    settings = ssl_zoo.recipe("cifar10", **given)
    return trainer_of(settings, choose_labels(settings, data or colour()), Path("b"))


PRETRAINED = {"nets.resnet18.pretrained": "w.pth"}


@pytest.mark.parametrize("kind", ["auto", "weights"])
def test_images_are_normalised_as_for_the_weights(kind):
    trainer = begun(input=kind, **PRETRAINED)
    batch = trainer.batches.batch(0)
    pixels = torch.from_numpy(colour().images[batch.x_index.numpy()]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(batch.x, (pixels - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1), rtol=1e-5, atol=1e-5)


def test_grey_images_get_the_mean_of_the_channels():
    trainer = begun(colour(1), **PRETRAINED)
    batch = trainer.batches.batch(0)
    pixels = torch.from_numpy(colour(1).images[batch.x_index.numpy()]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(batch.x, (pixels - MEAN.mean()) / STD.mean(), rtol=1e-5, atol=1e-5)


def test_without_weights_each_channel_has_mean_0():
    batch = begun().batches.batch(0)
    assert abs(batch.x.mean(dim=(0, 2, 3))).max() < 0.05 and abs(batch.x.std(dim=(0, 2, 3)) - 1).max() < 0.05


def test_what_a_run_says_and_keeps(capsys):
    words = ["--data-root", photos(), "--net", "resnet18", "--set", "nets.resnet18.pretrained=w.pth", *QUICK]
    status, out, error = call(capsys, *words, "--image-size", 32, "--out", "a")
    assert status == 0, error
    assert "pretrained weights: w.pth; license: not known\n" in out
    like = "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert f"how images were for these weights is not known: they are normalised as for {like}\n" in out
    assert "were trained on" not in out and "input = " not in out and "interpolation" not in out
    row = json.loads(Path("a/result.json").read_text())
    assert row["weights"]["source"] == "w.pth" and len(row["weights_hash"]) == 12 and row["config"]["input"] == "weights"
    about = read_model(Path("a/model.safetensors")).about
    assert about["row"]["weights"] == row["weights"]
    values = about["images"]["input"]
    np.testing.assert_allclose([values["shift"], values["scale"]], torch.stack((MEAN, STD)), rtol=1e-6)
    status, out, error = call(capsys, *words, "--image-size", 32, "--out", "a")
    assert status == 0 and "finished already" in out, error
    words = ["--data-root", "photos", "--net", "resnet18", *QUICK, "--image-size", 32, "--from", "a", "--out", "b"]
    status, out, error = call(capsys, *words)  # a licence goes with the weights
    assert status == 0 and json.loads(Path("b/result.json").read_text())["weights"] == row["weights"], error
    assert out.count("pretrained weights: w.pth; license: not known\n") == 1 and "how images were" not in out
    for folder, net in (("a", ""), ("b", "the trained net a; ")):
        assert report.main([folder]) == 0
        assert f"{net}pretrained weights: w.pth; license: not known<" in Path(folder, "report.html").read_text(encoding="utf-8")
    assert export.main(["b", "--out", "b.safetensors"]) == 0
    assert read_model(Path("b.safetensors")).about["row"]["weights"] == row["weights"]


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """torchvision's own weights of a resnet18, as its client keeps them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    place = tmp_path / "torch/hub/checkpoints" / Path(torchvision.models.ResNet18_Weights.DEFAULT.url).name
    place.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet18().state_dict(), place)


def test_what_is_otherwise_than_for_the_weights_is_said(cached, capsys):
    words = ["--data-root", photos(), "--net", "resnet18", "--set", "nets.resnet18.pretrained=true", *QUICK]
    status, out, error = call(capsys, *words, "--set", "input=channel", "--image-size", 32, "--out", "a")
    assert status == 0, error
    source = "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert f"pretrained weights: {source}; license: not stated by torchvision, whose code is BSD-3-Clause\n" in out
    assert json.loads(Path("a/result.json").read_text())["weights"]["source"] == source
    assert "the weights were trained on images of 224x224, and these are 32x32 (height x width)\n" in out
    assert "input = channel gives the net other values than its weights were trained on; --set input=weights normalises" in out
    cubic = ["--set", "datasets.folder.interpolation=bicubic", "--image-size", 32, "--out", "b"]
    status, out, error = call(capsys, *words, *cubic)
    assert status == 0, error
    assert "images were resized bilinear when the weights were trained, and these bicubic" in out
    assert "datasets.folder.interpolation=bilinear does as then" in out


def test_of_a_file_it_is_not_said_how_images_were(capsys):
    words = ["--data-root", photos(), "--net", "resnet18", "--set", "nets.resnet18.pretrained=w.pth", *QUICK]
    status, out, error = call(capsys, *words, "--set", "input=channel", "--image-size", 32, "--out", "a")
    assert status == 0 and "how images were for these weights is not known\n" in out and "gives the net other" not in out, error


@pytest.mark.parametrize("file", ["w.pth", "other.safetensors"])
def test_weights_of_another_program_are_no_net_to_begin_from(file, capsys):
    save_file(torch.load("w.pth"), "other.safetensors")
    status, _, error = call(capsys, "--data-root", photos(), "--net", "resnet18", "--from", file, *QUICK)
    assert status == 2 and f"another program saved are given as --set nets.resnet18.pretrained={file}" in error
    status, _, error = call(capsys, "--net", "smallnet", "--from", file, *QUICK)
    assert status == 2 and "another program" not in error


def test_weights_as_input_need_weights(capsys):
    status, _, error = call(capsys, "--net", "smallnet", "--set", "input=weights", *QUICK)
    assert status == 2 and "and smallnet begins from none; give --set input=channel" in error


@pytest.mark.parametrize(
    ("net", "pretrained", "given", "how"),
    [
        ("timm:vit_tiny_patch16_224", "auto", "auto", "bicubic"),
        ("timm:vit_tiny_patch16_224", True, "auto", "bicubic"),
        ("timm:vit_tiny_patch16_224", True, "bilinear", "bilinear"),
        ("timm:vit_tiny_patch16_224", False, "auto", "bilinear"),
        ("torchvision:mobilenet_v3_small", "auto", "auto", "bilinear"),
        ("torchvision:vit_b_32", "auto", "bicubic", "bicubic"),
        ("smallnet", None, "auto", "bilinear"),
    ],
)
def test_images_are_resized_as_for_the_weights_unless_said_otherwise(net, pretrained, given, how):
    if net.startswith("timm:"):
        pytest.importorskip("timm")
    own = {} if pretrained is None else {f"nets.{net}.pretrained": pretrained}
    settings = ssl_zoo.recipe("photos", net=net, data_root="d", **own, **{"datasets.folder.interpolation": given})
    assert settings.datasets["folder"]["interpolation"] == how


def test_of_a_net_to_begin_from_it_is_said_how_images_were_resized(capsys):
    words = ["--data-root", photos(), "--net", "smallnet", *QUICK, "--image-size", 16]
    assert call(capsys, *words, "--set", "datasets.folder.interpolation=bicubic", "--out", "first")[0] == 0
    _, out, _ = call(capsys, *words[:1], "photos", *words[2:], "--from", "first", "--out", "second")
    assert "images were resized bicubic for it, and these bilinear; --set datasets.folder.interpolation=bicubic does as" in out
    same = ["--set", "datasets.folder.interpolation=bicubic", "--from", "first", "--out", "third"]
    assert "were resized" not in call(capsys, *words[:1], "photos", *words[2:], *same)[1]


def test_interpolation_is_that_of_the_files_and_of_what_is_predicted(capsys):
    for how in ("bilinear", "bicubic"):
        words = ["--data-root", photos() if how == "bilinear" else "photos", "--net", "smallnet", *QUICK, "--image-size", 16]
        assert call(capsys, *words, "--set", f"datasets.folder.interpolation={how}", "--out", how)[0] == 0
    first, second = (ssl_zoo.load(how, "cpu") for how in ("bilinear", "bicubic"))
    content = Path("photos/test/ant/0.png").read_bytes()
    one, two = first.pixels_of(content), second.pixels_of(content)
    assert (one != two).any()
    with Image.open("photos/test/ant/0.png") as image:
        box = (5, 0, 45, 40)
        np.testing.assert_array_equal(one, np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR, box)))
        np.testing.assert_array_equal(two, np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC, box)))
    kept = [path for path in Path("cache").rglob("*") if path.is_file()]
    assert len([path for path in kept if path.stat().st_size > 1000]) == 2  # one for each way


def net_and_method():
    class Method(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NETS.create("resnet18", 3, 3, (32, 32))
            self.second = torch.nn.Linear(4, 3)

    return Method()


def rates(method, **options):
    optimizer = make_optimizer(method, OptimizerSettings(lr=0.1, **options))
    set_lr(optimizer, 0.1, ScheduleSettings(name="constant"), 0.5)
    names = {id(p): name for name, p in method.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_the_last_layer_and_the_rest_have_rates_of_their_own():
    method = net_and_method()
    assert {*rates(method).values()} == {0.1}
    found = rates(method, head_lr=1.0, body_lr=0.01)
    assert {name for name, rate in found.items() if rate == 1.0} == {
        "net.head.weight",
        "net.head.bias",
        "second.weight",
        "second.bias",
    }
    assert {*found.values()} == {1.0, 0.01} and len(found) == len([*method.parameters()])
    assert {*rates(method, body_lr=0.0).values()} == {0.1, 0.0}


def test_rates_fall_from_layer_to_layer():
    method = net_and_method()
    method.net = NETS.create("timm:vit_tiny_patch16_224", 3, 3, (32, 32))
    found = rates(method, layer_decay=0.5, head_lr=1.0)
    assert found["net.head.weight"] == 1.0 and found["second.weight"] == 1.0
    blocks = [found[f"net.blocks.{k}.mlp.fc1.weight"] for k in range(12)]
    np.testing.assert_allclose(np.divide(blocks[1:], blocks[:-1]), 2)
    assert found["net.patch_embed.proj.weight"] < blocks[0] and blocks[-1] <= 0.1
    with pytest.raises(ssl_zoo.InputError, match="a TorchvisionNet has none; choose a net of timm"):
        rates(net_and_method(), layer_decay=0.5)


def step(trainer):
    before = {name: value.clone() for name, value in trainer.algorithm.net.state_dict().items()}
    trainer.algorithm.train()
    for number in range(2):
        trainer.step(number)
    return {name for name, value in trainer.algorithm.net.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("alg", ["supervised", "meanteacher"])
def test_a_frozen_body_stays_bit_for_bit(alg):
    assert step(begun(alg=alg, **PRETRAINED, **{"optimizer.freeze": "body"})) == {"head.weight", "head.bias"}


def test_frozen_batch_norms_stay_and_normalise_by_what_they_have():
    trainer = begun(**PRETRAINED, **{"optimizer.freeze": "bn"})
    changed = step(trainer)
    assert "body.conv1.weight" in changed and not [name for name in changed if ".bn" in name or "downsample.1" in name]
    net, x = trainer.algorithm.net.train(), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-4)  # an image does not see its batch


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(ssl_zoo.InputError, match="linear has no batch norm to freeze"):
        freeze(NETS.create("linear", 2, 1, (4, 4)), "linear", "bn")
    with pytest.raises(ssl_zoo.InputError, match=r"optimizer\.freeze = body trains nothing of the body"):
        config.resolve({"optimizer": {"freeze": "body", "body_lr": 0.1}})
    pytest.importorskip("peft")
    with pytest.raises(ssl_zoo.InputError, match="trains its adapters, which are in the body"):
        freeze(NETS.create("timm:vit_tiny_patch16_224", 2, 3, (32, 32), lora=2), "vit", "body")


@pytest.mark.parametrize("options", ["{lora: 2}", "{pretrained: false}"])
def test_a_transformer_is_trained_loaded_and_used(options, capsys):
    if "lora" in options:
        pytest.importorskip("peft")
    words = ["--net", "timm:vit_tiny_patch16_224", "--set", f"nets.timm:vit_tiny_patch16_224={options}", *QUICK]
    words += ["--set", "datasets.digits.test_size=500", "--set", "optimizer.layer_decay=0.9"]
    status, _, error = call(capsys, *words, "--out", "a")
    assert status == 2 and "cannot take 8x8 images" in error
    status, _, error = call(capsys, "--data-root", photos(), "--image-size", 32, *words[:-4], "--out", "a")
    assert status == 0, error
    trained = ssl_zoo.load("a", "cpu")
    assert trained.predict_proba("photos/test/ant/0.png").shape == (1, 2)
    assert trained.features("photos/test/ant/0.png").shape == (1, 192)


def test_a_file_that_has_changed_is_another_run(capsys):
    words = ["--data-root", photos(), "--net", "resnet18", "--set", "nets.resnet18.pretrained=w.pth", *QUICK, "--image-size", 32]
    assert call(capsys, *words, "--out", "s0")[0] == 0
    torch.manual_seed(5)
    torch.save(torchvision.models.resnet18(num_classes=9).state_dict(), "w.pth")
    status, _, error = call(capsys, *words, "--out", "s0")
    assert status == 2 and "s0/result.json is of a run with other pretrained weights" in error
    assert call(capsys, *words, "--seed", 1, "--out", "s1")[0] == 0
    found = sound([json.loads(Path(folder, "result.json").read_text()) for folder in ("s0", "s1")])
    assert len(found.kept) == 1 and "left out: other than" in found.lines[0] and "weights_hash" in found.lines[0]


def test_a_run_that_has_begun_keeps_how_its_images_are_normalised(capsys):
    given = ["--net", "smallnet", *QUICK]
    assert call(capsys, *given, "--out", "a")[0] == 0
    assert json.loads(Path("a/result.json").read_text())["config"]["input"] == "channel"
    status, out, error = call(capsys, *given, "--set", "input=channel", "--out", "a")
    assert status == 0 and "finished already" in out, error


def test_a_net_with_a_tag_is_given_its_weights(capsys):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet18").state_dict(), "t.pth")
    net = "timm:resnet18.a1_in1k"
    words = ["--data-root", photos(), "--image-size", 32, "--net", net, "--set", f"nets.{net}.pretrained=t.pth", *QUICK]
    status, out, error = call(capsys, *words, "--out", "a")
    assert status == 0 and "pretrained weights: t.pth; license: not known" in out, error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nets.wrn28_2.drop_rate=0.3", "--set nets.wrn28_2.drop_rate is of no effect: nets here: smallnet"),
        ("algorithms.pimodel.weight=3", "--set algorithms.pimodel.weight is of no effect: algorithms here: meanteacher"),
        ("imbalance=20", "imbalance = 20 is of no effect without a long tail of labels; give --draw longtail"),
        (
            "stream.order=reversed",
            "is of no effect without a long tail of the unlabelled images; give --set",
        ),
        (
            "optimizer.freeze=body",
            "has random weights and is not trained; begin from trained ones: --from MODEL",
        ),
        (
            "optimizer.freeze=bn",
            "batch norms of smallnet have seen no image and stay so; begin from trained weights: --from MODEL",
        ),
    ],
)
def test_what_is_of_no_effect_is_said(given, said, capsys):
    status, out, error = call(capsys, "--net", "smallnet", *QUICK, "--set", given, "--out", "a")
    assert status == 0 and said in error
    assert ("(810 of 35,786 parameters trained)" in out) == (given == "optimizer.freeze=body")


def test_another_size_than_the_net_before_is_said(capsys):
    words = ["--data-root", photos(), "--net", "smallnet", *QUICK]
    assert call(capsys, *words, "--image-size", 16, "--out", "a")[0] == 0
    status, out, error = call(capsys, *words, "--image-size", 24, "--from", "a", "--out", "b")
    assert status == 0 and "it was trained on images of 16x16, and these are 24x24 (height x width)" in out, error
