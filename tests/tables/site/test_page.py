"""The page says what the tables say, and nobody's text gets out of its place."""

import json
import re
from pathlib import Path

import pytest

from ssl_zoo.runs.row import read_rows
from ssl_zoo.tables import render
from ssl_zoo.tables.site.page import NO_RESULT, protocol, site
from ssl_zoo.tables.site.sources import read_sources
from ssl_zoo.tables.table import make_tables
from tests.pages.test_markup import HOSTILE, Read
from tests.tables.rows import ROWS, lost, row

RESULTS = Path(__file__).parents[3] / "benchmarks/results"


def page_of(tmp_path, *rows, published=False, name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return site(*read_sources([path], published))


def lines(text):
    """The lines of the tables of results, without those of the oracle: by method and labels, the texts of the cells."""
    found = {}
    for part in re.findall(r"<tr[^>]* data-labels=.*?</tr>", re.sub(r'<div class="oracle">.*?</table></div></div>', "", text)):
        cells = [Read(cell).text.replace("\xa0", " ") for cell in re.findall(r"<(?:td|th)[ >].*?</(?:td|th)>", part)]
        found[cells[0], cells[1]] = cells[2:]
    return found


@pytest.mark.parametrize("name", ["digits", "digits-labels", "cifar10-jpeg", "digits-fp32"])
def test_numbers_and_captions_are_those_of_the_table(name):
    """Every number of every cell of the Markdown table, and every line below it."""
    path = RESULTS / f"{name}.jsonl"
    (made,), _ = make_tables(read_rows([path]))
    text = site(*read_sources([path], False))
    shown, table = lines(text), render.markdown([made], False).splitlines()
    labels = [head.strip().removesuffix(" labels") for head in table[0].strip("|").split("|")[1:]]
    count = 0
    for line in table[2 : table.index("")]:
        method, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for number, cell in zip(labels, cells, strict=True):
            if cell:
                count += 1
                error, median, *gain = cell.replace("**", "").split("<br>")
                ours = shown[method, number]
                points = [one.replace(" points", "") for one in gain]
                assert [ours[0], f"median {ours[1]}, {ours[2]}", *filter(None, [ours[3]])] == [error, median, *points]
    assert count == len(shown) > 3
    plain = Read(text).text.replace("\xa0", " ")
    assert all(line in plain for line in made.caption) and path.as_posix() in plain


def test_balanced_accuracy_runs_that_diverged_and_costs(tmp_path):
    uneven = [row(seed=s, accuracy=0.95, balanced_accuracy=0.5 + 0.1 * s, confusion=[[19, 0], [1, 0]]) for s in range(2)]
    shown = lines(page_of(tmp_path, *uneven, lost("x", 0)))
    assert shown["supervised", "20"] == ["5.0 ± 0.0", "5.0", "55.0 ± 7.1", "n = 2", "", "5", "100", "1.0"]
    assert shown["x", "20"] == ["", "", "", "n = 0, 1 diverged", "", "", "", ""]


def test_the_best_score_on_the_test_set_is_apart_and_named(tmp_path):
    text = page_of(tmp_path, *(row(seed=s, accuracy_oracle=0.98) for s in range(2)))
    apart = re.search(r'<div class="oracle">.*?</table></div></div>', text)[0]
    assert "2.0 ± 0.0" in apart and apart.count(NO_RESULT) == 2 and "2.0 ± 0.0" not in text.replace(apart, "")
    assert ".oracle { display: none }" in text, "unless the switch is on"


def test_published_numbers_are_marked_as_not_ours(tmp_path):
    rows = [row(dataset="cifar10", net="wrn28_2", labels=4000, seed=s) for s in range(2)]
    text = page_of(tmp_path, *rows, published=True)
    papers = [(method, cells) for (method, _), cells in lines(text).items() if method != "supervised"]
    assert papers and all(method.startswith("supervisedpublished, not ours: ") for method, _ in papers)
    assert text.count('class="published"') >= len(papers) and "arXiv" in papers[0][0]
    assert "not ours" not in page_of(tmp_path, *rows)


def test_what_must_be_the_same_is_the_protocol():
    assert protocol([row()], 5).startswith("5 steps; the last evaluation on test images; fp32; recipe ")
    more = row(scored="held-out", selection="validation")
    more["config"] = more["config"] | {"draw": "equal", "evaluation": {"net": "student"}}
    said = "best on held-out images on labelled images held out for it; the student scored; labels drawn equal; fp32"
    assert said in protocol([more], 5) and protocol([row()], 5) != protocol([row()], 6)


def test_variants_are_lines_of_their_own(tmp_path):
    rows = []
    for seed in (0, 1):
        for lr in (0.1, 0.2):
            one = row("m", seed, 0.5 + lr, axes=["optimizer.lr"])
            rows.append({**one, "config": one["config"] | {"optimizer": {"lr": lr}}})
    found = lines(page_of(tmp_path, *rows))
    assert {key: cells[0] for key, cells in found.items()} == {
        ("m, lr 0.1", "20"): "40.0 ± 0.0",
        ("m, lr 0.2", "20"): "30.0 ± 0.0",
    }
    more = row(axes=["steps"]) | {"variant": {"steps": 5}}
    assert protocol([more], 5).startswith("steps varied; the last evaluation")


def test_machines_that_differ_are_named(tmp_path):
    assert "Seconds are of 2 machines" not in Read(page_of(tmp_path, *ROWS)).text
    text = Read(page_of(tmp_path, *ROWS, row(net="other", device="a <big> one"))).text
    assert "Seconds are of 2 machines, and compare within a table alone: cpu; a <big> one." in text


def test_every_link_leads_somewhere_on_the_page(tmp_path):
    found = Read(page_of(tmp_path, *ROWS, row(labels="all"), row(net="m"), lost("x", 0)))
    ids = [given["id"] for _, given in found.tags if "id" in given]
    links = [given["href"] for tag, given in found.tags if tag == "a"]
    assert len({*ids}) == len(ids) and len(links) == 6 and all(link[0] == "#" and link[1:] in ids for link in links)


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "footer", "script", "h1", "h2", "h3", "h4", "p", "ul", "li", "a"),
    *("bdi", "div", "label", "span", "select", "input", "section", "table", "thead", "tbody", "tr", "th", "td", "small", "pre"),
    *("details", "summary", "dl", "dt", "dd"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "href", "id", "class", "type", "autocomplete", "accept", "multiple"),
    *("hidden", "role", "tabindex", "aria-label", "scope", "title", "data-value", "data-labels", "data-dataset", "data-net"),
    "data-protocol",
}


