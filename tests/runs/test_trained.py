"""A trained net that is used: one file is enough, it says what the run scored, and a bad one is refused in a line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ssl_zoo
from ssl_zoo import NETS, InputError
from ssl_zoo.cli import run
from ssl_zoo.data.normalisation import Normalisation
from ssl_zoo.heads import last_layer
from ssl_zoo.runs import model
from ssl_zoo.runs.trained import Trained
from ssl_zoo.train.checkpoint import Checkpoints
from tests.nets.test_all_nets import every_net

QUICK = ["--net", "smallnet", "--steps", "6", "--device", "cpu", "--set", "evaluation.every=2"]
DIGITS = ssl_zoo.DATASETS.create("digits", None)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


def trained(*words, out="o"):
    assert run.main([*QUICK, *map(str, words), "--out", out]) == 0
    return json.loads(Path(out, "result.json").read_text())


def accuracy(found, labels=DIGITS.test_labels):
    return float((found.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("kind", ["channel", "unit", "image", "zca"])
@pytest.mark.parametrize("alg", ["supervised", "meanteacher"])
def test_the_file_alone_gives_the_runs_scores(alg, kind, tmp_path):
    row = trained("--alg", alg, "--set", f"input={kind}")
    shutil.move("o/model.safetensors", tmp_path / "elsewhere.safetensors")
    shutil.rmtree("o")
    net = ssl_zoo.load(tmp_path / "elsewhere.safetensors")
    found = net.predict_proba(DIGITS.test_images)
    assert accuracy(found) == row["accuracy"]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-3)
    assert net.classes == DIGITS.classes and net.about["scores"]["accuracy"] == row["accuracy"]
    assert net.about["row"]["split_hash"] == row["split_hash"] and "evaluations" not in net.about["row"]


def test_it_is_the_net_that_is_scored():
    """Of Mean Teacher the teacher, unless the student is asked for, or an average."""
    row = trained("--alg", "meanteacher", "--set", "algorithms.meanteacher.decay=0.5")
    assert row["accuracy"] != row["accuracy_student"]
    state = Checkpoints(Path("o")).load(torch.device("cpu"))["algorithm"]
    kept = load_file("o/model.safetensors")
    assert all(torch.equal(kept[f"net.{name[12:]}"], value) for name, value in state.items() if name.startswith("teacher.net."))
    student = trained("--alg", "meanteacher", "--set", "evaluation.net=student", out="s")
    assert accuracy(ssl_zoo.load("s").predict_proba(DIGITS.test_images)) == student["accuracy"]
    average = trained("--alg", "supervised", "--set", "eval_ema=0.5", out="e")
    assert accuracy(ssl_zoo.load("e").predict_proba(DIGITS.test_images)) == average["accuracy"]


SELECTED = ["--alg", "supervised", "--labels", "50", "--val-fraction", "0.2", "--set", "selection=validation"]
SELECTED += ["--set", "optimizer.lr=0.05", "--set", "schedule.name=constant", "--steps", "24"]


def test_it_is_of_the_evaluation_that_was_selected():
    """Held-out images chose one before the last; the weights of then are kept, also through a kill."""
    for seed in range(20):
        row = trained(*SELECTED, "--seed", seed, out=f"o{seed}")
        if row["selected_step"] < 24:
            break
    else:
        raise AssertionError("the last was always the best")
    last = row["evaluations"][-1]["accuracy"]
    net = ssl_zoo.load(f"o{seed}")
    assert accuracy(net.predict_proba(DIGITS.test_images)) == row["accuracy"] != last
    before = load_file(f"o{seed}/model.safetensors")
    for name in ("result.json", "model.safetensors"):
        Path(f"o{seed}", name).unlink()
    assert trained(*SELECTED, "--seed", seed, out=f"o{seed}")["selected_step"] == row["selected_step"]
    after = load_file(f"o{seed}/model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def photos(tmp_path):
    """Three classes of colour images of different sizes."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 4)):
        for k, name in enumerate(("ant", "bee", "cat")):
            folder = tmp_path / "mine" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (draw.integers(0, 80, (20 + i, 24, 3)) + 80 * k).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "mine"


