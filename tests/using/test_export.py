"""Files for other programs: the same numbers as the net, whichever it is, and no file where they are others."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from torch import nn

import ssl_zoo
from ssl_zoo import InputError
from ssl_zoo.registry import NETS
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.using import beside, formats
from ssl_zoo.using.export import export, exported
from tests.nets.test_all_nets import CASES
from tests.using.models import CLASSES, images, model_file

CPU = torch.device("cpu")
LARGE = ("shakeshake26", "resnet18", "torchvision:mobilenet_v3_small")
every_net = pytest.mark.parametrize(
    ("net", "options"),
    [pytest.param(n, o, marks=[pytest.mark.slow] if n in LARGE else []) for n, o in CASES],
    ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES],
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run_onnx(path, given):
    return session(path).run(None, {"images": np.asarray(given)})[0]


def run_pt2(path, given):
    return torch.export.load(path).module()(torch.as_tensor(given)).numpy()


RUN = {"onnx": run_onnx, "pt2": run_pt2}


def logits_of(model, pixels):
    """What goes into the net, and what comes out."""
    trained = ssl_zoo.load(model, device="cpu", precision="fp32")
    inputs = trained.normalisation.apply(torch.from_numpy(pixels), CPU).contiguous()
    with torch.no_grad():
        return inputs, trained.net(inputs).numpy()


# Every net, in every format


@every_net
def test_every_net(net, options):
    model, pixels = model_file(Path("m.safetensors"), net, options), images((16, 16, 3), 7, seed=1)
    probabilities = ssl_zoo.load(model, "cpu").predict_proba(pixels)
    assert np.ptp(probabilities, axis=0).max() > 0.03, "it makes a difference what is seen"
    out = export(model, with_preprocessing=True)
    found = run_onnx(out, pixels)
    assert out == Path("m.onnx") and found.dtype == np.float32
    np.testing.assert_allclose(found, probabilities, rtol=0, atol=1e-4)
    assert (found.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    inputs, logits = logits_of(model, pixels)
    np.testing.assert_allclose(run_pt2(export(model, format="pt2"), inputs), logits, rtol=1e-4, atol=1e-4)
    copy = ssl_zoo.load(export(model, "copy.safetensors"), "cpu")
    assert (copy.predict_proba(pixels) == probabilities).all()


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_nets_of_timm(name, monkeypatch):
    timm = pytest.importorskip("timm")

    @NETS.register(f"timm-{name}")
    def build(num_classes: int, in_chans: int, image_size: tuple[int, int]) -> nn.Module:
        more = {"img_size": image_size} if "vit" in name else {}
        return timm.create_model(name, num_classes=num_classes, in_chans=in_chans, **more)

    model = model_file(Path("m.safetensors"), f"timm-{name}", shape=(32, 32, 3))
    inputs, wanted = logits_of(model, images((32, 32, 3), 7, seed=1))
    for kind, run in (("onnx", run_onnx), ("pt2", run_pt2)):
        np.testing.assert_allclose(run(export(model, format=kind), inputs), wanted, rtol=1e-4, atol=1e-4)


# What goes in and what comes out


@pytest.mark.parametrize("kind", ["channel", "unit", "image", "zca"])
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_pixels_in_and_probabilities_out(format, kind):
    """With every normalisation; also of images of one grey, whose deviation is nothing."""
    model = model_file(Path("m.safetensors"), shape=(8, 8, 1), kind=kind, temperature=1.7)
    out, pixels = export(model, format=format, with_preprocessing=True), images((8, 8, 1))
    trained = ssl_zoo.load(model, "cpu")
    wanted = trained.predict_proba(pixels)
    assert np.abs(wanted - trained.predict_proba(pixels, calibrated=False)).max() > 0.01
    for n in (1, 2, 20):
        found = RUN[format](out, pixels[:n])
        assert found.shape == (n, 5) and found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[:n], rtol=0, atol=1e-6)


def test_any_size():
    """The run's own, smaller, larger, not square; of all normalisations that have no size."""
    for kind in ("channel", "image"):
        model = model_file(Path("m.safetensors"), shape=(16, 16, 3), kind=kind)
        trained = ssl_zoo.load(model, "cpu")
        for format, with_preprocessing in (("onnx", True), ("pt2", kind == "image")):
            out = export(model, format=format, with_preprocessing=with_preprocessing, dynamic_size=True)
            for size in ((16, 16), (9, 14), (33, 20)):
                pixels = images((*size, 3), 4)
                inputs = trained.normalisation.apply(torch.from_numpy(pixels), CPU).contiguous()
                wanted = trained.net(inputs)
                wanted = wanted.softmax(dim=1) if with_preprocessing else wanted
                found = RUN[format](out, pixels if with_preprocessing else inputs)
                np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_whitened_images_have_one_size_and_their_net_has_not():
    model = model_file(Path("m.safetensors"), shape=(8, 8, 1), kind="zca")
    with pytest.raises(InputError, match=r"whitens images \(input = zca\) by a matrix for 8x8 pixels; leave out"):
        export(model, format="pt2", with_preprocessing=True, dynamic_size=True)
    assert not Path("m.pt2").exists()
    out = export(model, format="pt2", dynamic_size=True)
    assert run_pt2(out, torch.zeros(2, 1, 11, 20)).shape == (2, 5)


