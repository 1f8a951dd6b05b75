"""Outputs that have few letters, and names that have many: every command works, or says in a line what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = [os.fsdecode(name) for name in (b"caf\xc3\xa9 $x^2$", b"bad\xff", b"two\nlines", b"x" * 200, b"<b>|&_")]
RUN = ["--net", "smallnet", "--device", "cpu", "--set", "batch={labeled: 4, unlabeled: 4}", "--set", "evaluation.log_every=1"]


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A folder of images whose classes have any names, in a folder that has one."""
    top = tmp_path_factory.mktemp("odd")
    for k, name in enumerate(CLASSES):
        for part in ("train", "test"):
            folder = top / "d\u00e9" / part / name
            folder.mkdir(parents=True)
            for i in range(2):
                noise = np.random.default_rng(10 * k + i + 5 * (part == "test")).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{i}.png")
    return top


def said(top, *words, encoding="ascii"):
    """Status, output and error of a command whose output is in an encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "SSL_ZOO_CACHE": str(top / "cache")}
    command = [sys.executable, "-m", "ssl_zoo", *map(str, words)]
    done = subprocess.run(command, cwd=top, env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True)
    error = done.stderr.decode(encoding)
    assert "Traceback" not in error, error
    return done.returncode, done.stdout.decode(encoding), error


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_every_command(encoding, top):
    data, of = ["--dataset", "folder", "--data-root", "d\u00e9", "--labels", "all"], f"o\u00e9\udcff-{encoding}"
    for alg in ("supervised", "meanteacher"):
        status, out, error = said(top, "run", *RUN, *data, "--alg", alg, "--steps", 2, "--out", f"{of}/{alg}", encoding=encoding)
        assert status == 0 and f"/{alg}/" in out, error
        assert json.loads((top / of / alg / "result.json").read_text())["classes"] == sorted(CLASSES)
    for kind in ("curves", "confusion"):
        status, _, error = said(top, "plot", of, "--kind", kind, "--out", "p.png", encoding=encoding)
        assert (status, error) == (0, "") and (top / "p.png").stat().st_size > 1000
    status, out, _ = said(top, "compare", f"{of}/supervised", f"{of}/meanteacher", encoding=encoding)
    assert status == 0 and "alg: supervised and meanteacher" in out
    for kind in ("md", "tex", "html", "csv"):
        status, out, error = said(top, "table", of, "--format", kind, encoding=encoding)
        if encoding == "utf-8":
            assert status == 0 and "meanteacher" in out and "d\u00e9" in out
        else:
            assert (
                status == 2
                and out == ""
                and error.splitlines()[-1].endswith(  # of the data's name, or of plus and minus
                    "'; PYTHONIOENCODING=utf-8 before the command lets it be written"
                )
                and "the output is in ascii, which has no '" in error
            )
        assert said(top, "table", of, "--format", kind, "--out", "t", encoding=encoding)[0] == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_commands_of_many_runs(encoding, top):
    shared = ["--device", "cpu", "--set", "batch={labeled: 4, unlabeled: 4}"]
    grid = ["--recipe", "digits", "--algs", "supervised", "--nets", "smallnet", "--labels", "all", "--steps", 2]
    out = f"s\u00e9\udcff-{encoding}"
    status, shown, error = said(
        top, "sweep", *grid, *shared, "--data-root", "d\u00e9", "--set", "dataset=folder", "--out", out, encoding=encoding
    )
    assert status == 0 and "1 of 1 cells are finished" in shown, error
    Path(top, "l.yaml").write_text(
        "digits:\n  base: {dataset: digits, net: smallnet, alg: supervised, steps: 2, labels: 20}\n"
        "  rungs: {A: {change: 'caf\u00e9 | $x$'}}\n",
        encoding="utf-8",
    )
    out = f"l\u00e9\udcff-{encoding}"
    status, shown, error = said(
        top, "ladder", "--ladder", "l.yaml", "--seeds", "0", "--device", "cpu", "--out", out, encoding=encoding
    )
    assert status == 0 and ("caf\u00e9 \\| \\$x\\$" if encoding == "utf-8" else "caf\\xe9 \\| \\$x\\$") in shown, error
    assert "caf\u00e9" in Path(top, out, "ladder.md").read_text(encoding="utf-8") and "rows.jsonl" in shown
