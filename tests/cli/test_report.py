"""`ssl-zoo report` as it is typed: what is on the screen, the page, and the exit status."""

import shutil

import pytest

from ssl_zoo.cli import report
from tests.using.trained import photos, train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_ZOO_CACHE", str(top / "cache"))
        train(photos(top / "photos"), top / "run")
    (top / "empty").mkdir()
    return top


@pytest.fixture(autouse=True)
def there(made, monkeypatch):
    monkeypatch.chdir(made)


def test_a_page_is_written_and_named(made, capsys):
    assert report.main(["run", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out == f"run/report.html, {(made / 'run/report.html').stat().st_size / 1000:,.0f} kB\n"
    assert report.main(["run", "--device", "cpu", "--out", "mine.html"]) == 0 and (made / "mine.html").is_file()
    assert (made / "mine.html").read_text() == (made / "run/report.html").read_text()


def test_a_run_with_a_page_in_its_folder_is_still_one(made):
    report.main(["run", "--device", "cpu"])
    row = (made / "run/result.json").read_bytes()
    train(made / "photos", made / "run")
    assert (made / "run/result.json").read_bytes() == row


def test_what_is_not_in_it_is_said(made, capsys, monkeypatch):
    shutil.move(made / "photos", made / "moved")
    try:
        assert report.main(["run", "--device", "cpu"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith("run/report.html, ") and "report.py: No image is shown: " in said.err
        assert report.main(["run", "--device", "cpu", "--data-root", "moved"]) == 0 and not capsys.readouterr().err
    finally:
        shutil.move(made / "moved", made / "photos")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere' is not there; give the folder of a run or of a sweep"),
        (["empty"], "empty holds no finished run"),
        (["run", "--out", "empty"], "'empty' is a folder; give a file's name"),
        (["run", "--out", "no/r.html"], "'no/r.html' lies in no folder"),
        (["run", "--out", "r.txt"], "'r.txt' does not end in .html"),
        (["run", "--device", "cuda:9"], "cuda:9"),
        (["run", "--output", "x.html"], "did you mean --out x.html?"),
        ([], "the following arguments are required: RUN|SWEEP"),
    ],
)
def test_bad_input(words, message, capsys):
    assert report.main(words) == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.splitlines()) == 1 and not said.out
