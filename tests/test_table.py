import csv
import io
import itertools
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import yaml

from benchmarks import render, table
from ssl_zoo import InputError, results

ROOT = Path(__file__).parent.parent


def row(alg="supervised", seed=0, accuracy=0.8, **more):
    config = {"alg": alg, "net": "n", "steps": 5, "labels": 20, "seed": seed, "algorithms": {alg: {}}, "optimizer": {"lr": 0.1}}
    scores = ("accuracy", "accuracy_student", "accuracy_median", "accuracy_oracle", "balanced_accuracy", "macro_f1")
    base = dict.fromkeys(scores, accuracy) | {
        "algorithm": alg,
        "net": "n",
        "dataset": "d",
        "labels": 20,
        "seed": seed,
        "split_seed": seed,
        "split_hash": f"h{seed}",
        "data_hash": "d",
        "steps": 5,
        "accuracy_median_of": 1,
        "error_rate": 1 - accuracy,
        "evaluations": [{"step": 5, "accuracy": accuracy}],
        "confusion": [[1, 2], [3, 4]],
        "precision": "fp32",
        "images_seen": 100,
        "images_per_second": 10.0,
        "seconds": 1,
        "device": "cpu",
        "versions": {"ssl_zoo": "0", "torch": "2", "python": "3"},
        "commit": "abc",
        "config": config,
    }
    return base | more


def cells(rows):
    """The cells of the only table, and what was said."""
    (made,), said = table.make_tables(rows)
    return made.cells, said


def test_numbers_done_by_hand():
    rows = [row(seed=0, accuracy=0.7), row(seed=1, accuracy=0.8), row("x", 0, 0.8), row("x", 1, 0.96)]
    made, said = cells(rows)
    one, two = made["supervised"]["20"], made["x"]["20"]
    assert list(made) == ["supervised", "x"] and not said and one.gain is None
    assert str(one.error) == "25.0 ± 7.1" and str(two.error) == "12.0 ± 11.3" and (one.n, two.n) == (2, 2)
    # differences 10 and 16: mean 13, s = 4.243, t(.975, 1) = 12.706, half = 38.1
    assert two.gain.shown(2) == "+13.0 (-25.1 to +51.1) points"
    assert two.curve == [(5, pytest.approx(88.0), pytest.approx(11.3137, abs=1e-3))]


def test_median_student_and_oracle_stand_beside_the_last():
    given = {"accuracy_median": 0.7, "accuracy_student": 0.6, "accuracy_oracle": 0.9}
    made, _ = cells([row(**given)])
    assert [str(part) for part in made["supervised"]["20"][1:5]] == ["20.0", "30.0", "40.0", "10.0"]


def test_differences_are_paired_and_say_of_how_many_pairs():
    rows = [row(seed=s, accuracy=0.7 + s / 100) for s in range(2)] + [row("x", s, 0.9 + s / 100) for s in range(3)]
    (made,), said = table.make_tables(rows)
    cell = made.cells["x"]["20"]
    assert cell.n == 3 and cell.gain.n == 2 and not said
    assert cell.gain.shown(3) == "+20.0 (+20.0 to +20.0) points, 2 pairs" and cell.gain.shown(2).endswith(" points")
    assert "without a pair, some runs of: x." in made.caption[-1]
    (alone,), _ = table.make_tables([row("x", 0), row("x", 1)])
    assert alone.cells["x"]["20"].gain is None and "without a pair, some runs of: x." in alone.caption[-1]
    (whole,), _ = table.make_tables([row(), row("x")])
    assert "without a pair" not in "".join(whole.caption)


def test_one_label_split_a_seed():
    """A run on another split is not averaged with the others, and is named."""
    rows = [row(seed=0, accuracy=0.7), row("y", 0, 0.8), row("x", 0, 0.8, split_hash="other")]
    made, (said,) = cells(rows)
    assert (
        list(made) == ["supervised", "y"]
        and "x with 20 labels and seed 0 is left out" in said
        and "split_hash (other, h0)" in said
    )


