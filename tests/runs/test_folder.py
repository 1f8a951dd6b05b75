"""A run's folder: locked, then refused, then written; what is refused leaves nothing."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from ssl_zoo import config, files, recipes
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
        kind = "a file, not a folder" if there == "a file on the way" else "not the folder of a run"
        said = f"exists and is {kind}; choose another folder"
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


def begun(out, **settings):
    """A folder in which a run has begun."""
    folder = RunFolder(Path(out))
    folder.path.mkdir(parents=True, exist_ok=True)
    files.replace_text(folder.config, recipes.dump_mapping({**SETTINGS, **settings}))
    folder.split.write_text("{}")
    return folder


@pytest.mark.parametrize("out", ["o", "runs/o", "link"])
def test_a_run_is_moved_aside_as_a_whole_and_a_new_folder_is_locked_in_its_place(out):
    place = Path("disk/o") if out == "link" else Path(out)
    begun(place)
    if out == "link":
        Path("link").symlink_to("disk/o")
    (place / "mine.txt").write_text("mine")
    folder = RunFolder(Path(out))
    with folder.taken(SETTINGS | {"labels": 30}, fresh=True):
        aside = folder.move_aside()
        assert aside.resolve() == place.with_name("o.old-1").resolve()
        assert {path.name for path in aside.iterdir()} == {".lock", "config.yaml", "mine.txt", "split.json"}
        assert [path.name for path in Path(out).iterdir()] == [".lock"]
        for one in (Path(out), aside):  # a process that had opened the old lock is not to have the new folder
            with pytest.raises(BusyError), RunFolder(one).locked():
                pass
        begun(out)
    assert folder.next_aside() == place.with_name("o.old-2").resolve()
    assert folder.holds_a_run() and not folder.is_locked() and not RunFolder(aside).is_locked()


def test_what_moves_a_run_aside_and_fails_leaves_that_alone():
    """As the disk may be full a moment later: the old run is whole, and no shell of the new one is left."""
    folder = begun("o")
    before = folder.config.read_bytes()
    with pytest.raises(KeyError), folder.taken(SETTINGS, fresh=True):
        folder.move_aside()
        raise KeyError
    assert everything() == ["o.old-1", "o.old-1/.lock", "o.old-1/config.yaml", "o.old-1/split.json"]
    assert Path("o.old-1/config.yaml").read_bytes() == before


def test_nothing_is_moved_where_no_run_is():
    with RunFolder(Path("o")).taken(SETTINGS, fresh=True):
        assert RunFolder(Path("o")).move_aside() is None
    assert everything() == []


@pytest.mark.parametrize("there", ["settings of another program", "settings without an end", "a file"])
def test_what_is_no_run_is_not_moved(there):
    Path("o").mkdir()
    texts = {"settings of another program": "epochs: 3", "settings without an end": "{", "a file": "x"}
    Path("o/thesis.txt" if there == "a file" else "o/config.yaml").write_text(texts[there])
    before = everything()
    for fresh in (False, True):
        said = "exists and is not the folder of a run; choose another folder$"
        with pytest.raises(FolderError, match=said), RunFolder(Path("o")).taken(SETTINGS, fresh):
            pass
    assert everything() == before


def test_the_folder_one_is_in_is_not_moved(monkeypatch):
    begun("o")
    (Path("o") / "below").mkdir()
    monkeypatch.chdir("o/below")
    with pytest.raises(FolderError, match="holds the folder you are in"), RunFolder(Path("..")).taken(SETTINGS, fresh=True):
        pass


def test_a_run_that_somebody_is_at_work_on_is_not_moved():
    begun("o")
    with RunFolder(Path("o")).locked(), pytest.raises(BusyError), RunFolder(Path("o")).taken(SETTINGS, fresh=True):
        pass
    assert not Path("o.old-1").exists()


def test_a_folder_that_another_process_takes_in_between(monkeypatch):
    """The one that is quicker has the place; nothing of either is lost."""
    folder, inner = begun("o"), RunFolder._lock

    def slow(self):
        if Path("o.old-1").exists():
            Path("o").mkdir()
            with FileLock("o/.lock", blocking=False):
                return inner(self)
        return inner(self)

    with folder.taken(SETTINGS, fresh=True):
        monkeypatch.setattr(RunFolder, "_lock", slow)
        with pytest.raises(BusyError):
            folder.move_aside()
    assert RunFolder(Path("o.old-1")).holds_a_run()


def test_another_run_is_told_from_this_one():
    assert not RunFolder(Path("o")).holds_another_run(SETTINGS)
    assert not begun("o").holds_another_run(SETTINGS)
    assert not begun("o", device="cuda").holds_another_run(SETTINGS), "which makes no other run"
    assert begun("o", labels=30).holds_another_run(SETTINGS)
    begun("o").config.write_text("{")
    assert RunFolder(Path("o")).holds_another_run(SETTINGS)
