"""The figures as tables and in words."""

import re
from typing import Any

from .decoding import decoding_table
from .parts import PARTS
from .peers import lines_of


def markdown(found: dict[str, Any]) -> str:
    """All of them, for a document."""
    lines = [line for work in found["workloads"].values() for line in _tables(work)]
    lines += _zoo(found["zoo"]) if found.get("zoo") else []
    lines += lines_of(found["peers"]) if found.get("peers") else []
    lines += _predicting(found.get("predict") or [])
    lines += decoding_table(found["decode"]) if found.get("decode") else []
    lines += _sentences(found)
    turns = [work["rounds"] for work in (*found["workloads"].values(), *(found.get("predict") or found.get("decode") or []))]
    rounds = f" of {turns[0]} rounds" if turns else ""
    versions = found["versions"]
    lines += [
        "",
        f"Medians (least to most){rounds} of one run in which all take turns. {found['device']}, "
        f"{found['cores']} cores; ssl_zoo {versions['ssl_zoo']}, torch {versions['torch']}, python {versions['python']}; "
        f"commit {(found['commit'] or 'none')[:10]}.",
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).lstrip()


def brief(found: dict[str, Any]) -> str:
    """Three of them."""
    work = found["workloads"]["cifar"]
    mine = work["methods"]["meanteacher"]
    lines = [
        "| | |",
        "| - | -: |",
        f"| overhead of a Mean Teacher step over the nets' own passes | {_percent(mine['overhead'])} |",
    ]
    if "0" in work["plain"]:
        gain = work["plain"]["0"]["gain"]
        more = f"{gain['median']:.2f} times ({gain['min']:.2f} to {gain['max']:.2f})"
        lines.append(f"| speed against a plain Mean Teacher, which augments with PIL, in fp32 | {more} |")
    if found["default_run"]:
        lines.append(f"| the default run above, from the command to its end | {found['default_run']['wall']:.0f} s |")
    title = work["title"].partition(",")[0]
    lines += ["", f"{title} in {mine['precision']}, medians (least to most). {found['device']}, {found['cores']} cores."]
    return "\n".join(lines)


def _tables(work: dict[str, Any]) -> list[str]:
    """Of one workload: what a step of each method takes, and where its time goes."""
    lines = [
        f"**{work['title']}**, {next(iter(work['methods'].values()))['precision']}:",
        "",
        "| | ms a step | images a second | bare net, ms | overhead | peak memory, MB | compiled, ms a step "
        "| compiled, over bare net | bare net compiled, ms | compiled, over that | seconds to compile |",
        "| - | -: | -: | -: | -: | -: | -: | -: | -: | -: | -: |",
    ]
    for alg, f in work["methods"].items():
        fast = " | | | | "
        if "compiled" in f:
            c = f["compiled"]
            over = f"{100 * (c['step']['median'] / f['bare']['median'] - 1):+.1f} %"
            bare = f"{_ms(c['bare'])} | {_percent(c['overhead'])}" if "bare" in c else " | "  # as it was measured at first
            fast = f"{_ms(c['step'])} | {over} | {bare} | {c['seconds']:.0f}"
        peak = "" if f["peak_memory"] is None else f"{f['peak_memory'] / 2**20:.0f}"
        lines.append(
            f"| {alg} | {_ms(f['step'])} | {f['images_per_second']:.0f} | {_ms(f['bare'])} | "
            f"{_percent(f['overhead'])} | {peak} | {fast} |"
        )
    for workers, f in work["plain"].items():
        how = "in the training process" if workers == "0" else f"with {workers} workers"
        lines.append(
            f"| plain Mean Teacher, PIL {how}, fp32 | {_ms(f['step'])} | {f['images_per_second']:.0f} | | "
            f"{f['gain']['median']:.2f} times meanteacher ({f['gain']['min']:.2f} to {f['gain']['max']:.2f}) | | | | | | |"
        )
    lines += ["", f"| ms a step | {' | '.join(PARTS)} |", f"| - |{' -: |' * len(PARTS)}"]
    for alg, f in work["methods"].items():
        lines.append(" | ".join((f"| {alg}", *(f"{1000 * f['parts'][part]:.2f}" for part in PARTS))) + " |")
    lines.append("")
    return lines


