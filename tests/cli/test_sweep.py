"""A grid of runs: planned, interrupted, gone on with, shared, and on two engines with the same result."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_zoo import ALGORITHMS, InputError
from ssl_zoo.cli import grids, run, sweep
from ssl_zoo.errors import BusyError
from ssl_zoo.runs import row as results
from ssl_zoo.runs.folder import LOCK, RunFolder
from ssl_zoo.sweeps import clock, slots

ROOT = Path(__file__).parent.parent.parent
SWEEP = [sys.executable, str(ROOT / "benchmarks/sweep.py")]
TIMES = {"seconds", "seconds_training", "images_per_second", "peak_memory"}
FAILING = """
from ssl_zoo import ALGORITHMS
from ssl_zoo.algorithms.supervised import Supervised

@ALGORITHMS.register("failing")
class Failing(Supervised):
    '''Supervised, up to a point.'''

    def loss(self, batch, progress):
        if progress > 0.5:
            raise ValueError("half-way")
        return super().loss(batch, progress)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("PYTHONPATH", raising=False)


def grid(*more, algs="supervised,pimodel", labels="20", seeds="0-1", steps=12, out="grid"):
    """A command line."""
    words = ["--recipe", "digits", "--algs", algs, "--nets", "smallnet", "--labels", labels, "--seeds", seeds]
    return [*words, "--steps", str(steps), "--out", out, "--set", "evaluation.every=4", *more]


def rows(out):
    """The results of a grid without what depends on time, by cell."""
    found = {path.parent.name: json.loads(path.read_text()) for path in Path(out).glob("*/result.json")}
    return {name: {key: value for key, value in row.items() if key not in TIMES} for name, row in found.items()}


def test_numbers_and_ranges():
    assert grids.seeds("0-2,7,1") == [0, 1, 2, 7]
    for bad in ("", "a", "3-1", "-1", "1.5"):
        with pytest.raises(InputError, match="--seeds"):
            grids.seeds(bad)
    assert [clock.shown(s) for s in (40, 600, 12_000)] == ["40 s", "10 min", "3 h 20 min"]