def hostile(text, seed):
    """A row of which every text that can be any is this one."""
    everywhere = ("net", "dataset", "device", "commit", "plugins", "precision", "data_hash", "code", "source")
    made = row(text, seed, **dict.fromkeys(everywhere, text), split_hash=f"{text}{seed}")
    made |= {"classes": [text, text], "warnings": [text], "history": [{"device": text}]}
    made["versions"] = dict.fromkeys(("ssl_zoo", "torch", "python", text), text)
    made["config"] = made["config"] | {"draw": text, "data_root": f"/{text}", text: text, "nested": {text: [text]}}
    return made


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_rows_are_text_in_every_place(tmp_path, text):
    made = page_of(tmp_path, *(hostile(text, s) for s in range(2)), lost(text, 3), name="a<b>&'\".jsonl")
    found = Read(made)
    assert {tag for tag, _ in found.tags} <= TAGS and {name for _, given in found.tags for name in given} <= ATTRIBUTES
    assert sum(tag == "script" for tag, _ in found.tags) == 1 and made.encode() and "a<b>&'\".jsonl" in found.text
    assert all(given["href"][0] == "#" for tag, given in found.tags if tag == "a")


def test_a_page_is_small_and_needs_nothing(tmp_path):
    """All that is committed, and a thousand runs: less than a kilobyte a run."""
    sources, passed = read_sources(sorted(RESULTS.glob("*.json*")), True)
    made, runs = site(sources, passed), sum(len(source.found.rows) for source in sources)
    assert runs > 690 and len(made.encode()) < 700 * runs and not re.search(r"https?:|src=|@import|url\(", made)
    grid = [(alg, labels, seed) for alg in ("supervised", *"abc") for labels in range(10, 60) for seed in range(5)]
    rows = [row(alg, seed, 0.5, labels=labels, split_hash=f"h{seed}-{labels}" * 4) for alg, labels, seed in grid]
    assert len(rows) == 1000 and len(page_of(tmp_path, *rows).encode()) < 1_000_000


def test_only_what_is_wrong_is_a_warning(tmp_path):
    """That no paper has a number is none; that runs are left out is one."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (*ROWS, row(seed=5, precision="bf16"))))
    page = str(site(*read_sources([path], published=True)))
    warned, soft = (re.search(f'<ul class="{kind}">(.*?)</ul>', page)[1] for kind in ("warn", "soft"))
    assert warned.count("<li") == 1 and "left out: other than" in warned
    assert soft.count("<li") == 1 and "no published number is known for d with n" in soft
