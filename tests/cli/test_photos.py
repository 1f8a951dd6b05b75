"""A folder of photos as a new user has it, from the command line to a score: what is said, written and never trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssl_zoo
from ssl_zoo import InputError
from ssl_zoo.__main__ import main
from ssl_zoo.cli import run, sweep, table
from ssl_zoo.runs import clock
from ssl_zoo.runs.confusion import images_in, sizes
from ssl_zoo.runs.folds import _shared_out, execute_folds

ENDINGS = ("jpg", "png", "jpeg", "webp", "bmp")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def put(folder, count, first=0):
    """Photos of sizes and formats of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        rng = np.random.default_rng([i, *str(folder).encode()])
        pixels = rng.integers(0, 256, (*rng.integers(20, 60, 2), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"IMG_{i}.{ENDINGS[i % len(ENDINGS)]}")


@pytest.fixture
def photos():
    """Three class folders and a loose one, without a test set."""
    for name in ("ant", "bee", "cat"):
        put(Path("photos") / name, 10)
    put(Path("photos/unsorted"), 8)
    return Path("photos")


QUICK = [
    "--net",
    "smallnet",
    "--steps",
    "2",
    "--image-size",
    "16",
    "--device",
    "cpu",
    "--set",
    "batch={labeled: 4, unlabeled: 4}",
]


def command(capsys, *words, status=0):
    """What a command prints."""
    assert run.main([*words, *QUICK]) == status
    return capsys.readouterr()


def result(folder):
    return json.loads((Path(folder) / "result.json").read_text())


def test_a_folder_of_photos_alone(photos, capsys):
    said = command(capsys, "--data-root", "photos").out
    assert "'" + str(photos.resolve()) + "/unsorted' is taken as images without labels" in said
    assert "there is no test set: 6 of 30 labelled images (20 %, of each class) are held out and scored" in said
    assert "3 classes, with the labelled images of each: ant (8), bee (8), cat (8)" in said
    assert "24 labelled images, 32 in the unlabelled stream (with the 24 labelled ones), 6 held out to be scored" in said
    last = said.splitlines()[-3]
    assert last.startswith("accuracy ") and "(95 % interval " in last and "6 labelled images held out and scored)" in last
    row = result("runs/photos-16px-all/meanteacher-smallnet-s0")
    assert (row["scored"], row["labels"], row["steps"], images_in(row["confusion"])) == ("held-out", "all", 2, 6)


def test_the_same_images_are_scored_whatever_the_seed_and_method(photos, capsys):
    found = set()
    for words in (["--seed", "1"], ["--alg", "supervised", "--split-seed", "2"]):
        command(capsys, "--data-root", "photos", *words, "--out", f"out{len(found)}")
        found.add(result(f"out{len(found)}")["data_hash"])
    assert len(found) == 1
    command(capsys, "--data-root", "photos", "--test-fraction", "0.5", "--out", "half")
    assert images_in(result("half")["confusion"]) == 15


def test_folds_score_every_labelled_image_once(photos, capsys):
    said = command(capsys, "--data-root", "photos", "--folds", "3", "--out", "f").out
    last = said.splitlines()[-3]
    assert "30 labelled images, each scored once, by one of 3 nets that had not seen it)" in last
    rows = [result(f"f/fold-{k}") for k in range(3)]
    right = sum(row["accuracy"] * images_in(row["confusion"]) for row in rows)
    assert last.startswith(f"accuracy {100 * right / 30:.2f} %") and len({row["data_hash"] for row in rows}) == 3
    assert ssl_zoo.load("f/fold-2").classes == ("ant", "bee", "cat")
    again = command(capsys, "--data-root", "photos", "--folds", "3", "--out", "f").out  # all are finished
    assert again.splitlines()[-3] == last and again.count("finished already") == 3
    assert table.main(["f"]) == 0  # as one run
    made = capsys.readouterr().out
    assert f"{100 - 100 * right / 30:.1f}" in made and "n = 1" in made and "photos, smallnet, 2 steps" in made
    assert "on 30 labelled images, each scored once, by one of 3 nets that had not seen it" in made
    for words in (["predict", "f", "photos"], ["export", "f", "--format", "pt2"], ["label-next", "f"], ["run", "--from", "f"]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert "f holds a run in folds, each with a net of its own; give one of them, such as f/fold-0\n" in error
    error = command(capsys, "--data-root", "photos", "--out", "f", status=2).err
    assert "f exists and is not the folder of a run" in error


def test_what_is_true_of_all_folds_is_warned_of_once(photos, capsys):
    (photos / "notes.txt").write_text("no image")
    (photos / "ant/notes.txt").write_text("no image")
    found = command(capsys, "--data-root", "photos", "--folds", "2", "--out", "f")
    assert found.err.count("notes.txt") == 1 and found.out.count("fold ") >= 2


def test_a_share_to_hold_out_where_there_is_a_test_set(photos, capsys):
    put(photos / "test/ant", 2), put(photos / "test/bee", 2), put(photos / "test/cat", 2)
    error = command(capsys, "--data-root", "photos", "--test-fraction", "0.3", "--out", "x", status=2).err
    assert "--test-fraction is for data without a test set, and these have one of 6 images; leave it out" in error
    command(capsys, "--data-root", "photos", "--out", "x")


def test_a_class_that_is_nearly_another_is_named(photos, capsys):
    put(photos / "cats", 40), put(photos / "ctas", 2)
    said = command(capsys, "--data-root", "photos", "--out", "x").out
    assert "'ctas' (2) is nearly 'cats' (40): if they are one, give them one name" in said


def test_folds_from_python_have_the_steps_of_the_first(photos, monkeypatch):
    monkeypatch.setattr("ssl_zoo.runs.clock.costs", lambda *args: clock.Costs(0.5, 0.0))
    small = {"batch": {"labeled": 4, "unlabeled": 4}, "datasets.folder.image_size": 8, "device": "cpu"}
    given = ssl_zoo.recipe("photos", data_root="photos", net="smallnet", minutes=0.6, folds=2, **small)
    rows = execute_folds(given, Path("f"), quiet=True)
    assert rows[0]["steps"] == rows[1]["steps"] > 10 and [row["config"]["fold"] for row in rows] == [0, 1]
    with pytest.raises(InputError, match="`folds` is not given"):
        execute_folds(ssl_zoo.recipe("photos"), Path("g"))
    with pytest.raises(InputError, match="f/fold-0 is the folder of a single run, and folds have one each below it"):
        execute_folds(given, Path("f/fold-0"), quiet=True)


LENGTHS = {
    "minutes": ["--minutes", "0.2"],
    "epochs": ["--set", "epochs=1"],
    "the recipe's epochs": [],
    "steps": ["--steps", "3"],
    "a baseline": ["--alg", "labelspreading", "--set", "algorithms.labelspreading.features=pixels"],
}


@pytest.mark.parametrize("words", LENGTHS.values(), ids=LENGTHS)
def test_folds_are_pooled_whatever_gave_their_length(photos, capsys, monkeypatch, words):
    monkeypatch.setattr("ssl_zoo.runs.clock.costs", lambda *args: clock.Costs(0.5, 0.0))
    small = ["--net", "smallnet", "--image-size", "8", "--device", "cpu", "--set", "batch={labeled: 4, unlabeled: 64}"]
    assert run.main(["--data-root", "photos", *small, *words, "--folds", "2", "--out", "f"]) == 0
    said = capsys.readouterr().out
    assert ("fold 0 of 2; 0.2 minutes for 2 folds are 0.1 for each\n" in said) == ("--minutes" in words)
    rows = [result(f"f/fold-{k}") for k in range(2)]
    assert rows[0]["steps"] == rows[1]["steps"] and (rows[0]["steps"] > 0) == ("labelspreading" not in words)
    assert table.main(["f"]) == 0
    made = capsys.readouterr()
    assert "on 30 labelled images, each scored once, by one of 2 nets" in made.out and "n = 1" in made.out and not made.err
    assert main(["report", "f"]) == 0 and Path("f/report.html").exists()


def test_folds_with_a_gap_leave_no_table_and_that_is_an_error(photos, capsys):
    command(capsys, "--data-root", "photos", "--folds", "2", "--out", "f")
    shutil.rmtree("f/fold-0")
    gap, png = "of 2 folds 1 is missing (0)", ["--out", "c.png"]
    site = ["--format", "site", "--out", "s"]
    for words in (["table", "f"], ["table", "f", *site], ["report", "f/.."], ["plot", "curves", "f", *png]):
        assert main(words) == 2
        made = capsys.readouterr()
        assert not made.out and gap in made.err
    assert main(["table", "f"]) == 2
    assert capsys.readouterr().err.endswith("no run is left for a table; the lines before say why\n")


def test_minutes_that_are_too_few_for_each_fold_are_named_as_given(photos, capsys):
    assert run.main(["--data-root", "photos", "--minutes", "0.2", "--folds", "4", "--out", "f"]) == 2
    assert capsys.readouterr().err.endswith(
        "0.2 minutes for 4 folds are 0.05 for each, and a run takes at least 0.1; give at least --minutes 0.4, or fewer folds\n"
    )
    assert not Path("f").exists()
    third, _ = _shared_out(ssl_zoo.recipe("photos", minutes=0.3, folds=3), 3)
    assert third.minutes == 0.1 > 0.3 / 3


def test_all_folds_are_made_from_the_settings_of_one(photos, capsys):
    """As the command of a fold's page has it; and one alone, where --folds does not ask for all."""
    command(capsys, "--data-root", "photos", "--folds", "2", "--out", "f")
    again = ["--recipe", "f/fold-1/config.yaml", "--alg", "supervised"]
    assert run.main([*again, "--folds", "2", "--out", "g"]) == run.main([*again, "--out", "one"]) == 0
    assert [result(f"g/fold-{k}")["config"]["fold"] for k in (0, 1)] == [0, 1] and result("one")["config"]["fold"] == 1
    assert table.main(["f", "g"]) == 0


def test_images_that_are_enlarged_are_said_to_be(photos, capsys):
    """Of 20 to 60 pixels each; in the first run, and from the cache in the second."""
    paths = [path for path in photos.rglob("*") if path.is_file()]
    sides = [min(Image.open(path).size) for path in paths]
    count = sum(side < 40 for side in sides)
    line = f"images smaller than 40x40 (height x width) are enlarged, up to {40 / min(sides):.3g} times: {count} of 38\n"
    for name in ("a", "b"):
        given = ["--data-root", "photos", *QUICK, "--image-size", "40", "--out", name]
        assert run.main(given) == 0 and 0 < count < 38 and line in capsys.readouterr().out
    assert "are enlarged" not in command(capsys, "--data-root", "photos", "--out", "c").out, "to 16x16"


def test_a_test_set_of_ones_own_is_used_and_folds_are_refused(photos, capsys):
    for name in ("ant", "bee"):
        put(photos / "test" / name, 3, first=50)
    (photos / "test/cat").mkdir()
    said = command(capsys, "--data-root", "photos").out
    assert "'s" not in said and "test' has no image of cat: scores are of the others" in said
    row = result("runs/photos-16px-all/meanteacher-smallnet-s0")
    assert row["scored"] == "test" and sizes(row["confusion"]) == [3, 3, 0]
    error = command(capsys, "--data-root", "photos", "--folds", "3", "--out", "f", status=2).err
    assert "folds are for data without a test set" in error and not Path("f").exists()


def test_a_validation_folder_is_validated_by_and_never_trained_on(photos, capsys):
    for name in ("ant", "bee", "cat"):
        put(photos / "val" / name, 2, first=70)
        put(photos / "test" / name, 2, first=80)
    words = ["--data-root", "photos", "--set", "selection=validation", "--out", "v"]
    said = command(capsys, *words).out
    assert (
        "30 labelled images, 6 held out for validation, 38 in the unlabelled stream (with the 30 labelled ones), 6 test images"
        in said
    )
    assert "validation accuracy " in said.splitlines()[-3] and "validation_accuracy" in result("v")
    split = json.loads(Path("v/split.json").read_text())
    assert split["validation"] == [*range(30, 36)] and max(split["rows"]) == 29
    error = command(capsys, *words[:-1], "w", "--val-fraction", "0.2", status=2).err
    assert "set --val-fraction 0" in error


def test_val_fraction_without_a_test_set(photos, capsys):
    said = command(capsys, "--data-root", "photos", "--val-fraction", "0.25").out
    stream = "26 in the unlabelled stream (with the 18 labelled ones)"
    assert f"18 labelled images, 6 held out for validation, {stream}, 6 held out to be scored" in said
    assert "validation accuracy " in said.splitlines()[-3]


def test_a_table_of_labels(photos, capsys):
    lines = ["path,label"] + [
        f"{path},{path.parent.name if path.parent.name != 'unsorted' else ''}" for path in sorted(photos.rglob("*.*"))
    ]
    Path("labels.csv").write_text("\n".join(lines))
    said = command(capsys, "--data-root", "labels.csv").out
    assert "24 labelled images, 32 in the unlabelled stream (with the 24 labelled ones), 6 held out to be scored" in said
    Path("apart").mkdir()
    Path("labels.csv").rename("apart/some.csv")
    again = command(capsys, "--data-root", ".", "--labels-file", "apart/some.csv", "--out", "b").out
    assert "24 labelled images, 32 in the unlabelled stream" in again


def test_what_was_left_out_is_listed(photos, capsys):
    (photos / "ant/IMG_0.jpg").write_bytes(b"<html>Not found</html>")
    (photos / "bee/IMG_1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (photos / "bee/notes.txt").write_text("yes")
    error = command(capsys, "--data-root", "photos", "--out", "x", status=2).err
    assert "2 of 38 images cannot be read, such as: " in error and "an HTML page" in error and "--skip-broken" in error
    assert not Path("x").exists()
    found = command(capsys, "--data-root", "photos", "--out", "x", "--skip-broken")
    assert "WARNING: 3 files are left out: " in found.err and "left_out.txt" in found.err
    assert all(name in found.err for name in ("IMG_0.jpg", "IMG_1.png", "notes.txt"))
    listed = Path("x/left_out.txt").read_text().splitlines()
    assert len(listed) == 3 and "a pointer of git-lfs" in listed[1] and listed[2].endswith("notes.txt' is no image by its name")


def test_a_length_on_top_of_a_recipe_holds(capsys):
    for words, wanted in (
        (["--steps", "7"], (7, None, None)),
        (["--set", "epochs=3"], (1000, 3.0, None)),
        (["--minutes", "5"], (1000, 100.0, 5.0)),
        (["--set", "steps=7"], (7, None, None)),
    ):
        assert run.main(["--data-root", "x", *words, "--print-config"]) == 0
        found = ssl_zoo.recipes.parse_yaml(capsys.readouterr().out, "it")
        assert (found["steps"], found["epochs"], found["minutes"]) == wanted, words
    assert ssl_zoo.recipe("photos", steps=7).epochs is None
    for words in (
        ["--steps", "7", "--minutes", "5"],
        ["--steps", "7", "--set", "epochs=3"],
        ["--set", "steps=7", "--set", "minutes=3"],
    ):
        assert run.main(["--data-root", "x", *words]) == 2
        assert "are both given, and each is the length of a run; keep one" in capsys.readouterr().err, words
    with pytest.raises(InputError, match="steps and epochs are both given"):
        ssl_zoo.recipe("digits", steps=7, epochs=3)


def test_arrays_without_a_test_set():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    labels = np.array([0, 1] * 8 + [-1] * 4)
    settings = ssl_zoo.recipe("digits", net="smallnet", steps=2, labels="all", batch={"labeled": 4, "unlabeled": 4}, device="cpu")
    row = ssl_zoo.run(settings, "a", data=(images, labels), quiet=True)
    assert row["scored"] == "held-out" and sizes(row["confusion"]) == [2, 2]
    with pytest.raises(InputError, match="test_images and test_labels go together"):
        ssl_zoo.run(settings, "b", data=(images, labels, images, None), quiet=True)


def test_cells_of_a_sweep_score_the_same_images(photos, capsys):
    words = [
        "--data-root",
        "photos",
        "--algs",
        "supervised,pimodel",
        "--seeds",
        "0-1",
        "--out",
        "g",
        "--nets",
        "smallnet",
        "--steps",
        "2",
    ]
    assert sweep.main([*words, "--image-size", "16", "--set", "batch={labeled: 4, unlabeled: 4}", "--labels", "12"]) == 0
    rows = [json.loads(path.read_text()) for path in sorted(Path("g").glob("*/result.json"))]
    assert len(rows) == 4 and len({row["data_hash"] for row in rows}) == 1 and {row["scored"] for row in rows} == {"held-out"}


def test_a_sweep_of_epochs_is_finished_when_given_again_and_one_of_minutes_is_refused(photos, capsys):
    words = ["--data-root", "photos", "--algs", "supervised", "--nets", "smallnet", "--image-size", "16", "--out", "g"]
    words += ["--set", "batch={labeled: 4, unlabeled: 8}"]
    epochs = ["--set", "epochs=1"]
    assert sweep.main([*words, *epochs]) == 0
    (path,) = Path("g").glob("*/result.json")
    assert json.loads(path.read_text())["steps"] == 4  # 32 images, 8 a step
    capsys.readouterr()
    assert sweep.main([*words, *epochs, "--dry-run"]) == 0
    assert "1 finished, 0 to run" in capsys.readouterr().out
    assert sweep.main([*words, "--set", "minutes=3"]) == 2
    assert (
        "`minutes` give each run of a sweep a number of steps of its own; give --steps, or --set epochs=100 for passes"
        in capsys.readouterr().err
    )


def test_a_run_among_the_class_folders_is_refused_before_it_is_made(photos, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    error = command(capsys, "--data-root", ".", status=2).err
    assert "lies among the class folders in '.', and would be read as one; choose another --out" in error
    assert not Path("runs").exists()
    command(capsys, "--data-root", ".", "--out", "../elsewhere")
    words = ["--data-root", ".", "--algs", "supervised", "--nets", "smallnet", "--seeds", "0"]
    assert sweep.main(words) == 2 and "lies among the class folders" in capsys.readouterr().err


def test_folds_by_any_spelling_are_all_trained_and_no_sweep_takes_them(photos, capsys):
    command(capsys, "--data-root", "photos", "--set", "folds=2", "--out", "f")
    assert Path("f/fold-1/result.json").exists()
    command(capsys, "--data-root", "photos", "--set", "folds=2", "--set", "fold=1", "--out", "one")
    assert result("one")["config"]["fold"] == 1
    words = ["--data-root", "photos", "--algs", "supervised", "--set", "folds=2", "--out", "s"]
    assert sweep.main(words) == 2 and not Path("s").exists()
    assert "a sweep trains no folds; `python benchmarks/run.py --folds 2` makes them" in capsys.readouterr().err
    assert "`folds=99`" not in command(capsys, "--data-root", "photos", "--folds", "99", "--out", "g", status=2).err
    assert not Path("g/fold-0").exists()


def test_a_table_of_labels_is_found_in_the_folder_of_the_data(photos, capsys):
    lines = ["path,label", *(f"{name}/IMG_{i}.{ENDINGS[i % 5]},{name}" for name in ("ant", "bee") for i in range(6))]
    (photos / "labels.csv").write_text("\n".join(lines))
    out = command(capsys, "--data-root", "photos", "--labels-file", "labels.csv", "--out", "x").out
    assert "2 classes, with the labelled images of each: ant (5), bee (5)" in out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--skip_broken"], "did you mean --skip-broken? "),
        (["--test-size", "0.3"], "did you mean --test-fraction 0.3"),
        (["photos"], "did you mean --data-root photos? "),
        (["--fold", "2"], "folds are --folds 5"),
    ],
)
def test_what_a_word_may_mean(photos, capsys, words, meant):
    assert meant in command(capsys, "--data-root", "photos", *words, status=2).err
