import csv
import io

import yaml

from ssl_zoo.tables import published, render
from ssl_zoo.tables.table import make_tables
from tests.tables.rows import row


def test_published_numbers_stand_apart_with_protocol_and_source():
    rows = [row(dataset="cifar10", labels=4000, net="wrn28_2", config=row()["config"] | {"net": "wrn28_2"})]
    (made,), _ = make_tables(rows, published=True)
    (bare,), _ = make_tables(rows)
    assert not bare.published and made.published and all(number.labels == "4000" for number in made.published)
    known = yaml.safe_load(published.PUBLISHED.read_text())
    unusable = [e for e in known if not e.get("usable", True)]
    assert unusable and all("zero consistency" in e["note"] or e["note"] for e in unusable)
    for entry in unusable:
        net = {v: k for k, v in published.SHORT.items()}.get(entry["net"], "")
        shown = published.read_published(entry["dataset"], net, [entry["labels"]])
        same = [p for p in shown if p.source == entry["source"] and p.method == entry["algorithm"]]
        assert all(p.error.mean != entry["error_mean"] for p in same)
    for render_as in render.FORMATS.values():
        text = render_as([made], False)
        assert "arXiv" in text and "best on test" in text
    lines = list(csv.DictReader(io.StringIO(render.as_csv([made], False))))
    papers = [line for line in lines if line["published"]]
    assert papers and all(line["commit"] == line["device"] == line["steps"] == "" and line["net"] == "wrn28_2" for line in papers)
    assert {line["n"] for line in papers} == {str(number.n or "") for number in made.published}
    _, said = make_tables([row()], published=True)
    assert said == ["no published number is known for d with n and these methods and numbers of labels"]


def test_what_was_not_read_in_a_source_is_not_shown(tmp_path, monkeypatch):
    entry = {"dataset": "svhn", "labels": 40, "algorithm": "m", "net": "wrn-28-2", "error_mean": 9, "error_std": 2, "source": "S"}
    known = [
        {**entry, "verified": False},
        {**entry, "verified": True, "usable": False, "note": "x"},
        {**entry, "verified": True, "std_verified": False, "unlabeled": "train+extra", "net_note": "inferred", "steps": 20000},
        {**entry, "verified": True, "std_verified": False, "unlabeled": "train+extra", "net_note": "inferred", "steps": 20000},
    ]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(known))
    monkeypatch.setattr(published, "PUBLISHED", tmp_path / "p.yaml")
    found = published.read_published("svhn", "wrn28_2", [40])
    assert [str(number.error) for number in found] == ["9.0", "9.0"]
    assert found[0].protocol == "wrn-28-2, inferred, evaluation not said, 20,000 steps, unlabelled: train+extra"
    (made,), _ = make_tables([row("m", dataset="svhn", net="wrn28_2", labels=40)], published=True)
    assert len(made.published_rows()) == 2, "none hides the other"


def test_our_copy_of_published_numbers_is_whole():
    """Every field that the sources' notes need is there."""
    known = yaml.safe_load(published.PUBLISHED.read_text())
    fields = {name for entry in known for name in entry}
    assert {"std_verified", "net_note", "unlabeled", "steps", "kind", "seen_ref", "usable", "metric", "verified"} <= fields
    assert len(known) == 622 and sum(not entry.get("usable", True) for entry in known) == 9