def _zoo(work: dict[str, Any]) -> list[str]:
    """What a step of every method takes beyond the passes that it needs."""
    lines = [
        f"**Every method**, {work['title']}, {work['rounds']} rounds:",
        "",
        "| | ms a step | its bare passes, ms | overhead | views, % of the step |",
        "| - | -: | -: | -: | -: |",
    ]
    for alg, f in work["methods"].items():
        share = 100 * f["parts"]["augmentation"] / sum(f["parts"].values())
        lines.append(f"| {alg} | {_ms(f['step'])} | {_ms(f['bare'])} | {_percent(f['overhead'])} | {share:.1f} |")
    return [*lines, ""]


def _predicting(measured: list[dict[str, Any]]) -> list[str]:
    """Images a second, and how many of those of what cannot be done without."""
    if not measured:
        return []
    lines = [
        "| images a second | net alone | predict, in memory | of the net's | decoder alone | predict, files | of the decoder's |",
        "| - | -: | -: | -: | -: | -: | -: |",
    ]
    for f in measured:
        count = {"net": f["images"], "memory": f["images"], "decoder": f["files"], "files": f["files"]}
        rate = {name: f"{count[name] / seconds['median']:,.0f}" for name, seconds in f["seconds"].items()}
        part = {name: f"{v['median']:.2f} ({v['min']:.2f} to {v['max']:.2f})" for name, v in f["relative"].items()}
        lines.append(
            f"| {f['net']}, {f['side']}x{f['side']} | {rate['net']} | {rate['memory']} | {part['memory']} | {rate['decoder']} | "
            f"{rate['files']} | {part['files']} |"
        )
    first = measured[0]
    height, width = first["size"]
    return [*lines, "", f"The files are {first['files']:,} JPEG photos of {width:,} x {height:,} pixels."]


def _sentences(found: dict[str, Any]) -> list[str]:
    """What was measured besides."""
    lines = []
    if made := found["views"]:
        lines.append(
            f"A view of {made['images']} images of 32x32 pixels: weak {_ms(made['weak'])} ms, with PIL {_ms(made['weak, PIL'])}; "
            f"strong (RandAugment and Cutout too) {_ms(made['strong'])} ms, with PIL {_ms(made['strong, PIL'])}."
        )
    if found["rows"]:
        sizes = "; ".join(f"{int(n):,} rows: {_ms(f)} ms" for n, f in found["rows"].items())
        lines.append(f"A step of Temporal Ensembling (smallnet, 16x16 pixels) against the size of the data set: {sizes}.")
    if found["starts"]:
        first = found["starts"]["import torch"]["median"]
        begin = ", ".join(f"{name} {f['median']:.2f} s ({f['median'] / first:.2f})" for name, f in found["starts"].items())
        lines.append(f"To start, and relative to torch alone: {begin}.")
    if found["default_run"]:
        run_ = found["default_run"]
        lines.append(
            f"The default run: {run_['wall']:.0f} s from the command to its end, {run_['seconds']:.0f} s of them in its loop, "
            f"{run_['peak_memory'] / 2**20:.0f} MB at most."
        )
    return lines


def _ms(f: dict[str, float]) -> str:
    digits = 0 if f["median"] > 0.1 else 1 if f["median"] > 0.01 else 2
    return f"{1000 * f['median']:.{digits}f} ({1000 * f['min']:.{digits}f} to {1000 * f['max']:.{digits}f})"


def _percent(f: dict[str, float]) -> str:
    return f"{100 * f['median']:+.1f} % ({100 * f['min']:+.1f} to {100 * f['max']:+.1f})"
