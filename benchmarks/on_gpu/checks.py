"""Whether all is right on a device: the tests that are marked gpu, then every method in runs of its own.

Of a method: a plain run; two deterministic ones of the same bits; one killed half-way that goes on to these; the loss
in fp32 without TF32 beside the CPU's; a compiled run. A row in checks.jsonl tells of each, with the code that it is of:
where nothing that a run executes has changed, it is not made again.
"""

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl_zoo import ALGORITHMS, NETS, provenance
from ssl_zoo.runs.baselines import is_baseline

from . import children, method
from .session import Session

FILE = "checks.jsonl"
ROOT = Path(__file__).parent.parent.parent
FIRST = ("supervised", "pimodel", "tempens", "meanteacher", "fixmatch")
SMALL = {"meanteacher": method.CHECKS, "fixmatch": method.CHECKS[:-1]}  # to compile takes a processor its time
SHARDS, AT_ONCE = 6, 12  # processes that ask the tests, and of methods, at a time on a machine of 16 cores
TESTS, METHOD, LEAST = 200.0, 200.0, 30.0  # seconds that each may take; that are worth a start
SMALL_LEAST = 8.0


def methods() -> list[str]:
    """Return the names of all that are trained in steps from random weights, the older ones first."""
    names = [n for n in ALGORITHMS.names() if not is_baseline(n) and not ALGORITHMS.resolve(n).target.needs_weights]
    return [*FIRST, *(name for name in names if name not in FIRST)]


def ask(session: Session) -> None:
    """Ask the tests, then every method."""
    _tests(session)
    _methods(session)
    session.keep_logs()


def code_of(names: Iterable[str], net: str, more: Iterable[Path] = ()) -> str:
    """Return digits over the code that decides what comes out for methods with a net."""
    targets = [ALGORITHMS.resolve(name).target for name in names] + [NETS.resolve(net).target]
    return "-".join((provenance.source(), provenance.code(targets), *([provenance.code_of(more)] if more else [])))


def known(session: Session) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows that are there, by method, check and code, of this version of torch."""
    here = session.known
    rows = [row for row in session.rows(FILE) if (row["torch"], row["small"]) == (here["torch"], here["small"])]
    return {(row["method"], row["check"], row["code"]): row for row in rows}


def _tests(session: Session) -> None:
    """Run pytest -m gpu in several processes. The first thing, as it is the quickest way to see what fails."""
    count = 1 if session.small else SHARDS
    here = Path("tests/gpu")
    code = code_of(methods(), "smallnet", [*here.glob("*.py"), Path("tests/conftest.py")])
    names = [f"tests {place}/{count}" for place in range(1, count + 1)]
    missing = [name for name in names if ("", name, code) not in known(session)]
    for name in names:
        session.has(name, name not in missing)
    if missing and importlib.util.find_spec("pytest") is None:
        session.wait("tests", "left out: there is no pytest here")
        return

    def task(name: str) -> children.Task:
        words = ["-m", "pytest", "-vv", "-p", "no:cacheprovider", "--tb=short", "-m", "gpu", "--gpu-device", session.kind]
        words += ["-k", "meanteacher and waits or average and waits"] if session.small else ["--shard", name.split()[1]]
        log = session.logs / f"{name.replace('/', '-of-').replace(' ', '-')}.txt"
        start = lambda seconds: children.command(name, [*words, str(here)], log, seconds)  # noqa: E731
        return children.Task(name, TESTS, start)

    least = SMALL_LEAST if session.small else LEAST
    for child in children.together(session, [task(name) for name in missing], count, least):
        passed, failed = outcomes(child.log.read_text(errors="replace"))
        said = f"{passed} passed, {len(failed)} failed{''.join(f'; {line}' for line in failed)}"
        if child.late:
            session.wait(child.name, f"ended after {child.took:.0f} s: {said}")
            continue
        good = child.status == 0 and not failed and passed > 0
        row = {"method": "", "check": child.name, "code": code, "ok": good, "seconds": round(child.took, 1), "said": said}
        method.append(session.out / FILE, {**session.known, **row})
        if good:
            session.made(child.name, f"{said}, in {child.took:.0f} s")
        else:
            session.failed(child.name, said if failed else child.says())


def outcomes(log: str) -> tuple[int, list[str]]:
    """Return how many tests passed, and the names of those that failed with their errors, of what pytest -v printed."""
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+(?: - .*)?)$", log, re.MULTILINE)
    if not failed:  # it was ended before its summary
        failed = re.findall(r"^(tests/\S+::\S+) (?:FAILED|ERROR)", log, re.MULTILINE)
    return len(re.findall(r"^tests/\S+ .*PASSED", log, re.MULTILINE)), [line[:240] for line in failed]


def _methods(session: Session) -> None:
    net = "smallnet" if session.small else method.NET
    there, missing = known(session), {}
    wanted = SMALL if session.small else dict.fromkeys(methods(), method.CHECKS)
    for name, asked in wanted.items():
        code = code_of([name], net)
        missing[name] = [check for check in asked if (name, check, code) not in there]
        had = [check for check in asked if check not in missing[name]]
        if had:
            session.has(f"{name} {', '.join(had)}", had)

    def task(name: str) -> children.Task:
        row = {**session.known, "method": name, "code": code_of([name], net)}
        folder = session.work / f"runs-{session.logs.name}" / name
        plan = method.Plan(name, net, session.kind, 8 if session.small else 60, str(folder))
        log = session.logs / f"{name}.txt"

        def start(seconds: float) -> children.Child:
            given = (plan, tuple(missing[name]), row, str(session.out / FILE))
            return children.call(name, method.ask, given, log, seconds, TORCHINDUCTOR_COMPILE_THREADS="1")

        return children.Task(name, METHOD, start)

    least = SMALL_LEAST if session.small else LEAST
    tasks = [task(name) for name, checks in missing.items() if checks]
    for child in children.together(session, tasks, 2 if session.small else AT_ONCE, least):
        _tell(session, child, missing[child.name])


def _tell(session: Session, child: children.Child, asked: list[str]) -> None:
    """Say what a method's process has written."""
    code = code_of([child.name], "smallnet" if session.small else method.NET)
    again, session.again = session.again, False  # what was just written is to be read
    rows = known(session)
    session.again = again
    for check in asked:
        row = rows.get((child.name, check, code))
        what = f"{child.name} {check}"
        if row is None:
            why = f"ended after {child.took:.0f} s" if child.late else f"its process ended with {child.status}: {child.says()}"
            session.wait(what, why) if child.late else session.failed(what, why)
        elif row["ok"]:
            session.made(what, row["said"])
        else:
            session.failed(what, row["said"])
