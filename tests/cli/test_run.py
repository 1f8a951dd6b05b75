"""The command line, from what is typed to what is on the disk."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks import soak
from ssl_zoo import ALGORITHMS, AUGMENTATIONS, DATASETS, NETS, load
from ssl_zoo.cli import compare, run, sweep, table
from ssl_zoo.data import normalisation, room
from ssl_zoo.runs.confusion import images_in
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.runs.restore import restore
from tests.conftest import FROM_RANDOM, garbled
from tests.data.test_normalisation import reference

ROOT = Path(__file__).parent.parent.parent
QUICK = ["--net", "smallnet", "--steps", "6", "--device", "cpu"]


def call(capsys, *argv):
    """Exit status, what was printed, and the complaint."""
    status = run.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def images(tmp_path):
    """Three classes of 8x8 images in folders."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 4)):
        for k, name in enumerate(("ant", "bee", "cat")):
            folder = tmp_path / "mine" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (draw.integers(0, 80, (8, 8, 3)) + 80 * k).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "mine"


@pytest.mark.parametrize("name", FROM_RANDOM)
def test_a_run_leaves_what_it_promises(name, capsys):
    status, out, _ = call(capsys, "--alg", name, *QUICK)
    folder = Path(f"runs/digits-20/{name}-smallnet-s0")
    said = [line for line in out.splitlines() if not line.startswith("WARNING: the term ")]  # a gate may be closed so early
    weighs = "consistency weight: " in out  # in the common unit, where a method's weight has one
    assert status == 0 and str(folder) in out and len(said) == 4 + weighs
    assert weighs == (name in ("pimodel", "tempens", "meanteacher"))
    row = json.loads((folder / "result.json").read_text())
    promised = """algorithm net dataset labels seed split_seed split_hash steps accuracy accuracy_student
        error_rate balanced_accuracy macro_f1 seconds images_per_second device versions commit config"""
    assert set(promised.split()) <= set(row)
    assert (row["algorithm"], row["net"], row["dataset"], row["labels"], row["steps"]) == (name, "smallnet", "digits", 20, 6)
    assert row["error_rate"] == 1 - row["accuracy"] and f"{100 * row['accuracy']:.2f} %" in out
    assert 1e8 < row["peak_memory"] < 1e11 and len(row["recipe_hash"]) == 12
    assert images_in(row["confusion"]) == 500 and row["images_seen"] == 6 * (20 if name == "supervised" else 20 + 44)
    assert yaml.safe_load((folder / "config.yaml").read_text()) == row["config"]
    assert len(json.loads((folder / "split.json").read_text())["rows"]) == 20
    assert (folder / "metrics.jsonl").stat().st_size and list((folder / "tensorboard").iterdir())


def test_the_same_command_again_shows_the_finished_run(capsys):
    first = call(capsys, "--alg", "supervised", *QUICK)
    before = Path("runs/digits-20/supervised-smallnet-s0/result.json").stat().st_mtime_ns
    again = call(capsys, "--alg", "supervised", *QUICK)
    said, *summary = again[1].splitlines()
    assert again[0] == 0 and first[1].splitlines()[-3:] == summary
    assert said == "this run is finished already (runs/digits-20/supervised-smallnet-s0); --fresh trains it anew"
    assert Path("runs/digits-20/supervised-smallnet-s0/result.json").stat().st_mtime_ns == before


def test_a_split_file_of_a_run_serves_another(capsys):
    call(capsys, "--alg", "supervised", *QUICK, "--split-seed", 3, "--out", "a")
    status, *_ = call(capsys, "--alg", "pimodel", *QUICK, "--set", "split_file=a/split.json", "--out", "b")
    a, b = (json.loads(Path(f"{folder}/result.json").read_text()) for folder in "ab")
    assert status == 0 and a["split_hash"] == b["split_hash"]
    status, _, error = call(capsys, "--alg", "pimodel", *QUICK, "--set", "split_file=a/split.json", "--labels", 30, "--out", "c")
    assert status == 2 and "names 20 labelled images, but labels is 30" in error


def test_all_labels(capsys):
    status, out, _ = call(capsys, "--alg", "supervised", *QUICK, "--labels", "all")
    assert status == 0 and "1,297 labelled images" in out and Path("runs/digits-all/supervised-smallnet-s0/result.json").exists()


