"""A page of a run, of folds and of a sweep: what it says is what the run says, and it needs nothing else."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssl_zoo
from ssl_zoo import config
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.runs.confusion import interval
from ssl_zoo.runs.folds import execute_folds
from ssl_zoo.runs.model import read_model, write_again
from ssl_zoo.tables.variants import told_apart
from ssl_zoo.using.report import evidence, page
from ssl_zoo.using.report.evidence import folders_of, read_run
from ssl_zoo.using.report.page import write_report
from tests.pages.test_markup import Read
from tests.using.trained import photos, put, train

QUICK = {"batch": {"labeled": 4, "unlabeled": 4}, "device": "cpu", "precision": "fp32", "net": "smallnet", "evaluation.batch": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with photos, two runs on them beside each other, one in folds, and a sweep."""
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        put(photos(top / "photos") / "unlabeled", 6, 90)
        for alg in ("meanteacher", "supervised"):
            train(top / "photos", top / "runs" / alg, alg=alg, **{"evaluation.every": 3})
        photos(top / "few", test=False)
        more = {"data_root": str(top / "few"), "labels": "all", "steps": 6, "datasets.folder.image_size": 16, "folds": 2}
        execute_folds(ssl_zoo.recipe("photos", **QUICK, **more), top / "folds", quiet=True)
        for alg in ("supervised", "meanteacher"):
            for seed in (0, 1):
                own = {"alg": alg, "seed": seed, "split_seed": seed, "steps": 4, "evaluation.every": 2}
                settings = ssl_zoo.recipe("digits", net="smallnet", labels=20, device="cpu", **own)
                ssl_zoo.run(settings, top / "sweep" / f"{alg}-{seed}", quiet=True)
    return top


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(made / "cache"))
    return made


def shown(path, out, **more):
    """What a browser shows of a page, and its source."""
    written = write_report(path, out, device="cpu", **more)
    source = written.path.read_text(encoding="utf-8")
    assert len(source.encode()) == written.size
    return Read(re.sub("<style>.*?</style>", "", source, flags=re.DOTALL)), source, written


def text_of(read):
    return " ".join(read.text.replace("\xa0", " ").split())


def test_the_page_of_a_run_says_what_the_run_says(here, tmp_path):
    read, source, written = shown(here / "runs/meanteacher", tmp_path / "r.html")
    row, text = json.loads((here / "runs/meanteacher/result.json").read_text()), text_of(read)
    low, high = (100 * end for end in interval(row["confusion"]))
    assert f"It is right about {round(15 * row['accuracy'])} of 15 test images" in text
    assert f"an accuracy of {100 * row['accuracy']:.1f} %, with a 95 % interval of {low:.1f} to {high:.1f} %" in text
    for fact in (
        "smallnet, ",
        "photos, 16 x 16 x 3",
        "24",
        "6 images",
        "fp32",
        row["recipe_hash"],
        f"torch {row['versions']['torch']}",
    ):
        assert fact in text, fact
    other = json.loads((here / "runs/supervised/result.json").read_text())
    gain = 100 * (row["accuracy"] - other["accuracy"])
    assert f"{gain:+.1f} points against labels alone" in text.replace("points", " points").replace("  ", " ")
    assert f"labels alone (supervised) have an accuracy of {100 * other['accuracy']:.1f} %" in text
    assert f"calibration error is {100 * row['calibration_error']:.1f} %" in text and "The net is not calibrated" in text
    assert "Weak evidence" in text and written.missing == () and "differ from the recipe photos" in text
    assert f"ssl-zoo sweep --recipe {here}/runs/meanteacher/config.yaml --algs supervised,meanteacher --seeds 0-2" in text
    assert source.count("<svg") > 3 and source.count("data:image/png;base64,") == len(
        [tag for tag, _ in read.tags if tag == "img"]
    )