def test_code_is_told_by_the_sources_where_they_are_known():
    same = [row(seed=0, commit="a", source="s"), row(seed=1, commit="b-dirty", source="s")]
    made, said = cells(same)
    assert made["supervised"]["20"].n == 2 and not said
    assert "commit a, b-dirty" in table.caption(same, [])[0]
    for other in (
        {"source": "t"},
        {"code": "t"},
        {"versions": {"ssl_zoo": "1", "torch": "2", "python": "3"}},
        {"history": [{}, {}]},
    ):
        made, (said,) = cells([*same, row(seed=2, source="s") | other])
        assert (
            made["supervised"]["20"].n == 2 and {"versions": "ssl_zoo (1, 0)"}.get(next(iter(other)), next(iter(other))) in said
        )


def test_the_caption_says_when_splits_were_shared_and_who_was_warned():
    one_each = table.caption([row(seed=0), row(seed=1)], [])
    shared = table.caption([row(seed=0), row(seed=1, split_hash="h0", split_seed=0)], [])
    assert "each with a label split of its own" in one_each[0] and "over 1 label splits" in shared[0]
    assert "10 test images" in one_each[0] and "seeds 0, 1" in one_each[0] and len(one_each) == 1
    assert "supervised with seed 3" in table.caption([row(seed=3, warnings=["x"])], [])[-1]


def test_numbers_of_labels_are_columns_and_all_comes_last():
    (made,), _ = table.make_tables([row(labels="all", seed=0, accuracy=0.1), row(seed=0), row("x", labels=100, seed=0)])
    assert made.labels == ["20", "100", "all"] and list(made.cells["supervised"]) == ["20", "all"]


def test_each_net_has_a_table():
    other = row()["config"] | {"net": "m"}
    tables, said = table.make_tables([row(), row(net="m", config=other)])
    assert [t.title for t in tables] == ["d, n, 5 steps", "d, m, 5 steps"] and not said


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"config": row()["config"] | {"optimizer": {"lr": 0.2}}}, r"setting optimizer.lr \(0.2, 0.1\)"),
        ({"commit": "def"}, r"commit \(def, abc\)"),
        ({"data_hash": "x"}, "data_hash"),
        ({"config": row()["config"] | {"algorithms": {"supervised": {"a": 1}}}}, r"option supervised.a \(1, none\)"),
        ({"plugins": "net n: my_net.py 123"}, "plugins"),
        ({"plugins": "algorithm supervised: my.py 123"}, "plugins"),
        ({"seed": 0}, "is there twice; the first is shown"),
    ],
)
def test_runs_that_differ_are_named_and_never_averaged(other, message):
    odd = row(seed=2, accuracy=0.0) | other
    odd["split_hash"] = f"h{odd['seed']}"
    made, said = cells([row(seed=0), row(seed=1), odd])
    (line,) = said
    assert re.search(message, line) and f"supervised with 20 labels and seed {odd['seed']}" in line
    assert made["supervised"]["20"].n == 2 and str(made["supervised"]["20"].error) == "20.0 ± 0.0"
    (partial,), _ = table.make_tables([row(seed=0), row(seed=1), odd])
    assert re.search(r"Partial: 1 run (left out, other in .+|there twice)\.", partial.caption[-1])