def test_a_folder_of_ones_own(images, capsys):
    small = ["--set", "batch={labeled: 4, unlabeled: 4}", "--set", "views.weak={flip: {}}"]
    status, out, error = call(capsys, "--dataset", "folder", "--data-root", images, "--labels", 6, *QUICK, *small, "--out", "o")
    assert status == 0, error
    row = json.loads(Path("o/result.json").read_text())
    said = "6 labelled images, 18 in the unlabelled stream (with the 6 labelled ones), 12 test images"
    assert row["classes"] == ["ant", "bee", "cat"] and said in out
    assert row["config"]["datasets"] == {
        "folder": {
            "image_size": None,
            "interpolation": "bilinear",
            "mode": "RGB",
            "skip_broken": False,
            "labels_file": None,
            "cache": True,
        }
    }
    status, *_ = call(
        capsys, "--dataset", "folder", "--data-root", images, "--labels", 6, *QUICK, *small, "--image-size", 16, "--out", "p"
    )
    assert status == 0


def test_list_shows_every_name(capsys):
    status, out, _ = call(capsys, "--list")
    assert status == 0
    for registry in (ALGORITHMS, NETS, DATASETS, AUGMENTATIONS):
        for entry in registry.entries():
            assert f"  {entry.name} " in out and entry.summary and entry.summary in out


def test_print_config_is_a_recipe(capsys, tmp_path):
    status, out, _ = call(
        capsys, "--alg", "tempens", "--net", "wrn16_2", "--labels", 50, "--set", "optimizer.lr=0.2", "--print-config"
    )
    (tmp_path / "mine.yaml").write_text(out)
    assert status == 0 and yaml.safe_load(out)["algorithms"]["tempens"]["weight"] == 30.0
    assert call(capsys, "--recipe", "mine.yaml", "--print-config")[1] == out


def test_flags_and_set_beat_the_recipe(capsys):
    out = call(capsys, "--set", "labels=40", "--set", "labels=30", "--steps", 9, "--print-config")[1]
    assert (yaml.safe_load(out)["steps"], yaml.safe_load(out)["labels"]) == (9, 30)


def test_what_is_given_by_a_flag_and_by_set_is_refused(capsys):
    status, _, error = call(capsys, "--set", "steps=7", "--steps", 9, "--print-config")
    assert status == 2 and error == "run.py: steps is given twice, by --steps and by --set; keep one\n"


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_help_shows_the_options_of_the_chosen_method_and_net(name, capsys):
    status, out, _ = call(capsys, "--alg", name, "--net", "convnet13", "--help")
    assert status == 0 and "--print-config" in out and "nets.convnet13.noise = 0.15" in out
    for option in ALGORITHMS.resolve(name).options:
        assert f"algorithms.{name}.{option} = " in out


BAD = [
    (["--alg", "meantaecher"], "no algorithm is called 'meantaecher'; did you mean 'meanteacher'?"),
    (["--net", "wrn28"], "no net is called 'wrn28'; did you mean 'wrn28_2'?"),
    (["--net", "wrn27_2"], "depth 27"),
    (["--dataset", "digit"], "no dataset is called 'digit'; did you mean 'digits'?"),
    (["--recipe", "digts"], "no recipe is called 'digts'"),
    (["--recipe", "bad.yaml"], "bad.yaml is not YAML"),
    (["--recipe", "list.yaml"], "list.yaml is not a recipe: it must be a mapping"),
    (["--labls", "3"], "unknown argument '--labls'; did you mean '--labels'"),
    (["--labels"], "expected one argument"),
    (["--labels", "some"], "labels = 'some' is not of the type"),
    (["--labels", "2000"], "2000"),
    (["--labels", "5"], "5"),
    (["--labels", "1290"], "class"),
    (["--labels", "-3"], "labels = -3 is out of range"),
    (["--steps", "1e3"], "steps = 1000.0 is not of the type int"),
    (["--set", "optimizer.lrr=3"], "optimizer has no option 'lrr'; did you mean 'lr'?"),
    (["--set", "algorithms.meanteacher.weigth=3"], "did you mean 'weight'?"),
    (["--set", "algorithms.meanteacher.weight=-3"], "weight = -3"),
    (["--set", "lr"], "--set wants KEY=VALUE"),
    (["--set", "views.weak={flop: {}}"], "did you mean 'flip'?"),
    (["--device", "cuda"], "torch sees 0 CUDA devices"),
    (["--device", "gpu"], "device 'gpu' is unknown"),
    (["--image-size", "32"], "datasets.digits has no option 'image_size'"),
    (["--dataset", "folder", "--data-root", "nowhere"], "no folder or archive"),
    (["--dataset", "folder", "--data-root", "empty"], "has no train/ folder"),
    (
        ["--dataset", "folder", "--data-root", "broken", "--image-size", "8"],
        "broken/train/a/x.png' is not an image that can be read",
    ),
    (["--dataset", "folder", "--data-root", "mixed", "--labels", "2"], "images differ in size"),
    (["--dataset", "cifar10", "--set", "datasets.cifar10.download=false"], "cifar10"),
    (["--labels", "all", "--set", "batch.labeled_in_unlabeled=false"], "the unlabelled stream is empty"),
    (["--out", "full"], "full exists and is not the folder of a run"),
    (["--out", "bad.yaml/x"], "bad.yaml exists and is a file, not a folder"),
    (["--set", "steps="], "steps = None is not of the type int"),
    (["--out", "bad.yaml"], "bad.yaml exists and is not the folder of a run"),
]