def test_a_page_needs_nothing_else_and_runs_nothing(here, tmp_path):
    for path in ("runs/meanteacher", "folds", "sweep"):
        read, source, _ = shown(here / path, tmp_path / "r.html")
        tags = {tag for tag, _ in read.tags}
        assert not tags & {"script", "link", "iframe", "object", "embed", "a", "form", "base"} and "url(" not in source
        for _, given in read.tags:
            assert not [name for name in given if name.startswith("on") or name in ("href", "srcset", "action")]
            assert given.get("src", "data:image/").startswith("data:image/")
        assert "http" not in source.replace("http-equiv", "") and "default-src &#x27;none&#x27;" in source
        assert source.startswith("<!doctype html>") and ("html", {"lang": "en"}) in read.tags
        ids = [given["id"] for _, given in read.tags if "id" in given]
        assert len(ids) == len({*ids}) and all("alt" in given for tag, given in read.tags if tag == "img")


def test_thumbnails_are_the_images_that_are_named(here, tmp_path):
    """The first of the worst errors, by its file."""
    run = read_run(
        folders_of(here / "runs/meanteacher"), here / "runs/meanteacher", "cpu", None, lambda items, count, what: items
    )
    wrong = np.flatnonzero(run.scored.wrong)
    worst = wrong[np.argmax(run.scored.confidence[wrong])]
    trained = ssl_zoo.load(here / "runs/meanteacher", "cpu")
    file = here / "photos" / run.scored.names[worst]
    assert np.array_equal(run.scored.pixels(worst), trained.pixels_of(file.read_bytes()))
    (p,) = trained.predict_proba([file])
    assert trained.classes[p.argmax()] == trained.classes[run.scored.predicted[worst]] != file.parent.name
    assert p.max() == pytest.approx(run.scored.confidence[worst], abs=1e-6)
    _, source, _ = shown(here / "runs/meanteacher", tmp_path / "r.html")
    first = source[source.index("Worst errors") :].split("<figure>")[1]
    assert run.scored.names[worst].replace("/", "/<wbr>") in first and f"{100 * p.max():.1f}&nbsp;%" in first


def test_folds_are_judged_by_nets_that_had_not_seen_them(here, tmp_path):
    read, _, _ = shown(here / "folds", tmp_path / "r.html")
    assert "24 labelled images, each scored once, by one of 2 nets that had not seen it" in text_of(read)
    assert "Each of the 24 labelled images was predicted by a net that had not seen it" in text_of(read)
    run = read_run(folders_of(here / "folds"), here / "folds", "cpu", None, lambda items, count, what: items)
    assert sorted(run.scored.names) == sorted(f"train/{k}/{i}.png" for k in ("ant", "bee", "cat") for i in range(8))
    for k in (0, 1):
        split = json.loads((here / f"folds/fold-{k}/split.json").read_text())
        net = ssl_zoo.load(here / f"folds/fold-{k}", "cpu")
        unseen = [i for i, name in enumerate(run.scored.names) if name not in split["names"]]
        files = [here / "few" / run.scored.names[i] for i in unseen]
        assert len(unseen) == 12 and np.allclose(net.predict_proba(files), run.scored.probabilities[unseen], atol=1e-5)
        for i, file in zip(unseen, files, strict=True):
            assert np.array_equal(run.scored.pixels(i), net.pixels_of(file.read_bytes()))


def test_one_fold_is_told_of_as_what_it_is(here, tmp_path):
    text = text_of(shown(here / "folds/fold-1", tmp_path / "r.html")[0])
    assert "of 12 labelled images held out for it" in text and "fold 1 of 2; the folder above has a page of all" in text
    assert "nets that had not seen it" not in text and "Weak evidence" in text
    assert f"--alg supervised --folds 2 --out {here}/folds-supervised" in text


def test_labels_alone_are_compared_with_the_recipe_s_own_options(here, tmp_path):
    text = text_of(shown(here / "runs/supervised", tmp_path / "r.html")[0])
    command = (
        f"ssl-zoo sweep --recipe photos --recipe {here}/runs/supervised/config.yaml --algs supervised,meanteacher --seeds 0-2"
    )
    assert command in text and "This net learnt from labels alone" in text and "points against" not in text