SMALL = ["--set", "batch={labeled: 4, unlabeled: 4}", "--set", "views.weak={flip: {}}", "--dataset", "folder", "--labels", "9"]


def test_photos_by_path_and_as_pil_images(photos):
    row = trained("--alg", "meanteacher", *SMALL, "--data-root", photos, "--image-size", "16")
    net = ssl_zoo.load("o")
    assert net.classes == ("ant", "bee", "cat") and net.image_size == (16, 16)
    paths = sorted((photos / "test").rglob("*.png"))
    by_path = net.predict_proba(paths)
    labels = np.array([net.classes.index(path.parent.name) for path in paths])
    assert by_path.shape == (12, 3) and accuracy(by_path, labels) == row["accuracy"]
    by_text = net.predict_proba([str(path) for path in paths])
    opened = [Image.open(path) for path in paths]
    sizes = [image.size for image in opened]
    by_image = net.predict_proba(opened)
    assert (by_path == by_text).all() and (by_path == by_image).all()
    assert [image.size for image in opened] == sizes, "images that are passed stay as they were"
    one = net.predict_proba(paths[0])
    assert one.shape == (1, 3) and (net.predict_proba(opened[0]) == one).all()
    grey = net.predict_proba(opened[0].convert("L"))
    assert grey.shape == (1, 3), "made to what the net takes"


def test_what_is_no_image_is_refused(photos):
    trained("--alg", "supervised", *SMALL, "--data-root", photos, "--image-size", "16")
    net = ssl_zoo.load("o")
    (photos / "text.png").write_text("no image")
    for given, said in [
        (photos / "none.png", "none.png' is not an image that can be read (No such file or directory)"),
        (photos / "text.png", "text.png' is not an image that can be read (no known format)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "the images are 8 x 8 x 3 and the net takes 16 x 16 x 3"),
        (np.zeros((2, 16, 16), np.uint8), "the images are 16 x 16 x 1 and the net takes 16 x 16 x 3"),
        (np.zeros((2, 16, 16, 3), int), "images is of int64"),
        (np.full((2, 16, 16, 3), 2.0), "images has floats from 2 to 2"),
        (7, "images has the shape ()"),
        ([photos / "none.png", 7], "is not an image that can be read"),
    ]:
        with pytest.raises(InputError, match=re.escape(said)):
            net.predict_proba(given)
    assert net.predict_proba(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 3)
    assert net.predict_proba([]).shape == (0, 3)


def test_photos_of_another_size_than_a_net_without_a_rule_takes(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "d" / part / name).mkdir(parents=True)
            for i in range(3):
                pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3)).astype(np.uint8)
                Image.fromarray(pixels + (name == "b")).save(tmp_path / "d" / part / name / f"{part}{i}.png")
    trained("--alg", "supervised", *SMALL[:-1], "4", "--data-root", tmp_path / "d")
    net = ssl_zoo.load("o")
    Image.new("RGB", (20, 12)).save("wide.png")
    with pytest.raises(InputError, match=r"image 0 is 12 x 20 and the net takes 12 x 12 .*; resize it"):
        net.predict_proba("wide.png")


def test_a_net_of_a_plug_in_names_it(tmp_path):
    Path("mynet.py").write_text(
        "from torch import nn\nfrom ssl_zoo import NETS\n\n\n@NETS.register('my-net')\nclass MyNet(nn.Module):\n"
        "    '''A linear layer.'''\n\n    def __init__(self, num_classes, in_chans, image_size, *, bias: bool = True):\n"
        "        super().__init__()\n        height, width = image_size\n"
        "        self.head = nn.Linear(in_chans * height * width, num_classes, bias)\n\n"
        "    def forward(self, x):\n        return self.head(x.flatten(1))\n"
    )
    words = ["--alg", "supervised", "--net", "my-net", "--plugin", "mynet.py", "--steps", "2", "--device", "cpu", "--out", "o"]
    subprocess.run([sys.executable, "-m", "ssl_zoo", "run", *words], check=True, capture_output=True)
    with pytest.raises(InputError, match=r"is of the net 'my-net' \(net my-net: mynet.py .*\), which is not registered; import"):
        ssl_zoo.load("o")
    code = "import mynet, ssl_zoo; print(ssl_zoo.load('o').net.head.bias.shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.Size([10])"


