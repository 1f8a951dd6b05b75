"""How long a cell takes, before it is begun."""

from pathlib import Path

import ssl_zoo
from ssl_zoo.sweeps import clock
from ssl_zoo.sweeps.cells import Cell


def test_a_cell_of_epochs_takes_as_long_as_its_own_steps(monkeypatch):
    monkeypatch.setattr(clock, "seconds_per_step", lambda *given: 2.0)
    known = clock.Clock([], threads=1)

    def seconds(**length):
        settings = ssl_zoo.recipe("digits", alg="supervised", net="smallnet", labels=20, device="cpu", **length)
        return known.estimate(Cell("cell", settings, Path("none"), Path("none.log"))) - clock.START

    assert seconds(steps=7) == 14
    of_one = seconds(epochs=1)
    assert of_one == 2 * 30  # 1,297 images in batches of 44 unlabelled ones
    assert seconds(epochs=1000) == 2 * 29478  # 1,297,000 in the same batches