def changed(folder, change):
    """Another row, and the same in the model's file, as a run would have left them."""
    row = json.loads((folder / "result.json").read_text())
    change(row["config"])
    (folder / "result.json").write_text(json.dumps(row))
    model = read_model(folder / "model.safetensors")
    change(model.about["row"]["config"])
    write_again(folder / "model.safetensors", model)


def test_labels_alone_of_the_sweep_that_a_page_names_are_found(here, tmp_path):
    """Also where the run's steps came from minutes, and the sweep's are given."""
    run = tmp_path / "mine"
    shutil.copytree(here / "runs/meanteacher", run)
    changed(run, lambda config: config.update(minutes=1.5, epochs=None))
    text = text_of(shown(run, tmp_path / "r.html")[0])
    assert "is not known yet" in text and f"--steps 12 --out {run}-compared" in text and "After that, this page shows it" in text
    shutil.copytree(here / "runs/supervised", tmp_path / "other-compared/supervised-s0")
    assert "is not known yet" in text_of(shown(run, tmp_path / "r.html")[0])
    shutil.move(tmp_path / "other-compared", tmp_path / "mine-compared")
    text = text_of(shown(run, tmp_path / "r.html")[0])
    assert "labels alone (supervised) have an accuracy of" in text and "points against labels alone" in text


def test_a_run_that_began_from_a_net_of_which_nothing_is_left(here, tmp_path):
    run = tmp_path / "mine-2"
    shutil.copytree(here / "runs/meanteacher", run)
    changed(run, lambda config: config.update(initial="runs/mine"))
    text = text_of(shown(run, tmp_path / "r.html")[0])
    assert "It begins from a trained net, and what that one had learnt from is not known here" in text
    assert "--set initial=null --out" in text and "began from the trained net runs/mine" in text.replace("fromthe", "from the")


def test_what_makes_a_score_say_little_is_among_the_first_words(here, tmp_path):
    run = tmp_path / "mine"
    shutil.copytree(here / "runs/meanteacher", run)
    text = text_of(shown(run, tmp_path / "r.html")[0])
    assert "it made 12 steps, which teach little" in text and "random weights" not in text
    changed(run, lambda config: config["nets"]["smallnet"].update(pretrained=False))
    assert "the net began from random weights" in text_of(shown(run, tmp_path / "r.html")[0])


def test_methods_that_are_as_good_are_named_together():
    from ssl_zoo.tables.table import make_tables
    from ssl_zoo.using.report.sweep import _answer
    from tests.tables.rows import row

    def said(*rows):
        (made,), _ = make_tables(rows)
        return re.sub(r"<[^>]*>", "", str(_answer(made))).replace("&nbsp;", " ")

    assert "supervised and x have the lowest error rate, 20.0 %." in said(row(), row("x"))
    assert "x has the lowest error rate, 10.0 %." in said(row(), row("x", accuracy=0.9))
    variants = [row("x", algorithms_lr=lr) for lr in (1, 2)]
    variants = [made | {"axes": ["lr"], "config": made["config"] | {"lr": made["algorithms_lr"]}} for made in variants]
    assert "x, lr 1 and x, lr 2 have the lowest error rate" in said(*variants)
    assert "x, lr 1; x, lr 2 and y have the lowest error rate" in said(*variants, row("y"))
    two = [row(alg, seed, accuracy) for alg, accuracy in (("supervised", 0.8), ("x", 0.9)) for seed in (0, 1)]
    assert "x against labels alone: +10.0 points, from too few runs to tell it from zero" in said(*two)


@pytest.mark.parametrize(("axes", "some"), [([], "8 methods"), (["lr"], "8 variants of 4 methods")])
def test_a_method_has_one_colour_in_both_charts_of_a_sweep(tmp_path, axes, some):
    """Also where the first has no losses, and where more lines are there than a chart has."""
    from ssl_zoo.using.report.sweep import _curves
    from tests.tables.rows import row

    rows = []
    for k in range(8):
        made = row(f"m{k // 2 if axes else k}", recipe_hash=str(k))
        rows.append(made | {"axes": axes, "config": made["config"] | {"lr": k % 2}})
        folder = tmp_path / f"run-{k}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(rows[k]))
        if k not in (0, 2):
            (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "train/total": k + s}) + "\n" for s in (1, 2)))
    source = str(_curves(tmp_path, told_apart(rows)[0]))
    assert f", the first 6 of {some}." in source
    keys = [re.findall(r"<li>.*?stroke=\"(.*?)\".*?<bdi>(.*?)</bdi>", chart) for chart in source.split("</figure>")[:2]]
    accuracy, loss = ({name: colour for colour, name in found} for found in keys)
    assert len(accuracy) == 6 == len({*accuracy.values()}) and len(loss) == 4 and loss.items() <= accuracy.items()


