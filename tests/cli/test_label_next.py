"""`ssl-zoo label-next` as it is typed, and the loop of docs/label.md: label, train, predict, label."""

import csv
import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

import ssl_zoo
from ssl_zoo.__main__ import COMMANDS, main, usage
from ssl_zoo.cli import label_next
from ssl_zoo.cli.label_next import counted_up, next_to
from tests.test_documents import PAGES, commands
from tests.using.trained import photos, put, train

SMALL = "--net smallnet --image-size 16 --steps 8 --device cpu --set 'batch={labeled: 4, unlabeled: 4}'"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))


def mine(**settings):
    root = photos(Path("photos"), test=False)
    put(root / "unlabeled", 12, 70)
    return train(root, Path("runs/mine"), **settings)


def fill_in(classes, table="next/labels.csv"):
    """What a person does: classes into the first lines. Returns the names of these images."""
    with open(table, newline="") as file:
        rows = [*csv.reader(file)]
    for row, name in zip(rows[1:], classes, strict=False):
        assert row[1] == ""
        row[1] = name
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return [Path(row[0]).name for row in rows[1 : len(classes) + 1]]


def test_the_loop_of_the_page(capsys):
    """Every command of the page, as it stands there, but for a smaller net and fewer images."""
    root = photos(Path("photos"), test=False)
    put(root / "unlabeled", 12, 70)
    put(Path("new"), 3, 100)
    put(Path("more"), 2, 130)
    rows = {}
    for line in commands(PAGES["docs/label.md"]):
        name, *words = shlex.split(line)[1:]
        words = shlex.split(shlex.join(words).replace("--minutes 5", SMALL).replace("--count 20", "--count 2"))
        assert main([name, *words]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        if name == "label-next" and "--images" not in words:
            table = f"{words[words.index('--out') + 1]}/labels.csv"
            fill_in(("ant", "dog") if "runs/mine" in words else ("cat", "dog"), table)
        elif name == "run":
            out = words[words.index("--out") + 1]
            rows[out] = json.loads(Path(out, "result.json").read_text())
        elif name == "predict":
            with open("predictions-2.csv", newline="") as file:
                assert {row["class"] for row in csv.DictReader(file)} <= {"ant", "bee", "cat", "dog"}
    first, second = rows["runs/mine"], rows["runs/mine-2"]
    assert first["classes"] == ["ant", "bee", "cat"] and second["classes"] == ["ant", "bee", "cat", "dog"]
    assert sum(first["confusion"]["count"]) == sum(second["confusion"]["count"]) and len(second["initial"]) == 32
    assert said.startswith("all 5 images without a label")  # the last command of the page: of other images
    assert main(["report", "runs/mine-2", "--device", "cpu"]) == 0  # its data are what they were
    assert label_next.main(["runs/mine-2", "--device", "cpu"]) == 2  # into next/, unless said otherwise
    assert capsys.readouterr().err.endswith("next/labels.csv' and needs it, as when it is reported; choose another --out\n")


def test_the_command_that_is_printed_goes_on_with_the_run_s_settings(capsys):
    settings = {"val_fraction": 0.25, "test_fraction": 0.3, "labels": 12, "input": "unit", "seed": 3}
    mine(**settings)
    assert label_next.main(["runs/mine", "--count", "3", "--device", "cpu"], prog="ssl-zoo label-next") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 of 12 images without a label: the nearest to each of 3 centres of k-means over the net's")
    assert lines[0].endswith(", which weighs each by how unsure the net is")
    assert lines[1].startswith("of 6 images the class is known in the data, but the run did not use it")
    assert lines[2] == "look at next/contact.html"
    assert lines[3] == "write classes into the column label of next/labels.csv: ant, bee, cat, or a new one; then"
    words = shlex.split(lines[4])
    given = "--recipe next/recipe.yaml --data-root next/labels.csv --from runs/mine --out runs/mine-2"
    assert lines[4] == f"    ssl-zoo run {given}"
    names = fill_in(("ant", "bee", "cat"))
    assert main([*words[1:], "--steps", "3"]) == 0
    row = json.loads(Path("runs/mine-2/result.json").read_text())
    then = json.loads(Path("runs/mine/result.json").read_text())
    assert row["labels"] == 15 - 3 + 3 or row["labels"] == "all"
    for key in ("input", "seed", "net", "batch", "optimizer", "views", "nets"):
        assert row["config"][key] == then["config"][key], key
    split = json.loads(Path("runs/mine-2/split.json").read_text())
    assert {*names} <= {
        Path(name).name for name in split["names"]
    } and "begins from the weights of runs/mine" in capsys.readouterr().out


# Settings that no table has, and that no recipe has.
OTHER = {
    "alg": "pimodel",
    "algorithms.pimodel.weight": 3.0,
    "class_weights": "balanced",
    "input": "unit",
    "seed": 7,
    "views": {"weak": {"translate": {"pixels": 2}}},
    "optimizer.lr": 0.002,
    "schedule.warmup": 0.25,
    "evaluation.every": 5,
}


def go_on(capsys, *words):
    """Choose, label, and train by the command that is printed. Returns its words, and the row of the run."""
    capsys.readouterr()
    assert label_next.main([*words, "--count", "6", "--device", "cpu"]) == 0
    said = shlex.split(capsys.readouterr().out.splitlines()[-1])
    given = dict(zip(said[2::2], said[3::2], strict=True))
    fill_in(("ant", "bee", "cat") * 2, given["--data-root"])
    assert main(said[1:]) == 0, capsys.readouterr().err
    return given, json.loads(Path(given["--out"], "result.json").read_text())


def different(then, now):
    """Settings that are others, but for the data and where it began."""
    return {name for name in then["config"] if now["config"][name] != then["config"][name]} - {"data_root", "initial"}


@pytest.mark.parametrize(
    ("settings", "back"),
    [
        ({}, set()),
        (OTHER, set()),
        ({"folds": 3, "fold": 1}, {"folds", "fold"}),
        ({"labels": 9}, {"labels"}),
        ({"test_fraction": 0.4, "val_fraction": 0.5, "selection": "validation"}, {"test_fraction", "val_fraction"}),
    ],
)
@pytest.mark.parametrize("place", ["runs/mine", "kept/m.safetensors"])
def test_the_printed_command_has_the_settings_of_the_run(settings, back, place, capsys):
    """But for what the table says; of a model that was copied away too."""
    run = mine(**settings)
    Path("kept").mkdir()
    Path("kept/m.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    then = json.loads((run / "result.json").read_text())
    given, now = go_on(capsys, place)
    folder = Path("kept/m") if place.startswith("kept") else Path(place)
    assert [*given.values()] == ["next/recipe.yaml", "next/labels.csv", place, f"{folder}-2"]
    assert different(then, now) == back and then["net"] == now["net"] == "smallnet"


def test_the_printed_command_after_a_run_on_other_data(capsys):
    """Its images are as those were: of their size, and grey."""
    settings = ssl_zoo.recipe("digits", net="smallnet", steps=2, device="cpu", alg="pimodel", **{"evaluation.every": 2})
    ssl_zoo.run(settings, "runs/digits", quiet=True)
    Path("new").mkdir()
    for k, pixels in enumerate(ssl_zoo.DATASETS.create("digits", None).images[:9, ..., 0]):
        Image.fromarray(pixels).save(f"new/{k}.png")
    capsys.readouterr()
    assert label_next.main(["runs/digits", "--count", "6", "--device", "cpu", "--images", "new"]) == 0
    said = shlex.split(capsys.readouterr().out.splitlines()[-1])
    fill_in("010101")
    assert main(said[1:]) == 0, capsys.readouterr().err
    then, now = (json.loads(Path("runs", name, "result.json").read_text()) for name in ("digits", "digits-2"))
    assert different(then, now) == {"dataset", "datasets", "labels"} and now["classes"] == ["0", "1"]


def test_the_printed_command_brings_plug_ins_along(capsys, monkeypatch):
    Path("own.py").write_text(
        "from ssl_zoo import NETS\n\n\n@NETS.register('own')\nclass Own(NETS.resolve('smallnet').target):\n    pass\n"
    )
    root = photos(Path("photos"), test=False)
    put(root / "unlabeled", 9, 70)
    words = shlex.split(SMALL.replace("smallnet", "own").replace("--steps 8", "--steps 2"))
    assert main(["run", "--data-root", "photos", "--plugin", "own.py", *words, "--out", "runs/mine"]) == 0
    given, now = go_on(capsys, "runs/mine", "--plugin", "own.py")
    assert given["--plugin"] == "own.py" and now["net"] == "own"


@pytest.mark.parametrize("word", [".", "model.safetensors", "./", "../mine/", "tensorboard/.."])
def test_the_printed_command_of_the_folder_one_is_in(word, capsys, monkeypatch):
    run = mine(steps=1)
    monkeypatch.chdir(run)
    assert label_next.main([word, "--data-root", "../../photos", "--count", "3", "--device", "cpu", "--out", "../n"]) == 0
    said = shlex.split(capsys.readouterr().out.splitlines()[-1])
    fill_in(("ant", "bee", "cat"), "../n/labels.csv")
    assert main(said[1:]) == 0
    assert Path("../mine-2/result.json").exists() and not Path("../n-2").exists()


def test_the_printed_command_names_a_folder_that_is_free(monkeypatch):
    for name in ("mine", "mine-2", "mine-3", "-x"):
        Path("runs", name).mkdir(parents=True)
    assert [str(next_to(Path("runs", name))) for name in ("mine", "mine-3", "other")] == [
        *("runs/mine-4", "runs/mine-4", "runs/other-2"),
    ]
    monkeypatch.chdir("runs")
    Path("cf/fold-1").mkdir(parents=True)
    assert [str(next_to(Path("cf", name))) for name in ("fold-0", "fold-1")] == ["cf-2"] * 2
    words = label_next.words(Path("-x"), Path("-n/recipe.yaml"), Path("-n/labels.csv"))
    assert words[1::2] == ["./-n/recipe.yaml", "./-n/labels.csv", "./-x", "./-x-2"]
    monkeypatch.chdir("cf/fold-1")
    assert str(next_to(Path())) == "../../cf-2"


def test_what_is_said_of_all_and_of_one(capsys):
    mine()
    assert label_next.main(["runs/mine", "--count", "99", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("all 12 images without a label, the least sure first\n")
    assert label_next.main(["runs/mine", "--count", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "1 of 12 images without a label: the one with the smallest margin between its two most probable classes"
    )
    put(Path("new"), 3, 100)
    Path("new/1.png").write_bytes(b"no")
    Path("new/copy.png").write_bytes(Path("new/0.png").read_bytes())
    assert label_next.main(["runs/mine", "--count", "5", "--images", "new", "photos/train", "--out", "n", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "all 2 images without a label, each once, the least sure first"
    assert lines[1] == "1 is a copy of images that have a label, or of others without one, and left out"
    assert lines[2].startswith("1 could not be read, and are left out: 'new/1.png': ")
    assert lines[3].startswith("24 have a label already")


def test_names_of_rounds():
    assert [counted_up(name) for name in ("mine", "mine-2", "mine-9", "a-b", "s0", "x-0")] == [
        *("mine-2", "mine-3", "mine-10", "a-b-2", "s0-2", "x-0-2"),
    ]


def test_the_command_is_one_of_the_package():
    assert "label-next" in COMMANDS and "  label-next which images" in usage()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no 'nowhere'; give a run's folder, or its model.safetensors"),
        (["photos"], "photos is not the folder of a run"),
        ([], "the following arguments are required: RUN"),
        (["runs/mine", "--count", "0"], "count = 0 is out of range"),
        (["runs/mine", "--count", "few"], "argument --count: invalid int value: 'few'"),
        (["runs/mine", "--out", "photos/train/ant/0.png"], "'photos/train/ant/0.png' cannot be a folder, as there is a file"),
        (["runs/mine", "--data-root", "gone"], "say where it is with --data-root"),
        (["runs/mine", "--images", "photos/train"], "all 24 images have a label already; give others as --images PATHS"),
        (["runs/mine", "--images", "none.png"], "there is no 'none.png'"),
        (["runs/mine", "--device", "cuda:9"], "cuda:9"),
        (["runs/mine", "--output", "x"], "did you mean --out x?"),
    ],
)
def test_bad_input(words, message, capsys):
    mine(steps=1)
    capsys.readouterr()
    assert label_next.main(words) == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.splitlines()) == 1 and not said.out and not Path("next").exists()
