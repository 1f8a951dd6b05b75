"""What the README shows must work as printed."""

import json
import re
from pathlib import Path

from benchmarks import soak
from ssl_zoo.cli import new
from ssl_zoo.testing.check import CHECKS
from tests.algorithms.mutants import MUTANTS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_method_shown_is_the_one_that_is_written():
    """tests/test_new.py runs it, its test and its recipe."""
    assert BLOCKS[0] == new.files("my-method")["my_method.py"]


def test_the_numbers_of_the_conformance_check():
    assert f"MyMethod: {len(CHECKS)} checks passed" in TEXT
    assert f"{len(MUTANTS)} broken ones" in " ".join(TEXT.split())


def test_the_commands_are_those_that_are_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert new.main(["my-method"]) == 0
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("    "):
            assert re.sub(r"python \S*benchmarks/run.py", "python benchmarks/run.py", line) in TEXT.splitlines()


def test_the_python_interface():
    shown: dict = {}
    exec(BLOCKS[1], shown)
    assert shown["method"].teacher.decay == 0.99


def test_the_names_and_files_that_it_mentions_exist():
    for path in re.findall(r"`((?:ssl_zoo|benchmarks|tests|configs)/[\w./]+)`", TEXT):
        assert (ROOT / path).exists(), path
    assert not re.search(r"@[A-Z]+@", TEXT), "a placeholder is left"


def test_the_figures_of_the_soak():
    figures = json.loads((ROOT / "benchmarks/results/soak.json").read_text())
    assert figures["different"] == [] and figures["kills"] >= 50 and not figures["commit"].endswith("-dirty")
    assert soak.sentence(figures) in " ".join(TEXT.split())