def test_images_of_a_class_are_shown_once_where_the_surest_are_the_least_sure():
    """Of two that are right; not where one is wrong, or where there are more."""
    from types import SimpleNamespace

    from ssl_zoo.using.report.gallery import _card

    def card(*given):
        n = len(given)
        confidence = np.linspace(0.9, 0.5, n)
        shown = np.zeros(n, int), np.array(given), confidence, confidence, None
        looked = evidence.Looked(*shown, (), lambda i: np.zeros((4, 4, 3), np.uint8), np.zeros(n, bool))
        return str(_card(SimpleNamespace(trained=SimpleNamespace(classes=("a", "b"))), looked, 0, n, given.count(0), 3))

    assert card(0, 0).count("<img") == 2 and "least sure" not in card(0, 0)
    assert card(0, 1).count("<img") == 3 and "least sure" in card(0, 1)
    assert card(0, 0, 0, 0).count("<img") == 6 and "surest, and right" in card(0, 0, 0, 0)


def test_a_sweep_says_what_is_best_and_lists_every_run(here, tmp_path):
    read, source, _ = shown(here / "sweep", tmp_path / "s.html")
    text = text_of(read)
    assert "the lowest error rate" in text and "meanteacher against labels alone: " in text and "points" in text
    assert source.count('<th scope="row">') == 2 + 4 and "2 labels" not in text.replace("20 labels", "")
    assert "Seed 0 with 20 labels, digits, smallnet" in text and source.count("<polyline") == 4
    assert "data:image" not in source.replace("img-src data:", "")


def test_without_its_images_a_page_is_made_and_says_so(here, tmp_path):
    shutil.copytree(here / "runs/meanteacher", tmp_path / "run")
    (tmp_path / "run/config.yaml").write_text(
        (tmp_path / "run/config.yaml").read_text().replace(str(here / "photos"), str(tmp_path / "gone"))
    )
    read, source, written = shown(tmp_path / "run", None)
    assert written.path == tmp_path / "run/report.html" and "data:image" not in source.replace("img-src data:", "")
    assert "No image is shown: " in text_of(read) and "gone" in written.missing[0] and "are not at hand" in text_of(read)
    assert "The expected calibration error was" in text_of(read) and "What is taken for what" in text_of(read)
    read, source, written = shown(tmp_path / "run", None, data_root=str(here / "photos"))
    assert written.missing == () and "data:image/png" in source


def test_images_that_are_others_now_are_not_shown(here, tmp_path):
    """But images without labels that were added change nothing of what is shown."""
    shutil.copytree(here / "photos", tmp_path / "photos")
    whole = shown(here / "runs/meanteacher", tmp_path / "r.html")[1]
    put(tmp_path / "photos/unlabeled", 9, 100)
    read, source, written = shown(here / "runs/meanteacher", tmp_path / "r.html", data_root=str(tmp_path / "photos"))
    assert source.count("<img") == whole.count("<img") and "The data have changed since it was trained" in text_of(read)
    (tmp_path / "photos/test/ant/0.jpg").unlink()
    _, source, written = shown(here / "runs/meanteacher", tmp_path / "r.html", data_root=str(tmp_path / "photos"))
    assert "<img" not in source and "the images of the data are others now than when it was trained" in written.missing[0]


def test_a_labelled_image_that_is_gone_is_said(here, tmp_path):
    shutil.copytree(here / "photos", tmp_path / "photos")
    (tmp_path / "photos/train/bee/3.png").unlink()
    read, source, written = shown(here / "runs/meanteacher", tmp_path / "r.html", data_root=str(tmp_path / "photos"))
    assert "Labels are not looked at: " in written.missing[1] and "'train/bee/3.png'" in written.missing[1]
    assert "<img" in source and "Labels are not looked at, as the labelled images are not at hand" in text_of(read)


