"""What differs between two runs, in lines."""

from collections.abc import Iterator, Mapping
from typing import Any

from ssl_zoo import recipes
from ssl_zoo.tables.rows import Row
from ssl_zoo.tables.variants import called, told_apart, variant_of

SAME = ("split_hash", "data_hash", "plugins", "commit", "source", "code", "history", "precision", "device")
SCORES = ("accuracy", "accuracy_median", "accuracy_student", "balanced_accuracy", "geometric_mean", "macro_f1")


def differences(a: Row, b: Row) -> Iterator[str]:
    """Yield lines about settings, split and data, code and versions, scores and curves.

    Of each kind they say what differs, or that nothing does. Variants of what a sweep varied are named first.
    """
    (told,) = told_apart((a, b))
    if any(map(variant_of, told)):
        yield f"runs: {called(told[0])}; and {called(told[1])}"
    yield from _differing("settings", recipes.flatten(a["config"]), recipes.flatten(b["config"]))
    yield from _differing("split, data, code, device", {k: a.get(k) for k in SAME}, {k: b.get(k) for k in SAME})
    yield from _differing("versions", a["versions"], b["versions"])
    yield "scores:"
    for name in SCORES:
        if name in a and name in b:
            yield f"  {name}: {100 * a[name]:.2f} % and {100 * b[name]:.2f} %, {100 * (b[name] - a[name]):+.2f} points"
    yield f"  seconds: {a['seconds']:.0f} and {b['seconds']:.0f}"
    yield "curves:"
    yield _parting(a, b)


def _parting(a: Row, b: Row) -> str:
    """Return where two learning curves part, and how far."""
    curves = [{point["step"]: point["accuracy"] for point in row["evaluations"]} for row in (a, b)]
    shared = sorted(set(curves[0]) & set(curves[1]))
    if not shared:
        return "  they have no evaluation at the same step"
    apart = next((step for step in shared if curves[0][step] != curves[1][step]), None)
    if apart is None:
        return f"  the same at all {len(shared)} evaluations that both have"
    most = max(shared, key=lambda step: abs(curves[1][step] - curves[0][step]))
    gap = 100 * (curves[1][most] - curves[0][most])
    return f"  they part at step {apart}; the largest difference is {gap:+.2f} points, at step {most}"


def _differing(kind: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    differ = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    yield f"{kind}: {'the same' if not differ else ''}".rstrip()
    for name in differ:
        yield f"  {name}: {a.get(name, 'not there')} and {b.get(name, 'not there')}"
