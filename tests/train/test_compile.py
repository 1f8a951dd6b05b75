"""A compiled loss against the eager one: the same run, to rounding."""

import dataclasses
import json
import shutil

import pytest
import torch

from ssl_zoo import ALGORITHMS, InputError
from ssl_zoo.settings import EvaluationSettings
from ssl_zoo.train.compile import compiled
from tests.conftest import TinyNet
from tests.train.test_trainer import SETTINGS, kill_at, make

COMPILED = dataclasses.replace(SETTINGS, compile=True)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_parity(name, tmp_path):
    eager, fast = make(tmp_path / "eager", name, net=TinyNet), make(tmp_path / "fast", name, COMPILED, net=TinyNet)
    eager.run(), fast.run()
    assert eager.seconds_compiling is None and fast.seconds_compiling > 0
    for a, b in zip(metrics(tmp_path / "eager"), metrics(tmp_path / "fast"), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    assert eager.algorithm.state_dict().keys() == fast.algorithm.state_dict().keys(), "the checkpoints are exchangeable"
    for (key, a), b in zip(eager.algorithm.state_dict().items(), fast.algorithm.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=lambda said, key=key: f"{key}: {said}")


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_every_method_is_one_graph_and_trains_alike(name, tmp_path, monkeypatch):
    """With the tracing and the differentiation of the real thing, without its code generator."""
    inner = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, mode: inner(loss, fullgraph=fullgraph, backend="aot_eager")
    )
    assert_parity(name, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_code_trains_alike(tmp_path):
    assert_parity("meanteacher", tmp_path)


def test_an_eager_run_goes_on_compiled(tmp_path, monkeypatch):
    inner = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, mode: inner(loss, fullgraph=fullgraph, backend="aot_eager")
    )
    make(tmp_path / "whole", net=TinyNet).run()
    kill_at(make(tmp_path / "run", net=TinyNet), 7)
    again = make(tmp_path / "run", settings=COMPILED, net=TinyNet)
    assert again.start == 4
    again.run()
    for a, b in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "run"), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["tempens", "meanteacher"])
def test_no_term_of_a_compiled_loss_is_said_to_be_no_part_of_it(name, tmp_path, monkeypatch):
    """A compiled graph is one node for autograd: what a term counts for in the total cannot be told from outside it."""
    inner = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, mode: inner(loss, fullgraph=fullgraph, backend="aot_eager")
    )
    long = dataclasses.replace(COMPILED, steps=40, evaluation=EvaluationSettings(every=20, log_every=2))
    assert make(tmp_path / "run", name, long, net=TinyNet).run().warnings == []


def test_without_a_compiler_it_is_said_before_anything_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler .*install g\+\+, or go on without --compile"):
        compiled(lambda: None, torch.device("cpu"))