def test_a_net_of_one_size_is_not_made_one_of_any():
    model = model_file(Path("m.safetensors"), "mlp", {"width": 20})
    with pytest.raises(InputError, match=r"mlp cannot take 19x24 images \(.*\), only 16x16; leave out `dynamic_size=True`"):
        export(model, dynamic_size=True)


@pytest.mark.parametrize(("format", "said"), [("onnx", "its logits are up to"), ("pt2", "it cannot be run")])
def test_a_net_that_does_another_thing_at_another_size_is_refused(format, said, monkeypatch):

    @NETS.register("moody")
    class Moody(nn.Module):
        def __init__(self, num_classes: int, in_chans: int, image_size: tuple[int, int]):
            super().__init__()
            self.head = nn.Linear(in_chans, num_classes)

        def forward(self, x):
            return self.head(x.mean(dim=(2, 3))) * (1 if x.shape[2] < 20 else 2)

    model = model_file(Path("m.safetensors"), "moody")
    with pytest.raises(InputError, match=rf"{said} .*; take \w+ or \w+, or leave out `dynamic_size=True`$"):
        export(model, format=format, dynamic_size=True)
    assert [path.name for path in Path().iterdir()] == ["m.safetensors"]


def test_any_size_of_a_net_whose_last_map_is_a_single_pixel_at_its_own():
    model = model_file(Path("m.safetensors"), "torchvision:squeezenet1_1", shape=(24, 24, 3))
    out, net = export(model, format="pt2", dynamic_size=True), ssl_zoo.load(model, "cpu").net
    for size in ((24, 24), (20, 30), (50, 40)):
        images = torch.linspace(-1, 1, 3 * size[0] * size[1]).view(1, 3, *size)
        np.testing.assert_allclose(run_pt2(out, images), net(images).numpy(), rtol=1e-4, atol=1e-4)


