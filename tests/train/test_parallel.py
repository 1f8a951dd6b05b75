"""Several processes compute what one does, to rounding, and may take over from each other."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from benchmarks import soak
from ssl_zoo import InputError
from ssl_zoo.cli import run
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.train.checkpoint import Checkpoints
from ssl_zoo.train.parallel import GlobalBatchNorm, joined, synchronise
from ssl_zoo.train.trainer import Trainer
from tests.conftest import DRAWN, FROM_RANDOM, RUN

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
QUICK = [
    *("--device", "cpu", "--steps", "8", "--set", "precision=fp32", "--set", "evaluation.unlabeled=40"),
    *(
        "--set",
        "evaluation.every=4",
        "--set",
        "evaluation.log_every=1",
        "--set",
        "evaluation.mechanism=4",
        "--set",
        "datasets.digits.test_size=1600",
    ),
    *("--set", "optimizer.name=sgd", "--set", "optimizer.lr=0.05"),  # Adam makes a step of every rounding error
    *("--set", "batch={labeled: 8, unlabeled: 16, labeled_in_unlabeled: true}"),
]
RUNS = {
    **{name: ["--alg", name, "--net", "smallnet"] for name in FROM_RANDOM if name not in DRAWN},
    # At seed 0 a rectifier of step 2 stands at its kink: another order of the sums in batch norm turns it, in one process too.
    "comatch": ["--alg", "comatch", "--net", "smallnet", "--seed", "1"],
    "mean-only": [
        *("--alg", "pimodel", "--net", "convnet13", "--set", "evaluation.every=8", "--set", "optimizer.lr=0.005"),
        *("--set", "nets.convnet13={norm: weight, noise: 0, drop_rate: 0}"),
    ],
}


def child(rank, processes, port, runs, die_at, infinite_at, log):
    """One of the processes, with what torchrun would have told it: runs one after the other, as one group."""
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    torch.set_num_threads(1)
    inner = Trainer.step

    def step(trainer, number, *args, **kwargs):
        if number == die_at:
            trainer.checkpoints.wait()
            os._exit(9)
        if number == infinite_at and rank == 1:
            loss = trainer.algorithm.loss
            trainer.algorithm.loss = lambda *args: (out := loss(*args))._replace(total=out.total + float("inf"))
            try:
                return inner(trainer, number, *args, **kwargs)
            finally:
                trainer.algorithm.loss = loss
        return inner(trainer, number, *args, **kwargs)

    Trainer.step = step
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file), joined("cpu"):
        for argv in runs:
            status = run.main(argv)
            if status:
                sys.exit(status)


def together(processes, folder, runs, die_at=None, infinite_at=None):
    """Let so many processes make runs; returns their exit statuses and what they said."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        args = (rank, processes, port, runs, die_at, infinite_at, folder / "log")
        started.append(soak._FORKS.Process(target=child, args=args))
        started[-1].start()
    for process in started:
        process.join()
    return [process.exitcode for process in started], (folder / "log").read_text()


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same(one, other):
    """Metrics and weights of two runs' folders, to rounding."""
    lines = metrics(one), metrics(other)
    assert len(lines[0]) == len(lines[1])
    for a, b in zip(*lines, strict=True):
        # an image on the border between two classes may change sides
        assert a.keys() == b.keys() and a == pytest.approx(b, rel=2e-3, abs=2e-5 if "train/total" in a else 0.01)
    a, b = (Checkpoints(folder).load(torch.device("cpu"))["algorithm"] for folder in (one, other))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=5e-4, msg=lambda said, name=name: f"{name}: {said}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Folders of the runs, made by one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name, words in RUNS.items():
        assert run.main([*QUICK, *words, "--out", str(folder / name)]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_every_method_gives_what_one_process_gives(processes, alone, tmp_path):
    runs = [[*QUICK, *words, "--out", str(tmp_path / name)] for name, words in RUNS.items()]
    status, said = together(processes, tmp_path, runs)
    assert status == [0] * processes, said
    for name in RUNS:
        assert_same(alone / name, tmp_path / name)
        row = json.loads((tmp_path / name / "result.json").read_text())
        assert row["device"].startswith(f"{processes} x ") and len(row["evaluations"]) == 8 // (8 if name == "mean-only" else 4)
    assert said.count("curves of its 8 steps") == len(RUNS), "one process writes and speaks"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(first, then, alone, tmp_path):
    argv = [*QUICK, *RUNS["tempens"], "--out", str(tmp_path / "run")]
    assert together(first, tmp_path, [argv], die_at=6)[0] == [9] * first
    assert not (tmp_path / "run/result.json").exists()
    status, said = together(then, tmp_path, [argv])
    assert status == [0] * then and "from step 4, " in said, said
    assert_same(alone / "tempens", tmp_path / "run")
    history = json.loads((tmp_path / "run/result.json").read_text())["history"]
    assert [part["step"] for part in history] == [0, 4]


@pytest.fixture
def two_machines():
    """Names of two network namespaces, joined by a cable: each has a network of its own, as a machine has."""
    names = [f"sslzoo{os.getpid()}{end}" for end in "ab"]

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.mark.slow
def test_two_machines_give_what_one_process_gives(two_machines, alone, tmp_path):
    """As docs/parallel.md says it, with the name of the network."""
    argv = [*QUICK, *RUNS["tempens"], "--out", str(tmp_path / "run")]
    more = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=10.77.0.1", "--master-port=29411"]
    started = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *TORCHRUN, *more, f"--node-rank={number}", RUN, *argv],
            env={**os.environ, "GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"},
            stdout=(tmp_path / name).open("w"),
            stderr=subprocess.STDOUT,
        )
        for number, name in enumerate(two_machines)
    ]
    said = [
        (process.wait(timeout=120), (tmp_path / name).read_text()) for process, name in zip(started, two_machines, strict=True)
    ]
    assert [status for status, _ in said] == [0, 0], said
    assert_same(alone / "tempens", tmp_path / "run")
    assert "curves of its 8 steps" in said[0][1] and "curves of its 8 steps" not in said[1][1]


