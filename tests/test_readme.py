"""What the README shows must work as printed."""

import re
import sys
import types
from pathlib import Path

import torch

from ssl_zoo import ALGORITHMS, config
from tests.conftest import TinyNet, make_batch

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_method_in_ten_lines(facts, monkeypatch):
    monkeypatch.setattr(ALGORITHMS, "_entries", dict(ALGORITHMS._entries))  # forgotten after the test
    module = types.ModuleType("entropymin")
    monkeypatch.setitem(sys.modules, "entropymin", module)
    exec(BLOCKS[0], vars(module))
    method = ALGORITHMS.create("Entropy-Minimisation", net=TinyNet(), facts=facts, weight=0.5)
    out = method.loss(make_batch(1), torch.tensor(0.0))
    torch.testing.assert_close(out.total, out.terms["supervised"] + 0.5 * out.terms["entropy"])
    settings = config.resolve({"alg": "entropymin", "algorithms": {"entropymin": {"weight": 2}}})
    assert settings.algorithms == {"entropymin": {"weight": 2.0}} and "Of the entropy." in config.explain(settings)


def test_the_python_interface():
    shown: dict = {}
    exec(BLOCKS[1], shown)
    assert shown["method"].teacher.decay == 0.99


def test_the_names_and_files_that_it_mentions_exist():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"`((?:ssl_zoo|benchmarks|tests|configs)/[\w./]+)`", text):
        if "entropymin" not in path:
            assert (ROOT / path).exists(), path
    assert not re.search(r"@[A-Z]+@", text), "a placeholder is left"
