"""The table of CIFAR-10 on a device: four methods with 4,000 labels, then modern ones with 250 and with 40."""

import json
import shutil
from collections.abc import Sequence

from ssl_zoo.cli import sweep
from ssl_zoo.sweeps.cells import Cell

from . import beside, checks
from .images import PLACE, Images
from .method import append
from .session import Session

FILE = "table.jsonl"
FOUR = checks.FIRST[:4]
MODERN = ("fixmatch", "flexmatch", "simmatch", "comatch", "freematch", "softmatch", "adamatch", "uda")  # four at a time
BLOCKS = [(4000, FOUR), *((labels, part) for part in beside.in_parts(MODERN, 4) for labels in (250, 40))]
SMALL = [(20, ("meanteacher",)), (10, ("fixmatch",))]
LEAST, SMALL_LEAST = 180.0, 8.0  # seconds that are worth a start


def ask(session: Session, images: Images | None) -> None:
    """Run what is not there yet, block by block."""
    data = "digits" if session.small else "folder"
    for labels, algs in SMALL if session.small else BLOCKS:
        rows = [row for row in session.rows(FILE) if (row["dataset"], row["labels"]) == (data, labels)]
        there = {row["algorithm"] for row in rows if row["seed"] == session.seed}
        had = [alg for alg in algs if alg in there]
        session.has(f"table {labels} labels: {', '.join(had)} of seed {session.seed}", had)
        missing = [alg for alg in algs if alg not in there]
        what = f"table {labels} labels"
        if not missing or not session.room(f"{what}: {', '.join(missing)}", SMALL_LEAST if session.small else LEAST):
            continue
        if images is not None and not images.ready(what):
            return
        _block(session, what, labels, missing, {row["steps"] for row in rows})


def _block(session: Session, what: str, labels: int, algs: Sequence[str], earlier: set[int]) -> None:
    cells = _cells(session, labels, algs, None)
    whole = cells[0].settings.length
    found = beside.rates(session, what, cells)
    if not found or not session.room(what, 2.0):
        return
    steps = beside.fit(session, min(found.values()), whole, max(earlier) if len(earlier) == 1 else None)
    session.say(f"{what}: {steps} of {whole} steps, seed {session.seed}")
    cells = _cells(session, labels, algs, steps)
    kept: set[str] = set()

    def keep() -> None:
        for cell in cells:
            if cell.name not in kept and cell.row is not None:
                kept.add(cell.name)
                append(session.out / FILE, json.loads(json.dumps(cell.row)))

    beside.run(session, what, cells, keep)


def _cells(session: Session, labels: int, algs: Sequence[str], steps: int | None) -> list[Cell]:
    out = session.work / f"table-{labels}"
    shutil.rmtree(out, ignore_errors=True)
    words = ["--recipe", "digits" if session.small else "cifar10", "--algs", ",".join(algs), "--labels", str(labels)]
    words += ["--seeds", str(session.seed), "--device", session.kind]
    if session.small:
        words += ["--nets", "smallnet"]
    else:
        words += ["--set", "dataset=folder", "--data-root", str(PLACE), "--set", "compile=true"]
    if steps is not None:
        words += ["--steps", str(steps), "--set", f"evaluation.every={max(1, steps // 20)}"]
    return sweep.cells_of(sweep.parser().parse_args(words), out)
