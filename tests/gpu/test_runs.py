"""Runs on a GPU: the same bits twice and after a kill, whatever the options, and beside other runs."""

import pytest
import torch

from benchmarks.soak import differences
from ssl_zoo.cli import grids
from ssl_zoo.runs.execute import execute
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.sweeps.engines import LocalEngine
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.trainer import Trainer
from tests.conftest import FROM_RANDOM
from tests.gpu.tiny import DATA, settings, trainer

LARGE = ("convnet13", "wrn28_2", "wrn13_1", "shakeshake26", "resnet18", "torchvision:mobilenet_v3_small")


class Killed(BaseException):
    """As a kill: nothing is written any more."""


def run(alg, device, folder, **more):
    return execute(settings(alg, device, **more), folder, data=DATA, quiet=True, warn=lambda line: None)


@pytest.mark.gpu("fixmatch")
@pytest.mark.parametrize("alg", FROM_RANDOM)
def test_deterministic_runs_have_the_same_bits(alg, device, tmp_path, monkeypatch):
    for name in ("one", "other"):
        run(alg, device, tmp_path / name, deterministic=True)
    assert differences(tmp_path / "one", tmp_path / "other") == []

    step = Trainer.step

    def killed(self, number, *given, **named):
        if number == 6:
            raise Killed
        return step(self, number, *given, **named)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "step", killed)
        run(alg, device, tmp_path / "killed", deterministic=True)
    assert Checkpoints(tmp_path / "killed").load(torch.device("cpu"))["step"] == 4
    run(alg, device, tmp_path / "killed", deterministic=True)
    assert differences(tmp_path / "one", tmp_path / "killed") == []


OPTIONS = {
    "average": {"eval_ema": 0.99},
    "zca": {"input": "zca", "views": {"weak": {"flip": {}}}},
    "skip": {"on_nan": "skip", "optimizer": {"clip": 1.0}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 1e-3}},
    "mechanism": {"evaluation": {"every": 4, "mechanism": 2}},
    "held_out": {"val_fraction": 0.5, "selection": "validation"},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.gpu("average", "skip")
@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_with_options(name, device, tmp_path):
    row = run("pimodel", device, tmp_path / "run", **OPTIONS[name])
    assert row["steps"] == 8 and row["device"].startswith(torch.cuda.get_device_name() if device == "cuda" else "")
    assert (row["peak_memory"] or 0) > 0


@pytest.mark.gpu("wrn28_2")
@pytest.mark.parametrize("net", LARGE)
def test_every_kind_of_net_is_the_same_twice(net, device):
    """With operations that are; one that has none of them would say so."""
    totals = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            made = trainer("meanteacher", device, net=net, batch={"labeled": 4, "unlabeled": 4})
            made.step(0)
            totals.append(made.step(1)[0]["total"].detach())
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*totals) and totals[0].isfinite()


@pytest.mark.gpu
@pytest.mark.slow
def test_runs_side_by_side_have_the_bits_of_one_alone(device, tmp_path):
    """Three processes on one device, as a sweep makes them."""
    views = {"weak": {}, "strong": {"cutout": {}}}
    alone = settings("fixmatch", device, deterministic=True, dataset="digits", views=views, threads=1)
    cells = [Cell(name, alone, tmp_path / name, tmp_path / f"{name}.txt") for name in ("first", "second", "third")]
    execute(alone, tmp_path / "alone", quiet=True)
    engine = LocalEngine(grids.make, ["0" if device == "cuda" else ""], 3, 1)
    try:
        handles = {engine.submit(cell) for cell in cells}
        while handles:
            for handle, ended in [*engine.ended(handles, 10)]:
                assert ended.status == 0, ended.says
                handles.discard(handle)
    finally:
        engine.close()
    assert [differences(tmp_path / "alone", cell.path) for cell in cells] == [[], [], []]
