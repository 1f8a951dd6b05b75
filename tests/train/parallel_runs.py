"""Run in every process that torchrun starts: command lines of run.py one after the other, as one group.

Args: a JSON file of {"runs": [argv, ...], "die_at": the step in which every process dies, or null}.
"""

import json
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks import run
from ssl_zoo.train.parallel import joined
from ssl_zoo.train.trainer import Trainer

asked = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
inner = Trainer.step


def step(trainer, number, *args, **kwargs):
    if number == asked["die_at"]:
        trainer.checkpoints.wait()
        os._exit(9)
    return inner(trainer, number, *args, **kwargs)


Trainer.step = step
with joined("cpu"):
    for argv in asked["runs"]:
        assert run.main(argv) == 0
