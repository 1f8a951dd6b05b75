"""A compiled loss against the eager one: the same run, to rounding."""

import dataclasses
import json
import shutil

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.settings import EvaluationSettings
from ssl_zoo.train.compile import compiled
from tests.conftest import STEPPED, TinyNet
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


@pytest.mark.parametrize("name", STEPPED)
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


def test_steps_that_are_looked_into_are_not_compiled(tmp_path, monkeypatch):
    """A second backward pass through CUDA graphs ends the process, and one node does not tell what its terms count for."""
    compiled_at, looked_at = [], []

    def fake(loss, **options):
        def call(batch, progress):
            compiled_at.append(round(12 * progress.item()) + 1)
            return loss(batch, progress)

        return call

    monkeypatch.setattr(torch, "compile", fake)
    settings = dataclasses.replace(COMPILED, evaluation=EvaluationSettings(every=5, log_every=4, mechanism=7))
    trainer = make(tmp_path / "run", settings=settings, net=TinyNet)
    inner = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: looked_at.append(len(compiled_at)) or inner(*args, **more))
    outcome = trainer.run()
    assert compiled_at == [1, 2, 3, 6, 9, 11], "steps 4, 8, 12 are logged, 5 and 10 evaluated, 7 measured"
    assert looked_at and outcome.warnings == [] and trainer.seconds_compiling > 0


def test_a_compiled_run_is_measured_as_any_other(tmp_path, monkeypatch):
    graphs, inner = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, mode: inner(loss, fullgraph=fullgraph, backend=backend)
    )
    found = []
    for name, settings in (("eager", SETTINGS), ("fast", COMPILED)):
        evaluation = EvaluationSettings(every=6, log_every=3, mechanism=4)
        make(tmp_path / name, settings=dataclasses.replace(settings, evaluation=evaluation), net=TinyNet).run()
        found.append(metrics(tmp_path / name))
    assert any("mechanism/gradient_ratio" in line for line in found[0]) and len(graphs) == 1, "nothing is compiled anew"
    for a, b in zip(*found, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["tempens", "meanteacher"])
def test_no_term_of_a_compiled_loss_is_said_to_do_nothing(name, tmp_path, monkeypatch):
    inner = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, mode: inner(loss, fullgraph=fullgraph, backend="aot_eager")
    )
    long = dataclasses.replace(COMPILED, steps=40, evaluation=EvaluationSettings(every=20, log_every=2))
    assert make(tmp_path / "run", name, long, net=TinyNet).run().warnings == []


def test_without_a_compiler_it_is_said_before_anything_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"`compile=True` needs a C\+\+ compiler .*install g\+\+, or go on without it"):
        compiled(lambda: None, torch.device("cpu"))
