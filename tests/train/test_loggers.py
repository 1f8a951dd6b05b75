"""Experiment loggers: each step once, also of a run that was killed; nothing of the run depends on them."""

import dataclasses
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_zoo import InputError, api
from ssl_zoo.api import recipe
from ssl_zoo.cli import run
from ssl_zoo.runs.identity import identity_of
from ssl_zoo.runs.inputs import choose_labels, load_data
from ssl_zoo.train import loggers
from ssl_zoo.train.logs import RunLog

QUICK = ["--alg", "supervised", "--net", "smallnet", "--steps", "6", "--device", "cpu"]
QUICK += ["--set", "evaluation.every=3", "--set", "evaluation.log_every=2"]
STEPS = [2, 3, 3, 4, 6, 6]  # of the lines of metrics.jsonl: losses at 2, 3, 4 and 6, scores at 3 and 6


class Kept:
    """A logger that keeps what it gets, by its key."""

    anew = False
    runs: dict[str, list] = {}

    def __init__(self, folder, key, name, settings):
        self.got = self.runs.setdefault(key, [])
        self.name, self.settings = name, settings

    def write(self, step, numbers):
        self.got.append((step, dict(numbers)))

    def flush(self):
        pass

    def close(self, finished):
        self.got.append("closed" if finished else "ended before")


@pytest.fixture
def kept(monkeypatch):
    """In place of a package's logger."""
    monkeypatch.setattr(loggers, "Trackio", Kept)
    monkeypatch.setattr(loggers, "PACKAGES", {})
    monkeypatch.setattr(Kept, "runs", {})
    return Kept.runs


def settings(logger):
    return recipe("digits", net="smallnet", logger=logger)


def written(log, *steps):
    for step in steps:
        log.write(step, {"train/total": step / 2, "train/odd": float("nan")})


def test_a_logger_gets_each_step_once_though_steps_are_done_again(tmp_path, kept):
    log = RunLog(tmp_path, settings=settings("trackio"))
    written(log, 1, 2)
    offset = log.flush()
    written(log, 3, 4, 4)  # and the process is killed
    again = RunLog(tmp_path, offset, 2, settings("trackio"))
    written(again, 3, 4)
    written(again, 4, 5)  # the fourth step has two lines, of which the second is the last that was there
    again.close()
    (got,) = kept.values()
    assert [step for step, _ in got[:-1]] == [1, 2, 3, 4, 4, 5] and got[-1] == "closed"
    assert got[0][1] == {"train/total": 0.5}  # what is not finite is no point
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4, 4, 5]


def test_a_logger_that_loses_what_it_had_is_made_anew(tmp_path, kept, monkeypatch):
    """As wandb: of a run that was killed it has nothing."""
    monkeypatch.setattr(Kept, "anew", True)
    log = RunLog(tmp_path, settings=settings("trackio"))
    written(log, 1, 2)
    offset = log.flush()
    written(log, 3)
    again = RunLog(tmp_path, offset, 2, settings("trackio"))
    (got,) = kept.values()
    del got[:3]
    written(again, 3, 4)
    assert [step for step, _ in got] == [1, 2, 3, 4]


def test_a_logger_that_comes_later_gets_what_was_before(tmp_path, kept):
    log = RunLog(tmp_path, settings=settings("none"))
    written(log, 1, 2)
    offset = log.flush()
    written(log, 3)
    log.close()
    assert not kept and sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl"]
    again = RunLog(tmp_path, offset, 2, settings("tensorboard,trackio"))
    written(again, 3, 4)
    again.close()
    (got,) = kept.values()
    assert [step for step, _ in got[:-1]] == [1, 2, 3, 4] and (tmp_path / "tensorboard").is_dir()


def test_a_run_that_is_ended_is_not_told_to_be_finished(tmp_path, kept):
    with pytest.raises(KeyboardInterrupt), RunLog(tmp_path, settings=settings("trackio")) as log:
        written(log, 1)
        raise KeyboardInterrupt
    with RunLog(tmp_path, 0, 0, settings("trackio")) as log:
        written(log, 1, 2)
    ((first, *more),) = kept.values()
    assert first[0] == 1 and [more[0], more[1][0], more[2]] == ["ended before", 2, "closed"]