def test_what_cannot_be_read_is_named_and_the_rest_is_used(tmp_path, capsys):
    for name, text in {"a": json.dumps(row()), "b": json.dumps(row(seed=1))[:100], "c": "{}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    assert table.main([str(tmp_path)]) == 0
    out, error = capsys.readouterr()
    assert "n = 1" in out and "Partial: 2 results could not be read." in out
    assert "b/result.json is not JSON" in error and "c/result.json is not the row of a run: it lacks" in error
    assert len(error.splitlines()) == 2
    (tmp_path / "a/result.json").write_text("")
    assert table.main([str(tmp_path)]) == 2 and "a/result.json is not JSON" in capsys.readouterr().err


ROWS = [row(seed=s, accuracy=0.7 + 0.01 * s) for s in range(2)] + [
    row("my_method", s, 0.9, accuracy_oracle=0.99) for s in range(2)
]


def test_markdown(capsys):
    (made,), _ = table.make_tables(ROWS)
    lines = render.markdown([made], oracle=False).splitlines()
    assert lines[0] == "| error rate, % | 20 labels |" and lines[2] == "| supervised | **29.5 ± 0.7**<br>median 29.5, n = 2 |"
    assert lines[3].startswith("| my_method | **10.0 ± 0.0**<br>median 10.0, n = 2<br>+19.5 (") and "oracle" not in "".join(lines)
    assert "oracle 1.0 ± 0.0, not a result" in render.markdown([made], oracle=True)


def lost(alg, seed, **more):
    """The row of a run that diverged."""
    kept = {name: value for name, value in row(alg, seed).items() if name in results.OF_LOST}
    return kept | {"diverged": "the loss is not finite"} | more


def test_runs_that_diverged_are_counted_and_in_no_mean(tmp_path, capsys):
    gone = [
        lost("my_method", 2),
        lost("other", 0),
        lost("other", 1),
        lost("my_method", 1),
    ]  # the last: a finished one has its place
    (made,), said = table.make_tables(ROWS, lost=gone)
    assert not said and made.lost == {("my_method", "20"): 1, ("other", "20"): 2}
    assert made.cells["my_method"] == table.make_tables(ROWS)[0][0].cells["my_method"]
    lines = render.markdown([made], oracle=False).splitlines()
    assert "median 10.0, n = 2, 1 diverged<br>" in lines[3] and lines[4] == "| other | n = 0, 2 diverged |"
    flatters = (
        "Diverged, and so in no mean, which flatters what is left: my_method with 20 labels (seed 2), other with 20 labels "
    )
    assert f"{flatters}(seeds 0, 1)." in lines
    found = list(csv.DictReader(io.StringIO(render.as_csv([made], oracle=False))))
    assert [(line["method"], line["n"], line["diverged"]) for line in found] == [
        *(("supervised", "2", "0"), ("my_method", "2", "1"), ("other", "0", "2"))
    ]
    assert r"\quad\small diverged & \small 2 \\" in render.latex([made], oracle=False)
    assert "<small>n = 0, 2 diverged</small>" in render.page([made], oracle=False)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (*ROWS, *gone)))
    assert table.main([str(path), "--jsonl", str(tmp_path / "again.jsonl")]) == 0 and "1 diverged" in capsys.readouterr().out
    again = results.read_sound_rows([tmp_path / "again.jsonl"])
    assert (len(again.rows), len(again.lost)) == (4, 4) and again.lost == gone


def test_a_run_that_diverged_with_other_settings_is_not_counted():
    other = {**row()["config"], "optimizer": {"lr": 9}}
    odd = [lost("x", 0, config=other), lost("x", 0, net="big"), lost("x", 1, split_hash="other")]
    (made,), said = table.make_tables(ROWS, lost=odd)
    assert made.lost == {} and "x" not in made.cells and len(said) == 3
    assert said[0] == "no table for d with big: 1 run, all diverged"
    assert all(f"x with 20 labels and seed {k}, which diverged, is left out" in said[1 + k] for k in range(2))
    assert made.caption[-1] == "Partial: 2 runs that diverged left out, other in settings, data, labels or code."


@pytest.mark.parametrize("change", [{"diverged": 3}, {"steps": 0}, {"config": None}])
def test_what_is_no_row_of_a_run_that_diverged_is_refused(change, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(lost("x", 0, **change)))
    with pytest.raises(InputError, match="is not the row of a run"):
        results.read_all_rows([path])