def test_a_run_in_bf16_is_compared_in_fp32():
    model = model_file(Path("m.safetensors"), "resnet18", {"stem": "imagenet"})
    with safe_open(model, "pt") as file:
        about, tensors = json.loads(file.metadata()["ssl_zoo"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about["row"]["precision"] = "bf16"
    from safetensors.torch import save_file

    save_file(tensors, "b.safetensors", {"ssl_zoo": json.dumps(about)})
    inputs, wanted = logits_of(model, images((16, 16, 3), 7))
    np.testing.assert_allclose(run_pt2(export("b.safetensors", format="pt2"), inputs), wanted, rtol=1e-4, atol=1e-4)


# What the file says of itself


@pytest.mark.parametrize("with_preprocessing", [False, True])
def test_the_metadata(with_preprocessing):
    model = model_file(Path("m.safetensors"), shape=(8, 12, 3))
    with safe_open(model, "pt") as file:
        ours = json.loads(file.metadata()["ssl_zoo"])
    said = session(export(model, with_preprocessing=with_preprocessing)).get_modelmeta().custom_metadata_map
    extra = dict.fromkeys(said, "")
    torch.export.load(export(model, format="pt2", with_preprocessing=with_preprocessing), extra_files=extra)
    assert extra == said and {*said} == {"ssl_zoo", "classes", "input", "output"}
    assert json.loads(said["ssl_zoo"]) == ours and json.loads(said["classes"]) == [*CLASSES]
    assert json.loads(said["output"])["name"] == ("probabilities" if with_preprocessing else "logits")
    given = json.loads(said["input"])
    assert (given["name"], given["type"]) == ("images", "uint8" if with_preprocessing else "float32")
    assert given["shape"] == (["n", 8, 12, 3] if with_preprocessing else ["n", 3, 8, 12])
    (entry,), (left,) = session("m.onnx").get_inputs(), session("m.onnx").get_outputs()
    assert (entry.name, entry.shape, left.shape) == ("images", given["shape"], ["n", 5])


def test_it_says_nothing_of_this_machine_and_shows_no_image():
    model = model_file(Path("m.safetensors"))
    here = str(Path(ssl_zoo.__file__).parent).encode()
    assert here not in export(model).read_bytes() and b"site-packages" not in Path("m.onnx").read_bytes()
    with zipfile.ZipFile(export(model, format="pt2")) as archive:
        assert not [name for name in archive.namelist() if here in archive.read(name) or b"site-packages" in archive.read(name)]
        (sample,) = (name for name in archive.namelist() if "sample_inputs" in name)
        ((images,), _) = torch.load(io.BytesIO(archive.read(sample)), weights_only=False)
    assert not images.any()


def test_names_of_classes_are_data(monkeypatch):
    odd = ("a\"b', \n", "\udcff", "ß 猫", "${x}", "\x1b[31m")
    monkeypatch.setattr("tests.using.models.CLASSES", odd)
    model = model_file(Path("m.safetensors"))
    assert json.loads(session(export(model)).get_modelmeta().custom_metadata_map["classes"]) == [*odd]


# Beside the net


def changed(by):
    """What runs an ONNX file, with other numbers."""
    return formats.FORMATS["onnx"]._replace(run=lambda content: lambda given: by(formats._run_onnx(content)(given)))


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (lambda found: found + 2e-3, r"up to 0\.002 from .*, and 0 of 36 images are of another class"),
        (lambda found: found[:, ::-1].copy(), r"and \d+ of 36 images are of another class \(on 32 random images"),
        (lambda found: found * np.float32("nan"), "up to inf from those of the net"),
        (lambda found: found[:, :4], r"it gives numbers of shape \(1, 4\) and the net \(1, 5\)"),
    ],
)
def test_what_disagrees_is_refused_and_leaves_no_file(by, said, monkeypatch):
    model = model_file(Path("m.safetensors"))
    kept = export(model).read_bytes()
    monkeypatch.setitem(formats.FORMATS, "onnx", changed(by))
    for out in ("new.onnx", "m.onnx"):
        with pytest.raises(InputError, match=said) as error:
            export(model, out)
        assert "\n" not in str(error.value)
    assert {path.name for path in Path().iterdir()} == {"m.safetensors", "m.onnx"}
    assert Path("m.onnx").read_bytes() == kept


def test_what_does_not_run_is_refused(monkeypatch):
    model = model_file(Path("m.safetensors"))

    def fails(content):
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setitem(formats.FORMATS, "onnx", formats.FORMATS["onnx"]._replace(run=fails))
    with pytest.raises(InputError, match=r"it cannot be run \(RuntimeError: no such operation\); take pt2 or safetensors$"):
        export(model)
    assert [path.name for path in Path().iterdir()] == ["m.safetensors"]


def test_how_far_apart_is_relative_to_large_logits():
    def apart(found, wanted):
        return beside._apart(torch.tensor([found]), torch.tensor([wanted]))

    assert apart([0.5, 0.0], [0.5, 0.25]) == (0.25, 0)
    assert apart([-100.0, 0.0], [-110.0, 0.0]) == (pytest.approx(10 / 110), 0)
    assert apart([0.0, 0.5], [0.5, 0.0]) == (0.5, 1)
    assert apart([1.0, 1.0001], [1.00005, 1.0])[1] == 0, "nobody knows which it is"
    assert apart([1.0, 1.0004], [1.0003, 1.0])[1] == 1
    assert apart([float("nan"), 0.0], [0.5, 0.0]) == (float("inf"), 1 - 1)


def test_a_thing_that_no_graph_can_be_is_refused(monkeypatch):

    @NETS.register("branching")
    class Branching(nn.Module):
        def __init__(self, num_classes: int, in_chans: int, image_size: tuple[int, int]):
            super().__init__()
            self.head = nn.Linear(in_chans * image_size[0] * image_size[1], num_classes)

        def forward(self, x):
            return self.head(x.flatten(1)) if x.sum() > 0 else self.head(-x.flatten(1))

    model = model_file(Path("m.safetensors"), "branching")
    with pytest.raises(InputError, match=r"branching cannot be exported \(.*\); mend the net") as error:
        export(model)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    assert export(model, "copy.safetensors").exists()


