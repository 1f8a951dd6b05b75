import itertools
import json
import re

import pytest

from ssl_zoo.cli.table import main
from ssl_zoo.tables import render
from tests.tables.rows import row


def test_what_cannot_be_read_is_named_and_the_rest_is_used(tmp_path, capsys):
    for name, text in {"a": json.dumps(row()), "b": json.dumps(row(seed=1))[:100], "c": "{}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    assert main([str(tmp_path)]) == 0
    out, error = capsys.readouterr()
    assert "n = 1" in out and "Partial: 2 results could not be read." in out
    assert "b/result.json is not JSON" in error and "c/result.json is not the row of a run: it lacks" in error
    assert len(error.splitlines()) == 2
    (tmp_path / "a/result.json").write_text("")
    assert main([str(tmp_path)]) == 2 and "a/result.json is not JSON" in capsys.readouterr().err


def test_an_unknown_field_is_named_and_the_row_is_used(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(seed=s, acuracy_oracle=1)) + "\n" for s in range(3)))
    assert main([str(path)]) == 0
    out, error = capsys.readouterr()
    assert "n = 3" in out and len(error.splitlines()) == 1
    assert "rows.jsonl:1 and 2 more: the field 'acuracy_oracle' is unknown; did you mean 'accuracy_oracle'" in error


def test_a_path_without_rows_does_not_hide_the_others(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row()))
    (tmp_path / "empty").mkdir()
    for other in ("nowhere", "empty"):
        assert main([str(tmp_path / "rows.jsonl"), str(tmp_path / other)]) == 0
        out, error = capsys.readouterr()
        assert "n = 1" in out and "Partial: 1 result could not be read." in out and "holds no finished run" in error
    assert main([str(tmp_path / "rows.jsonl"), "--into", "x", "--format", "csv"]) == 2
    assert "leave out --out and --format" in capsys.readouterr().err


def test_a_thousand_runs_make_one_page(tmp_path):
    grid = itertools.product(("supervised", *"abcdefghi"), range(10), range(10, 20))
    rows = [row(alg, seed, 0.5, labels=n, split_hash=f"h{seed}-{n}") for alg, seed, n in grid]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert main([str(tmp_path / "rows.jsonl"), "--format", "html", "--out", str(tmp_path / "t.html")]) == 0
    text = (tmp_path / "t.html").read_text()
    assert text.count("<tr>") == 11 and text.count("<figure>") == 10 and not re.search("https?:|src=|@import|url\\(", text)


def test_the_command(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row(seed=s)) + "\n" for s in range(2)))
    readme = tmp_path / "README.md"
    name = (tmp_path / "rows.jsonl").as_posix()
    readme.write_text(f"a\n<!-- table {name} -->\nold\n<!-- end -->\nb\n")
    assert main([name, "--into", str(readme), "--jsonl", str(tmp_path / "copy.jsonl")]) == 0
    text = readme.read_text()
    assert "old" not in text and "| supervised | **20.0" in text and text.endswith("<!-- end -->\nb\n")
    assert (tmp_path / "copy.jsonl").read_text() == (tmp_path / "rows.jsonl").read_text()
    for kind in (*render.FORMATS, "site"):
        out = tmp_path / f"t.{'html' if kind == 'site' else kind}"
        assert main([name, "--format", kind, "--out", str(out)]) == 0 and "supervised" in out.read_text()
    assert main([name, "--format", "pdf"]) == 2 and "invalid choice: 'pdf'" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2 and "holds no finished run" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["md", "tex", "html", "csv"])
def test_a_name_of_broken_bytes_can_be_shown_and_written(kind, tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("bad\udcff", 0, device="cpu\udcff")))
    words = [str(tmp_path / "rows.jsonl"), "--format", kind]
    assert main(words) == 0 and "udcff" in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "t")]) == 0 and "udcff" in (tmp_path / "t").read_text(encoding="utf-8")


def test_a_site_of_many_files_is_one_page_in_a_file_or_a_folder(tmp_path, capsys):
    ours, theirs, other = (tmp_path / f"{name}.jsonl" for name in ("ours", "theirs", "other"))
    for path in (ours, theirs):
        path.write_text("".join(json.dumps(row(seed=s)) + "\n" for s in range(2)))
    other.write_text('{"a": 1}\n')
    words = [str(ours), str(theirs), str(other), "--format", "site"]
    for out, file in ((tmp_path / "new/folder", "index.html"), (tmp_path / "new/p.HTML", ""), (tmp_path, "index.html")):
        assert main([*words, "--out", str(out), "--jsonl", str(tmp_path / "all.txt")]) == 0
        said, error = capsys.readouterr()
        text = (out / file).read_text(encoding="utf-8")
        assert said == f"{out / file}, {len(text.encode()) / 1000:,.0f} kB\n"
        assert f"{ours.as_posix()}</bdi></h2>" in text and f"{theirs.as_posix()}</bdi></h2>" in text
        assert f"{other} is passed over: line 1 is not the row of a run" in error and "is passed over" in text
        assert (tmp_path / "all.txt").read_text() == ours.read_text() + theirs.read_text()
    assert main(words) == 0 and capsys.readouterr().out == text


def test_what_a_site_is_refused_for(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row()))
    for words, said in (
        (["--oracle"], "leave out --oracle"),
        (["--out", str(path)], "give one that ends in .html, or a folder"),
        (["--cite"], "leave out --into and --format"),
        (["--into", "x"], "leave out --out and --format"),
    ):
        assert main([str(path), "--format", "site", *words]) == 2 and said in capsys.readouterr().err
    assert main([str(tmp_path / "none"), "--format", "site"]) == 2 and "no path holds rows of runs" in capsys.readouterr().err


def test_runs_that_are_left_out_are_named_with_their_folders(tmp_path, capsys, monkeypatch):
    """Two folders of the same cells, of another precision: of which no name of a cell tells them."""
    monkeypatch.chdir(tmp_path)
    for folder, precision in (("a", "fp32"), ("b", "bf16")):
        for seed in range(2):
            (tmp_path / folder / str(seed)).mkdir(parents=True)
            (tmp_path / folder / str(seed) / "result.json").write_text(json.dumps(row(seed=seed, precision=precision)))
    assert main(["a", "b", "--jsonl", "rows.jsonl"]) == 0
    said = (
        "supervised with 20 labels and seed 0 (b/0) and 1 more are left out: other than supervised with 20 labels and seed 0 "
        "(a/0) in precision (bf16, fp32)"
    )
    assert f"{said}; there are as many of either, and the first are kept" in capsys.readouterr().err
    assert main(["rows.jsonl", "a/0"]) == 0
    error = capsys.readouterr().err
    assert (
        "(rows.jsonl:3) and 1 more are left out: other than" in error and "(rows.jsonl:1) in" in error and "as many" not in error
    )
    assert all("read_from" not in json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines())
