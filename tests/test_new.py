"""What `python -m ssl_zoo.new` writes must run as it says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssl_zoo import InputError, new

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_the_files_run_as_printed():
    printed = python("-m", "ssl_zoo.new", "my-method").stdout
    commands = [shlex.split(line.strip()) for line in printed.splitlines() if line.startswith("    ")]
    assert sorted(path.name for path in Path().iterdir()) == ["my_method.py", "my_method.yaml", "test_my_method.py"]
    test, plain, recipe = commands
    assert [command[0] for command in commands] == ["python"] * 3
    assert re.search(r"MyMethod: \d+ checks passed", python(*test[1:]).stdout)
    assert "1 passed" in python("-m", "pytest", "-p", "no:cacheprovider", test[1]).stdout
    for out, command in {"a": plain, "b": recipe}.items():
        python(*command[1:], "--steps", "3", "--out", out)
        row = json.loads(Path(out, "result.json").read_text())
        assert row["algorithm"] == "my-method" and row["config"]["algorithms"]["my-method"]["weight"] == 30
        assert row["config"]["optimizer"]["name"] == "adamw", "the recipe of the digits is below it"


def test_nothing_is_overwritten(capsys):
    Path("test_my_method.py").write_text("mine")
    assert new.main(["my-method"]) == 2
    assert "test_my_method.py exists already" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["test_my_method.py"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean_teacher", "is the method ssl_zoo.algorithms.meanteacher"),
        ("3d", "cannot be"),
        ("random", "would hide another module"),
    ],
)
def test_a_name_that_will_not_do(name, message, capsys):
    assert new.main([name]) == 2 and message in capsys.readouterr().err and not list(Path().iterdir())


def test_names_become_python():
    method, test, recipe = new.files("Very-good method").items()
    assert [file for file, _ in (method, test, recipe)] == [
        "very_good_method.py",
        "test_very_good_method.py",
        "very_good_method.yaml",
    ]
    assert "class VeryGoodMethod(AlgorithmBase):" in method[1] and "from very_good_method import VeryGoodMethod" in test[1]
    assert '@ALGORITHMS.register("very-good-method")' in method[1]
    assert yaml.safe_load(new.files("on")["on.yaml"])["algorithms"].keys() == {"on"}
    for bad in ("", "_", "class", "a/b", "ü b!"):
        with pytest.raises(InputError, match="cannot be the name of a method"):
            new.files(bad)


def test_the_files_are_in_the_house_style():
    for file, text in new.files("my-method").items():
        Path(file).write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    subprocess.run([*ruff, "check", *config, "."], check=True)
    subprocess.run([*ruff, "format", "--check", *config, "."], check=True)
