"""The wheel is the package: what an installed one has, and that it trains without the checkout."""

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import ssl_zoo
from ssl_zoo import recipes

ROOT = Path(__file__).parent.parent


def test_every_folder_of_modules_is_packaged():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = set(setup["options"]["packages"].split())
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "ssl_zoo").rglob("__init__.py")}
    assert packages == there | {"ssl_zoo.configs", "ssl_zoo.configs.presets"}


def python(*words, folder, path):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(path), "SSL_ZOO_CACHE": str(folder / "cache")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Unpacked where no checkout is near; made from the source distribution, as an index would."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).exists() and not name.startswith(("tests/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation"]
    subprocess.run([*build, "--sdist", "--outdir", folder, source], check=True, capture_output=True)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (inside,) = (folder / "unpacked").iterdir()
    subprocess.run([*build, "--wheel", "--outdir", folder, inside], check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_holds_recipes_and_tables(wheel):
    there = {path.relative_to(wheel / "ssl_zoo/configs").as_posix() for path in (wheel / "ssl_zoo/configs").rglob("*.yaml")}
    assert there == {path.relative_to(recipes.FOLDER).as_posix() for path in recipes.FOLDER.rglob("*.yaml")}
    assert (wheel / "ssl_zoo/tables/published.yaml").is_file() and (wheel / "ssl_zoo/tables/citations.yaml").is_file()
    (points,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "ssl-zoo = ssl_zoo.__main__:script" in points.read_text()
    assert not list(wheel.glob("tests")) and not list(wheel.glob("benchmarks"))


@pytest.mark.slow
def test_a_run_a_sweep_a_table_and_a_method_without_the_checkout(wheel, tmp_path):
    def zoo(*words):
        return python("-m", "ssl_zoo", *words, folder=tmp_path, path=wheel)

    where = python("-c", "import ssl_zoo; print(ssl_zoo.__file__)", folder=tmp_path, path=wheel)
    assert where.strip() == str(wheel / "ssl_zoo/__init__.py")
    assert f"ssl-zoo {ssl_zoo.__version__}" in zoo("--version") and "compare" in zoo("--help")
    quick = ["--steps", "4", "--device", "cpu"]
    assert "accuracy " in zoo("run", "--alg", "meanteacher", "--net", "smallnet", *quick)
    grid = ["--recipe", "digits", "--algs", "supervised,meanteacher", "--nets", "smallnet", "--seeds", "0-1", "--out", "g"]
    assert "4 of 4 cells are finished, in g/; a table: ssl-zoo table g" in zoo("sweep", *grid, *quick)
    assert "| meanteacher |" in zoo("table", "g", "--published")
    assert "ladder" in zoo("ladder", "--help") and "accuracy: " in zoo(
        "compare", *(f"g/supervised-smallnet-20-s{k}" for k in "01")
    )
    assert "python test_my_method.py" in zoo("new", "my-method")
    assert "checks passed" in python("test_my_method.py", folder=tmp_path, path=wheel)
    assert "accuracy " in zoo("run", "--plugin", "my_method.py", "--alg", "my-method", "--net", "smallnet", *quick)
    assert "tutorial" in zoo("run", "--help") and "weight: 1" in zoo("run", "--preset", "tutorial", "--print-config")


def test_a_recipe_of_a_checkout_alone_is_named(tmp_path, monkeypatch, capsys):
    from ssl_zoo.cli import run

    monkeypatch.chdir(tmp_path)
    assert run.main(["--recipe", "configs/digits.yaml"]) == 2
    line = capsys.readouterr().err
    assert "no recipe is called 'configs/digits.yaml' and no such file exists; did you mean 'digits'?" in line
