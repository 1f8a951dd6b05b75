"""`speed.py` part by part, each with a time of its own, into one file of this device."""

import json
import re
from pathlib import Path
from typing import Any

from ssl_zoo import files, provenance

from . import children
from .session import HERE, Session

# What is measured, in this order, with the seconds that are worth a start and those that it may take.
PARTS = {
    "cifar": (90, 300),
    "views": (20, 60),
    "zoo": (60, 200),
    "rows": (20, 60),
    "run": (30, 80),
    "predict": (20, 80),
    "digits": (60, 200),
    "starts": (30, 100),
}
SMALL = {"views": (8, 60)}
SCRIPT = Path(__file__).parent.parent / "speed.py"


def ask(session: Session) -> None:
    """Measure the parts that are not there yet."""
    for part, (least, most) in (SMALL if session.small else PARTS).items():
        what = f"speed {part}"
        if session.has(what, not session.again and part in _known(session)["of"]) or not session.room(what, least):
            continue
        written = session.work / f"speed-{part}.json"
        written.unlink(missing_ok=True)
        words = [str(SCRIPT), "--device", session.kind, "--parts", part, "--rounds", "5", "--out", str(written)]
        words += ["--short", "--compiled", ""] if session.small else []

        def start(seconds: float, what: str = what, words: list[str] = words, part: str = part) -> children.Child:
            log = session.logs / f"speed-{part}.txt"
            return children.command(what, words, log, seconds, TORCHINDUCTOR_COMPILE_THREADS="12")

        for child in children.together(session, [children.Task(what, most, start)], 1, least):
            if child.late:
                session.wait(what, f"ended after {child.took:.0f} s")
            elif child.status != 0:
                session.failed(what, child.says())
            else:
                _keep(session, part, json.loads(written.read_text(encoding="utf-8")))
                session.made(what, f"measured in {child.took:.0f} s")


def file_of(session: Session) -> str:
    """Return the name of the file, which is the device's."""
    small = "small-" if session.small else ""
    return f"speed-{small}{re.sub('[^a-z0-9]+', '-', session.device.lower()).strip('-')}.json"


def _known(session: Session) -> dict[str, Any]:
    """The figures that are there of this code and torch; `of` names their parts."""
    made_by = _made_by()
    for path in (session.out / file_of(session), HERE / file_of(session)):
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if found.get("made_by") == made_by:
            return found
    return {"of": []}


def _made_by() -> dict[str, str]:
    return {"code": provenance.source(), "torch": provenance.versions()["torch"]}


def _keep(session: Session, part: str, found: dict[str, Any]) -> None:
    """Add a part's figures to those that are there."""
    before = _known(session)
    made = {**before, **{name: value for name, value in found.items() if value is not None or name not in before}}
    made["workloads"] = {**before.get("workloads", {}), **found["workloads"]}
    made |= {"made_by": _made_by(), "of": [*dict.fromkeys((*before["of"], part))]}
    files.replace_text(session.out / file_of(session), json.dumps(made, indent=1) + "\n")
