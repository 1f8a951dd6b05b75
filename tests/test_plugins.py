"""Methods, nets, data sets and augmentations from outside the package, named by the user or installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_zoo import ALGORITHMS, NETS, InputError, plugins
from ssl_zoo.cli import run
from ssl_zoo.errors import RunError
from ssl_zoo.registry import REGISTRIES

ROOT = Path(__file__).parent.parent
QUICK = ["--net", "smallnet", "--steps", "4", "--device", "cpu"]
METHOD = """
from ssl_zoo import ALGORITHMS, AlgorithmBase, Step
from ssl_zoo.losses import cross_entropy

@ALGORITHMS.register("{name}")
class {cls}(AlgorithmBase):
    '''Supervised, with a factor.

    Args:
        factor: Of the loss.
    '''

    def __init__(self, net, facts, *, factor: float = 1.0):
        super().__init__(net, facts)
        self.factor = factor

    def loss(self, batch, progress):
        (labeled,) = self.student_logits(batch.x)
        supervised = self.factor * cross_entropy(labeled, batch.y)
        return Step(supervised, {{"supervised": supervised}})
"""
OTHERS = """
import numpy as np
import torch
from torch import nn
from ssl_zoo import AUGMENTATIONS, DATASETS, NETS
from ssl_zoo.data.augment import Augmentation
from ssl_zoo.data.dataset import Dataset

@NETS.register("my-net")
class MyNet(nn.Module):
    '''A linear net.'''

    def __init__(self, num_classes, in_chans, image_size, *, bias: bool = True):
        super().__init__()
        self.num_features = in_chans * image_size[0] * image_size[1]
        self.head = nn.Linear(self.num_features, num_classes, bias=bias)

    def forward(self, x):
        return self.head(x.flatten(1))