def rewritten(path, change=lambda about: None, tensors=lambda found: None):
    """The file with another content."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[model.KEY])
    found = load_file(path)
    change(about)
    tensors(found)
    about["digest"] = model._digest(found)
    save_file(found, "changed.safetensors", {model.KEY: json.dumps(about)})
    return "changed.safetensors"


def first(tensors):
    """The name of a tensor of the net."""
    return next(name for name in tensors if name.startswith("net."))


BROKEN = {
    "another version": (
        lambda a: a.update(format=99),
        None,
        "is of format 99, and this version of ssl_zoo reads 1",
    ),
    "no version": (lambda a: a.pop("format"), None, "has no format"),
    "no classes": (lambda a: a.pop("classes"), None, "it lacks classes"),
    "one class": (lambda a: a.update(classes=["a"]), None, "its classes are too few"),
    "a class twice": (lambda a: a.update(classes=["a"] * 10), None, "its classes are too few, too many, or twice the same"),
    "another number of classes": (lambda a: a.update(classes=["a", "b"]), None, "do not fit the net 'smallnet'"),
    "a huge image": (lambda a: a["net"].update(height=10**9), None, "its net is not what it should be"),
    "an unknown net": (lambda a: a["net"].update(name="os.system"), None, "is of the net 'os.system', which is not registered"),
    "an unknown option": (lambda a: a["net"].update(options={"x": 1}), None, "do not fit the net 'smallnet'"),
    "no scale": (lambda a: a["images"]["input"].pop("scale"), None, "how its images are normalised does not fit"),
    "a scale of nothing": (lambda a: a["images"]["input"].update(scale=[0.0]), None, "how its images are normalised does not"),
    "an unknown input": (lambda a: a["images"]["input"].update(kind="eval"), None, "how its images are normalised"),
    "a tensor too few": (None, lambda t: t.pop(first(t)), "do not fit the net 'smallnet'"),
    "a tensor too many": (None, lambda t: t.update({"net.x": torch.zeros(1)}), "do not fit the net 'smallnet'"),
    "another type": (None, lambda t: t.update({first(t): t[first(t)].double()}), "do not fit the net"),
    "another shape": (None, lambda t: t.update({first(t): torch.zeros(1, 2)}), "do not fit the net 'smallnet'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_was_changed_is_refused(name):
    change, tensors, said = BROKEN[name]
    trained("--alg", "supervised")
    nothing = lambda found: None  # noqa: E731
    path = rewritten("o/model.safetensors", change or nothing, tensors or nothing)
    with pytest.raises(InputError, match=re.escape(said)) as error:
        ssl_zoo.load(path)
    assert "\n" not in str(error.value) and path in str(error.value)


def test_files_that_are_no_model_and_folders_without_one(tmp_path):
    trained("--alg", "supervised")
    whole = Path("o/model.safetensors").read_bytes()
    save_file({"a": torch.zeros(1)}, "plain.safetensors")
    Path("short.safetensors").write_bytes(whole[: len(whole) // 2])
    Path("noise.safetensors").write_bytes(b"\xff" * 100)
    Path("empty.safetensors").write_bytes(b"")
    for path, said in [
        ("plain.safetensors", "is no model of ssl_zoo: it has no 'ssl_zoo' in its metadata"),
        ("short.safetensors", "cannot be read as a model"),
        ("noise.safetensors", "cannot be read as a model"),
        ("empty.safetensors", "cannot be read as a model"),
        ("none.safetensors", "there is no 'none.safetensors'"),
        (str(tmp_path), "is not the folder of a run"),
    ]:
        with pytest.raises(InputError, match=re.escape(said)) as error:
            ssl_zoo.load(path)
        assert "\n" not in str(error.value)
    for name, files in (("fold-0.old-1", "o"), ("fold-0", None), ("fold-2", "o"), ("fold-10", "o")):
        Path("f", name).mkdir(parents=True)
        for file in Path(files).glob("*.*") if files else [Path("o/config.yaml")]:
            Path("f", name, file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"^f holds a run in folds, each with a net of its own; give .*, such as f/fold-2$"):
        ssl_zoo.load("f")
    Path("o/model.safetensors").unlink()
    with pytest.raises(InputError, match=r"left no model.safetensors: a version of ssl_zoo without it made it"):
        ssl_zoo.load("o")
    Path("o/result.json").unlink()
    with pytest.raises(InputError, match="the run in o is not finished"):
        ssl_zoo.load("o")


def test_any_head_of_a_file_is_refused_or_read():
    """No byte of the metadata makes anything but an InputError."""
    trained("--alg", "supervised")
    with safe_open("o/model.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()[model.KEY])
    found = load_file("o/model.safetensors")
    odd = [None, [], {}, "x", -1, 1e9, True, [[]], {"a": 1}]
    places = [(about, key) for key in about] + [(about["net"], key) for key in about["net"]]
    places += [(about["images"], key) for key in about["images"]] + [
        (about["images"]["input"], key) for key in about["images"]["input"]
    ]
    for place, key in places:
        kept = place[key]
        for value in odd:
            place[key] = value
            save_file(found, "odd.safetensors", {model.KEY: json.dumps(about)})
            try:
                ssl_zoo.load("odd.safetensors").predict_proba(DIGITS.test_images[:2])
            except InputError as error:
                assert "\n" not in str(error)
        place[key] = kept


def test_loading_draws_nothing():
    trained("--alg", "supervised")
    torch.manual_seed(3)
    ssl_zoo.load("o")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_a_weight_that_was_changed_on_the_way_is_seen():
    trained("--alg", "supervised")
    content = bytearray(Path("o/model.safetensors").read_bytes())
    content[-2] ^= 1
    Path("o/model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="its weights are not those that were written; copy it again"):
        ssl_zoo.load("o")


def test_the_precision_of_the_run_is_taken_where_the_device_is_fast_in_it(monkeypatch):
    from ssl_zoo.runs import trained as module

    trained("--alg", "supervised", "--set", "precision=bf16")
    assert ssl_zoo.load("o")._precision == module.pick_precision(torch.device("cpu"), "auto")
    assert ssl_zoo.load("o", precision="bf16")._precision == "bf16" and ssl_zoo.load("o", precision="fp32")._precision == "fp32"
    monkeypatch.setattr(module, "pick_precision", lambda device, asked: "bf16")
    assert ssl_zoo.load("o")._precision == "bf16"


def test_arrays_that_are_not_in_order_or_may_not_be_written(tmp_path):
    import warnings

    trained("--alg", "supervised")
    net = ssl_zoo.load("o")
    wanted = net.predict_proba(DIGITS.test_images[:8])
    other = np.asfortranarray(DIGITS.test_images[:8])
    fixed = DIGITS.test_images[:8].copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (net.predict_proba(other) == wanted).all() and (net.predict_proba(fixed) == wanted).all()


@every_net
def test_features_are_what_the_last_layer_gets(name, options):
    size = (3, 16, 16)
    net = NETS.create(name, 4, size[0], size[1:], **options).eval()
    part = {"name": name, "options": options, "channels": 3, "height": 16, "width": 16}
    unit = Normalisation("unit", torch.full((3,), 0.5), torch.full((3,), 0.5))
    about = {"net": part, "classes": [*"abcd"], "batch": 2, "images": {}, "row": {}}
    kept = Trained(model.Model(about, {}, unit), net, torch.device("cpu"), "fp32")
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = kept.features(images)
    assert found.shape == (3, last_layer(net).in_features if "timm" in name else net.num_features) and found.dtype == np.float32
    np.testing.assert_allclose(
        (last_layer(net) if "timm" in name else net.head)(torch.from_numpy(found)).softmax(1).detach(),
        kept.predict_proba(images),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_net_that_hides_them_is_said():
    trained()
    net = ssl_zoo.load("o", "cpu")
    net.net.forward_head = None
    with pytest.raises(InputError, match="a SmallNet has no `forward_features` and `forward_head`, as timm's nets have"):
        net.features(DIGITS.test_images[:2])
