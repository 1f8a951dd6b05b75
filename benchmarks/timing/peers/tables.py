"""The figures of other toolkits as tables and in words."""

from typing import Any


def lines_of(found: dict[str, Any]) -> list[str]:
    """A table of each method, what was skipped, and what there is to know."""
    lines = [f"**Other toolkits**, {found['title']}, {found['rounds']} rounds, a net of {found['parameters']:,} parameters:", ""]
    lines += ["| | ms a step | images a second | times ours in fp32 | peak memory, MB |", "| - | -: | -: | -: | -: |"]
    for alg, rows in found["methods"].items():
        for name, f in rows.items():
            peak = "" if f["peak_memory"] is None else f"{f['peak_memory'] / 2**20:.0f}"
            step = _spread(f["step"], 1000, 0 if f["step"]["median"] > 0.1 else 1)
            lines.append(f"| {alg}: {name} | {step} | {f['images_per_second']:.0f} | {_spread(f['ratio'], 1, 2)} | {peak} |")
    lines.append("")
    return lines + [f"- {line}." for line in (*found["skipped"], *found["notes"])] + [""]


def _spread(f: dict[str, float], unit: float, digits: int) -> str:
    return f"{unit * f['median']:.{digits}f} ({unit * f['min']:.{digits}f} to {unit * f['max']:.{digits}f})"