@pytest.mark.parametrize("name", ["a|b", "a\nb", "<img src=x onerror=alert(1)>", "\\input{/etc/passwd}", "~^&%$#_{}"])
def test_names_stay_in_their_places(name):
    made, _ = table.make_tables([row(name, s, dataset=name, net=name, device=name) for s in range(2)])
    markdown = render.markdown(made, True)
    assert all(line.replace("\\|", "").count("|") == 3 for line in markdown.splitlines()[:3]) and "<img" not in markdown
    assert len(markdown.splitlines()) == 3 + 1 + 3
    assert "<img" not in render.page(made, True)
    latex = render.latex(made, True)
    body = [line for line in latex.splitlines() if line and not line.startswith("%")]
    assert all(line.startswith("\\") or line.count("&") == 1 for line in body)
    assert not re.search(r"(?<!\\)[_&#$](?! )", body[4].replace(" & ", "").replace("$\\pm$", "")) and "\\input" not in "".join(
        body
    )
    assert next(csv.DictReader(io.StringIO(render.as_csv(made, True))))["method"] == name


def test_csv():
    (made,), _ = table.make_tables(ROWS)
    lines = list(csv.DictReader(io.StringIO(render.as_csv([made], oracle=True))))
    assert [line["method"] for line in lines] == ["supervised", "my_method"] and lines[1]["n"] == "2"
    assert (
        float(lines[1]["gain_mean"]) == pytest.approx(19.5)
        and lines[0]["gain_mean"] == ""
        and lines[1]["oracle_mean"] == "1.0000"
    )
    assert all(re.fullmatch("[0-9a-f]{12}", line["recipe"]) and line["commit"] == "abc" for line in lines)


def test_latex():
    (made,), _ = table.make_tables(ROWS)
    text = render.latex([made], oracle=False)
    assert r"my\_method & 10.0 $\pm$ 0.0 \\" in text and r"\toprule" in text and text.count("{tabular}") == 2
    assert r"\quad\small median & \small 10.0, $n$ = 2 \\" in text
    assert r"oracle, not a result & \small 1.0 $\pm$ 0.0 \\" in render.latex([made], oracle=True) and "oracle" not in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert all(line.count("&") == 1 and line.endswith(r"\\") for line in body if line), "as many columns as the head"


def test_published_numbers_stand_apart_with_protocol_and_source():
    rows = [row(dataset="cifar10", labels=4000, net="wrn28_2", config=row()["config"] | {"net": "wrn28_2"})]
    (made,), _ = table.make_tables(rows, published=True)
    (bare,), _ = table.make_tables(rows)
    assert not bare.published and made.published and all(number.labels == "4000" for number in made.published)
    known = yaml.safe_load(table.PUBLISHED.read_text())
    unusable = [e for e in known if not e.get("usable", True)]
    assert unusable and all("zero consistency" in e["note"] or e["note"] for e in unusable)
    for entry in unusable:
        net = {v: k for k, v in table.SHORT.items()}.get(entry["net"], "")
        shown = table.read_published(entry["dataset"], net, [entry["labels"]])
        same = [p for p in shown if p.source == entry["source"] and p.method == entry["algorithm"]]
        assert all(p.error.mean != entry["error_mean"] for p in same)
    for render_as in render.FORMATS.values():
        text = render_as([made], False)
        assert "arXiv" in text and "best on test" in text
    lines = list(csv.DictReader(io.StringIO(render.as_csv([made], False))))
    papers = [line for line in lines if line["published"]]
    assert papers and all(line["commit"] == line["device"] == line["steps"] == "" and line["net"] == "wrn28_2" for line in papers)
    assert {line["n"] for line in papers} == {str(number.n or "") for number in made.published}
    _, said = table.make_tables([row()], published=True)
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
    monkeypatch.setattr(table, "PUBLISHED", tmp_path / "p.yaml")
    found = table.read_published("svhn", "wrn28_2", [40])
    assert [str(number.error) for number in found] == ["9.0", "9.0"]
    assert found[0].protocol == "wrn-28-2, inferred, evaluation not said, 20,000 steps, unlabelled: train+extra"
    (made,), _ = table.make_tables([row("m", dataset="svhn", net="wrn28_2", labels=40)], published=True)
    assert len(render._published_rows(made)) == 2, "none hides the other"


