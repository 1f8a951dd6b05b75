"""A ladder's folder -> rows: each run with its rung, and what was measured on the way."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, recipes
from ssl_zoo.errors import InputError, one_line
from ssl_zoo.ladders import Rung, shortened
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import LOST, RESULT, read_all_rows
from ssl_zoo.settings import NO_OTHER_RUN
from ssl_zoo.tables.ladder import MEASURED

OWN = (*NO_OTHER_RUN, "seed", "split_seed", "deterministic")  # settings that are no rung's


def collect(
    out: Path, rungs: Mapping[str, Rung], scale: float, assignments: Sequence[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows of all runs in a ladder's folder that finished or diverged, by rung and seed, with what was measured.

    Args:
        out: The folder.
        rungs: Those that are known.
        scale: Share of the steps that the runs must have.
        assignments: KEY=VALUE on top of every rung.

    Returns:
        Rows; and lines about runs that are left out.
    """
    rows, said = [], []
    for rung, file in _found(out, rungs, said):
        try:
            (row,) = read_all_rows([file])
            points = [json.loads(line) for line in RunFolder(file.parent).metrics.read_text(encoding="utf-8").splitlines()]
        except (InputError, OSError, ValueError) as error:
            said.append(f"{file.parent} is left out: {one_line(error)}")
            continue
        other = _another(rung, row, scale, assignments)
        if other:
            said.append(f"{file.parent} is left out: {rung.name} has another {other}")
            continue
        measured = [{"step": p["step"], **{name: p[name] for name in MEASURED if p.get(name) is not None}} for p in points]
        known = {"rung": rung.name, "above": rung.above, "change": rung.change, "scale": scale, "set": list(assignments)}
        rows.append({**known, **row, "mechanism": [point for point in measured if len(point) > 1]})
    return rows, said


def _found(out: Path, rungs: Mapping[str, Rung], said: list[str]) -> list[tuple[Rung, Path]]:
    """The rows there, by rung and seed."""
    ends = [*out.glob(f"*/{RESULT}"), *(file for file in out.glob(f"*/{LOST}") if not (file.parent / RESULT).exists())]
    found = []
    for file in ends:
        match = re.fullmatch(r"(.+)-s(\d+)", file.parent.name)
        if match is None or match[1] not in rungs:
            said.append(f"{file.parent} is left out: it is no run of a rung")
        else:
            found.append((list(rungs).index(match[1]), int(match[2]), file))
    return [(list(rungs.values())[place], file) for place, _, file in sorted(found)]


def _another(rung: Rung, row: Mapping[str, Any], scale: float, assignments: Sequence[str]) -> str:
    """What of a row is not as its rung has it now, in words."""
    given = shortened(rung.recipe, scale)
    for assignment in assignments:
        recipes.put_assignment(given, assignment)
    wanted, has = (recipes.flatten(part) for part in (config.plain(config.resolve(given)), row["config"]))
    other = [key for key in wanted if key in has and key.split(".")[0] not in OWN and wanted[key] != has[key]]
    return f"{other[0]} now ({wanted[other[0]]}, not {has[other[0]]})" if other else ""