# On which images


def decoded(trained_words):
    """The images that are found for a model of this place of data."""
    config, shape = trained_words
    return beside.sample_for(ssl_zoo.load(model_file(Path("m.safetensors"), shape=shape, config=config), "cpu"))


@pytest.fixture
def photos(tmp_path):
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in ("ant", "bee", "unlabeled", ".hidden"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(9):
            Image.fromarray(draw.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos/ant/0.png").write_text("broken")
    (tmp_path / "photos/ant/notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_images_of_a_folder_an_archive_or_a_table(photos):
    def of(root, **options):
        return {"dataset": "folder", "data_root": str(root), "datasets": {"folder": {"image_size": 16, **options}}}

    found = decoded((of(photos), (16, 16, 3)))
    assert found.words == f"26 images of {photos}" and found.pixels.shape == (32, 16, 16, 3)
    assert len(np.unique(found.pixels.reshape(32, -1), axis=0)) == 26
    first = ssl_zoo.data.decode.read_image(photos / "ant/1.png", (16, 16), "RGB")
    assert any((pixels == first).all() for pixels in found.pixels)
    (photos / "ant/0.png").unlink()
    shutil.make_archive("packed", "zip", photos)
    assert re.match(r"26 images of .*packed.zip", decoded((of(Path("packed.zip").absolute()), (16, 16, 3))).words)
    Path("photos/table.csv").write_text("path,label\nant/1.png,ant\nbee/1.png,bee\nbee/2.png,bee\n")
    assert decoded((of(photos / "table.csv"), (16, 16, 3))).words == f"3 images of {photos}/table.csv"
    assert decoded((of(photos, labels_file="photos/table.csv"), (16, 16, 3))).words == f"3 images of {photos}"


def test_images_of_a_data_set():
    found = decoded(({"dataset": "digits", "datasets": {"digits": {"test_size": 500}}}, (8, 8, 1)))
    assert found.words == "32 images of digits"
    assert (found.pixels == ssl_zoo.DATASETS.create("digits", None).test_images[:32]).all()


@pytest.mark.parametrize(
    "config",
    [
        {"dataset": "folder", "data_root": "gone", "datasets": {"folder": {}}},
        {"dataset": "arrays", "datasets": {"arrays": {}}},
        {"dataset": "of-a-plug-in", "datasets": {"of-a-plug-in": {}}},
        {"dataset": "cifar10", "data_root": "gone", "datasets": {"cifar10": {"download": True}}},
        {"dataset": "digits", "datasets": {"digits": {}}},  # of another size
        {"dataset": "folder", "data_root": "a\0b", "datasets": {"folder": {}}},
        {"dataset": [], "datasets": 7},
    ],
    ids=lambda config: str(config["dataset"]),
)
def test_random_images_where_none_are_at_hand(config):
    found = decoded((config, (16, 16, 3)))
    assert found.words == "32 random images, as those of the run are not at hand"
    assert found.pixels.shape == (32, 16, 16, 3) and found.pixels.dtype == np.uint8
    assert not Path("gone").exists()


# Where it goes


def test_what_a_file_is_called():
    model = model_file(Path("ants.safetensors"))
    assert export(str(model), format="pt2") == Path("ants.pt2")
    assert export(model, "x.PT2") == Path("x.PT2") and zipfile.is_zipfile("x.PT2")
    shutil.copy(model, "v1.2")
    assert export("v1.2", format="pt2") == Path("v1.2.pt2")
    with pytest.raises(InputError, match=r"x.pt2 ends as pt2 and the format is onnx; make them agree"):
        export(model, "x.pt2", format="onnx")


def test_nothing_is_written_over_unsaid():
    model = model_file(Path("m.safetensors"))
    Path("folder").mkdir()
    Path("folder.pt2").mkdir()
    for name in ("notes.pt2", "notes.onnx", "notes.safetensors"):
        Path(name).write_text("notes")
    shutil.make_archive("other", "zip", "folder")
    shutil.move("other.zip", "other.pt2")
    Path("run").mkdir()
    Path("run/config.yaml").write_text("alg: supervised\nnet: smallnet\ndataset: digits\n")
    shutil.copy(model, "run/model.safetensors")
    model_file(Path("other.safetensors"), config={"seed": 1})
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), "other.onnx")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for out, format, said in [
        ("folder", "pt2", "folder is a folder; give a file, such as folder/model.pt2"),
        ("folder.pt2", None, "folder.pt2 is a folder; give a file"),
        ("none/x.pt2", None, "there is no folder none for x.pt2; make it"),
        ("notes.pt2/x.pt2", None, "there is no folder notes.pt2 for x.pt2"),
        ("notes.pt2", None, "notes.pt2 is there, and is no earlier export as pt2; give another place, or remove it"),
        ("other.pt2", None, "other.pt2 is there, and is no earlier export as pt2"),
        ("notes.onnx", None, "notes.onnx is there, and is no earlier export as onnx"),
        ("other.onnx", None, "other.onnx is there, and is no earlier export as onnx"),
        ("notes.safetensors", None, "notes.safetensors is there, and is no earlier export as safetensors"),
        ("m.safetensors", None, "m.safetensors is the model itself"),
        ("run/model.safetensors", None, "run/model.safetensors is a file of the run in run; give another place"),
        ("run/initial.safetensors", None, "run/initial.safetensors is a file of the run in run"),
        ("run/Initial.safetensors", None, "run/Initial.safetensors is a file of the run in run"),
        *((f"run/{name}", "onnx", f"run/{name} is a file of the run in run") for name in ("result.json", "checkpoint.pt")),
        ("other.safetensors", None, "other.safetensors is there, and is the net of another run; give another place, or remove"),
        (None, "safetensors", "the weights are in m.safetensors already; say where the copy is to be, `out=FILE`"),
    ]:
        with pytest.raises(InputError, match=re.escape(said)):
            export(model, out, format)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_an_earlier_export_is_written_over():
    model = model_file(Path("m.safetensors"))
    for out in ("a.onnx", "a.pt2", "a.safetensors"):
        assert [exported(model, out).replaced for _ in range(2)] == [False, True]
    model_file(Path("b.safetensors"), kind="unit")
    assert [exported("b.safetensors", out).replaced for out in ("a.onnx", "a.pt2")] == [True, True]


def test_a_copy_is_written_over_by_the_same_run_alone(tmp_path):
    """However that has its model: in its folder, and as a copy; not by the run of another seed, nor from another start."""
    settings = {"net": "smallnet", "steps": 1, "device": "cpu", "alg": "supervised"}
    ssl_zoo.run(ssl_zoo.recipe("digits", **settings), "one", quiet=True)
    ssl_zoo.run(ssl_zoo.recipe("digits", **settings, seed=1), "two", quiet=True)
    ssl_zoo.run(ssl_zoo.recipe("digits", **settings, initial="two"), "three", quiet=True)
    assert {path.name for path in Path("three").iterdir() if not RunFolder(Path("three")).uses(path.name)} == set()
    copy = export("one", "copy.safetensors")
    export(copy, "again.safetensors")
    assert exported("one", "again.safetensors").replaced and exported("again.safetensors", copy).replaced
    kept = Path("three/initial.safetensors").read_bytes()
    for model, out in (("two", copy), ("three", copy), ("one", "three/initial.safetensors"), ("one", "one/initial.safetensors")):
        with pytest.raises(InputError, match=r"the net of another run|a file of the run in"):
            export(model, out)
    assert kept == Path("three/initial.safetensors").read_bytes() and not Path("one/initial.safetensors").exists()


def test_what_cannot_be_asked_for():
    model = model_file(Path("m.safetensors"))
    with pytest.raises(InputError, match="format = 'tflite' is unknown: it must be one of onnx, pt2, safetensors"):
        export(model, format="tflite")
    for more in ("with_preprocessing", "dynamic_size"):
        with pytest.raises(InputError, match=f"safetensors are the weights alone, without a graph; leave out `{more}=True`"):
            export(model, "x.safetensors", **{more: True})


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named_with_its_extra(package, monkeypatch):
    model = model_file(Path("m.safetensors"))
    there = formats.importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name == package else there(name))
    with pytest.raises(InputError, match=re.escape(f'onnx needs the package {package}: `pip install "ssl_zoo[onnx]"`')):
        export(model)
    assert export(model, format="pt2").exists()


def test_a_net_that_is_too_large_for_onnx(monkeypatch):
    monkeypatch.setattr(formats, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"an ONNX file at most .*; use `format=pt2`"):
        export(model_file(Path("m.safetensors")))
