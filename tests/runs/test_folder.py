"""A run's folder: locked, then refused, then written; what is refused leaves nothing."""

import os
from pathlib import Path

import pytest

from ssl_zoo import config
from ssl_zoo.errors import BusyError, FolderError
from ssl_zoo.runs.folder import RunFolder

SETTINGS = config.plain(config.resolve({"labels": 20}))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def everything():
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "somebody's files", "a file", "a file on the way"])
def test_what_is_refused_leaves_nothing(there):
    out = Path("a/b")
    if there == "an empty folder":
        out.mkdir(parents=True)
    elif there == "somebody's files":
        out.mkdir(parents=True)
        (out / "thesis.txt").write_text("mine")
    elif there == "a file":
        Path("a").mkdir()
        out.write_text("mine")
    elif there == "a file on the way":
        Path("a").write_text("mine")
    before = everything()
    if there in ("nothing", "an empty folder"):
        with pytest.raises(KeyError), RunFolder(out).taken(SETTINGS):
            raise KeyError("what is refused later, before anything is written")
    else:
        said = "exists and is not the folder of a run; choose another folder"
        with pytest.raises(FolderError, match=said), RunFolder(out).taken(SETTINGS):
            pass
    assert everything() == before


def test_a_folder_is_kept_to_one_while_it_is_looked_at():
    """The lock comes before the look, or two that look at once both find nothing."""
    with RunFolder(Path("o")).taken(SETTINGS), pytest.raises(BusyError), RunFolder(Path("o")).taken(SETTINGS):
        pass
    assert everything() == []


def test_an_error_of_the_run_is_not_the_folders():
    """A full disk of somebody else's is not a folder that cannot be used."""
    with pytest.raises(OSError, match="no space") as error, RunFolder(Path("o")).taken(SETTINGS):
        raise OSError(28, "no space")
    assert not isinstance(error.value, FolderError)


def test_names_are_spelt_once():
    """In the module that writes a file, and nowhere else of the package."""
    import ast

    root = Path(__file__).parent.parent.parent / "ssl_zoo"
    names = {"result.json", "diverged.json", "config.yaml", "split.json", "metrics.jsonl", "model.safetensors"}
    names |= {"checkpoint.pt", "checkpoint-previous.pt", ".lock"}
    for name in names:
        files = [
            path
            for path in root.rglob("*.py")
            if any(isinstance(node, ast.Constant) and node.value == name for node in ast.walk(ast.parse(path.read_text())))
        ]
        assert len(files) == 1, (name, files)


def test_what_a_run_leaves_is_named(tmp_path):
    folder = RunFolder(Path("o"))
    assert folder.row() is None and folder.diverged() is None and folder.progress() == (0, None) and not folder.is_locked()
    Path("o").mkdir()
    folder.metrics.write_text('{"step": 2, "test/accuracy": 0.5}\n{"step": 4}\n{"st')
    assert folder.progress() == (4, 0.5)
    folder.metrics.write_text("".join(f'{{"step": {k}, "test/accuracy": 0.25}}\n' for k in range(3000)))
    assert folder.progress() == (2999, 0.25)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match="cannot be written"), RunFolder(tmp_path / "o").taken(SETTINGS):
        pass


def test_what_is_trained_anew_begins_with_nothing_but_its_settings():
    folder = RunFolder(Path("o"))
    Path("o").mkdir()
    for path in (folder.result, folder.lost, *folder.checkpoints, folder.model, folder.metrics, folder.config):
        path.write_text("x")
    folder.clear()
    assert [path.name for path in Path("o").iterdir()] == [folder.config.name]
