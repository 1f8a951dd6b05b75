"""BibTeX of a table: all that it names, each once, and nothing else."""

import json
import re

import pytest
import yaml

import ssl_zoo
from ssl_zoo.cli import table
from ssl_zoo.registry import ALGORITHMS, DATASETS, NETS
from ssl_zoo.tables.citations import CITATIONS, citations
from tests.tables.rows import row
from tests.test_documents import PAGES, ROOT

KNOWN = yaml.safe_load(CITATIONS.read_text())


def keys(text):
    return re.findall(r"^@\w+\{(.*),$", text, re.MULTILINE)


def test_what_a_table_names_is_cited_once():
    rows = [row(alg, seed, net="wrn28_2", dataset="cifar10") for alg in ("supervised", "pimodel", "tempens") for seed in (0, 1)]
    wanted = ["ssl_zoo", "laine2017temporal", "sajjadi2016regularization", "zagoruyko2016wide", "krizhevsky2009learning"]
    assert keys(citations(rows)) == wanted and "% no entry" not in citations(rows)
    assert "note = {commit abc}" in citations(rows)
    assert keys(citations([row(net="smallnet", dataset="folder")])) == ["ssl_zoo"]


def test_what_is_not_known_is_said():
    text = citations([row("mine\nx", net="my_net", dataset="digits")])
    assert "% no entry is known for the algorithm mine x: cite what its author names\n" in text
    assert text.endswith("% no entry is known for the net my_net: cite what its author names")


def test_every_part_of_ours_is_cited_or_of_no_paper():
    for registry, section in ((ALGORITHMS, "algorithms"), (NETS, "nets"), (DATASETS, "datasets")):
        for entry in registry.entries():
            if entry.origin == "ssl_zoo":
                name = re.sub(r"\{\w+\}", "{}", entry.name)
                assert (name in KNOWN["of"][section]) != (name in KNOWN["of"]["none"]), name


@pytest.mark.parametrize(
    ("net", "key"),
    [
        ("timm:vit_tiny_patch16_224.augreg_in21k", "wightman2019timm"),
        ("torchvision:mobilenet_v3_small", "torchvision2016"),
        ("wrn28_2", "zagoruyko2016wide"),
        ("resnet18", "he2016deep"),
    ],
)
def test_a_net_of_a_family_is_cited(net, key):
    text = citations([row(net=net, dataset="folder")])
    assert keys(text) == ["ssl_zoo", key] and "% no entry" not in text


def test_of_rows_of_two_versions_both_are_named_and_nothing_of_a_row_is_markup():
    one = row(versions={**row()["versions"], "ssl_zoo": "1.0_}x"}, commit="a{b\\c%")
    text = citations([row(), one])
    assert "version = {0, 1.0x}," in text and "note = {commit abc, abc}" in text


def test_what_is_left_out_of_a_table_is_not_cited(tmp_path, capsys):
    rows = [row("pimodel", seed) for seed in (0, 1)] + [row("vat", steps=7, config=row("vat")["config"] | {"steps": 7})]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert table.main([str(tmp_path / "rows.jsonl"), "--cite"]) == 0
    made = capsys.readouterr()
    assert "laine2017temporal" in made.out and "miyato2018virtual" not in made.out and "vat with 20 labels" in made.err


def test_every_entry_is_used_and_whole():
    used = {key for section in ("algorithms", "nets", "datasets") for found in KNOWN["of"][section].values() for key in found}
    assert used == {*KNOWN["entries"]}
    for key, text in KNOWN["entries"].items():
        assert keys(text) == [key] and text.count("{") == text.count("}") and text.endswith("}\n")
        assert all(f"  {field} = {{" in text for field in ("title", "author", "year"))
    named = "".join(path.read_text() for path in (ROOT / "ssl_zoo").rglob("*.py"))
    papers = {number for text in KNOWN["entries"].values() for number in re.findall(r"arXiv:([\d.]+)", text)}
    assert {number for number in papers if number not in named} <= {"1708.07747"}, "a method's file names its paper too"


def test_ours_is_that_of_the_readme():
    (shown,) = re.findall(r"```bibtex\n(.*?)```", PAGES["README.md"], re.DOTALL)
    made = citations([row(versions={"ssl_zoo": ssl_zoo.__version__})])
    assert [line for line in shown.splitlines() if line not in made and line.rstrip(",") + "," not in made] == []


def test_the_command(tmp_path, capsys):
    rows = str(ROOT / "benchmarks/results/digits.jsonl")
    assert table.main([rows, "--cite"]) == 0
    assert "tarvainen2017mean" in (shown := capsys.readouterr().out) and "alpaydin1998optical" in shown
    assert table.main([rows, "--cite", "--out", str(tmp_path / "a.bib")]) == 0
    assert (tmp_path / "a.bib").read_text() == shown
    assert table.main([rows, "--cite", "--format", "csv"]) == 2
    assert "--cite gives BibTeX and no table; leave out --into and --format" in capsys.readouterr().err