def test_our_copy_of_published_numbers_is_whole():
    """Every field that the sources' notes need is there."""
    known = yaml.safe_load(table.PUBLISHED.read_text())
    fields = {name for entry in known for name in entry}
    assert {"std_verified", "net_note", "unlabeled", "steps", "kind", "seen_ref", "usable", "metric", "verified"} <= fields
    assert len(known) == 559 and sum(not entry.get("usable", True) for entry in known) == 9


HARMED = [
    None,
    True,
    "20",
    "",
    -1,
    1.5,
    10**400,
    math.nan,
    math.inf,
    [],
    {},
    [1],
    [{}],
    [[1, 2], [3]],
    {"a": 1},
    "\u0000",
    [None],
    "x" * 10_000,
]


def test_a_row_with_a_wrong_value_is_named_or_harmless(tmp_path, capsys):
    """Whatever stands in whichever field: no format and no picture fails, and what is sound is used."""
    whole = {**row(seed=7), "classes": ["a", "b"], "history": [{}], "peak_memory": 1, "warnings": [], "plugins": ""}
    named = 0
    for name, value in itertools.product(whole, HARMED):
        path = tmp_path / "rows.jsonl"
        path.write_text(f"{json.dumps(row())}\n{json.dumps(whole | {name: value})}\n\n")
        found = results.read_sound_rows([path])
        assert len(found.rows) + len(found.problems) == 2
        named += len(found.problems)
        tables, _ = table.make_tables(found.rows, found.problems)
        for render_as in render.FORMATS.values():
            assert "supervised" in render_as(tables, True)
        assert all("rows.jsonl:2 is not" in problem and f"its {name} cannot be" in problem for problem in found.problems)
    assert named > 300


def test_an_unknown_field_is_named_and_the_row_is_used(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(seed=s, acuracy_oracle=1)) + "\n" for s in range(3)))
    assert table.main([str(path)]) == 0
    out, error = capsys.readouterr()
    assert "n = 3" in out and len(error.splitlines()) == 1
    assert "rows.jsonl:1 and 2 more: the field 'acuracy_oracle' is unknown; did you mean 'accuracy_oracle'" in error


def test_a_path_without_rows_does_not_hide_the_others(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row()))
    (tmp_path / "empty").mkdir()
    for other in ("nowhere", "empty"):
        assert table.main([str(tmp_path / "rows.jsonl"), str(tmp_path / other)]) == 0
        out, error = capsys.readouterr()
        assert "n = 1" in out and "Partial: 1 result could not be read." in out and "holds no finished run" in error
    assert table.main([str(tmp_path / "rows.jsonl"), "--into", "x", "--format", "csv"]) == 2
    assert "leave out --out and --format" in capsys.readouterr().err


def test_a_thousand_runs_make_one_page(tmp_path):
    grid = itertools.product(("supervised", *"abcdefghi"), range(10), range(10, 20))
    rows = [row(alg, seed, 0.5, labels=n, split_hash=f"h{seed}-{n}") for alg, seed, n in grid]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert table.main([str(tmp_path / "rows.jsonl"), "--format", "html", "--out", str(tmp_path / "t.html")]) == 0
    text = (tmp_path / "t.html").read_text()
    assert text.count("<tr>") == 11 and text.count("<svg") == 10 and "http" not in text, "nothing comes from elsewhere"


