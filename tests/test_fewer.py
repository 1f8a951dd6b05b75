"""What the suite leaves out unless --all is given: the names of its list are those of tests."""

import ast
from pathlib import Path

import pytest

from tests.conftest import FEWER

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", FEWER)
def test_its_names_are_those_of_tests(name):
    path, _, function = name.partition("::")
    tree = ast.parse((HERE / path).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
