"""Where a run's numbers are shown beside metrics.jsonl: one small adapter for each experiment logger.

All are local unless the logger's own environment variables say otherwise. What a package would tell its makers of its
use is switched off, likewise. Each is imported when it is asked for.
"""

import contextlib
import dataclasses
import importlib.util
import io
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ssl_zoo.errors import InputError, one_line, warn_on_screen
from ssl_zoo.settings import RunSettings, loggers_of

METRICS, EVENTS, LOGGED = "metrics.jsonl", "tensorboard", "loggers"  # in a run's folder; the last two are folders
PROJECT = "ssl_zoo"  # under which a logger has the runs, unless its environment variable gives another
PACKAGES = {"wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy", "alembic"), "trackio": ("trackio",)}
SILENCED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else it tells of every table that it makes
    "WANDB_ERROR_REPORTING": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class Logger(Protocol):
    """Shows numbers of one run."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self, finished: bool) -> None: ...


def look_for_loggers(names: str) -> None:
    """Look whether the packages of some loggers are there, without importing them.

    Args:
        names: As the setting `logger` has them.

    Raises:
        InputError: One is not.
    """
    asked = [(name, PACKAGES.get(name, ())) for name in loggers_of(names)]
    lacking = ",".join(name for name, needed in asked if any(importlib.util.find_spec(package) is None for package in needed))
    if lacking:
        raise InputError(f"`logger={lacking}` needs packages that are not there: pip install 'ssl_zoo[{lacking}]'")


class TensorBoard:
    """Event files, which are made anew from what is kept of metrics.jsonl."""

    wants_all = True

    def __init__(self, folder: Path):
        from tensorboard.compat.proto.event_pb2 import Event  # of no use to --list and --help
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        events = folder / EVENTS
        for old in events.glob("events.out.tfevents.*"):
            old.unlink()
        events.mkdir(exist_ok=True)
        # Not torch's SummaryWriter, whose thread prints what the disk refuses and goes on.
        self._writer = RecordWriter((events / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}").open("wb"))
        self._add(file_version="brain.Event:2")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self._add(step=step, summary=self._summary(value=[self._summary.Value(tag=one_line(name), simple_value=number)]))

    def _add(self, **content: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> None:
        self._writer.flush()

    def close(self, finished: bool) -> None:
        self._writer.close()


class Wandb:
    """Weights & Biases; offline unless WANDB_MODE says otherwise, in files that `wandb sync` sends.

    It writes them when a run ends. Of one that was killed there is nothing, so they are made anew too; a server leaves
    out the steps that it has.
    """

    anew = True

    def __init__(self, folder: Path, key: str, name: str, settings: Mapping[str, Any]):
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            shutil.rmtree(folder / "wandb", ignore_errors=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=key,
            name=name,
            config=dict(settings),
            dir=folder,
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False),
        )

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def flush(self) -> None:
        """It writes by itself."""

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def known(name: str) -> str:
    """Return a name as MLflow takes it: not every class name is one."""
    return re.sub(r"[^\w./ :-]", "_", name, flags=re.ASCII)[:250]


class MLflow:
    """MLflow; in a file of SQLite unless MLFLOW_TRACKING_URI says otherwise."""

    anew = False

    def __init__(self, folder: Path, key: str, name: str, settings: Mapping[str, Any]):
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        place = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.absolute()}/mlflow.db")
        self._client, self._metric = MlflowClient(tracking_uri=place), Metric
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(project)
        experiment = self._client.create_experiment(project) if known is None else known.experiment_id
        begun = self._client.search_runs([experiment], f"tags.`ssl_zoo.key` = '{key}'")
        run = begun[0] if begun else self._client.create_run(experiment, run_name=name, tags={"ssl_zoo.key": key})
        self._key = run.info.run_id
        if begun:
            self._client.update_run(self._key, "RUNNING")
        else:
            self._client.log_batch(self._key, params=[Param(name, str(value)[:500]) for name, value in _flat(settings).items()])

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        self._client.log_batch(self._key, [self._metric(known(name), number, now, step) for name, number in numbers.items()])

    def flush(self) -> None:
        """It writes at once."""

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._key, "FINISHED" if finished else "KILLED")


class Trackio:
    """Trackio; on this machine, in its own folder or that of TRACKIO_DIR, unless its variables say otherwise.

    It writes every half second: of a process that is killed, the last moment may be missing.
    """

    anew = False

    def __init__(self, folder: Path, key: str, name: str, settings: Mapping[str, Any]):
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        options: dict[str, Any] = {"auto_log_gpu": False, "auto_log_cpu": False, "embed": False}
        self._finish = trackio.finish  # not the run's own, after which the package ends it again, and tells so, at exit
        with contextlib.redirect_stdout(io.StringIO()):  # it tells how it is shown
            self._run = trackio.init(project, f"{name}-{key}", config=dict(settings), resume="allow", **options)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def flush(self) -> None:
        """It writes by itself."""

    def close(self, finished: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._finish()


class Elsewhere:
    """A logger of another package: it shows each step once, and what goes wrong in it ends no run.

    Of a run that resumes, it goes on with the same logged run.

    Args:
        name: Of the logger.
        folder: Of the run.
        settings: Of the run.
    """

    def __init__(self, name: str, folder: Path, settings: RunSettings):
        for variable, value in SILENCED.items():
            os.environ.setdefault(variable, value)
        file = folder / LOGGED / f"{name}.key"
        key = file.read_text(encoding="utf-8").strip() if file.exists() else uuid.uuid4().hex[:12]
        file.parent.mkdir(exist_ok=True)
        self._name = name
        self._logger: Logger | None = None
        kind: Any = {"wandb": Wandb, "mlflow": MLflow, "trackio": Trackio}[name]
        self.wants_all = kind.anew or not file.exists()  # also what was logged before
        called = f"{settings.alg}-{settings.net}-{settings.labels}-s{settings.seed}"
        with self._watched("cannot begin"):
            self._logger = kind(file.parent, key, called, dataclasses.asdict(settings))
            file.write_text(f"{key}\n", encoding="utf-8")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        if self._logger is not None and numbers:
            with self._watched(f"stopped at step {step}"):
                self._logger.write(step, numbers)

    def flush(self) -> None:
        if self._logger is not None:
            with self._watched("stopped"):
                self._logger.flush()

    def close(self, finished: bool) -> None:
        if self._logger is not None:
            with self._watched("could not end"):
                self._logger.close(finished)

    @contextlib.contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._logger = None
            warn_on_screen(one_line(f"logger = {self._name} {what} ({error}); all numbers are in {METRICS}"))


def open_loggers(folder: Path, settings: RunSettings) -> Sequence[TensorBoard | Elsewhere]:
    """Return the loggers of a run."""
    return [TensorBoard(folder) if name == EVENTS else Elsewhere(name, folder, settings) for name in loggers_of(settings.logger)]


def forget(folder: Path) -> None:
    """Remove what loggers keep in the folder of a run that begins anew, so that it is another one to them."""
    shutil.rmtree(folder / LOGGED, ignore_errors=True)


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) and value else {f"{before}{name}": value}
    return found