def test_a_net_that_is_calibrated_says_so(here, tmp_path, monkeypatch):
    real = evidence.load

    def calibrated(*words):
        net = real(*words)
        net.about["calibration"] = {"temperature": 1.5, "images": 40}
        return net

    monkeypatch.setattr(evidence, "load", calibrated)
    read, _, _ = shown(here / "runs/meanteacher", tmp_path / "r.html")
    assert "The net is calibrated on 40 images: the net's outputs are divided by a temperature of 1.5" in text_of(read)


HOSTILE = ("<script>alert(1)", '"quo\'ted" onerror=x', "two\nlines", "a\u202etxet", "raw\udcff", "\u05d0\u05d1\u05d2", "n" * 120)


def test_names_of_classes_and_files_are_text(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "<b>data"
    for k, name in enumerate(HOSTILE):
        put(root / "train" / name, 2, 20 * k)
        put(root / "test" / name, 2, 20 * k)
    for k, name in enumerate(("<img src=x onerror=alert(1)>.png", "no\nline\udcff\u202e.png", "'\".png")):
        Image.fromarray(np.full((20, 20, 3), 80 * k, np.uint8)).save(root / "test" / HOSTILE[0] / name)
    run = train(root, tmp_path / "run", steps=2)
    read, source, _ = shown(run, None)
    assert "script" not in {tag for tag, _ in read.tags} and not [
        1 for _, given in read.tags if any(n.startswith("on") for n in given)
    ]
    assert {tag for tag, _ in read.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "main",
            "footer",
            "section",
            "h1",
            "h2",
            "h3",
            "h4",
            "p",
            "div",
            "span",
        ),
        *("b", "strong", "small", "bdi", "wbr", "code", "pre", "ul", "li", "dl", "dt", "dd", "details", "summary", "figure"),
        *("figcaption", "img", "table", "thead", "tbody", "tr", "th", "td"),
        *("svg", "desc", "line", "polyline", "circle", "rect", "text"),
    }
    assert not re.search("[\udc80-\udcff\u202e\u0000-\u0009\u000b-\u001f]", source)
    for name in HOSTILE[:6]:
        assert one_line(name) in text_of(read).replace("\n", " ")
    assert "<h1><bdi>meanteacher</bdi> on <bdi>&lt;b&gt;data</bdi></h1>" in source


def test_a_page_of_a_hundred_classes_stays_light(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (400, 96, 96, 3), dtype=np.uint8), np.arange(400) % 100
    settings = ssl_zoo.recipe("digits", labels="all", steps=1, **QUICK)
    ssl_zoo.run(settings, tmp_path / "run", data=(images[:200], labels[:200], images[200:], labels[200:]), quiet=True)
    data = ssl_zoo.data.arrays.as_dataset(images[:200], labels[:200], images[200:], labels[200:])
    monkeypatch.setattr(evidence, "load_data", lambda settings: data)
    real = evidence._look

    def sure(*words):
        """Half of the images are right, and the net is sure of all: as many pictures as can be."""
        looked = real(*words)
        given = np.where(np.arange(200) < 100, looked.labels, (looked.labels + 1) % 100)
        return looked._replace(predicted=given, confidence=np.full(200, 0.99), of_label=np.full(200, 0.01))

    monkeypatch.setattr(evidence, "_look", sure)
    read, source, written = shown(tmp_path / "run", None)
    assert written.size < 3e6 and source.count("<img") == 24 + 2 * 100 + 24 and "pairs that are confused most" in text_of(read)
    assert 'class="matrix"' not in source


