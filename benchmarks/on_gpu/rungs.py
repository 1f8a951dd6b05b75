"""Rungs of the ladder, all at once: as many of their steps as fit, at one seed."""

import shutil

from ssl_zoo.cli import ladder
from ssl_zoo.ladders import read_ladder
from ssl_zoo.sweeps.cells import Cell
from ssl_zoo.tables.ladder_rows import collect

from . import beside
from .images import PLACE, Images
from .method import append
from .session import Session

FILE = "rungs.jsonl"
RUNGS, SMALL = ("S0", "A0", "A2", "A10"), ("S0", "A2")
LEAST, SMALL_LEAST = 200.0, 12.0  # seconds that are worth a start


def words(session: Session, scale: float) -> list[str]:
    """Return the command line of `ladder.py`."""
    if session.small:
        return ["--dataset", "digits", "--device", session.kind, "--seeds", str(session.seed), "--scale", str(scale)]
    asked = ["--dataset", "cifar10", "--data-root", str(PLACE), "--device", session.kind]
    for assignment in ("dataset=folder", "compile=true", "evaluation.log_every=50"):  # a step that is logged is not compiled
        asked += ["--set", assignment]
    return [*asked, "--seeds", str(session.seed), "--scale", str(scale)]


def ask(session: Session, images: Images | None) -> None:
    """Run the rungs that are not there yet at this seed."""
    wanted = SMALL if session.small else RUNGS
    data = "digits" if session.small else "folder"
    rows = [row for row in session.rows(FILE) if row["dataset"] == data]
    there = {row["rung"] for row in rows if row["seed"] == session.seed}
    had = [name for name in wanted if name in there]
    session.has(f"rungs {', '.join(had)} of seed {session.seed}", had)
    missing = [name for name in wanted if name not in there]
    what = "rungs"
    if not missing or not session.room(what, SMALL_LEAST if session.small else LEAST):
        return
    if images is not None and not images.ready(what):
        return
    found = beside.rates(session, what, _cells(session, missing, 1.0))
    if not found or not session.room(what, 2.0):
        return
    known = read_ladder("digits" if session.small else "cifar10")
    whole = max(int(known[name].recipe["steps"]) for name in missing)
    earlier = {row["scale"] for row in rows if row["rung"] in wanted}
    steps = beside.fit(session, min(found.values()), whole, round(max(earlier) * whole) if len(earlier) == 1 else None)
    scale = max(earlier) if earlier and steps == round(max(earlier) * whole) else float(f"{steps / whole:.3g}")
    session.say(f"rungs: {scale:.3g} of {whole} steps, seed {session.seed}")
    kept: set[str] = set()

    def keep() -> None:
        flags = ladder.parser().parse_args(words(session, scale))
        for row in collect(session.work / "ladder", known, scale, ladder.assigned(flags, known[missing[0]]))[0]:
            if row["rung"] not in kept:
                kept.add(row["rung"])
                append(session.out / FILE, row)

    beside.run(session, what, _cells(session, missing, scale), keep)


def _cells(session: Session, names: list[str], scale: float) -> list[Cell]:
    out = session.work / "ladder"
    shutil.rmtree(out, ignore_errors=True)
    flags = ladder.parser().parse_args(words(session, scale))
    known = read_ladder(flags.dataset, flags.ladder)
    return ladder.cells_of(flags, [known[name] for name in names], out / "rungs", out)
