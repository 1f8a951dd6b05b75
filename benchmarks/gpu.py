"""Check this project on a GPU and measure it there, within a given time: python benchmarks/gpu.py --minutes 9

There are four parts, the most important first. Each begins when the one before has ended, as long as time is left.

  checks   the tests that are for a GPU; then each method trains, once plainly, once compiled, twice for the same bits,
           once killed and resumed, and its loss is compared with the CPU's
  speed    benchmarks/speed.py: what a step costs
  rungs    from the recipe of one paper to that of another, one change at a time (docs/riddle.md), on CIFAR-10
  table    the accuracy of the methods on CIFAR-10

Each result is written as soon as it is there, so that an early end loses little. The same command goes on with what is
missing: results of this GPU that are in benchmarks/results/gpu or in --out already are not made again. Rungs and table
need the images that --prepare puts beside this checkout.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("SSL_ZOO_WORK", "/tmp/ssl_zoo_gpu"))  # what is not worth keeping
PIECES = ("checks", "speed", "rungs", "table")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what is asked for."""
    p = argparse.ArgumentParser(prog="gpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="how long it may take in all; it ends before, whatever is left (needed, but for --prepare)",
    )
    p.add_argument(
        "--only",
        default=",".join(PIECES),
        metavar="P,...",
        help=f"some of the parts: {', '.join(PIECES)}; all unless said otherwise",
    )
    p.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"), help="cpu: with --small, to try it without a GPU")
    p.add_argument(
        "--small", action="store_true", help="tiny nets and data, a minute or two: to see that it works; no figures to keep"
    )
    p.add_argument("--again", action="store_true", help="make results anew that are there already")
    p.add_argument(
        "--seed", type=int, default=0, metavar="S", help="seed of the runs of rungs and table, and of their labelled images (0)"
    )
    p.add_argument(
        "--out",
        type=Path,
        default=ROOT / "benchmarks/results/gpu",
        metavar="DIR",
        help="where results are written (benchmarks/results/gpu)",
    )
    p.add_argument(
        "--prepare",
        type=Path,
        metavar="ARCHIVE",
        help="measure nothing; put all that a machine without a network needs into .gpu/: a clone of this checkout, "
        "Python packages, and this archive of CIFAR-10's images in class folders. Copy .gpu/ there, and start it from the clone",
    )
    flags = p.parse_args(argv)
    flags.only = [word for word in flags.only.split(",") if word]
    if unknown := [word for word in flags.only if word not in PIECES]:
        p.error(f"--only has '{unknown[0]}'; there are {', '.join(PIECES)}")
    if flags.prepare is None and not (flags.minutes or 0) > 0:
        p.error("say how many --minutes there are, more than 0")
    if flags.prepare is not None and not flags.prepare.is_file():
        p.error(f"there is no archive {flags.prepare}")
    return flags


def carried() -> Path:
    """Return the folder that --prepare made: around this checkout, or in it."""
    return ROOT.parent if ROOT.parent.name == ".gpu" else ROOT / ".gpu"


def settle(device: str) -> None:
    """Let this process and those that it starts find this checkout and what it needs, and nothing of other sessions."""
    WORK.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT))
    path = [str(ROOT)]
    wheels = [*map(str, (carried() / "whl").glob("*.whl"))]
    if wheels and importlib.util.find_spec("jsonargparse") is None:
        site = WORK / "site"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
        subprocess.run([*pip, "--target", str(site), *wheels], check=True, stdout=subprocess.DEVNULL)
        sys.path.append(str(site))
        path.append(str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.environ |= {"PYTHONUNBUFFERED": "1", "SSL_ZOO_CACHE": str(WORK / "cache"), "OMP_NUM_THREADS": "1"}
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": str(WORK / "compiled"), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "4"  # of each process, of which several compile at a time
    owner = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(ROOT)}
    os.environ |= owner  # a copy may belong to somebody else
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.chdir(ROOT)  # a row names its images by a path from here


def gpu_is_there() -> bool:
    import torch  # now that its environment is set

    return torch.cuda.is_available()


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0; 1: something failed; 2: bad input.

    What there was no time for is no failure.
    """
    began = time.monotonic()
    flags = parse(argv)
    flags.began, flags.out = began, flags.out.resolve()
    if flags.prepare is not None:
        sys.path.insert(0, str(ROOT))
        from benchmarks.on_gpu.prepare import prepare

        return prepare(flags.prepare.resolve(), ROOT)
    signal.signal(signal.SIGALRM, _over)
    signal.setitimer(signal.ITIMER_REAL, max(0.85 * 60 * flags.minutes, 60 * flags.minutes - 2))  # whatever holds it up
    try:
        settle(flags.device)
        if flags.device != "cpu" and not gpu_is_there():
            print("gpu.py: there is no GPU; to try it here: --device cpu --small", file=sys.stderr, flush=True)
            return 2
        from benchmarks import on_gpu

        return on_gpu.work(flags, carried(), WORK)
    except TimeoutError as error:
        print(f"{error}, and nothing had begun; left out: {', '.join(flags.only)}", flush=True)
        os._exit(0)  # at once
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _over(number: int, frame: Any) -> None:
    raise TimeoutError("the time is over")


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # at once: to take torch down takes seconds
