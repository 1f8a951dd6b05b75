"""What differs between two runs: python benchmarks/compare.py RUN_A RUN_B, each a run's folder or its result.json"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo import config, results
from ssl_zoo.errors import InputError, one_line


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Lines about settings, split and data, code and versions, and scores: of each kind what differs, or that nothing does."""
    yield from _differing("settings", config.flatten(a["config"]), config.flatten(b["config"]))
    same = ("split_hash", "data_hash", "plugins", "commit", "source", "code", "history", "precision", "device")
    yield from _differing("split, data, code, device", {k: a.get(k) for k in same}, {k: b.get(k) for k in same})
    yield from _differing("versions", a["versions"], b["versions"])
    yield "scores:"
    for name in ("accuracy", "accuracy_median", "accuracy_student", "balanced_accuracy", "macro_f1"):
        if name in a and name in b:
            yield f"  {name}: {100 * a[name]:.2f} % and {100 * b[name]:.2f} %, {100 * (b[name] - a[name]):+.2f} points"
    yield f"  seconds: {a['seconds']:.0f} and {b['seconds']:.0f}"
    curves = [{point["step"]: point["accuracy"] for point in row["evaluations"]} for row in (a, b)]
    shared = sorted(set(curves[0]) & set(curves[1]))
    apart = next((step for step in shared if curves[0][step] != curves[1][step]), None)
    yield "curves:"
    if not shared:
        yield "  they have no evaluation at the same step"
    elif apart is None:
        yield f"  the same at all {len(shared)} evaluations that both have"
    else:
        most = max(shared, key=lambda step: abs(curves[1][step] - curves[0][step]))
        gap = 100 * (curves[1][most] - curves[0][most])
        yield f"  they part at step {apart}; the largest difference is {gap:+.2f} points, at step {most}"


def _differing(kind: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    differ = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    yield f"{kind}: {'the same' if not differ else ''}".rstrip()
    for name in differ:
        yield f"  {name}: {a.get(name, 'not there')} and {b.get(name, 'not there')}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 for bad input."""
    parser = config.Parser(prog="compare.py", description=__doc__)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="a run's folder, or its result.json")
    try:
        a, b = (_only(path) for path in parser.parse_args(argv).runs)
        print("\n".join(differences(a, b)))
        return 0
    except (InputError, OSError) as error:
        print(f"compare.py: {one_line(error)}", file=sys.stderr)
        return 2


def _only(path: Path) -> dict[str, Any]:
    rows = results.read_rows([path])
    if not rows:
        raise InputError(f"{path} holds a run that diverged, and no result; give the folder of a finished one")
    if len(rows) > 1:
        raise InputError(f"{path} holds {len(rows)} runs; give the folder of one")
    return rows[0]


if __name__ == "__main__":
    sys.exit(main())
