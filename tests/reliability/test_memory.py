"""A data set that is larger than memory."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RUN = """
import resource, sys
from pathlib import Path
import numpy as np
from ssl_zoo.cli import run
from ssl_zoo.runs.execute import trainer_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo import config
from ssl_zoo.data.dataset import Dataset, fingerprint
from ssl_zoo.data.leakage import leaks, pictures

n = 120_000  # 1.4 GB, in a file that takes no room on the disk
images = np.lib.format.open_memmap(sys.argv[1], "w+", np.uint8, (n, 64, 64, 3))
images[:50] = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), np.uint8)
del images
images = np.load(sys.argv[1], mmap_mode="r")
labels = np.arange(n) % 10
data = Dataset("noise", images, labels, images[:50], labels[:50], tuple("abcdefghij"))
settings = {"alg": "meanteacher", "net": "smallnet", "labels": 100, "steps": 4, "device": "cpu"}
settings["evaluation"] = {"batch": 100}  # so that what a net holds of a batch is little, in 32 bits and with several threads too
settings = config.resolve(settings)
trainer_of(settings, choose_labels(settings, data), Path(sys.argv[2])).step(0)  # what torch needs of its own

held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (held + 500 * 2**20,) * 2)
try:
    np.array(images)
    sys.exit("the limit is none")
except MemoryError:
    pass
inputs = choose_labels(settings, data)
print(len(fingerprint(data)), len(leaks(*pictures(data.images[:1000], data.test_images))))
print(trainer_of(settings, inputs, Path(sys.argv[2])).run().evaluations[-1]["step"])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_a_set_that_is_larger_than_memory(tmp_path):
    """With a limit of 500 MB beyond what the process holds before it begins."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", RUN, str(tmp_path / "images.npy"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-3:] == ["32", "50", "4"]
