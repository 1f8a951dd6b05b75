"""`ssl-zoo predict` as it is typed: what is on the screen, in the file, and the exit status."""

import csv
import io
import json
from pathlib import Path

import pytest

from ssl_zoo.cli import predict
from tests.using.trained import photos, train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        train(photos(top / "photos"), top / "run")
    (top / "photos/test/cat/broken.jpg").write_bytes(b"no")
    return top


@pytest.fixture(autouse=True)
def there(made, monkeypatch):
    monkeypatch.chdir(made)


def test_a_table_on_the_screen_and_the_rest_beside_it(made, capsys):
    assert predict.main(["run", "photos/test/ant", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    rows = [*csv.DictReader(io.StringIO(said.out))]
    assert len(rows) == 5 and {row["error"] for row in rows} == {""} and "5 images" in said.err


def test_a_file_is_scored_and_gone_on_with(made, capsys):
    words = ["run/model.safetensors", "photos/test", "--out", "p.csv", "--unsure-below", "1", "--device", "cpu"]
    assert predict.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    row = json.loads((made / "run/result.json").read_text())
    assert lines[0] == "16 images: p.csv"
    assert lines[1].startswith("1 could not be read, and are rows with an error, such as 'photos/test/cat/broken.jpg': ")
    assert lines[-1] == (
        "confidences are not calibrated: that takes 50 labelled images held out for validation, such as --val-fraction 0.5 of 100"
    )
    assert lines[2] == "15 are unsure" and lines[3].startswith(f"accuracy {100 * row['accuracy']:.2f} % (95 % interval ")
    assert "15 labelled images" in lines[3] and (lines[4].startswith("most often wrong: ") or row["accuracy"] == 1)
    assert predict.main(words) == 0 and capsys.readouterr().out.startswith("16 images, 15 of them there before: p.csv\n")
    assert predict.main([*words, "--top", "2"]) == 2
    assert "'p.csv' has other columns; give another name, or --fresh, which writes it anew" in capsys.readouterr().err
    assert predict.main([*words, "--top", "2", "--fresh"]) == 0


def test_what_was_trained_on_is_said(made, capsys):
    assert predict.main(["run", "photos", "--out", "all.jsonl", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    warning = "WARNING: 24 of the 39 labelled images were trained on with their label, and are left out of the score; they are"
    assert warning in said.err
    rows = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    unseen = [row["class"] == row["label"] for row in rows if row["trained_on"] is False and row["label"]]
    every = [row["class"] == row["label"] for row in rows if row["label"] and row["class"]]
    assert len(unseen) == 15 and f"accuracy {100 * sum(unseen) / 15:.2f} % (95 % interval " in said.out
    assert "15 labelled images that it was not trained on)" in said.out
    assert f"of all 39, those included that it was trained on, it is right about {100 * sum(every) / 39:.2f} %" in said.out
    assert predict.main(["run", "photos", "--out", "all.jsonl", "--device", "cpu"]) == 0  # it is all there
    assert "15 labelled images that it was not trained on)" in capsys.readouterr().out
    assert predict.main(["run", "photos/train", "--out", "train.jsonl", "--device", "cpu"]) == 0
    assert "WARNING: all 24 labelled images were trained on with their label: the score counts" in capsys.readouterr().err
    assert predict.main(["run", "photos/test", "--out", "test.jsonl", "--device", "cpu"]) == 0
    assert "WARNING" not in capsys.readouterr().err


def test_labels_that_became_known_are_said(made, capsys):
    Path("t.csv").write_text("path,label\nphotos/test/ant/0.jpg,\n")
    assert predict.main(["run", "t.csv", "--out", "t-out.csv", "--device", "cpu"]) == 0
    Path("t.csv").write_text("path,label\nphotos/test/ant/0.jpg,ant\n")
    assert predict.main(["run", "t.csv", "--out", "t-out.csv", "--device", "cpu"]) == 0
    assert "WARNING: 1 image has another label now, or had none when it was predicted" in capsys.readouterr().err
    assert predict.main(["run", "t.csv", "--out", "t-out.csv", "--device", "cpu", "--fresh"]) == 0
    said = capsys.readouterr()
    assert "WARNING" not in said.err and "1 labelled image)" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "photos"], "there is no 'nowhere'; give a run's folder, or its model.safetensors"),
        (["photos", "photos"], "photos is not the folder of a run"),
        (["run"], "the following arguments are required: IMAGES"),
        (["run", "photos", "--top", "9"], "top = 9 is out of range"),
        (["run", "photos", "--out", "photos"], "'photos' is a folder"),
        (["run", "photos", "--device", "cuda:9"], "cuda:9"),
        (["run", "photos", "--device", "cuda"], "use --device cpu"),
        (["run", "photos", "--output", "x.csv"], "did you mean --out x.csv?"),
    ],
)
def test_bad_input(made, words, message, capsys):
    assert predict.main(words) == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.splitlines()) == 1 and not said.out