def test_what_goes_wrong_in_a_logger_is_told_once_and_ends_nothing(tmp_path, kept, monkeypatch, capsys):
    def fail(self, step, numbers):
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr(Kept, "write", fail)
    log = RunLog(tmp_path, settings=settings("trackio"))
    written(log, 1, 2)
    log.close()
    said = capsys.readouterr().err.splitlines()
    assert said == ["WARNING: logger = trackio stopped at step 1 (no route to host); all numbers are in metrics.jsonl"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_logger_makes_no_other_run(tmp_path, kept, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made, plain = {}, {}
    for logger in ("tensorboard", "none", "trackio"):
        given = settings(logger)
        plain[logger] = api.config.plain(given)
        made[logger] = identity_of(given, plain[logger], choose_labels(given, load_data(given)))
    assert made["tensorboard"] == made["none"] == made["trackio"]
    for logger, also in (("none", ""), ("trackio", ", and with trackio")):
        assert run.main([*QUICK, "--set", f"logger={logger}", "--out", logger]) == 0
        assert f" s: in metrics.jsonl{also}\n" in capsys.readouterr().out
    rows = [json.loads(Path(logger, "result.json").read_text()) for logger in ("none", "trackio")]
    same = ("accuracy", "evaluations", "recipe_hash", "split_hash")
    assert [rows[0][name] for name in same] == [rows[1][name] for name in same]
    assert (
        Path("none/metrics.jsonl").read_text().split('"train/rate')[0]
        == Path("trackio/metrics.jsonl").read_text().split('"train/rate')[0]
    )
    (got,) = kept.values()
    assert [step for step, _ in got[:-1]] == STEPS
    assert run.main([*QUICK, "--set", "logger=none", "--out", "trackio"]) == 0 and "finished already" in capsys.readouterr().out


def test_a_run_that_begins_anew_is_another_one(tmp_path, kept, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for fresh in ([], ["--fresh"]):
        assert run.main([*QUICK, "--set", "logger=trackio", "--out", "a", *fresh]) == 0
    assert [[step for step, _ in got[:-1]] for got in kept.values()] == [STEPS, STEPS]
    api.run(dataclasses.replace(settings("trackio"), steps=1, alg="supervised"), tmp_path / "b", quiet=True)
    loggers.forget(tmp_path / "b")
    assert not (tmp_path / "b/loggers").exists() and (tmp_path / "b/result.json").exists()


def test_what_is_refused_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loggers, "PACKAGES", {"wandb": ("no_such_package",)})
    assert run.main([*QUICK, "--set", "logger=wandb", "--out", "a"]) == 2 and not Path("a").exists()
    assert "--set logger=wandb needs packages that are not there: pip install 'ssl_zoo[wandb]'" in capsys.readouterr().err
    monkeypatch.setattr(loggers, "PACKAGES", {"wandb": ("no_such_package",), "mlflow": ("nor_this",), "trackio": ("json",)})
    with pytest.raises(InputError, match=r"`logger=wandb,mlflow` needs .* pip install 'ssl_zoo\[wandb,mlflow\]'"):
        loggers.look_for_loggers("trackio,wandb,tensorboard,mlflow")
    for text, message in (
        ("tensorbord", "logger = 'tensorbord' is unknown"),
        ("none,wandb", "'none,wandb' has none and others; give `logger=none` alone"),
        ("", "''"),
    ):
        with pytest.raises(InputError, match=message):
            settings(text)
    with pytest.raises(InputError, match="logger = 'wandb, wandb' names one twice"):
        settings("wandb, wandb")


# The packages themselves


def in_a_process(folder, logger, killed):
    """Run, perhaps killed after it has logged a step, with the packages' places below the folder."""
    code = f"""
import sys
from ssl_zoo.train import logs
from ssl_zoo.cli import run
write = logs.RunLog.write
def until(self, step, numbers):
    write(self, step, numbers)
    if {killed} and step >= 4:
        import os, time
        time.sleep(1.5)  # trackio writes every half second
        os._exit(9)
logs.RunLog.write = until
sys.exit(run.main({[*QUICK, "--set", f"logger={logger}", "--set", "checkpoint_seconds=0", "--out", "a"]}))
"""
    names = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))}
    environment = {**names, "TRACKIO_DIR": str(folder / "trackio"), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == (9 if killed else 0), done.stderr
    assert "WARNING: logger" not in done.stderr, done.stderr
    said = [line for line in done.stdout.splitlines() if "mlflow" in line or "rackio" in line]
    assert "INFO" not in done.stderr and all(line.startswith("curves of its 6 steps") for line in said), said  # none of theirs
    return done


def rows_of(file, question):
    with sqlite3.connect(file) as data:
        return data.execute(question).fetchall()


@pytest.mark.parametrize("name", ["dog (small)", "R&B", "né", "a" * 300, "guess/class/cat"])
def test_any_class_can_be_a_name_of_mlflow(name):
    known = loggers.known(name)
    assert re.fullmatch(r"[A-Za-z0-9_./ :-]{1,250}", known) and (known == name) == (name == "guess/class/cat")


@pytest.mark.slow
def test_mlflow(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    for killed in (True, False):
        in_a_process(tmp_path, "mlflow", killed)
    file = tmp_path / "a/loggers/mlflow.db"
    assert len(rows_of(file, "select run_uuid from runs")) == 1  # one run, though two processes made it
    assert rows_of(file, "select status from runs") == [("FINISHED",)]
    for finished, status in ((False, "KILLED"), (True, "FINISHED")):
        loggers.Elsewhere("mlflow", tmp_path / "a", settings("mlflow")).close(finished)
        assert rows_of(file, "select status from runs") == [(status,)]
    steps = rows_of(file, "select step, count(*) from metrics where key = 'train/total' group by step order by step")
    assert steps == [(2, 1), (3, 1), (4, 1), (6, 1)]
    values = dict(rows_of(file, "select step, value from metrics where key = 'test/accuracy'"))
    assert values == {
        point["step"]: point["accuracy"] for point in json.loads((tmp_path / "a/result.json").read_text())["evaluations"]
    }
    parameters = dict(rows_of(file, "select key, value from params"))
    assert parameters["net"] == "smallnet" and parameters["evaluation.every"] == "3"


@pytest.mark.slow
def test_trackio(tmp_path):
    pytest.importorskip("trackio")
    for killed in (True, False):
        in_a_process(tmp_path, "trackio", killed)
    found = rows_of(tmp_path / "trackio/ssl_zoo.db", "select run_name, step, metrics from metrics order by id")
    assert len({name for name, _, _ in found}) == 1 and found[0][0].startswith("supervised-smallnet-20-s0-")
    assert [step for _, step, metrics in found if "train/total" in json.loads(metrics)] == [2, 3, 4, 6]


def records(content):
    """Of a file of wandb: after 7 bytes, blocks of 32 KiB, in which each record has a checksum, a length and a kind."""
    place = 7
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        if left < 7 or kind == 0:  # the rest of a block
            place += left
            continue
        assert kind == 1, "a record in one piece"
        yield content[place + 7 : place + 7 + length]
        place += 7 + length


@pytest.mark.slow
def test_wandb_is_offline(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    for killed in (True, False):
        in_a_process(tmp_path, "wandb", killed)
    files = sorted(tmp_path.glob("a/loggers/wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 1 and files[0].name == f"run-{(tmp_path / 'a/loggers/wandb.key').read_text().strip()}.wandb"
    found = []
    for file in files:
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found += [record.history] if record.WhichOneof("record_type") == "history" else []
    keys = [({item.key or item.nested_key[0] for item in part.item}, part.step.num) for part in found]
    assert [step for names, step in keys if "train/total" in names] == [2, 3, 4, 6]


@pytest.mark.slow
def test_several_at_once(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("trackio")
    in_a_process(tmp_path, "tensorboard,mlflow,trackio", killed=False)
    assert (tmp_path / "a/loggers/mlflow.db").exists() and list((tmp_path / "a/tensorboard").iterdir())
    assert len(rows_of(tmp_path / "trackio/ssl_zoo.db", "select id from metrics")) == len(STEPS)
