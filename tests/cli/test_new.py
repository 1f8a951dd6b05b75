"""What `python -m ssl_zoo.new` writes must run as it says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo import ALGORITHMS, InputError, config
from ssl_zoo.cli import new
from ssl_zoo.registry import registering
from tests.conftest import STEPPED, TinyNet, make_batch

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # this checkout, whichever is installed


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)


def run_as_printed(command, *more):
    """Run a printed command, `ssl-zoo run ...`, by the module of this checkout, whichever is installed."""
    for start in (["ssl-zoo", "run"], ["python", "-m", "ssl_zoo", "run"]):
        if command[: len(start)] == start:
            return python("-m", "ssl_zoo", "run", *command[len(start) :], *more)
    raise AssertionError(f"{command} does not start a run")


def written(*words):
    """What `python -m ssl_zoo.new` writes, and the commands that it prints."""
    printed = python("-m", "ssl_zoo.new", *words).stdout
    commands = [shlex.split(line.strip()) for line in printed.splitlines() if line.startswith("    ")]
    assert commands[0][0] == "python" and commands[0][1].startswith("test_my_")
    return sorted(path.name for path in Path().iterdir()), commands


def rows(commands):
    """The result of each run, of three steps."""
    for number, command in enumerate(commands):
        run_as_printed(command, "--steps", "3", "--out", str(number))
        yield json.loads(Path(str(number), "result.json").read_text())


@pytest.mark.slow
def test_a_method_runs_as_printed():
    there, (test, *runs) = written("my-method")
    assert there == ["my_method.py", "my_method.yaml", "test_my_method.py"]
    assert re.search(r"MyMethod: \d+ checks passed", python(*test[1:]).stdout)
    assert "1 passed" in python("-m", "pytest", "-p", "no:cacheprovider", test[1]).stdout
    assert len(runs) == 2
    for row in rows(runs):
        assert row["algorithm"] == "my-method" and row["config"]["algorithms"]["my-method"]["weight"] == 30
        assert row["config"]["optimizer"]["name"] == "adamw", "the recipe of the digits is below it"


@pytest.mark.slow
def test_a_net_runs_as_printed():
    there, (test, *runs) = written("--kind", "net", "my-net")
    assert there == ["my_net.py", "test_my_net.py"]
    assert re.search(r"MyNet: \d+ checks passed", python(*test[1:]).stdout)
    assert "1 passed" in python("-m", "pytest", "-p", "no:cacheprovider", test[1]).stdout
    plain, wide = rows(runs)
    assert plain["net"] == wide["net"] == "my-net" and wide["parameters"] > 3 * plain["parameters"]


@pytest.mark.slow
def test_a_data_set_runs_as_printed():
    there, (test, *runs) = written("--kind", "dataset", "my-data")
    assert there == ["my_data.py", "my_data.yaml", "test_my_data.py"]
    assert re.search(r"my_data: \d+ checks passed", python(*test[1:]).stdout)
    assert "1 passed" in python("-m", "pytest", "-p", "no:cacheprovider", test[1]).stdout
    alone, both = rows(runs)
    assert alone["dataset"] == both["dataset"] == "my-data" and both["classes"] == ["lying", "standing", "slanting"]
    assert (alone["algorithm"], both["algorithm"]) == ("supervised", "meanteacher")


@pytest.mark.slow
def test_an_augmentation_runs_as_printed():
    there, (test, *runs) = written("--kind", "augmentation", "my-dim")
    assert there == ["my_dim.py", "my_dim.yaml", "test_my_dim.py"]
    assert re.search(r"MyDim: \d+ checks passed", python(*test[1:]).stdout)
    assert "1 passed" in python("-m", "pytest", "-p", "no:cacheprovider", test[1]).stdout
    behind, alone = rows(runs)
    assert list(behind["config"]["views"]["weak"]) == ["affine", "my-dim"]
    assert alone["config"]["views"]["weak"] == {"my-dim": {"least": 0.2}}


def test_the_installed_command_is_printed_where_there_is_one(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert new.runner() == "ssl-zoo run"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert new.runner() == "python -m ssl_zoo run"


def test_nothing_is_overwritten(capsys):
    Path("test_my_method.py").write_text("mine")
    assert new.main(["my-method"]) == 2
    assert "test_my_method.py exists already" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["test_my_method.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mean_teacher"], "is the method ssl_zoo.algorithms.meanteacher"),
        (["wrn-28-10", "--kind", "net"], "is the net ssl_zoo.nets.wrn.WideResNet"),
        (["digits", "--kind", "dataset"], "is the data set ssl_zoo.data.sources.digits"),
        (["Flip", "--kind", "augmentation"], "is the augmentation ssl_zoo.data.standard.Flip"),
        (["3d"], "cannot be the name of a method; use letters, digits and -, as in my-method"),
        (
            ["3d", "--kind", "augmentation"],
            "cannot be the name of an augmentation; use letters, digits and -, as in my-augmentation",
        ),
        (["random"], "would hide another module"),
    ],
)
def test_a_name_that_will_not_do(words, message, capsys):
    assert new.main(words) == 2 and message in capsys.readouterr().err and not list(Path().iterdir())


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
    for kind in new.KINDS:
        for file, text in new.files(f"my-{kind}", kind).items():
            assert not re.search(r"@[A-Z]+@", text)
            Path(file).write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    subprocess.run([*ruff, "check", *config, "."], check=True)
    subprocess.run([*ruff, "format", "--check", *config, "."], check=True)


@pytest.mark.parametrize("name", STEPPED)
def test_a_copy_of_a_method_computes_what_that_does(name, facts):
    """Until it is changed; and nothing in it is called as the other is."""
    texts = new.files("my-copy", like=name)
    assert [*texts] == ["my_copy.py", "test_my_copy.py", "my_copy.yaml"]
    scope = {"__name__": "my_copy"}
    with registering("my_copy.py"):
        exec(compile(texts["my_copy.py"], "my_copy.py", "exec"), scope)
    made = []
    for called in (name, "my-copy"):
        torch.manual_seed(0)
        method = ALGORITHMS.create(called, net=TinyNet(), facts=facts)
        batch = make_batch(len(method.views))
        batch = batch._replace(x_more=tuple(batch.x + k for k, _ in enumerate(method.labeled_views[1:], 1)))
        torch.manual_seed(0)
        out = method.loss(batch, torch.tensor(0.5))
        made.append({**out.terms, "total": out.total})
    assert all(torch.equal(made[0][term], made[1][term]) for term in made[0]) and [*made[0]] == [*made[1]]
    target = ALGORITHMS.resolve("my-copy").target
    assert target.__name__ == "MyCopy" and target.__doc__.startswith("My copy: ")
    options = yaml.safe_load(texts["my_copy.yaml"])["algorithms"]["my-copy"]
    defaults = {option: parameter.default for option, parameter in ALGORITHMS.resolve(name).options.items()}
    assert options == {option: [*d] if isinstance(d, tuple) else d for option, d in defaults.items()}
    config.resolve({"alg": "my-copy", "algorithms": {"my-copy": options}})


@pytest.mark.slow
def test_a_copy_runs_as_printed():
    there, (test, *runs) = written("--like", "fixmatch", "my-method")
    assert there == ["my_method.py", "my_method.yaml", "test_my_method.py"]
    assert re.search(r"MyMethod: \d+ checks passed", python(*test[1:]).stdout)
    (mine, _), theirs = (
        rows(runs),
        ["-m", "ssl_zoo", "run", "--alg", "fixmatch", "--net", "wrn28_2", "--steps", "3", "--out", "t"],
    )
    python(*theirs)
    assert mine["accuracy"] == json.loads(Path("t/result.json").read_text())["accuracy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--like", "fixmtch"], "no algorithm is called 'fixmtch'; did you mean 'fixmatch'"),
        (["--like", "probe"], "'probe' is fitted at once and has no loss to change; copy one of "),
        (["--like", "fixmatch", "--kind", "net"], "`--like` copies a method, and this is to be a net; leave one of the two out"),
    ],
)
def test_what_cannot_be_copied(words, message, capsys):
    assert new.main([*words, "my-thing"]) == 2
    assert message in capsys.readouterr().err and not [*Path().iterdir()]