def test_a_dry_run_shows_the_plan_and_leaves_nothing(capsys):
    assert sweep.main(grid("--dry-run", algs="supervised,meanteacher", labels="20,all", seeds="0-2")) == 0
    out = capsys.readouterr().out
    assert "12 cells: 2 methods x 1 net x 2 numbers of labels x 3 seeds" in out and "0 finished, 12 to run" in out
    assert "estimated time: " in out and not Path("grid").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--algs", "meenteacher"], "did you mean 'meanteacher'"),
        (["--nets", "wrn28"], "no net is called 'wrn28'"),
        (["--labels", "many"], "labels"),
        (["--set", "optimizer.rl=1"], "has no option 'rl'"),
        (["--jobs-per-device", "0"], "--jobs-per-device is 0"),
        (["--jobs-per-device", "many"], "'many' is neither a number nor auto"),
        (["--jobs-per-device", "auto", "--engine", "ray"], "with --engine ray give a number"),
        (["--device", "cuda"], "there is no GPU here"),
        (["--address", "x:1"], "add --engine ray"),
        (["--engine", "slurm"], "invalid choice"),
        (["--recipe", "none"], "no recipe is called 'none'"),
        (["--nets", ""], "--nets is empty"),
        (["--labels", ""], "--labels is empty"),
        (["--steps", ""], "steps"),
        (["--set", "seed=7"], "--set seed would be overridden by the grid; give --seeds"),
        (["--labels", "1000000"], "1000000"),
        (["--recipe", "cifar10"], "data"),
        (["--engine", "ray", "--address", f"{'a' * 70}:1"], "there is no Ray cluster at"),
        (["--out", f"{__file__}/x"], "is not a folder; choose another --out"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(flags, message, capsys):
    assert sweep.main([*grid(), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sweep.py: ") and message in error and len(error.splitlines()) == 1 and not Path("grid").exists()


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_and_ends_as_one_that_was_left_alone(capsys):
    process = subprocess.Popen([*SWEEP, *grid(steps=40)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(Path("grid").glob("*/checkpoint.pt")):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert "ended by SIGINT; the same command goes on" in process.communicate(timeout=60)[1] and process.returncode == 130
    assert len(rows("grid")) < 4
    done = subprocess.run([*SWEEP, *grid(steps=40)], capture_output=True, text=True)
    assert done.returncode == 0 and "4 of 4 cells are finished" in done.stdout
    alone = subprocess.run([*SWEEP, *grid("--jobs-per-device", "2", steps=40, out="alone")], capture_output=True, text=True)
    assert alone.returncode == 0 and rows("grid") == rows("alone") and len(rows("alone")) == 4
    assert len({row["split_hash"] for row in rows("grid").values()}) == 2, "one split a seed, whatever the method"
    assert sweep.main(grid(steps=40)) == 0 and "4 finished, 0 to run" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("SIGTERM", None), ("SIGINT", "SIGINT")])
def test_a_signal_leaves_no_run_behind(first, second):
    """One signal lets runs write a checkpoint; a second one does not wait for them. Neither leaves a process or a traceback."""
    command = [*SWEEP, *grid("--jobs-per-device", "2", steps=3000, algs="supervised", seeds="0-1")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    folders = [Path(f"grid/supervised-smallnet-20-s{seed}") for seed in (0, 1)]
    while not all((folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size for folder in folders):
        time.sleep(0.1)
        assert process.poll() is None
    runs = [worker_on(folder) for folder in folders]
    assert len({*runs}) == 2 and process.pid not in runs
    process.send_signal(getattr(signal, first))
    if second:
        time.sleep(0.05)
        process.send_signal(getattr(signal, second))
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + getattr(signal, first) and "Traceback" not in error
    assert f"ended by {first}; the same command goes on" in error
    assert not any(os.path.exists(f"/proc/{run}") for run in runs)
    if not second:
        assert all((folder / "checkpoint.pt").exists() for folder in folders)


@pytest.mark.slow
def test_two_sweeps_share_a_folder_and_run_no_cell_twice():
    both = [subprocess.Popen([*SWEEP, *grid()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert len(rows("grid")) == 4
    for cell in rows("grid"):
        assert len(list(Path("grid", cell, "tensorboard").iterdir())) == 1, "one run wrote one file"


@pytest.mark.slow
def test_a_failing_cell_is_tried_twice_and_reported_while_the_rest_goes_on():
    Path("failing.py").write_text(FAILING)
    other = [sys.executable, str(ROOT / "benchmarks/run.py"), "--net", "smallnet", "--alg", "supervised", "--steps", "2"]
    subprocess.run([*other, "--out", "grid/supervised-smallnet-20-s1"], check=True, capture_output=True)
    done = subprocess.run([*SWEEP, *grid("--plugin", "failing.py", algs="failing,supervised")], capture_output=True, text=True)
    assert done.returncode == 1 and "1 of 4 cells are finished" in done.stdout
    assert "no estimate for failing with smallnet: half-way" in done.stdout
    assert "cannot be run: supervised-smallnet-20-s1: " in done.stdout and "holds a run with other settings" in done.stdout
    for seed in (0, 1):
        said = "run.py: plug-in failing.py: the algorithm 'failing' raised ValueError: half-way ("
        assert f"failing-smallnet-20-s{seed} failed and is tried once more: {said}" in done.stderr
        assert f"not finished: failing-smallnet-20-s{seed}: {said}" in done.stderr
    assert Path("grid/logs/failing-smallnet-20-s0.txt").read_text().count("raised ValueError: half-way") == 2, "both tries"
    assert "Traceback" not in Path("grid/logs/failing-smallnet-20-s0.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["log_every", "every"])  # it shows in the loss, or in the scores
def test_a_cell_that_diverges_is_not_tried_again_and_is_counted(when):
    """To try until the loss stays finite would choose among runs."""
    huge = ["--set", "optimizer.lr=1e30", "--set", f"evaluation.{when}=1", "--set", "schedule.name=constant"]
    command = [*SWEEP, *grid(*huge, algs="supervised")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "0 of 2 cells are finished and 2 diverged" in done.stdout
    assert "tried once more" not in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count(" diverged: the ") == 2 and "not finite" in done.stderr
    assert [results.is_lost(row) for row in results.read_all_rows([Path("grid")])] == [True, True]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "2 diverged before, such as supervised-smallnet-20-s0" in again.stdout
    assert "0 finished, 0 to run" in again.stdout
    other = subprocess.run([*command, "--set", "optimizer.momentum=0.5"], capture_output=True, text=True)
    assert other.returncode == 1 and "0 of 2 cells are finished, in" in other.stdout, "they are of other settings, not diverged"


def test_a_folder_belongs_to_one_process_at_a_time(capsys):
    with RunFolder(Path("o")).locked():
        status = run.main(["--net", "smallnet", "--alg", "supervised", "--steps", "2", "--out", "o"])
        assert status == 3 and "another process is at work on o" in capsys.readouterr().err
        with pytest.raises(BusyError), RunFolder(Path("o")).locked():
            pass
    assert not Path("o").exists(), "nothing was written, so nothing is left"
    killed = """
import time
from pathlib import Path
from ssl_zoo.runs.folder import RunFolder
with RunFolder(Path("o")).locked():
    print(flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", killed], stdout=subprocess.PIPE, env=environment)
    process.stdout.readline()
    process.kill()
    process.wait()
    assert run.main(["--net", "smallnet", "--alg", "supervised", "--steps", "2", "--out", "o"]) == 0, "a crash leaves no lock"


@pytest.mark.slow
def test_ray_gives_the_same_rows_though_a_worker_is_killed():
    """On a cluster of two nodes, each with one processor; one of the workers dies in the middle of a run."""
    pytest.importorskip("ray", reason='needs pip install "ssl_zoo[ray]"')
    import ray
    from ray.cluster_utils import Cluster

    local = subprocess.run([*SWEEP, *grid("--jobs-per-device", "2", steps=120, out="local")], capture_output=True, text=True)
    assert local.returncode == 0, local.stderr
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        flags = ["--engine", "ray", "--address", cluster.address, "--jobs-per-device", str(len(os.sched_getaffinity(0)))]
        process = subprocess.Popen([*SWEEP, *grid(*flags, steps=120, out="ray")], stderr=subprocess.PIPE, text=True)
        while not (begun := list(Path("ray").glob("*/checkpoint.pt"))):
            time.sleep(0.02)
            assert process.poll() is None, process.stderr.read()
        killed = begun[0].parent
        os.kill(worker_on(killed), signal.SIGKILL)
        errors = process.communicate(timeout=200)[1]
        assert process.returncode == 0, errors
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert rows("ray") == rows("local") and len(rows("ray")) == 4
    starts = re.findall(r"from step (\d+), ", Path(f"ray/logs/{killed.name}.txt").read_text())
    assert len(starts) == 2 and int(starts[0]) == 0 < int(starts[1]), "the cell of the killed worker was gone on with"


def worker_on(folder):
    """The process that holds a cell's lock."""
    lock = (folder / LOCK).resolve()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(link.resolve() == lock for link in (process / "fd").iterdir()):
                return int(process.name)
    raise AssertionError(f"nobody is at work on {folder}")


@pytest.mark.slow
def test_ray_on_this_machine_ends_with_checkpoints():
    """Without an address it starts a cluster of its own; Ctrl-C asks its tasks to end, and the same command goes on."""
    pytest.importorskip("ray", reason='needs pip install "ssl_zoo[ray]"')
    command = [*SWEEP, *grid("--engine", "ray", steps=400, algs="supervised", seeds="0", out="ray")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    metrics = Path("ray/supervised-smallnet-20-s0/metrics.jsonl")
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert "ended by SIGINT" in process.communicate(timeout=100)[1] and process.returncode == 130
    log = Path("ray/logs/supervised-smallnet-20-s0.txt").read_text()
    assert "run.py: ended by SIGINT after step" in log
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "1 of 1 cells are finished" in done.stdout, done.stderr
    log = Path("ray/logs/supervised-smallnet-20-s0.txt").read_text()
    step = int(re.search(r"ended by SIGINT after step (\d+)", log)[1])
    assert f"from step {step}, " in log and step > 0


def test_an_address_without_a_cluster_is_one_line(capsys):
    pytest.importorskip("ray", reason='needs pip install "ssl_zoo[ray]"')
    assert sweep.main(grid("--engine", "ray", "--address", "127.0.0.1:1")) == 2
    assert "there is no Ray cluster at 127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "gpus", "visible", "asked", "count", "devices"),
    [
        ([], 0, None, [], 4, [""] * 4),  # one to a core
        (["--jobs-per-device", "3"], 2, None, [], 6, ["0", "1"] * 3),
        # ten cells on two GPUs, five to each at most; three of one method are best, and of the other not more than two
        ([], 2, None, [("supervised", "0", 5, 2), ("pimodel", "0", 3, 2)], 4, ["0", "1"] * 2),
        ([], 2, "3,5", [("supervised", "3", 5, 2), ("pimodel", "3", 3, 2)], 4, ["3", "5"] * 2),
        (["--seeds", "0-19"], 1, None, [("supervised", "0", 16, 4), ("pimodel", "0", 3, 4)], 2, ["0"] * 2),
        (["--jobs-per-device", "auto"], 0, None, [("supervised", "", 10, 4), ("pimodel", "", 3, 4)], 2, [""] * 2),
    ],
)
def test_how_many_runs_share_a_device(flags, gpus, visible, asked, count, devices, monkeypatch, capsys):
    measured = []

    def measure(settings, plugins, device, most, threads):
        measured.append((settings.alg, device, most, threads))
        return {"supervised": {1: 10.0, 3: 30.0, 5: 31.0}, "pimodel": {1: 10.0, 2: 20.0, 3: 21.0}}[measured[-1][0]]

    monkeypatch.setattr(slots.torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(slots.torch.cuda, "get_device_name", lambda number: "a GPU")
    monkeypatch.setattr(slots, "cores", lambda: 4)
    monkeypatch.setattr(slots.share, "measured_with", measure)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    parsed = sweep.parser().parse_args([*grid(seeds="0-4"), *flags])
    cells = sweep.cells_of(parsed, Path("grid"))
    engine, found, threads = slots.make_engine(grids.where_of(parsed), cells, grids.make)
    assert (measured, found, threads) == (asked, count, max(1, 4 // count))
    assert [engine._devices.get() for _ in range(count)] == devices
    engine.close()
    if asked:  # the cells that are left go on as the others began
        measured.clear()
        assert (
            slots.make_engine(grids.where_of(parsed), cells[:1], grids.make)[1:] == (count, max(1, 4 // count)) and not measured
        )
        assert "as measured before (grid/jobs.json)" in capsys.readouterr().out
        Path("grid/jobs.json").write_text("{")
        with pytest.raises(InputError, match=r"grid/jobs\.json is not JSON .*; remove it"):
            slots.make_engine(grids.where_of(parsed), cells, grids.make)


def test_a_cell_that_cannot_run_does_not_keep_the_others_from_being_measured(monkeypatch, capsys):
    def measure(settings, plugins, device, most, threads):
        if settings.alg == "supervised":
            raise InputError("a copy of the run makes no steps: my bug")
        return {1: 10.0, 2: 20.0}

    monkeypatch.setattr(slots.share, "measured_with", measure)
    parsed = sweep.parser().parse_args(grid("--jobs-per-device", "auto"))
    engine, count, _ = slots.make_engine(grids.where_of(parsed), sweep.cells_of(parsed, Path("grid")), grids.make)
    engine.close()
    assert count == 2 and "my bug" in capsys.readouterr().out


def test_a_dry_run_measures_nothing(monkeypatch, capsys):
    monkeypatch.setattr(slots.share, "measured_with", lambda *args: pytest.fail("measured"))
    assert sweep.main(grid("--jobs-per-device", "auto", "--dry-run")) == 0
    assert "is measured at the start; this plan is for one" in capsys.readouterr().out and not Path("grid").exists()


@pytest.mark.slow
def test_a_program_that_calls_a_sweep_is_not_run_again_by_its_cells():
    """A new process would otherwise begin with the program's own file, and that with another sweep."""
    Path("program.py").write_text(
        "import sys\nfrom ssl_zoo.cli import sweep\n"
        "open('ran.txt', 'a').write('once ')\n"
        f"sys.exit(sweep.main({grid('--device', 'cpu', algs='supervised', steps=4)!r}))\n"
    )
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True)
    assert done.returncode == 0 and "2 of 2 cells are finished" in done.stdout, done.stderr
    assert Path("ran.txt").read_text() == "once "


@pytest.mark.slow
def test_other_code_of_a_plug_in_is_stale_too():
    command = [*SWEEP, *grid("--plugin", "failing.py", "--device", "cpu", algs="failing", seeds="0", steps=4)]
    whole = FAILING.replace("progress > 0.5", "False")
    Path("failing.py").write_text(whole)
    subprocess.run(command, check=True, capture_output=True)
    before = rows("grid")["failing-smallnet-20-s0"]
    Path("failing.py").write_text(f"{whole}# changed\n")
    done = subprocess.run(command, capture_output=True, text=True)
    assert "1 finished, of these 1 with other code" in done.stdout and "--rerun-stale" in done.stdout
    assert rows("grid")["failing-smallnet-20-s0"] == before
    anew = subprocess.run([*command, "--rerun-stale"], capture_output=True, text=True)
    assert anew.returncode == 0 and "1 of 1 cells are finished" in anew.stdout, anew.stderr
    after = rows("grid")["failing-smallnet-20-s0"]
    assert after["plugins"] != before["plugins"] and after["evaluations"] == before["evaluations"]


def test_a_run_s_words_are_a_sweep_s(capsys):
    """Each flag of a run is one of a sweep, which takes many values where it says so; and means the same."""
    of_run = {option for action in run.parser()._actions for option in action.option_strings}
    of_sweep = {option for action in sweep.parser()._actions for option in action.option_strings}
    assert of_run - of_sweep == {"--list", "--print-config", "--minutes", "--folds"}  # of one run
    shared = shlex.split(
        "--dataset digits --val-fraction 0.2 --split-seed 7 --threads 2 --strict --deterministic --compile --on-nan skip "
        "--steps 9 --budget short --preset tutorial --device cpu --set eval_ema=0.9 --data-root '~/x' --alg pimodel --net mlp "
        "--labels 30 --seed 3"
    )
    (cell,) = sweep.cells_of(sweep.parser().parse_args(shared), Path("out"))
    assert cell.settings == run.read_settings(run.parse(shared))
    plural = [{"--alg": "--algs", "--net": "--nets", "--seed": "--seeds"}.get(word, word) for word in shared]
    assert sweep.cells_of(sweep.parser().parse_args(plural), Path("out"))[0].settings == cell.settings
    two = sweep.cells_of(sweep.parser().parse_args(["--seeds", "0,1", "--split-seed", "7"]), Path("out"))
    assert [(cell.settings.seed, cell.settings.split_seed) for cell in two] == [(0, 7), (1, 7)]
    two = sweep.cells_of(sweep.parser().parse_args(["--seeds", "0,1"]), Path("out"))
    assert [(cell.settings.seed, cell.settings.split_seed) for cell in two] == [(0, 0), (1, 1)]
    assert [(cell.settings.alg, cell.settings.net, cell.settings.labels) for cell in two] == [("meanteacher", "wrn28_2", 20)] * 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--lr", "0.1"], "unknown argument '--lr'; did you mean --set optimizer.lr=0.1?"),
        (["--set", "lr=0.1"], "there is no setting 'lr'; did you mean --set optimizer.lr=0.1?"),
        (["--epochs", "10"], "a run's length is --steps"),
        (["--list"], "unknown argument '--list'; `run --list` has it; settings are given as --set KEY=VALUE"),
        (["--resume"], "none is needed: the same command goes on"),
        (["--algs", "pimodel", "--weight", "3"], "did you mean --set algorithms.pimodel.weight=3?"),
        (["--nets", "vit_b_16"], "did you mean 'torchvision:vit_b_16'?"),
        (["--steps", "3", "--set", "steps=4"], "steps is given twice, by --steps and by --set; keep one"),
        (["--set", "split_seed=3"], "--set split_seed would be overridden by the grid; give --split-seed"),
        (["--device", "cuda:1"], "give --device cuda, with CUDA_VISIBLE_DEVICES=1 before the command"),
        (["--device", "gpu"], "--device = 'gpu' is unknown: it must be one of auto, cpu, cuda"),
    ],
)
def test_first_mistakes(words, meant, capsys):
    assert sweep.main(words) == 2
    error = capsys.readouterr().err
    assert meant in error and len(error.splitlines()) == 1 and not Path("runs").exists()


@pytest.mark.slow
def test_fresh_moves_other_runs_aside_and_keeps_those_that_are_as_asked(capfd):
    words = grid("--device", "cpu", algs="supervised", seeds="0-1", steps=4)
    assert sweep.main(words) == 0
    other = [*words, "--steps", "5"]
    capfd.readouterr()
    assert sweep.main(other) == 1
    assert "choose another --out, or give --fresh, which begins anew and moves this one aside" in capfd.readouterr().err
    assert sweep.main([*other, "--seeds", "1-2", "--fresh"]) == 0
    out, error = capfd.readouterr()
    said = "a run that is of other settings or code will be moved aside, such as grid/supervised-smallnet-20-s1 to "
    assert f"{said}supervised-smallnet-20-s1.old-1, and stay on the disk until you remove them" in out, error
    steps = {path.parent.name: json.loads(path.read_text())["steps"] for path in Path("grid").glob("*/result.json")}
    name = "supervised-smallnet-20-s"
    assert steps == {f"{name}0": 4, f"{name}1.old-1": 4, f"{name}1": 5, f"{name}2": 5}
    assert f"the run that was in grid/{name}1 is now in grid/{name}1.old-1" in Path(f"grid/logs/{name}1.txt").read_text()
    assert sweep.main([*other, "--seeds", "0-2", "--fresh", "--dry-run"]) == 0
    assert "2 finished, 1 to run" in capfd.readouterr().out, "the same command goes on, and does not begin again"
    assert not Path(f"grid/{name}0.old-1").exists(), "a dry run moves nothing"


def test_a_file_of_jobs_that_holds_something_else_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "grid").mkdir()
    for content in ("[]", '{"supervised with smallnet on cpu": "two"}', '{"supervised with smallnet on cpu": 0}'):
        (tmp_path / "grid" / slots.JOBS).write_text(content)
        assert sweep.main(grid("--device", "cpu", "--jobs-per-device", "auto", algs="supervised")) == 2
        assert "does not hold numbers of runs by kind; remove it" in capsys.readouterr().err


def test_all_methods_are_those_that_the_net_can_be_trained_by(capsys):
    assert (
        sweep.main(["--algs", "all", "--net", "smallnet", "--seeds", "0-1", "--device", "cpu", "--out", "grid", "--dry-run"]) == 0
    )
    made = capsys.readouterr()
    count = len(ALGORITHMS.names()) - 1
    assert f"{2 * count} cells: {count} methods x 1 net" in made.out
    (said,) = [line for line in made.err.splitlines() if "--algs all" in line]
    assert "--algs all is without finetune with smallnet: it needs a net with weights" in said
    assert "--from MODEL gives it a trained net" in said, "the way to have it too"
    asked = sweep.grid_of(sweep.parser().parse_args(["--algs", "all", "--net", "smallnet", "--from", "a.safetensors"]))
    assert asked.left_out == {} and set(asked.flags.algs.split(",")) == {*ALGORITHMS.names()}


def test_a_reason_of_many_cells_is_said_once(capsys):
    """A method that needs weights, asked for by name with random ones."""
    words = ["--algs", "finetune,supervised", "--net", "smallnet", "--seeds", "0-2", "--device", "cpu", "--out", "grid"]
    assert sweep.main([*words, "--dry-run"]) == 1
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "needs a net with weights" in line]
    assert said.startswith("cannot be run: finetune-smallnet-20-s0 and 2 more: the method 'finetune' needs")
    assert sweep.main([*words, "--steps", "2", "--jobs-per-device", "1"]) == 1
    first, *others = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not finished: ")]
    assert first.startswith("not finished: finetune-smallnet-20-s0: the method 'finetune' needs a net with weights")
    assert others == [f"not finished: finetune-smallnet-20-s{seed}: as finetune-smallnet-20-s0" for seed in (1, 2)]


def test_all_methods_are_those_that_the_views_and_each_net_can_be_used_by(capsys):
    """The moons have no strong view; of two nets one has weights."""
    words = ["--seeds", "0", "--device", "cpu", "--out", "grid", "--dry-run"]
    assert sweep.main(["--recipe", "moons", "--algs", "ALL", *words]) == 0
    made = capsys.readouterr()
    assert "--algs all is without fixmatch with mlp: it asks for a view called 'strong', which the recipe does not" in made.err
    asked = sweep.grid_of(sweep.parser().parse_args(["--recipe", "moons", "--algs", "all"]))
    views = {alg: getattr(ALGORITHMS.resolve(alg).target, "views", ()) for alg in ALGORITHMS.names()}
    kept = {alg for alg in views if "strong" not in views[alg]}
    assert {*asked.flags.algs.split(",")} == kept - {"adamatch", "remixmatch", "finetune"} and "meanteacher" in kept
    nets = ["--nets", "smallnet,resnet18", "--set", "nets.resnet18.pretrained=true"]
    flags = sweep.parser().parse_args(["--algs", "all", *nets, "--steps", "2"])
    tuned = [cell.settings.net for cell in sweep.cells_of(flags, Path("grid")) if cell.settings.alg == "finetune"]
    assert tuned == ["resnet18"]


def test_all_methods_stand_alone(capsys):
    assert sweep.main(["--algs", "all,probe", "--dry-run"]) == 2
    assert "--algs all has every method in it; give it alone" in capsys.readouterr().err