def test_arrays_that_a_program_passed_and_images_of_two_channels(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 8, 8, 2), dtype=np.uint8), np.arange(40) % 2
    ssl_zoo.run(ssl_zoo.recipe("digits", labels="all", steps=1, **QUICK), tmp_path / "run", data=(images, labels), quiet=True)
    read, source, written = shown(tmp_path / "run", None)
    assert "what Python passes as data=" in written.missing[0] and "<img" not in source and "dataclasses.replace" in text_of(read)
    data = ssl_zoo.data.holdout.with_test_set(ssl_zoo.data.arrays.as_dataset(images, labels), 0.2)
    monkeypatch.setattr(evidence, "load_data", lambda settings: data)
    read, source, written = shown(tmp_path / "run", None)
    assert "The images have 2 channels and 8 x 8 pixels, which no picture shows" in text_of(read) and written.missing == ()


def test_nothing_is_fetched(here, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(evidence, "load_data", lambda settings: asked.append(settings) or here.nothing)
    settings = config.resolve({"dataset": "cifar10", "alg": "supervised"})
    monkeypatch.setattr(evidence, "settings_of", lambda folder: settings)
    with pytest.raises(AttributeError):
        evidence._data(folders_of(here / "runs/supervised")[0], None)
    assert settings.datasets["cifar10"]["download"] is True and asked[0].datasets["cifar10"]["download"] is False


def diverged(run):
    row = json.loads((run / "result.json").read_text())
    (run / "result.json").unlink()
    (run / "diverged.json").write_text(json.dumps({**row, "diverged": "the loss at step 3"}))


@pytest.mark.parametrize(
    ("break_it", "out", "message"),
    [
        (lambda run: (run / "result.json").unlink(), None, "is not finished; what began it resumes it"),
        (diverged, None, "diverged (the loss at step 3)"),
        (lambda run: (run / "model.safetensors").write_bytes(b"no"), None, "cannot be read as a model"),
        (lambda run: shutil.rmtree(run), None, "run' is not there; give the folder of a run or of a sweep"),
        (lambda run: [shutil.rmtree(run), run.write_text("")], None, "run' is a file; give the folder of a run"),
        (lambda run: [shutil.rmtree(run), run.mkdir()], None, "holds no finished run"),
        (lambda run: None, ".", "is a folder; give a file's name"),
        (lambda run: None, "no/where.html", "lies in no folder; give a file's name"),
        (lambda run: None, "report.pdf", "does not end in .html, and a report is a page of HTML"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(here, tmp_path, break_it, out, message):
    run = tmp_path / "run"
    shutil.copytree(here / "runs/supervised", run)
    break_it(run)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        write_report(run, None if out is None else tmp_path / out)
    assert message in str(caught.value) and "\n" not in str(caught.value) and sorted(tmp_path.rglob("*")) == before


def test_a_fold_that_is_missing_or_not_finished_is_named(here, tmp_path):
    shutil.copytree(here / "folds", tmp_path / "folds")
    (tmp_path / "folds/fold-1/result.json").unlink()
    with pytest.raises(InputError, match=r"fold-1 is not finished"):
        write_report(tmp_path / "folds")
    shutil.rmtree(tmp_path / "folds/fold-0")
    with pytest.raises(InputError, match=r"fold 0 of 2 is missing in .*folds; the command that made the others makes it"):
        write_report(tmp_path / "folds")


def test_a_page_is_replaced_as_a_whole(here, tmp_path, monkeypatch):
    out = tmp_path / "r.html"
    out.write_text("before")
    monkeypatch.setattr(page, "page", lambda title, body: sys.exit("killed"))
    with pytest.raises(SystemExit):
        write_report(here / "sweep", out)
    assert out.read_text() == "before" and [*tmp_path.iterdir()] == [out]


def test_a_line_of_metrics_that_was_cut_short_and_a_file_that_is_gone(here, tmp_path):
    shutil.copytree(here / "runs/meanteacher", tmp_path / "run")
    metrics = Path(tmp_path / "run/metrics.jsonl")
    whole = shown(tmp_path / "run", None)[1]
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 12, "train/to\xff\n[1]\n')
    assert shown(tmp_path / "run", None)[1] == whole
    metrics.unlink()
    read, source, _ = shown(tmp_path / "run", None)
    assert "Of its losses there is no record" in text_of(read) and source.count("<polyline") < whole.count("<polyline")