@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_in_a_browser(tmp_path, width):
    """Headless Chromium: a click sorts, curves are drawn, and the page itself is no wider than the screen."""
    webdriver = pytest.importorskip("selenium.webdriver", reason='needs pip install "ssl_zoo[browser]"')
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    made, _ = table.make_tables([*ROWS, row("zero", 0, 0.0)])
    (tmp_path / "t.html").write_text(render.page(made, False))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        )
        browser.get((tmp_path / "t.html").as_uri())

        def names():
            return [cell.text for cell in browser.find_elements("css selector", "tbody td:first-child")]

        head = browser.find_element("css selector", "th:nth-child(2) button")
        assert names() == ["supervised", "zero", "my_method"]
        head.click()
        assert names() == ["my_method", "supervised", "zero"]
        head.click()
        assert names() == ["zero", "supervised", "my_method"]
        line = browser.find_element("css selector", "svg polyline")
        assert (
            line.get_attribute("points") and line.is_displayed() and browser.find_element("tag name", "svg").size["width"] > 300
        )
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.get_log("browser") == []


def test_reading_rows(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/result.json").write_text(json.dumps(row(), indent=1))
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row(seed=1))}\n{json.dumps(row(seed=2))}\n")
    assert [r["seed"] for r in results.read_rows([tmp_path / "a", tmp_path / "rows.jsonl"])] == [0, 1, 2]
    (tmp_path / "half.jsonl").write_text('{"algorithm": "x"}\n{"alg')
    for path, message in {"half.jsonl": "half.jsonl:1 is not the row of a run", "none": "holds no finished run"}.items():
        with pytest.raises(InputError, match=message):
            results.read_rows([tmp_path / path])


def test_the_command(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(seed=s)) + "\n" for s in range(2)))
    readme = tmp_path / "README.md"
    name = (tmp_path / "rows.jsonl").as_posix()
    readme.write_text(f"a\n<!-- table {name} -->\nold\n<!-- end -->\nb\n")
    assert table.main([name, "--into", str(readme), "--jsonl", str(tmp_path / "copy.jsonl")]) == 0
    text = readme.read_text()
    assert "old" not in text and "| supervised | **20.0" in text and text.endswith("<!-- end -->\nb\n")
    assert (tmp_path / "copy.jsonl").read_text() == (tmp_path / "rows.jsonl").read_text()
    for kind in render.FORMATS:
        out = tmp_path / f"t.{kind}"
        assert table.main([name, "--format", kind, "--out", str(out)]) == 0 and "supervised" in out.read_text()
    assert table.main([name, "--format", "pdf"]) == 2 and "invalid choice: 'pdf'" in capsys.readouterr().err
    assert table.main([str(tmp_path / "none")]) == 2 and "holds no finished run" in capsys.readouterr().err


def test_the_readmes_table_is_made_from_the_results_file(monkeypatch):
    """And its numbers carry the promise of the default recipe: every method above supervised, Mean Teacher by eight points."""
    monkeypatch.chdir(ROOT)
    name = "benchmarks/results/digits.jsonl"
    rows = results.read_rows([Path(name)])
    text = Path("README.md").read_text()
    (made,), said = table.make_tables(rows)
    assert not said and table.insert(text, name, render.markdown([made], False)) == text
    found = {method: cells["20"] for method, cells in made.cells.items()}
    assert found.keys() == {"supervised", "pimodel", "tempens", "meanteacher"} and all(cell.n == 5 for cell in found.values())
    assert found["meanteacher"].gain.mean >= 8 and min(found[alg].gain.mean for alg in ("pimodel", "tempens")) > 0
    assert made.cells["supervised"]["all"].n == 5


@pytest.mark.parametrize(
    ("file", "n", "labels"), [("digits-labels", 3, ["20", "50", "100", "all"]), ("cifar10-jpeg", 2, ["4000"])]
)
def test_the_readmes_grids_are_made_from_results_files(file, n, labels, monkeypatch):
    monkeypatch.chdir(ROOT)
    name = f"benchmarks/results/{file}.jsonl"
    tables, said = table.make_tables(results.read_rows([Path(name)]))
    text = Path("README.md").read_text()
    assert not said and table.insert(text, name, render.markdown(tables, False)) == text
    assert tables[0].labels == labels and set(tables[0].cells) == {"supervised", "pimodel", "tempens", "meanteacher"}
    assert all(cell.n == n for cells in tables[0].cells.values() for cell in cells.values())