@DATASETS.register("my-data")
def my_data(root, *, count: int = 40):
    '''Random images.'''
    images = np.random.default_rng(0).integers(0, 255, (count, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    return Dataset("my-data", images, labels, images, labels, ("a", "b"))

@AUGMENTATIONS.register("my-dim")
class Dim(Augmentation):
    '''Darkens.'''

    def __init__(self, *, least: float = 0.5):
        self.least = least

    def draw(self, generator, n, shape):
        return (self.least + (1 - self.least) * torch.rand(n, generator=generator),)

    def apply(self, images, factor):
        return images * factor[:, None, None, None]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, in a process that has loaded no plug-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_loaded", set())


def write(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def call(capsys, *argv):
    """Exit status, what was printed, and the complaint."""
    status = run.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("name", ["mine.py", "./mine.py", "mine"])
def test_a_named_file_or_module_gives_a_method(name, capsys):
    write("mine.py", METHOD.format(name="mine", cls="Mine"))
    status, out, _ = call(capsys, "--plugin", name, "--alg", "mine", "--set", "algorithms.mine.factor=2", *QUICK, "--out", "o")
    row = json.loads(Path("o/result.json").read_text())
    assert status == 0 and "accuracy" in out and row["config"]["algorithms"] == {"mine": {"factor": 2.0}}
    origin = "mine" if name == "mine" else "mine.py"
    assert re.fullmatch(f"algorithm mine: {origin} [0-9a-f]{{12}}", row["plugins"])
    _, listed, _ = call(capsys, "--plugin", name, "--list")
    (line,) = (line for line in listed.splitlines() if line.startswith("  mine "))
    assert f" {origin} " in line and "Supervised, with a factor." in line
    (line,) = (line for line in listed.splitlines() if line.startswith("  meanteacher "))
    assert line.split()[1] == "ssl_zoo"


def test_nets_data_sets_and_augmentations(capsys):
    write("parts/mine.py", OTHERS)
    write("mine.yaml", "{batch: {labeled: 4}, labels: 4, views: {weak: {my-dim: {least: 0.2}}}, nets: {my-net: {bias: false}}}")
    flags = ["--plugin", "parts/mine.py", "--dataset", "my-data", "--net", "my-net", "--alg", "supervised", "--steps", 4]
    status, _, error = call(capsys, *flags, "--out", "o")
    assert status == 2 and "the data set 'my-data' has no recipe of its own; give one, such as --recipe folder" in error
    status, *_ = call(capsys, *flags, "--recipe", "mine.yaml", "--out", "o")
    row = json.loads(Path("o/result.json").read_text())
    assert status == 0 and row["parameters"] == 2 * 64 and row["plugins"].count("mine.py ") == 3
    assert row["plugins"].startswith("augmentation my-dim: mine.py ")
    assert row["config"]["views"] == {"weak": {"my-dim": {"least": 0.2}}}


def test_a_plugin_may_import_its_neighbours_and_stand_twice():
    write("parts/neighbour.py", "NAME = 'mine'")
    write("parts/mine.py", "from neighbour import NAME\n" + METHOD.format(name="mine", cls="Mine"))
    for name in ("parts/mine.py", "./parts/mine.py", "parts/mine.py"):
        plugins.load_plugin(name)
    assert ALGORITHMS.resolve("mine").origin == "mine.py"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "mine.py",
            "import nothing_of_that_name",
            r"No module named 'nothing_of_that_name' \(.*mine.py, line 1",
        ),
        ("mine.py", "\n\nx = = 1", r"cannot be imported: SyntaxError: invalid syntax \(.*mine.py, line 3\)"),
        ("mine.py", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        (
            "mine.py",
            METHOD.format(name="Mean-Teacher", cls="Mine"),
            "'Mean-Teacher' is registered already, as 'meanteacher'",
        ),
        (
            "mine.py",
            "from ssl_zoo import ALGORITHMS as A\nA.register('mine')(dict)",
            "'mine' is not a class derived",
        ),
        ("mine.py", "from ssl_zoo import NETS\nNETS.register('mine')(3)", "the net 'mine' is a int"),
        ("mine.py", "from ssl_zoo import AUGMENTATIONS as A\nA.register('mine')(dict)", "'mine' is not a class derived"),
        ("mine.py", "x = 1", "it registers nothing"),
        ("numpy.py", "x = 1", "there is another module called 'numpy'; rename the file"),
        ("my-method.py", "x = 1", "'my-method' cannot be the name of a module; rename the file"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(name, text, message):
    write(name, text)
    before = [dict(registry._entries) for registry in REGISTRIES]
    with pytest.raises(InputError, match=f"(?s)plug-in {name}: .*{message}"):
        plugins.load_plugin(name)
    assert before == [registry._entries for registry in REGISTRIES], "nothing of it stays"


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.py", "plug-in none.py: there is no such file"), ("nothing_here", "No module named 'nothing_here'")],
)
def test_a_plugin_that_is_not_there(name, message, capsys):
    status, _, error = call(capsys, "--plugin", name, "--list")
    assert status == 2 and message in error and "Traceback" not in error


def test_a_half_registered_plugin_leaves_nothing_and_can_be_mended():
    write("neighbour.py", "from ssl_zoo import NETS\nNETS.register('neighbour')(dict)")
    for wrong, message in {
        "raise ValueError('half')": "ValueError: half",
        "ALGORITHMS.register('bad')(dict)": "is not a class",
    }.items():
        write("mine.py", "import neighbour\n" + METHOD.format(name="mine", cls="Mine") + f"\n{wrong}")
        with pytest.raises(InputError, match=message):
            plugins.load_plugin("mine.py")
        assert "mine" not in ALGORITHMS.names() and not {"mine", "neighbour"} & set(sys.modules)
    write("mine.py", METHOD.format(name="mine", cls="Mine"))
    plugins.load_plugin("mine.py")
    assert "mine" in ALGORITHMS.names()


def test_changed_plugin_code_is_not_taken_for_the_finished_run(capsys):
    write("mine.py", METHOD.format(name="mine", cls="Mine"))
    command = [sys.executable, ROOT / "benchmarks/run.py", "--plugin", "mine.py", "--alg", "mine", *QUICK, "--out", "o"]
    first = subprocess.run(command, capture_output=True, text=True)
    same = subprocess.run(command, capture_output=True, text=True)
    write("mine.py", METHOD.format(name="mine", cls="Mine") + "\n# changed")
    changed = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == same.returncode == 0
    assert [
        "this run is finished already (o); --fresh trains it anew",
        *first.stdout.splitlines()[-3:],
    ] == same.stdout.splitlines()
    assert changed.returncode == 2 and "of a run with other plug-in code" in changed.stderr


def test_a_change_anywhere_in_a_package_is_seen():
    write("bundle/__init__.py", "")
    write("bundle/tools.py", "FACTOR = 1")
    write("bundle/method.py", "from bundle.tools import FACTOR\n" + METHOD.format(name="mine", cls="Mine"))
    plugins.load_plugin("bundle.method")
    before = plugins.provenance({"algorithm mine": ALGORITHMS.resolve("mine")})
    write("bundle/tools.py", "FACTOR = 2")
    assert before.startswith("algorithm mine: bundle.method ")
    assert before != plugins.provenance({"algorithm mine": ALGORITHMS.resolve("mine")})


def test_nothing_is_imported_that_nobody_named():
    write("mine.py", "raise SystemError('imported')")
    command = [sys.executable, ROOT / "benchmarks/run.py", "--list"]
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
def test_an_installed_package_shows_up(capsys):
    """With a real `pip install` of a small package with entry points; a broken one is named, with its package."""
    write("pkg/zoo_extra/__init__.py", "")
    write("pkg/zoo_extra/methods.py", METHOD.format(name="extra-method", cls="Extra"))
    write("pkg/zoo_extra/parts.py", OTHERS.replace('@NETS.register("my-net")\n', ""))
    write("pkg/zoo_extra/broken.py", "import nothing_of_that_name")
    write(
        "pkg/setup.cfg",
        "[metadata]\nname = zoo-extra\nversion = 1.2\n[options]\npackages = zoo_extra\n[options.entry_points]\n"
        "ssl_zoo.algorithms =\n    extra-method = zoo_extra.methods:Extra\n"
        "ssl_zoo.nets =\n    extra-net = zoo_extra.parts:MyNet\n"
        "ssl_zoo.datasets =\n    anything = zoo_extra.parts\n",
    )
    write("pkg/pyproject.toml", "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", "site", "./pkg"]
    subprocess.run(pip, check=True)
    environment = {**os.environ, "PYTHONPATH": "site"}
    listing = [sys.executable, ROOT / "benchmarks/run.py", "--list"]
    listed = subprocess.run(listing, capture_output=True, text=True, env=environment, check=True).stdout
    for name in ("extra-method", "extra-net", "my-data", "my-dim"):
        (line,) = (line for line in listed.splitlines() if line.startswith(f"  {name} "))
        assert "zoo-extra 1.2" in line
    trained = [sys.executable, ROOT / "benchmarks/run.py", "--alg", "extra-method", *QUICK, "--out", "o"]
    subprocess.run(trained, capture_output=True, env=environment, check=True)
    assert json.loads(Path("o/result.json").read_text())["plugins"].startswith("algorithm extra-method: zoo-extra 1.2 ")

    meta = next(Path("site").glob("zoo_extra-*.dist-info")) / "entry_points.txt"
    meta.write_text(meta.read_text() + "\n[ssl_zoo.augmentations]\nbad = zoo_extra.broken\n")
    failed = subprocess.run(listing, capture_output=True, text=True, env=environment)
    assert failed.returncode == 2 and "plug-in 'bad' of the installed package zoo-extra 1.2: it cannot" in failed.stderr


def ended(capsys, *argv):
    """What a run says that a plug-in ends, now or while it goes on; the second is what `plugins.blame` makes of the error."""
    try:
        status, _, said = call(capsys, *argv)
    except Exception as error:  # a command that does not ask `blame` itself
        status = 2
        parts = {f"{r.kind} {e.name}": e for r in REGISTRIES for e in r.entries() if e.origin == "mine.py"}
        said = f"run.py: {plugins.blame(error, parts)}"
    assert status in (1, 2) and said.count("plug-in mine.py: ") == 1 and "Traceback" not in said
    return said.rpartition("plug-in mine.py: ")[2].strip()


NET, DATA, DIM = ["--net", "my-net"], ["--dataset", "my-data", "--recipe", "digits"], ["--set", "views.weak={my-dim: {}}"]
PLACE = r" \(.*mine\.py, line \d+\)"


@pytest.mark.parametrize(
    ("flags", "old", "new", "message"),
    [
        (NET, "super().__init__()", "raise ValueError('a\\nb')", "the net 'my-net' raised ValueError: a" + PLACE),
        (NET, "self.head = ", "self.head = nn.Linear('a', 3), ", "the net 'my-net' raised TypeError: .*" + PLACE),
        (
            NET,
            "in_chans, image_size, *",
            "in_chans, *",
            r"cannot be called as \(num_classes, in_chans, image_size, \*, option=...\): ",
        ),
        (NET, "bias: bool = True", "bias: bool", "the net 'my-net' has an option 'bias' without type or default"),
        (NET, "bias: bool = True", "bias=True", "the net 'my-net' has an option 'bias' without type or default"),
        (NET, "bias: bool = True", "bias: 'Nothing' = True", "the net 'my-net' cannot be called: name 'Nothing' is not defined"),
        (NET, "return self.head(x.flatten(1))", "return x", r"gives \(2, 1, 8, 8\) of torch.float32 for 2 images of 10 classes"),
        (NET, "return self.head(x.flatten(1))", "pass", "gives a NoneType for 2 images of 10 classes; a net gives logits"),
        (NET, "return self.head(x.flatten(1))", "return self.head(x)", "the net 'my-net' raised RuntimeError: .*" + PLACE),
        (NET, "return self", "assert not self.training; return self", "the net 'my-net' raised AssertionError" + PLACE),
        (NET, "bias=bias)", "bias=bias); self.requires_grad_(False)", "the net 'my-net' has no parameter that requires a"),
        (DATA, "return Dataset(", "return (", "the dataset 'my-data' is not as it must be: it returns a tuple"),
        (DATA, "return Dataset(", "return print(", "the dataset 'my-data' is not as it must be: it returns a NoneType"),
        (DATA, "% 2", "/ 2", "is not as it must be: `labels` is float64; labels are a numpy array of int64"),
        (DATA, "dtype=np.uint8)", "dtype=np.int16)", "is not as it must be: `images` is int16; images are uint8"),
        (DATA, "(count, 8, 8, 1)", "(count, 8, 8)", r"`images` has the shape \(40, 8, 8\); images are \(N, H, W, C\)"),
        (DATA, "labels = ", "open(root / 'labels'); labels = ", "raised FileNotFoundError: .*labels'" + PLACE),
        (DATA, "labels = ", "np.stack([]); labels = ", "raised ValueError: need at least one array to stack" + PLACE),
        (DATA, "root, *", "*", r"the dataset 'my-data' cannot be called as \(root, \*, option=...\): too many"),
        (DIM, "self.least = least", "raise KeyError(3)", "the augmentation 'my-dim' raised KeyError: 3" + PLACE),
        (DIM, "*, least: float = 0.5", "least", r"the augmentation 'my-dim' cannot be called as \(\*, option=...\): missing"),
        (
            DIM,
            "return (self.least",
            "return 1 / 0, (self.least",
            "the augmentation 'my-dim' raised ZeroDivisionError: .*" + PLACE,
        ),
        (DIM, "generator=generator),)", "generator=generator))", "draws a Tensor for 2 images; `draw` gives a tuple of tensors"),
        (DIM, "torch.rand(n,", "torch.rand(1,", r"draws \[\(1,\)\] for 2 images"),
        (DIM, "generator, n, shape", "generator, n", r"cannot be called as draw\(generator, n, shape\): too many"),
        (DIM, "images, factor", "images", r"cannot be called as apply\(images, parameter\): too many"),
        (DIM, "return images *", "return images[1:] *", "the augmentation 'my-dim' raised RuntimeError: .*" + PLACE),
        (
            DIM,
            "return images *",
            "return images[:, :, 1:] *",
            r"makes of images \(2, 3, 32, 32\) \(2, 3, 31, 32\) of torch.float32",
        ),
        (DIM, "return images *", "images *", "makes of images .* a NoneType; `apply` keeps their shape"),
    ],
)
def test_what_is_wrong_with_a_net_data_set_or_augmentation_is_one_line(flags, old, new, message, capsys):
    assert old in OTHERS
    write("mine.py", OTHERS.replace(old, new))
    flags = flags if "--net" in flags else [*flags, "--net", "smallnet"]
    said = ended(capsys, "--plugin", "mine.py", *flags, "--alg", "pimodel", "--steps", 2, "--device", "cpu", "--out", "o")
    assert re.match(message if message.startswith("the ") else f".*{message}", said), said


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.factor = factor", "raise ValueError('no')", "the algorithm 'mine' raised ValueError: no" + PLACE),
        ("super().__init__(net, facts)", "pass", "the algorithm 'mine' has no net; its constructor calls super"),
        ("net, facts, *", "net, *", r"the algorithm 'mine' cannot be called as \(net, facts, \*, option=...\)"),
        ("def __init__", "weights = 3\n    def __init__", "the algorithm 'mine' has `targets` that are no tuple"),
        (
            "def __init__",
            "labeled_views = 'weak'\n    def __init__",
            "the algorithm 'mine' has labeled_views = 'weak'; it is a tuple",
        ),
        ("(labeled,) =", "labeled =", "the algorithm 'mine' raised TypeError: .*" + PLACE),
        ("batch.y)", "batch.y[:2])", "the algorithm 'mine' raised ValueError: Expected input batch_size .*" + PLACE),
        ("return Step(", "return (", "with the algorithm mine a run ended in .*check_algorithm.Mine. says what it may be"),
        (
            "self.factor * ",
            "labeled.mean(1) + 0 * ",
            "with the algorithm mine a run ended in RuntimeError: grad can be .*check_alg",
        ),
    ],
)
def test_what_is_wrong_with_a_method_is_one_line(old, new, message, capsys):
    text = METHOD.format(name="mine", cls="Mine")
    assert old in text
    write("mine.py", text.replace(old, new))
    said = ended(capsys, "--plugin", "mine.py", "--alg", "mine", *QUICK, "--out", "o")
    assert re.match(message, said), said


def test_what_was_no_plugins_doing_is_blamed_on_none():
    write("mine.py", OTHERS)
    plugins.load_plugin("mine.py")
    try:
        raise ValueError("ours")
    except ValueError as error:
        assert plugins.blame(error) is None
        assert plugins.blame(error, {"net smallnet": NETS.resolve("smallnet")}) is None
        told = plugins.blame(
            error, {"net my-net": NETS.resolve("my-net"), "algorithm supervised": ALGORITHMS.resolve("supervised")}
        )
    assert str(told).startswith("plug-in mine.py: with the net my-net a run ended in ValueError: ours (")
    assert str(told).endswith("; ssl_zoo.testing.check_net(MyNet) says what it may be")
    for said in (InputError("no such file"), RunError("the disk is full"), MemoryError(), KeyboardInterrupt()):
        assert plugins.blame(said, {"net my-net": NETS.resolve("my-net")}) is None


def test_a_trial_draws_nothing_and_moves_nothing():
    write(
        "mine.py",
        OTHERS.replace("self.head = ", "self.norm = nn.BatchNorm2d(in_chans); self.head = ").replace(
            "x.flat", "self.norm(x).flat"
        ),
    )
    plugins.load_plugin("mine.py")
    torch.manual_seed(0)
    NETS.resolve("my-net").target(3, 1, (8, 8))
    wanted = torch.rand(3)
    torch.manual_seed(0)
    net = NETS.create("my-net", 3, 1, (8, 8))
    assert torch.equal(torch.rand(3), wanted) and net.training and int(net.norm.num_batches_tracked) == 0


def test_a_change_of_a_base_class_beside_the_file_is_seen():
    write("mine_base.py", METHOD.format(name="mine-base", cls="Base"))
    write("mine.py", "from mine_base import Base\nfrom ssl_zoo import ALGORITHMS\n\n@ALGORITHMS.register('mine')\n")
    write("mine.py", Path("mine.py").read_text() + "class Mine(Base):\n    'A method.'\n")
    plugins.load_plugin("mine.py")
    before = plugins.provenance({"algorithm mine": ALGORITHMS.resolve("mine")})
    write("mine_base.py", Path("mine_base.py").read_text() + "\n# changed")
    assert before != plugins.provenance({"algorithm mine": ALGORITHMS.resolve("mine")})
