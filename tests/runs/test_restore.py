"""A run as it stands in its folder, also one that an earlier version made."""

from pathlib import Path

import pytest
import torch

from ssl_zoo import InputError
from ssl_zoo.cli import run
from ssl_zoo.runs.restore import restore
from ssl_zoo.train.checkpoint import Checkpoints

QUICK = ["--net", "smallnet", "--alg", "meanteacher", "--device", "cpu", "--steps", "4", "--set", "evaluation.every=2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.main([*QUICK, "--out", "o"]) == 0
    return Path("o")


def changed(folder, change):
    checkpoints = Checkpoints(folder)
    state = checkpoints.load(torch.device("cpu"))
    change(state)
    checkpoints.save(state)
    checkpoints.wait()


def test_a_folder_of_an_earlier_version(folder):
    def older(state):
        del state["selected"], state["threads"]
        state["identity"] |= {"code": "0123456789ab", "source": "0123456789ab"}

    _, _, before = restore(folder)
    changed(folder, older)
    settings, inputs, trainer = restore(folder)
    assert settings.alg == "meanteacher" and len(inputs.facts.labeled) == 20 and trainer.start == 4
    pairs = zip(before.algorithm.state_dict().values(), trainer.algorithm.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_other_data_is_refused(folder):
    changed(folder, lambda state: state["identity"].update(data_hash="x"))
    with pytest.raises(InputError, match="holds a run with other images"):
        restore(folder)