def test_processes_that_cannot_be_reached(monkeypatch):
    def fails(*args, **kwargs):
        raise torch.distributed.DistBackendError("no way to 10.0.0.1\nand more")

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setattr(torch.distributed, "init_process_group", fails)
    with (
        pytest.raises(InputError, match=r"cannot reach each other \(no way to 10\.0\.0\.1\); .* as GLOO_SOCKET_IFNAME=eth0$"),
        joined("cpu"),
    ):
        pass


@pytest.mark.slow
def test_a_signal_to_torchrun_ends_all_of_them_at_one_step(tmp_path):
    argv = [*QUICK, "--alg", "meanteacher", "--net", "smallnet", "--steps", "100000", "--out", str(tmp_path / "run")]
    command = [*TORCHRUN, "--standalone", "--nproc-per-node=2", RUN, *argv]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while not (tmp_path / "run/checkpoint.pt").exists():
            time.sleep(0.1)
            assert process.poll() is None, (tmp_path / "log").read_text()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    (step,) = re.findall(r"run.py: ended by SIGTERM after step (\d+), with a checkpoint", (tmp_path / "log").read_text())
    assert Checkpoints(tmp_path / "run").load(torch.device("cpu"))["step"] == int(step)
    assert metrics(tmp_path / "run")[-1]["step"] == int(step)


def test_a_batch_that_cannot_be_divided(tmp_path):
    argv = ["--device", "cpu", "--net", "smallnet", "--set", "batch.labeled=7", "--out", str(tmp_path / "run")]
    status, said = together(2, tmp_path, [argv])
    assert status == [2, 2] and "run.py: 2 ranks do not divide the batch of 7 labelled and 44 unlabelled images" in said
    assert not (tmp_path / "run").exists()


def test_nets_are_left_alone_in_one_process():
    net = nn.Sequential(nn.BatchNorm2d(3))
    synchronise(net)
    assert type(net[0]) is nn.BatchNorm2d


def test_a_batch_norm_that_is_not_known_is_refused(monkeypatch):
    from ssl_zoo.train import parallel

    class Mine(nn.BatchNorm2d):
        pass

    monkeypatch.setattr(parallel, "ranks", lambda: 2)
    method = nn.ModuleDict({"net": nn.Sequential(nn.BatchNorm2d(3)), "head": nn.Sequential(nn.Linear(3, 3), Mine(3))})
    with pytest.raises(InputError, match=r"head\.1 is a Mine, which would normalise by a part of the batch"):
        synchronise(method)
    del method["head"][1]
    synchronise(method)
    synchronise(method)  # what is done is no reason to refuse
    assert type(method["net"][0]) is GlobalBatchNorm


def test_what_the_first_process_refuses_ends_the_others_in_silence(tmp_path):
    argv = [*QUICK, "--alg", "supervised", "--net", "smallnet", "--out", str(tmp_path / "run")]
    with RunFolder(tmp_path / "run").locked():
        status, said = together(2, tmp_path, [argv])
    assert status == [3, 1] and said.splitlines() == [
        f"run.py: another process is at work on {tmp_path}/run; wait for it, or choose another --out"
    ]


def test_a_loss_that_is_not_finite_in_one_process_stops_all_of_them(tmp_path):
    """With a gradient that is finite, so that only the loss of the second process tells."""
    argv = [*QUICK, "--alg", "supervised", "--net", "smallnet", "--set", "evaluation.log_every=4", "--out", str(tmp_path / "run")]
    status, said = together(2, tmp_path, [argv], infinite_at=2)
    assert status == [1, 1] and "Traceback" not in said
    assert said.count("the loss is not finite (total from step 3; at step 4: ") == 2
    assert not (tmp_path / "run/checkpoint.pt").exists()


@pytest.mark.parametrize(("affine", "momentum", "track"), [(True, 0.1, True), (False, None, True), (True, 0.3, False)])
def test_the_batch_norm_is_torch_s_on_the_whole_batch(affine, momentum, track, monkeypatch):
    """Its formula, with a second process that holds the same images."""
    from ssl_zoo.train import parallel

    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    ours = nn.BatchNorm2d(3, affine=affine, momentum=momentum)
    ours.__class__ = GlobalBatchNorm
    theirs = nn.BatchNorm2d(3, affine=affine, momentum=momentum)
    if affine:
        nn.init.uniform_(ours.weight), nn.init.uniform_(ours.bias)
        theirs.load_state_dict(ours.state_dict())
    ours.track_running_stats = theirs.track_running_stats = track
    monkeypatch.setattr(parallel, "ranks", lambda: 2)
    monkeypatch.setattr(parallel, "gather_rows_grad", lambda rows: torch.cat((rows, rows)))
    for _ in range(2):
        out, expected = ours(x), theirs(torch.cat((x, x)))
        torch.testing.assert_close(out, expected[:5])
        weight = torch.randn_like(out)
        (a,) = torch.autograd.grad((out * weight).sum(), x)
        (b,) = torch.autograd.grad((expected[:5] * weight).sum(), x)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)
        assert ours.num_batches_tracked == theirs.num_batches_tracked
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.train()(x.bfloat16()).dtype == torch.bfloat16
