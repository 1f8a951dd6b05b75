"""Small things that many tests share: a tiny net, facts, a random batch."""

import functools
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of numpy and of runs that tests start; more threads only wait for each other

import pytest
import torch
from torch import Tensor, nn

from ssl_zoo import ALGORITHMS, Batch, Facts, plugins
from ssl_zoo.registry import REGISTRIES
from ssl_zoo.runs.baselines import is_baseline
from ssl_zoo.testing.check import CHECKS

torch.set_num_threads(1)

RUN = str(Path(__file__).parent.parent / "benchmarks/run.py")  # the command, as a script
K, ROWS, B, U = 3, 12, 4, 6
BASELINES = [name for name in ALGORITHMS.names() if is_baseline(name)]  # fitted at once
STEPPED = [name for name in ALGORITHMS.names() if name not in BASELINES]  # trained in steps
DRAWN = {"adamatch", "ict", "mixmatch", "remixmatch", "vat"}  # whose loss draws at random, each process for itself
FROM_RANDOM = [name for name in STEPPED if not ALGORITHMS.resolve(name).target.needs_weights]


# Of tests that ask the same of many, how many are asked unless --all is given, so that the suite fits into a check of a change.
FEWER = {
    "algorithms/test_conformance.py::test_it_passes": len(CHECKS) * len(STEPPED),  # without methods that no name stands for
    "algorithms/test_conformance.py::test_it_passes_with_other_switches": 4,
    "cli/test_new.py::test_a_method_runs_as_printed": 0,  # as .ci/run does
    "cli/test_new.py::test_a_net_runs_as_printed": 0,
    "cli/test_new.py::test_a_data_set_runs_as_printed": 0,
    "cli/test_new.py::test_an_augmentation_runs_as_printed": 0,
    "nets/test_all_nets.py::test_traces_as_one_graph": 6,
    "nets/test_torchvision_nets.py::test_every_model": 8,
    "reliability/test_kills.py::test_random_kills_change_no_bit": 2,
    "reliability/test_kills.py::test_a_kill_at_the_worst_moment_changes_no_bit": 7,
    "reliability/test_numbers.py::test_a_disk_that_fills_up": 2,
    "runs/test_layers.py::test_the_gradient_in_bf16_is_nearly_that_in_fp32": 3,
    "sweeps/test_slurm.py::test_ctrl_c_cancels_its_jobs_and_the_same_command_goes_on": 0,  # of a sweep without SLURM it is asked
    "sweeps/test_slurm.py::test_a_job_whose_time_is_up_is_put_in_again_and_goes_on": 0,
    "test_packaging.py::test_a_run_a_sweep_a_table_and_a_method_without_the_checkout": 0,  # as .ci/run does
    "test_gpu.py::test_all_of_it_on_the_cpu_and_nothing_twice": 0,  # as .ci/run does
    "using/test_export.py::test_every_net": 4,
}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="ask of every net, kill and option what else a few stand for")
    parser.addoption("--gpu-device", choices=("cuda", "cpu"), help="where tests marked gpu run: cpu tries their own code")
    parser.addoption("--shard", metavar="I/N", help="of the tests marked gpu every Nth from the Ith, from 1: N calls ask all")


def gpu_device(config) -> str | None:
    """Where tests marked gpu run; None where they are not asked for."""
    asked = re.search(r"(?<!not )\bgpu\b", config.option.markexpr or "")
    return config.getoption("--gpu-device") or ("cuda" if asked else None)


def pytest_configure(config):
    if gpu_device(config) == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU is first used; of deterministic runs
    else:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the promises tested here are the CPU's


def pytest_collection_modifyitems(config, items):
    of_gpu(config, items)
    fewer(config, items)


def of_gpu(config, items):
    """Skip what is asked of a GPU, where none is asked for or none is there; keep a shard of it."""
    device = gpu_device(config)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    for item in marked:
        stands = getattr(getattr(item, "callspec", None), "id", "") in item.get_closest_marker("gpu").args
        if device is None and not stands:
            item.add_marker(pytest.mark.skip(reason="asked of a GPU: pytest -m gpu"))
        elif device == "cuda" and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))
    if config.getoption("--shard"):
        place, count = map(int, config.getoption("--shard").split("/"))
        kept = {*marked[place - 1 :: count]}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def fewer(config, items):
    """Leave out what a few stand for, where nothing narrower than a file is asked for."""
    named = any("::" in word for word in config.args) or config.option.keyword
    if config.getoption("--all") or named:
        return
    seen, kept, left = dict.fromkeys(FEWER, 0), [], []
    for item in items:
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        if name in seen:
            seen[name] += 1
        (left if name in seen and seen[name] > FEWER[name] else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


class TinyNet(nn.Module):
    """A convolution, perhaps a batch norm, an average and a linear layer: images (n, 2, 5, 5) to logits (n, 3)."""

    def __init__(self, norm: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.head = nn.Linear(4, K)
        self.num_features = 4

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        return f.mean(dim=(2, 3)) if pre_logits else self.head(f.mean(dim=(2, 3)))


def garbled(entry, labeled):
    """The entry of digits, whose data have wrong labels but for these rows."""

    @functools.wraps(entry.target)  # with its options
    def garbage(root, **options):
        data = entry.target(root, **options)
        labels = (data.labels + 3) % 10
        labels[labeled] = data.labels[labeled]
        return data._replace(labels=labels)

    return entry._replace(target=garbage)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path_factory):
    """What a test registers and imports from a folder of its own is forgotten after it: no test sees another's plug-in."""
    registered = [(dict(registry._entries), list(registry._families)) for registry in REGISTRIES]
    loaded, modules, path = set(plugins._loaded), set(sys.modules), list(sys.path)
    yield
    for registry, (entries, families) in zip(REGISTRIES, registered, strict=True):
        registry._entries, registry._families = entries, families
    folder = str(tmp_path_factory.getbasetemp())
    for name in {*sys.modules} - modules:
        if folder in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    plugins._loaded, sys.path[:] = loaded, path


@pytest.fixture
def facts() -> Facts:
    return Facts(K, ROWS, torch.arange(4), torch.tensor([0, 1, 2, 0]), torch.arange(ROWS))


@pytest.fixture
def net() -> TinyNet:
    torch.manual_seed(0)
    return TinyNet()


def make_batch(views: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """A batch of random images; every view differs."""
    g = torch.Generator().manual_seed(seed)
    images = [torch.randn(n, 2, 5, 5, generator=g, dtype=torch.float64).to(dtype) for n in (B, *[U] * views)]
    u_index = torch.randperm(ROWS, generator=g)[: U if views else 0]
    return Batch(images[0], torch.tensor([0, 1, 2, 0]), torch.arange(B), tuple(images[1:]), u_index)