@pytest.mark.parametrize(("argv", "message"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line_and_status_two_and_writes_nothing(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 1")
    for folder in ("empty", "full", *(f"{root}/{part}/a" for root in ("broken", "mixed") for part in ("train", "test"))):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "full/thesis.txt").write_text("mine")
    for part in ("train", "test"):
        for root in ("broken", "mixed"):
            (tmp_path / f"{root}/{part}/b").mkdir()
            Image.new("RGB", (8, 8 + len(part) % 2)).save(tmp_path / f"{root}/{part}/b/x.png")
        (tmp_path / f"broken/{part}/a/x.png").write_bytes(b"no image")
        Image.new("RGB", (8, 8 + len(part) % 2)).save(tmp_path / f"mixed/{part}/a/x.png")
    before = sorted(tmp_path.rglob("*"))
    status, out, error = call(capsys, *argv)
    assert status == 2 and message in error and out == ""
    assert error.count("\n") == 1 and "Traceback" not in error
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before


def test_a_folder_with_a_run_of_other_settings_is_refused_and_stays(capsys):
    call(capsys, "--alg", "supervised", *QUICK, "--out", "o")
    before = Path("o/result.json").read_bytes()
    status, _, error = call(capsys, "--alg", "supervised", *QUICK, "--out", "o", "--set", "optimizer.lr=0.3")
    assert (
        status == 2 and "o holds a run with other settings (optimizer.lr 0.003 there and 0.3 here); choose another --out" in error
    )
    assert Path("o/result.json").read_bytes() == before


def test_a_finished_run_of_other_data_is_refused(images, capsys):
    """Not shown as if it were of these: two folders have the same default --out."""
    argv = [
        "--dataset",
        "folder",
        "--labels",
        3,
        *QUICK,
        "--set",
        "batch={labeled: 4, unlabeled: 4}",
        "--set",
        "views.weak={flip: {}}",
    ]
    assert call(capsys, *argv, "--data-root", images)[0] == 0
    (images / "train/ant/0.png").unlink()
    status, out, error = call(capsys, *argv, "--data-root", images)
    assert status == 2 and out == "" and "is of a run with other images" in error
    assert call(capsys, *argv, "--data-root", "nowhere")[0] == 2


def test_the_data_set_chooses_the_recipe_however_it_is_named(capsys):
    by_flag = call(capsys, "--dataset", "CIFAR-10", "--print-config")[1]
    assert call(capsys, "--set", "dataset=cifar10", "--print-config")[1] == by_flag
    assert yaml.safe_load(by_flag)["labels"] == 4000


def test_the_full_budget(capsys):
    settings = yaml.safe_load(call(capsys, "--dataset", "cifar10", "--budget", "full", "--steps", "7", "--print-config")[1])
    assert settings["steps"] == 7 and settings["eval_ema"] == 0.999  # a flag beats the budget
    status, out, error = call(capsys, "--dataset", "mnist", "--budget", "full")
    assert status == 2 and out == "" and "the recipe mnist has no budget 'full'; it has: short" in error


def interrupt_in_step_4(patch, name):
    """Ctrl-C at the end of the fourth step of a method."""
    target, calls = ALGORITHMS.resolve(name).target, []
    after_step = target.after_step

    def interrupted(self, *given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return after_step(self, *given)

    patch.setattr(target, "after_step", interrupted)


def test_interrupted_and_started_again(capsys, monkeypatch):
    """Ctrl-C after the first checkpoint, then the same command: the same result as in one go, times apart."""
    argv = ["--alg", "tempens", *QUICK, "--set", "evaluation.every=2"]
    call(capsys, *argv, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_in_step_4(patch, "tempens")
        status, _, error = call(capsys, *argv, "--out", "parts")
    assert status == 130 and "the same command goes on" in error
    status, out, _ = call(capsys, *argv, "--out", "parts")
    assert status == 0 and "from step 2" in out
    whole, parts = (json.loads(Path(f"{folder}/result.json").read_text()) for folder in ("whole", "parts"))
    for row in (whole, parts):
        for key in soak.TIMES:
            del row[key]
    assert whole == parts


def test_the_command_itself():
    done = subprocess.run([sys.executable, ROOT / "benchmarks/run.py", "--alg", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("run.py: no algorithm is called 'nothing'") and done.stdout == ""


@pytest.mark.parametrize("name", FROM_RANDOM)
def test_hidden_labels_are_never_read(name, capsys):
    """A run on garbage labels of the unlabelled images ends in the same weights, bit for bit, and the same test scores."""
    call(capsys, "--alg", name, *QUICK, "--out", "true")
    given = ["--set", "split_file=true/split.json"]
    entry = DATASETS.resolve("digits")
    labeled = json.loads(Path("true/split.json").read_text())["rows"]

    with DATASETS.replaced(garbled(entry, labeled)):
        status, _, error = call(capsys, "--alg", name, *QUICK, *given, "--out", "garbage")
        assert status == 0, error
    states = [torch.load(f"{folder}/checkpoint.pt")["algorithm"] for folder in ("true", "garbage")]
    rows = [json.loads(Path(f"{folder}/result.json").read_text()) for folder in ("true", "garbage")]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert rows[0]["accuracy"] == rows[1]["accuracy"] and rows[0]["data_hash"] != rows[1]["data_hash"]
    assert rows[0]["unlabeled_accuracy"] != rows[1]["unlabeled_accuracy"], "the garbage was there"


INPUTS = ["channel", "unit", "image", "zca"]


def put_together(folder, *words, change=lambda data: data):
    """A run that is about to begin, and its data."""
    settings = run.read_settings(run.parse([str(word) for word in (*QUICK, *words)]))
    data = change(load_data(settings))
    trainer = trainer_of(settings, choose_labels(settings, data), folder)
    return trainer, trainer.batches, data


def expected_inputs(kind, data, images):
    """What a net should get of images (n, H, W, C) uint8, before augmentation, in numpy: (n, C, H, W)."""
    if kind == "channel":
        pixels = data.images / 255
        made = (images / 255 - pixels.mean(axis=(0, 1, 2))) / pixels.std(axis=(0, 1, 2))
    elif kind == "unit":
        made = images / 127.5 - 1
    elif kind == "image":
        made = (images - images.mean(axis=(1, 2, 3), keepdims=True)) / images.std(axis=(1, 2, 3), keepdims=True)
    else:
        made = reference(data.images, images)
    return torch.from_numpy(made.astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_agree_in_training_and_in_every_evaluation(kind, tmp_path):
    """Images that are mirrored for certain: an image is normalised, and then augmented, which for zca is not the same."""
    words = ["--set", f"input={kind}", "--set", "views.weak={flip: {probability: 1}}", "--val-fraction", 0.2]
    trainer, pipeline, data = put_together(tmp_path, *words)
    batch = pipeline.batch(0)

    def agree(given, images):
        torch.testing.assert_close(given, expected_inputs(kind, data, images), atol=1e-3, rtol=1e-3)

    agree(batch.x.flip(3), data.images[batch.x_index])
    agree(batch.u[1].flip(3), data.images[batch.u_index])
    scored = trainer.evaluator
    agree(scored.prepare(scored.images), data.test_images)
    held_out = [row for row in range(len(data.images)) if row not in pipeline.facts.unlabeled]
    agree(scored.prepare(scored.validation_images), data.images[held_out])
    hidden = scored.prepare(scored.hidden_images)
    every = expected_inputs(kind, data, data.images)
    assert len(hidden) == 500 and (torch.cdist(hidden.flatten(1), every.flatten(1)).amin(dim=1) < 1e-2).all()


@pytest.mark.parametrize("kind", ["image", "zca"])
def test_test_images_influence_nothing(kind, tmp_path):
    words = ["--set", f"input={kind}"]
    _, one, data = put_together(tmp_path, *words)
    _, two, _ = put_together(tmp_path, *words, change=lambda data: data._replace(test_images=255 - data.test_images))
    assert one.images.dtype == torch.float32 and torch.equal(one.images, two.images)
    _, three, _ = put_together(
        tmp_path, *words, change=lambda data: data._replace(images=data.images // 2 + data.images[::-1] // 2)
    )
    assert not torch.equal(one.images, three.images) and one.images.shape == data.images.shape


@pytest.mark.parametrize("kind", INPUTS)
def test_a_run_on_inputs_of_each_kind_and_its_restored_net(kind, capsys):
    words = ["--alg", "meanteacher", *QUICK, "--set", f"input={kind}", "--set", "views.weak={translate: {pixels: 1}, noise: {}}"]
    status, _, error = call(capsys, *words, "--out", "o")
    assert status == 0, error
    row = json.loads(Path("o/result.json").read_text())
    assert row["config"]["input"] == kind
    _, _, trainer = restore(Path("o"))
    scores, confusion = trainer.evaluator(trainer.eval_net(), trainer.algorithm.net)
    assert trainer.start == 6 and confusion == row["confusion"] and scores["accuracy"] == row["accuracy"]


def test_by_default_each_channel_is_normalised(capsys):
    call(capsys, "--alg", "supervised", *QUICK, "--out", "default")
    call(capsys, "--alg", "supervised", *QUICK, "--out", "channel", "--set", "input=channel")
    call(capsys, "--alg", "supervised", *QUICK, "--out", "unit", "--set", "input=unit")
    default, channel, unit = (torch.load(f"{folder}/checkpoint.pt")["algorithm"] for folder in ("default", "channel", "unit"))
    assert all(torch.equal(default[name], channel[name]) for name in default)
    assert any(not torch.equal(default[name], unit[name]) for name in default)


def test_whitened_and_interrupted(capsys, monkeypatch):
    """The transformation is fitted anew when a run goes on, to the same bits."""
    argv = ["--alg", "pimodel", *QUICK, "--set", "evaluation.every=2", "--set", "input=zca"]
    call(capsys, *argv, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_in_step_4(patch, "pimodel")
        assert call(capsys, *argv, "--out", "parts")[0] == 130
    status, out, _ = call(capsys, *argv, "--out", "parts")
    assert status == 0 and "from step 2" in out
    whole, parts = (torch.load(f"{folder}/checkpoint.pt")["algorithm"] for folder in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    rows = [json.loads(Path(f"{folder}/result.json").read_text()) for folder in ("whole", "parts")]
    assert rows[0]["evaluations"] == rows[1]["evaluations"] and rows[0]["confusion"] == rows[1]["confusion"]


def test_a_run_does_not_go_on_with_another_input(capsys):
    call(capsys, "--alg", "supervised", *QUICK, "--out", "o", "--set", "input=zca")
    for words, shown in (((), "channel"), (("--set", "input=image"), "image")):
        status, _, error = call(capsys, "--alg", "supervised", *QUICK, "--out", "o", *words)
        assert status == 2 and f"o holds a run with other settings (input zca there and {shown} here)" in error


class Strong(ALGORITHMS.resolve("pimodel").target):
    """Asks for the second view that the recipes define."""

    views = ("weak", "strong")


@pytest.mark.parametrize("kind", INPUTS)
def test_only_views_that_the_method_uses_are_refused(kind, capsys):
    words = ["--alg", "pimodel", *QUICK, "--set", f"input={kind}"]
    assert call(capsys, *words, "--out", "weak")[0] == 0  # the recipe's strong view has randaugment and cutout
    with ALGORITHMS.replaced(ALGORITHMS.resolve("pimodel")._replace(target=Strong)):
        status, _, error = call(capsys, *words, "--out", "strong")
        if kind in ("channel", "unit"):
            assert status == 0, error
        else:
            assert status == 2 and not Path("strong").exists()
            assert f"the view 'strong' has randaugment, which works on pixels, but input = {kind} normalises" in error
        words += ["--set", "views.strong={flip: {}, noise: {}}"]
        assert call(capsys, *words, "--out", "other")[0] == 0


def test_floats_that_find_no_room_are_refused(capsys, monkeypatch):
    monkeypatch.setattr(normalisation, "holds", lambda device, size, made=False: not made or size < 4 * 1797 * 64)
    for kind in INPUTS:
        status, _, error = call(capsys, "--alg", "supervised", *QUICK, "--set", f"input={kind}", "--out", kind)
        assert status == (0 if kind in ("channel", "unit") else 2), error
        if status:
            assert f"input = {kind} keeps all images as floats, 0.0 GB, for which cpu has no room" in error


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_of_a_folder_that_is_read_from_its_cache(kind, images, capsys, monkeypatch):
    monkeypatch.setattr(room, "LARGE", 0)
    argv = ["--dataset", "folder", "--data-root", images, "--labels", 6, *QUICK, "--set", f"input={kind}"]
    argv += ["--set", "batch={labeled: 4, unlabeled: 4}"]
    loaded = load_data(run.read_settings(run.parse([str(word) for word in argv])))
    assert isinstance(loaded.images, np.memmap)
    status, _, error = call(capsys, *argv, "--out", "o")
    assert status == 0, error


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_of_any_number_of_channels(kind, channels, tmp_path):
    def many(data):
        images, test_images = (
            np.concatenate([np.roll(part, k, axis=1) // (k + 1) for k in range(channels)], axis=3)
            for part in (data.images, data.test_images)
        )
        return data._replace(images=images, test_images=test_images)

    trainer, pipeline, data = put_together(tmp_path, "--set", f"input={kind}", change=many)
    assert pipeline.batch(0).x.shape == (20, channels, 8, 8)
    prepared = trainer.evaluator.prepare(trainer.evaluator.images)
    torch.testing.assert_close(prepared, expected_inputs(kind, data, data.test_images), atol=1e-3, rtol=1e-3)
    assert trainer.step(0)[0]["total"].isfinite()


def test_a_home_folder_in_a_path(tmp_path, monkeypatch, capsys):
    """A shell leaves `--out=~/runs` as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run.main(["--alg", "supervised", "--net", "smallnet", "--steps", "1", "--device", "cpu", "--out=~/runs/a"]) == 0
    assert (tmp_path / "home/runs/a/result.json").exists() and not (tmp_path / "~").exists()
    capsys.readouterr()
    assert table.main(["~/runs"]) == 0 and "supervised" in capsys.readouterr().out
    assert table.main(["~/runs", "--out=~/t.md", "--jsonl=~/rows.jsonl"]) == 0
    assert compare.main(["~/runs/a", "~/runs/a/result.json"]) == 0
    (tmp_path / "home/mine.yaml").write_text("steps: 7\n")
    (tmp_path / "home/of_home.py").write_text("x = 1\n")
    capsys.readouterr()
    words = ["--recipe=~/mine.yaml", "--set=split_file=~/runs/a/split.json"]
    assert run.main([*words, "--print-config"]) == 0 and "steps: 7" in capsys.readouterr().out
    assert run.main(["--plugin=~/of_home.py"]) == 2 and "it registers nothing" in capsys.readouterr().err
    grid = [*words, "--algs=supervised", "--nets=smallnet", "--out=~/grid", "--device=cpu"]
    subprocess.run([sys.executable, "-m", "ssl_zoo", "sweep", *grid], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    there = {path.relative_to(tmp_path / "home").as_posix() for path in (tmp_path / "home").rglob("*")}
    assert {"t.md", "rows.jsonl", "grid/supervised-smallnet-20-s0/result.json"} <= there and not (tmp_path / "~").exists()


NEAR = [
    (["--lr", "0.1"], "did you mean --set optimizer.lr=0.1?"),
    (["--lr"], "did you mean --set optimizer.lr=VALUE?"),
    (["--lr=0.1"], "did you mean --set optimizer.lr=0.1?"),
    (["--learning-rate", "0.1"], "did you mean --set optimizer.lr=0.1?"),
    (["--set", "lr=0.1"], "there is no setting 'lr'; did you mean --set optimizer.lr=0.1?"),
    (["--recipe", "lr.yaml"], "there is no setting 'lr'; did you mean --set optimizer.lr=0.1?"),
    (["--optimizer-lr=3"], "did you mean --set optimizer.lr=3?"),
    (["--wd", "1e-4"], "did you mean --set optimizer.weight_decay=1e-4?"),
    (["--weigth-decay", "1e-4"], "did you mean --set optimizer.weight_decay=1e-4 or --set optimizer.layer_decay=1e-4?"),
    (["--batch-size", "32"], "did you mean --set batch.labeled=32 or --set batch.unlabeled=32?"),
    (["--num-labels", "40"], "did you mean --labels 40?"),
    (["--backbone", "resnet18"], "did you mean --net resnet18?"),
    (["--data-dir", "~/photos"], "did you mean --data-root ~/photos?"),
    (["--gpu", "1", "--steps", "3"], "did you mean --device cuda:1?"),
    (["--amp", "--steps", "3"], "did you mean --set precision=bf16?"),
    (["--max-iters", "10"], "did you mean --steps 10?"),
    (["--save-dir", "x"], "did you mean --out x?"),
    (["--overwrite"], "did you mean --fresh?"),
    (["--epochs", "10"], "a run's length is --steps; for passes over all images give --set epochs=10"),
    (["--num-workers", "4"], "none are needed: images lie in memory"),
    (["--resume"], "none is needed: the same command goes on"),
    (["--pretrained"], "did you mean --set nets.resnet18.pretrained=true (with --net resnet18) or "),
    (["--net", "resnet50", "--pretrained"], "did you mean --set nets.resnet50.pretrained=true?"),
    (["--alg", "tempens", "--weight", "3"], "did you mean --set algorithms.tempens.weight=3?"),
    (["--rotate", "3"], "did you mean --set views.weak.affine.rotate=3 or "),  # as the recipe of digits has it
    (["--img-size", "64"], "did you mean --image-size 64 (with --dataset folder)?"),
    (["meanteacher"], "unknown argument 'meanteacher'; did you mean --alg meanteacher?"),
    (["--net", "vit_b_16"], "no net is called 'vit_b_16'; did you mean 'torchvision:vit_b_16'?"),
]


@pytest.mark.parametrize(("argv", "meant"), NEAR, ids=[" ".join(argv) for argv, _ in NEAR])
def test_what_other_programs_call_it_names_ours(argv, meant, capsys):
    Path("lr.yaml").write_text("lr: 0.1\n")
    status, out, error = call(capsys, *argv)
    assert status == 2 and out == "" and meant in error and error.count("\n") == 1 and "`" not in error


@pytest.mark.parametrize(
    "argv",
    [
        ["--set", "optimizer.lr=0.1"],
        ["--net", "resnet18", "--set", "nets.resnet18.pretrained=true"],
        ["--set", "precision=bf16"],
        ["--set", "views.weak.affine.rotate=3"],
        ["--dataset", "folder", "--image-size", "64"],
    ],
)
def test_what_is_meant_can_be_given(argv, capsys):
    assert call(capsys, *argv, "--print-config")[0] == 0


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        (["--algs", "supervised,pimodel", "--steps", "3"], "--alg supervised,pimodel"),
        (["--net", "smallnet,mlp"], "--net smallnet,mlp"),
        (["--seeds", "0-4"], "--seed 0-4"),
        (["--seed=0,3"], "--seed 0,3"),
        (["--labels", "20,all"], "--labels 20,all"),
    ],
)
def test_many_runs_name_the_sweep_that_is_meant(argv, given, capsys):
    status, _, error = call(capsys, *argv)
    meant = f"python benchmarks/sweep.py {' '.join(argv)}"
    assert status == 2 and error == f"run.py: {given} is many runs, and this is one; for all of them: {meant}\n"
    assert sweep.cells_of(sweep.parser().parse_args(argv), Path("out"))[1:], "which can be given, and is many"


def test_a_sweep_s_words_may_stand_for_one(capsys):
    singular = call(capsys, "--alg", "pimodel", "--net", "mlp", "--seed", "3", "--print-config")
    assert call(capsys, "--algs", "pimodel", "--nets=mlp", "--seeds", "3", "--print-config") == singular and singular[0] == 0


@pytest.mark.parametrize("text", ["48x64", "48X64", "48,64", "[48, 64]", " 48 x 64 "])
def test_a_height_and_a_width(text, capsys):
    words = ["--dataset", "folder", "--image-size", text]
    status, out, error = call(capsys, *words, "--print-config")
    assert status == 0 and yaml.safe_load(out)["datasets"]["folder"]["image_size"] == [48, 64], error
    (cell,) = sweep.cells_of(sweep.parser().parse_args(words), Path("out"))
    assert cell.settings.datasets["folder"]["image_size"] == (48, 64)


@pytest.mark.parametrize("text", ["48x", "x64", "48x64x3", "48:64", "big"])
def test_no_height_and_width(text, capsys):
    status, _, error = call(capsys, "--dataset", "folder", "--image-size", text)
    assert status == 2 and "image_size" in error


def test_images_that_are_not_square(images, capsys):
    small = ["--set", "batch={labeled: 4, unlabeled: 4}", "--set", "views.weak={flip: {}}", "--labels", 6, *QUICK]
    assert call(capsys, "--dataset", "folder", "--data-root", images, "--image-size", "6x10", *small)[0] == 0
    assert load("runs/mine-6x10px-6/meanteacher-smallnet-s0").image_size == (6, 10)


def test_two_folders_of_images_do_not_meet(images, capsys):
    """Without --out, each has a folder of its own."""
    shutil.copytree(images, "other", dirs_exist_ok=True)
    words = ["--dataset", "folder", "--labels", 6, *QUICK, "--set", "batch={labeled: 4, unlabeled: 4}"]
    for root in (images, "other"):
        assert call(capsys, *words, "--set", "views.weak={}", "--data-root", root)[0] == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mine-6", "other-6"]


def test_missing_data_are_said_before_anything_of_the_folder(capsys):
    Path("mine").mkdir()
    (Path("mine") / "thesis.txt").write_text("mine")
    call(capsys, "--alg", "supervised", *QUICK, "--out", "o")
    for out in ("mine", "o"):
        status, _, error = call(capsys, "--dataset", "folder", "--data-root", "nowhere", "--out", out)
        assert status == 2 and "no folder or archive" in error and "--data-root" in error
        words = ["--dataset", "folder", "--data-root", "nowhere", "--out", f"{out}/thesis.txt" if out == "mine" else out]
        assert sweep.main(words) == 2 and "no folder or archive" in capsys.readouterr().err


def test_fresh_moves_whatever_run_is_there_aside(capsys):
    words = ["--alg", "supervised", *QUICK, "--out", "o"]
    call(capsys, *words)
    before = {path: path.read_bytes() for path in Path("o").rglob("*") if path.is_file()}
    status, out, _ = call(capsys, *words, "--set", "optimizer.lr=0.3", "--fresh")
    assert status == 0 and out.splitlines()[0] == "the run that was in o is now in o.old-1" and "from step 0" in out
    assert {path: Path("o.old-1", *path.parts[1:]).read_bytes() for path in before} == before
    assert json.loads(Path("o/result.json").read_text())["config"]["optimizer"]["lr"] == 0.3
    status, out, _ = call(capsys, *words, "--set", "optimizer.lr=0.3", "--fresh")  # the same run too
    assert status == 0 and "o is now in o.old-2" in out.splitlines()[0]
    assert table.main(["."]) == 0
    out, error = capsys.readouterr()
    assert "n = 1" in out and "o.old-1 and 1 more: moved aside, and so left out; to read one, name it" in error
    assert table.main(["o.old-1"]) == 0 and "moved aside" not in capsys.readouterr().err


def test_fresh_leaves_what_is_there_until_the_new_run_writes(capsys):
    words = ["--alg", "supervised", *QUICK, "--out", "o"]
    call(capsys, *words)
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("epochs: 3\n")  # another program's
    before = sorted(Path().rglob("*"))
    for more in (["--labels", "5000"], ["--net", "torchvision:vit_b_16"], ["--set", "split_file=none.json"]):
        status, out, _ = call(capsys, *words, *more, "--fresh")
        assert status == 2 and out == "" and sorted(Path().rglob("*")) == before
    status, _, error = call(capsys, *words[:-1], "mine", "--fresh")
    assert status == 2 and "mine exists and is not the folder of a run; choose another --out\n" in error
    assert sorted(Path().rglob("*")) == before


def test_fresh_begins_where_the_settings_of_the_run_cannot_be_read(capsys):
    words = ["--alg", "supervised", *QUICK, "--out", "o"]
    call(capsys, *words)
    Path("o/config.yaml").write_text("{")
    assert call(capsys, *words)[0] == 2
    assert call(capsys, *words, "--fresh")[0] == 0 and Path("o.old-1/config.yaml").read_text() == "{"


def test_a_run_says_that_it_compiles_and_a_fit_at_once_has_nothing_to_compile(capsys, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda of, fullgraph, dynamic, options: of)
    line = "steps are compiled, which takes up to a minute: the bar stands still meanwhile"
    for more, said in (["--compile"], True), ([], False), (["--compile", "--alg", "probe"], False):
        status, out, _ = call(
            capsys, *QUICK, *more, "--set", "evaluation.every=6", "--set", "logger=none", "--fresh", "--out", "run"
        )
        assert status == 0 and (line in out.splitlines()) == said


def test_where_each_step_is_logged_none_is_compiled_and_that_is_said(capsys, monkeypatch):
    made = []
    monkeypatch.setattr(torch, "compile", lambda of, **given: made.append(of) or of)
    for every, scored, none in ((1, 6, True), (6, 1, True), (6, 6, False)):
        often = ["--set", f"evaluation.log_every={every}", "--set", f"evaluation.every={scored}"]
        words = ["--compile", *often, "--set", "logger=none", "--fresh", "--out", "run"]
        status, out, _ = call(capsys, *QUICK, *words)
        assert status == 0 and ("no step is compiled: one that is logged or scored is not, and all are" in out) == none == (
            not made
        )


def test_a_damaged_cache_is_said_in_one_line(images, capsys, tmp_path):
    folder = ["--dataset", "folder", "--data-root", images, "--labels", "6", *QUICK]
    assert call(capsys, *folder, "--out", "first")[0] == 0
    (kept,) = (tmp_path / "cache").glob("*.npz")
    kept.write_bytes(b"garbage")
    status, _, error = call(capsys, *folder, "--out", "second")
    (said,) = [line for line in error.splitlines() if "cache" in line]
    assert status == 0 and said.startswith(f"WARNING: cache file {kept} cannot be used and is made anew (")
    assert "UserWarning" not in said
