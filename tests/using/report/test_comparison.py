"""What labels alone are worth, beside a run: which run is compared, and what is said where there is none."""

import json
import re
import shutil

import pytest

from ssl_zoo.__main__ import main
from ssl_zoo.runs.model import read_model, write_again
from ssl_zoo.runs.row import uses_labels_alone
from ssl_zoo.using.report.comparison import beside, labels_alone
from ssl_zoo.using.report.evidence import folders_of, read_run
from tests.using.trained import photos, put, train

ON_PIXELS = {name: {f"algorithms.{name}.features": "pixels"} for name in ("labelspreading", "probe")}
UNKNOWN = "How much of that is owed to images without labels is not known yet."


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs on one folder of photos, alone or from one another, and one on another data set."""
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        put(photos(top / "photos") / "unlabeled", 6, 90)
        put(photos(top / "fewer") / "unlabeled", 3, 90)
        for alg in ("supervised", "labelspreading", "probe"):
            train(top / "photos", top / "runs" / alg, alg=alg, **ON_PIXELS.get(alg, {}))
        for alg, root in (("meanteacher", "photos"), ("meanteacher", "fewer")):
            train(top / root, top / "before" / f"{alg}-{root}", alg=alg)
        for name, first in FROM.items():
            train(top / "photos", top / "from" / name / "run", alg="meanteacher", initial=str(top / first))
        train(top / "photos", top / "from/labels/supervised", alg="supervised", initial=str(top / FROM["labels"]))
        train(top / "photos", top / "from/same/supervised", alg="supervised", initial=str(top / FROM["same"]))
        train(top / "photos", top / "from/chain/run", alg="meanteacher", initial=str(top / "from/labels/run"))
    return top


FROM = {"labels": "runs/supervised", "same": "before/meanteacher-photos", "others": "before/meanteacher-fewer"}


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.setenv("SSL_ZOO_CACHE", str(made / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return made


def run_of(path):
    return read_run(folders_of(path), path, "cpu", None, lambda items, count, what: items)


def said(path, alone=False):
    """The text of the part about labels alone; as if there were no run to compare with, where it is alone."""
    run = run_of(path)
    text = re.sub(r"<[^>]+>", " ", str(beside(run, None if alone else labels_alone(run))))
    return " ".join(text.replace("\xa0", " ").replace("&nbsp;", " ").replace("&#x27;", "'").split())


def test_a_baseline_is_compared_with_labels_alone_though_it_makes_no_steps(here):
    row, other = (json.loads((here / f"runs/{alg}/result.json").read_text()) for alg in ("labelspreading", "supervised"))
    assert row["steps"] == 0 < other["steps"]
    found = labels_alone(run_of(here / "runs/labelspreading"))
    assert found is not None and found["algorithm"] == "supervised" and found["accuracy"] == other["accuracy"]
    assert "labels alone (supervised) have an accuracy of" in said(here / "runs/labelspreading")


def test_a_baseline_may_have_other_threads_and_evaluations(here, tmp_path):
    for alg in ("labelspreading", "supervised"):
        shutil.copytree(here / "runs" / alg, tmp_path / alg)
    file = tmp_path / "supervised/result.json"
    row = json.loads(file.read_text())
    row["config"]["evaluation"]["every"] = 7
    file.write_text(json.dumps({**row, "device": f"{row['device']} and another thread"}))
    assert labels_alone(run_of(tmp_path / "labelspreading")) is not None
    row["config"]["optimizer"]["lr"] *= 2
    file.write_text(json.dumps(row))
    assert labels_alone(run_of(tmp_path / "labelspreading")) is None, "of another setting"


def test_a_method_that_uses_no_images_without_labels_is_not_asked_what_they_are_worth(here):
    text = said(here / "runs/probe")
    assert text.startswith("This net learnt from labels alone.") and "owed to images without labels" not in text
    assert "--algs supervised,meanteacher" in text and labels_alone(run_of(here / "runs/probe")) is None
    assert uses_labels_alone({"algorithm": "finetune", "batch_unlabeled": None}) and uses_labels_alone(
        {"algorithm": "supervised"}
    )
    assert not uses_labels_alone({"algorithm": "meanteacher", "batch_unlabeled": 4})
    assert not uses_labels_alone({"algorithm": "labelspreading"}), "without steps, and so without a batch"


def test_a_run_from_a_net_of_labels_alone_is_compared_from_that_net(here):
    run = here / "from/labels/run"
    text = said(run, alone=True)
    assert text.startswith(f"{UNKNOWN} It begins from a net that supervised had trained, which uses no images without labels.")
    assert f"--set initial={run}/initial.safetensors --out {run}-compared" in text and "initial=null" not in text
    text = said(run)
    assert "labels alone (supervised) have an accuracy of" in text and "what they add to that net" not in text


def test_a_run_from_a_net_that_had_learnt_from_these_images_is_compared_from_the_start(here):
    run = here / "from/same/run"
    text = said(run, alone=True)
    assert "a net that meanteacher had trained with the same images without labels" in text
    assert text.count("ssl-zoo sweep") == 1 and f"--set initial=null --out {run}-compared" in text
    text = said(run)
    assert "labels alone (supervised) have an accuracy of" in text, "from the same net"
    assert "the same images without labels. So the difference is only what they add to that net." in text


@pytest.mark.parametrize(("name", "why"), [("others", "some of these may be the same"), ("chain", "beginning from another net")])
def test_where_it_is_not_known_what_a_net_had_learnt_from_both_ways_are_shown(here, name, why):
    text = said(here / f"from/{name}/run")
    assert why in text and "If it had learnt from none of these images without labels: Labels alone, from the same net:" in text
    assert text.count("ssl-zoo sweep") == 2 and "/initial.safetensors --out" in text and "--set initial=null --out" in text


def test_a_net_of_another_data_set_had_learnt_from_none_of_these_images(here, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(here / "from/others/run", run)
    model = read_model(run / "initial.safetensors")
    model.about["row"]["dataset"] = "cifar10"
    write_again(run / "initial.safetensors", model)
    text = said(run)
    assert "a net that meanteacher had trained on other data (cifar10). Labels alone, from the same net:" in text
    assert "initial=null" not in text


def test_the_commands_can_be_given_as_they_stand(here, capsys):
    """From the same net, with the copy in the run's folder; and without it."""
    page = said(here / "from/others/run")
    found = re.findall(r"ssl-zoo (sweep .*?--out \S+)", page)
    for words in found:
        assert main([*words.split(), "--dry-run"]) == 0, capsys.readouterr().err
    assert len(found) == 2
